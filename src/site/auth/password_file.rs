//! A password file, which is read again when it changes.
//!
//! Invariants:
//! 1. A file that cannot be read or parsed never replaces one that could: its users stay, and one
//!    line on stderr says why.
//! 2. At most one thread looks at the file at a time. A thread that serves other clients does not
//!    do so at all, because a file system may be slow.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fstat, open, stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::secret_key::{Purpose, SecretKey};
use super::shared_file::SharedFile;
use super::users::Users;
use crate::format::error_with;
use crate::http::{Moment, Now};
use crate::site::file_version::FileVersion;
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
    users: RwLock<Arc<Users>>,
    /// In nanoseconds since the origin of the clock.
    fresh_until_ns: AtomicU64,
    seen: Mutex<Seen>,
    /// The keyed hash of the last warning, so that only one of several processes prints it.
    last_warning: SharedFile,
    key: SecretKey,
}

/// What was there when the file was last looked at.
#[derive(Debug)]
struct Seen {
    /// None if it must be read again in any case.
    version: Option<Result<FileVersion, Errno>>,
    /// The hash of what was read last.
    content_hash: [u8; 32],
}

impl PasswordFile {
    /// # Errors
    /// The file cannot be read or parsed.
    pub fn open(path: &Path, key: SecretKey) -> io::Result<PasswordFile> {
        let path = std::path::absolute(path)?;
        let last_warning = SharedFile::new(8)?;
        let loaded = load(&path).map_err(|reason| io::Error::other(reason.message(&path)))?;
        let users = loaded.parse().map_err(|reason| io::Error::other(reason.message(&path)))?;
        let seen = Seen { version: None, content_hash: loaded.content_hash() };
        let file = PasswordFile {
            path,
            users: RwLock::new(Arc::new(users)),
            // The file may still be changing, so the first request looks at it again.
            fresh_until_ns: AtomicU64::new(0),
            seen: Mutex::new(seen),
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
        // Another thread is looking.
        let Some(mut seen) = try_lock(&self.seen) else { return };
        if !self.is_stale(now.moment) {
            return;
        }
        let version = stat(&self.path).map(|stat| FileVersion::from_stat(&stat));
        if seen.version != Some(version) {
            match load(&self.path) {
                Ok(loaded) => {
                    seen.version = loaded.version_as_of(now).map(Ok);
                    self.replace(&loaded, &mut seen);
                }
                Err(reason) => {
                    seen.version = version.is_err().then_some(version);
                    self.warn_once(&kept(&reason.message(&self.path)));
                }
            }
        }
        let fresh_until = nanoseconds(now.moment + FRESH);
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

    fn replace(&self, loaded: &Loaded, seen: &mut Seen) {
        let content_hash = loaded.content_hash();
        if content_hash == seen.content_hash {
            return self.warn_of_mode(loaded);
        }
        match loaded.parse() {
            Ok(users) => {
                seen.content_hash = content_hash;
                *write(&self.users) = Arc::new(users);
                self.warn_of_mode(loaded);
            }
            Err(reason) => self.warn_once(&kept(&reason.message(&self.path))),
        }
    }

    fn warn_of_mode(&self, loaded: &Loaded) {
        if loaded.mode & 0o004 == 0 {
            // The next warning is news, even if it is the same as the last one.
            let _ = self.last_warning.update(0, |bytes: &mut [u8; 8]| *bytes = [0; 8]);
            return;
        }
        self.warn_once(&format!(
            "every user of this machine can read --auth-file {}: expected mode 0640 or 0600, found {:04o}",
            self.path.display(),
            loaded.mode & 0o7777
        ));
    }

    fn warn_once(&self, message: &str) {
        let (hash, _) = self.key.hash_to_numbers(Purpose::Warning, message.as_bytes());
        let is_new = self.last_warning.update(0, |bytes: &mut [u8; 8]| {
            std::mem::replace(bytes, hash.to_le_bytes()) != hash.to_le_bytes()
        });
        if is_new.unwrap_or(true) {
            warn(message);
        }
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
    TooLarge,
    /// It changed while it was read.
    Changing,
    Malformed(String),
}

fn load(path: &Path) -> Result<Loaded, Unusable> {
    let file = open_file(path).map_err(Unusable::Unreadable)?;
    let before = fstat(&file).map_err(Unusable::Unreadable)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(Unusable::NotAFile);
    }
    let version = FileVersion::from_stat(&before);
    let mut content = Vec::new();
    let mut limited = io::Read::take(std::fs::File::from(file), FILE_BYTES_MAX + 1);
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
    // O_NONBLOCK, because the open of a FIFO waits for its writer.
    open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

impl Loaded {
    fn parse(&self) -> Result<Users, Unusable> {
        Users::parse(&self.content).map_err(Unusable::Malformed)
    }

    fn content_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.content).into()
    }

    /// The version, unless the content may change without another one.
    fn version_as_of(&self, now: &Now) -> Option<FileVersion> {
        Some(self.version).filter(|version| !version.mtime(now.wall).is_racy())
    }
}

impl Unusable {
    fn message(&self, path: &Path) -> String {
        let reason = match self {
            Unusable::Unreadable(errno) => crate::format::reason(&(*errno).into()),
            Unusable::NotAFile => "not a regular file".to_owned(),
            Unusable::TooLarge => format!("larger than {FILE_BYTES_MAX} bytes"),
            Unusable::Changing => "it changed while it was read".to_owned(),
            Unusable::Malformed(reason) => reason.clone(),
        };
        format!("--auth-file {}: {reason}", path.display())
    }
}

fn kept(reason: &str) -> String {
    format!("{reason}; the users of its last version stay")
}

fn nanoseconds(moment: Moment) -> u64 {
    moment.since(Moment::default()).as_nanos() as u64
}
