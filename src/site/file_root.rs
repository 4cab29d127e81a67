//! A root that is a single file: it is the response to every path, under its own name.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, accessat, open, statfs};

use super::path::{SitePath, sidecar_name};
use super::resolved::{Found, OPEN_FLAGS, Resolved, may_be_file};
use super::slow_mounts;
use crate::http::{Coding, Status};
use crate::syscall_stats::{Call, SyscallStats};

/// The file, by its absolute path: it is opened anew for each lookup, so a replaced file is served.
#[derive(Debug)]
pub struct FileRoot {
    path: PathBuf,
}

impl FileRoot {
    pub fn new(path: &Path) -> std::io::Result<FileRoot> {
        Ok(FileRoot { path: std::path::absolute(path)? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path that stands for the file, whichever path is requested.
    pub fn site_path(&self) -> SitePath<'static> {
        let name = self.path.file_name().unwrap_or_default();
        SitePath::to_file(name.as_bytes()).into_owned()
    }

    pub fn is_slow(&self) -> bool {
        statfs(&self.path).is_ok_and(|stat| slow_mounts::is_slow(stat.f_type as u32))
    }

    pub fn check_access(&self) -> rustix::io::Result<()> {
        accessat(CWD, &self.path, Access::READ_OK, AtFlags::empty())
    }

    pub fn find(&self, coding: Option<Coding>, stats: &SyscallStats) -> Found {
        stats.count(Call::Openat);
        let opened = match coding {
            None => open(&self.path, OPEN_FLAGS, Mode::empty()),
            Some(coding) => {
                let path = sidecar_name(self.path.as_os_str().as_bytes(), coding);
                open(&*path, OPEN_FLAGS, Mode::empty())
            }
        };
        // The path is not beneath a directory that is watched.
        Found::unwatched(match Found::from_open(opened, true, stats).resolved {
            // It has taken the place of the file. There is no address to redirect to.
            Resolved::Directory => Resolved::NotFound(Status::NotFound),
            resolved => resolved,
        })
    }

    /// See [`Root::may_have_sidecar`](super::root::Root::may_have_sidecar).
    pub fn may_have_sidecar(&self, coding: Coding, stats: &SyscallStats) -> bool {
        let path = sidecar_name(self.path.as_os_str().as_bytes(), coding);
        may_be_file(CWD, &path, stats)
    }
}
