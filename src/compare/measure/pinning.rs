//! The pinning of a foreign server: for one measurement, all its threads run on the server's core.
//!
//! Invariants:
//! - Whatever was pinned is restored when the [`PinnedServer`] is dropped, and before an error is
//!   returned. A comparison ends in order on the first signal, so a server stays pinned only if the
//!   comparison is killed.
//! - It is pinned completely or not at all: a server with some threads elsewhere would be compared
//!   under other conditions without a word about it.

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::compare::measure::process::tasks_of;

/// A foreign server whose threads are pinned.
#[derive(Debug)]
pub(crate) struct PinnedServer {
    pid: u32,
    only: CpuSet,
    /// The cores that each thread could run on before, by thread ID.
    before: BTreeMap<u32, CpuSet>,
}

/// A thread may start another one before it is pinned itself. Each pass finds those of the previous
/// one; a server that starts threads faster than that is not pinned.
const PASSES_MAX: usize = 10;

impl PinnedServer {
    /// Pins the process `pid`, its threads and its descendants to `core`. Threads and processes
    /// that start later inherit it.
    ///
    /// # Errors
    /// From a system call; EPERM if the server belongs to another user.
    pub(crate) fn pin(pid: u32, core: u32) -> io::Result<PinnedServer> {
        let mut only = CpuSet::new();
        only.set(core as usize);
        let mut pinned = PinnedServer { pid, only, before: BTreeMap::new() };
        for _ in 0..PASSES_MAX {
            let found = tasks_of(pid).into_iter().filter(|task| !pinned.before.contains_key(task));
            let found: Vec<u32> = found.collect();
            if found.is_empty() {
                return Ok(pinned);
            }
            for task in found {
                let id = thread_id(task)?;
                match sched_getaffinity(Some(id)).and_then(|before| {
                    sched_setaffinity(Some(id), &only)?;
                    Ok(before)
                }) {
                    Ok(before) => pinned.before.insert(task, before),
                    // It has exited.
                    Err(Errno::SRCH) => None,
                    Err(error) => return Err(error.into()),
                };
            }
        }
        Err(io::Error::other("it starts threads too fast"))
    }
}

impl Drop for PinnedServer {
    fn drop(&mut self) {
        let of_main = self.before.get(&self.pid).copied();
        for task in tasks_of(self.pid) {
            let Ok(id) = thread_id(task) else { continue };
            // What has started since inherited the pinning. It gets the cores of the main thread.
            let has_inherited = || sched_getaffinity(Some(id)).is_ok_and(|set| set == self.only);
            let before = self.before.get(&task).copied();
            if let Some(before) = before.or_else(|| of_main.filter(|_| has_inherited())) {
                // It worked before; a thread that has exited by now needs no cores.
                let _ = sched_setaffinity(Some(id), &before);
            }
        }
    }
}

fn thread_id(task: u32) -> io::Result<Pid> {
    Pid::from_raw(task.cast_signed()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn cores_of(task: u32) -> Vec<usize> {
        let id = thread_id(task).expect("the kernel assigned it");
        let set = sched_getaffinity(Some(id)).expect("the task is running");
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    #[test]
    fn a_process_and_its_children_are_pinned_and_restored() -> io::Result<()> {
        // The shell stays, because it has to run something after its child.
        let mut shell = Command::new("sh").args(["-c", "sleep 60; true"]).spawn()?;
        let pid = shell.id();
        while tasks_of(pid).len() < 2 {
            std::thread::yield_now();
        }
        let tasks = tasks_of(pid);
        let before: Vec<_> = tasks.iter().map(|task| cores_of(*task)).collect();
        let core = *before[0].last().expect("it runs on some core");
        let pinned = PinnedServer::pin(pid, core as u32)?;
        assert!(tasks.iter().all(|task| cores_of(*task) == [core]));
        drop(pinned);
        let after: Vec<_> = tasks.iter().map(|task| cores_of(*task)).collect();
        for task in tasks {
            let _ = rustix::process::kill_process(thread_id(task)?, rustix::process::Signal::KILL);
        }
        shell.wait()?;
        assert_eq!(after, before);
        Ok(())
    }
}
