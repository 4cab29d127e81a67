//! A bound on the builds that run at once in several processes.
//!
//! Forked children share no memory, but they inherit a file, and lock bytes of it (fcntl(2),
//! `F_SETLK`): one byte for each build that may run, and one for each directory. So children that
//! wait for the same directory leave the other builds to other directories, as builder threads do.
//! The kernel gives up the locks of a process that ends. The threads of one process do not exclude
//! each other; the number of builder threads bounds them.

use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{MemfdFlags, memfd_create};

/// The locks of all builds.
#[derive(Debug)]
pub(super) struct BuildLocks {
    /// None if no descriptor was left: then each process has only its own bound.
    file: Option<OwnedFd>,
    builds_max: usize,
    /// The same in all processes.
    hasher: RandomState,
}

/// A build that runs.
pub(super) struct BuildLock<'a> {
    locks: &'a BuildLocks,
    offsets: [i64; 2],
}

impl BuildLocks {
    pub(super) fn new(builds_max: usize) -> BuildLocks {
        let file = memfd_create("miniweb builds", MemfdFlags::CLOEXEC).ok();
        BuildLocks { file, builds_max, hasher: RandomState::new() }
    }

    /// Waits until no other process builds the directory at `path`, and one may build at all.
    pub(super) fn acquire(&self, path: &[u8]) -> BuildLock<'_> {
        // Behind the bytes of the builds. Two directories with one hash wait for each other.
        let directory = self.builds_max as i64 + (self.hasher.hash_one(path) >> 2) as i64;
        self.wait_for(directory);
        let is_free = |build: &i64| self.set(libc::F_WRLCK, *build, false).is_ok();
        let build = (0..self.builds_max as i64).find(is_free).unwrap_or_else(|| {
            // All are taken: children wait for different ones.
            let build = directory % self.builds_max as i64;
            self.wait_for(build);
            build
        });
        BuildLock { locks: self, offsets: [build, directory] }
    }

    fn wait_for(&self, offset: i64) {
        // Any other error than that of a signal means to go without the lock.
        while self.set(libc::F_WRLCK, offset, true) == Err(Errno::EINTR) {}
    }

    fn set(&self, kind: i32, offset: i64, waits: bool) -> nix::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let byte = libc::flock {
            l_type: kind as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: offset,
            l_len: 1,
            l_pid: 0,
        };
        let argument = if waits { FcntlArg::F_SETLKW(&byte) } else { FcntlArg::F_SETLK(&byte) };
        fcntl(file, argument).map(drop)
    }
}

impl Drop for BuildLock<'_> {
    fn drop(&mut self) {
        for offset in self.offsets {
            // It fails only without the lock.
            let _ = self.locks.set(libc::F_UNLCK, offset, false);
        }
    }
}
