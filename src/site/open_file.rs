//! An open file or directory of the site. Its fstat, its reads and its close are counted.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::file_version::FileVersion;
use crate::syscall_stats::{Call, SyscallStats};

/// An open file in a response body. Several responses may share one.
pub type File = Arc<OpenFile>;

/// A descriptor that counts its close.
#[derive(Debug)]
pub struct OpenFile {
    descriptor: OwnedFd,
    /// A handle of its own: the last owner may be a connection that outlives the worker.
    stats: SyscallStats,
}

impl OpenFile {
    pub fn new(descriptor: OwnedFd, stats: &SyscallStats) -> OpenFile {
        OpenFile { descriptor, stats: stats.clone() }
    }

    pub fn stat(&self, stats: &SyscallStats) -> rustix::io::Result<Stat> {
        stats.count(Call::Stat);
        fstat(self)
    }

    pub fn version(&self, stats: &SyscallStats) -> rustix::io::Result<FileVersion> {
        self.stat(stats).map(|stat| FileVersion::from_stat(&stat))
    }

    /// The bytes in `range`. None if they can't be read, or the file ends before.
    pub fn read_all(&self, range: &Range<u64>) -> Option<Bytes> {
        let bytes = self.read(range, &self.stats).ok()?;
        (bytes.len() as u64 == range.end - range.start).then(|| bytes.into())
    }

    /// Reads the bytes in `range`, or fewer if the file ends before `range` does.
    pub fn read(&self, range: &Range<u64>, stats: &SyscallStats) -> rustix::io::Result<Vec<u8>> {
        let length = (range.end - range.start) as usize;
        let mut content = Vec::with_capacity(length);
        while content.len() < length {
            stats.count(Call::Read);
            let offset = range.start + content.len() as u64;
            match rustix::io::pread(self, spare_capacity(&mut content), offset) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        // The allocator may have given more capacity than requested, and pread then fills it.
        content.truncate(length);
        Ok(content)
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
