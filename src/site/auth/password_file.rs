//! A password file, which is read again when it changes.
//!
//! Invariants:
//! 1. A file that cannot be read or parsed never replaces one that could: the previous users remain
//!    valid, also in processes that are forked later, and one line on stderr says why.
//! 2. At most one thread of a process looks at the file at a time, and never the thread of an event
//!    loop, because a file system may be slow.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::last_good::LastGood;
use super::secret_key::{Purpose, SecretKey};
use super::users::Users;
use crate::http::{Moment, Now};
use crate::site::file_version::FileVersion;
use crate::site::private_file::{PRIVATE_FILE_BYTES_MAX, PrivateFile, private_file_version};
use crate::site::served_files::ServedFiles;
use crate::site::shared_file::SharedFile;
use crate::sync::{read, try_lock, write};
use crate::warning::warn;

/// How long the file is used before it is compared with the disk again.
const FRESH: Duration = Duration::from_millis(900);

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
        let (last_good, last_warning) =
            (LastGood::new(PRIVATE_FILE_BYTES_MAX)?, SharedFile::new(1)?);
        let unusable = |reason: String| io::Error::other(about(&path, &reason));
        let loaded = PrivateFile::read(&path, &served).map_err(unusable)?;
        let users = Users::parse(&loaded.content).map_err(unusable)?;
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
        let version = private_file_version(&self.path);
        if *seen != Some(version) {
            match PrivateFile::read(&self.path, &self.served) {
                Ok(loaded) => {
                    *seen = loaded.version_as_of(now.wall).map(Ok);
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

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn replace(&self, loaded: &PrivateFile) {
        if Users::version_of(&loaded.content) == *self.users().version() {
            // Another process may have read another version since.
            self.last_good.store(&loaded.content);
            return self.warn_of_mode(loaded);
        }
        match Users::parse(&loaded.content) {
            Ok(users) => {
                self.last_good.store(&loaded.content);
                *write(&self.users) = Arc::new(users);
                self.warn_of_mode(loaded);
            }
            Err(reason) => self.keep_users(&reason),
        }
    }

    /// Keeps the users of the last file that could be used, which another process may have read.
    fn keep_users(&self, reason: &str) {
        let last_good = self.last_good.load_other_than(self.users().version());
        if let Some(Ok(users)) = last_good.map(|content| Users::parse(&content)) {
            *write(&self.users) = Arc::new(users);
        }
        let reason = about(&self.path, reason);
        self.warn_once(&format!("{reason}; keeping the users of its last usable version"));
    }

    fn warn_of_mode(&self, loaded: &PrivateFile) {
        match loaded.mode_warning("--auth-file", &self.path) {
            Some(warning) => self.warn_once(&warning),
            // The next warning is news, even if it is the same as the last one.
            None => {
                self.replace_last_warning(0);
            }
        }
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

/// A reason why the file cannot be used, with its path.
fn about(path: &Path, reason: &str) -> String {
    format!("--auth-file {}: {reason}", path.display())
}

fn nanoseconds(moment: Moment) -> u64 {
    moment.since(Moment::default()).as_nanos() as u64
}
