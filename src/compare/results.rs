//! The measured data of a comparison.
//!
//! This file holds the facts: the machine, the options, the contenders, the workloads, and every
//! round as it was measured. It holds no median, ratio, verdict or check;
//! `analyse` derives those.
//!
//! Invariants:
//! - Complete: every figure of every report can be computed from one [`Results`], and from its
//!   JSON.
//! - Raw: counts and totals of one round, never rates.
//! - `None` means "not measured" (a foreign server has no counters of ours). It is never a zero.
//! - Contenders and workloads are referred to by name, so a partial run needs no consistent
//!   indices.
//! - [`SCHEMA_VERSION`] rises when a field is removed or changes its meaning. Adding one with a
//!   default does not raise it. `docs/compare.schema.json` is made from these types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compare::timeline::Timeline;

/// Version of the JSON form of [`Results`].
pub const SCHEMA_VERSION: u32 = 2;

/// One run of `miniweb compare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Results {
    /// The [`SCHEMA_VERSION`] of the writing program.
    pub schema_version: u32,
    pub completeness: Completeness,
    /// The machine.
    pub environment: Environment,
    pub options: Options,
    /// The requests whose responses were compared before the first measurement.
    pub response_check: ResponseCheck,
    /// All planned measurements, in order.
    pub order: Vec<Measurement>,
    /// In the order of the reports.
    pub contenders: Vec<ContenderInfo>,
    /// In the order of the reports.
    pub workloads: Vec<Workload>,
    /// At most one for each contender and workload; none where nothing was measured.
    pub cells: Vec<Cell>,
    /// One recorded second of each strategy, in the order of the contenders. Recorded after all
    /// measurements, and no figure comes from it.
    #[serde(default)]
    pub timelines: Vec<Timeline>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    Whole,
    Partial {
        /// Such as "interrupted".
        reason: String,
    },
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// Start of the run in UTC, such as `2025-01-31T12:00:00Z`.
    pub started_at: String,
    /// Duration of the whole run.
    pub elapsed_seconds: u64,
    /// Operating system and version, such as `Linux 6.8.0`.
    pub kernel: String,
    /// Such as `x86_64`.
    pub architecture: String,
    pub cpu_model: String,
    /// How many cores this process may run on.
    pub cores: u32,
    pub memory_bytes: u64,
    /// The core the server is pinned to.
    pub server_core: Option<u32>,
    /// The core the load generator is pinned to.
    pub client_core: Option<u32>,
    /// Versions of miniweb and its compiler profile, and of foreign servers, by name.
    pub versions: BTreeMap<String, String>,
    /// Properties of the machine that affect the results, such as a single core or a virtual
    /// machine.
    pub remarks: Vec<String>,
}

/// The options of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Options {
    /// As typed.
    pub command: String,
    /// A description of the site.
    pub site: String,
    /// Determines the order of the measurements. Below 2^53, so that every JSON parser keeps it
    /// exact.
    pub seed: u64,
    /// Planned rounds of each cell.
    pub rounds: u32,
    /// Length of the load before each measured window, on the same connections.
    pub warm_up_ms: u64,
    /// Length of each measured window.
    pub window_ms: u64,
    /// All other options, in the order of the reports.
    pub settings: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Setting {
    /// Such as `--workers`.
    pub name: String,
    pub value: String,
}

/// The check that all contenders send equal responses. A comparison that fails it measures nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResponseCheck {
    /// Descriptions of the requests. The responses were equal byte for byte, except for Date.
    pub requests: Vec<String>,
    /// Names of the contenders that were not checked, such as the reference loop.
    pub exempt: Vec<String>,
    /// Names of the foreign servers: only the status and body of each file were compared.
    #[serde(default)]
    pub bodies_only: Vec<String>,
}

/// One planned measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Measurement {
    /// From 0. The measurements of one round are compared with each other.
    pub round: u32,
    pub workload: String,
    pub contender: String,
}

/// A server that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContenderInfo {
    /// Short and unique.
    pub name: String,
    pub kind: ContenderKind,
    /// A phrase such as "one thread per connection".
    pub description: String,
    /// The command that started it, or its address.
    pub command: String,
    /// It takes part in workloads with at most this many keep-alive connections: more would wait,
    /// or take too long to set up.
    #[serde(default)]
    pub connections_max: Option<u32>,
    /// Of a contender that speaks TLS: the name of the same server without it, which may take part
    /// as well.
    #[serde(default)]
    pub without_tls: Option<String>,
}

/// The role of a contender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ContenderKind {
    /// A strategy of miniweb. It is ranked.
    Strategy,
    /// A bare epoll loop that sends prepared responses. No server that parses requests costs less
    /// under most loads, but one that waits in another way may. It is not ranked.
    #[serde(alias = "floor")]
    ReferenceLoop,
    /// The same strategy again, for the A/A comparison: any difference from the original is noise.
    /// It is not ranked.
    Twin {
        /// The name of the original.
        of: String,
    },
    /// Another server. It is ranked by the metrics that can be measured from outside.
    Foreign,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Workload {
    /// Short and unique, such as `keep-alive-64`.
    pub name: String,
    /// Workloads of one kind that differ only in their connections form one curve.
    pub kind: WorkloadKind,
    /// A heading such as "keep-alive, small file, 64 connections".
    pub title: String,
    pub pacing: Pacing,
    /// Open connections, active and idle.
    pub connections: u32,
    /// How many of them send nothing during the measurement; with slow readers, how many read
    /// slowly.
    pub idle_connections: u32,
    /// Requests in flight on one active connection; 1 without pipelining.
    pub pipeline_depth: u32,
    /// A connection is closed after as many requests and replaced by another; `None`: kept open.
    pub requests_per_connection: Option<u32>,
    pub path: String,
    /// Length of the response body.
    pub body_bytes: u64,
    /// The rate at which each slow reader reads a large file.
    pub reader_bytes_per_second: Option<u64>,
    /// New connections resume an earlier TLS session. This has no effect without TLS.
    #[serde(default)]
    pub resumes_sessions: bool,
    /// The sweep for which it was measured. `None`: a load of the tables, which may also be a point
    /// of a sweep.
    #[serde(default)]
    pub sweep: Option<Axis>,
}

/// A property by which workloads differ. A sweep measures several workloads that differ in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Active connections.
    Connections,
    /// Connections without requests, beside the active ones.
    Idle,
    /// Size of the file.
    Size,
    /// Requests per second in an open loop.
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// A small file, again and again on keep-alive connections.
    KeepAlive,
    /// The same with pipelined requests.
    Pipelined,
    /// A new connection for each request.
    ConnectionPerRequest,
    /// A file larger than any buffer.
    LargeFile,
    /// Many connections, of which few are active.
    MostlyIdle,
    /// Connections that read more slowly than the server could send.
    SlowReaders,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// A closed loop: the next request follows the response. Measures capacity.
    Closed,
    /// An open loop: requests are sent at a fixed rate whatever the server does. Measures latency.
    Open {
        /// The same for every contender.
        requests_per_second: f64,
    },
}

/// The measurements of one contender under one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cell {
    pub contender: String,
    pub workload: String,
    /// In ascending order of their numbers; some may be missing.
    pub rounds: Vec<Round>,
    /// Errors that ended a measurement, such as a server that exited. Any of them makes the cell
    /// invalid.
    pub failures: Vec<String>,
}

/// One measurement: totals, never rates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Round {
    /// See [`Measurement::round`].
    pub number: u32,
    /// The actual duration, not the planned one.
    pub duration_us: u64,
    /// Correct and complete responses.
    pub requests: u64,
    /// Bytes received by the client, heads included.
    pub bytes: u64,
    /// Failed requests. Kinds that did not occur may be missing.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Of all threads and processes of the server.
    pub cpu: Option<Cpu>,
    /// Time to the last byte of the response: from the send (closed loop) or from the scheduled
    /// send time (open loop).
    pub latency: Histogram,
    /// In an open loop, the time from the actual send. The difference from `latency` is what
    /// coordinated omission would hide.
    pub service_time: Option<Histogram>,
    /// Number of calls by name, from the counters of the server.
    pub syscalls: Option<BTreeMap<String, u64>>,
    /// How many of these calls failed with EAGAIN.
    pub would_blocks: Option<u64>,
    /// Of all threads and processes of the server.
    pub context_switches: Option<ContextSwitches>,
    /// Growth of the server's anonymous memory while the connections were opened, divided by their
    /// number.
    pub memory_bytes_per_connection: Option<f64>,
    /// CPU time of the server over wall time while all connections are open and idle; 1.0 is one
    /// core.
    pub idle_cpu_share: Option<f64>,
    /// CPU time of the load generator over wall time; 1.0 is one core.
    pub client_cpu_share: f64,
    /// The mean number of requests in flight, counted by the client and not derived from latencies,
    /// so that Little's law is a real check. In an open loop a request is in flight from its
    /// scheduled send time.
    pub in_flight_average: f64,
    /// Handshakes of the measured connections within the window, with TLS.
    #[serde(default)]
    pub handshakes: Option<Handshakes>,
    pub noise: Noise,
}

/// TLS handshakes, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Handshakes {
    pub full: u64,
    pub resumed: u64,
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The connection could not be established.
    Connect,
    /// The connection was closed or reset before the response was complete.
    Closed,
    /// The response did not arrive within the timeout.
    Timeout,
    /// Another status than expected.
    Status,
    /// Another length than expected, or not HTTP.
    Response,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cpu {
    pub user_us: u64,
    pub system_us: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ContextSwitches {
    /// The thread slept.
    pub voluntary: u64,
    /// The scheduler preempted the thread.
    pub involuntary: u64,
}

/// Other activity on the machine, as shares of the window from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Noise {
    /// CPU time that the hypervisor gave to other virtual machines, over all cores.
    pub steal_share: Option<f64>,
    /// CPU time used by other programs on the server's or the client's core, whichever is higher.
    pub foreign_cpu_share: Option<f64>,
    /// Time in which some task waited for a core, from `/proc/pressure/cpu`. It is high by design
    /// if server and client share a core.
    pub cpu_pressure_share: Option<f64>,
}

/// The non-empty buckets of an HDR histogram, in ascending order. Two significant digits: every
/// value is accurate to 1 %.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Histogram {
    /// The upper bound of each bucket in nanoseconds, and its count, which is not 0.
    pub buckets: Vec<(u64, u64)>,
}

impl Results {
    pub fn cell(&self, workload: &str, contender: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.workload == workload && cell.contender == contender)
    }

    pub fn contender(&self, name: &str) -> Option<&ContenderInfo> {
        self.contenders.iter().find(|contender| contender.name == name)
    }

    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.name == name)
    }

    /// Whether any contender speaks TLS.
    pub fn has_tls(&self) -> bool {
        self.contenders.iter().any(|contender| contender.without_tls.is_some())
    }

    pub fn reference_loop(&self) -> Option<&ContenderInfo> {
        let is_it = |contender: &&ContenderInfo| contender.kind == ContenderKind::ReferenceLoop;
        self.contenders.iter().find(is_it)
    }

    /// The workloads of the tables: all that were not measured for a sweep, or all if there is
    /// nothing else.
    pub fn loads(&self) -> Vec<&Workload> {
        let loads: Vec<&Workload> =
            self.workloads.iter().filter(|workload| workload.sweep.is_none()).collect();
        if loads.is_empty() { self.workloads.iter().collect() } else { loads }
    }
}

impl Cell {
    pub fn round(&self, number: u32) -> Option<&Round> {
        self.rounds.iter().find(|round| round.number == number)
    }

    /// The latencies of all rounds.
    pub fn latency(&self) -> Histogram {
        Histogram::merged(self.rounds.iter().map(|round| &round.latency))
    }

    /// The service times of all rounds of an open loop.
    pub fn service_time(&self) -> Option<Histogram> {
        let histograms: Vec<_> =
            self.rounds.iter().filter_map(|round| round.service_time.as_ref()).collect();
        (!histograms.is_empty()).then(|| Histogram::merged(histograms))
    }

    /// Calls by name, the most frequent first; empty without counters. They are those of the median
    /// round, or the mean of the two middle rounds, so they add up to the median of all calls;
    /// medians taken per name would not.
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
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    pub fn duration_seconds(&self) -> f64 {
        self.duration_us as f64 / 1e6
    }
}

impl Cpu {
    pub fn total_us(self) -> u64 {
        self.user_us + self.system_us
    }
}

impl Workload {
    /// Whether `other` sends the same requests in the same way, whatever its name is.
    pub fn is_same_load(&self, other: &Workload) -> bool {
        let Workload { name, kind, title, sweep, .. } = other.clone();
        Workload { name, kind, title, sweep, ..self.clone() } == *other
    }

    /// Connections that send requests.
    pub fn active_connections(&self) -> u32 {
        self.connections.saturating_sub(self.idle_connections)
    }
}

impl Histogram {
    /// The contents of `recorder`, whose unit is the nanosecond.
    pub fn of(recorder: &hdrhistogram::Histogram<u64>) -> Histogram {
        let buckets = recorder.iter_recorded();
        Histogram {
            buckets: buckets
                .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
                .collect(),
        }
    }

    pub fn merged<'a>(histograms: impl IntoIterator<Item = &'a Histogram>) -> Histogram {
        let mut counts = BTreeMap::new();
        for (value_ns, count) in histograms.into_iter().flat_map(|histogram| &histogram.buckets) {
            *counts.entry(*value_ns).or_insert(0) += count;
        }
        Histogram { buckets: counts.into_iter().collect() }
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    pub fn mean_ns(&self) -> Option<f64> {
        let total: f64 =
            self.buckets.iter().map(|(value_ns, count)| *value_ns as f64 * *count as f64).sum();
        (!self.buckets.is_empty()).then(|| total / self.count() as f64)
    }

    /// The smallest value that at least `share` (0 to 1) of all values do not exceed.
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
