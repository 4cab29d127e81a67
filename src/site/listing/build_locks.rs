//! A bound on the builds that run at once in all processes of a server.
//!
//! The [`SharedFile`] has one lock for each build that may run at once, and one for each hash of a
//! directory. A process that builds a directory takes the lock of the directory first, then one of
//! the others. So children that wait for the same directory leave the other builds to other
//! directories, as builder threads do. Within one process, the number of builder threads is the
//! bound.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use nix::errno::Errno;

use super::page_memory::LOCKS_END;
use crate::site::shared_file::{ByteLock, SharedFile};

/// The locks of all builds.
#[derive(Debug)]
pub(super) struct BuildLocks {
    file: Arc<SharedFile>,
    builds_max: u64,
    /// Created before processes are forked, so that all of them hash a path alike.
    hasher: RandomState,
}

impl BuildLocks {
    pub(super) fn new(file: Arc<SharedFile>, builds_max: usize) -> BuildLocks {
        BuildLocks { file, builds_max: builds_max as u64, hasher: RandomState::new() }
    }

    /// Waits until no other process builds the directory at `path`, then until one more build may
    /// run.
    ///
    /// # Errors
    /// ENOLCK: the kernel has no memory for a lock.
    pub(super) fn acquire(&self, path: &[u8]) -> Result<[ByteLock<'_>; 2], Errno> {
        // Behind the bytes of the builds. The shift keeps the sum within the signed offsets of
        // fcntl(2). Two directories with the same hash wait for each other.
        let hash = self.hasher.hash_one(path) >> 2;
        let directory = self.file.lock(LOCKS_END + self.builds_max + hash)?;
        for build in 0..self.builds_max {
            if let Some(build) = self.file.try_lock(LOCKS_END + build)? {
                return Ok([directory, build]);
            }
        }
        let build = self.file.lock(LOCKS_END + hash % self.builds_max)?;
        Ok([directory, build])
    }
}
