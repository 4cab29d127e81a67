//! An open descriptor of the site: its close is counted like every other system call on it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::syscall_stats::{Call, SyscallStats};

/// An open file or directory of the site.
#[derive(Debug)]
pub struct OpenFile {
    descriptor: OwnedFd,
    /// The last owner may be a connection that outlives its worker, so the file keeps its own handle.
    stats: SyscallStats,
}

impl OpenFile {
    pub fn new(descriptor: OwnedFd, stats: &SyscallStats) -> OpenFile {
        OpenFile { descriptor, stats: stats.clone() }
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.stats.count(Call::Close);
    }
}
