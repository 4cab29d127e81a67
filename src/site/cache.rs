//! One worker's cache of files, of blocks of large files, and of paths where there is none.
//!
//! ```text
//!   lookup ──┬─> fresh entry, nothing changed ─> its result
//!            └─> otherwise ──> watch ──> the loader ──> a new fresh entry
//! ```
//!
//! Invariants:
//! 1. An entry that has a [`Watch`] is used until that reports a change, and at most for
//!    [`WATCHED_LIFETIME`]. Other entries are used for less than a second, so that a change is
//!    visible within one; the root is compared with its path every [`ROOT_FRESH`]. The absence of a
//!    file is an entry, too.
//! 2. The size of each entry and the sum of all entries are bounded.
//! 3. The cache belongs to one worker, so it has no lock.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::unsync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::compressor::{Compressed, CompressionKey, Compressor};
use super::content_hash::Asking;
use super::directory_root::OpenDirectory;
use super::file_blocks::{Changed, FileBlocks};
use super::file_version::FileVersion;
use super::loaded_file::{Choice, LoadedFile};
use super::loader::{Loaded, Loader, Lookup};
use super::memory_budget::MemoryShare;
use super::open_file::File;
use super::path::{IndexName, SitePath};
use super::ranges::SelectedContent;
use super::representation::{Representation, Source};
use super::watch::Watch;
use crate::http::{AcceptEncoding, Moment, Now, ResolvedRange, Status};
use crate::syscall_stats::{Event, SyscallStats};

/// For changes that have no event: a write through a mapping, or through a hard link that was made
/// since.
const WATCHED_LIFETIME: Duration = Duration::from_secs(10);
/// A file that has changed within this time is likely to change again, perhaps without an event. So
/// it is checked every second although it is watched.
const RECENTLY: Duration = Duration::from_secs(60);
const ROOT_FRESH: Duration = Duration::from_millis(100);

/// The cache in front of a [`Loader`].
#[derive(Debug)]
pub struct FileCache {
    loader: Arc<Loader>,
    compressor: Arc<Compressor>,
    entries: Cache<Box<[u8]>, Entry, EntryWeighter, DefaultHashBuilder, EvictionCounter>,
    /// None if nothing reads the counters: most requests are hits, and counting them has a cost.
    stats: Option<SyscallStats>,
    /// The blocks from which repeated short ranges of large files are sent.
    blocks: FileBlocks,
    /// The size of `entries` and `blocks` when it was last counted.
    counted_bytes: u64,
    root_fresh_until: Moment,
    /// The operations on files in this turn of a client: lookups on the disk, opens, and ranges of
    /// large files, each of which may be read.
    pub turn_operations: u32,
    /// The share of the memory budget for `entries` and `blocks`.
    _share: MemoryShare,
}

/// The representation of a file that a client prefers.
pub enum Preferred {
    Made(Arc<Representation>),
    /// A compressed file, which is still to be made.
    Compress(CompressionKey),
}

#[derive(Debug)]
struct Entry {
    lookup: Lookup,
    freshness: Freshness,
}

/// How long an entry may be used.
#[derive(Clone, Debug)]
struct Freshness {
    until: Moment,
    /// And only until this reports a change.
    watch: Option<Watch>,
}

#[derive(Clone, Debug)]
struct EntryWeighter;

impl Weighter<Box<[u8]>, Entry> for EntryWeighter {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        /// What the cache itself allocates for an entry, roughly.
        const OVERHEAD_BYTES: usize = 128;
        let content = match &entry.lookup {
            Lookup::File(file) => file.weight_bytes(),
            Lookup::Directory | Lookup::NotFound(_) => 0,
        };
        (key.len() + content + OVERHEAD_BYTES) as u64
    }
}

/// Counts the entries that are evicted, or are too large to be inserted. It uses `before_evict`,
/// because `on_evict` is also called for an entry that is replaced.
#[derive(Clone, Debug)]
struct EvictionCounter(SyscallStats);

impl Lifecycle<Box<[u8]>, Entry> for EvictionCounter {
    type RequestState = ();

    fn before_evict(&self, (): &mut (), _: &Box<[u8]>, _: &mut Entry) {
        self.0.count_event(Event::CacheEviction);
    }
}

impl FileCache {
    /// An empty cache that holds at most `share`.
    pub fn new(loader: Arc<Loader>, compressor: Arc<Compressor>, share: MemoryShare) -> FileCache {
        const TYPICAL_ENTRY_BYTES: u64 = 4096;
        let blocks_bytes_max = FileBlocks::share_of(share.bytes());
        let entries_bytes_max = share.bytes() - blocks_bytes_max;
        let entries_estimate = (entries_bytes_max / TYPICAL_ENTRY_BYTES) as usize;
        let stats = SyscallStats::clone(loader.stats());
        let entries = Cache::with(
            entries_estimate,
            entries_bytes_max,
            EntryWeighter,
            DefaultHashBuilder::default(),
            EvictionCounter(stats.clone()),
        );
        FileCache {
            loader,
            compressor,
            entries,
            stats: Some(stats).filter(SyscallStats::is_read),
            blocks: FileBlocks::new(blocks_bytes_max),
            counted_bytes: 0,
            root_fresh_until: Moment::default(),
            turn_operations: 0,
            _share: share,
        }
    }

    pub fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    /// What `path` leads to.
    pub fn look_up(&mut self, path: &SitePath<'_>, now: &Now) -> Lookup {
        if now.moment >= self.root_fresh_until {
            self.loader.follow_root();
            self.root_fresh_until = now.moment + ROOT_FRESH;
        }
        let key = key_of(path);
        match self.entries.get(&*key) {
            Some(entry) if entry.freshness.holds(now.moment) => {
                if let Some(stats) = &self.stats {
                    stats.count_event(Event::CacheHit);
                }
                entry.lookup.clone()
            }
            Some(entry) => {
                let stale = entry.lookup.clone();
                self.load(path, key.into(), Some(&stale), now)
            }
            None => self.load(path, key.into(), None, now),
        }
    }

    /// The representation of `file` that the client prefers.
    pub fn choose(
        &mut self,
        path: &SitePath<'_>,
        file: &LoadedFile,
        accept_encoding: &AcceptEncoding,
    ) -> Preferred {
        let (coding, content) = match file.choose(accept_encoding) {
            Choice::Ready(representation) => return Preferred::Made(representation),
            Choice::Compress(coding, content) => (coding, content),
        };
        let key = CompressionKey { path: key_of(path).into(), content, coding };
        let Some(result) = self.compressor.find(&key) else {
            return Preferred::Compress(key);
        };
        self.remember(path, file.after_compression(coding, &result));
        Preferred::Made(match result {
            Compressed::Smaller(representation) => representation,
            Compressed::NotSmaller => file.identity.clone(),
        })
    }

    /// The `selected` bytes of `representation`, or the file that they are in.
    ///
    /// # Errors
    /// See [`FileCache::open`].
    #[inline]
    pub fn content<'a>(
        &mut self,
        path: &SitePath<'_>,
        representation: &'a Representation,
        selected: &ResolvedRange,
    ) -> Result<SelectedContent<'a>, Status> {
        match &representation.source {
            Source::Memory { bytes, .. } => Ok(SelectedContent::Memory(bytes)),
            Source::Disk(version) => self.content_on_disk(path, representation, version, selected),
        }
    }

    // Not inlined, so that `content` is, which most often finds the bytes in memory.
    #[inline(never)]
    fn content_on_disk(
        &mut self,
        path: &SitePath<'_>,
        representation: &Representation,
        version: &FileVersion,
        selected: &ResolvedRange,
    ) -> Result<SelectedContent<'static>, Status> {
        let range = match selected {
            ResolvedRange::Single(range) if representation.is_settled() => Some(range),
            _ => None,
        };
        if let Some(bytes) = range.and_then(|range| self.blocks.find(version, range)) {
            return Ok(SelectedContent::Range(bytes));
        }
        let file = self.open(path, representation, version)?;
        self.turn_operations += match selected {
            ResolvedRange::Single(_) => 1,
            ResolvedRange::Multiple(ranges) => ranges.len() as u32,
            ResolvedRange::Full | ResolvedRange::Unsatisfiable => 0,
        };
        let Some(range) = range else { return Ok(SelectedContent::File(file)) };
        match self.blocks.request(version, range, &file, self.loader.stats()) {
            Ok(Some(bytes)) => {
                self.count_bytes();
                Ok(SelectedContent::Range(bytes))
            }
            Ok(None) => Ok(SelectedContent::File(file)),
            Err(Changed) => {
                self.remove(path);
                Err(Status::NotFound)
            }
        }
    }

    /// Opens the file that `representation` was read from.
    ///
    /// # Errors
    /// 404 if it no longer has `version`; then its entry is evicted, and the next lookup loads what
    /// is there now. Otherwise the status of the failure.
    pub fn open(
        &mut self,
        path: &SitePath<'_>,
        representation: &Representation,
        version: &FileVersion,
    ) -> Result<File, Status> {
        self.turn_operations += 1;
        self.loader.open(path, representation, version)?.ok_or_else(|| {
            self.remove(path);
            Status::NotFound
        })
    }

    /// Hashes the file that `representation` is to be read from. True if the hash is known now;
    /// then its entry is evicted, and the next lookup loads it with its ETag.
    pub fn hash(
        &mut self,
        path: &SitePath<'_>,
        representation: &Representation,
        version: &FileVersion,
        asking: Asking,
    ) -> bool {
        let is_known = self.loader.hash(path, representation, version, asking).is_some();
        if is_known {
            self.remove(path);
        }
        is_known
    }

    /// Opens the directory at `path`, to be listed.
    pub fn open_directory(&self, path: &SitePath<'_>) -> Result<OpenDirectory, Status> {
        self.loader.open_directory(path)
    }

    fn load(
        &mut self,
        path: &SitePath<'_>,
        key: Box<[u8]>,
        stale: Option<&Lookup>,
        now: &Now,
    ) -> Lookup {
        self.turn_operations += 1;
        if let Some(stats) = &self.stats {
            stats.count_event(Event::CacheMiss);
        }
        let watch = self.loader.watch(path);
        match self.loader.load(path, stale, watch.as_ref(), now) {
            Ok(Loaded { lookup, is_watchable }) => {
                self.keep_compressed(&key, &lookup);
                let freshness = self.freshness(&lookup, watch.filter(|_| is_watchable), now);
                self.entries.insert(key, Entry { lookup: lookup.clone(), freshness });
                self.count_bytes();
                lookup
            }
            Err(status) => Lookup::NotFound(status),
        }
    }

    /// How long `lookup`, which was loaded at `now`, may be used.
    fn freshness(&self, lookup: &Lookup, watch: Option<Watch>, now: &Now) -> Freshness {
        let version = match lookup {
            Lookup::File(file) => file.version,
            Lookup::Directory | Lookup::NotFound(_) => None,
        };
        let is_recent = version.is_some_and(|version| version.is_recent(RECENTLY, now.wall));
        let lifetime = match watch {
            Some(_) if !is_recent => WATCHED_LIFETIME,
            Some(_) | None => self.loader.unwatched_lifetime(),
        };
        Freshness { until: now.moment + lifetime, watch }
    }

    /// Looks up what was made of a file that was found unchanged, so that the compressor counts it
    /// as used: the compressor does not see the requests that a worker answers from its own cache.
    fn keep_compressed(&self, key: &[u8], lookup: &Lookup) {
        let Lookup::File(file) = lookup else { return };
        for offer in file.offers.iter().filter(|offer| offer.made.strong_count() > 0) {
            let (content, coding) = (offer.content, offer.coding);
            self.compressor.find(&CompressionKey { path: key.into(), content, coding });
        }
    }

    /// Replaces the entry of `path`.
    fn remember(&mut self, path: &SitePath<'_>, file: LoadedFile) {
        let key = key_of(path);
        // Compressing does not look for sidecars again, so it does not prolong the entry.
        if let Some(freshness) = self.entries.peek(&*key).map(|entry| entry.freshness.clone()) {
            let lookup = Lookup::File(Arc::new(file));
            self.entries.insert(key.into(), Entry { lookup, freshness });
            self.count_bytes();
        }
    }

    fn remove(&mut self, path: &SitePath<'_>) {
        self.entries.remove(&*key_of(path));
        self.count_bytes();
    }

    fn count_bytes(&mut self) {
        self.count_bytes_as(self.entries.weight() + self.blocks.weight_bytes());
    }

    fn count_bytes_as(&mut self, bytes: u64) {
        if let Some(stats) = &self.stats {
            stats.add_cache_bytes(bytes as i64 - self.counted_bytes as i64);
        }
        self.counted_bytes = bytes;
    }
}

impl Drop for FileCache {
    fn drop(&mut self) {
        self.count_bytes_as(0);
    }
}

impl Freshness {
    #[inline]
    fn holds(&self, now: Moment) -> bool {
        now < self.until && self.watch.as_ref().is_none_or(Watch::is_current)
    }
}

/// The key of `path`. `docs` (a directory, to be redirected), `docs/` (its index page) and
/// `docs//home.html` (its index page of another name) differ.
fn key_of<'a>(path: &'a SitePath<'_>) -> Cow<'a, [u8]> {
    match path.is_directory {
        true if path.index == IndexName::default() => [&path.relative[..], b"/"].concat().into(),
        true => [&path.relative[..], b"//", path.index.as_bytes()].concat().into(),
        false => Cow::Borrowed(&path.relative),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::site::memory_budget::MemoryBudget;
    use crate::site::policy::Policy;
    use crate::site::representation::Source;
    use crate::site::root::Root;

    /// A cache whose clock stands still.
    struct Fixture {
        directory: tempfile::TempDir,
        cache: FileCache,
        now: Now,
    }

    impl Fixture {
        /// The time is long after the tests have written their files.
        fn new() -> Fixture {
            Fixture::at(SystemTime::now() + 2 * RECENTLY)
        }

        fn at(wall: SystemTime) -> Fixture {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let root = Arc::new(Root::open(directory.path()).expect("it exists"));
            let policy = Arc::new(Policy::default());
            let loader = Arc::new(Loader::new(root, policy.clone(), Arc::default()));
            let share = MemoryBudget::new(1 << 20).take_up_to(1 << 20);
            let cache = FileCache::new(loader, policy.compressor.clone(), share);
            Fixture { directory, cache, now: Now::new(Moment::default(), wall) }
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.path(name), content).expect("the directory is writable");
        }

        fn advance(&mut self, time: Duration) {
            self.now = Now::new(self.now.moment + time, self.now.wall + time);
        }

        /// What a client gets that accepts Brotli. None if nothing is found.
        fn look_up(&mut self, name: &str) -> Option<String> {
            let path = SitePath::to_file(name.as_bytes());
            let Lookup::File(file) = self.cache.look_up(&path, &self.now) else { return None };
            match &file.in_coding(Some(crate::http::Coding::Brotli)).source {
                Source::Memory { bytes, .. } => String::from_utf8(bytes.to_vec()).ok(),
                Source::Disk(_) => None,
            }
        }

        fn wait_for(&mut self, name: &str, content: Option<&str>) {
            let start = Instant::now();
            while self.look_up(name).as_deref() != content {
                assert!(start.elapsed() < Duration::from_secs(20), "{name}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn link(target: &Path, link: &Path) {
        std::os::unix::fs::symlink(target, link).expect("the directory is writable");
    }

    #[test]
    fn a_change_is_noticed_before_its_entry_expires() {
        let mut fixture = Fixture::new();
        fixture.write("page.html", "one");
        assert_eq!(fixture.look_up("page.html").as_deref(), Some("one"));
        fixture.write("page.html", "two");
        fixture.wait_for("page.html", Some("two"));
        fixture.write("page.html.br", "sidecar");
        fixture.wait_for("page.html", Some("sidecar"));
        fs::remove_file(fixture.path("page.html.br")).expect("it exists");
        fixture.wait_for("page.html", Some("two"));
        fs::remove_file(fixture.path("page.html")).expect("it exists");
        fixture.wait_for("page.html", None);
        fixture.write("page.html", "three");
        fixture.wait_for("page.html", Some("three"));
    }

    #[test]
    fn what_may_change_without_an_event_is_compared_every_second() {
        let mut fixture = Fixture::new();
        // A sidecar must not be older than the page.
        fixture.write("page.html", "without a sidecar");
        // The targets are beneath the root, in a directory that no path leads to directly.
        for name in ["linked", "other-name", "sidecar-target"] {
            fs::create_dir_all(fixture.path("targets")).expect("it is writable");
            fixture.write(&format!("targets/{name}"), "one");
        }
        link(Path::new("targets/linked"), &fixture.path("linked.html"));
        fs::hard_link(fixture.path("targets/other-name"), fixture.path("hard.html"))
            .expect("it is writable");
        link(Path::new("targets/sidecar-target"), &fixture.path("page.html.br"));
        link(Path::new("targets/missing"), &fixture.path("dangling.html"));
        let names = ["linked.html", "hard.html", "page.html", "dangling.html"];
        let before = names.map(|name| fixture.look_up(name));
        assert_eq!(
            before,
            [Some("one"), Some("one"), Some("one"), None].map(|c| c.map(str::to_owned))
        );
        for name in ["linked", "other-name", "sidecar-target", "missing"] {
            fixture.write(&format!("targets/{name}"), "two");
        }
        fixture.advance(Duration::from_secs(1));
        for name in names {
            assert_eq!(fixture.look_up(name).as_deref(), Some("two"), "{name}");
        }
    }

    #[test]
    fn a_change_without_an_event_is_noticed_within_ten_seconds() {
        let elsewhere = tempfile::tempdir().expect("a temporary directory");
        let other_name = elsewhere.path().join("other-name");
        for (is_recent, expected) in [(false, "one"), (true, "two")] {
            let wall = SystemTime::now();
            let mut fixture = if is_recent { Fixture::at(wall) } else { Fixture::new() };
            fixture.write("page.html", "one");
            assert_eq!(fixture.look_up("page.html").as_deref(), Some("one"));
            // A hard link that is made afterwards stands for what has no event.
            let _ = fs::remove_file(&other_name);
            fs::hard_link(fixture.path("page.html"), &other_name).expect("one file system");
            fs::write(&other_name, "two").expect("it is writable");
            fixture.advance(Duration::from_secs(1));
            assert_eq!(fixture.look_up("page.html").as_deref(), Some(expected));
            fixture.advance(Duration::from_secs(9));
            assert_eq!(fixture.look_up("page.html").as_deref(), Some("two"));
        }
    }
}
