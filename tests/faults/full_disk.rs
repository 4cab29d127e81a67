//! An access log on a disk that is full for a while.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Peer, Server, Site, get, setups, wait_until, with_sockets};

const DISK_BYTES: u64 = 64 * 1024;
const FREE_BYTES: u64 = 8 * 1024;

#[test]
fn a_full_disk_loses_the_lines_that_do_not_fit_and_tears_at_most_one() {
    let site = Site::new();
    for (setup, is_log_file) in setups().flat_map(|setup| [(setup, false), (setup, true)]) {
        let Some(disk) = SmallDisk::new() else { return };
        let (log, filler) = (disk.path("log"), disk.path("filler"));
        fs::write(&filler, vec![0; (DISK_BYTES - FREE_BYTES) as usize]).expect("it has space");
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let log_file = ["--log-file", log.to_str().expect("a UTF-8 path")];
        let options = [&["--log", "json"], &log_file[..2 * usize::from(is_log_file)]].concat();
        let command = Server::command(setup, site.root(), &options);
        let mut command = with_sockets(&command, &[&listener]);
        command.stdout(match is_log_file {
            true => Stdio::null(),
            false => File::create(&log).expect("the disk has an inode left").into(),
        });
        let mut server = Running(command.spawn().expect("there is a shell"));

        // Each line takes almost half of what is free.
        (0..5).for_each(|number| request(address, &format!("/{number}{}", "x".repeat(1900))));
        wait_until("the disk is full", || (length(&log) == FREE_BYTES).then_some(()));
        // Until the rest of the torn line has been refused, too.
        std::thread::sleep(Duration::from_millis(100));
        fs::remove_file(&filler).expect("it exists");
        (0..5).for_each(|number| request(address, &format!("/after-{number}")));
        kill_process(Pid::from_child(&server.0), Signal::TERM).expect("the server is running");
        wait_until("the end", || server.0.try_wait().expect("it is a child of the test"));

        let log = fs::read_to_string(&log).expect("a log is UTF-8");
        let (whole, torn): (Vec<&str>, Vec<&str>) = log
            .lines()
            .skip(usize::from(!is_log_file))
            .partition(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
        let after = whole.iter().filter(|line| line.contains("/after-")).count();
        assert!(after == 5 && torn.len() <= 1, "{setup:?}: {after} lines, torn: {torn:#?}");
    }
}

fn request(address: SocketAddr, path: &str) {
    assert_eq!(Peer::connect(address).ask(get(path)).status, 404);
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).expect("it exists").len()
}

/// A server that is killed on drop. Its children die with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // These fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file system in memory, unmounted on drop.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` without the right to mount.
    fn new() -> Option<SmallDisk> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mounted = mount("tmpfs", directory.path(), "tmpfs", MountFlags::empty(), c"size=64k");
        if mounted.is_err() {
            eprintln!("skipped: mounting a tmpfs requires root");
            return None;
        }
        Some(SmallDisk(directory))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If it fails, the mount is left behind, and so is the temporary directory.
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}
