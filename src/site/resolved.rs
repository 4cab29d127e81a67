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

impl Resolved {
    /// Classifies the result of an open by fstat of the descriptor, so that a rename between the
    /// two calls can't change the outcome. Only regular files are served.
    pub fn from_open(opened: rustix::io::Result<OwnedFd>, stats: &SyscallStats) -> Resolved {
        let opened = opened.map(|descriptor| OpenFile::new(descriptor, stats));
        match opened.and_then(|file| file.stat(stats).map(|stat| (file, stat))) {
            Ok((file, stat)) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {
                    Resolved::File { file: file.into(), version: FileVersion::from_stat(&stat) }
                }
                FileType::Directory => Resolved::Directory,
                _ => Resolved::NotFound(Status::NotFound),
            },
            Err(errno) => Resolved::NotFound(status_of_open(errno)),
        }
    }
}

/// Whether a name may be that of a file to open: a regular file, or a symbolic link, whose target
/// [`Resolved::from_open`] classifies.
pub fn may_be_file(directory: impl AsFd, name: &[u8], stats: &SyscallStats) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    stats.count(Call::StatPath);
    statat(directory, name, flags).is_ok_and(|stat| {
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Symlink)
    })
}
