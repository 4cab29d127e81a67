//! The root's open directory, and how paths beneath it are opened.
//!
//! ```text
//!   path ──> openat2 beneath the root ──┬─> its result
//!                                       └─> EXDEV: an absolute link, or a way out
//!                                             └─> resolve links by their text ──> openat2 again
//! ```
//!
//! The kernel refuses every absolute link with `RESOLVE_BENEATH`, also one into the root. So the
//! links of such a path are read one by one, and the root's own path at the start of a target is
//! removed.
//!
//! Invariants:
//! 1. Every open, also of a link to be read, is an openat2 with `RESOLVE_BENEATH`, relative to the
//!    root's descriptor. A resolved path is not trusted: if a link takes the place of a directory
//!    meanwhile, the kernel refuses again.
//! 2. Nothing outside the root is touched, not even to find out that it is outside: it might be on
//!    a file system that does not respond.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

use super::open_file::OpenFile;
use crate::syscall_stats::{Call, SyscallStats};

/// How every path is resolved.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// An open directory and its names.
#[derive(Debug)]
pub struct OpenRoot {
    descriptor: OwnedFd,
    /// Absolute paths that lead to it: as it was given, and without symbolic links.
    paths: [PathBuf; 2],
}

impl OpenRoot {
    /// `path` is the absolute path that `descriptor` was opened by.
    pub fn new(path: &Path, descriptor: OwnedFd) -> OpenRoot {
        let resolved = path.canonicalize().unwrap_or_default();
        OpenRoot { descriptor, paths: [path.to_owned(), resolved] }
    }

    /// Opens `relative`, which may lead through symbolic links, if it is beneath the root.
    ///
    /// # Errors
    /// `EXDEV` if it is not; otherwise those of openat2(2) and readlinkat(2).
    pub fn open(
        &self,
        relative: &[u8],
        flags: OFlags,
        stats: &SyscallStats,
    ) -> rustix::io::Result<OwnedFd> {
        match self.open_beneath(relative, flags, RESOLVE, stats) {
            Err(Errno::XDEV) => {
                let resolved = self.resolve(Path::new(OsStr::from_bytes(relative)), stats)?;
                self.open_beneath(resolved.as_os_str().as_bytes(), flags, RESOLVE, stats)
            }
            opened => opened,
        }
    }

    /// Opens `relative` if no symbolic link is on the path.
    ///
    /// # Errors
    /// `ELOOP` if one is; otherwise those of openat2(2).
    pub fn open_without_links(
        &self,
        relative: &[u8],
        flags: OFlags,
        stats: &SyscallStats,
    ) -> rustix::io::Result<OwnedFd> {
        self.open_beneath(relative, flags, RESOLVE.union(ResolveFlags::NO_SYMLINKS), stats)
    }

    fn open_beneath(
        &self,
        relative: &[u8],
        flags: OFlags,
        resolve: ResolveFlags,
        stats: &SyscallStats,
    ) -> rustix::io::Result<OwnedFd> {
        /// While a segment of the path is being renamed, the kernel can't prove containment:
        /// `EAGAIN`.
        const TRIES: u32 = 16;
        let relative = if relative.is_empty() { b"." } else { relative };
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..TRIES {
            stats.count(Call::Openat2);
            opened = openat2(&self.descriptor, relative, flags, Mode::empty(), resolve);
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        opened
    }

    /// The path beneath the root that `relative` leads to, without symbolic links.
    fn resolve(&self, relative: &Path, stats: &SyscallStats) -> rustix::io::Result<PathBuf> {
        /// As many links as the kernel follows.
        const LINKS_MAX: usize = 40;
        /// Each costs two system calls.
        const SEGMENTS_MAX: usize = 256;
        let mut links = 0;
        let mut resolved = PathBuf::new();
        // Last segment first.
        let mut rest = segments(relative);
        for _ in 0..SEGMENTS_MAX {
            let Some(segment) = rest.pop() else { return Ok(resolved) };
            if segment == ".." {
                // What is resolved contains no link, so its parent is that of its text.
                if !resolved.pop() {
                    return Err(Errno::XDEV);
                }
                continue;
            }
            let path = resolved.join(segment);
            let Some(target) = self.read_link(&path, stats)? else {
                resolved = path;
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP);
            }
            if target.is_absolute() {
                resolved = PathBuf::new();
                rest.extend(segments(self.strip_root(&target).ok_or(Errno::XDEV)?));
            } else {
                rest.extend(segments(&target));
            }
        }
        Err(Errno::LOOP)
    }

    /// The target of the symbolic link at `path`. None if it is not a link.
    fn read_link(&self, path: &Path, stats: &SyscallStats) -> rustix::io::Result<Option<PathBuf>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.open_beneath(path.as_os_str().as_bytes(), flags, RESOLVE, stats)?;
        let opened = OpenFile::new(opened, stats);
        stats.count(Call::Readlink);
        match readlinkat(&opened, "", Vec::new()) {
            Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
            // Not a link, so there is nothing to read.
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn strip_root<'a>(&self, target: &'a Path) -> Option<&'a Path> {
        let known = self.paths.iter().filter(|path| path.is_absolute());
        known.filter_map(|path| target.strip_prefix(path).ok()).next()
    }
}

impl AsFd for OpenRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The names and `..` of a relative path, last first.
fn segments(path: &Path) -> Vec<OsString> {
    let segments = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    segments.collect()
}
