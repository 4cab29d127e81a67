//! The facts of a struct stat that tell one version of a file from another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use crate::http::{DateStrength, LastModified};

/// One version of a file. Equal versions mean equal content, unless the mtime is
/// [racy](Mtime::Racy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    pub size_bytes: u64,
    /// mtime and ctime, in seconds and nanoseconds.
    modified: (i64, u64),
    changed: (i64, u64),
}

/// What the mtime of a file says about its content.
///
/// A program can set any mtime. Reproducible builds, archives and image layers give the same one to
/// every version of a file, so that neither size and mtime nor Last-Modified tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtime {
    /// Nothing: an embedded file has none that every build of the same source would agree on.
    Absent,
    /// Nothing: the file, which was last touched at this time, may have changed or may still change
    /// without a new [`FileVersion`] (git's term).
    Racy(SystemTime),
    /// Nothing: no clock has set it. It is in the future, or older than the first web page (0 in
    /// OSTree, 1 in Nix, 1980 in ZIP, 1985 in npm). The time is the ctime.
    Pinned(SystemTime),
    /// The date of the content, in whole seconds, and set by a program: `tar` and `scp -p` preserve
    /// no more, and `SOURCE_DATE_EPOCH` gives one date to files that differ.
    Dated(SystemTime),
    /// The time of the last write: it has a fraction of a second, which programs only copy, or is
    /// the ctime, which they can't set.
    Exact(SystemTime),
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

    /// The mtime, whatever it is worth.
    pub fn modified(&self) -> SystemTime {
        time_of(self.modified)
    }

    /// Whether the ctime lies within `time` before `now`, or in the future.
    pub fn is_recent(&self, time: Duration, now: SystemTime) -> bool {
        is_recent(time_of(self.changed), time, now)
    }

    /// What the mtime is worth, as of `now`.
    pub fn mtime(&self, now: SystemTime) -> Mtime {
        /// Two writes within one tick of the file system's clock leave equal times. FAT has the
        /// coarsest clock of the common file systems.
        const COARSEST_TICK: Duration = Duration::from_secs(2);
        /// 1990-01-01.
        const BEFORE_THE_WEB: Duration = Duration::from_secs(631_152_000);
        let (modified, changed) = (time_of(self.modified), time_of(self.changed));
        let is_recent = |time| is_recent(time, COARSEST_TICK, now);
        // The ctime decides, because no program can set it back. Some FUSE file systems have no
        // ctime, but a program may set an mtime in the future, which is no reason to wait for it.
        if is_recent(changed) || (modified <= now && is_recent(modified)) {
            Mtime::Racy(modified.max(changed))
        } else if modified > now || modified < UNIX_EPOCH + BEFORE_THE_WEB {
            Mtime::Pinned(changed)
        } else if self.modified.1 == 0 && self.modified != self.changed {
            Mtime::Dated(modified)
        } else {
            Mtime::Exact(modified)
        }
    }

    /// A text that is equal for files of equal size and mtime: not the inode or the ctime, in which
    /// replicas differ.
    pub fn opaque_tag(&self) -> String {
        let (seconds, nanoseconds) = self.modified;
        let since_epoch = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        format!("{:x}-{since_epoch:x}", self.size_bytes)
    }
}

impl Mtime {
    pub fn is_racy(self) -> bool {
        matches!(self, Mtime::Racy(_))
    }

    /// When the content was last modified, as far as preconditions may depend on it.
    pub fn last_modified(self) -> Option<LastModified> {
        let (time, strength) = match self {
            Mtime::Absent => return None,
            Mtime::Racy(touched) => (touched, DateStrength::Withheld),
            Mtime::Pinned(changed) => (changed, DateStrength::Withheld),
            Mtime::Dated(time) => (time, DateStrength::Weak),
            Mtime::Exact(time) => (time, DateStrength::Strong),
        };
        Some(LastModified { time, strength })
    }

    /// The time for Last-Modified, if it is a validator.
    pub fn date(self) -> Option<SystemTime> {
        match self {
            Mtime::Absent | Mtime::Racy(_) | Mtime::Pinned(_) => None,
            Mtime::Dated(time) | Mtime::Exact(time) => Some(time),
        }
    }
}

/// Whether `moment` lies within `time` before `now`, or in the future.
fn is_recent(moment: SystemTime, time: Duration, now: SystemTime) -> bool {
    moment.checked_add(time).is_none_or(|until| until >= now)
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn mtime(modified: (i64, u64), changed: (i64, u64)) -> Mtime {
        let version = FileVersion { device: 1, inode: 2, size_bytes: 3, modified, changed };
        version.mtime(time_of((NOW, 0)))
    }

    #[test]
    fn the_ctime_decides_whether_a_file_may_still_change() {
        let old = (NOW - 86_400, 1);
        for changed in [(NOW - 1, 0), (NOW - 2, 0), (NOW, 0), (NOW + 86_400, 0)] {
            assert_eq!(mtime(old, changed), Mtime::Racy(time_of(changed)), "{changed:?}");
        }
        assert!(mtime((NOW - 1, 0), (0, 0)).is_racy(), "a file system without a ctime");
        assert_eq!(mtime(old, (NOW - 3, 0)), Mtime::Exact(time_of(old)));
        assert!(!mtime((NOW + 86_400, 1), (NOW - 3, 0)).is_racy(), "a program set it");
    }

    #[test]
    fn a_time_that_a_program_may_have_pinned_is_not_exact() {
        let changed = (NOW - 86_400, 123);
        let npm = 499_162_500;
        for seconds in [i64::MIN, -1, 0, 1, 315_532_800, npm, NOW + 1, i64::MAX] {
            let pinned = Mtime::Pinned(time_of(changed));
            assert_eq!(mtime((seconds, 0), changed), pinned, "{seconds}");
        }
        let source_date_epoch = (NOW - 200_000, 0);
        assert_eq!(mtime(source_date_epoch, changed), Mtime::Dated(time_of(source_date_epoch)));
        let written = (NOW - 200_000, 1);
        assert_eq!(mtime(written, changed), Mtime::Exact(time_of(written)));
        let coarse_clock = (NOW - 86_400, 0);
        assert_eq!(mtime(coarse_clock, coarse_clock), Mtime::Exact(time_of(coarse_clock)));
    }
}
