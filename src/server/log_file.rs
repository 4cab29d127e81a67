//! Where the log is written: stdout, or a file that is reopened after a rotation.
//!
//! Invariants:
//! 1. Root creates a file that does not exist, and opens none that does: the user who owns the
//!    directory could have put a link to any file in its place. Other than that, the file is opened
//!    with the privileges that the server keeps, at the start and on every SIGHUP alike.
//! 2. The site never serves a log file. The check is made on the opened file, because its path may
//!    have changed its meaning since.
//! 3. A file that cannot be opened again stays open, so that no line is lost.

use std::fs::File;
use std::io::{self, ErrorKind, Stdout};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::User;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::format::{error_with, reason};
use crate::site::{ServedFiles, resolve_file};
use crate::warning::warn;

/// Where the lines of the log go.
#[derive(Debug)]
pub enum LogOutput {
    Stdout(Stdout),
    File(LogFile),
}

/// A log file that is open for appending.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    served: ServedFiles,
    file: File,
    /// Whether the last warning still holds.
    has_warned: bool,
}

/// Readable for the group, which log shippers and administrators belong to.
const MODE: u32 = 0o640;

impl LogFile {
    /// Creates the file for `user`, if there is none.
    ///
    /// # Errors
    /// That of open(2) or chown(2), with the path.
    pub fn create_for(user: &User, path: &Path) -> io::Result<()> {
        let created = File::options().write(true).create_new(true).mode(MODE).open(path);
        let owned = created
            .and_then(|file| fchown(&file, Some(user.uid.as_raw()), Some(user.gid.as_raw())));
        match owned {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(described(path, &error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Opens the file, and creates it if there is none.
    ///
    /// # Errors
    /// That of open(2), with the path; the file is not a regular one, or among `served`.
    pub fn open(path: PathBuf, served: ServedFiles) -> io::Result<LogFile> {
        let file = open(&path, &served).map_err(|error| described(&path, &error))?;
        Ok(LogFile { path, served, file, has_warned: false })
    }

    /// Opens the file that the path leads to now. If that fails, the present one is kept. Returns
    /// whether it is another one.
    pub fn reopen(&mut self) -> bool {
        match open(&self.path, &self.served) {
            Ok(file) => {
                let is_other = identity(&file) != identity(&self.file);
                self.file = file;
                self.has_warned = false;
                is_other
            }
            Err(error) => {
                let error = reason(&error);
                self.warn_once(&format!("{error}; keeping the file that is open"));
                false
            }
        }
    }

    /// Warns that lines are lost.
    pub fn warn_of_loss(&mut self, error: &io::Error) {
        let error = reason(error);
        self.warn_once(&format!("{error}; lines of the log are lost"));
    }

    fn warn_once(&mut self, message: &str) {
        if !self.has_warned {
            warn(format_args!("--log-file {}: {message}", self.path.display()));
        }
        self.has_warned = true;
    }
}

fn open(path: &Path, served: &ServedFiles) -> io::Result<File> {
    // Without NONBLOCK, opening a FIFO would wait for a reader.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let not_regular = || io::Error::other("not a regular file");
    let is_served = || io::Error::other("expected a file that is not served, outside ROOT");
    let mut options = File::options();
    options.append(true).mode(MODE).custom_flags(flags);
    let opened = match options.open(path) {
        // The path may be a link whose target a rotation has renamed. The target is created if the
        // site does not serve it; create_new follows no further link (EEXIST).
        Err(error) if error.kind() == ErrorKind::NotFound => match resolve_file(path) {
            Some(target) if served.include(&target) => return Err(is_served()),
            Some(target) => options.create_new(true).open(target),
            None => return Err(error),
        },
        opened => opened,
    };
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        // A FIFO that nothing reads, or a socket.
        Some(Errno::NXIO) => not_regular(),
        _ => error,
    })?;
    match file.metadata()?.is_file() {
        false => Err(not_regular()),
        true if served.include_opened(path, &file)? => Err(is_served()),
        true => Ok(file),
    }
}

fn identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn described(path: &Path, error: &io::Error) -> io::Error {
    error_with(format_args!("--log-file {}", path.display()), error)
}

impl AsFd for LogOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            LogOutput::Stdout(stdout) => stdout.as_fd(),
            LogOutput::File(log) => log.file.as_fd(),
        }
    }
}
