//! The root of the site: a directory, a single file, or the embedded sample site.

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, open};
use rustix::io::Errno;

use super::directory_root::{DirectoryRoot, OpenDirectory};
use super::file_root::FileRoot;
use super::path::SitePath;
use super::resolved::{Found, Resolved};
use super::sample;
use super::watch::Watch;
use crate::format::error_with;
use crate::http::{Coding, Status};
use crate::syscall_stats::SyscallStats;

/// Where the files of the site come from.
#[derive(Debug)]
pub enum Root {
    /// A directory.
    Directory(DirectoryRoot),
    /// One file, which is the response to every path.
    File(FileRoot),
    /// The embedded sample site.
    Sample,
}

impl Root {
    /// Opens the directory or file at `path` as a root.
    ///
    /// # Errors
    /// The error of the failed system call; `ENOSYS` from a kernel older than 5.6 (no openat2).
    pub fn open(path: &Path) -> std::io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = open(path, flags, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
            FileType::Directory => Ok(Root::Directory(DirectoryRoot::new(path, opened)?)),
            FileType::RegularFile => Ok(Root::File(FileRoot::new(path)?)),
            _ => Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "neither a directory nor a file",
            )),
        }
    }

    /// Whether an open or read may take long: the root, or a mount beneath it, is a FUSE or network
    /// file system. A mount made while the server runs is not noticed.
    pub fn is_slow(&self) -> bool {
        match self {
            Root::Directory(directory) => directory.is_slow(),
            Root::File(file) => file.is_slow(),
            Root::Sample => false,
        }
    }

    /// The absolute path, unless the site is embedded.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Root::Directory(directory) => Some(directory.path()),
            Root::File(file) => Some(file.path()),
            Root::Sample => None,
        }
    }

    /// Checks that the process can open the root by its path, and files of it, with the user that
    /// it has now; the root itself may have been opened by another user.
    ///
    /// # Errors
    /// The error of the failed system call, with the root's path or that of a parent which the user
    /// may not search.
    pub fn check_access(&self) -> std::io::Result<()> {
        let (path, checked) = match self {
            Root::Directory(directory) => (directory.path(), directory.check_access()),
            Root::File(file) => (file.path(), file.check_access()),
            Root::Sample => return Ok(()),
        };
        let is_closed = |parent: &&Path| {
            accessat(CWD, *parent, Access::EXEC_OK, AtFlags::empty()) == Err(Errno::ACCESS)
        };
        checked.map_err(|errno| {
            // The first from the top: beneath it, access(2) fails for every directory.
            let closed = path.ancestors().skip(1).filter(is_closed).last();
            error_with(closed.unwrap_or(path).display(), &errno.into())
        })
    }

    /// Switches to the directory that has the root's path now.
    pub fn follow_path(&self, stats: &SyscallStats) {
        if let Root::Directory(directory) = self {
            directory.follow_path(stats);
        }
    }

    /// Opens the file at `path`, or the index page of the directory at `path`. With a `coding` it
    /// opens the sidecar of that file: `page.html.br`.
    pub fn find(&self, path: &SitePath<'_>, coding: Option<Coding>, stats: &SyscallStats) -> Found {
        let found = match self {
            Root::Directory(directory) => directory.find(path, coding, stats),
            Root::File(file) => file.find(coding, stats),
            Root::Sample => Found::unwatched(find_in_sample(path, coding)),
        };
        found.map(|resolved| match resolved {
            // A directory called index.html is not an index page.
            Resolved::Directory if path.is_directory => Resolved::NotFound(Status::NotFound),
            resolved => resolved,
        })
    }

    /// Watches what [`find`](Root::find) finds at `path`, and the sidecars next to it. None if it
    /// can't be watched. Call it before `find`, so that no change is missed.
    pub fn watch(&self, path: &SitePath<'_>, stats: &SyscallStats) -> Option<Watch> {
        match self {
            Root::Directory(directory) => directory.watch(path, stats),
            Root::File(_) | Root::Sample => None,
        }
    }

    /// Whether [`find`](Root::find) would find a file at `relative`.
    pub fn has_file(&self, relative: &[u8]) -> bool {
        let path = SitePath::to_file(relative);
        let found = self.find(&path, None, &SyscallStats::default());
        matches!(found.resolved, Resolved::File { .. } | Resolved::Embedded(_))
    }

    /// Whether a sidecar in `coding` may exist, by a stat of its name. Usually there is none, and a
    /// stat costs a third of a failed open. Names of FIFOs and devices are ruled out, as by
    /// [`is_special_file`](Root::is_special_file).
    pub fn may_have_sidecar(
        &self,
        path: &SitePath<'_>,
        coding: Coding,
        stats: &SyscallStats,
    ) -> bool {
        match self {
            Root::Directory(directory) => directory.may_have_sidecar(path, coding, stats),
            Root::File(file) => file.may_have_sidecar(coding, stats),
            Root::Sample => false,
        }
    }

    /// Whether `path` leads to a FIFO, socket or device, which must not be opened: opening a FIFO
    /// wakes its writer, and opening a device may have any effect. Hence `O_PATH`.
    ///
    /// It costs less with the `watch` of the path.
    pub fn is_special_file(
        &self,
        path: &SitePath<'_>,
        watch: Option<&Watch>,
        stats: &SyscallStats,
    ) -> bool {
        match (self, watch) {
            (Root::Directory(_), Some(watch)) if !watch.may_be_special_file() => false,
            (Root::Directory(directory), Some(_)) => directory.is_special_name(path, stats),
            (Root::Directory(directory), None) => directory.is_special_file(path, stats),
            (Root::File(_) | Root::Sample, _) => false,
        }
    }

    /// Opens the directory at `path`, to be listed.
    ///
    /// # Errors
    /// The status of the response where there is no directory to list.
    pub fn open_directory(
        &self,
        path: &SitePath<'_>,
        stats: &SyscallStats,
    ) -> Result<OpenDirectory, Status> {
        match self {
            Root::Directory(directory) => directory.open_directory(path, stats),
            Root::File(_) | Root::Sample => Err(Status::NotFound),
        }
    }

    /// The path of the file that is the response to every path, if the root is a file. Name, media
    /// type and policy are those of the file, and it is loaded once.
    pub fn only_path(&self) -> Option<SitePath<'static>> {
        match self {
            Root::File(file) => Some(file.site_path()),
            Root::Directory(_) | Root::Sample => None,
        }
    }
}

fn find_in_sample(path: &SitePath<'_>, coding: Option<Coding>) -> Resolved {
    if path.is_hidden {
        return Resolved::NotFound(Status::NotFound);
    }
    sample::find(&path.file_path_in(coding))
        .map_or(Resolved::NotFound(Status::NotFound), Resolved::Embedded)
}

/// The directory served by default: `./html`, if it exists.
pub fn default_directory() -> Option<&'static Path> {
    let directory = Path::new("./html");
    directory.is_dir().then_some(directory)
}
