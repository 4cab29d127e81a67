//! The only unsafe code of the crate: fork(2), and the memory that several processes count in.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Mutex;
#[cfg(feature = "tls")]
use std::sync::MutexGuard;

use nix::libc;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::process::Pid;

use crate::sync::lock;
use crate::syscall_stats::{CounterCells, Counters};
use crate::trace_recording::Recording;

/// The two returns of fork.
#[derive(Debug)]
pub enum Forked {
    Parent(Pid),
    Child,
}

/// Held while the process forks, and by a thread while it must not.
static FORK: Mutex<()> = Mutex::new(());

/// Keeps the process from forking as long as the guard lives: for a thread that takes locks of
/// other libraries, which a child would inherit.
#[cfg(feature = "tls")]
pub fn exclude_fork() -> MutexGuard<'static, ()> {
    lock(&FORK)
}

/// Forks. The child closes its copies of `listeners`, so that no port outlives the parent.
///
/// # Errors
/// EAGAIN or ENOMEM: no process can be created now.
pub fn fork(listeners: &[impl AsFd]) -> io::Result<Forked> {
    // The child unlocks its copy.
    let _fork = lock(&FORK);
    // SAFETY: the child has only the calling thread, so it must not take a lock that another thread
    // of the parent held at that moment. The parent's other threads wait for signals, move log
    // lines, serve the admin listener, which takes no lock, or look at certificates, and exclude
    // forks while they take locks for that: they sleep in read, recv, futex, write or poll. None of
    // them uses std's streams or checks a password, the child does not touch the log's buffer, and
    // libc restores the allocator's locks in the child. The lock on the table of children is held
    // by this thread, and the child does not take it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            for listener in listeners {
                // SAFETY: the child never uses the listener, and it ends with _exit, so no
                // destructor closes the descriptor again.
                unsafe { libc::close(listener.as_fd().as_raw_fd()) };
            }
            Ok(Forked::Child)
        }
        child => Ok(Pid::from_raw(child).map_or(Forked::Child, Forked::Parent)),
    }
}

/// Maps the counters in `file`. All processes that map the same file count together: the workers of
/// this process, its children, and the process that has started it. The mapping lasts until the
/// process ends.
///
/// # Errors
/// InvalidInput if the file is shorter than the counters; otherwise the error of mmap.
pub fn map_shared_counters(file: File) -> io::Result<&'static Counters> {
    map_shared(&file, "counters")
}

/// Maps the recording in `file`, in the same way.
///
/// # Errors
/// InvalidInput if the file is shorter than a recording; otherwise the error of mmap.
pub fn map_recording(file: File) -> io::Result<&'static Recording> {
    map_shared(&file, "recording")
}

/// What several processes may map. Only for types that consist of atomics.
trait OfAtomics {}
impl OfAtomics for Counters {}
impl OfAtomics for Recording {}

fn map_shared<T: OfAtomics>(file: &File, what: &str) -> io::Result<&'static T> {
    let length = size_of::<T>();
    if file.metadata()?.len() < length as u64 {
        let message = format!("the file for the {what} is too short");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let address = std::ptr::null_mut();
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let address = unsafe { mmap(address, length, protection, MapFlags::SHARED, file, 0)? };
    // SAFETY: the mapping starts at a page boundary, so it is aligned; it is as long as the type
    // (checked above, and its creator seals the file against shrinking); it is never unmapped. The
    // type consists of atomics (`OfAtomics`), for which every bit pattern is valid and which may
    // change at any time.
    Ok(unsafe { &*address.cast::<T>() })
}

/// Maps counters for the workers of this process and of the children that it forks. The mapping
/// lasts until the process ends.
///
/// # Errors
/// ENOMEM.
pub fn map_counter_cells() -> io::Result<&'static CounterCells> {
    let length = size_of::<CounterCells>();
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let address = std::ptr::null_mut();
    // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
    let address = unsafe { mmap_anonymous(address, length, protection, MapFlags::SHARED)? };
    // SAFETY: the mapping starts at a page boundary, so it is aligned; it is as long as the type
    // and is never unmapped. The type consists of atomics, for which every bit pattern is valid and
    // which may change at any time.
    Ok(unsafe { &*address.cast::<CounterCells>() })
}
