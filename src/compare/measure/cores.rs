//! Pinning: the server runs on one core, the load on another.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

#[derive(Debug)]
pub struct Cores {
    /// Cores this process may run on.
    pub(crate) allowed: Vec<u32>,
    /// The cores of server and client. None if there is only one, or if pinning is not permitted.
    pub(crate) pinned: Option<(u32, u32)>,
}

impl Cores {
    /// Pins the calling thread, which generates the load, to the last core. The first is for the
    /// servers.
    pub fn divide() -> Cores {
        let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        let allowed: Vec<u32> =
            (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).map(|core| core as u32).collect();
        let pinned = match allowed[..] {
            [server, .., client] if pin(client) => Some((server, client)),
            _ => None,
        };
        Cores { allowed, pinned }
    }

    /// Runs `spawn` on the core of the server. A child process inherits the affinity, and so do its
    /// threads.
    pub fn on_server_core<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let Some((server, client)) = self.pinned else {
            return spawn();
        };
        // Both calls succeeded before. Should one fail now, the check for foreign load detects it.
        pin(server);
        let spawned = spawn();
        pin(client);
        spawned
    }
}

fn pin(core: u32) -> bool {
    let mut set = CpuSet::new();
    set.set(core as usize);
    sched_setaffinity(None, &set).is_ok()
}
