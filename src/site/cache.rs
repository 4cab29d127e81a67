//! One worker's cache of files, and of paths where there is none.
//!
//! ```text
//!   lookup ──┬─> fresh entry ─────────> its result
//!            └─> stale entry or none ─> the loader ──> a new fresh entry
//! ```
//!
//! Invariants:
//! 1. A change on the disk is visible within a second: an entry is used for [`FRESH`], and the root
//!    is compared with its path every [`ROOT_FRESH`]. The absence of a file is an entry as well.
//! 2. The size of each entry and the sum of all entries are bounded.
//! 3. The cache belongs to one worker, so it has no lock.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::compressor::{Compressed, CompressionKey, Compressor};
use super::content_hash::Asking;
use super::directory_root::OpenDirectory;
use super::file_version::FileVersion;
use super::loaded_file::{Choice, Gzip, LoadedFile};
use super::loader::{Loader, Lookup};
use super::memory_budget::MemoryShare;
use super::open_file::File;
use super::path::SitePath;
use super::representation::Representation;
use crate::http::{AcceptEncoding, Moment, Now, Status};

const FRESH: Duration = Duration::from_millis(900);
const ROOT_FRESH: Duration = Duration::from_millis(100);

/// The cache in front of a [`Loader`].
#[derive(Debug)]
pub struct FileCache {
    loader: Arc<Loader>,
    compressor: Arc<Compressor>,
    entries: Cache<Box<[u8]>, Entry, EntryWeighter>,
    root_followed_at: Option<Moment>,
    /// The operations on files in this turn of a client: lookups on the disk, opens, and ranges of
    /// large files, each of which may be read.
    pub turn_operations: u32,
    /// The share of the memory budget for `entries`.
    _share: MemoryShare,
}

/// The representation of a file that a client prefers.
pub enum Preferred {
    Made(Arc<Representation>),
    /// Gzip, which is still to be made.
    Compress(CompressionKey),
}

#[derive(Debug)]
struct Entry {
    lookup: Lookup,
    fresh_until: Moment,
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

impl FileCache {
    /// An empty cache that holds at most `share`.
    pub fn new(loader: Arc<Loader>, compressor: Arc<Compressor>, share: MemoryShare) -> FileCache {
        const TYPICAL_ENTRY_BYTES: u64 = 4096;
        let entries_estimate = (share.bytes() / TYPICAL_ENTRY_BYTES) as usize;
        let entries = Cache::with_weighter(entries_estimate, share.bytes(), EntryWeighter);
        FileCache {
            loader,
            compressor,
            entries,
            root_followed_at: None,
            turn_operations: 0,
            _share: share,
        }
    }

    pub fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    /// What `path` leads to.
    pub fn look_up(&mut self, path: &SitePath<'_>, now: &Now) -> Lookup {
        let key = key_of(path);
        match self.entries.get(&*key) {
            Some(entry) if now.moment < entry.fresh_until => entry.lookup.clone(),
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
        let content = match file.choose(accept_encoding) {
            Choice::Ready(representation) => return Preferred::Made(representation),
            Choice::Gzip(content) => content,
        };
        let key = CompressionKey { path: key_of(path).into(), content };
        match self.compressor.find(&key) {
            None => Preferred::Compress(key),
            Some(Compressed::Smaller(gzip)) => {
                let made = Arc::downgrade(&gzip);
                self.remember(path, file, Gzip::Offered { content, made });
                Preferred::Made(gzip)
            }
            Some(Compressed::NotSmaller) => {
                self.remember(path, file, Gzip::NotOffered);
                Preferred::Made(file.identity.clone())
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
            self.entries.remove(&*key_of(path));
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
            self.entries.remove(&*key_of(path));
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
        if self.root_followed_at.is_none_or(|last| now.moment.since(last) >= ROOT_FRESH) {
            self.loader.follow_root();
            self.root_followed_at = Some(now.moment);
        }
        match self.loader.load(path, stale, now) {
            Ok(lookup) => {
                self.keep_gzip(&key, &lookup);
                let fresh_until = now.moment + FRESH;
                self.entries.insert(key, Entry { lookup: lookup.clone(), fresh_until });
                lookup
            }
            Err(status) => Lookup::NotFound(status),
        }
    }

    /// Looks up the gzip of a file that was found unchanged, so that the compressor counts it as
    /// used: the compressor does not see the requests that a worker answers from its own cache.
    fn keep_gzip(&self, key: &[u8], lookup: &Lookup) {
        if let Lookup::File(file) = lookup
            && let Gzip::Offered { content, made } = &file.gzip
            && made.strong_count() > 0
        {
            self.compressor.find(&CompressionKey { path: key.into(), content: *content });
        }
    }

    /// Records what is known about the gzip of `file`.
    fn remember(&mut self, path: &SitePath<'_>, file: &LoadedFile, gzip: Gzip) {
        let key = key_of(path);
        // Compressing does not look for sidecars again, so it does not prolong the entry.
        if let Some(fresh_until) = self.entries.peek(&*key).map(|entry| entry.fresh_until) {
            let lookup = Lookup::File(Arc::new(LoadedFile { gzip, ..file.clone() }));
            self.entries.insert(key.into(), Entry { lookup, fresh_until });
        }
    }
}

/// The key of `path`. `docs` (a directory, to be redirected) and `docs/` (its index page) differ.
fn key_of<'a>(path: &'a SitePath<'_>) -> Cow<'a, [u8]> {
    match path.is_directory {
        true => [&path.relative[..], b"/"].concat().into(),
        false => Cow::Borrowed(&path.relative),
    }
}
