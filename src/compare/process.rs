//! What the kernel knows of a server and of the machine: CPU time, context switches, memory, noise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::time::{Duration, Instant};

use super::results::{ContextSwitches, Cpu, Noise};

/// A process and all its descendants at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// By task: nanoseconds on a core, as the scheduler counts them.
    task_ns: BTreeMap<(u32, u32), u64>,
    user_ticks: u64,
    system_ticks: u64,
    switches: ContextSwitches,
    /// Private memory in bytes.
    pub(super) anonymous_bytes: u64,
}

/// The unit of the times in proc(5): a hundredth of a second on every common architecture.
const TICK_US: u64 = 10_000;

impl Account {
    /// Of the tree of processes beneath `pid`, with those that have ended and were reaped.
    pub(super) fn of(pid: u32) -> Account {
        let mut account = Account::default();
        account.add(pid);
        account
    }

    fn add(&mut self, pid: u32) {
        let Some(stat) = read_to_string(format!("/proc/{pid}/stat")).ok() else { return };
        // The second field, a name in parentheses, may hold anything; utime, stime, cutime and cstime are 14 to 17.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(14 - 3);
        let ticks: Vec<u64> = fields.take(4).filter_map(|ticks| ticks.parse().ok()).collect();
        if let [user, system, children_user, children_system] = ticks[..] {
            self.user_ticks += user + children_user;
            self.system_ticks += system + children_system;
        }
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        self.anonymous_bytes += field(&status, "RssAnon:") * 1024;
        for task in numbers_in(&format!("/proc/{pid}/task")) {
            let folder = format!("/proc/{pid}/task/{task}");
            let schedstat = read_to_string(format!("{folder}/schedstat")).unwrap_or_default();
            if let Some(ns) = schedstat.split(' ').next().and_then(|ns| ns.parse().ok()) {
                self.task_ns.insert((pid, task), ns);
            }
            let status = read_to_string(format!("{folder}/status")).unwrap_or_default();
            self.switches.voluntary += field(&status, "\nvoluntary_ctxt_switches:");
            self.switches.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
            let children = read_to_string(format!("{folder}/children")).unwrap_or_default();
            children.split_whitespace().filter_map(|child| child.parse().ok()).for_each(|child| self.add(child));
        }
    }

    /// What was used since `before`. Exact to the microsecond while the same tasks live; where some have come or gone, the
    /// kernel tells only hundredths of a second.
    pub(super) fn cpu_since(&self, before: &Account) -> Cpu {
        let (user, system) = (
            self.user_ticks.saturating_sub(before.user_ticks) * TICK_US,
            self.system_ticks.saturating_sub(before.system_ticks) * TICK_US,
        );
        let tasks = |account: &Account| account.task_ns.keys().copied().collect::<BTreeSet<_>>();
        let sum = |account: &Account| account.task_ns.values().sum::<u64>();
        let total_us = sum(self).saturating_sub(sum(before)) / 1000;
        // Tasks that came and went in between are in the hundredths only, of which each of the two is rounded.
        let is_all = total_us.abs_diff(user + system) <= 3 * TICK_US;
        if tasks(self) != tasks(before) || !is_all {
            return Cpu { user_us: user, system_us: system };
        }
        // How it is divided is sampled by the kernel at every tick; too short a window is divided like the whole life.
        let (part, whole) = match user + system {
            0 => (self.user_ticks, self.user_ticks + self.system_ticks),
            both => (user, both),
        };
        let user_us = (total_us as f64 * part as f64 / whole.max(1) as f64) as u64;
        Cpu { user_us, system_us: total_us - user_us }
    }

    /// Of the tasks that live; what those that ended have switched is lost with them.
    pub(super) fn switches_since(&self, before: &Account) -> ContextSwitches {
        ContextSwitches {
            voluntary: self.switches.voluntary.saturating_sub(before.switches.voluntary),
            involuntary: self.switches.involuntary.saturating_sub(before.switches.involuntary),
        }
    }
}

/// What the machine did until a moment.
#[derive(Debug)]
pub(super) struct Machine {
    at: Instant,
    cores: BTreeMap<u32, CoreTicks>,
    pressure_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct CoreTicks {
    busy: u64,
    steal: u64,
    all: u64,
}

impl Machine {
    pub(super) fn now() -> Machine {
        let stat = read_to_string("/proc/stat").unwrap_or_default();
        let mut cores = BTreeMap::new();
        for line in stat.lines() {
            let Some((core, ticks)) = line.strip_prefix("cpu").and_then(|rest| rest.split_once(' ')) else { continue };
            let ticks: Vec<u64> = ticks.split_whitespace().filter_map(|ticks| ticks.parse().ok()).collect();
            // user nice system idle iowait irq softirq steal; guest time is in user already.
            if let (Ok(core), [user, nice, system, idle, wait, irq, soft, steal, ..]) = (core.parse(), &ticks[..]) {
                let busy = user + nice + system + irq + soft;
                cores.insert(core, CoreTicks { busy, steal: *steal, all: busy + idle + wait + steal });
            }
        }
        let pressure = read_to_string("/proc/pressure/cpu").unwrap_or_default();
        let total = pressure.lines().next().and_then(|line| line.rsplit_once("total=")?.1.parse().ok());
        Machine { at: Instant::now(), cores, pressure_us: total }
    }

    /// Since `before`; `used` are cores and the CPU time of ours on each.
    pub(super) fn noise_since(&self, before: &Machine, used: &[(u32, Duration)]) -> Noise {
        let wall = (self.at - before.at).as_secs_f64().max(1e-6);
        let sum = |machine: &Machine, of: fn(&CoreTicks) -> u64| machine.cores.values().map(of).sum::<u64>();
        let all = sum(self, |core| core.all).saturating_sub(sum(before, |core| core.all));
        let steal = sum(self, |core| core.steal).saturating_sub(sum(before, |core| core.steal));
        // Ticks of 10 ms: in a short window they say nothing about a few hundredths.
        let tick_share = TICK_US as f64 / 1e6 / wall;
        let foreign = used.iter().filter_map(|(core, ours)| {
            let busy = self.cores.get(core)?.busy.saturating_sub(before.cores.get(core)?.busy);
            let share = busy as f64 * TICK_US as f64 / 1e6 / wall - ours.as_secs_f64() / wall;
            Some((share - tick_share).max(0.0))
        });
        Noise {
            steal_share: (all > 0).then(|| steal as f64 / all as f64),
            foreign_cpu_share: foreign.reduce(f64::max),
            cpu_pressure_share: self
                .pressure_us
                .zip(before.pressure_us)
                .map(|(now, then)| now.saturating_sub(then) as f64 / 1e6 / wall),
        }
    }
}

fn numbers_in(folder: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn field(text: &str, name: &str) -> u64 {
    let value = text.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    value.unwrap_or(0)
}
