//! Finds out from the kernel (inotify(7)) which cached results a change on the disk affects.
//!
//! ```text
//!   load a/b.html ──> watch "", "a" ──> generation of "b.html" in "a" ──> open, read ──> cache
//!                                                 │
//!   write, rename, delete, chmod ──> event ──> generation + 1: the cached result is not used again
//! ```
//!
//! Invariants:
//! 1. A [`Watch`] is taken before its path is opened, so a change during the load makes the result
//!    outdated. Directories are watched from the root down, so a parent that is replaced meanwhile
//!    has an event, too.
//! 2. What the kernel may not report has no `Watch`, or its watch is not relied on: see
//!    [`WatchedDirectories::watch`] for directories, and [`Found`](super::resolved::Found) for
//!    files.
//! 3. If events were lost (the kernel keeps 16,384), every result is outdated.
//! 4. The number of watches is bounded. The watch of a directory that holds no cached result is
//!    given to another directory.

use std::collections::HashMap;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, WatchFlags};
use rustix::fs::{OFlags, fstatfs};
use rustix::io::Errno;

use super::open_root::OpenRoot;
use super::watch::{Watch, WatchedNames};
use crate::sync::{read, write};
use crate::syscall_stats::SyscallStats;

/// The maximum number of watched directories. Each takes about 1 KiB in the kernel and another 1
/// KiB in this process.
const DIRECTORIES_MAX: usize = 4096;

/// The `f_type` of statfs(2) for ext2 to ext4, XFS, Btrfs, Bcachefs, F2FS, ZFS, tmpfs, ramfs and
/// overlayfs: nothing but this kernel changes them, so inotify reports every change.
const LOCAL_FILE_SYSTEMS: [u32; 9] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xca45_1a4e,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
];

/// How long a directory that can't be watched is left alone. To try again costs four system calls,
/// and without this every load of a file would pay for them.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The pause after each batch of events. Meanwhile the kernel merges those of a program that writes
/// without end, so that they cost no more than a few hundred wake-ups a second.
const PAUSE: Duration = Duration::from_millis(2);

/// The directories of one root.
#[derive(Debug)]
pub struct WatchedDirectories {
    inotify: OwnedFd,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Keyed by the path beneath the root. The root itself has the empty path.
    directories: HashMap<Box<[u8]>, Directory>,
    /// The paths of each watch: several if a directory is mounted in two places.
    paths: HashMap<i32, Vec<Box<[u8]>>>,
    thread: Thread,
}

#[derive(Debug)]
enum Directory {
    Watched(i32, Arc<WatchedNames>),
    /// The kernel can't watch it, or does not report all changes in it.
    Unwatchable {
        retry_at: Instant,
    },
}

/// The thread that reads the events. It ends when no directory is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    #[default]
    Ended,
    Running,
    /// Another directory has taken the place of the root. No watch is given any more.
    Closed,
}

impl WatchedDirectories {
    /// # Errors
    /// EMFILE: the user has as many inotify instances as it may have
    /// (`/proc/sys/fs/inotify/max_user_instances`), or no descriptor is left.
    pub fn new() -> rustix::io::Result<Arc<WatchedDirectories>> {
        let inotify = inotify::init(CreateFlags::CLOEXEC)?;
        Ok(Arc::new(WatchedDirectories { inotify, state: RwLock::default() }))
    }

    /// Watches what is at `path`, a path of `root` without a slash at its end. None if that can't
    /// be relied on: the directory is reached by a symbolic link, may not be read, is not on a
    /// local file system, or there are too many.
    pub fn watch(
        self: &Arc<Self>,
        root: &OpenRoot,
        path: &[u8],
        stats: &SyscallStats,
    ) -> Option<Watch> {
        let (parent, name) = match memchr::memrchr(b'/', path) {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b""[..], path),
        };
        // Under the lock: a directory that is forgotten in between is outdated for the last time.
        let known = match read(&self.state).directories.get(parent) {
            Some(Directory::Watched(_, names)) => Some(Watch::of(names.clone(), name)),
            Some(Directory::Unwatchable { .. }) | None => None,
        };
        known.or_else(|| self.add_with_parents(root, parent, name, stats))
    }

    /// Ends all watches, because another directory has taken the place of the root.
    pub fn close(&self) {
        let mut state = write(&self.state);
        state.thread = Thread::Closed;
        // Wakes the thread.
        self.forget(&mut state, b"");
    }

    /// Adds the parents of `path` and then `path` itself, and watches `name` in it.
    #[cold]
    fn add_with_parents(
        self: &Arc<Self>,
        root: &OpenRoot,
        path: &[u8],
        name: &[u8],
        stats: &SyscallStats,
    ) -> Option<Watch> {
        let mut state = write(&self.state);
        let ends = memchr::memchr_iter(b'/', path).chain([path.len()]);
        let parents = [0].into_iter().chain(ends.filter(|end| *end > 0));
        let mut added = None;
        for end in parents {
            added = Some(self.add(&mut state, root, &path[..end], stats)?);
        }
        added.map(|names| Watch::of(names, name))
    }

    fn add(
        self: &Arc<Self>,
        state: &mut State,
        root: &OpenRoot,
        path: &[u8],
        stats: &SyscallStats,
    ) -> Option<Arc<WatchedNames>> {
        match state.directories.get(path) {
            Some(Directory::Watched(_, names)) => return Some(names.clone()),
            Some(Directory::Unwatchable { retry_at }) if Instant::now() < *retry_at => return None,
            Some(Directory::Unwatchable { .. }) | None => {}
        }
        if state.directories.len() >= DIRECTORIES_MAX {
            self.forget_unused(state);
        }
        if state.directories.len() >= DIRECTORIES_MAX || !self.ensure_thread(state) {
            return None;
        }
        let (directory, added) = match self.add_watch(root, path, stats) {
            Ok((watch, names)) => {
                state.paths.entry(watch).or_default().push(path.into());
                (Directory::Watched(watch, names.clone()), Some(names))
            }
            // A name that does not exist: there is no end of those.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return None,
            Err(_) => {
                let retry_at = Instant::now() + RETRY_AFTER;
                (Directory::Unwatchable { retry_at }, None)
            }
        };
        state.directories.insert(path.into(), directory);
        added
    }

    /// # Errors
    /// ELOOP if a symbolic link leads there; OPNOTSUPP if the file system may change without an
    /// event; EACCES if the directory can't be read; ENOSPC if the user has as many watches as it
    /// may have (`/proc/sys/fs/inotify/max_user_watches`).
    fn add_watch(
        &self,
        root: &OpenRoot,
        path: &[u8],
        stats: &SyscallStats,
    ) -> rustix::io::Result<(i32, Arc<WatchedNames>)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = root.open_without_links(path, flags, stats)?;
        if !LOCAL_FILE_SYSTEMS.contains(&(fstatfs(&directory)?.f_type as u32)) {
            return Err(Errno::OPNOTSUPP);
        }
        // The one way to watch an open directory. Without /proc it fails.
        let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
        // CLOSE_WRITE: a program that writes through a mapping (mmap(2)) has no other event, and
        // closes the file once it has written.
        let changes = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB;
        let watch = inotify::add_watch(&self.inotify, opened, changes | WatchFlags::ONLYDIR)?;
        Ok((watch, Arc::new(WatchedNames::read(directory))))
    }

    /// Starts the thread if it is not running. False if it can't run.
    fn ensure_thread(self: &Arc<Self>, state: &mut State) -> bool {
        if state.thread == Thread::Ended {
            let watched = self.clone();
            if std::thread::Builder::new().spawn(move || watched.read_events()).is_ok() {
                state.thread = Thread::Running;
            }
        }
        state.thread == Thread::Running
    }

    fn read_events(&self) {
        const BUFFER_BYTES: usize = 16 * 1024;
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut events = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    let mut state = write(&self.state);
                    self.apply(&mut state, &event);
                    if state.directories.is_empty() {
                        if state.thread == Thread::Running {
                            state.thread = Thread::Ended;
                        }
                        return;
                    }
                }
                Err(Errno::INTR) => continue,
                // Nothing else is expected. Without events no watch can be relied on.
                Err(_) => return self.close(),
            }
            if events.is_buffer_empty() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn apply(&self, state: &mut State, event: &Event<'_>) {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            return state.outdate_all();
        }
        let Some(paths) = state.paths.get(&event.wd()).cloned() else { return };
        for path in paths {
            match event.file_name().map(CStr::to_bytes) {
                Some(name) => {
                    let is_new = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
                    self.apply_to_name(state, &path, name, is_new);
                }
                // The directory is deleted, or its file system is unmounted.
                None if event.events().intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) => {
                    self.forget(state, &path);
                }
                // Its own attributes, which its parent reports, too.
                None => self.outdate(state, &path),
            }
        }
    }

    fn apply_to_name(&self, state: &mut State, path: &[u8], name: &[u8], is_new: bool) {
        if let Some(Directory::Watched(_, names)) = state.directories.get(path) {
            names.outdate(name, is_new);
        }
        let child = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
        self.forget(state, &child);
    }

    fn outdate(&self, state: &State, path: &[u8]) {
        if let Some(Directory::Watched(_, names)) = state.directories.get(path) {
            names.outdate_all();
        }
    }

    /// Ends the watches of the directory at `path` and of those beneath it.
    fn forget(&self, state: &mut State, path: &[u8]) {
        if !state.directories.contains_key(path) {
            return;
        }
        let is_beneath = |other: &[u8]| {
            other
                .strip_prefix(path)
                .is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
        };
        let forgotten: Vec<_> =
            state.directories.extract_if(|other, _| is_beneath(other)).collect();
        for (path, directory) in forgotten {
            self.end_watch(state, &path, &directory);
        }
    }

    /// Ends the watches of directories that no cached result is in, and that have no watched
    /// directory beneath them.
    fn forget_unused(&self, state: &mut State) {
        let mut parents: Vec<Box<[u8]>> = Vec::new();
        for path in state.directories.keys() {
            parents.extend(memchr::memrchr(b'/', path).map(|slash| path[..slash].into()));
        }
        parents.push((&b""[..]).into());
        parents.sort_unstable();
        let is_unused = |path: &[u8], directory: &Directory| match directory {
            Directory::Watched(_, names) => {
                Arc::strong_count(names) == 1
                    && parents.binary_search_by(|parent| (**parent).cmp(path)).is_err()
            }
            Directory::Unwatchable { .. } => true,
        };
        let unused: Vec<_> =
            state.directories.extract_if(|path, directory| is_unused(path, directory)).collect();
        for (path, directory) in unused {
            self.end_watch(state, &path, &directory);
        }
    }

    fn end_watch(&self, state: &mut State, path: &[u8], directory: &Directory) {
        let Directory::Watched(watch, names) = directory else { return };
        names.outdate_all();
        let Some(paths) = state.paths.get_mut(watch) else { return };
        paths.retain(|other| **other != *path);
        if paths.is_empty() {
            state.paths.remove(watch);
            // It fails if the directory is deleted, which ends the watch as well.
            let _ = inotify::remove_watch(&self.inotify, *watch);
        }
    }
}

impl State {
    fn outdate_all(&self) {
        for directory in self.directories.values() {
            if let Directory::Watched(_, names) = directory {
                names.outdate_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use rustix::fs::{Mode, OFlags, open};

    use super::*;

    struct Fixture {
        directory: tempfile::TempDir,
        root: OpenRoot,
        watched: Arc<WatchedDirectories>,
    }

    impl Fixture {
        fn new() -> Fixture {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let (root, watched) = (open_root(directory.path()), WatchedDirectories::new());
            Fixture { root, watched: watched.expect("there is an instance"), directory }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.directory.path().join(path)
        }

        fn write(&self, path: &str) {
            fs::create_dir_all(self.path(path).parent().expect("it is beneath the root"))
                .expect("the directory is writable");
            fs::write(self.path(path), path).expect("the directory is writable");
        }

        fn try_watch(&self, path: &str) -> Option<Watch> {
            self.watched.watch(&self.root, path.as_bytes(), &SyscallStats::default())
        }

        fn watch(&self, path: &str) -> Watch {
            self.try_watch(path).unwrap_or_else(|| panic!("{path} can't be watched"))
        }

        fn directories(&self) -> usize {
            read(&self.watched.state).directories.len()
        }
    }

    fn open_root(path: &Path) -> OpenRoot {
        let opened = open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        OpenRoot::new(path, opened.expect("it exists"))
    }

    /// Waits for an event, without which `condition` never becomes true.
    fn wait_until(what: &str, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn every_change_of_a_name_outdates_it() {
        type Change = fn(&Fixture);
        let changes: [(&str, Change); 12] = [
            ("written", |f| f.write("a/b/page.html")),
            ("truncated", |f| {
                fs::File::options()
                    .write(true)
                    .open(f.path("a/b/page.html"))
                    .and_then(|file| file.set_len(1))
                    .expect("it exists");
            }),
            ("touched", |f| {
                fs::File::open(f.path("a/b/page.html"))
                    .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH))
                    .expect("it exists");
            }),
            ("made unreadable", |f| {
                fs::set_permissions(f.path("a/b/page.html"), fs::Permissions::from_mode(0o000))
                    .expect("it exists");
            }),
            ("deleted", |f| fs::remove_file(f.path("a/b/page.html")).expect("it exists")),
            ("created", |f| f.write("a/b/page.html")),
            ("replaced", |f| {
                f.write("a/b/new");
                fs::rename(f.path("a/b/new"), f.path("a/b/page.html")).expect("it exists");
            }),
            ("given a sidecar", |f| f.write("a/b/page.html.br")),
            ("without its sidecar", |f| {
                fs::remove_file(f.path("a/b/page.html.br")).expect("it exists");
            }),
            ("in a closed directory", |f| {
                fs::set_permissions(f.path("a"), fs::Permissions::from_mode(0o700))
                    .expect("it exists");
            }),
            ("in a replaced directory", |f| {
                f.write("new/b/page.html");
                fs::rename(f.path("a"), f.path("old")).expect("it exists");
                fs::rename(f.path("new"), f.path("a")).expect("it exists");
            }),
            ("in a deleted directory", |f| {
                fs::remove_dir_all(f.path("a")).expect("it exists");
            }),
        ];
        let fixture = Fixture::new();
        fixture.write("a/b/page.html");
        for (change, apply) in changes {
            let watch = fixture.watch("a/b/page.html");
            assert!(watch.is_current(), "{change}");
            apply(&fixture);
            wait_until(change, || !watch.is_current());
            // Events of the change that are still to come would outdate the next watch, too.
            let settled = fixture.watch("settled");
            fixture.write("settled");
            wait_until("the last event", || !settled.is_current());
        }
    }

    #[test]
    fn a_change_outdates_no_other_name() {
        let fixture = Fixture::new();
        let slot = WatchedNames::slot_of(b"page.html");
        let is_other = |name: &String| WatchedNames::slot_of(name.as_bytes()) != slot;
        let other = (0..).map(|n| format!("{n}.html")).find(is_other).expect("there are many");
        fixture.write("a/page.html");
        let (page, other) = (fixture.watch("page.html"), fixture.watch(&other));
        let in_subdirectory = fixture.watch("a/page.html");
        fixture.write("page.html");
        wait_until("an event", || !page.is_current());
        assert!(other.is_current() && in_subdirectory.is_current());
    }

    #[test]
    fn what_has_no_reliable_events_is_not_watched() {
        let fixture = Fixture::new();
        fixture.write("a/page.html");
        symlink("a", fixture.path("link")).expect("the directory is writable");
        assert!(fixture.try_watch("link/page.html").is_none());
        assert!(fixture.try_watch("link/deeper/page.html").is_none());
        assert!(fixture.try_watch("missing/page.html").is_none());
        assert!(fixture.try_watch("a/page.html/under-a-file").is_none());
        // The link itself can be watched, as a name.
        assert!(fixture.try_watch("link").is_some());
        // The kernel makes up the files of /proc, and changes them without an event.
        let proc = open_root(Path::new("/proc"));
        let stats = SyscallStats::default();
        let watched = WatchedDirectories::new().expect("there is an instance");
        assert!(watched.watch(&proc, b"uptime", &stats).is_none());
        // It is watched as soon as it is a directory.
        fs::remove_file(fixture.path("link")).expect("it exists");
        fixture.write("link/page.html");
        wait_until("the link is replaced", || fixture.try_watch("link/page.html").is_some());
    }

    #[test]
    fn the_number_of_watches_is_bounded_and_unused_ones_make_room() {
        let fixture = Fixture::new();
        for number in 0..DIRECTORIES_MAX + 10 {
            fs::create_dir(fixture.path(&format!("{number}"))).expect("it is writable");
        }
        let watch = |number| fixture.try_watch(&format!("{number}/page.html"));
        let held: Vec<Watch> = (0..DIRECTORIES_MAX).filter_map(watch).collect();
        // One of them is the root.
        assert_eq!(held.len(), DIRECTORIES_MAX - 1);
        assert!(watch(DIRECTORIES_MAX + 1).is_none());
        assert!(held.iter().all(Watch::is_current));
        drop(held);
        assert!(watch(DIRECTORIES_MAX + 1).is_some());
        assert_eq!(fixture.directories(), 2);
    }

    #[test]
    fn lost_events_outdate_everything() {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let limit: usize = limit.expect("it exists").trim().parse().expect("it is a number");
        let fixture = Fixture::new();
        ["0", "1"].iter().for_each(|name| fixture.write(name));
        let watch = fixture.watch("untouched");
        let thread_waits = write(&fixture.watched.state);
        for number in 0..2 * limit {
            // The kernel merges equal events in succession.
            let mode = fs::Permissions::from_mode(0o600 + number as u32 % 2);
            fs::set_permissions(fixture.path(["0", "1"][number % 2]), mode).expect("it exists");
        }
        drop(thread_waits);
        wait_until("the overflow", || !watch.is_current());
    }

    #[test]
    fn a_closed_root_is_not_watched_and_its_thread_ends() {
        let fixture = Fixture::new();
        fixture.write("a/page.html");
        let watch = fixture.watch("a/page.html");
        fixture.watched.close();
        assert!(!watch.is_current());
        assert!(fixture.try_watch("a/page.html").is_none());
        wait_until("the thread has ended", || Arc::strong_count(&fixture.watched) == 1);
        // The descriptor keeps a deleted root and its watch.
        let fixture = Fixture::new();
        let watch = fixture.watch("page.html");
        fs::remove_dir(fixture.directory.path()).expect("it is empty");
        fixture.watched.close();
        assert!(!watch.is_current());
        wait_until("the thread has ended", || Arc::strong_count(&fixture.watched) == 1);
    }
}
