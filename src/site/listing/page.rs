//! A listing in one form and order, as bytes.
//!
//! A small page is on the heap. A large one is in an anonymous file (memfd_create(2)). That is
//! memory, too, with three properties that the heap lacks: it is returned to the system after its
//! last use, whatever the allocator does; the socket takes it without a copy (sendfile); and it can
//! be [reclaimed](super::page_memory) from clients that do not read.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;

use super::entries::{BYTES_PER_NAME_BYTE, Entry, Listing};
use crate::http::Body;
use crate::site::memory_budget::MemoryBudget;
use crate::site::open_file::{File, OpenFile};
use crate::site::path::SitePath;
use crate::syscall_stats::SyscallStats;

/// The most bytes of a page on the heap: the limit of a file in the cache.
const SMALL_PAGE_BYTES_MAX: u64 = 64 * 1024;
/// The most bytes of any page. Further entries are left out, and the page says so. A hundred
/// thousand names of 100 bytes fit.
const PAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The most bytes of a page besides its path and its entries: mainly the style and script of HTML.
pub(super) const FRAME_BYTES: u64 = 12 * 1024;
/// The most bytes of the frame that follow the entries.
const FOOT_BYTES: u64 = 1024;

/// The bytes that are collected before they are written to the file.
const WRITE_BYTES: usize = 64 * 1024;

/// A complete page. Clones share it.
#[derive(Clone, Debug)]
pub(super) enum Page {
    Memory(Bytes),
    File { file: File, bytes: u64 },
}

/// The most bytes that the page of `listing` takes, in any form.
pub(super) fn page_bytes_max(path: &SitePath<'_>, listing: &Listing) -> u64 {
    // The path is in the title, and each link of the breadcrumbs repeats a prefix of it.
    let segments = path.relative.split(|b| *b == b'/').count() as u64;
    let path_bytes = BYTES_PER_NAME_BYTE * path.relative.len() as u64 * (segments + 2);
    (FRAME_BYTES + path_bytes + listing.page_bytes_max()).min(PAGE_BYTES_MAX)
}

impl Page {
    pub(super) fn len(&self) -> u64 {
        match self {
            Page::Memory(bytes) => bytes.len() as u64,
            Page::File { bytes, .. } => *bytes,
        }
    }

    pub(super) fn into_body(self) -> Body<File> {
        match self {
            Page::Memory(bytes) => Body::Bytes(bytes),
            Page::File { file, bytes } => Body::File { file, range: 0..bytes },
        }
    }
}

/// A page that is being written, within a bound.
pub(super) struct PageWriter {
    buffer: Vec<u8>,
    /// None for a page in memory.
    file: Option<OpenFile>,
    /// The bytes that have been written to the file.
    flushed_bytes: u64,
    bytes_max: u64,
    is_truncated: bool,
}

impl PageWriter {
    /// A page in memory.
    pub(super) fn small() -> PageWriter {
        PageWriter {
            buffer: Vec::new(),
            file: None,
            flushed_bytes: 0,
            bytes_max: SMALL_PAGE_BYTES_MAX,
            is_truncated: false,
        }
    }

    /// A page in a file.
    ///
    /// # Errors
    /// EMFILE, ENFILE or ENOMEM.
    pub(super) fn large() -> rustix::io::Result<PageWriter> {
        let file = memfd_create("miniweb listing", MemfdFlags::CLOEXEC)?;
        let file = Some(OpenFile::new(file, &SyscallStats::default()));
        let buffer = Vec::with_capacity(WRITE_BYTES);
        Ok(PageWriter { buffer, file, bytes_max: PAGE_BYTES_MAX, ..PageWriter::small() })
    }

    /// Whether `entry` still fits. If it does not, the page is truncated.
    pub(super) fn has_room_for(&mut self, entry: &Entry<'_>) -> bool {
        self.is_truncated |= self.bytes() + entry.page_bytes_max() + FOOT_BYTES > self.bytes_max;
        !self.is_truncated
    }

    /// Whether entries were left out.
    pub(super) fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    fn bytes(&self) -> u64 {
        self.flushed_bytes + self.buffer.len() as u64
    }

    /// The complete page in memory, which counts towards `budget` until its last byte has been
    /// sent. None if it exceeds its limit or the budget.
    pub(super) fn finish_in(self, budget: &MemoryBudget) -> Option<Page> {
        // A long path may exceed the bound without any entry.
        let is_small = !self.is_truncated && self.bytes() <= self.bytes_max;
        let share = is_small.then(|| budget.take_up_to(self.bytes()))?;
        let is_in_budget = share.bytes() == self.bytes();
        is_in_budget.then(|| Page::Memory(share.hold(self.buffer)))
    }

    /// The complete page in its file.
    ///
    /// # Errors
    /// ENOMEM or ENOSPC if the system has no memory for the file.
    pub(super) fn finish(mut self) -> rustix::io::Result<Page> {
        self.write_buffer()?;
        let file =
            Arc::new(self.file.expect("a page that is finished without a budget has a file"));
        Ok(Page::File { file, bytes: self.flushed_bytes })
    }

    fn write_buffer(&mut self) -> rustix::io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut unwritten = &self.buffer[..];
        while !unwritten.is_empty() {
            match rustix::io::write(file, unwritten) {
                Ok(written) => {
                    self.flushed_bytes += written as u64;
                    unwritten = &unwritten[written..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.buffer.clear();
        Ok(())
    }
}

impl Write for PageWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
