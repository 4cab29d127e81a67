//! The memory of the large pages of one process: what is in progress, kept or being sent.
//!
//! A page is alive until its last reader is done, and a reader may take its time. So when a new
//! page needs the memory, the oldest page is reclaimed: its file is truncated, and a client that
//! has not read it to the end gets a truncated body and a closed connection. Clients that do not
//! read can neither make the server exceed the bound nor keep others from their listings.
//!
//! Invariants:
//! 1. Pages and reservations together have at most [`PAGES_BYTES_MAX`].
//! 2. A page is left alone for [`PAGE_TIME_MIN`] after it was made.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::fs::ftruncate;

use super::page::Page;
use crate::site::open_file::OpenFile;
use crate::sync::{lock, wait_timeout};

/// Four pages of the largest size.
const PAGES_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Longer than a page is reused, so that a request that finds a page has time to send it.
const PAGE_TIME_MIN: Duration = Duration::from_secs(2);

/// The account of all pages.
#[derive(Debug, Default)]
pub(super) struct PageMemory {
    account: Mutex<Account>,
    reservation_ended: Condvar,
}

#[derive(Debug, Default)]
struct Account {
    /// The oldest first.
    pages: VecDeque<LivePage>,
    reserved_bytes: u64,
}

#[derive(Debug)]
struct LivePage {
    file: Weak<OpenFile>,
    bytes: u64,
    made_at: Instant,
}

/// Memory for a page in progress.
pub(super) struct Reservation<'a> {
    memory: &'a PageMemory,
    bytes: u64,
}

impl PageMemory {
    /// Reserves memory for a page of at most `bytes`; waits until there is enough.
    pub(super) fn reserve(&self, bytes: u64) -> Reservation<'_> {
        /// The end of a page wakes nobody: it is a close, by whoever was the last to send it.
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let mut account = lock(&self.account);
        while !account.make_room(bytes, Instant::now()) {
            account = wait_timeout(&self.reservation_ended, account, POLL_INTERVAL);
        }
        account.reserved_bytes += bytes;
        Reservation { memory: self, bytes }
    }
}

impl Reservation<'_> {
    /// Replaces the reservation by `page`.
    pub(super) fn keep(self, page: &Page) {
        if let Page::File { file, bytes } = page {
            let (file, made_at) = (Arc::downgrade(file), Instant::now());
            let page = LivePage { file, bytes: *bytes, made_at };
            lock(&self.memory.account).pages.push_back(page);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        lock(&self.memory.account).reserved_bytes -= self.bytes;
        self.memory.reservation_ended.notify_all();
    }
}

impl Account {
    /// Reclaims old pages as far as necessary. False if there is not enough memory yet.
    fn make_room(&mut self, bytes: u64, now: Instant) -> bool {
        self.pages.retain(|page| page.file.strong_count() > 0);
        while self.used_bytes() + bytes > PAGES_BYTES_MAX {
            match self.pages.front() {
                Some(oldest) if now - oldest.made_at >= PAGE_TIME_MIN => oldest.reclaim(),
                Some(_) | None => return false,
            }
            self.pages.pop_front();
        }
        true
    }

    fn used_bytes(&self) -> u64 {
        self.reserved_bytes + self.pages.iter().map(|page| page.bytes).sum::<u64>()
    }
}

impl LivePage {
    fn reclaim(&self) {
        if let Some(file) = self.file.upgrade() {
            // It cannot fail: the file is open for writing and has no seals.
            let _ = ftruncate(&file, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::site::listing::page::PageWriter;

    /// A page of a quarter of all memory.
    fn page(memory: &PageMemory) -> Page {
        let reservation = memory.reserve(PAGES_BYTES_MAX / 4);
        let mut writer = PageWriter::large().expect("a descriptor is free");
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..PAGES_BYTES_MAX / 4 / piece.len() as u64 {
            writer.write_all(&piece).expect("memory is free");
        }
        let page = writer.finish().expect("memory is free");
        reservation.keep(&page);
        page
    }

    fn bytes_in_file(page: &Page) -> u64 {
        match page {
            Page::File { file, .. } => rustix::fs::fstat(file).expect("it is open").st_size as u64,
            Page::Memory(_) => unreachable!("a large page is in a file"),
        }
    }

    #[test]
    fn memory_is_reclaimed_from_the_oldest_page_and_not_before_its_time() {
        let memory = PageMemory::default();
        let start = Instant::now();
        let unread: Vec<Page> = (0..4).map(|_| page(&memory)).collect();
        let new = page(&memory);
        assert!(start.elapsed() >= PAGE_TIME_MIN, "a page was reclaimed before its time");
        let full = PAGES_BYTES_MAX / 4;
        let bytes: Vec<u64> = unread.iter().chain([&new]).map(bytes_in_file).collect();
        assert_eq!(bytes, [0, full, full, full, full]);
    }

    #[test]
    fn a_page_that_nobody_reads_any_more_costs_nothing() {
        let memory = PageMemory::default();
        let kept: Vec<Page> = (0..3).map(|_| page(&memory)).collect();
        let start = Instant::now();
        for _ in 0..4 {
            drop(page(&memory));
        }
        assert!(start.elapsed() < PAGE_TIME_MIN, "memory was waited for");
        assert!(kept.iter().all(|page| bytes_in_file(page) == PAGES_BYTES_MAX / 4));
    }
}
