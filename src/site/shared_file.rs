//! State that the processes of a server share: locks and numbers in an anonymous file.
//!
//! A forked child has its own copy of the heap, but it inherits the descriptor of this file.
//! Processes lock its bytes (fcntl(2), `F_SETLK`) and store numbers in it. The kernel releases the
//! locks of a process that ends, even if it is killed. A lock does not exclude other threads of the
//! same process.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{MemfdFlags, memfd_create};

/// The anonymous file.
#[derive(Debug)]
pub struct SharedFile(OwnedFd);

/// A lock on one byte, released on drop.
#[derive(Debug)]
pub struct ByteLock<'a> {
    file: &'a SharedFile,
    offset: u64,
}

impl SharedFile {
    /// A file of `numbers` zeros. Call it before processes are forked.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM.
    pub fn new(numbers: usize) -> rustix::io::Result<SharedFile> {
        let file = memfd_create("miniweb shared", MemfdFlags::CLOEXEC)?;
        // Its memory is allocated here, so that later writes cannot fail.
        rustix::io::pwrite(&file, &vec![0; numbers * size_of::<u64>()], 0)?;
        Ok(SharedFile(file))
    }

    /// Locks the byte at `offset`. None if another process has locked it.
    ///
    /// # Errors
    /// ENOLCK: the kernel has no memory for the lock.
    pub fn try_lock(&self, offset: u64) -> Result<Option<ByteLock<'_>>, Errno> {
        match fcntl(&self.0, FcntlArg::F_SETLK(&byte(libc::F_WRLCK, offset))) {
            Ok(_) => Ok(Some(ByteLock { file: self, offset })),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Locks the byte at `offset`; waits while another process has locked it.
    ///
    /// # Errors
    /// ENOLCK, as for [`SharedFile::try_lock`].
    pub fn lock(&self, offset: u64) -> Result<ByteLock<'_>, Errno> {
        loop {
            match fcntl(&self.0, FcntlArg::F_SETLKW(&byte(libc::F_WRLCK, offset))) {
                Err(Errno::EINTR) => {}
                result => return result.map(|_| ByteLock { file: self, offset }),
            }
        }
    }

    /// Unlocks the byte at `offset`, whose lock was [kept](ByteLock::keep).
    pub fn unlock(&self, offset: u64) {
        // It can fail only in the middle of a locked range, and each range is one byte.
        let _ = fcntl(&self.0, FcntlArg::F_SETLK(&byte(libc::F_UNLCK, offset)));
    }

    /// The number at `index`.
    pub fn load(&self, index: u64) -> u64 {
        let [number] = self.load_all(index);
        number
    }

    /// The numbers from `index` on.
    pub fn load_all<const COUNT: usize>(&self, index: u64) -> [u64; COUNT] {
        let mut bytes = [[0; size_of::<u64>()]; COUNT];
        // It cannot fail, nor read less: the file has these numbers.
        let _ = rustix::io::pread(&self.0, bytes.as_flattened_mut(), offset_of(index));
        bytes.map(u64::from_ne_bytes)
    }

    /// Stores `number` at `index`.
    pub fn store(&self, index: u64, number: u64) {
        self.store_all(index, [number]);
    }

    /// Stores `numbers` from `index` on.
    pub fn store_all<const COUNT: usize>(&self, index: u64, numbers: [u64; COUNT]) {
        let bytes = numbers.map(u64::to_ne_bytes);
        // It cannot fail: the memory is allocated.
        let _ = rustix::io::pwrite(&self.0, bytes.as_flattened(), offset_of(index));
    }

    /// `length` bytes, from the number at `index` on.
    pub fn load_bytes(&self, index: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        // It cannot fail, nor read less: the file has these numbers.
        let _ = rustix::io::pread(&self.0, &mut bytes[..], offset_of(index));
        bytes
    }

    /// Stores `bytes` from the number at `index` on.
    pub fn store_bytes(&self, index: u64, bytes: &[u8]) {
        // It cannot fail: the memory is allocated.
        let _ = rustix::io::pwrite(&self.0, bytes, offset_of(index));
    }
}

impl ByteLock<'_> {
    /// Keeps the byte locked until [`SharedFile::unlock`], or the end of the process.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for ByteLock<'_> {
    fn drop(&mut self) {
        self.file.unlock(self.offset);
    }
}

fn offset_of(index: u64) -> u64 {
    index * size_of::<u64>() as u64
}

fn byte(kind: i32, offset: u64) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: offset as i64,
        l_len: 1,
        l_pid: 0,
    }
}
