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
use super::open_file::OpenFile;
use super::path::SitePath;
use super::policy::{Compress, Policy};
use super::representation::{Representation, RepresentationParts, Source};
use super::root::{self, FileVersion, Found, OpenDirectory, Root, file_of};
use crate::http::{AcceptEncoding, Coding, HeaderBlock, Moment, Now, Status};
use crate::syscall_stats::SyscallStats;

/// How long an answer from memory is trusted.
const FRESH: Duration = Duration::from_millis(900);
/// How long the root is taken for the directory that has its path. With [`FRESH`] it makes the second of law 1.
const ROOT_FRESH: Duration = Duration::from_millis(100);
/// Larger files are left to the kernel's own cache and to sendfile.
pub const CONTENT_BYTES_MAX: u64 = 64 * 1024;

/// The memory of one worker.
#[derive(Debug)]
pub struct FileCache {
    root: Arc<Root>,
    policy: Arc<Policy>,
    stats: Arc<SyscallStats>,
    entries: Cache<Box<[u8]>, Entry, Weight>,
    /// When the root was last looked at.
    followed: Option<Moment>,
}

/// What a path leads to, as far as it is lookup.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// A file.
    File(Arc<File>),
    /// A directory that was asked for without its slash.
    Directory,
    /// Nothing, and the status that says so.
    NotFound(Status),
}

/// A file, in the codings there are.
#[derive(Clone, Debug)]
pub struct File {
    plain: Arc<Representation>,
    /// Those that lie beside it.
    beside: Vec<Beside>,
    gzip: Gzip,
    version: Option<FileVersion>,
    is_settled: bool,
}

/// The same content in another coding, from a file of its own.
#[derive(Clone, Debug)]
struct Beside {
    version: FileVersion,
    representation: Arc<Representation>,
}

/// A file that may become a [`Beside`].
struct Sidecar {
    coding: Coding,
    opened: Arc<OpenFile>,
    version: FileVersion,
}

/// The coding that is made here.
#[derive(Clone, Debug)]
enum Gzip {
    /// It is not offered: the file is of no such kind, too small or too large, or lies beside it already.
    NotOffered,
    Pending,
    Ready(Arc<Representation>),
}

#[derive(Clone, Debug)]
struct Entry {
    lookup: Lookup,
    fresh_until: Moment,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Entry> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        const BOOKKEEPING: usize = 128;
        let held = match &entry.lookup {
            Lookup::File(file) => {
                let beside: usize =
                    file.beside.iter().map(|beside| beside.representation.weight()).sum();
                let gzip = if let Gzip::Ready(gzip) = &file.gzip { gzip.weight() } else { 0 };
                file.plain.weight() + beside + gzip
            }
            Lookup::Directory | Lookup::NotFound(_) => 0,
        };
        (key.len() + held + BOOKKEEPING) as u64
    }
}

impl FileCache {
    /// An empty memory of at most `bytes_max`.
    pub fn new(
        root: Arc<Root>,
        policy: Arc<Policy>,
        stats: Arc<SyscallStats>,
        bytes_max: u64,
    ) -> FileCache {
        const TYPICAL_BYTES: u64 = 4096;
        let entries = Cache::with_weighter((bytes_max / TYPICAL_BYTES) as usize, bytes_max, Weight);
        FileCache { root, policy, stats, entries, followed: None }
    }

    /// What `path` leads to.
    pub fn look_up(&mut self, path: &SitePath<'_>, now: &Now) -> Lookup {
        let mut with_slash = Vec::new();
        let key = key_of(path, &mut with_slash);
        match self.entries.get(key) {
            Some(entry) if now.moment < entry.fresh_until => entry.lookup.clone(),
            Some(entry) => {
                let stale = entry.lookup.clone();
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
        let made = (!matches!(file.gzip, Gzip::NotOffered)).then_some(Coding::Gzip);
        match (accept_encoding.choose(beside.chain(made)), &file.gzip) {
            (None, _) => file.plain.clone(),
            (Some(Coding::Gzip), Gzip::Ready(gzip)) => gzip.clone(),
            (Some(Coding::Gzip), Gzip::Pending) => self.make_gzip(path, file, now),
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
        version: &FileVersion,
    ) -> Result<Arc<OpenFile>, Status> {
        match self.root.find(path, representation.coding, &self.stats) {
            Found::File { file, version: now } if now == *version => Ok(file),
            Found::NotFound(status) if status.code() >= 500 => Err(status),
            _ => {
                self.entries.remove(key_of(path, &mut Vec::new()));
                Err(Status::NotFound)
            }
        }
    }

    /// Opens the directory at `path` itself.
    pub fn open_directory(&self, path: &SitePath<'_>) -> Result<OpenDirectory, Status> {
        self.root.open_directory(path, &self.stats)
    }

    fn ask_disk(
        &mut self,
        path: &SitePath<'_>,
        key: Box<[u8]>,
        stale: Option<Lookup>,
        now: &Now,
    ) -> Lookup {
        if self.followed.is_none_or(|followed| now.moment.since(followed) >= ROOT_FRESH) {
            self.root.follow(&self.stats);
            self.followed = Some(now.moment);
        }
        // What was a file a second ago may be opened again; of anything else it has to be seen first what it is.
        if !matches!(stale, Some(Lookup::File(_))) && self.root.is_untouchable(path, &self.stats) {
            return Lookup::NotFound(Status::NotFound);
        }
        let lookup = match self.root.find(path, None, &self.stats) {
            Found::Directory => Lookup::Directory,
            // What failed for want of something (descriptors, memory, a disk) may succeed the next moment.
            Found::NotFound(status) if status.code() >= 500 => return Lookup::NotFound(status),
            Found::NotFound(status) => Lookup::NotFound(status),
            Found::Embedded { content, modified } => {
                // It is part of the program: what was made from it stays right.
                if let Some(file @ Lookup::File(_)) = stale {
                    self.entries.insert(
                        key,
                        Entry { lookup: file.clone(), fresh_until: now.moment + FRESH },
                    );
                    return file;
                }
                let builder =
                    RepresentationBuilder { cache: self, path, now, is_settled: true, modified };
                Lookup::File(Arc::new(builder.file(
                    Source::Memory(Bytes::from_static(content)),
                    content.len() as u64,
                    None,
                    Vec::new(),
                )))
            }
            Found::File { file: opened, version } => {
                let sidecars = self.find_beside(path, &version);
                match stale {
                    Some(Lookup::File(file)) if file.is_still(&version, &sidecars) => {
                        Lookup::File(file)
                    }
                    _ => match self.load(path, &opened, version, sidecars, now) {
                        Ok(file) => Lookup::File(Arc::new(file)),
                        Err(_) => return Lookup::NotFound(Status::InternalServerError),
                    },
                }
            }
        };
        self.entries.insert(key, Entry { lookup: lookup.clone(), fresh_until: now.moment + FRESH });
        lookup
    }

    /// The files beside `path` that hold the same in another coding. One that is older than what it was made from
    /// holds something else.
    fn find_beside(&self, path: &SitePath<'_>, original: &FileVersion) -> Vec<Sidecar> {
        if self.policy.compress == Compress::Off
            || !compress::is_worth_it(&self.policy.media_type(self.root.name_of(path)))
        {
            return Vec::new();
        }
        let there = Coding::ALL
            .into_iter()
            .filter(|coding| self.root.may_have_beside(path, *coding, &self.stats));
        let beside =
            there.filter_map(|coding| match self.root.find(path, Some(coding), &self.stats) {
                Found::File { file, version } if version.modified() >= original.modified() => {
                    Some(Sidecar { coding, opened: file, version })
                }
                _ => None,
            });
        beside.collect()
    }

    fn load(
        &self,
        path: &SitePath<'_>,
        opened: &OpenFile,
        version: FileVersion,
        sidecars: Vec<Sidecar>,
        now: &Now,
    ) -> rustix::io::Result<File> {
        let (source, version, is_steady) = self.read(opened, version)?;
        let modified = version.modified();
        let builder = RepresentationBuilder {
            cache: self,
            path,
            now,
            is_settled: is_steady && version.is_settled(now.wall),
            modified,
        };
        let size = source.size();
        let mut beside = Vec::new();
        for Sidecar { coding, opened, version } in sidecars {
            // The page is there without it.
            let Ok((source, version, is_steady)) = self.read(&opened, version) else {
                continue;
            };
            let is_settled = is_steady && version.is_settled(now.wall);
            let builder =
                RepresentationBuilder { is_settled, modified: version.modified(), ..builder };
            let (size, origin) = (source.size(), version.size);
            let mark = Some((coding, coding.extension()));
            let representation = Arc::new(builder.representation(mark, true, origin, size, source));
            beside.push(Beside { version, representation });
        }
        Ok(builder.file(source, size, Some(version), beside))
    }

    /// Where the bytes of an open file are to come from: memory if they are few. Also says which state of the file that
    /// is, and whether it was the same before and after it was read.
    fn read(
        &self,
        file: &OpenFile,
        mut version: FileVersion,
    ) -> rustix::io::Result<(Source, FileVersion, bool)> {
        // A file that changes while it is read is read again; if it goes on changing, what was read is near one of its
        // states, and is trusted for a second only.
        const TRIES: u32 = 3;
        let mut last = Bytes::new();
        for _ in 0..TRIES {
            if version.size > CONTENT_BYTES_MAX {
                return Ok((Source::Disk(version), version, true));
            }
            last = root::read_whole(file, version.size, &self.stats)?.into();
            let after = root::version(file, &self.stats)?;
            if after == version && last.len() as u64 == version.size {
                return Ok((Source::Memory(last), version, true));
            }
            version = after;
        }
        Ok((Source::Memory(last), version, false))
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
            Source::Disk(version) => {
                let opened = self.open(path, &file.plain, version);
                let read = opened
                    .ok()
                    .and_then(|opened| root::read_whole(&opened, version.size, &self.stats).ok());
                // What changes while it is read is sent as it is, and compressed another time.
                let is_steady = || matches!(self.root.find(path, None, &self.stats), Found::File { version: after, .. } if after == *version);
                read.map(Bytes::from)
                    .filter(|bytes| bytes.len() as u64 == version.size && is_steady())
            }
        };
        let Some(bytes) = bytes else {
            return file.plain.clone();
        };
        let made = compress::gzip(&bytes).map(|compressed| {
            let modified = file.version.map_or(
                file.plain.validators().modified.unwrap_or(SystemTime::UNIX_EPOCH),
                |version| version.modified(),
            );
            let builder = RepresentationBuilder {
                cache: self,
                path,
                now,
                is_settled: file.is_settled,
                modified,
            };
            let size = compressed.len() as u64;
            Arc::new(builder.representation(
                Some((Coding::Gzip, "-gzip")),
                true,
                file.plain.size,
                size,
                Source::Memory(compressed.into()),
            ))
        });
        let gzip = made.clone().map_or(Gzip::NotOffered, Gzip::Ready);
        let file_with = Arc::new(File { gzip, ..File::clone(file) });
        // The disk was asked when the plain form was made: the entry stays fresh no longer for this.
        let key = key_of(path, &mut Vec::new()).to_vec().into_boxed_slice();
        if let Some(Entry { fresh_until, .. }) = self.entries.peek(&key).cloned() {
            self.entries.insert(key, Entry { lookup: Lookup::File(file_with), fresh_until });
        }
        made.unwrap_or_else(|| file.plain.clone())
    }
}

impl File {
    /// Whether it is what the disk holds, beyond doubt.
    fn is_still(&self, version: &FileVersion, sidecars: &[Sidecar]) -> bool {
        let same = |(beside, sidecar): (&Beside, &Sidecar)| {
            let representation = &beside.representation;
            // A weak tag says that it may still have been changing.
            representation.etag().is_strong()
                && representation.coding == Some(sidecar.coding)
                && beside.version == sidecar.version
        };
        self.is_settled
            && self.version == Some(*version)
            && self.beside.len() == sidecars.len()
            && self.beside.iter().zip(sidecars).all(same)
    }

    /// Whether there is a choice of codings.
    pub fn has_choice(&self) -> bool {
        !self.beside.is_empty() || !matches!(self.gzip, Gzip::NotOffered)
    }

    /// The file as it is.
    pub fn plain(&self) -> &Arc<Representation> {
        &self.plain
    }
}

/// What all representations of one file have in common.
#[derive(Clone, Copy)]
struct RepresentationBuilder<'a> {
    cache: &'a FileCache,
    path: &'a SitePath<'a>,
    now: &'a Now,
    is_settled: bool,
    modified: SystemTime,
}

impl RepresentationBuilder<'_> {
    fn file(
        &self,
        source: Source,
        size: u64,
        version: Option<FileVersion>,
        beside: Vec<Beside>,
    ) -> File {
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
            gzip: if is_made { Gzip::Pending } else { Gzip::NotOffered },
            version,
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
        let parts = RepresentationParts {
            media_type: &self.cache.policy.media_type(self.cache.root.name_of(self.path)),
            coding,
            varies,
            modified: self.modified,
            origin_size,
            is_settled: self.is_settled,
            policy_lines: &policy_lines.freeze(),
        };
        Representation::new(&parts, size, source, self.now)
    }
}

/// A directory's page and the directory itself are two things with one path: the slash tells them apart.
fn key_of<'a>(path: &'a SitePath<'_>, with_slash: &'a mut Vec<u8>) -> &'a [u8] {
    if !path.is_directory {
        return &path.relative;
    }
    with_slash.extend_from_slice(&path.relative);
    with_slash.push(b'/');
    with_slash
}
