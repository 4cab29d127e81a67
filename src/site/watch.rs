//! What is known about the names of a watched directory, as its events arrive.
//!
//! Invariants:
//! 1. Checking a [`Watch`] is one atomic load; there are no locks and no system calls.
//! 2. A name that may have changed has another generation. Names share generations, so a change may
//!    outdate the results of a few other names as well: a generation for each name would have to be
//!    removed again when the last result of that name is gone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::fs::{Dir, FileType};

use crate::http::Coding;

/// Whether one result is still what the disk has.
#[derive(Clone, Debug)]
pub struct Watch {
    directory: Arc<WatchedNames>,
    slot: usize,
    generation: u32,
}

/// The names of one directory.
#[derive(Debug)]
pub struct WatchedNames {
    generations: [AtomicU32; WatchedNames::SLOTS],
    /// False only if no name ends like that of a sidecar.
    may_have_sidecars: AtomicBool,
    /// False only if each name is that of a regular file or a directory.
    may_have_special_files: AtomicBool,
}

impl Watch {
    /// Watches `name` from now on.
    pub fn of(directory: Arc<WatchedNames>, name: &[u8]) -> Watch {
        let slot = WatchedNames::slot_of(name);
        let generation = directory.generations[slot].load(Ordering::Acquire);
        Watch { directory, slot, generation }
    }

    /// Whether nothing has changed since the watch was taken.
    #[inline]
    pub fn is_current(&self) -> bool {
        self.directory.generations[self.slot].load(Ordering::Acquire) == self.generation
    }

    /// Whether a sidecar of the name may exist. Most directories have none at all, and to know that
    /// saves three system calls for each file that is loaded.
    pub fn may_have_sidecars(&self) -> bool {
        self.directory.may_have_sidecars.load(Ordering::Acquire)
    }

    /// Whether the name may be that of a FIFO, socket or device, or of a link to one, as far as its
    /// directory tells.
    pub fn may_be_special_file(&self) -> bool {
        self.directory.may_have_special_files.load(Ordering::Acquire)
    }
}

impl WatchedNames {
    const SLOTS: usize = 256;

    /// Reads the names in `directory`. It must be watched already, so that a file created during
    /// the read has an event.
    pub fn read(directory: impl AsFd) -> WatchedNames {
        let (may_have_sidecars, may_have_special_files) = survey(directory);
        WatchedNames {
            generations: [const { AtomicU32::new(0) }; WatchedNames::SLOTS],
            may_have_sidecars: may_have_sidecars.into(),
            may_have_special_files: may_have_special_files.into(),
        }
    }

    /// Records that `name` may have changed: an event names it. `is_new` says that it may be
    /// another file than before.
    pub fn outdate(&self, name: &[u8], is_new: bool) {
        if is_new {
            self.may_have_special_files.store(true, Ordering::Release);
        }
        self.outdate_one(name);
        // What is served as `page.html` depends on `page.html.br`.
        for original in originals_of(name) {
            self.may_have_sidecars.store(true, Ordering::Release);
            self.outdate_one(original);
        }
    }

    /// Records that every name may have changed.
    pub fn outdate_all(&self) {
        self.may_have_sidecars.store(true, Ordering::Release);
        self.may_have_special_files.store(true, Ordering::Release);
        for generation in &self.generations {
            generation.fetch_add(1, Ordering::Release);
        }
    }

    fn outdate_one(&self, name: &[u8]) {
        self.generations[WatchedNames::slot_of(name)].fetch_add(1, Ordering::Release);
    }

    pub(super) fn slot_of(name: &[u8]) -> usize {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish() as usize % WatchedNames::SLOTS
    }
}

/// Whether `directory` may have sidecars, and special files. Both, if it has so many names that
/// reading them would delay other clients.
fn survey(directory: impl AsFd) -> (bool, bool) {
    const NAMES_MAX: usize = 2048;
    let (mut may_have_sidecars, mut may_have_special_files) = (false, false);
    let Ok(mut entries) = Dir::read_from(directory) else { return (true, true) };
    for _ in 0..NAMES_MAX {
        match entries.next() {
            Some(Ok(entry)) => {
                let is_sidecar = originals_of(entry.file_name().to_bytes()).next().is_some();
                may_have_sidecars |= is_sidecar;
                // A symbolic link may lead to one.
                may_have_special_files |=
                    !matches!(entry.file_type(), FileType::RegularFile | FileType::Directory);
            }
            Some(Err(_)) => return (true, true),
            None => return (may_have_sidecars, may_have_special_files),
        }
    }
    (true, true)
}

/// The file that `name` is a sidecar of, if it ends like one.
fn originals_of(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    Coding::ALL.into_iter().filter_map(|coding| name.strip_suffix(coding.extension().as_bytes()))
}
