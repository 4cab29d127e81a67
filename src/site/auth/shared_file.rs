//! Memory that forked children share with their parent: a file without a name.
//!
//! Reads and writes are system calls, so they need no unsafe code. They happen only when a password
//! is checked, which takes a thousand times longer.

use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::fs::{FlockOperation, MemfdFlags, fcntl_lock, ftruncate, memfd_create};
use rustix::io::{Errno, Result, retry_on_intr};

use crate::sync::lock;

/// A file that one thread of one process uses at a time.
#[derive(Debug)]
pub struct SharedFile {
    file: OwnedFd,
    /// The lock of the file excludes other processes, and this one excludes other threads. A parent
    /// that forks checks no passwords itself, so no child inherits it locked.
    thread_lock: Mutex<()>,
}

impl SharedFile {
    /// A file of `bytes` zeros.
    ///
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new(bytes: u64) -> Result<SharedFile> {
        let file = memfd_create("miniweb", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, bytes)?;
        Ok(SharedFile { file, thread_lock: Mutex::default() })
    }

    /// Changes the bytes at `offset`.
    pub fn update<const BYTES: usize, T>(
        &self,
        offset: u64,
        change: impl FnOnce(&mut [u8; BYTES]) -> T,
    ) -> Result<T> {
        let _thread_lock = lock(&self.thread_lock);
        retry_on_intr(|| fcntl_lock(&self.file, FlockOperation::LockExclusive))?;
        let changed = self.update_locked(offset, change);
        // Fails only if the lock is not held.
        let _ = fcntl_lock(&self.file, FlockOperation::Unlock);
        changed
    }

    fn update_locked<const BYTES: usize, T>(
        &self,
        offset: u64,
        change: impl FnOnce(&mut [u8; BYTES]) -> T,
    ) -> Result<T> {
        let mut bytes = [0; BYTES];
        // A file in memory is read and written in one piece.
        let length = retry_on_intr(|| rustix::io::pread(&self.file, &mut bytes[..], offset))?;
        if length < BYTES {
            return Err(Errno::RANGE);
        }
        let before = bytes;
        let result = change(&mut bytes);
        if bytes != before {
            retry_on_intr(|| rustix::io::pwrite(&self.file, &bytes, offset))?;
        }
        Ok(result)
    }
}
