//! A root that is a directory.
//!
//! Invariants:
//! 1. The kernel enforces containment: every path is opened through [`OpenRoot`], so neither a
//!    symbolic link, a concurrent rename nor a sibling such as `/srv/site-evil` can lead out of the
//!    root.
//! 2. A file is classified after the open, by fstat of its descriptor.
//! 3. Every open has `O_NONBLOCK`, so that a FIFO can't block a worker.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, Stat, accessat, fstat, fstatfs, open, statat,
};
use rustix::io::Errno;

use super::errors::status_of_open;
use super::hidden::HiddenPaths;
use super::open_file::OpenFile;
use super::open_root::OpenRoot;
use super::path::SitePath;
use super::resolved::{Found, OPEN_FLAGS, Resolved, kind_of_name, may_be_file};
use super::slow_mounts;
use super::watch::Watch;
use super::watched_directories::WatchedDirectories;
use crate::http::{Coding, Status};
use crate::sync::{read, write};
use crate::syscall_stats::{Call, SyscallStats};

/// How the root's path is opened again. `O_PATH` would need fewer rights, but Landlock does not
/// restrict it, so a confined server would switch to a directory that it can't read.
const REOPEN_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A directory, held open. If another directory takes its path, as when a site generator replaces
/// its output, [`follow_path`](DirectoryRoot::follow_path) switches to that one.
#[derive(Debug)]
pub struct DirectoryRoot {
    path: PathBuf,
    opened: RwLock<Opened>,
    has_slow_mount: bool,
}

/// The directory that is served now.
#[derive(Clone, Debug)]
struct Opened {
    root: Arc<OpenRoot>,
    /// None if the system has no inotify instance left.
    watched: Option<Arc<WatchedDirectories>>,
}

impl Drop for DirectoryRoot {
    /// Ends the thread that reads the events. A forked child never drops its root, so it cannot end
    /// the watches, which belong to its parent.
    fn drop(&mut self) {
        read(&self.opened).watched.as_ref().inspect(|watched| watched.close());
    }
}

impl DirectoryRoot {
    /// # Errors
    /// Those of openat2(2) and getcwd(2); `ENOSYS` from a kernel older than 5.6.
    pub fn new(path: &Path, descriptor: OwnedFd) -> std::io::Result<DirectoryRoot> {
        let path = std::path::absolute(path)?;
        let opened = OpenRoot::new(&path, descriptor);
        opened.open(b".", OPEN_FLAGS, &SyscallStats::default())?;
        Ok(DirectoryRoot {
            opened: RwLock::new(Opened::new(opened)),
            has_slow_mount: slow_mounts::exist_beneath(&path),
            path,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_slow(&self) -> bool {
        self.has_slow_mount
            || fstatfs(self.root()).is_ok_and(|stat| slow_mounts::is_slow(stat.f_type as u32))
    }

    /// Opens the root's path anew, as [`follow_path`](DirectoryRoot::follow_path) will: a user who
    /// can't search a parent would be served the open directory even after it has been replaced.
    pub fn check_access(&self) -> rustix::io::Result<()> {
        let reopened = open(&self.path, REOPEN_FLAGS, Mode::empty())?;
        accessat(reopened, ".", Access::EXEC_OK, AtFlags::empty())
    }

    /// Compares the directory at the root's path with the open one, and switches to it if they
    /// differ. While nothing has that path (a generator moves the old directory away first) the
    /// open directory is still served.
    pub fn follow_path(&self, stats: &SyscallStats) {
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        stats.count(Call::StatPath);
        stats.count(Call::Stat);
        let (Ok(at_path), Ok(opened)) =
            (statat(CWD, &self.path, AtFlags::empty()), fstat(self.root()))
        else {
            return;
        };
        if identity(at_path) == identity(opened) {
            return;
        }
        stats.count(Call::Openat);
        if let Ok(replacement) = open(&self.path, REOPEN_FLAGS, Mode::empty()) {
            let replacement = Opened::new(OpenRoot::new(&self.path, replacement));
            let replaced = std::mem::replace(&mut *write(&self.opened), replacement);
            replaced.watched.inspect(|watched| watched.close());
        }
    }

    /// See [`Root::watch`](super::root::Root::watch).
    pub fn watch(&self, path: &SitePath<'_>, stats: &SyscallStats) -> Option<Watch> {
        // A file system that may not respond is not touched from here: others wait for the lock.
        if path.is_hidden || self.has_slow_mount {
            return None;
        }
        let Opened { root, watched } = read(&self.opened).clone();
        watched?.watch(&root, &path.file_path(), stats)
    }

    /// See [`Root::find`](super::root::Root::find).
    pub fn find(&self, path: &SitePath<'_>, coding: Option<Coding>, stats: &SyscallStats) -> Found {
        if path.is_hidden {
            return Found::unwatched(Resolved::NotFound(Status::NotFound));
        }
        let (root, name) = (self.root(), path.file_path_in(coding));
        match root.open_without_links(&name, OPEN_FLAGS, stats) {
            Err(Errno::LOOP) => Found::from_open(root.open(&name, OPEN_FLAGS, stats), true, stats),
            opened => Found::from_open(opened, false, stats),
        }
    }

    /// See [`Root::may_have_sidecar`](super::root::Root::may_have_sidecar).
    pub fn may_have_sidecar(
        &self,
        path: &SitePath<'_>,
        coding: Coding,
        stats: &SyscallStats,
    ) -> bool {
        // The directories of the path were resolved beneath the root a moment ago, when the
        // original was opened. A symbolic link as the last segment is left to the open.
        may_be_file(self.root(), &path.file_path_in(Some(coding)), stats)
    }

    /// See [`Root::is_special_file`](super::root::Root::is_special_file).
    pub fn is_special_file(&self, path: &SitePath<'_>, stats: &SyscallStats) -> bool {
        if path.is_hidden {
            return false;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let Ok(descriptor) = self.root().open(&path.file_path(), flags, stats) else {
            return false;
        };
        let kind = OpenFile::new(descriptor, stats)
            .stat(stats)
            .map(|stat| FileType::from_raw_mode(stat.st_mode));
        !matches!(kind, Ok(FileType::RegularFile | FileType::Directory))
    }

    /// The same for a path whose directory is watched, which no symbolic link leads to: then a stat
    /// of the name replaces the open.
    pub fn is_special_name(&self, path: &SitePath<'_>, stats: &SyscallStats) -> bool {
        match kind_of_name(self.root(), &path.file_path(), stats) {
            None | Some(FileType::RegularFile | FileType::Directory) => false,
            Some(FileType::Symlink) => self.is_special_file(path, stats),
            Some(_) => true,
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
        if !path.is_directory || path.is_hidden {
            return Err(Status::NotFound);
        }
        let root = self.root();
        let opened = root.open(&path.relative, OPEN_FLAGS, stats);
        let directory = OpenFile::new(opened.map_err(status_of_open)?, stats);
        let stat = directory.stat(stats).map_err(status_of_open)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(OpenDirectory { root, directory, hidden: Arc::default() }),
            _ => Err(Status::NotFound),
        }
    }

    fn root(&self) -> Arc<OpenRoot> {
        read(&self.opened).root.clone()
    }
}

impl Opened {
    fn new(root: OpenRoot) -> Opened {
        Opened { root: Arc::new(root), watched: WatchedDirectories::new().ok() }
    }
}

/// An open directory beneath the root.
#[derive(Debug)]
pub struct OpenDirectory {
    root: Arc<OpenRoot>,
    pub directory: OpenFile,
    /// What is not listed.
    pub hidden: Arc<HiddenPaths>,
}

impl OpenDirectory {
    /// The stat of the target of the symbolic link at `relative`, which must lie beneath the root.
    pub fn stat_link(&self, relative: &[u8]) -> rustix::io::Result<Stat> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        fstat(self.root.open(relative, flags, &SyscallStats::default())?)
    }
}
