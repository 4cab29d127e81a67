//! A thread that replaces the certificate when its files change, and the keys of session tickets.
//!
//! It polls the files instead of waiting for inotify events: certificates are
//! renewed through links, mounts and network file systems, not all of which report changes, and two
//! calls of stat(2) twice a second cost next to nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustls::sign::CertifiedKey;

use super::config::CurrentCertificate;
use super::pair::{CertificateFiles, LoadedPair, Validity, Versions};
use super::tickets::{ROTATION_INTERVAL, Tickets};
use crate::server::sys;
use crate::warning::warn;

/// A new pair is used within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a fault lasts before it is reported. A program that replaces two files replaces one
/// after the other, and until then they do not belong together.
const GRACE: Duration = Duration::from_millis(1500);

/// How often the certificate in use is compared with the clock.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// Where certificates come from.
#[derive(Debug)]
pub enum Source {
    /// The certificate is only in memory.
    Memory,
    Files(Box<WatchedFiles>),
}

/// Files and what is known of them.
#[derive(Debug)]
pub struct WatchedFiles {
    files: CertificateFiles,
    /// The versions in use; None if the files must be read again in any case.
    seen: Option<Versions>,
    fault: Option<Fault>,
    /// What stderr says about the files that are there now.
    warned: Vec<String>,
}

/// Why the files cannot be used.
#[derive(Debug)]
struct Fault {
    reason: String,
    since: Instant,
}

impl Source {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn open(files: CertificateFiles) -> Result<(Source, CertifiedKey), String> {
        let LoadedPair { pair, versions, warnings } = files.load()?;
        warnings.iter().for_each(warn);
        let watched = WatchedFiles { files, seen: versions, fault: None, warned: warnings };
        Ok((Source::Files(Box::new(watched)), pair))
    }

    /// Each option with its path.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        match self {
            Source::Memory => Vec::new(),
            Source::Files(watched) => watched.files.paths().into(),
        }
    }
}

impl WatchedFiles {
    /// What the files contain, if that has changed and can be used.
    fn look(&mut self, now: Instant) -> Option<CertifiedKey> {
        if self.seen == Some(self.files.versions()) {
            return None;
        }
        match self.files.load() {
            Ok(LoadedPair { pair, versions, warnings }) => {
                self.seen = versions;
                self.fault = None;
                warnings.iter().filter(|it| !self.warned.contains(it)).for_each(warn);
                self.warned = warnings;
                Some(pair)
            }
            Err(reason) => {
                // Retry until the files can be used: a change of a parent directory's permissions
                // does not change the version of a file.
                self.seen = None;
                self.note(reason, now);
                None
            }
        }
    }

    /// Reports a fault that lasts, once.
    fn note(&mut self, reason: String, now: Instant) {
        let since = match &self.fault {
            Some(fault) if fault.reason == reason => fault.since,
            _ => now,
        };
        if now - since >= GRACE && !self.warned.contains(&reason) {
            warn(format_args!("{reason}; keeping the certificate that is in use"));
            self.warned.push(reason.clone());
        }
        self.fault = Some(Fault { reason, since });
    }
}

/// What the thread works with.
#[derive(Debug)]
pub struct Reloader {
    source: Source,
    current: Arc<CurrentCertificate>,
    tickets: Arc<Tickets>,
    has_warned_of_expiry: bool,
}

/// A handle to the thread. Dropping it ends the thread, too, but does not wait for that.
#[derive(Debug)]
pub struct ReloadThread {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl ReloadThread {
    /// Ends the thread.
    pub fn finish(self) {
        drop(self.stop);
        // An error means that the thread has panicked; the server has ended anyway.
        let _ = self.thread.join();
    }
}

impl Reloader {
    pub fn new(source: Source, current: Arc<CurrentCertificate>, tickets: Arc<Tickets>) -> Self {
        Reloader { source, current, tickets, has_warned_of_expiry: false }
    }

    /// # Errors
    /// EAGAIN: no thread can be started.
    pub fn start(self) -> io::Result<ReloadThread> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().spawn(move || self.run(&stopped))?;
        Ok(ReloadThread { stop, thread })
    }

    fn run(mut self, stopped: &Receiver<()>) {
        let interval = match self.source {
            Source::Memory => EXPIRY_INTERVAL,
            Source::Files(_) => LOOK_INTERVAL,
        };
        let started = Instant::now();
        let (mut next_rotation, mut next_expiry) =
            (started + ROTATION_INTERVAL, started + EXPIRY_INTERVAL);
        while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            let now = Instant::now();
            if let Source::Files(watched) = &mut self.source
                && let Some(pair) = watched.look(now)
            {
                self.current.replace(pair);
                self.has_warned_of_expiry = false;
            }
            if now >= next_rotation {
                next_rotation = now + ROTATION_INTERVAL;
                let _no_fork = sys::exclude_fork();
                // Without random bytes, the present keys are used for another interval.
                let _ = self.tickets.rotate();
            }
            if now >= next_expiry {
                next_expiry = now + EXPIRY_INTERVAL;
                self.warn_of_expiry();
            }
        }
    }

    fn warn_of_expiry(&mut self) {
        if self.has_warned_of_expiry {
            return;
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let current = self.current.load();
        if let Validity::Past(end) = Validity::of(&current, &provider, SystemTime::now()) {
            let end = httpdate::fmt_http_date(end);
            warn(format_args!("the certificate in use has expired: {end}"));
            self.has_warned_of_expiry = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::site::{Root, ServedFiles};

    /// A certificate and its key in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().expect("random bytes");
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]);
        let certificate = parameters.and_then(|parameters| parameters.self_signed(&key));
        (certificate.expect("a valid name").pem(), key.serialize_pem())
    }

    fn write(directory: &Path, name: &str, content: &str) {
        fs::write(directory.join(name), content).expect("the directory is writable");
    }

    fn watched(directory: &Path) -> (WatchedFiles, CertifiedKey) {
        let served = ServedFiles::of(&Root::Sample);
        let [certificate, key] = ["cert", "key"].map(|name| directory.join(name));
        let files = CertificateFiles::new(certificate, key, served).expect("paths are absolute");
        match Source::open(files).expect("the pair is complete") {
            (Source::Files(watched), pair) => (*watched, pair),
            (Source::Memory, _) => unreachable!("it was opened from files"),
        }
    }

    #[test]
    fn a_pair_is_replaced_when_both_files_are_and_keeps_silent_meanwhile() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let directory = directory.path();
        let (certificate, key) = pair();
        write(directory, "cert", &certificate);
        write(directory, "key", &key);
        let (mut watched, old) = watched(directory);
        let started = Instant::now();
        let (certificate, key) = pair();
        write(directory, "cert", &certificate);
        assert!(watched.look(started).is_none(), "the key is still the old one");
        assert!(watched.look(started + GRACE / 2).is_none());
        write(directory, "key", &key);
        let new = watched.look(started + GRACE).expect("both are there");
        assert_ne!(new.cert, old.cert);
        let told = |warned: &[String]| warned.iter().any(|it| it.contains("does not match"));
        assert!(!told(&watched.warned), "{:?}", watched.warned);
    }

    #[test]
    fn a_fault_that_lasts_is_reported_once_and_again_after_a_usable_pair() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let directory = directory.path();
        let (certificate, key) = pair();
        write(directory, "cert", &certificate);
        write(directory, "key", &key);
        let (mut watched, _) = watched(directory);
        let mut now = Instant::now();
        let mut reported_after = |watched: &mut WatchedFiles, looks: u32| {
            let mut before = watched.warned.len();
            for _ in 0..looks {
                now += LOOK_INTERVAL;
                if watched.look(now).is_some() {
                    before = watched.warned.len();
                }
            }
            watched.warned.len() - before
        };
        write(directory, "cert", &certificate[..300]);
        assert_eq!(reported_after(&mut watched, 3), 0);
        assert_eq!(reported_after(&mut watched, 9), 1);
        fs::remove_file(directory.join("cert")).expect("it exists");
        assert_eq!(reported_after(&mut watched, 9), 1, "another fault");
        write(directory, "cert", &certificate);
        assert_eq!(reported_after(&mut watched, 1), 0);
        fs::remove_file(directory.join("cert")).expect("it exists");
        assert_eq!(reported_after(&mut watched, 9), 1);
    }
}
