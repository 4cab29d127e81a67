//! A bound on the builds that run at once in several processes.
//!
//! A child locks one byte of the [`SharedFile`] for each build that may run, and one for the
//! directory. So children that wait for the same directory leave the other builds to other
//! directories, as builder threads do. Within one process the number of builder threads is the
//! bound.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use nix::errno::Errno;

use super::page_memory::LOCKS_END;
use crate::site::shared_file::SharedFile;

/// The locks of all builds.
#[derive(Debug)]
pub(super) struct BuildLocks {
    file: Arc<SharedFile>,
    builds_max: u64,
    /// The same in all processes.
    hasher: RandomState,
}

/// A build that runs.
pub(super) struct BuildLock<'a> {
    file: &'a SharedFile,
    offset: u64,
}

impl BuildLocks {
    pub(super) fn new(file: Arc<SharedFile>, builds_max: usize) -> BuildLocks {
        BuildLocks { file, builds_max: builds_max as u64, hasher: RandomState::new() }
    }

    /// Waits until no other process builds the directory at `path`, and then until fewer than the
    /// most builds run.
    ///
    /// # Errors
    /// ENOLCK: the kernel has no memory for a lock.
    pub(super) fn acquire(&self, path: &[u8]) -> Result<[BuildLock<'_>; 2], Errno> {
        // Behind the bytes of the builds; offsets are signed. Two directories with the same hash
        // wait for each other.
        let hash = self.hasher.hash_one(path) >> 2;
        let directory = self.lock(LOCKS_END + self.builds_max + hash)?;
        for build in 0..self.builds_max {
            let offset = LOCKS_END + build;
            if self.file.try_lock(offset)? {
                return Ok([directory, BuildLock { file: &self.file, offset }]);
            }
        }
        let build = self.lock(LOCKS_END + hash % self.builds_max)?;
        Ok([directory, build])
    }

    fn lock(&self, offset: u64) -> Result<BuildLock<'_>, Errno> {
        self.file.wait_for_lock(offset)?;
        Ok(BuildLock { file: &self.file, offset })
    }
}

impl Drop for BuildLock<'_> {
    fn drop(&mut self) {
        self.file.unlock(self.offset);
    }
}
