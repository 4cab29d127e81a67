//! The memory of the large pages of a server, in all its processes: pages in progress, pages that
//! are reused and pages that are being sent.
//!
//! A page is alive until its last reader is done, and a reader may be slow. So when a new page
//! needs the memory, the oldest page is reclaimed: its file is truncated, and a client that has not
//! read it to the end gets a truncated body and a closed connection. Clients that do not read their
//! listings neither make the server exceed the bound nor delay other listings for long.
//!
//! The memory is divided into [`UNITS`]. Before a process builds a page, it locks one byte of the
//! [`SharedFile`] for each unit that the page may need. It holds the locks of the units that the
//! page does need while the page is alive. A process that lacks units stores the time at which the
//! oldest page was made in that file: the *horizon*. Every process then reclaims its pages that are
//! not younger. While a forked child has a page, a *keeper* thread does so, because the other
//! threads of the child may be waiting for a client or for memory.
//!
//! Invariants:
//! 1. Pages and reservations together have at most [`UNITS`].
//! 2. A page is not reclaimed within [`PAGE_TIME_MIN`] after it was made.
//! 3. A process gets all units for a page or none, and one process at a time waits for units. So
//!    two reservations cannot block each other, and small pages do not overtake a large one.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nix::errno::Errno;
use rustix::fs::ftruncate;
use rustix::time::{ClockId, clock_gettime};

use super::page::Page;
use crate::site::open_file::OpenFile;
use crate::site::shared_file::SharedFile;
use crate::sync::lock;

/// The memory of all pages: four pages of the largest size.
const UNITS: u64 = 128;
const UNIT_BYTES: u64 = 1024 * 1024;
/// Longer than a page is reused, so that a reused page can still be sent before it is reclaimed.
const PAGE_TIME_MIN: Duration = Duration::from_secs(2);
/// How often a process looks for memory that was released, or that it is asked to release.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The lock of the process that waits for units, behind those of the units.
const TURN: u64 = UNITS;
/// The end of the locks that this module uses.
pub(super) const LOCKS_END: u64 = TURN + 1;

/// The index of the horizon. The numbers before it are those of the units: for each unit, the time
/// at which its page was made.
const HORIZON: u64 = UNITS;
/// The numbers that this module stores.
pub(super) const NUMBERS: usize = HORIZON as usize + 1;
/// The time of a page that is not made yet.
const NOT_YET: u64 = u64::MAX;

/// The memory for pages, as one process sees it.
#[derive(Debug)]
pub(super) struct PageMemory {
    file: Arc<SharedFile>,
    account: Mutex<Account>,
    /// Held by the thread of this process that waits for units.
    turn: Mutex<()>,
    /// The process that has created the file.
    parent: u32,
}

/// The pages of this process.
#[derive(Debug, Default)]
struct Account {
    pages: Vec<LivePage>,
    /// The units of its pages and reservations.
    units: Units,
    has_keeper: bool,
}

#[derive(Debug)]
struct LivePage {
    file: Weak<OpenFile>,
    units: Units,
    made_at_ns: u64,
}

/// A set of units, one per bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Units(u128);

/// Memory for a page in progress.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    memory: &'a PageMemory,
    units: Units,
}

impl PageMemory {
    pub(super) fn new(file: Arc<SharedFile>) -> PageMemory {
        let (account, turn) = (Mutex::default(), Mutex::default());
        PageMemory { file, account, turn, parent: std::process::id() }
    }

    /// Reserves memory for a page of at most `bytes`; waits until there is enough: for the
    /// reservations that were requested before, for the builds that hold memory, and until the
    /// oldest page has the age of [`PAGE_TIME_MIN`].
    ///
    /// # Errors
    /// ENOLCK or EAGAIN: the kernel has no memory for a lock, or can start no thread.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation<'_>, Errno> {
        let count = bytes.div_ceil(UNIT_BYTES) as u32;
        let _turn_of_thread = lock(&self.turn);
        let _turn_of_process = self.file.lock(TURN)?;
        loop {
            let mut account = lock(&self.account);
            account.release_ended(&self.file);
            let free = account.lock_free_units(&self.file, count)?;
            if free.count() == count {
                account.take(&self.file, free);
                let reservation = Reservation { memory: self, units: free };
                let started = self.start_keeper(&mut account);
                // The reservation locks the account if it is dropped.
                drop(account);
                return started.map(|()| reservation);
            }
            account.ask_for_units(&self.file, free, count);
            free.unlock(&self.file);
            drop(account);
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts the keeper, unless it runs. The process that created the file needs none: it makes
    /// pages only if the server does not fork, and then [`PageMemory::reserve`] reclaims them.
    fn start_keeper(self: &Arc<Self>, account: &mut Account) -> Result<(), Errno> {
        if !account.has_keeper && std::process::id() != self.parent {
            let memory = self.clone();
            let started = std::thread::Builder::new().spawn(move || memory.keep());
            started.map_err(|_| Errno::EAGAIN)?;
            account.has_keeper = true;
        }
        Ok(())
    }

    fn keep(&self) {
        loop {
            std::thread::sleep(POLL_INTERVAL);
            let mut account = lock(&self.account);
            account.release_ended(&self.file);
            if account.units == Units::default() {
                account.has_keeper = false;
                return;
            }
        }
    }
}

impl Reservation<'_> {
    /// Keeps the units that `page` needs until it is no longer alive, and releases the others.
    pub(super) fn keep(mut self, page: &Page) {
        if let Page::File { file, bytes } = page {
            let units = self.units.split_off(bytes.div_ceil(UNIT_BYTES));
            let made_at_ns = monotonic_ns();
            units.iter().for_each(|unit| self.memory.file.store(unit, made_at_ns));
            let page = LivePage { file: Arc::downgrade(file), units, made_at_ns };
            lock(&self.memory.account).pages.push(page);
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        lock(&self.memory.account).release(&self.memory.file, self.units);
    }
}

impl Account {
    /// Reclaims the pages that were made until the horizon, and releases the units of pages that
    /// are not alive.
    fn release_ended(&mut self, file: &SharedFile) {
        let horizon_ns = file.load(HORIZON);
        let has_ended =
            |page: &mut LivePage| page.file.strong_count() == 0 || page.made_at_ns <= horizon_ns;
        let ended: Vec<LivePage> = self.pages.extract_if(.., has_ended).collect();
        for page in ended {
            page.truncate();
            self.release(file, page.units);
        }
    }

    /// Locks `count` units that no process uses, or fewer if there are fewer.
    fn lock_free_units(&self, file: &SharedFile, count: u32) -> Result<Units, Errno> {
        let mut locked = Units::default();
        for unit in self.units.complement().iter() {
            if locked.count() == count {
                break;
            }
            match file.try_lock(unit) {
                Ok(Some(lock)) => {
                    lock.keep();
                    locked.insert(unit);
                }
                Ok(None) => {}
                Err(errno) => {
                    locked.unlock(file);
                    return Err(errno);
                }
            }
        }
        Ok(locked)
    }

    /// Adds units that this process has locked.
    fn take(&mut self, file: &SharedFile, units: Units) {
        units.iter().for_each(|unit| file.store(unit, NOT_YET));
        self.units.0 |= units.0;
    }

    fn release(&mut self, file: &SharedFile, units: Units) {
        self.units.0 &= !units.0;
        units.unlock(file);
    }

    /// Moves the horizon so that the pages up to it, in any process, have the units that are
    /// missing: `count` less those that are `free`. If too few pages are old enough, it covers all
    /// that are.
    fn ask_for_units(&self, file: &SharedFile, free: Units, count: u32) {
        let now_ns = monotonic_ns();
        let is_old = |made_at_ns: &u64| {
            now_ns.saturating_sub(*made_at_ns) >= PAGE_TIME_MIN.as_nanos() as u64
        };
        let used = free.complement();
        let mut old: Vec<u64> = used.iter().map(|unit| file.load(unit)).filter(is_old).collect();
        old.sort_unstable();
        let missing = (count - free.count()) as usize;
        if let Some(horizon_ns) = old.get(missing - 1).or(old.last()) {
            file.store(HORIZON, *horizon_ns);
        }
    }
}

impl LivePage {
    fn truncate(&self) {
        if let Some(file) = self.file.upgrade() {
            // It cannot fail: the file is open for writing and has no seals.
            let _ = ftruncate(&file, 0);
        }
    }
}

impl Units {
    fn iter(self) -> impl Iterator<Item = u64> {
        (0..UNITS).filter(move |unit| self.0 & (1 << unit) != 0)
    }

    fn count(self) -> u32 {
        self.0.count_ones()
    }

    fn complement(self) -> Units {
        Units(!self.0)
    }

    fn insert(&mut self, unit: u64) {
        self.0 |= 1 << unit;
    }

    /// Removes and returns `count` units.
    fn split_off(&mut self, count: u64) -> Units {
        let mut removed = Units::default();
        self.iter().take(count as usize).for_each(|unit| removed.insert(unit));
        self.0 &= !removed.0;
        removed
    }

    fn unlock(self, file: &SharedFile) {
        self.iter().for_each(|unit| file.unlock(unit));
    }
}

/// The time of a clock that all processes share.
fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Instant;

    use super::*;
    use crate::site::listing::page::PageWriter;

    const QUARTER_BYTES: u64 = UNITS * UNIT_BYTES / 4;

    fn memory() -> Arc<PageMemory> {
        let file = SharedFile::new(NUMBERS).expect("a descriptor is free");
        Arc::new(PageMemory::new(Arc::new(file)))
    }

    /// A page of a quarter of all memory.
    fn page(memory: &Arc<PageMemory>) -> Page {
        let reservation = memory.reserve(QUARTER_BYTES).expect("locks are free");
        let mut writer = PageWriter::large().expect("a descriptor is free");
        let piece = vec![b'x'; UNIT_BYTES as usize];
        for _ in 0..QUARTER_BYTES / UNIT_BYTES {
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
        let memory = memory();
        let start = Instant::now();
        let unread: Vec<Page> = (0..4).map(|_| page(&memory)).collect();
        let new = page(&memory);
        assert!(start.elapsed() >= PAGE_TIME_MIN, "a page was reclaimed before its time");
        let full = QUARTER_BYTES;
        let bytes: Vec<u64> = unread.iter().chain([&new]).map(bytes_in_file).collect();
        assert_eq!(bytes, [0, full, full, full, full]);
    }

    #[test]
    fn a_page_without_readers_and_an_unused_reservation_hold_no_memory() {
        let memory = memory();
        let kept: Vec<Page> = (0..3).map(|_| page(&memory)).collect();
        let start = Instant::now();
        for _ in 0..4 {
            drop(page(&memory));
            drop(memory.reserve(QUARTER_BYTES).expect("locks are free"));
        }
        assert!(start.elapsed() < PAGE_TIME_MIN, "memory was waited for");
        assert!(kept.iter().all(|page| bytes_in_file(page) == QUARTER_BYTES));
    }

    #[test]
    fn a_reservation_keeps_only_the_units_of_its_page() {
        let memory = memory();
        let reservation = memory.reserve(QUARTER_BYTES).expect("locks are free");
        let mut writer = PageWriter::large().expect("a descriptor is free");
        writer.write_all(&[b'x'; 10]).expect("memory is free");
        let page = writer.finish().expect("memory is free");
        reservation.keep(&page);
        assert_eq!(lock(&memory.account).units.count(), 1);
        drop(page);
        lock(&memory.account).release_ended(&memory.file);
        assert_eq!(lock(&memory.account).units, Units::default());
    }
}
