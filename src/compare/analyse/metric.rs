//! The metrics of one round, and their formatting.
//!
//! Rates are computed from totals here and nowhere else. `statistics` adds the
//! uncertainty, `verdict` the comparison.
//!
//! Invariants:
//! - A metric is `None` if its data was not measured, never a made-up zero.
//! - Values below the resolution of a metric count as equal.

use std::borrow::Cow;

use crate::compare::results::{Cell, Pacing, Round};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Responses per second.
    Throughput,
    /// User and system time, in microseconds.
    CpuPerRequest,
    /// In microseconds.
    UserCpuPerRequest,
    /// In microseconds.
    SystemCpuPerRequest,
    /// In nanoseconds.
    LatencyMedian,
    /// In nanoseconds.
    LatencyP99,
    /// In nanoseconds.
    LatencyP999,
    SyscallsPerRequest,
    /// System calls that failed with EAGAIN.
    WouldBlocksPerRequest,
    /// Voluntary and involuntary.
    ContextSwitchesPerRequest,
    /// Anonymous memory of the server, in bytes.
    MemoryPerConnection,
    /// CPU time over wall time while all connections are open and idle; 1.0 is one core.
    IdleCpu,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

impl Metric {
    /// The metrics by which contenders are ranked.
    pub const RANKED: [Metric; 5] = [
        Metric::Throughput,
        Metric::CpuPerRequest,
        Metric::LatencyP99,
        Metric::MemoryPerConnection,
        Metric::IdleCpu,
    ];

    pub const ALL: [Metric; 12] = [
        Metric::Throughput,
        Metric::CpuPerRequest,
        Metric::UserCpuPerRequest,
        Metric::SystemCpuPerRequest,
        Metric::LatencyMedian,
        Metric::LatencyP99,
        Metric::LatencyP999,
        Metric::SyscallsPerRequest,
        Metric::WouldBlocksPerRequest,
        Metric::ContextSwitchesPerRequest,
        Metric::MemoryPerConnection,
        Metric::IdleCpu,
    ];

    pub fn of(self, round: &Round) -> Option<f64> {
        let per_request =
            |total: u64| (round.requests > 0).then(|| total as f64 / round.requests as f64);
        match self {
            Metric::Throughput => {
                (round.duration_us > 0).then(|| round.requests as f64 / round.duration_seconds())
            }
            Metric::CpuPerRequest => round.cpu.and_then(|cpu| per_request(cpu.total_us())),
            Metric::UserCpuPerRequest => round.cpu.and_then(|cpu| per_request(cpu.user_us)),
            Metric::SystemCpuPerRequest => round.cpu.and_then(|cpu| per_request(cpu.system_us)),
            Metric::LatencyMedian => quantile_ns(round, 0.5),
            Metric::LatencyP99 => quantile_ns(round, 0.99),
            Metric::LatencyP999 => quantile_ns(round, 0.999),
            Metric::SyscallsPerRequest => {
                round.syscalls.as_ref().and_then(|calls| per_request(calls.values().sum()))
            }
            Metric::WouldBlocksPerRequest => round.would_blocks.and_then(per_request),
            Metric::ContextSwitchesPerRequest => round
                .context_switches
                .and_then(|switches| per_request(switches.voluntary + switches.involuntary)),
            Metric::MemoryPerConnection => round.memory_bytes_per_connection,
            Metric::IdleCpu => round.idle_cpu_share,
        }
    }

    /// One value per round that has one. If any round is too short for a quantile, there are none:
    /// the remaining rounds would not be a fair sample.
    pub fn values(self, cell: &Cell) -> Vec<f64> {
        let values: Vec<f64> = cell.rounds.iter().filter_map(|round| self.of(round)).collect();
        let is_quantile =
            matches!(self, Metric::LatencyMedian | Metric::LatencyP99 | Metric::LatencyP999);
        if is_quantile && values.len() < cell.rounds.len() { Vec::new() } else { values }
    }

    pub fn better(self) -> Better {
        if self == Metric::Throughput { Better::More } else { Better::Less }
    }

    /// Whether contenders are ranked by this metric under such a load. In an open loop the rate is
    /// given. In a closed loop a slow server receives fewer requests, so its latencies omit the
    /// ones that were not sent.
    pub fn is_ranked_under(self, pacing: Pacing) -> bool {
        match (self, pacing) {
            (Metric::Throughput, pacing) => pacing == Pacing::Closed,
            (Metric::LatencyP99, pacing) => pacing != Pacing::Closed,
            (metric, _) => Metric::RANKED.contains(&metric),
        }
    }

    /// The smallest difference that the underlying clocks and counters resolve. Smaller values are
    /// replaced by it.
    pub fn resolution(self) -> f64 {
        match self {
            Metric::Throughput => 0.1,
            Metric::CpuPerRequest | Metric::UserCpuPerRequest | Metric::SystemCpuPerRequest => 0.01,
            Metric::LatencyMedian | Metric::LatencyP99 | Metric::LatencyP999 => 1000.0,
            Metric::SyscallsPerRequest
            | Metric::WouldBlocksPerRequest
            | Metric::ContextSwitchesPerRequest => 0.001,
            Metric::MemoryPerConnection => 64.0,
            Metric::IdleCpu => 0.001,
        }
    }

    /// The unit of [`Metric::of`]; empty for counts.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::Throughput => "1/s",
            Metric::CpuPerRequest | Metric::UserCpuPerRequest | Metric::SystemCpuPerRequest => "us",
            Metric::LatencyMedian | Metric::LatencyP99 | Metric::LatencyP999 => "ns",
            Metric::SyscallsPerRequest
            | Metric::WouldBlocksPerRequest
            | Metric::ContextSwitchesPerRequest => "",
            Metric::MemoryPerConnection => "bytes",
            Metric::IdleCpu => "cores",
        }
    }

    /// For a heading, such as "CPU time per request".
    pub fn title(self) -> &'static str {
        match self {
            Metric::Throughput => "requests per second",
            Metric::CpuPerRequest => "CPU time per request",
            Metric::UserCpuPerRequest => "user CPU time per request",
            Metric::SystemCpuPerRequest => "system CPU time per request",
            Metric::LatencyMedian => "median latency",
            Metric::LatencyP99 => "p99 latency",
            Metric::LatencyP999 => "p99.9 latency",
            Metric::SyscallsPerRequest => "system calls per request",
            Metric::WouldBlocksPerRequest => "would-block calls per request",
            Metric::ContextSwitchesPerRequest => "context switches per request",
            Metric::MemoryPerConnection => "memory per connection",
            Metric::IdleCpu => "CPU while idle",
        }
    }

    /// For a heading, such as "least CPU time per request".
    pub fn superlative(self) -> Cow<'static, str> {
        match self.better() {
            Better::More => format!("most {}", self.title()).into(),
            Better::Less if self.title().ends_with("latency") => {
                format!("lowest {}", self.title()).into()
            }
            Better::Less => format!("least {}", self.title()).into(),
        }
    }

    /// The verb of a sentence such as "uses 0.61 of beta's CPU time per request".
    pub fn verb(self) -> &'static str {
        match self {
            Metric::Throughput => "serves",
            Metric::LatencyMedian | Metric::LatencyP99 | Metric::LatencyP999 => "has",
            Metric::SyscallsPerRequest | Metric::WouldBlocksPerRequest => "makes",
            Metric::ContextSwitchesPerRequest => "causes",
            _ => "uses",
        }
    }

    pub fn format(self, value: f64) -> String {
        match self {
            Metric::Throughput => quantity(value),
            Metric::CpuPerRequest | Metric::UserCpuPerRequest | Metric::SystemCpuPerRequest => {
                time(value * 1000.0)
            }
            Metric::LatencyMedian | Metric::LatencyP99 | Metric::LatencyP999 => time(value),
            Metric::SyscallsPerRequest
            | Metric::WouldBlocksPerRequest
            | Metric::ContextSwitchesPerRequest => significant(value),
            Metric::MemoryPerConnection => bytes(value),
            Metric::IdleCpu if value < Metric::IdleCpu.resolution() => "< 0.1 %".to_owned(),
            Metric::IdleCpu => format!("{:.1} %", value * 100.0),
        }
    }
}

/// System calls by name, the most frequent first, without those below the resolution.
pub fn frequent_syscalls(cell: &Cell) -> Vec<(&str, f64)> {
    let mut calls = cell.syscalls_per_request();
    calls.retain(|(_, per_request)| *per_request >= Metric::SyscallsPerRequest.resolution());
    calls
}

/// None unless at least one response lies beyond the quantile.
fn quantile_ns(round: &Round, share: f64) -> Option<f64> {
    let beyond = round.latency.count() as f64 * (1.0 - share);
    // 1000 × (1 − 0.999) is slightly less than 1 in binary floating point.
    (beyond > 1.0 - 1e-9)
        .then(|| round.latency.quantile_ns(share).map(|value_ns| value_ns as f64))
        .flatten()
}

/// Three significant digits, no exponent: `0.0123`, `1.23`, `12.3`, `1234`.
pub fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // The magnitude of the rounded value: 0.9999 becomes 1.00, not 1.000.
    let magnitude =
        format!("{value:.2e}").rsplit_once('e').and_then(|(_, power)| power.parse::<i32>().ok());
    let decimals = (2 - magnitude.unwrap_or(0)).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

/// `950`, `61.2k`, `1.23M`
pub fn quantity(value: f64) -> String {
    match value {
        value if value >= 999_500.0 => format!("{}M", significant(value / 1e6)),
        value if value >= 9_995.0 => format!("{}k", significant(value / 1e3)),
        value => significant(value),
    }
}

/// `0`, `850 ns`, `12.3 µs`, `1.23 ms`, `1.50 s`
pub fn time(value_ns: f64) -> String {
    match value_ns {
        0.0 => "0".to_owned(),
        value if value >= 999.5e6 => format!("{} s", significant(value / 1e9)),
        value if value >= 999.5e3 => format!("{} ms", significant(value / 1e6)),
        value if value >= 999.5 => format!("{} µs", significant(value / 1e3)),
        value => format!("{value:.0} ns"),
    }
}

/// `17 B`, `1.2 KiB`
pub fn bytes(value: f64) -> String {
    crate::format::bytes(value.max(0.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Histogram;

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.9999, "1.00"),
            (0.012345, "0.0123"),
            (1.0, "1.00"),
            (12.34, "12.3"),
            (99.96, "100"),
        ] {
            assert_eq!(significant(value), text);
        }
        assert_eq!(quantity(950.4), "950");
        assert_eq!(quantity(61_234.0), "61.2k");
        assert_eq!(quantity(1_234_567.0), "1.23M");
        assert_eq!(quantity(999_600.0), "1.00M");
        assert_eq!(time(850.0), "850 ns");
        assert_eq!(time(12_345.0), "12.3 µs");
        assert_eq!(time(999_700.0), "1.00 ms");
        assert_eq!(time(1.5e9), "1.50 s");
    }

    #[test]
    fn a_quantile_needs_a_response_beyond_it() {
        let mut round = Round { requests: 999, ..Round::default() };
        round.latency.buckets = vec![(1000, 999)];
        assert_eq!(Metric::LatencyP999.of(&round), None);
        round.latency.buckets = vec![(1000, 1000)];
        assert_eq!(Metric::LatencyP999.of(&round), Some(1000.0));
    }

    #[test]
    fn a_quantile_has_values_of_all_rounds_or_none() {
        let round = |count| Round {
            latency: Histogram { buckets: vec![(1000, count)] },
            ..Round::default()
        };
        let cell = |counts: [u64; 2]| Cell {
            contender: String::new(),
            workload: String::new(),
            rounds: counts.map(round).into(),
            failures: Vec::new(),
        };
        assert_eq!(Metric::LatencyP999.values(&cell([2000, 2000])), [1000.0, 1000.0]);
        assert!(Metric::LatencyP999.values(&cell([2000, 500])).is_empty());
    }

    #[test]
    fn unmeasured_metrics_are_none() {
        let round = Round { requests: 10, duration_us: 1_000_000, ..Round::default() };
        assert_eq!(Metric::Throughput.of(&round), Some(10.0));
        for metric in
            [Metric::CpuPerRequest, Metric::SyscallsPerRequest, Metric::IdleCpu, Metric::LatencyP99]
        {
            assert_eq!(metric.of(&round), None);
        }
    }
}
