//! What a worker remembers of the disk.
//!
//! ```text
//!   look up ──> fresh ─────────────────────────────────────────────> use it
//!           ├─> older than a second ──> open, fstat ──> unchanged ──> use it for another second
//!           └─> unknown                       └───────> changed ────> load it
//! ```
//!
//! Laws:
//! 1. A change on the disk is visible within [`FRESH`]. Nothing is answered from memory beyond that without
//!    asking the disk, and what isn't there is remembered no longer than what is.
//! 2. A file that was still changing when it was read is read again, whatever its facts say: two states
//!    within one tick of the file system's clock have the same mtime.
//! 3. Every entry is bounded (content up to [`CONTENT_BYTES_MAX`]), and so is their sum.
//! 4. It belongs to one worker: no lock.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::media_type;
use super::path::SitePath;
use super::root::{self, Found, Root, Stamp};
use crate::http::{DateText, FieldBlock, Now, Status};
use crate::ledger::Ledger;

/// How long an answer from memory is trusted.
pub const FRESH: Duration = Duration::from_secs(1);
/// Larger files are left to the kernel's own cache and to sendfile.
pub const CONTENT_BYTES_MAX: u64 = 64 * 1024;
/// A file touched more recently than this, when it is read, may be changing still. Two seconds is the
/// coarsest clock of a common file system (FAT).
const SETTLED: Duration = Duration::from_secs(2);

/// A file of the site, ready to be answered with.
#[derive(Debug)]
pub struct Resource {
    /// The fields of a 200, rendered.
    pub fields: Bytes,
    /// The body of a 200.
    pub content: Content,
}

/// Where the body comes from.
#[derive(Debug)]
pub enum Content {
    /// From memory.
    Memory(Bytes),
    /// From the file, which is opened for each answer.
    OnDisk,
}

/// What a path leads to, as far as it is remembered.
#[derive(Clone, Debug)]
pub enum Known {
    /// A file whose content is in memory.
    File(Arc<Resource>),
    /// A file that is sent from the disk; open, with its length in bytes.
    OpenFile(Arc<Resource>, Arc<OwnedFd>, u64),
    /// A folder that was asked for without its slash.
    Folder,
    /// Nothing, and the status that says so.
    Nothing(Status),
}

/// The memory of one worker.
#[derive(Debug)]
pub struct FileCache {
    root: Arc<Root>,
    ledger: Arc<Ledger>,
    entries: Cache<Box<[u8]>, Entry, Weight>,
}

#[derive(Clone, Debug)]
struct Entry {
    what: Remembered,
    checked: Instant,
}

#[derive(Clone, Debug)]
enum Remembered {
    File { resource: Arc<Resource>, stamp: Stamp, settled: bool },
    Embedded(Arc<Resource>),
    Folder,
    Nothing(Status),
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Entry> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        const BOOKKEEPING: usize = 256;
        let held = match &entry.what {
            Remembered::File { resource, .. } => match &resource.content {
                Content::Memory(content) => content.len() + resource.fields.len(),
                Content::OnDisk => resource.fields.len(),
            },
            Remembered::Embedded(resource) => resource.fields.len(),
            Remembered::Folder | Remembered::Nothing(_) => 0,
        };
        (key.len() + held + BOOKKEEPING) as u64
    }
}

impl FileCache {
    /// An empty memory of at most `bytes_max`.
    pub fn new(root: Arc<Root>, ledger: Arc<Ledger>, bytes_max: u64) -> FileCache {
        const TYPICAL_BYTES: u64 = 4096;
        let entries = Cache::with_weighter((bytes_max / TYPICAL_BYTES) as usize, bytes_max, Weight);
        FileCache { root, ledger, entries }
    }

    /// What `path` leads to.
    pub fn look_up(&mut self, path: &SitePath<'_>, now: &Now) -> Known {
        // A folder's page and the folder itself are two things with one path: the slash tells them apart.
        let mut slashed = Vec::new();
        let key: &[u8] = if path.is_folder {
            slashed.extend_from_slice(&path.relative);
            slashed.push(b'/');
            &slashed
        } else {
            &path.relative
        };
        let remembered = match self.entries.get(key) {
            Some(entry) if now.instant.saturating_duration_since(entry.checked) < FRESH => match &entry.what {
                Remembered::Folder => return Known::Folder,
                Remembered::Nothing(status) => return Known::Nothing(*status),
                Remembered::Embedded(resource) => return Known::File(resource.clone()),
                Remembered::File { resource, .. } if matches!(resource.content, Content::Memory(_)) => {
                    return Known::File(resource.clone());
                }
                other => Some(other.clone()),
            },
            Some(entry) => Some(entry.what.clone()),
            None => None,
        };
        self.ask_disk(path, key.into(), remembered, now)
    }

    fn ask_disk(&mut self, path: &SitePath<'_>, key: Box<[u8]>, remembered: Option<Remembered>, now: &Now) -> Known {
        let (what, known) = match self.root.find(path, &self.ledger) {
            Found::Folder => (Remembered::Folder, Known::Folder),
            // What failed for want of something (descriptors, memory, a disk) may succeed the next moment.
            Found::Nothing(status) if status.code() >= 500 => return Known::Nothing(status),
            Found::Nothing(status) => (Remembered::Nothing(status), Known::Nothing(status)),
            Found::Embedded { content, modified } => {
                let name = self.root.name_of(path);
                let fields = render_fields(name, content.len() as u64, DateText::new(modified));
                let resource = Arc::new(Resource { fields, content: Content::Memory(Bytes::from_static(content)) });
                (Remembered::Embedded(resource.clone()), Known::File(resource))
            }
            Found::File { file, stamp } => {
                let resource = match remembered {
                    Some(Remembered::File { resource, stamp: before, settled: true }) if before == stamp => {
                        Ok((resource, stamp, true))
                    }
                    _ => self.load(self.root.name_of(path), &file, stamp, now),
                };
                let (resource, stamp, settled) = match resource {
                    Ok(loaded) => loaded,
                    Err(_) => return Known::Nothing(Status::InternalServerError),
                };
                let known = match resource.content {
                    Content::Memory(_) => Known::File(resource.clone()),
                    Content::OnDisk => Known::OpenFile(resource.clone(), file, stamp.size),
                };
                (Remembered::File { resource, stamp, settled }, known)
            }
        };
        self.entries.insert(key, Entry { what, checked: now.instant });
        known
    }

    /// Reads a file, or only its facts if it is large. Also says which state of the file that was, and whether it had settled.
    fn load(
        &self,
        name: &[u8],
        file: &OwnedFd,
        mut stamp: Stamp,
        now: &Now,
    ) -> rustix::io::Result<(Arc<Resource>, Stamp, bool)> {
        // A file that changes while it is read is read once more; if it goes on changing, what was read is one of
        // its states or near one, and is trusted for a second only.
        const TRIES: u32 = 3;
        let mut content = Content::OnDisk;
        let mut steady = true;
        for _ in 0..TRIES {
            if stamp.size > CONTENT_BYTES_MAX {
                content = Content::OnDisk;
                break;
            }
            let bytes = root::read_whole(file, stamp.size, &self.ledger)?;
            let after = root::stamp(file, &self.ledger)?;
            steady = after == stamp && bytes.len() as u64 == stamp.size;
            stamp = after;
            content = Content::Memory(bytes.into());
            if steady {
                break;
            }
        }
        let size = match &content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::OnDisk => stamp.size,
        };
        // RFC 9110 section 8.8.2.1: never later than the Date of the answer.
        let modified = stamp.modified().min(now.wall);
        let fields = render_fields(name, size, DateText::new(modified));
        let settled = steady && stamp.touched().checked_add(SETTLED).is_some_and(|settled| settled < now.wall);
        Ok((Arc::new(Resource { fields, content }), stamp, settled))
    }
}

fn render_fields(name: &[u8], size: u64, modified: Option<DateText>) -> Bytes {
    let mut fields = FieldBlock::default();
    fields.push("Content-Type", media_type::of_name(name));
    fields.push_number("Content-Length", size);
    if let Some(modified) = modified {
        fields.push("Last-Modified", modified.as_bytes());
    }
    fields.freeze()
}
