//! What a worker remembers of the disk.
//!
//! ```text
//!   look up ──> fresh ─────────────────────────────────────────────> use it
//!           ├─> no longer fresh ──────> open, fstat ──> unchanged ──> use it for as long again
//!           └─> unknown                       └───────> changed ────> load it
//! ```
//!
//! Laws:
//! 1. A change on the disk is visible within a second. Nothing is answered from memory beyond that without
//!    asking the disk, and what isn't there is remembered no longer than what is.
//! 2. A file that may still have been changing when it was read is read again, whatever its facts say.
//! 3. Every entry is bounded (content up to [`CONTENT_BYTES_MAX`]), and so is their sum.
//! 4. It belongs to one worker: no lock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::compress;
use super::path::SitePath;
use super::policy::{Compress, Policy};
use super::representation::{Making, Representation, Source};
use super::root::{self, Found, OpenFolder, Root, Stamp, file_of};
use crate::http::{AcceptEncoding, Coding, HeaderBlock, Moment, Now, Status};
use crate::ledger::{Ledger, OpenFile};

/// How long an answer from memory is trusted.
const FRESH: Duration = Duration::from_millis(900);
/// How long the root is taken for the folder that has its path. With [`FRESH`] it makes the second of law 1.
const ROOT_FRESH: Duration = Duration::from_millis(100);
/// Larger files are left to the kernel's own cache and to sendfile.
pub const CONTENT_BYTES_MAX: u64 = 64 * 1024;

/// The memory of one worker.
#[derive(Debug)]
pub struct FileCache {
    root: Arc<Root>,
    policy: Arc<Policy>,
    ledger: Arc<Ledger>,
    entries: Cache<Box<[u8]>, Entry, Weight>,
    /// When the root was last looked at.
    followed: Option<Moment>,
}

/// What a path leads to, as far as it is known.
#[derive(Clone, Debug)]
pub enum Known {
    /// A file.
    File(Arc<File>),
    /// A folder that was asked for without its slash.
    Folder,
    /// Nothing, and the status that says so.
    Nothing(Status),
}

/// A file, in the codings there are.
#[derive(Clone, Debug)]
pub struct File {
    plain: Arc<Representation>,
    /// Those that lie beside it.
    beside: Vec<Beside>,
    gzip: Gzip,
    stamp: Option<Stamp>,
    is_settled: bool,
}

/// The same content in another coding, from a file of its own.
#[derive(Clone, Debug)]
struct Beside {
    stamp: Stamp,
    representation: Arc<Representation>,
}

/// A file that may become a [`Beside`].
struct Sidecar {
    coding: Coding,
    opened: Arc<OpenFile>,
    stamp: Stamp,
}

/// The coding that is made here.
#[derive(Clone, Debug)]
enum Gzip {
    /// It is not offered: the file is of no such kind, too small or too large, or lies beside it already.
    No,
    NotYet,
    Made(Arc<Representation>),
}

#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    fresh_until: Moment,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Entry> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        const BOOKKEEPING: usize = 128;
        let held = match &entry.known {
            Known::File(file) => {
                let beside: usize =
                    file.beside.iter().map(|beside| beside.representation.weight()).sum();
                let gzip = if let Gzip::Made(gzip) = &file.gzip { gzip.weight() } else { 0 };
                file.plain.weight() + beside + gzip
            }
            Known::Folder | Known::Nothing(_) => 0,
        };
        (key.len() + held + BOOKKEEPING) as u64
    }
}

impl FileCache {
    /// An empty memory of at most `bytes_max`.
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        ledger: Arc<Ledger>,
        bytes_max: u64,
    ) -> FileCache {
        const TYPICAL_BYTES: u64 = 4096;
        let entries = Cache::with_weighter((bytes_max / TYPICAL_BYTES) as usize, bytes_max, Weight);
        FileCache { root, policy, ledger, entries, followed: None }
    }

    /// What `path` leads to.
    pub fn look_up(&mut self, path: &SitePath<'_>, now: &Now) -> Known {
        let mut slashed = Vec::new();
        let key = key_of(path, &mut slashed);
        match self.entries.get(key) {
            Some(entry) if now.moment < entry.fresh_until => entry.known.clone(),
            Some(entry) => {
                let stale = entry.known.clone();
                self.ask_disk(path, key.into(), Some(stale), now)
            }
            None => self.ask_disk(path, key.into(), None, now),
        }
    }

    /// The representation of `file` that the client likes best. What it is made from may be read for that, once.
    pub fn choose(
        &mut self,
        path: &SitePath<'_>,
        file: &Arc<File>,
        accept_encoding: &AcceptEncoding,
        now: &Now,
    ) -> Arc<Representation> {
        let beside = file.beside.iter().filter_map(|beside| beside.representation.coding);
        let made = (!matches!(file.gzip, Gzip::No)).then_some(Coding::Gzip);
        match (accept_encoding.choose(beside.chain(made)), &file.gzip) {
            (None, _) => file.plain.clone(),
            (Some(Coding::Gzip), Gzip::Made(gzip)) => gzip.clone(),
            (Some(Coding::Gzip), Gzip::NotYet) => self.make_gzip(path, file, now),
            (Some(chosen), _) => {
                let found =
                    file.beside.iter().find(|beside| beside.representation.coding == Some(chosen));
                found.map_or(&file.plain, |beside| &beside.representation).clone()
            }
        }
    }

    /// Opens the file that holds `representation`, if it is still the one it was made from; otherwise forgets the path, so
    /// that the next look finds what is there now.
    pub fn open(
        &mut self,
        path: &SitePath<'_>,
        representation: &Representation,
        stamp: &Stamp,
    ) -> Result<Arc<OpenFile>, Status> {
        match self.root.find(path, representation.coding, &self.ledger) {
            Found::File { file, stamp: now } if now == *stamp => Ok(file),
            Found::Nothing(status) if status.code() >= 500 => Err(status),
            _ => {
                self.entries.remove(key_of(path, &mut Vec::new()));
                Err(Status::NotFound)
            }
        }
    }

    /// Opens the folder at `path` itself.
    pub fn open_folder(&self, path: &SitePath<'_>) -> Result<OpenFolder, Status> {
        self.root.open_folder(path, &self.ledger)
    }

    fn ask_disk(
        &mut self,
        path: &SitePath<'_>,
        key: Box<[u8]>,
        stale: Option<Known>,
        now: &Now,
    ) -> Known {
        if self.followed.is_none_or(|followed| now.moment.since(followed) >= ROOT_FRESH) {
            self.root.follow(&self.ledger);
            self.followed = Some(now.moment);
        }
        // What was a file a second ago may be opened again; of anything else it has to be seen first what it is.
        if !matches!(stale, Some(Known::File(_))) && self.root.is_untouchable(path, &self.ledger) {
            return Known::Nothing(Status::NotFound);
        }
        let known = match self.root.find(path, None, &self.ledger) {
            Found::Folder => Known::Folder,
            // What failed for want of something (descriptors, memory, a disk) may succeed the next moment.
            Found::Nothing(status) if status.code() >= 500 => return Known::Nothing(status),
            Found::Nothing(status) => Known::Nothing(status),
            Found::Embedded { content, modified } => {
                // It is part of the program: what was made from it stays right.
                if let Some(file @ Known::File(_)) = stale {
                    self.entries.insert(
                        key,
                        Entry { known: file.clone(), fresh_until: now.moment + FRESH },
                    );
                    return file;
                }
                let maker = Maker { cache: self, path, now, is_settled: true, modified };
                Known::File(Arc::new(maker.file(
                    Source::Memory(Bytes::from_static(content)),
                    content.len() as u64,
                    None,
                    Vec::new(),
                )))
            }
            Found::File { file: opened, stamp } => {
                let sidecars = self.find_beside(path, &stamp);
                match stale {
                    Some(Known::File(file)) if file.is_still(&stamp, &sidecars) => {
                        Known::File(file)
                    }
                    _ => match self.load(path, &opened, stamp, sidecars, now) {
                        Ok(file) => Known::File(Arc::new(file)),
                        Err(_) => return Known::Nothing(Status::InternalServerError),
                    },
                }
            }
        };
        self.entries.insert(key, Entry { known: known.clone(), fresh_until: now.moment + FRESH });
        known
    }

    /// The files beside `path` that hold the same in another coding. One that is older than what it was made from
    /// holds something else.
    fn find_beside(&self, path: &SitePath<'_>, original: &Stamp) -> Vec<Sidecar> {
        if self.policy.compress == Compress::Off
            || !compress::is_worth_it(&self.policy.media_type(self.root.name_of(path)))
        {
            return Vec::new();
        }
        let there = Coding::ALL
            .into_iter()
            .filter(|coding| self.root.may_have_beside(path, *coding, &self.ledger));
        let beside =
            there.filter_map(|coding| match self.root.find(path, Some(coding), &self.ledger) {
                Found::File { file, stamp } if stamp.modified() >= original.modified() => {
                    Some(Sidecar { coding, opened: file, stamp })
                }
                _ => None,
            });
        beside.collect()
    }

    fn load(
        &self,
        path: &SitePath<'_>,
        opened: &OpenFile,
        stamp: Stamp,
        sidecars: Vec<Sidecar>,
        now: &Now,
    ) -> rustix::io::Result<File> {
        let (source, stamp, is_steady) = self.read(opened, stamp)?;
        let modified = stamp.modified();
        let maker = Maker {
            cache: self,
            path,
            now,
            is_settled: is_steady && stamp.is_settled(now.wall),
            modified,
        };
        let size = source.size();
        let mut beside = Vec::new();
        for Sidecar { coding, opened, stamp } in sidecars {
            // The page is there without it.
            let Ok((source, stamp, is_steady)) = self.read(&opened, stamp) else {
                continue;
            };
            let is_settled = is_steady && stamp.is_settled(now.wall);
            let maker = Maker { is_settled, modified: stamp.modified(), ..maker };
            let (size, origin) = (source.size(), stamp.size);
            let mark = Some((coding, coding.extension()));
            let representation = Arc::new(maker.representation(mark, true, origin, size, source));
            beside.push(Beside { stamp, representation });
        }
        Ok(maker.file(source, size, Some(stamp), beside))
    }

    /// Where the bytes of an open file are to come from: memory if they are few. Also says which state of the file that
    /// is, and whether it was the same before and after it was read.
    fn read(&self, file: &OpenFile, mut stamp: Stamp) -> rustix::io::Result<(Source, Stamp, bool)> {
        // A file that changes while it is read is read again; if it goes on changing, what was read is near one of its
        // states, and is trusted for a second only.
        const TRIES: u32 = 3;
        let mut last = Bytes::new();
        for _ in 0..TRIES {
            if stamp.size > CONTENT_BYTES_MAX {
                return Ok((Source::Disk(stamp), stamp, true));
            }
            last = root::read_whole(file, stamp.size, &self.ledger)?.into();
            let after = root::stamp(file, &self.ledger)?;
            if after == stamp && last.len() as u64 == stamp.size {
                return Ok((Source::Memory(last), stamp, true));
            }
            stamp = after;
        }
        Ok((Source::Memory(last), stamp, false))
    }

    /// Compresses `file` and remembers the result; its plain form where that is not worth it.
    fn make_gzip(
        &mut self,
        path: &SitePath<'_>,
        file: &Arc<File>,
        now: &Now,
    ) -> Arc<Representation> {
        let bytes = match &file.plain.source {
            Source::Memory(bytes) => Some(bytes.clone()),
            Source::Disk(stamp) => {
                let opened = self.open(path, &file.plain, stamp);
                let read = opened
                    .ok()
                    .and_then(|opened| root::read_whole(&opened, stamp.size, &self.ledger).ok());
                // What changes while it is read is sent as it is, and compressed another time.
                let is_steady = || matches!(self.root.find(path, None, &self.ledger), Found::File { stamp: after, .. } if after == *stamp);
                read.map(Bytes::from)
                    .filter(|bytes| bytes.len() as u64 == stamp.size && is_steady())
            }
        };
        let Some(bytes) = bytes else {
            return file.plain.clone();
        };
        let made = compress::gzip(&bytes).map(|compressed| {
            let modified = file.stamp.map_or(
                file.plain.validators().modified.unwrap_or(SystemTime::UNIX_EPOCH),
                |stamp| stamp.modified(),
            );
            let maker = Maker { cache: self, path, now, is_settled: file.is_settled, modified };
            let size = compressed.len() as u64;
            Arc::new(maker.representation(
                Some((Coding::Gzip, "-gzip")),
                true,
                file.plain.size,
                size,
                Source::Memory(compressed.into()),
            ))
        });
        let gzip = made.clone().map_or(Gzip::No, Gzip::Made);
        let file_with = Arc::new(File { gzip, ..File::clone(file) });
        // The disk was asked when the plain form was made: the entry stays fresh no longer for this.
        let key = key_of(path, &mut Vec::new()).to_vec().into_boxed_slice();
        if let Some(Entry { fresh_until, .. }) = self.entries.peek(&key).cloned() {
            self.entries.insert(key, Entry { known: Known::File(file_with), fresh_until });
        }
        made.unwrap_or_else(|| file.plain.clone())
    }
}

impl File {
    /// Whether it is what the disk holds, beyond doubt.
    fn is_still(&self, stamp: &Stamp, sidecars: &[Sidecar]) -> bool {
        let same = |(beside, sidecar): (&Beside, &Sidecar)| {
            let representation = &beside.representation;
            // A weak tag says that it may still have been changing.
            representation.etag().is_strong()
                && representation.coding == Some(sidecar.coding)
                && beside.stamp == sidecar.stamp
        };
        self.is_settled
            && self.stamp == Some(*stamp)
            && self.beside.len() == sidecars.len()
            && self.beside.iter().zip(sidecars).all(same)
    }

    /// Whether there is a choice of codings.
    pub fn has_choice(&self) -> bool {
        !self.beside.is_empty() || !matches!(self.gzip, Gzip::No)
    }

    /// The file as it is.
    pub fn plain(&self) -> &Arc<Representation> {
        &self.plain
    }
}

/// What all representations of one file have in common.
#[derive(Clone, Copy)]
struct Maker<'a> {
    cache: &'a FileCache,
    path: &'a SitePath<'a>,
    now: &'a Now,
    is_settled: bool,
    modified: SystemTime,
}

impl Maker<'_> {
    fn file(&self, source: Source, size: u64, stamp: Option<Stamp>, beside: Vec<Beside>) -> File {
        let media_type = self.cache.policy.media_type(self.cache.root.name_of(self.path));
        let has_gzip =
            beside.iter().any(|beside| beside.representation.coding == Some(Coding::Gzip));
        let is_made = self.cache.policy.compress == Compress::On
            && !has_gzip
            && compress::is_offered(&media_type, size);
        let varies = is_made || !beside.is_empty();
        let plain = Arc::new(self.representation(None, varies, size, size, source));
        File {
            plain,
            beside,
            gzip: if is_made { Gzip::NotYet } else { Gzip::No },
            stamp,
            is_settled: self.is_settled,
        }
    }

    fn representation(
        &self,
        coding: Option<(Coding, &str)>,
        varies: bool,
        origin_size: u64,
        size: u64,
        source: Source,
    ) -> Representation {
        let relative = file_of(self.path);
        let mut policy_lines = HeaderBlock::default();
        self.cache.policy.push_headers(&mut policy_lines, &relative);
        let making = Making {
            media_type: &self.cache.policy.media_type(self.cache.root.name_of(self.path)),
            coding,
            varies,
            modified: self.modified,
            origin_size,
            is_settled: self.is_settled,
            policy_lines: &policy_lines.freeze(),
        };
        Representation::new(&making, size, source, self.now)
    }
}

/// A folder's page and the folder itself are two things with one path: the slash tells them apart.
fn key_of<'a>(path: &'a SitePath<'_>, slashed: &'a mut Vec<u8>) -> &'a [u8] {
    if !path.is_folder {
        return &path.relative;
    }
    slashed.extend_from_slice(&path.relative);
    slashed.push(b'/');
    slashed
}
