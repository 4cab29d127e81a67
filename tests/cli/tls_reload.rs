//! Certificates that are renewed while the server runs: as certbot does it, as Kubernetes does it,
//! and as someone does it by mistake.
#![cfg(feature = "tls")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;

use crate::support::{
    Certificate, Server, Setup, Site, any_setup, setups, shown_certificate, wait_until,
    write_private,
};

/// A certificate and its key that are reached by fixed paths.
struct Renewed {
    certificate: PathBuf,
    key: PathBuf,
    kind: Kind,
    count: usize,
}

/// How the files are replaced.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Each is renamed onto the old one.
    Renames,
    /// Each is written in place.
    Writes,
    /// `live/x/key.pem` is a link to a numbered file in `archive/x`.
    Certbot,
    /// `tls.key` is a link to `..data/tls.key`, and `..data` a link to a numbered directory.
    Kubernetes,
}

const KINDS: [Kind; 4] = [Kind::Renames, Kind::Writes, Kind::Certbot, Kind::Kubernetes];

impl Renewed {
    fn new(directory: &Path, kind: Kind, first: &Certificate) -> Renewed {
        let at = |name: &str| directory.join(name);
        let [certificate, key] = match kind {
            Kind::Renames | Kind::Writes => ["cert.pem", "key.pem"].map(at),
            Kind::Certbot => ["live/x/fullchain.pem", "live/x/privkey.pem"].map(at),
            Kind::Kubernetes => ["tls.crt", "tls.key"].map(at),
        };
        fs::create_dir_all(key.parent().expect("it has one")).expect("the directory is writable");
        let mut renewed = Renewed { certificate, key, kind, count: 0 };
        if let Kind::Kubernetes = kind {
            for path in [&renewed.certificate, &renewed.key] {
                let name = path.file_name().expect("it has a name");
                symlink(Path::new("..data").join(name), path).expect("the name is free");
            }
        }
        renewed.renew(&first.pem, &first.key_pem);
        renewed
    }

    fn renew(&mut self, certificate: &str, key: &str) {
        self.count += 1;
        let files = [(&self.certificate, certificate), (&self.key, key)];
        match self.kind {
            Kind::Renames => {
                for (path, content) in files {
                    let new = write_private(&path.with_extension("new"), content);
                    fs::rename(new, path).expect("the directory is writable");
                }
            }
            Kind::Writes => {
                for (path, content) in files {
                    write_private(path, content);
                }
            }
            Kind::Certbot => {
                for (path, content) in files {
                    let name = path.file_stem().expect("it has a name").to_string_lossy();
                    let target = format!("../../archive/x/{name}{}.pem", self.count);
                    let directory = path.parent().expect("it has one");
                    write_private(&directory.join(&target), content);
                    replace_link(path, Path::new(&target));
                }
            }
            Kind::Kubernetes => {
                let directory = self.key.parent().expect("it has one");
                let name = format!("..2026_{}", self.count);
                for (path, content) in files {
                    let file_name = path.file_name().expect("it has a name");
                    write_private(&directory.join(&name).join(file_name), content);
                }
                replace_link(&directory.join("..data"), Path::new(&name));
                if self.count > 1 {
                    let old = directory.join(format!("..2026_{}", self.count - 1));
                    fs::remove_dir_all(old).expect("it exists");
                }
            }
        }
    }

    fn start(&self, setup: &'static Setup, site: &Site, options: &[&str]) -> Server {
        let [certificate, key] =
            [&self.certificate, &self.key].map(|path| path.to_str().expect("a UTF-8 path"));
        let files = ["--tls-cert", certificate, "--tls-key", key];
        Server::start(setup, site.root(), &[&files, options].concat())
    }
}

/// Points a link elsewhere, without a moment in which it does not exist.
fn replace_link(link: &Path, target: &Path) {
    let new = link.with_file_name("new-link");
    symlink(target, &new).expect("the name is free");
    fs::rename(new, link).expect("the directory is writable");
}

/// A server for each set-up and kind, each with files of its own. They run at the same time,
/// because most of the test is waiting.
fn all_servers(site: &Site, first: &Certificate) -> Vec<(Renewed, Server)> {
    let start = |(setup, kind): (&'static Setup, Kind)| {
        let renewed = Renewed::new(&site.beside(&format!("{} {kind:?}", setup.name)), kind, first);
        let server = renewed.start(setup, site, &["--confine"]);
        (renewed, server)
    };
    setups().flat_map(|setup| KINDS.map(|kind| (setup, kind))).map(start).collect()
}

#[test]
fn a_renewed_certificate_is_shown_within_a_second() {
    let site = Site::new();
    let first = Certificate::new();
    let mut servers = all_servers(&site, &first);
    for (renewed, server) in &servers {
        assert_eq!(shown_certificate(server.address), first.der, "{:?}", renewed.key);
    }
    for next in [Certificate::new(), Certificate::new()] {
        servers.iter_mut().for_each(|(renewed, _)| renewed.renew(&next.pem, &next.key_pem));
        let started = Instant::now();
        for (renewed, server) in &servers {
            wait_until(&format!("the new certificate of {:?}", renewed.key), || {
                (shown_certificate(server.address) == next.der).then_some(())
            });
        }
        // A second, and what a busy machine adds.
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}

#[test]
fn a_pair_that_cannot_be_used_is_reported_once_and_the_old_one_kept() {
    let site = Site::new();
    let old = Certificate::new();
    let (month, now) = (Duration::from_secs(30 * 86_400), SystemTime::now());
    let expired = Certificate::valid(now - 2 * month, now - month);
    let mut renewed = Renewed::new(&site.beside("tls"), Kind::Renames, &old);
    let mut server = renewed.start(any_setup(), &site, &[]);
    server.may_print_errors = true;
    for (certificate, key, words) in [
        (&*old.pem, "garbage", &["--tls-key", "nothing usable"][..]),
        (&old.pem, &expired.key_pem, &["--tls-key", "does not match"]),
        (&expired.pem, &expired.key_pem, &["--tls-cert", "has expired"]),
        (&old.pem[..200], &old.key_pem, &["--tls-cert", "incomplete"]),
    ] {
        renewed.renew(certificate, key);
        let line = server.errors.next().expect("the server is running");
        assert!(line.starts_with("warning: "), "{line}");
        assert!(line.ends_with("; keeping the certificate that is in use"), "{line}");
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    }
    fs::remove_file(&renewed.key).expect("it exists");
    let line = server.errors.next().expect("the server is running");
    assert!(line.contains("--tls-key") && line.contains("no such file"), "{line}");
    // Several more looks, which repeat nothing.
    std::thread::sleep(Duration::from_millis(2500));
    renewed.renew(&old.pem, &old.key_pem);
    std::thread::sleep(Duration::from_millis(1500));
    server.signal(Signal::TERM);
    server.wait();
    assert_eq!(server.errors.rest(), [""; 0]);
}

#[test]
fn renewals_cause_no_warning_under_any_strategy() {
    let site = Site::new();
    let mut servers = all_servers(&site, &Certificate::new());
    let next = Certificate::new();
    servers.iter_mut().for_each(|(renewed, _)| renewed.renew(&next.pem, &next.key_pem));
    // Longer than a fault takes to be reported.
    std::thread::sleep(Duration::from_millis(2700));
    for (renewed, mut server) in servers {
        server.signal(Signal::TERM);
        server.wait();
        assert_eq!(server.errors.rest(), [""; 0], "{:?}", renewed.key);
    }
}
