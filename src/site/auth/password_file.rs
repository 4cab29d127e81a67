//! A password file, which is read again when it changes.
//!
//! Invariants:
//! 1. A file that cannot be read or parsed never replaces one that could: the previous users remain
//!    valid, also in processes that are forked later, and one line on stderr says why.
//! 2. At most one thread of a process looks at the file at a time, and never the thread of an event
//!    loop, because a file system may be slow.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};
use rustix::io::Errno;

use super::last_good::LastGood;
use super::secret_key::{Purpose, SecretKey};
use super::users::Users;
use crate::format::error_with;
use crate::http::{Moment, Now};
use crate::site::file_version::FileVersion;
use crate::site::served_files::ServedFiles;
use crate::site::shared_file::SharedFile;
use crate::sync::{read, try_lock, write};
use crate::warning::warn;

/// How long the file is used before it is compared with the disk again.
const FRESH: Duration = Duration::from_millis(900);
/// About 14,000 users.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The users of a password file.
#[derive(Debug)]
pub struct PasswordFile {
    path: PathBuf,
    served: ServedFiles,
    users: RwLock<Arc<Users>>,
    /// In nanoseconds since the origin of the clock.
    fresh_until_ns: AtomicU64,
    seen: Mutex<Option<SeenVersion>>,
    last_good: LastGood,
    /// The keyed hash of the last warning, so that only one of several processes prints it.
    last_warning: SharedFile,
    key: SecretKey,
}

/// What the last look found at the path: a version, or the error of stat(2). None in place of it
/// means that the file must be read again in any case.
type SeenVersion = Result<FileVersion, Errno>;

impl PasswordFile {
    /// # Errors
    /// The file cannot be read or parsed, or is among those that are `served`.
    pub fn open(path: &Path, served: ServedFiles, key: SecretKey) -> io::Result<PasswordFile> {
        let path = std::path::absolute(path)?;
        let (last_good, last_warning) = (LastGood::new(FILE_BYTES_MAX)?, SharedFile::new(1)?);
        let loaded =
            load(&path, &served).map_err(|reason| io::Error::other(reason.message(&path)))?;
        let users = loaded.parse().map_err(|reason| io::Error::other(reason.message(&path)))?;
        last_good.store(&loaded.content);
        let file = PasswordFile {
            path,
            served,
            last_good,
            users: RwLock::new(Arc::new(users)),
            // The file may still be changing, so the first request looks at it again.
            fresh_until_ns: AtomicU64::new(0),
            seen: Mutex::default(),
            last_warning,
            key,
        };
        file.warn_of_mode(&loaded);
        Ok(file)
    }

    /// The users as of the last look.
    pub fn users(&self) -> Arc<Users> {
        read(&self.users).clone()
    }

    /// Whether it is time for [`PasswordFile::refresh`].
    pub fn is_stale(&self, now: Moment) -> bool {
        nanoseconds(now) >= self.fresh_until_ns.load(Ordering::Acquire)
    }

    /// Reads the file again if it has changed. May take long on a slow file system.
    pub fn refresh(&self, now: &Now) {
        // If another thread is refreshing it, the present users are used.
        let Some(mut seen) = try_lock(&self.seen) else { return };
        if !self.is_stale(now.moment) {
            return;
        }
        let started = Instant::now();
        let version = stat(&self.path).map(|stat| FileVersion::from_stat(&stat));
        if *seen != Some(version) {
            match load(&self.path, &self.served) {
                Ok(loaded) => {
                    *seen = loaded.version_as_of(now).map(Ok);
                    self.replace(&loaded);
                }
                Err(reason) => {
                    *seen = version.is_err().then_some(version);
                    self.keep_users(&reason);
                }
            }
        }
        // Counted from the end of the look: after a slow one, the file would otherwise be stale
        // again at once, and the next request would wait for another look.
        let fresh_until = nanoseconds(now.moment + started.elapsed() + FRESH);
        self.fresh_until_ns.store(fresh_until, Ordering::Release);
    }

    /// Checks that this process, with the user and restrictions it has now, can read the file.
    ///
    /// # Errors
    /// That of open(2), with the path.
    pub fn check_access(&self) -> io::Result<()> {
        open_file(&self.path).map(drop).map_err(|errno| {
            error_with(format_args!("--auth-file {}", self.path.display()), &errno.into())
        })
    }

    /// The directories that the file is reached through: that of its path and, if that is a
    /// symbolic link, that of the file.
    pub fn directories(&self) -> Vec<PathBuf> {
        let target = std::fs::canonicalize(&self.path).ok();
        let paths = [Some(&self.path), target.as_ref()];
        let mut directories: Vec<PathBuf> =
            paths.into_iter().flatten().filter_map(|path| Some(path.parent()?.into())).collect();
        directories.dedup();
        directories
    }

    fn replace(&self, loaded: &Loaded) {
        if Users::version_of(&loaded.content) == *self.users().version() {
            // Another process may have read another version since.
            self.last_good.store(&loaded.content);
            return self.warn_of_mode(loaded);
        }
        match loaded.parse() {
            Ok(users) => {
                self.last_good.store(&loaded.content);
                *write(&self.users) = Arc::new(users);
                self.warn_of_mode(loaded);
            }
            Err(reason) => self.keep_users(&reason),
        }
    }

    /// Keeps the users of the last file that could be used, which another process may have read.
    fn keep_users(&self, reason: &Unusable) {
        let last_good = self.last_good.load_other_than(self.users().version());
        if let Some(Ok(users)) = last_good.map(|content| Users::parse(&content)) {
            *write(&self.users) = Arc::new(users);
        }
        let reason = reason.message(&self.path);
        self.warn_once(&format!("{reason}; keeping the users of its last usable version"));
    }

    fn warn_of_mode(&self, loaded: &Loaded) {
        if loaded.mode & 0o004 == 0 {
            // The next warning is news, even if it is the same as the last one.
            self.replace_last_warning(0);
            return;
        }
        self.warn_once(&format!(
            "every user of this machine can read --auth-file {}: expected mode 0640 or 0600, found {:04o}",
            self.path.display(),
            loaded.mode & 0o7777
        ));
    }

    fn warn_once(&self, message: &str) {
        let id = self.key.hash(Purpose::Warning, &[message.as_bytes()]).id();
        if self.replace_last_warning(id) != id {
            warn(message);
        }
    }

    /// Stores `id` as that of the last warning, and returns the id before it.
    fn replace_last_warning(&self, id: u64) -> u64 {
        // Without a lock, two processes may print the same warning.
        let _lock = self.last_warning.lock(0);
        let before = self.last_warning.load(0);
        self.last_warning.store(0, id);
        before
    }
}

/// A file as it was read.
struct Loaded {
    content: Vec<u8>,
    version: FileVersion,
    mode: u32,
}

/// Why a file cannot be used.
enum Unusable {
    Unreadable(Errno),
    NotAFile,
    /// Every client could read the hashes.
    Served,
    TooLarge,
    /// It changed while it was read.
    Changing,
    Malformed(String),
}

fn load(path: &Path, served: &ServedFiles) -> Result<Loaded, Unusable> {
    let file = File::from(open_file(path).map_err(Unusable::Unreadable)?);
    let before = fstat(&file).map_err(Unusable::Unreadable)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(Unusable::NotAFile);
    }
    if served.include_opened(path, &file).map_err(|_| Unusable::Changing)? {
        return Err(Unusable::Served);
    }
    let version = FileVersion::from_stat(&before);
    let mut content = Vec::new();
    let mut limited = io::Read::take(file, FILE_BYTES_MAX + 1);
    io::Read::read_to_end(&mut limited, &mut content)
        .map_err(|error| Unusable::Unreadable(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(Unusable::TooLarge);
    }
    let after = fstat(limited.get_ref()).map_err(Unusable::Unreadable)?;
    match FileVersion::from_stat(&after) == version {
        true => Ok(Loaded { content, version, mode: before.st_mode }),
        false => Err(Unusable::Changing),
    }
}

fn open_file(path: &Path) -> rustix::io::Result<std::os::fd::OwnedFd> {
    // O_NONBLOCK, because opening a FIFO blocks until it has a writer.
    open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

impl Loaded {
    fn parse(&self) -> Result<Users, Unusable> {
        Users::parse(&self.content).map_err(Unusable::Malformed)
    }

    /// The version, unless the content may still change while the version stays the same.
    fn version_as_of(&self, now: &Now) -> Option<FileVersion> {
        Some(self.version).filter(|version| !version.mtime(now.wall).is_racy())
    }
}

impl Unusable {
    fn message(&self, path: &Path) -> String {
        let reason = match self {
            Unusable::Unreadable(errno) => crate::format::reason(&(*errno).into()),
            Unusable::NotAFile => "not a regular file".to_owned(),
            Unusable::Served => "expected a file that is not served, outside ROOT".to_owned(),
            Unusable::TooLarge => format!("larger than {FILE_BYTES_MAX} bytes"),
            Unusable::Changing => "it changed while it was read".to_owned(),
            Unusable::Malformed(reason) => reason.clone(),
        };
        format!("--auth-file {}: {reason}", path.display())
    }
}

fn nanoseconds(moment: Moment) -> u64 {
    moment.since(Moment::default()).as_nanos() as u64
}
