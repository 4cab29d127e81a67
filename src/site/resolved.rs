//! What the root has at a path.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, statat};

use super::errors::status_of_open;
use super::file_version::FileVersion;
use super::open_file::{File, OpenFile};
use super::sample::EmbeddedFile;
use crate::http::Status;
use crate::syscall_stats::{Call, SyscallStats};

/// How files are opened for reading. `O_NONBLOCK`: the open of a FIFO must not block the worker.
pub const OPEN_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The result of a lookup on the disk.
#[derive(Debug)]
pub struct Found {
    pub resolved: Resolved,
    /// Whether every change of it has an event in its directory. False if a symbolic link is on the
    /// path, whose target may be elsewhere, or the file has a second name (a hard link), through
    /// which it may be written.
    pub is_watchable: bool,
}

/// What a path resolves to.
#[derive(Debug)]
pub enum Resolved {
    /// A regular file, open for reading, and its version at that moment.
    File {
        file: File,
        version: FileVersion,
    },
    /// A file of the sample site.
    Embedded(&'static EmbeddedFile),
    Directory,
    /// Nothing that is served, and the status that says why.
    NotFound(Status),
}

impl Found {
    /// For what never changes, or is not watched.
    pub fn unwatched(resolved: Resolved) -> Found {
        Found { resolved, is_watchable: false }
    }

    /// The same, with what `change` makes of it.
    pub fn map(self, change: impl FnOnce(Resolved) -> Resolved) -> Found {
        Found { resolved: change(self.resolved), ..self }
    }

    /// Classifies the result of an open by fstat of the descriptor, so that a rename between the
    /// two calls can't change the outcome. Only regular files are served.
    ///
    /// `has_links` says whether a symbolic link may be on the path.
    pub fn from_open(
        opened: rustix::io::Result<OwnedFd>,
        has_links: bool,
        stats: &SyscallStats,
    ) -> Found {
        let opened = opened.map(|descriptor| OpenFile::new(descriptor, stats));
        let mut is_watchable = !has_links;
        let resolved = match opened.and_then(|file| file.stat(stats).map(|stat| (file, stat))) {
            Ok((file, stat)) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {
                    is_watchable &= stat.st_nlink == 1;
                    Resolved::File { file: file.into(), version: FileVersion::from_stat(&stat) }
                }
                FileType::Directory => Resolved::Directory,
                _ => Resolved::NotFound(Status::NotFound),
            },
            Err(errno) => Resolved::NotFound(status_of_open(errno)),
        };
        Found { resolved, is_watchable }
    }
}

/// Whether a name may be that of a file to open: a regular file, or a symbolic link, whose target
/// [`Found::from_open`] classifies.
pub fn may_be_file(directory: impl AsFd, name: &[u8], stats: &SyscallStats) -> bool {
    matches!(kind_of_name(directory, name, stats), Some(FileType::RegularFile | FileType::Symlink))
}

/// What has the name itself, without following it if it is a symbolic link. None if nothing has.
pub fn kind_of_name(directory: impl AsFd, name: &[u8], stats: &SyscallStats) -> Option<FileType> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    stats.count(Call::StatPath);
    let stat = statat(directory, name, flags).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}
