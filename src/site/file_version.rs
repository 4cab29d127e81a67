//! The facts of a struct stat that tell one version of a file from another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// One version of a file. Equal versions mean equal content, unless [`is_racy`](Self::is_racy).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    pub size_bytes: u64,
    /// mtime and ctime, in seconds and nanoseconds.
    modified: (i64, u64),
    changed: (i64, u64),
}

impl FileVersion {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the types of struct stat differ between architectures"
    )]
    pub fn from_stat(stat: &Stat) -> FileVersion {
        FileVersion {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size_bytes: stat.st_size.max(0) as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }

    /// The mtime. A program can set it to any value.
    pub fn modified(&self) -> SystemTime {
        time_of(self.modified)
    }

    /// Whether the file may have changed, or may still change, without a new version, as of `now`:
    /// two writes within one tick of the file system's clock leave equal times (git's term).
    pub fn is_racy(&self, now: SystemTime) -> bool {
        /// FAT has the coarsest clock of the common file systems.
        const COARSEST_TICK: Duration = Duration::from_secs(2);
        // The ctime too, because a program can set the mtime back.
        let last_touched = time_of(self.modified.max(self.changed));
        last_touched.checked_add(COARSEST_TICK).is_none_or(|tick_end| tick_end >= now)
    }
}

/// A time of the file system, which may lie before 1970. The epoch, if it can't be represented.
fn time_of((seconds, nanoseconds): (i64, u64)) -> SystemTime {
    let seconds_from_epoch = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds {
        ..0 => UNIX_EPOCH.checked_sub(seconds_from_epoch),
        0.. => UNIX_EPOCH.checked_add(seconds_from_epoch),
    };
    whole.and_then(|time| time.checked_add(Duration::from_nanos(nanoseconds))).unwrap_or(UNIX_EPOCH)
}
