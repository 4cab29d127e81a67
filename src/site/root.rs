//! What stands beneath the root, and how it is opened.
//!
//! Laws:
//! 1. Containment is the kernel's: openat2 with RESOLVE_BENEATH from the root's own descriptor. No string
//!    is compared, so a link, a rename under way or a sibling `/srv/site-evil` can't lead out.
//! 2. What was opened is what is judged (fstat), not what stood there a moment before.
//! 3. Only regular files are served. Everything is opened with O_NONBLOCK, so that a FIFO can't hang a worker.

use std::borrow::Cow;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use include_dir::{Dir, include_dir};
use rustix::buffer::spare_capacity;
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, accessat, fstat, fstatfs,
    open, openat2, statat, statfs,
};
use rustix::io::Errno;

use super::open_file::OpenFile;
use super::path::SitePath;
use super::slow_mounts;
use crate::format::error_with;
use crate::http::{Coding, Status};
use crate::syscall_stats::{Call, SyscallStats};

/// Where the site's files come from.
#[derive(Debug)]
pub enum Root {
    /// A directory, held open. If another takes its path, as when a site is built anew, that one is served.
    Directory {
        /// As the user named it.
        path: PathBuf,
        /// Open.
        held: RwLock<Arc<OwnedFd>>,
        /// Whether a part of it was slow to ask when it was opened.
        has_slow_mount: bool,
    },
    /// One file that is the answer to every path.
    File(PathBuf),
    /// The sample site that is part of the program.
    Sample,
}

static SAMPLE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/html");

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    /// A regular file, opened.
    File {
        /// Open for reading.
        file: Arc<OpenFile>,
        /// Its facts at that moment.
        version: FileVersion,
    },
    /// A file of the sample site.
    Embedded {
        /// Its content.
        content: &'static [u8],
        /// When it was last changed before the program was built.
        modified: SystemTime,
    },
    /// A directory that was asked for without its slash.
    Directory,
    /// Nothing that is served, and the status that says so.
    NotFound(Status),
}

/// The facts by which two states of a file are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileVersion {
    device: u64,
    inode: u64,
    /// In bytes.
    pub size: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl FileVersion {
    /// The facts in a struct stat.
    #[allow(
        clippy::unnecessary_cast,
        reason = "the types of struct stat differ between architectures"
    )]
    pub fn of(stat: &Stat) -> FileVersion {
        FileVersion {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size.max(0) as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }

    /// When the content was last changed.
    pub fn modified(&self) -> SystemTime {
        time_of(self.modified)
    }

    /// Whether nothing can have changed it since without a trace, as of `now`. Two states within one tick of the file
    /// system's clock have the same times; two seconds is the coarsest clock of a common file system (FAT).
    pub fn is_settled(&self, now: SystemTime) -> bool {
        const COARSEST_TICK: Duration = Duration::from_secs(2);
        self.touched().checked_add(COARSEST_TICK).is_some_and(|settled| settled < now)
    }

    /// When the content or the facts were last changed, whichever is later. Unlike the mtime alone it can't be
    /// set back by a program.
    fn touched(&self) -> SystemTime {
        time_of(self.modified.max(self.changed))
    }
}

/// `(seconds, nanoseconds)` of a file system, which may lie before 1970 and beyond what a clock can say.
fn time_of((seconds, nanoseconds): (i64, u64)) -> SystemTime {
    let (whole, part) =
        (Duration::from_secs(seconds.unsigned_abs()), Duration::from_nanos(nanoseconds));
    let time =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    time.and_then(|time| time.checked_add(part)).unwrap_or(UNIX_EPOCH)
}

impl Root {
    /// The root at `path`, a directory or a file.
    ///
    /// # Errors
    /// The system's, if there is nothing at `path` that can be read, or the kernel is older than 5.6 and
    /// has no openat2.
    pub fn open(path: &Path) -> std::io::Result<Root> {
        let opened =
            open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
        match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
            FileType::Directory => {
                open_beneath(&opened, b".", &SyscallStats::default())?;
                Ok(Root::Directory {
                    path: std::path::absolute(path)?,
                    held: RwLock::new(Arc::new(opened)),
                    has_slow_mount: slow_mounts::exist_beneath(path),
                })
            }
            FileType::RegularFile => Ok(Root::File(std::path::absolute(path)?)),
            _ => Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                "neither a directory nor a file",
            )),
        }
    }

    /// Whether asking it may take long: it, or a directory in it, lives in another program (FUSE) or on another machine. One
    /// that is mounted further down when the server runs already is not noticed.
    pub fn is_slow(&self) -> bool {
        let facts = match self {
            Root::Directory { has_slow_mount: true, .. } => return true,
            Root::Directory { .. } => self.held().map(fstatfs),
            Root::File(path) => Some(statfs(path)),
            Root::Sample => None,
        };
        facts
            .is_some_and(|facts| facts.is_ok_and(|facts| slow_mounts::is_slow(facts.f_type as u32)))
    }

    /// Where its files are, if they are files.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Root::Directory { path, .. } | Root::File(path) => Some(path.clone()),
            Root::Sample => None,
        }
    }

    /// Makes sure that this process may open what is in it, whoever opened the root itself.
    ///
    /// # Errors
    /// The system's, with the root's path.
    pub fn check_access(&self) -> std::io::Result<()> {
        let (path, checked) = match (self, self.held()) {
            (Root::Directory { path, .. }, Some(directory)) => {
                (path, accessat(directory, ".", Access::EXEC_OK, AtFlags::empty()))
            }
            (Root::File(path), _) => (path, accessat(CWD, path, Access::READ_OK, AtFlags::empty())),
            (Root::Directory { .. } | Root::Sample, _) => return Ok(()),
        };
        checked.map_err(|errno| error_with(path.display(), &errno.into()))
    }

    /// Looks which directory has the root's path now, and turns to that. If none has, the one of before goes on being served: it may
    /// be moved away for the moment in which another takes its place.
    pub fn follow(&self, stats: &SyscallStats) {
        let (Root::Directory { path, held, .. }, Some(before)) = (self, self.held()) else {
            return;
        };
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        stats.count(Call::StatPath);
        stats.count(Call::Stat);
        let (Ok(there), Ok(here)) = (statat(CWD, path, AtFlags::empty()), fstat(&before)) else {
            return;
        };
        if identity(there) == identity(here) {
            return;
        }
        stats.count(Call::Openat);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        if let Ok(opened) = open(path, flags, Mode::empty()) {
            *held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(opened);
        }
    }

    fn held(&self) -> Option<Arc<OwnedFd>> {
        let Root::Directory { held, .. } = self else {
            return None;
        };
        Some(held.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Opens the directory at `path` itself, to be listed.
    ///
    /// # Errors
    /// The status that says why there is nothing to list.
    pub fn open_directory(
        &self,
        path: &SitePath<'_>,
        stats: &SyscallStats,
    ) -> Result<OpenDirectory, Status> {
        let root =
            self.held().filter(|_| path.is_directory && !path.is_hidden).ok_or(Status::NotFound)?;
        let directory =
            OpenFile::new(open_beneath(&root, &path.relative, stats).map_err(status_of)?, stats);
        stats.count(Call::Stat);
        match FileType::from_raw_mode(fstat(&directory).map_err(status_of)?.st_mode) {
            FileType::Directory => Ok(OpenDirectory { root, directory }),
            _ => Err(Status::NotFound),
        }
    }

    /// Whether a file that can be served stands at `relative`.
    pub fn has_file(&self, relative: &[u8]) -> bool {
        matches!(
            self.find(&SitePath::to_file(relative), None, &SyscallStats::default()),
            Found::File { .. } | Found::Embedded { .. }
        )
    }

    /// The name that decides the media type of what `path` leads to.
    pub fn name_of<'a>(&'a self, path: &'a SitePath<'_>) -> &'a [u8] {
        match self {
            Root::File(file) => file.as_os_str().as_bytes(),
            _ if path.is_directory => INDEX,
            _ => path.relative.rsplit(|b| *b == b'/').next().unwrap_or_default(),
        }
    }

    /// Whether something stands at `path` that must not even be opened: the open alone of a FIFO wakes its writer, and that
    /// of a device may do anything. It is looked at through a descriptor that opens nothing (O_PATH).
    pub fn is_untouchable(&self, path: &SitePath<'_>, stats: &SyscallStats) -> bool {
        let Some(root) = self.held().filter(|_| !path.is_hidden) else {
            return false;
        };
        let Ok(peeked) =
            open_with(root.as_fd(), &file_of(path), OFlags::PATH | OFlags::CLOEXEC, stats)
        else {
            return false;
        };
        let peeked = OpenFile::new(peeked, stats);
        stats.count(Call::Stat);
        let kind = fstat(&peeked).map(|stat| FileType::from_raw_mode(stat.st_mode));
        !matches!(kind, Ok(FileType::RegularFile | FileType::Directory))
    }

    /// Whether a file in `coding` may stand beside the one that `path` leads to, by a look at its name. There mostly is none,
    /// and this costs a third of an open that fails. A FIFO of that name is left alone, as [`Root::is_untouchable`] says.
    pub fn may_have_beside(
        &self,
        path: &SitePath<'_>,
        coding: Coding,
        stats: &SyscallStats,
    ) -> bool {
        // The directories on the way were found beneath the root a moment before. A link at the end is for the open to follow.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let looked = match (self, self.held()) {
            (Root::File(file), _) => {
                statat(CWD, &*in_coding(file.as_os_str().as_bytes(), coding), flags)
            }
            (_, Some(root)) => statat(root, &*in_coding(&file_of(path), coding), flags),
            (_, None) => return false,
        };
        stats.count(Call::StatPath);
        let kind = looked.map(|stat| FileType::from_raw_mode(stat.st_mode));
        matches!(kind, Ok(FileType::RegularFile | FileType::Symlink))
    }

    /// Opens what `path` leads to: the file, or the index page of the directory. With a `coding` it is the file beside it
    /// that holds the same in that coding.
    pub fn find(&self, path: &SitePath<'_>, coding: Option<Coding>, stats: &SyscallStats) -> Found {
        let name = |plain| coding.map_or(Cow::Borrowed(plain), |coding| in_coding(plain, coding));
        let found = match (self, self.held()) {
            (Root::File(file), _) => {
                stats.count(Call::Openat);
                judge(open(&*name(file.as_os_str().as_bytes()), OPEN_FLAGS, Mode::empty()), stats)
            }
            _ if path.is_hidden => Ok(Found::NotFound(Status::NotFound)),
            (_, Some(root)) => judge(open_beneath(&root, &name(&file_of(path)), stats), stats),
            (_, None) => Ok(find_in_sample(&name(&file_of(path)))),
        };
        match found {
            Ok(Found::Directory) if path.is_directory => Found::NotFound(Status::NotFound),
            Ok(found) => found,
            Err(errno) => Found::NotFound(status_of(errno)),
        }
    }
}

const INDEX: &[u8] = b"index.html";
const OPEN_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The path of the file that answers for `path`.
pub fn file_of<'a>(path: &'a SitePath<'_>) -> Cow<'a, [u8]> {
    match path.is_directory {
        false => Cow::Borrowed(&path.relative),
        true if path.relative.is_empty() => Cow::Borrowed(INDEX),
        true => Cow::Owned([&path.relative[..], b"/", INDEX].concat()),
    }
}

/// The name of the file that holds the same as `plain` in `coding`.
fn in_coding(plain: &[u8], coding: Coding) -> Cow<'_, [u8]> {
    Cow::Owned([plain, coding.extension().as_bytes()].concat())
}

fn open_beneath(
    root: impl AsFd,
    relative: &[u8],
    stats: &SyscallStats,
) -> rustix::io::Result<OwnedFd> {
    open_with(root.as_fd(), relative, OPEN_FLAGS, stats)
}

fn open_with(
    root: BorrowedFd<'_>,
    relative: &[u8],
    flags: OFlags,
    stats: &SyscallStats,
) -> rustix::io::Result<OwnedFd> {
    const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
    // While something on the way is being renamed the kernel can't vouch for the result and says EAGAIN.
    const TRIES: u32 = 16;
    let relative = if relative.is_empty() { b"." } else { relative };
    let mut result = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        stats.count(Call::Openat2);
        result = openat2(root, relative, flags, Mode::empty(), RESOLVE);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

fn judge(opened: rustix::io::Result<OwnedFd>, stats: &SyscallStats) -> rustix::io::Result<Found> {
    let file = OpenFile::new(opened?, stats);
    stats.count(Call::Stat);
    let stat = fstat(&file)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            Found::File { version: FileVersion::of(&stat), file: Arc::new(file) }
        }
        FileType::Directory => Found::Directory,
        _ => Found::NotFound(Status::NotFound),
    })
}

/// The facts of an open file now.
pub fn version(file: &OpenFile, stats: &SyscallStats) -> rustix::io::Result<FileVersion> {
    stats.count(Call::Stat);
    Ok(FileVersion::of(&fstat(file)?))
}

/// A directory to be listed.
#[derive(Debug)]
pub struct OpenDirectory {
    /// What its links must not lead out of.
    root: Arc<OwnedFd>,
    /// The directory itself.
    pub directory: OpenFile,
}

impl OpenDirectory {
    /// The facts of what the link at `relative` leads to, if that is beneath the root.
    pub fn stat_link(&self, relative: &[u8]) -> rustix::io::Result<Stat> {
        fstat(&open_with(
            self.root.as_fd(),
            relative,
            OFlags::PATH | OFlags::CLOEXEC,
            &SyscallStats::default(),
        )?)
    }
}

/// The files of the sample site by name, for whoever wants them in a directory.
pub fn sample_files() -> impl Iterator<Item = (&'static Path, &'static [u8])> {
    SAMPLE.files().map(|file| (file.path(), file.contents()))
}

fn find_in_sample(relative: &[u8]) -> Found {
    let Ok(relative) = std::str::from_utf8(relative) else {
        return Found::NotFound(Status::NotFound);
    };
    match SAMPLE.get_file(relative) {
        Some(file) => {
            let modified = file.metadata().map_or(UNIX_EPOCH, |facts| facts.modified());
            Found::Embedded { content: file.contents(), modified }
        }
        None if SAMPLE.get_dir(relative).is_some() => Found::Directory,
        None => Found::NotFound(Status::NotFound),
    }
}

/// What a failed open is answered with: what leads nowhere and what leads out of the root look the same.
pub fn status_of(errno: Errno) -> Status {
    match errno {
        Errno::ACCESS | Errno::PERM => Status::Forbidden,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR => {
            Status::ServiceUnavailable
        }
        Errno::IO | Errno::BADF | Errno::FAULT => Status::InternalServerError,
        _ => Status::NotFound,
    }
}

/// Reads a whole file that has `size` bytes by its version, or less if it has become shorter since.
pub fn read_whole(file: &OpenFile, size: u64, stats: &SyscallStats) -> rustix::io::Result<Vec<u8>> {
    read(file, &(0..size), stats)
}

/// Reads `range` of a file, or what there is of it.
pub fn read(
    file: &OpenFile,
    range: &Range<u64>,
    stats: &SyscallStats,
) -> rustix::io::Result<Vec<u8>> {
    let wanted = (range.end - range.start) as usize;
    let mut content = Vec::with_capacity(wanted);
    while content.len() < wanted {
        stats.count(Call::Read);
        let from = range.start + content.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut content), from) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // An allocation may be larger than was asked for.
    content.truncate(wanted);
    Ok(content)
}

/// The directory that a program started without a ROOT serves, if it stands in the current one.
pub fn default_directory() -> Option<&'static Path> {
    let directory = Path::new("./html");
    statat(CWD, directory, AtFlags::empty())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        .then_some(directory)
}
