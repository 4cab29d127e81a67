//! What the processes of a server agree on: locks and numbers in an anonymous file.
//!
//! Forked children share no memory, but they inherit a descriptor of this file. They lock its bytes
//! (fcntl(2), `F_SETLK`) and store numbers in it. The kernel releases the locks of a process that
//! ends, even if it is killed. The threads of one process do not exclude each other.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{MemfdFlags, memfd_create};

/// The anonymous file.
#[derive(Debug)]
pub(super) struct SharedFile(OwnedFd);

impl SharedFile {
    /// A file of `numbers` zeros. Call it before processes are forked.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM.
    pub(super) fn new(numbers: usize) -> rustix::io::Result<SharedFile> {
        let file = memfd_create("miniweb shared", MemfdFlags::CLOEXEC)?;
        // Its memory is allocated here, so that later writes cannot fail.
        rustix::io::pwrite(&file, &vec![0; numbers * size_of::<u64>()], 0)?;
        Ok(SharedFile(file))
    }

    /// Locks the byte at `offset`. False if another process has locked it.
    ///
    /// # Errors
    /// ENOLCK: the kernel has no memory for the lock.
    pub(super) fn try_lock(&self, offset: u64) -> Result<bool, Errno> {
        match fcntl(&self.0, FcntlArg::F_SETLK(&byte(libc::F_WRLCK, offset))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Locks the byte at `offset`; waits while another process has locked it.
    ///
    /// # Errors
    /// ENOLCK, as for [`SharedFile::try_lock`].
    pub(super) fn wait_for_lock(&self, offset: u64) -> Result<(), Errno> {
        loop {
            match fcntl(&self.0, FcntlArg::F_SETLKW(&byte(libc::F_WRLCK, offset))) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Unlocks the byte at `offset`.
    pub(super) fn unlock(&self, offset: u64) {
        // It can fail only in the middle of a locked range, and each range is one byte.
        let _ = fcntl(&self.0, FcntlArg::F_SETLK(&byte(libc::F_UNLCK, offset)));
    }

    /// The number at `index`.
    pub(super) fn load(&self, index: u64) -> u64 {
        let mut bytes = [0; size_of::<u64>()];
        // It cannot fail, nor read less: the file has this number.
        let _ = rustix::io::pread(&self.0, &mut bytes, index * size_of::<u64>() as u64);
        u64::from_ne_bytes(bytes)
    }

    /// Stores `number` at `index`.
    pub(super) fn store(&self, index: u64, number: u64) {
        // It cannot fail: the memory is allocated.
        let _ = rustix::io::pwrite(&self.0, &number.to_ne_bytes(), index * size_of::<u64>() as u64);
    }
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
