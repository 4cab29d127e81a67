//! Directories that the kernel cannot watch, and file systems that disappear.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::geteuid;

use crate::support::{Peer, Server, Site, setups, wait_until};
use crate::syscalls::with_fault;

/// Replaces `page.html` and waits until the new content is served.
fn expect_change(peer: &mut Peer, site: &Site, path: &str, what: &str) {
    // Files that have not changed for long are cached for the longest time.
    let old = SystemTime::now() - Duration::from_secs(3600);
    assert_eq!(peer.get(path).status, 200, "{what}");
    for version in ["one", "another"] {
        let name = path.trim_start_matches('/');
        fs::rename(site.write("new", version), site.path(name)).expect("the test owns the file");
        site.set_modified(name, old);
        wait_until(&format!("{what}: version {version}"), || {
            (peer.get(path).body == version.as_bytes()).then_some(())
        });
    }
}

#[test]
fn a_change_becomes_visible_without_watches() {
    for setup in setups() {
        for (call, errno) in [
            // The user's limits of watches and of instances.
            ("inotify_add_watch", "ENOSPC"),
            ("inotify_init1", "EMFILE"),
            // A kernel without inotify, or a sandbox that refuses it.
            ("inotify_init1", "ENOSYS"),
        ] {
            let site = Site::new();
            let fault = format!("error={errno}");
            let Some(server) = with_fault(setup, &site, call, &fault, &[]) else { return };
            let what = format!("{}, {call}: {errno}", setup.name);
            expect_change(&mut server.connect(), &site, "/page.html", &what);
        }
    }
}

#[test]
fn a_change_in_a_directory_that_may_not_be_read_becomes_visible() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    for setup in setups() {
        let site = Site::new();
        site.write("searched/page.html", "before");
        Command::new("chmod").args(["-R", "a+rX"]).arg(site.beside("")).status().expect("chmod");
        Command::new("chmod").arg("0711").arg(site.path("searched")).status().expect("chmod");
        let server = Server::start(setup, site.root(), &["--user", "nobody"]);
        expect_change(&mut server.connect(), &site, "/searched/page.html", setup.name);
    }
}

/// Unmounts a file system that a failed test leaves behind.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // It fails if the test has unmounted it.
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

/// Neither a watch nor a cached file keeps the file system busy.
#[test]
fn a_file_system_can_be_unmounted_while_its_files_are_cached() {
    for setup in setups() {
        let site = Site::new();
        site.directory("disk");
        let disk = site.path("disk");
        let mounted = mount("tmpfs", &disk, "tmpfs", MountFlags::empty(), c"size=8m");
        if mounted.is_err() {
            eprintln!("skipped: mounting a tmpfs requires root");
            return;
        }
        let _mounted = Mounted(&disk);
        site.write("disk/small.txt", "small");
        site.write("disk/large.bin", vec![b'x'; 4 << 20]);
        let server = Server::start(setup, site.root(), &[]);
        let mut peer = server.connect();
        for path in ["/disk/small.txt", "/disk/large.bin"] {
            assert_eq!(peer.get(path).status, 200, "{}", setup.name);
        }
        // A large file stays open for a second after its last response. In a child, which sleeps in
        // recv, it stays open until the connection closes.
        if setup.forks {
            peer = server.connect();
        }
        wait_until("the file system not to be busy", || unmount(&disk, UnmountFlags::empty()).ok());
        for path in ["/disk/small.txt", "/disk/large.bin"] {
            wait_until(&format!("{}: {path} to be gone", setup.name), || {
                (peer.get(path).status == 404).then_some(())
            });
        }
    }
}
