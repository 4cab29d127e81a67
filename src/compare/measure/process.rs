//! What the kernel knows of a server and of the machine: CPU time, context switches, memory, noise.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

use crate::compare::measure::control_socket::Usage;
use crate::compare::results::{ContextSwitches, Cpu, Noise};

/// A server, all its threads and processes, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceUsage {
    cpu: Cpu,
    switches: ContextSwitches,
    /// Private memory in bytes.
    pub(crate) anonymous_bytes: u64,
}

/// What the kernel tells of living processes.
#[derive(Debug, Default)]
struct ProcessTotals {
    cpu_us: u64,
    user_ticks: u64,
    system_ticks: u64,
    switches: ContextSwitches,
    anonymous_bytes: u64,
}

/// The unit of the times in proc(5): a hundredth of a second on every common architecture.
const TICK_US: u64 = 10_000;

impl ResourceUsage {
    /// Of the tree of processes beneath `pid`. If its root `told` what it and those that have ended used, that is exact;
    /// of a server that tells nothing, what ended tasks have used is known to a hundredth of a second, and how often
    /// they have switched is not known at all.
    pub(crate) fn of(pid: u32, told: Option<Usage>) -> ResourceUsage {
        let mut living = ProcessTotals::default();
        living.add(pid, told.is_some());
        let told = told.unwrap_or_default();
        // The scheduler counts nanoseconds, but which were the user's is sampled at every tick.
        let ticks = (living.user_ticks + living.system_ticks).max(1);
        let user_us = (living.cpu_us as f64 * living.user_ticks as f64 / ticks as f64) as u64;
        ResourceUsage {
            cpu: Cpu {
                user_us: told.cpu.user_us + user_us,
                system_us: told.cpu.system_us + living.cpu_us - user_us,
            },
            switches: ContextSwitches {
                voluntary: told.switches.voluntary + living.switches.voluntary,
                involuntary: told.switches.involuntary + living.switches.involuntary,
            },
            anonymous_bytes: living.anonymous_bytes,
        }
    }

    /// What was used since `before`.
    pub(crate) fn cpu_since(&self, before: &ResourceUsage) -> Cpu {
        let total_us = self.cpu.total_us().saturating_sub(before.cpu.total_us());
        // The division is an estimate at both ends, the total is not.
        let user_us = self.cpu.user_us.saturating_sub(before.cpu.user_us).min(total_us);
        Cpu { user_us, system_us: total_us - user_us }
    }

    /// How often a core was given away since `before`.
    pub(crate) fn switches_since(&self, before: &ResourceUsage) -> ContextSwitches {
        ContextSwitches {
            voluntary: self.switches.voluntary.saturating_sub(before.switches.voluntary),
            involuntary: self.switches.involuntary.saturating_sub(before.switches.involuntary),
        }
    }
}

impl ProcessTotals {
    /// A process and those beneath it; of itself only the memory where it `has_told` the rest.
    fn add(&mut self, pid: u32, has_told: bool) {
        let Some(stat) = read_to_string(format!("/proc/{pid}/stat")).ok() else {
            return;
        };
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        self.anonymous_bytes += field(&status, "RssAnon:") * 1024;
        let mut cpu_us = 0;
        for task in numbers_in(&format!("/proc/{pid}/task")) {
            let folder = format!("/proc/{pid}/task/{task}");
            if !has_told {
                let schedstat = read_to_string(format!("{folder}/schedstat")).unwrap_or_default();
                cpu_us +=
                    schedstat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
                        / 1000;
                let status = read_to_string(format!("{folder}/status")).unwrap_or_default();
                self.switches.voluntary += field(&status, "\nvoluntary_ctxt_switches:");
                self.switches.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
            }
            let children = read_to_string(format!("{folder}/children")).unwrap_or_default();
            children
                .split_whitespace()
                .filter_map(|child| child.parse().ok())
                .for_each(|child| self.add(child, false));
        }
        if has_told {
            return;
        }
        // The second field, a name in parentheses, may hold anything; utime, stime, cutime and cstime are 14 to 17.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(14 - 3);
        let ticks: Vec<u64> = fields.take(4).filter_map(|ticks| ticks.parse().ok()).collect();
        let [user, system, children_user, children_system] = ticks[..] else {
            return;
        };
        self.user_ticks += user + children_user;
        self.system_ticks += system + children_system;
        // Each of the two is rounded down. What is more than that, tasks have used that are gone.
        let ticks_us = (user + system) * TICK_US;
        self.cpu_us += if ticks_us > cpu_us + 2 * TICK_US { ticks_us } else { cpu_us };
        self.cpu_us += (children_user + children_system) * TICK_US;
    }
}

/// What the machine did until a moment.
#[derive(Debug)]
pub(crate) struct Machine {
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
    pub(crate) fn now() -> Machine {
        let stat = read_to_string("/proc/stat").unwrap_or_default();
        let mut cores = BTreeMap::new();
        for line in stat.lines() {
            let Some((core, ticks)) =
                line.strip_prefix("cpu").and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            let ticks: Vec<u64> =
                ticks.split_whitespace().filter_map(|ticks| ticks.parse().ok()).collect();
            // user nice system idle iowait irq softirq steal; guest time is in user already.
            if let (Ok(core), [user, nice, system, idle, wait, irq, soft, steal, ..]) =
                (core.parse(), &ticks[..])
            {
                let busy = user + nice + system + irq + soft;
                cores.insert(
                    core,
                    CoreTicks { busy, steal: *steal, all: busy + idle + wait + steal },
                );
            }
        }
        let pressure = read_to_string("/proc/pressure/cpu").unwrap_or_default();
        let total =
            pressure.lines().next().and_then(|line| line.rsplit_once("total=")?.1.parse().ok());
        Machine { at: Instant::now(), cores, pressure_us: total }
    }

    /// Since `before`; `used` are cores and the CPU time of ours on each.
    pub(crate) fn noise_since(&self, before: &Machine, used: &[(u32, Duration)]) -> Noise {
        let wall = (self.at - before.at).as_secs_f64().max(1e-6);
        let sum = |machine: &Machine, of: fn(&CoreTicks) -> u64| {
            machine.cores.values().map(of).sum::<u64>()
        };
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
    let value =
        text.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    value.unwrap_or(0)
}
