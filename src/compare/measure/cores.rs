//! Which core the server has, and which the load.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The division of the machine.
#[derive(Debug)]
pub struct Cores {
    /// Those this process may run on.
    pub(crate) allowed: Vec<u32>,
    /// The server's and the client's; None where there is but one, or pinning is refused.
    pub(crate) pinned: Option<(u32, u32)>,
}

impl Cores {
    /// Pins this thread, which makes the load, to the last core. The first is for the servers.
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

    /// Runs `spawn` on the server's core: a child begins where its parent is, with all threads that it will have.
    pub fn on_server_core<T>(&self, spawn: impl FnOnce() -> T) -> T {
        let Some((server, client)) = self.pinned else {
            return spawn();
        };
        // Both could be done a moment ago; should it fail now, the foreign load on the client's core will show it.
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
