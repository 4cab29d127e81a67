//! Hashes of contents: the ETags of what is in memory, and of large files whose mtime identifies
//! nothing.
//!
//! A large file is hashed once, on a thread of its own, because reading it may take longer than a
//! turn or even a request may. Until then its responses have no ETag.
//!
//! Invariants:
//! 1. Equal contents have equal hashes on every machine, and no two contents are known that share
//!    one (BLAKE3).
//! 2. At most [`HASHING_MAX`] files are hashed at a time, each once, and at most [`KNOWN_MAX`]
//!    hashes are remembered.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};

use super::file_version::FileVersion;
use super::open_file::File;
use crate::sync::{lock, wait_timeout_while};
use crate::syscall_stats::SyscallStats;

/// More would compete with the responses for the disk.
const HASHING_MAX: usize = 2;
/// About 100 bytes each.
const KNOWN_MAX: usize = 16_384;
/// How long a thread with one client waits for a hash, counted from the start of hashing: long
/// enough for several hundred megabytes in the page cache.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The hash of a content: 128 bits of BLAKE3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHash(u128);

/// Who asks for the hash of a large file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// An event loop, which must not wait.
    EventLoop,
    /// A thread that delays only its own client. It waits for a while, so that most responses have
    /// an ETag even in a process that ends with its connection.
    ClientThread,
}

/// Hashes of files of any root: a [`FileVersion`] names one file of the machine.
static HASHES: LazyLock<Hashes> = LazyLock::new(Hashes::default);

#[derive(Default)]
struct Hashes {
    files: Mutex<Files>,
    completed: Condvar,
}

#[derive(Default)]
struct Files {
    known: HashMap<FileVersion, ContentHash>,
    /// Those being hashed, each with the time at which that began.
    hashing: Vec<(FileVersion, Instant)>,
}

impl ContentHash {
    pub fn of(content: &[u8]) -> ContentHash {
        ContentHash::from(blake3::hash(content))
    }

    /// The hash of a file, if that is known.
    pub fn known_of(version: &FileVersion) -> Option<ContentHash> {
        HASHES.known(version)
    }

    /// The hash of the file with `version`, which is not racy. Begins to hash the file that `open`
    /// returns, if that is not done yet. None if the hash is not known in time, or can't be made
    /// now.
    pub fn of_file(
        version: FileVersion,
        asking: Asking,
        stats: &SyscallStats,
        open: impl FnOnce() -> Option<File>,
    ) -> Option<ContentHash> {
        if HASHES.begin(version) {
            let stats = stats.clone();
            let hash_opened = |file: File| {
                let hash = move || HASHES.complete(version, hash_file(&file, &version, &stats));
                std::thread::Builder::new().spawn(hash).ok()
            };
            if open().and_then(hash_opened).is_none() {
                HASHES.complete(version, None);
            }
        }
        match asking {
            Asking::EventLoop => HASHES.known(&version),
            Asking::ClientThread => HASHES.wait_for(&version),
        }
    }
}

impl From<blake3::Hash> for ContentHash {
    fn from(hash: blake3::Hash) -> ContentHash {
        let (first, _) = hash.as_bytes().split_first_chunk().expect("32 bytes are more than 16");
        ContentHash(u128::from_be_bytes(*first))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Hashes {
    /// Whether the caller is to hash the file with `version`.
    fn begin(&self, version: FileVersion) -> bool {
        let mut files = lock(&self.files);
        if files.known.contains_key(&version)
            || files.is_hashing(&version)
            || files.hashing.len() >= HASHING_MAX
        {
            return false;
        }
        if files.known.len() + files.hashing.len() >= KNOWN_MAX {
            files.known.clear();
        }
        files.hashing.push((version, Instant::now()));
        true
    }

    /// Remembers a hash. None if there is none: the next request for the file tries again.
    fn complete(&self, version: FileVersion, hash: Option<ContentHash>) {
        let mut files = lock(&self.files);
        files.hashing.retain(|(hashing, _)| *hashing != version);
        files.known.extend(hash.map(|hash| (version, hash)));
        self.completed.notify_all();
    }

    fn known(&self, version: &FileVersion) -> Option<ContentHash> {
        lock(&self.files).known.get(version).copied()
    }

    fn wait_for(&self, version: &FileVersion) -> Option<ContentHash> {
        let mut files = lock(&self.files);
        if let Some((_, since)) = files.hashing.iter().find(|(hashing, _)| hashing == version) {
            let timeout = WAIT_MAX.saturating_sub(since.elapsed());
            let is_hashing = |files: &mut Files| files.is_hashing(version);
            files = wait_timeout_while(&self.completed, files, timeout, is_hashing);
        }
        files.known.get(version).copied()
    }
}

impl Files {
    fn is_hashing(&self, version: &FileVersion) -> bool {
        self.hashing.iter().any(|(hashing, _)| hashing == version)
    }
}

/// None if the file can't be read, or changes meanwhile.
fn hash_file(file: &File, version: &FileVersion, stats: &SyscallStats) -> Option<ContentHash> {
    const CHUNK_BYTES: u64 = 128 * 1024;
    let mut hasher = blake3::Hasher::new();
    while hasher.count() < version.size_bytes {
        let end = version.size_bytes.min(hasher.count() + CHUNK_BYTES);
        let chunk = file.read(&(hasher.count()..end), stats).ok()?;
        if chunk.is_empty() {
            return None;
        }
        hasher.update(&chunk);
    }
    (file.version(stats).ok()? == *version).then(|| hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::site::open_file::OpenFile;

    fn open(content: &[u8]) -> (tempfile::NamedTempFile, File, FileVersion) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), content).expect("the test owns the file");
        let stats = SyscallStats::default();
        let opened = OpenFile::new(file.reopen().expect("the file exists").into(), &stats);
        let version = opened.version(&stats).expect("an open file has a version");
        (file, Arc::new(opened), version)
    }

    #[test]
    fn a_file_has_the_hash_of_its_content() {
        let content = [b"some of the content".repeat(50_000), vec![0; 7]].concat();
        let (_file, opened, version) = open(&content);
        let hash = hash_file(&opened, &version, &SyscallStats::default());
        assert_eq!(hash, Some(ContentHash::of(&content)));
        // Every build and every machine must send this tag.
        assert_eq!(ContentHash::of(b"").to_string(), "af1349b9f5f9a1a6a0404dea36dcc949");
    }

    #[test]
    fn a_file_that_changes_while_it_is_hashed_gets_no_hash() {
        for changed in [&b"is overwritten"[..], b"longer than before, and", b"less", b""] {
            let (file, opened, version) = open(b"the old conten");
            // In place: the version was that of the old content.
            std::fs::write(file.path(), changed).expect("the test owns the file");
            let earlier = std::time::UNIX_EPOCH + Duration::from_secs(1);
            file.as_file().set_modified(earlier).expect("the test owns the file");
            assert_eq!(hash_file(&opened, &version, &SyscallStats::default()), None);
        }
    }

    #[test]
    fn few_files_are_hashed_at_a_time_and_each_once() {
        let hashes = Hashes::default();
        let opened: Vec<_> = (0..HASHING_MAX + 1).map(|_| open(b"x")).collect();
        let versions: Vec<_> = opened.iter().map(|(.., version)| *version).collect();
        assert!(versions[..HASHING_MAX].iter().all(|version| hashes.begin(*version)));
        assert!(!hashes.begin(versions[0]), "it is being hashed");
        assert!(!hashes.begin(versions[HASHING_MAX]), "too many are");
        assert_eq!(hashes.wait_for(&versions[HASHING_MAX]), None, "nothing to wait for");
        hashes.complete(versions[0], Some(ContentHash(7)));
        assert_eq!(hashes.wait_for(&versions[0]), Some(ContentHash(7)));
        assert!(!hashes.begin(versions[0]), "its hash is known");
        hashes.complete(versions[1], None);
        assert!(hashes.begin(versions[1]), "the first attempt failed");
    }
}
