//! A FUSE file system whose files delay or fail calls. A file's name selects its behaviour:
//!
//! | name | behaviour |
//! |---|---|
//! | `fast-N` | every call returns at once |
//! | `slow-open-N` | open takes [`SLOW`] |
//! | `held-open-N` | open blocks while a [`Hold`] exists |
//! | `held-read-N` | read blocks while a [`Hold`] exists |
//! | `held-lookup-N` | lookup blocks while a [`Hold`] exists; the kernel does not cache it |
//! | `eio-open-N` | open fails with EIO |
//! | `eio-read-N` | read fails with EIO |
//! | `eio-late-N` | read beyond [`LATE_BYTES`] fails with EIO |
//! | `torn-N` | the first read of all returns [`TORN`] as its first bytes; the mtime and ctime are the time of the first lookup |
//!
//! The extension selects the size: [`LARGE_BYTES`] for `.bin`, [`SMALL_BYTES`] for `.html`. Each
//! `fast-N.html` has a compressed form, `fast-N.html.gz`, of which read fails with EIO.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr,
    ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
};

use crate::support::patterned;

/// The delay of opening a slow file.
pub const SLOW: Duration = Duration::from_millis(300);
/// The size of an HTML file, which the server serves from its cache.
pub const SMALL_BYTES: usize = 4000;
/// The size of a binary file, which the server reads while it sends it.
pub const LARGE_BYTES: usize = 1024 * 1024;
/// The offset beyond which reads of an `eio-late` file fail.
pub const LATE_BYTES: usize = 512 * 1024;

/// What a file begins with while it is being overwritten. Nothing else about it differs.
pub const TORN: &[u8] = b"half";

/// The mounted file system. Dropping it unmounts it.
pub struct Disk {
    at: PathBuf,
    gate: Arc<Gate>,
    session: Option<BackgroundSession>,
}

/// Blocks calls on `held` files until it is dropped.
pub struct Hold(Arc<Gate>);

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    waiting: usize,
}

impl Disk {
    /// Mounts the file system at `at`, an empty directory. Returns `None` where mounting is not
    /// permitted.
    pub fn mount(at: &Path) -> Option<Disk> {
        if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/fuse") {
            eprintln!("skipped: /dev/fuse: {error}");
            return None;
        }
        let mut config = Config::default();
        config.mount_options =
            vec![MountOption::RO, MountOption::FSName("miniweb-tests".to_owned())];
        let gate = Arc::new(Gate::default());
        match fuser::spawn_mount(
            Files {
                gate: gate.clone(),
                content: patterned(LARGE_BYTES).into(),
                torn: Mutex::default(),
            },
            at,
            &config,
        ) {
            Ok(session) => Some(Disk { at: at.to_owned(), gate, session: Some(session) }),
            Err(error) => {
                eprintln!("skipped: cannot mount a FUSE file system: {error}");
                None
            }
        }
    }

    /// Blocks calls on `held` files. Drop the hold before the server, because a process that waits
    /// for a disk cannot be killed.
    pub fn hold(&self) -> Hold {
        self.gate.lock().is_closed = true;
        Hold(self.gate.clone())
    }
}

impl Hold {
    /// Waits until a call is blocked.
    pub fn wait_for_one(&self) {
        let state = self.0.lock();
        drop(
            self.0
                .changed
                .wait_while(state, |state| state.waiting == 0)
                .expect("no thread panics while it holds the lock"),
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A lazy unmount does not wait for children of the server that are still exiting. Only root
        // may call it; for other users dropping the session runs fusermount.
        let _ = rustix::mount::unmount(&self.at, rustix::mount::UnmountFlags::DETACH);
        drop(self.session.take());
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.lock().is_closed = false;
        self.0.changed.notify_all();
    }
}

impl Gate {
    fn pass(&self) {
        let mut state = self.lock();
        state.waiting += 1;
        self.changed.notify_all();
        state = self
            .changed
            .wait_while(state, |state| state.is_closed)
            .expect("no thread panics while it holds the lock");
        state.waiting -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }
}

struct Files {
    gate: Arc<Gate>,
    content: Arc<[u8]>,
    /// The torn files that have been looked up, by their number.
    torn: Mutex<HashMap<u64, Torn>>,
}

#[derive(Clone, Copy)]
struct Torn {
    written: SystemTime,
    is_read: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fast,
    SlowOpen,
    HeldOpen,
    HeldRead,
    HeldLookup,
    FailsOpen,
    FailsRead,
    FailsLate,
    Torn,
}

const KINDS: [(&str, Kind); 9] = [
    ("fast-", Kind::Fast),
    ("slow-open-", Kind::SlowOpen),
    ("held-open-", Kind::HeldOpen),
    ("held-read-", Kind::HeldRead),
    ("held-lookup-", Kind::HeldLookup),
    ("eio-open-", Kind::FailsOpen),
    ("eio-read-", Kind::FailsRead),
    ("eio-late-", Kind::FailsLate),
    ("torn-", Kind::Torn),
];

/// A file. Its inode number encodes all of this.
#[derive(Clone, Copy)]
struct File {
    kind: usize,
    number: u64,
    is_large: bool,
}

impl File {
    fn named(name: &OsStr) -> Option<File> {
        let name = name.to_str()?;
        let (is_compressed, name) = match name.strip_suffix(".gz") {
            Some(plain) => {
                (true, plain.strip_prefix("fast-").map(|number| format!("eio-read-1{number}"))?)
            }
            None => (false, name.to_owned()),
        };
        let (stem, extension) = name.split_once('.')?;
        let is_large = match extension {
            "html" => false,
            "bin" if !is_compressed => true,
            _ => return None,
        };
        KINDS.iter().enumerate().find_map(|(kind, (prefix, _))| {
            let number = stem.strip_prefix(prefix)?.parse().ok()?;
            Some(File { kind, number, is_large })
        })
    }

    fn of(inode: INodeNo) -> Option<File> {
        let inode = u64::from(inode).checked_sub(2)?;
        Some(File {
            kind: (inode / 2) as usize % KINDS.len(),
            number: inode / (2 * KINDS.len() as u64),
            is_large: inode % 2 == 1,
        })
    }

    fn inode(self) -> INodeNo {
        INodeNo(
            2 + (self.number * KINDS.len() as u64 + self.kind as u64) * 2
                + u64::from(self.is_large),
        )
    }

    fn kind(self) -> Kind {
        KINDS[self.kind].1
    }

    fn size(self) -> usize {
        if self.is_large { LARGE_BYTES } else { SMALL_BYTES }
    }

    /// How long the kernel may cache the file's entry and attributes.
    fn cache_duration(self) -> Duration {
        if self.kind() == Kind::HeldLookup { Duration::ZERO } else { Duration::from_secs(600) }
    }
}

fn attributes(inode: INodeNo, kind: FileType, size: usize) -> FileAttr {
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    FileAttr {
        ino: inode,
        size: size as u64,
        blocks: 1,
        atime: long_ago,
        mtime: long_ago,
        ctime: long_ago,
        crtime: long_ago,
        kind,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Replies from a new thread, so that a blocked call does not block calls on other files.
fn reply_from_thread(reply: impl FnOnce() + Send + 'static) {
    std::thread::spawn(reply);
}

impl Files {
    fn attributes_of(&self, file: File) -> FileAttr {
        let attributes = attributes(file.inode(), FileType::RegularFile, file.size());
        match file.kind() {
            Kind::Torn => {
                let written = self.torn(file, |torn| torn.written);
                FileAttr { mtime: written, ctime: written, ..attributes }
            }
            _ => attributes,
        }
    }

    fn torn<T>(&self, file: File, use_it: impl FnOnce(&mut Torn) -> T) -> T {
        let mut torn = self.torn.lock().expect("no thread panics while it holds the lock");
        let new = || Torn { written: SystemTime::now(), is_read: false };
        use_it(torn.entry(file.number).or_insert_with(new))
    }
}

impl Filesystem for Files {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Without it the kernel serializes lookups in a directory.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        Ok(())
    }

    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(file) = File::named(name) else {
            return reply.error(Errno::ENOENT);
        };
        let attributes = self.attributes_of(file);
        let succeed = move || reply.entry(&file.cache_duration(), &attributes, Generation(0));
        match file.kind() {
            Kind::HeldLookup => {
                let gate = self.gate.clone();
                reply_from_thread(move || {
                    gate.pass();
                    succeed();
                });
            }
            _ => succeed(),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match File::of(inode) {
            Some(file) => {
                reply.attr(&file.cache_duration(), &self.attributes_of(file));
            }
            None => {
                reply.attr(&Duration::from_secs(600), &attributes(inode, FileType::Directory, 0))
            }
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let succeed = |reply: ReplyOpen| reply.opened(FileHandle(0), FopenFlags::empty());
        match File::of(inode).map(File::kind) {
            Some(Kind::FailsOpen) => reply.error(Errno::EIO),
            Some(Kind::SlowOpen) => reply_from_thread(move || {
                std::thread::sleep(SLOW);
                succeed(reply);
            }),
            Some(Kind::HeldOpen) => {
                let gate = self.gate.clone();
                reply_from_thread(move || {
                    gate.pass();
                    succeed(reply);
                });
            }
            _ => succeed(reply),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = File::of(inode) else {
            return reply.error(Errno::EISDIR);
        };
        let start = (offset as usize).min(file.size());
        let end = (start + size as usize).min(file.size());
        match file.kind() {
            Kind::FailsRead => reply.error(Errno::EIO),
            Kind::FailsLate if end > LATE_BYTES => reply.error(Errno::EIO),
            Kind::HeldRead => {
                let (gate, content) = (self.gate.clone(), self.content.clone());
                reply_from_thread(move || {
                    gate.pass();
                    reply.data(&content[start..end]);
                });
            }
            Kind::Torn if !self.torn(file, |torn| std::mem::replace(&mut torn.is_read, true)) => {
                reply.data(&[TORN, &self.content[start + TORN.len()..end]].concat());
            }
            _ => reply.data(&self.content[start..end]),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, reply: ReplyDirectory) {
        reply.error(Errno::EIO);
    }
}
