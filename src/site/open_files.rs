//! Descriptors of large files, kept open between responses, so that a range or a download does not
//! open and close its file.
//!
//! A descriptor is looked up by the version of its file. The file cache has found that version at
//! the path within the last second (see `cache.rs`), so a kept descriptor is no staler than a small
//! file in memory. The caller compares the version once more (fstat), because a file may be changed
//! in place.
//!
//! Invariants:
//! 1. The number of descriptors is bounded: beyond that, keeping one closes another.
//! 2. A descriptor that was not used for [`IDLE_MAX`] is closed, so that a deleted file gives up
//!    its blocks and a file system can be unmounted. A thread does that, and ends when no
//!    descriptor is left.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quick_cache::unsync::Cache;

use super::file_version::FileVersion;
use super::open_file::File;
use crate::sync::lock;

/// More would save little: opening files that are rarely requested does not limit a server.
const FILES_MAX: u64 = 512;
/// After a second, the next request opens the file anyway, to see whether it has changed.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// The open files of a server.
#[derive(Debug)]
pub struct OpenFiles {
    state: Mutex<State>,
}

struct State {
    files: Cache<FileVersion, Kept>,
    sweeping: Sweeping,
}

/// The thread that closes unused descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sweeping {
    Running,
    Ended,
    /// None is ever needed: the process ends soon, and so closes them.
    Unneeded,
}

#[derive(Clone)]
struct Kept {
    file: File,
    used_at: Instant,
}

impl OpenFiles {
    /// The descriptors to set aside where a process may have `descriptors` open: none if the limit
    /// is low, because connections need them more.
    pub fn share_of(descriptors: u64) -> u64 {
        const LOW: u64 = 64;
        FILES_MAX.min(descriptors.saturating_sub(LOW) / 16)
    }

    /// At most `files_max` descriptors.
    pub fn new(files_max: u64) -> OpenFiles {
        let files = Cache::new(files_max as usize);
        OpenFiles { state: Mutex::new(State { files, sweeping: Sweeping::Ended }) }
    }

    /// For processes that end with their connection, and so close what they have open.
    pub fn for_children() -> OpenFiles {
        const FILES_MAX: usize = 2;
        let state = State { files: Cache::new(FILES_MAX), sweeping: Sweeping::Unneeded };
        OpenFiles { state: Mutex::new(state) }
    }

    /// The open file of `version`.
    pub fn find(&self, version: &FileVersion) -> Option<File> {
        let mut state = lock(&self.state);
        let mut kept = state.files.get_mut(version)?;
        kept.used_at = Instant::now();
        Some(kept.file.clone())
    }

    /// Keeps `file`, which has `version`, for the next response.
    pub fn keep(self: &Arc<Self>, version: FileVersion, file: File) {
        let mut state = lock(&self.state);
        state.files.insert(version, Kept { file, used_at: Instant::now() });
        if state.sweeping == Sweeping::Ended && !state.files.is_empty() {
            let open_files = self.clone();
            match std::thread::Builder::new().spawn(move || open_files.sweep_until_empty()) {
                Ok(_) => state.sweeping = Sweeping::Running,
                Err(_) => state.files.clear(),
            }
        }
    }

    fn sweep_until_empty(&self) {
        loop {
            std::thread::sleep(IDLE_MAX / 2);
            let mut state = lock(&self.state);
            let now = Instant::now();
            state.files.retain(|_, kept| now.duration_since(kept.used_at) < IDLE_MAX);
            if state.files.is_empty() {
                state.sweeping = Sweeping::Ended;
                return;
            }
        }
    }
}

impl Default for OpenFiles {
    /// As many as the limit of this process allows.
    fn default() -> OpenFiles {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        OpenFiles::new(OpenFiles::share_of(limit.maximum.unwrap_or(u64::MAX)))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("files", &self.files.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::open_file::OpenFile;
    use crate::syscall_stats::SyscallStats;

    fn open(files: &[tempfile::NamedTempFile]) -> Vec<(FileVersion, File)> {
        let stats = SyscallStats::default();
        let open = |file: &tempfile::NamedTempFile| {
            let opened = OpenFile::new(file.reopen().expect("it exists").into(), &stats);
            (opened.version(&stats).expect("it is open"), Arc::new(opened))
        };
        files.iter().map(open).collect()
    }

    #[test]
    fn the_number_of_open_files_is_bounded_and_unused_ones_are_closed() {
        let files: Vec<_> =
            (0..20).map(|_| tempfile::NamedTempFile::new().expect("a temporary file")).collect();
        let opened = open(&files);
        let open_files = Arc::new(OpenFiles::new(8));
        for (version, file) in &opened {
            open_files.keep(*version, file.clone());
        }
        let kept = || opened.iter().filter(|(_, file)| Arc::strong_count(file) > 1).count();
        assert!((1..=8).contains(&kept()), "{} are kept", kept());
        let found = opened.iter().filter(|(version, _)| open_files.find(version).is_some()).count();
        assert_eq!(found, kept());
        let start = Instant::now();
        while kept() > 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "{} are still open", kept());
            std::thread::sleep(Duration::from_millis(10));
        }
        // The thread has ended or is about to, and the next file starts another one.
        let (version, file) = &opened[0];
        open_files.keep(*version, file.clone());
        assert!(open_files.find(version).is_some());
    }
}
