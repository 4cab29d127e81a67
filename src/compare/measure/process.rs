//! Resource usage of a server and noise of the machine, from `/proc`.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::time::{Duration, Instant};

use crate::compare::measure::control_socket::ReportedUsage;
use crate::compare::results::{ContextSwitches, Cpu, Noise};

/// Resource usage of a server, all its threads and processes, at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResourceUsage {
    cpu: Cpu,
    switches: ContextSwitches,
    pub(crate) anonymous_bytes: u64,
}

/// Sums over live processes.
#[derive(Debug, Default)]
struct ProcessTotals {
    cpu_us: u64,
    user_ticks: u64,
    system_ticks: u64,
    switches: ContextSwitches,
    anonymous_bytes: u64,
}

/// The tick of proc(5): 10 ms on every common architecture.
const TICK_US: u64 = 10_000;

impl ResourceUsage {
    /// The usage of the process tree with root `pid`. If the root `reported` its usage on the
    /// control socket, the figures are exact. Otherwise the CPU time of exited tasks is accurate to
    /// 10 ms, and their context switches are unknown.
    pub(crate) fn of(pid: u32, reported: Option<ReportedUsage>) -> ResourceUsage {
        let mut processes = ProcessTotals::default();
        processes.add(pid, reported.is_some());
        let reported = reported.unwrap_or_default();
        // The total is counted in nanoseconds; its split into user and system time is sampled at
        // every tick.
        let ticks = (processes.user_ticks + processes.system_ticks).max(1);
        let user_us = (processes.cpu_us as f64 * processes.user_ticks as f64 / ticks as f64) as u64;
        ResourceUsage {
            cpu: Cpu {
                user_us: reported.cpu.user_us + user_us,
                system_us: reported.cpu.system_us + processes.cpu_us - user_us,
            },
            switches: ContextSwitches {
                voluntary: reported.switches.voluntary + processes.switches.voluntary,
                involuntary: reported.switches.involuntary + processes.switches.involuntary,
            },
            anonymous_bytes: processes.anonymous_bytes,
        }
    }

    /// CPU time used since `before`.
    pub(crate) fn cpu_since(&self, before: &ResourceUsage) -> Cpu {
        let total_us = self.cpu.total_us().saturating_sub(before.cpu.total_us());
        // The split is an estimate at both ends, the total is not.
        let user_us = self.cpu.user_us.saturating_sub(before.cpu.user_us).min(total_us);
        Cpu { user_us, system_us: total_us - user_us }
    }

    pub(crate) fn switches_since(&self, before: &ResourceUsage) -> ContextSwitches {
        ContextSwitches {
            voluntary: self.switches.voluntary.saturating_sub(before.switches.voluntary),
            involuntary: self.switches.involuntary.saturating_sub(before.switches.involuntary),
        }
    }
}

impl ProcessTotals {
    /// Adds a process and its descendants. If the process `has_reported` its usage, only its memory
    /// is added.
    fn add(&mut self, pid: u32, has_reported: bool) {
        let Some(stat) = read_to_string(format!("/proc/{pid}/stat")).ok() else {
            return;
        };
        let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        self.anonymous_bytes += field(&status, "RssAnon:") * 1024;
        let mut cpu_us = 0;
        for task in numbers_in(&format!("/proc/{pid}/task")) {
            let directory = format!("/proc/{pid}/task/{task}");
            if !has_reported {
                let schedstat =
                    read_to_string(format!("{directory}/schedstat")).unwrap_or_default();
                cpu_us +=
                    schedstat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
                        / 1000;
                let status = read_to_string(format!("{directory}/status")).unwrap_or_default();
                self.switches.voluntary += field(&status, "\nvoluntary_ctxt_switches:");
                self.switches.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
            }
            let children = read_to_string(format!("{directory}/children")).unwrap_or_default();
            children
                .split_whitespace()
                .filter_map(|child| child.parse().ok())
                .for_each(|child| self.add(child, false));
        }
        if has_reported {
            return;
        }
        // The second field, a name in parentheses, may contain anything. utime, stime, cutime and
        // cstime are fields 14 to 17.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').skip(14 - 3);
        let ticks: Vec<u64> = fields.take(4).filter_map(|ticks| ticks.parse().ok()).collect();
        let [user, system, children_user, children_system] = ticks[..] else {
            return;
        };
        self.user_ticks += user + children_user;
        self.system_ticks += system + children_system;
        // Both values are rounded down. Any excess over the live threads was used by exited ones.
        let ticks_us = (user + system) * TICK_US;
        self.cpu_us += if ticks_us > cpu_us + 2 * TICK_US { ticks_us } else { cpu_us };
        self.cpu_us += (children_user + children_system) * TICK_US;
    }
}

/// Counters of the machine at one time.
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
            // user nice system idle iowait irq softirq steal; user includes guest time.
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

    /// Noise since `before`. `used` are the cores of server and client, with the CPU time that each
    /// of them used.
    pub(crate) fn noise_since(&self, before: &Machine, used: &[(u32, Duration)]) -> Noise {
        let wall = (self.at - before.at).as_secs_f64().max(1e-6);
        let sum = |machine: &Machine, of: fn(&CoreTicks) -> u64| {
            machine.cores.values().map(of).sum::<u64>()
        };
        let all = sum(self, |core| core.all).saturating_sub(sum(before, |core| core.all));
        let steal = sum(self, |core| core.steal).saturating_sub(sum(before, |core| core.steal));
        // One tick is subtracted: in a short window, the resolution of 10 ms would look like noise.
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

/// The IDs of all threads of a process and its descendants.
pub(crate) fn tasks_of(pid: u32) -> Vec<u32> {
    let mut tasks = numbers_in(&format!("/proc/{pid}/task"));
    let children = tasks.iter().flat_map(|task| {
        let path = format!("/proc/{pid}/task/{task}/children");
        let children = read_to_string(path).unwrap_or_default();
        children.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>()
    });
    let of_children: Vec<u32> = children.flat_map(tasks_of).collect();
    tasks.extend(of_children);
    tasks
}

fn numbers_in(directory: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn field(text: &str, name: &str) -> u64 {
    let value =
        text.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
    value.unwrap_or(0)
}
