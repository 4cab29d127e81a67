//! What a comparison measured, as plain data.
//!
//! Here live the facts: the machine, the parameters, the contenders, the workloads, and every round as it was measured. No
//! median, ratio, verdict or check is kept here; they follow from the facts (`statistics`, `checks`, `verdict`).
//!
//! # Laws
//! - Complete: every figure of every report can be made again from one [`Results`], and from its JSON.
//! - Raw: counts and totals of one round, never a rate. Whoever tells divides.
//! - `None` means "not measured" (a foreign server keeps no stats), which differs from a zero everywhere.
//! - Arms and workloads are named, and a name refers: no index has to be kept right across a partial run.
//! - [`SCHEMA_VERSION`] rises when a field changes its meaning or goes away; a new one with a default may come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of the JSON form of [`Results`].
pub const SCHEMA_VERSION: u32 = 1;

/// One run of `miniweb compare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// Whether all that was planned was measured.
    pub completeness: Completeness,
    /// Where it was measured.
    pub environment: Environment,
    /// What was asked for.
    pub options: Options,
    /// What had to be equal before anything was timed.
    pub response_check: ResponseCheck,
    /// The measurements in the order in which they were taken.
    pub order: Vec<Measurement>,
    /// Those compared, in the order in which they are told.
    pub contenders: Vec<ContenderInfo>,
    /// The loads, in the order in which they are told.
    pub workloads: Vec<Workload>,
    /// What was measured: at most one cell for an contender and a workload, none for what no measurement was taken of.
    pub cells: Vec<Cell>,
}

/// Whether a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Every measurement was taken.
    Whole,
    /// It ended early.
    Partial {
        /// In words, e.g. "interrupted".
        reason: String,
    },
}

/// Where it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// When it began, in UTC, as in `2025-01-31T12:00:00Z`.
    pub started_at: String,
    /// How long the whole run took, in seconds.
    pub elapsed_seconds: u64,
    /// Operating system and its version, e.g. `Linux 6.8.0`.
    pub kernel: String,
    /// e.g. `x86_64`.
    pub architecture: String,
    /// As the processor calls itself.
    pub cpu_model: String,
    /// That this process may run on.
    pub cores: u32,
    /// Main memory, in bytes.
    pub memory_bytes: u64,
    /// The core of the server; `None`: not pinned.
    pub server_core: Option<u32>,
    /// The core of the load; `None`: not pinned.
    pub client_core: Option<u32>,
    /// Versions of what took part: miniweb, the compiler and its profile, foreign servers; name → version.
    pub versions: BTreeMap<String, String>,
    /// What about this machine colours the results, in words (one core only, frequency scaling, a virtual machine).
    pub remarks: Vec<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The command line, as it was typed.
    pub command: String,
    /// The site, in words.
    pub site: String,
    /// Where the order of measurements comes from. Below 2^53, so that every JSON reader keeps it.
    pub seed: u64,
    /// Rounds planned for every cell.
    pub rounds: u32,
    /// Of each window before measuring, on the same connections.
    pub warm_up_ms: u64,
    /// Of each measured window.
    pub window_ms: u64,
    /// Every other knob, in the order in which they are told.
    pub settings: Vec<Setting>,
}

/// A setting and its value, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// e.g. `--workers`.
    pub name: String,
    /// With its unit.
    pub value: String,
}

/// The correctness response_check. A comparison that fails it refuses, so this tells of one that passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseCheck {
    /// The requests whose answers were equal, byte for byte but for their Date, from every contender; in words.
    pub requests: Vec<String>,
    /// Arms that were not held to it (the floor, which has but one answer), by name.
    pub exempt: Vec<String>,
}

/// One window of measuring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// From 0. The measurements of one round belong together: they are compared with each other.
    pub round: u32,
    /// By name.
    pub workload: String,
    /// By name.
    pub contender: String,
}

/// One of those compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContenderInfo {
    /// Short, unique, e.g. `blocking:thread`.
    pub name: String,
    /// What it is in the comparison.
    pub kind: ContenderKind,
    /// In words, e.g. "blocking, a thread a connection".
    pub description: String,
    /// How it was started, or where it was found.
    pub command: String,
}

/// What an contender is in the comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContenderKind {
    /// A strategy of miniweb: compared and ranked.
    Strategy,
    /// A bare loop with a canned answer: the ceiling of this machine and client. Never ranked.
    Floor,
    /// The same strategy once more: the difference of the two is noise. Never ranked.
    Twin {
        /// The name of the contender that it repeats.
        of: String,
    },
    /// A server that is not ours: compared where it could be measured, and ranked.
    Foreign,
}

/// One load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Short, unique, e.g. `keep-alive-64`.
    pub name: String,
    /// Workloads of one kind that differ in their connections make one curve.
    pub kind: WorkloadKind,
    /// For a heading, e.g. "keep-alive, small file, 64 connections".
    pub title: String,
    /// When the next request is sent.
    pub pacing: Pacing,
    /// Open at once, active or not.
    pub connections: u32,
    /// Of those, silent while it is measured; with slow readers, those that read.
    pub idle_connections: u32,
    /// Requests under way on one active connection at once; 1: no pipelining.
    pub pipeline_depth: u32,
    /// After so many requests a connection is closed and another opened; `None`: kept for the whole window.
    pub requests_per_connection: Option<u32>,
    /// What is asked for.
    pub path: String,
    /// Size of the body of its answer.
    pub body_bytes: u64,
    /// With slow readers: how fast each of them reads a large file, per second, beside the connections that are measured.
    pub reader_bytes_per_second: Option<u64>,
}

/// The shape of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// A small file again and again on kept connections.
    KeepAlive,
    /// The same, several requests under way on each.
    Pipelined,
    /// A connection for each request.
    ConnectionPerRequest,
    /// A file too large for any buffer.
    LargeFile,
    /// Many connections, few of them active.
    MostlyIdle,
    /// Connections that read slower than the server could send.
    SlowReaders,
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// When the last answer has come: shows capacity.
    Closed,
    /// At fixed times, whatever the server does: shows latency.
    Open {
        /// Offered to every contender alike.
        requests_per_second: f64,
    },
}

/// One contender under one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// By name.
    pub contender: String,
    /// By name.
    pub workload: String,
    /// In rising order of their numbers. Rounds may be missing.
    pub rounds: Vec<Round>,
    /// What went wrong beyond counting (the server ended, no window could begin), in words. Any such makes the cell
    /// invalid.
    pub failures: Vec<String>,
}

/// One measured window: totals, never rates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// From 0; see [`Measurement::round`].
    pub number: u32,
    /// As it was, not as it was planned.
    pub duration_us: u64,
    /// Answers that came whole and right within the window.
    pub requests: u64,
    /// All that the client received, heads included.
    pub bytes: u64,
    /// Requests that came to nothing. Kinds without one may be left out.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Of the server, all its threads and processes.
    pub cpu: Option<Cpu>,
    /// From the send (closed loop) or from the *intended* send (open loop) to the last byte of the answer.
    pub latency: Histogram,
    /// In an open loop, from the real send: the gap between the two is what coordinated omission hides.
    pub service_time: Option<Histogram>,
    /// By the server's own stats: the name of the call → how often it was made.
    pub syscalls: Option<BTreeMap<String, u64>>,
    /// Calls among them that ended in EAGAIN: asked in vain.
    pub would_blocks: Option<u64>,
    /// Of the server, all its threads and processes.
    pub context_switches: Option<ContextSwitches>,
    /// Growth of the server's memory from no connection to all of this workload, over their number.
    pub memory_bytes_per_connection: Option<f64>,
    /// CPU of the server over wall time, with all connections of this workload open and no request; 1.0: one core.
    pub idle_cpu_share: Option<f64>,
    /// CPU of the load generator over wall time in this window; 1.0: one core, all of it.
    pub client_cpu_share: f64,
    /// Requests under way, averaged over the window by the client's own count (not from latencies: Little's law is
    /// checked with it). In an open loop a request is under way from its intended send.
    pub in_flight_average: f64,
    /// What else the machine did.
    pub noise: Noise,
}

/// How a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// No connection could be made.
    Connect,
    /// The connection ended or was reset before the answer was whole.
    Closed,
    /// No answer in time.
    Timeout,
    /// An answer with another status than the response_check saw.
    Status,
    /// An answer with other bytes, or one that is no HTTP.
    Answer,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// In the program.
    pub user_us: u64,
    /// In the kernel on its behalf.
    pub system_us: u64,
}

/// How often a core was given to somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextSwitches {
    /// It had nothing to do and slept.
    pub voluntary: u64,
    /// It was made to.
    pub involuntary: u64,
}

/// What the machine did beside the measurement, in shares of the window from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Time the hypervisor gave to others, of all cores.
    pub steal_share: Option<f64>,
    /// Time in which somebody *else* was running on the server's or the client's core, the fuller of the two.
    pub foreign_cpu_share: Option<f64>,
    /// Time in which some task waited for a core, by the kernel's pressure counters, as they are. With one core for
    /// server and client together it is high by design.
    pub cpu_pressure_share: Option<f64>,
}

/// How often each time was seen: the filled buckets of an HDR histogram, rising. Three significant digits, so a
/// figure taken from it is right within 0.1 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram {
    /// The highest time of a bucket in nanoseconds, and the number of times in it, which is not 0.
    pub buckets: Vec<(u64, u64)>,
}

impl Results {
    /// What was measured of this contender under this workload.
    pub fn cell(&self, workload: &str, contender: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.workload == workload && cell.contender == contender)
    }

    /// The contender of this name.
    pub fn contender(&self, name: &str) -> Option<&ContenderInfo> {
        self.contenders.iter().find(|contender| contender.name == name)
    }

    /// The workload of this name.
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.name == name)
    }
}

impl Cell {
    /// The round of this number.
    pub fn round(&self, number: u32) -> Option<&Round> {
        self.rounds.iter().find(|round| round.number == number)
    }

    /// The latencies of all rounds together.
    pub fn latency(&self) -> Histogram {
        Histogram::merged(self.rounds.iter().map(|round| &round.latency))
    }

    /// The service times of all rounds together, of an open loop.
    pub fn service_time(&self) -> Option<Histogram> {
        let histograms: Vec<_> =
            self.rounds.iter().filter_map(|round| round.service_time.as_ref()).collect();
        (!histograms.is_empty()).then(|| Histogram::merged(histograms))
    }

    /// By name, the most frequent first; empty without a stats. They are those of the round in the middle, or of the two that
    /// share it: so they add up to the median of all calls, which those of all rounds together would not.
    pub fn syscalls_per_request(&self) -> Vec<(&str, f64)> {
        let share = |count: u64, round: &Round| count as f64 / round.requests as f64;
        let counted = self.rounds.iter().filter(|round| round.requests > 0);
        let mut rounds: Vec<_> =
            counted.filter_map(|round| Some((round, round.syscalls.as_ref()?))).collect();
        rounds.sort_by(|(a, of_a), (b, of_b)| {
            share(of_a.values().sum(), a).total_cmp(&share(of_b.values().sum(), b))
        });
        let middle = rounds
            .get(rounds.len().saturating_sub(1) / 2..rounds.len() / 2 + 1)
            .unwrap_or_default();
        let mut calls: BTreeMap<&str, f64> = BTreeMap::new();
        for (round, of_round) in middle {
            for (name, count) in *of_round {
                *calls.entry(name).or_insert(0.0) += share(*count, round) / middle.len() as f64;
            }
        }
        let mut calls: Vec<_> = calls.into_iter().collect();
        calls.sort_by(|a, b| b.1.total_cmp(&a.1));
        calls
    }
}

impl Round {
    /// Requests that came to nothing, of every kind.
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The window in seconds.
    pub fn duration_seconds(&self) -> f64 {
        self.duration_us as f64 / 1e6
    }
}

impl Cpu {
    /// Of both kinds.
    pub fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }
}

impl Workload {
    /// The connections that ask.
    pub fn active_connections(&self) -> u32 {
        self.connections.saturating_sub(self.idle_connections)
    }
}

impl Histogram {
    /// What `recorder`, which counts nanoseconds, has seen.
    pub fn of(recorder: &hdrhistogram::Histogram<u64>) -> Histogram {
        let buckets = recorder.iter_recorded();
        Histogram {
            buckets: buckets
                .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
                .collect(),
        }
    }

    /// All of them in one.
    pub fn merged<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Histogram {
        let mut counts = BTreeMap::new();
        for (value_ns, count) in histograms.into_iter().flat_map(|histogram| &histogram.buckets) {
            *counts.entry(*value_ns).or_insert(0) += count;
        }
        Histogram { buckets: counts.into_iter().collect() }
    }

    /// How many times it holds.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Their mean.
    pub fn mean_ns(&self) -> Option<f64> {
        let total: f64 =
            self.buckets.iter().map(|(value_ns, count)| *value_ns as f64 * *count as f64).sum();
        (!self.buckets.is_empty()).then(|| total / self.count() as f64)
    }

    /// The least time that at least `share` (0 to 1) of all times do not exceed.
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        let rank = ((share * self.count() as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (value_ns, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return Some(*value_ns);
            }
        }
        self.buckets.last().map(|(value_ns, _)| *value_ns)
    }
}
