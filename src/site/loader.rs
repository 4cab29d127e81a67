//! Opens and reads files, and builds their representations.
//!
//! ```text
//!   path ──> O_PATH, fstat: FIFO, socket, device ─────────────────> not found
//!     └────> open, fstat ──┬─> directory, embedded file, nothing ─> that
//!                          └─> file ──> changed? read ─> sidecars ─┬─> unchanged ─> the stale
//!                                                                  │                 entry
//!                                                                  └─> changed ───> render
//! ```
//!
//! Invariant: a file whose version changes while it is read is [racy](Mtime::Racy). So its ETag is
//! the hash of the bytes that were read, and the next load reads it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;

use super::compress::{self, MadeCoding, PIECE_BYTES};
use super::compressor::{Compressed, ContentKey, Make};
use super::content_hash::{Asking, ContentHash};
use super::directory_root::OpenDirectory;
use super::errors::status_of_read;
use super::file_version::{FileVersion, Mtime};
use super::loaded_file::{LoadedFile, Offer, Offers, Sidecar, SidecarFile};
use super::media_type::{self, SNIFFED_BYTES_MAX};
use super::memory_budget::MemoryShare;
use super::open_file::File;
use super::path::SitePath;
use super::policy::{ChangeDetection, Compress, Policy};
use super::representation::{Encoding, Representation, RepresentationBuilder, Source};
use super::resolved::{Found, Resolved};
use super::root::Root;
use super::sample::EmbeddedFile;
use super::watch::Watch;
use crate::http::{Coding, Now, Status};
use crate::syscall_stats::SyscallStats;

/// Larger files are sent with sendfile, from the kernel's page cache.
pub const CONTENT_BYTES_MAX: u64 = 64 * 1024;

/// What a path leads to.
#[derive(Clone, Debug)]
pub enum Lookup {
    File(Arc<LoadedFile>),
    /// The path has no slash at its end.
    Directory,
    NotFound(Status),
}

/// A lookup on the disk.
pub struct Loaded {
    pub lookup: Lookup,
    /// Whether a [`Watch`] that was taken before sees every change of it.
    pub is_watchable: bool,
}

/// Loads the files of one root for one worker.
#[derive(Debug)]
pub struct Loader {
    root: Arc<Root>,
    policy: Arc<Policy>,
    stats: Arc<SyscallStats>,
}

/// The facts of one load. Each is looked up once, for all representations of the file.
struct FileLoad<'a> {
    path: &'a SitePath<'a>,
    /// Taken before anything was looked up.
    watch: Option<&'a Watch>,
    /// None if the name of the file does not tell.
    media_type: Option<&'a str>,
    now: &'a Now,
}

/// What was read of a file.
struct Content {
    source: Source,
    version: FileVersion,
    mtime: Mtime,
}

impl Loader {
    pub fn new(root: Arc<Root>, policy: Arc<Policy>, stats: Arc<SyscallStats>) -> Loader {
        Loader { root, policy, stats }
    }

    /// Where the operations of the loader are counted.
    pub fn stats(&self) -> &Arc<SyscallStats> {
        &self.stats
    }

    /// Looks up `path` on the disk. Returns `stale`, the previous result, if nothing changed. With
    /// a `watch` that was taken before, it takes fewer system calls.
    ///
    /// # Errors
    /// The status of a failure that may be over a moment later, and must not be cached.
    pub fn load(
        &self,
        path: &SitePath<'_>,
        stale: Option<&Lookup>,
        watch: Option<&Watch>,
        now: &Now,
    ) -> Result<Loaded, Status> {
        let stale = match stale {
            Some(Lookup::File(file)) => Some(file),
            Some(Lookup::Directory | Lookup::NotFound(_)) | None => None,
        };
        // A path that was a regular file at the previous load is opened without this check.
        if stale.is_none() && self.root.is_special_file(path, watch, &self.stats) {
            return Err(Status::NotFound);
        }
        let facts = || {
            let media_type = self.policy.media_type(path.file_name());
            FileLoad { path, watch, media_type, now }
        };
        let Found { resolved, mut is_watchable } = self.root.find(path, None, &self.stats);
        let lookup = match resolved {
            Resolved::File { file, version } => {
                let (file, has_watchable_sidecars) =
                    self.load_file(&facts(), &file, version, stale).map_err(status_of_read)?;
                is_watchable &= has_watchable_sidecars;
                Lookup::File(file)
            }
            Resolved::Embedded(file) => Lookup::File(match stale {
                Some(stale) => stale.clone(),
                None => Arc::new(self.load_embedded(&facts(), file)),
            }),
            Resolved::Directory => Lookup::Directory,
            Resolved::NotFound(status) if status.is_server_error() => return Err(status),
            Resolved::NotFound(status) => Lookup::NotFound(status),
        };
        Ok(Loaded { lookup, is_watchable })
    }

    /// See [`Root::watch`].
    pub fn watch(&self, path: &SitePath<'_>) -> Option<Watch> {
        match self.policy.change_detection {
            ChangeDetection::Watch => self.root.watch(path, &self.stats),
            ChangeDetection::EachRequest => None,
        }
    }

    /// How long a result may be used without a [`Watch`].
    pub fn unwatched_lifetime(&self) -> Duration {
        match self.policy.change_detection {
            // A little less than a second, so that a change is visible within one.
            ChangeDetection::Watch => Duration::from_millis(900),
            ChangeDetection::EachRequest => Duration::ZERO,
        }
    }

    /// The open file that `representation` was read from. None if it no longer has `version`.
    ///
    /// # Errors
    /// The status of a failure that may be over a moment later.
    pub fn open(
        &self,
        path: &SitePath<'_>,
        representation: &Representation,
        version: &FileVersion,
    ) -> Result<Option<File>, Status> {
        // Without this check, bytes that were written in place would be sent under the ETag of the
        // old ones, and a resumed download would join the two.
        let is_unchanged = |file: &File| file.version(&self.stats).is_ok_and(|now| now == *version);
        if let Some(file) = self.policy.open_files.find(version).filter(is_unchanged) {
            return Ok(Some(file));
        }
        match self.root.find(path, representation.coding, &self.stats).resolved {
            Resolved::File { file, version: found } if found == *version => {
                self.policy.open_files.keep(found, file.clone());
                Ok(Some(file))
            }
            Resolved::NotFound(status) if status.is_server_error() => Err(status),
            _ => Ok(None),
        }
    }

    /// The hash of the file that `representation` is to be read from. None if it is not known in
    /// time, which depends on who is asking, or the file no longer has `version`.
    pub fn hash(
        &self,
        path: &SitePath<'_>,
        representation: &Representation,
        version: &FileVersion,
        asking: Asking,
    ) -> Option<ContentHash> {
        let open = || self.open(path, representation, version).ok()?;
        ContentHash::of_file(*version, asking, &self.stats, open)
    }

    /// Opens the directory at `path`, to be listed.
    pub fn open_directory(&self, path: &SitePath<'_>) -> Result<OpenDirectory, Status> {
        let mut opened = self.root.open_directory(path, &self.stats)?;
        opened.hidden = self.policy.hidden.clone();
        Ok(opened)
    }

    /// Switches to the directory that has the root's path now.
    pub fn follow_root(&self) {
        self.root.follow_path(&self.stats);
    }

    /// The job that compresses `identity`, the file at `path`.
    pub fn compression(
        self: &Arc<Self>,
        path: &SitePath<'_>,
        identity: &Arc<Representation>,
        coding: MadeCoding,
    ) -> Make {
        let (loader, identity) = (self.clone(), identity.clone());
        let path = path.clone().into_owned();
        Box::new(move |share| loader.compress(&path, &identity, coding, share))
    }

    /// None if the file can't be read now, or has changed.
    fn compress(
        &self,
        path: &SitePath<'_>,
        identity: &Representation,
        coding: MadeCoding,
        share: MemoryShare,
    ) -> Option<Compressed> {
        let bytes = match &identity.source {
            Source::Memory { bytes, .. } => {
                coding.compress(identity.size_bytes, std::iter::once(Ok::<_, Errno>(bytes.clone())))
            }
            Source::Disk(version) => self.compress_file(path, identity, version, coding),
        };
        let Some(bytes) = bytes.ok()? else { return Some(Compressed::NotSmaller) };
        let builder = RepresentationBuilder {
            media_type: &identity.media_type,
            policy_lines: &self.policy.header_lines(path),
            varies: true,
        };
        let source = Source::in_memory(share.hold(bytes));
        let compressed = builder.build(Encoding::Made(coding), source, identity.mtime);
        Some(Compressed::Smaller(Arc::new(compressed)))
    }

    /// # Errors
    /// ESTALE if the file has changed or cannot be opened; otherwise that of the read or fstat(2).
    fn compress_file(
        &self,
        path: &SitePath<'_>,
        identity: &Representation,
        version: &FileVersion,
        coding: MadeCoding,
    ) -> rustix::io::Result<Option<Vec<u8>>> {
        let opened = self.open(path, identity, version).ok().flatten().ok_or(Errno::STALE)?;
        let pieces = (0..version.size_bytes).step_by(PIECE_BYTES).map(|start| {
            let end = version.size_bytes.min(start + PIECE_BYTES as u64);
            opened.read(&(start..end), &self.stats).map(Bytes::from)
        });
        let compressed = coding.compress(version.size_bytes, pieces)?;
        let is_unchanged = opened.version(&self.stats)? == *version;
        is_unchanged.then_some(compressed).ok_or(Errno::STALE)
    }

    fn load_file(
        &self,
        facts: &FileLoad<'_>,
        file: &File,
        version: FileVersion,
        stale: Option<&Arc<LoadedFile>>,
    ) -> rustix::io::Result<(Arc<LoadedFile>, bool)> {
        let unchanged = stale.filter(|stale| stale.is_current(&version));
        let content = match unchanged {
            Some(stale) => self.known_content(&stale.identity, file, version, facts.now),
            None => self.read(file, version, facts.now)?,
        };
        let media_type = match (facts.media_type, unchanged) {
            (Some(media_type), _) => media_type,
            (None, Some(stale)) => &*stale.identity.media_type,
            (None, None) => self.sniff(file, &content.source)?,
        };
        let (sidecar_files, are_watchable) =
            self.find_sidecars(facts, media_type, &content.version);
        if let Some(stale) = unchanged
            && stale.are_sidecars_current(&sidecar_files)
        {
            return Ok((stale.clone(), are_watchable));
        }
        let builder = RepresentationBuilder {
            media_type,
            policy_lines: &self.policy.header_lines(facts.path),
            varies: true,
        };
        let sidecars: Vec<Sidecar> = sidecar_files
            .into_iter()
            // A sidecar that can't be read is left out: the file itself can still be served.
            .filter_map(|sidecar| self.load_sidecar(builder, sidecar, facts.now).ok())
            .collect();
        let offers = self.offers(media_type, &content.source, content.mtime, &sidecars);
        let builder =
            RepresentationBuilder { varies: !sidecars.is_empty() || !offers.is_empty(), ..builder };
        let identity = builder.build(Encoding::Identity, content.source, content.mtime);
        let (identity, version) = (Arc::new(identity), Some(content.version));
        Ok((Arc::new(LoadedFile { identity, sidecars, offers, version }), are_watchable))
    }

    fn load_embedded(&self, facts: &FileLoad<'_>, file: &EmbeddedFile) -> LoadedFile {
        let source = Source::in_memory(Bytes::from_static(file.content));
        let media_type = facts.media_type.unwrap_or_else(|| {
            let start = file.content.get(..SNIFFED_BYTES_MAX as usize).unwrap_or(file.content);
            media_type::of_content(start, file.content.len() as u64)
        });
        let offers = self.offers(media_type, &source, Mtime::Absent, &[]);
        let builder = RepresentationBuilder {
            media_type,
            policy_lines: &self.policy.header_lines(facts.path),
            varies: !offers.is_empty(),
        };
        let identity = Arc::new(builder.build(Encoding::Identity, source, Mtime::Absent));
        LoadedFile { identity, sidecars: Vec::new(), offers, version: None }
    }

    /// Opens the sidecars of a file, except those older than the file, whose content is outdated.
    /// The second value says whether all that exist can be watched.
    fn find_sidecars(
        &self,
        facts: &FileLoad<'_>,
        media_type: &str,
        original: &FileVersion,
    ) -> (Vec<SidecarFile>, bool) {
        let (mut sidecars, mut are_watchable) = (Vec::new(), true);
        if self.policy.compress == Compress::Off
            || !compress::is_compressible(media_type)
            || facts.watch.is_some_and(|watch| !watch.may_have_sidecars())
        {
            return (sidecars, are_watchable);
        }
        for coding in Coding::ALL {
            if !self.root.may_have_sidecar(facts.path, coding, &self.stats) {
                continue;
            }
            let found = self.root.find(facts.path, Some(coding), &self.stats);
            are_watchable &= found.is_watchable;
            if let Resolved::File { file, version } = found.resolved
                && version.modified() >= original.modified()
            {
                sidecars.push(SidecarFile { coding, file, version });
            }
        }
        (sidecars, are_watchable)
    }

    fn load_sidecar(
        &self,
        builder: RepresentationBuilder<'_>,
        sidecar: SidecarFile,
        now: &Now,
    ) -> rustix::io::Result<Sidecar> {
        let content = self.read(&sidecar.file, sidecar.version, now)?;
        let encoding = Encoding::Sidecar(sidecar.coding);
        Ok(Sidecar {
            version: content.version,
            representation: Arc::new(builder.build(encoding, content.source, content.mtime)),
        })
    }

    /// The content of a file whose `version` is that of `identity`.
    fn known_content(
        &self,
        identity: &Representation,
        file: &File,
        version: FileVersion,
        now: &Now,
    ) -> Content {
        if matches!(identity.source, Source::Disk(_)) {
            self.policy.open_files.keep(version, file.clone());
        }
        Content { source: identity.source.clone(), version, mtime: version.mtime(now.wall) }
    }

    /// The media type of content whose name does not tell.
    fn sniff(&self, file: &File, source: &Source) -> rustix::io::Result<&'static str> {
        let (size_bytes, read) =
            (source.size_bytes(), 0..source.size_bytes().min(SNIFFED_BYTES_MAX));
        let start = match source {
            Source::Memory { bytes, .. } => bytes.slice(..read.end as usize),
            Source::Disk(_) => file.read(&read, &self.stats)?.into(),
        };
        Ok(media_type::of_content(&start, size_bytes))
    }

    /// Reads a small file into memory; a large one stays on the disk.
    fn read(
        &self,
        file: &File,
        mut version: FileVersion,
        now: &Now,
    ) -> rustix::io::Result<Content> {
        /// A file that changes while it is read is read again.
        const TRIES: u32 = 3;
        let mut content = Bytes::new();
        for _ in 0..TRIES {
            let mtime = version.mtime(now.wall);
            if version.size_bytes > CONTENT_BYTES_MAX {
                self.policy.open_files.keep(version, file.clone());
                return Ok(Content { source: Source::Disk(version), version, mtime });
            }
            content = file.read(&(0..version.size_bytes), &self.stats)?.into();
            let version_after = file.version(&self.stats)?;
            if version_after == version && content.len() as u64 == version.size_bytes {
                let source = Source::in_memory(content);
                return Ok(Content { source, version, mtime });
            }
            version = version_after;
        }
        // It may mix two states of the file.
        let source = Source::in_memory(content);
        Ok(Content { source, version, mtime: Mtime::Racy(now.wall) })
    }

    fn offers(
        &self,
        media_type: &str,
        source: &Source,
        mtime: Mtime,
        sidecars: &[Sidecar],
    ) -> Offers {
        if self.policy.compress != Compress::On
            || !compress::is_offered(media_type, source.size_bytes())
        {
            return Offers::new();
        }
        static LOADS: AtomicU64 = AtomicU64::new(0);
        let content = match source {
            Source::Memory { hash, .. } => ContentKey::Hash(*hash),
            Source::Disk(_) if mtime.is_racy() => {
                ContentKey::Load(LOADS.fetch_add(1, Ordering::Relaxed))
            }
            Source::Disk(version) => ContentKey::Version(*version),
        };
        let has_sidecar = |coding: &MadeCoding| {
            let is_in_coding =
                |sidecar: &Sidecar| sidecar.representation.coding == Some(coding.coding());
            sidecars.iter().any(is_in_coding)
        };
        let codings = self.policy.compressor.codings.iter().copied();
        codings
            .filter(|coding| !has_sidecar(coding))
            .map(|coding| Offer { coding, content, made: Weak::new() })
            .collect()
    }
}
