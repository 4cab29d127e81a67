//! Reads a large file piece by piece in the offload pool, where sendfile could block an event loop.

use std::ops::Range;
use std::sync::Arc;

use super::loader::CONTENT_BYTES_MAX;
use super::open_file::File;
use super::panic_trigger::panic_if_requested;
use crate::syscall_stats::SyscallStats;

/// The next bytes of a file that is being sent: as many as a cached file may have.
#[derive(Debug)]
pub struct FileChunk {
    file: File,
    range: Range<u64>,
    stats: Arc<SyscallStats>,
}

impl FileChunk {
    /// The first chunk of `range`.
    pub fn new(file: File, range: Range<u64>, stats: Arc<SyscallStats>) -> FileChunk {
        let end = range.end.min(range.start + CONTENT_BYTES_MAX);
        FileChunk { file, range: range.start..end, stats }
    }

    /// Reads the chunk; the result is shorter if the file has been truncated.
    pub fn read(&self) -> rustix::io::Result<Vec<u8>> {
        panic_if_requested(b"file chunk");
        self.file.read(&self.range, &self.stats)
    }
}
