//! Validity checks of the measurements.
//!
//! Each cell is checked as listed below. A cell that fails is shown with the reason, and is not
//! ranked by the metrics that the check concerns. The checks judge the measurement, not the
//! contender: a slow server passes all of them, except that in an open loop it may not achieve the
//! offered rate.
//!
//! Invariants:
//! - A check without data is skipped, never failed: a foreign server has no counters of ours.
//! - Checks use the median over rounds, because the statistics already tolerate single bad rounds.
//!   Errors are summed, because a median would hide them.

use crate::compare::analyse::metric::{Metric, significant, time};
use crate::compare::analyse::statistics::median;
use crate::compare::results::{Cell, ContenderKind, ErrorKind, Pacing, Results, Round, Workload};
use crate::format::counted;

/// A busy machine may break a few connections. With more errors, the workload is another one.
const ERROR_SHARE_MAX: f64 = 0.001;
/// Little's law is exact for whole windows. Requests cut off at the edges are accounted for
/// separately.
const LITTLE_TOLERANCE: f64 = 0.1;
/// A busier client has no idle time left, so it measures its own speed.
const CLIENT_CPU_SHARE_MAX: f64 = 0.95;
/// With a lower rate, the load is another one than stated.
const OFFERED_SHARE_MIN: f64 = 0.95;
/// CPU time taken by the hypervisor.
const STEAL_SHARE_MAX: f64 = 0.05;
/// CPU time of other programs on the core of the server or the client. Smaller disturbances widen
/// the confidence intervals instead.
const FOREIGN_CPU_SHARE_MAX: f64 = 0.2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    pub check: Check,
    pub outcome: Outcome,
    /// The figures, such as "in flight 63.9, by Little's law 64.0".
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// There are measurements, and none of them failed.
    Measured,
    /// Few requests failed, and no response was wrong.
    Errors,
    /// The mean number of requests in flight equals the rate times the mean latency. A client that
    /// loses time or miscounts violates this.
    LittlesLaw,
    /// The client had CPU time left.
    Client,
    /// An open loop achieved its rate.
    Offered,
    /// No one else used the cores.
    Noise,
    /// The memory of a foreign server grew with its connections. One that allocates in advance has
    /// no memory per connection that could be compared.
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// There is no data, or the check does not apply.
    Skipped,
}

impl Check {
    /// Whether failing this check excludes a cell from the ranking by `metric`. A client at its
    /// limit hides the capacity of the server, but the CPU time per request remains correct.
    pub fn concerns(self, metric: Metric) -> bool {
        use Metric::{LatencyMedian, LatencyP99, LatencyP999, MemoryPerConnection, Throughput};
        match self {
            Check::Client => {
                matches!(metric, Throughput | LatencyMedian | LatencyP99 | LatencyP999)
            }
            Check::Memory => metric == MemoryPerConnection,
            _ => true,
        }
    }

    /// What a cell that fails it loses.
    pub fn consequence(self) -> &'static str {
        match self {
            Check::Client => "the rate is a lower bound, latency not ranked",
            Check::Memory => "memory not ranked",
            _ => "not ranked",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Check::Measured => "measured",
            Check::Errors => "errors",
            Check::LittlesLaw => "Little's law",
            Check::Client => "client",
            Check::Offered => "offered rate",
            Check::Noise => "noise",
            Check::Memory => "memory",
        }
    }
}

/// All checks in order, or a single one if nothing was measured.
pub fn all_checks(results: &Results, workload: &Workload, cell: Option<&Cell>) -> Vec<CheckResult> {
    let Some(cell) = cell.filter(|cell| !cell.rounds.is_empty() || !cell.failures.is_empty())
    else {
        return vec![judged(Check::Measured, false, "not measured".to_owned())];
    };
    let measured = measured(cell);
    if measured.outcome == Outcome::Failed {
        return vec![measured];
    }
    vec![
        measured,
        errors(cell),
        littles_law(workload, cell),
        client(results, workload, cell),
        offered(workload, cell),
        noise(cell),
        memory(results, cell),
    ]
}

/// What a figure says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Measured,
    /// A rate that the client limited: the server may be faster.
    LowerBound,
    /// A check failed.
    Invalid,
}

pub fn standing(
    results: &Results,
    workload: &Workload,
    cell: Option<&Cell>,
    metric: Metric,
) -> Standing {
    let mut failures = failed_checks(results, workload, cell);
    failures.retain(|failure| failure.check.concerns(metric));
    let is_limited_by_client = failures.iter().all(|failure| failure.check == Check::Client);
    match failures.is_empty() {
        true => Standing::Measured,
        false if is_limited_by_client && metric == Metric::Throughput => Standing::LowerBound,
        false => Standing::Invalid,
    }
}

pub fn is_valid(
    results: &Results,
    workload: &Workload,
    cell: Option<&Cell>,
    metric: Metric,
) -> bool {
    standing(results, workload, cell, metric) == Standing::Measured
}

/// Whether a figure takes part in the ranking with its exact value. A lower bound may lead, but its
/// value is not known.
pub fn is_ranked(
    results: &Results,
    workload: &Workload,
    cell: Option<&Cell>,
    metric: Metric,
) -> bool {
    metric.is_ranked_under(workload.pacing) && is_valid(results, workload, cell, metric)
}

pub fn failed_checks(
    results: &Results,
    workload: &Workload,
    cell: Option<&Cell>,
) -> Vec<CheckResult> {
    let mut check_results = all_checks(results, workload, cell);
    check_results.retain(|result| result.outcome == Outcome::Failed);
    check_results
}

/// Whether anything can be ranked.
pub fn any_valid(results: &Results) -> bool {
    results.workloads.iter().any(|workload| {
        results.contenders.iter().any(|contender| {
            let cell = results.cell(&workload.name, &contender.name);
            Metric::RANKED.into_iter().any(|metric| is_valid(results, workload, cell, metric))
        })
    })
}

fn measured(cell: &Cell) -> CheckResult {
    let empty =
        cell.rounds.iter().filter(|round| round.requests == 0 || round.duration_us == 0).count();
    let detail = match (cell.failures.as_slice(), empty) {
        ([], 0) => counted(cell.rounds.len(), "round"),
        ([], empty) => format!("no response in {empty} of {}", counted(cell.rounds.len(), "round")),
        (failures, _) => failures.join("; "),
    };
    judged(Check::Measured, cell.failures.is_empty() && empty == 0, detail)
}

fn errors(cell: &Cell) -> CheckResult {
    let of_kind =
        |kind| -> u64 { cell.rounds.iter().filter_map(|round| round.errors.get(&kind)).sum() };
    let errors: u64 = cell.rounds.iter().map(Round::errors_total).sum();
    let requests: u64 = cell.rounds.iter().map(|round| round.requests).sum();
    // A wrong response does not depend on load: the contender did other work than the rest.
    let are_right = of_kind(ErrorKind::Response) == 0 && of_kind(ErrorKind::Status) == 0;
    let are_few = errors as f64 <= ERROR_SHARE_MAX * (errors + requests) as f64;
    let kinds = [
        (ErrorKind::Connect, "not connected"),
        (ErrorKind::Closed, "closed early"),
        (ErrorKind::Timeout, "timed out"),
        (ErrorKind::Status, "wrong status"),
        (ErrorKind::Response, "wrong response"),
    ];
    let counts = kinds.map(|(kind, detail)| (of_kind(kind), detail));
    let parts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, detail)| format!("{count} {detail}"))
        .collect();
    let detail = if parts.is_empty() {
        "none".to_owned()
    } else {
        format!("{} of {}", parts.join(", "), errors + requests)
    };
    judged(Check::Errors, are_right && are_few, detail)
}

fn littles_law(workload: &Workload, cell: &Cell) -> CheckResult {
    let Some(counted) = median_of(cell, |round| Some(round.in_flight_average)) else {
        return skipped(Check::LittlesLaw, "not measured");
    };
    let computed = median_of(cell, |round| {
        Some(round.requests as f64 * round.latency.mean_ns()? / (round.duration_us as f64 * 1000.0))
    });
    let Some(computed) = computed else {
        return judged(Check::LittlesLaw, false, "responses without latencies".to_owned());
    };
    // Each active connection may have requests in flight at both edges of the window.
    let cut = f64::from(workload.active_connections()) * f64::from(workload.pipeline_depth);
    let requests = median_of(cell, |round| Some(round.requests as f64)).unwrap_or(1.0);
    let tolerance = LITTLE_TOLERANCE + cut / requests.max(1.0);
    let holds = (computed - counted).abs() <= tolerance * counted.max(f64::MIN_POSITIVE);
    let detail =
        format!("in flight {}, by Little's law {}", significant(counted), significant(computed));
    judged(Check::LittlesLaw, holds, detail)
}

fn client(results: &Results, workload: &Workload, cell: &Cell) -> CheckResult {
    let schedule = schedule_kept(results, workload);
    // The reference loop has no TLS, which costs the client time as well. So a client that is busy
    // all the time may be at its limit, even if it is not with the reference loop.
    let is_encrypted =
        results.contender(&cell.contender).is_some_and(|it| it.without_tls.is_some());
    if let Some(result) = schedule.filter(|it| !is_encrypted || it.outcome == Outcome::Failed) {
        return result;
    }
    let environment = &results.environment;
    let share_a_core = environment.cores == 1
        || (environment.server_core.is_some()
            && environment.server_core == environment.client_core);
    let busy = median_of(cell, |round| Some(round.client_cpu_share)).unwrap_or_default();
    let detail = format!("client busy {:.0} % of the time", busy * 100.0);
    match share_a_core {
        true => skipped(Check::Client, &format!("{detail}, on the server's core")),
        false => judged(Check::Client, busy <= CLIENT_CPU_SHARE_MAX, detail),
    }
}

/// In an open loop, a client that wakes up for every request is busy without being at its limit. It
/// is if even requests to the reference loop wait longer to be sent than to be answered. The
/// reference loop decides for all contenders, because with a slow server requests wait for a
/// connection, too. `None` without a reference loop, or in a closed loop.
fn schedule_kept(results: &Results, workload: &Workload) -> Option<CheckResult> {
    let reference = results.reference_loop()?;
    let cell = results.cell(&workload.name, &reference.name)?;
    let latency_ns = median_of(cell, |round| round.latency.mean_ns())?;
    let service_ns = median_of(cell, |round| round.service_time.as_ref()?.mean_ns())?;
    let (waited, answered) = (time(latency_ns - service_ns), time(service_ns));
    let detail = format!(
        "requests to {} waited {waited} to be sent, and {answered} for the response",
        reference.name
    );
    Some(judged(Check::Client, latency_ns <= 2.0 * service_ns, detail))
}

fn offered(workload: &Workload, cell: &Cell) -> CheckResult {
    let Pacing::Open { requests_per_second: offered } = workload.pacing else {
        return skipped(Check::Offered, "closed loop");
    };
    let achieved = median_of(cell, |round| Metric::Throughput.of(round)).unwrap_or_default();
    let detail = format!(
        "{} of {} requests/s",
        Metric::Throughput.format(achieved),
        Metric::Throughput.format(offered)
    );
    judged(Check::Offered, achieved >= OFFERED_SHARE_MIN * offered, detail)
}

fn noise(cell: &Cell) -> CheckResult {
    let steal = median_of(cell, |round| round.noise.steal_share);
    let foreign = median_of(cell, |round| round.noise.foreign_cpu_share);
    // Reported, but not judged: many threads on one core wait for it by design.
    let pressure = median_of(cell, |round| round.noise.cpu_pressure_share);
    let percent = |share: Option<f64>, what: &str| {
        share.map(|share| format!("{what} {:.1} %", share * 100.0))
    };
    let parts = [
        percent(steal, "steal"),
        percent(foreign, "other programs"),
        percent(pressure, "CPU pressure"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return skipped(Check::Noise, "not measured");
    }
    let is_quiet = steal.is_none_or(|share| share <= STEAL_SHARE_MAX)
        && foreign.is_none_or(|share| share <= FOREIGN_CPU_SHARE_MAX);
    judged(Check::Noise, is_quiet, parts.join(", "))
}

fn memory(results: &Results, cell: &Cell) -> CheckResult {
    let is_foreign = results
        .contender(&cell.contender)
        .is_some_and(|contender| contender.kind == ContenderKind::Foreign);
    if !is_foreign {
        return skipped(Check::Memory, "its memory grows with connections");
    }
    let Some(growth) = median_of(cell, |round| round.memory_bytes_per_connection) else {
        return skipped(Check::Memory, "not measured");
    };
    let metric = Metric::MemoryPerConnection;
    let does_grow = growth >= metric.resolution();
    let reason = if does_grow { "" } else { ": allocated before they opened" };
    let detail = format!("grows by {} per connection{reason}", metric.format(growth));
    judged(Check::Memory, does_grow, detail)
}

fn median_of(cell: &Cell, value: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    median(&cell.rounds.iter().filter_map(value).collect::<Vec<_>>())
}

fn judged(check: Check, is_passed: bool, detail: String) -> CheckResult {
    CheckResult {
        check,
        outcome: if is_passed { Outcome::Passed } else { Outcome::Failed },
        detail,
    }
}

fn skipped(check: Check, detail: &str) -> CheckResult {
    CheckResult { check, outcome: Outcome::Skipped, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    /// The checks that the first contender fails under `workload`, after every round was modified.
    fn failed_after(workload: &str, modify: impl Fn(&mut Round)) -> Vec<Check> {
        let mut results = synthetic::results(1);
        let contender = results.contenders[0].name.clone();
        let cell = results
            .cells
            .iter_mut()
            .find(|cell| cell.workload == workload && cell.contender == contender);
        cell.expect("synthetic results contain it").rounds.iter_mut().for_each(modify);
        let modified = results.workload(workload).expect("synthetic results contain it");
        failed_checks(&results, modified, results.cell(workload, &contender))
            .iter()
            .map(|result| result.check)
            .collect()
    }

    #[test]
    fn every_cell_of_a_clean_run_is_valid() {
        let results = synthetic::results(1);
        for workload in &results.workloads {
            for contender in &results.contenders {
                let cell = results.cell(&workload.name, &contender.name);
                let failures = failed_checks(&results, workload, cell);
                // No contender is too slow for the offered rates.
                assert!(
                    failures.is_empty(),
                    "{} under {}: {failures:?}",
                    contender.name,
                    workload.name
                );
            }
        }
        assert!(any_valid(&results));
    }

    #[test]
    fn each_fault_fails_only_its_own_check() {
        assert_eq!(failed_after("keep-alive-64", |_| {}), []);
        assert_eq!(
            failed_after("keep-alive-64", |round| round.in_flight_average *= 1.3),
            [Check::LittlesLaw]
        );
        assert_eq!(
            failed_after("keep-alive-64", |round| round.client_cpu_share = 0.99),
            [Check::Client]
        );
        assert_eq!(failed_after("keep-alive-64", |round| round.requests = 0), [Check::Measured]);
        assert_eq!(
            failed_after("keep-alive-64", |round| round.noise.steal_share = Some(0.2)),
            [Check::Noise]
        );
        let with_errors =
            |kind, count| move |round: &mut Round| round.errors = [(kind, count)].into();
        assert_eq!(
            failed_after("keep-alive-64", with_errors(ErrorKind::Response, 1)),
            [Check::Errors]
        );
        assert_eq!(failed_after("keep-alive-64", with_errors(ErrorKind::Closed, 1)), []);
        assert_eq!(
            failed_after("keep-alive-64", with_errors(ErrorKind::Closed, 1000)),
            [Check::Errors]
        );
        let slowed = |round: &mut Round| {
            round.requests /= 2;
            round.in_flight_average /= 2.0;
        };
        assert_eq!(failed_after("keep-alive-64-open", slowed), [Check::Offered]);
    }

    #[test]
    fn a_saturated_client_excludes_rates_but_not_costs() {
        assert!(
            !Check::Client.concerns(Metric::CpuPerRequest)
                && Check::Client.concerns(Metric::LatencyP99)
        );
        assert!(Check::Noise.concerns(Metric::CpuPerRequest));
    }

    #[test]
    fn memory_that_a_foreign_server_allocates_in_advance_is_not_ranked() {
        for (growth, is_ranked) in [(0.0, false), (-64.0, false), (63.0, false), (900.0, true)] {
            let mut results = synthetic::results(1);
            for cell in &mut results.cells {
                for round in &mut cell.rounds {
                    round.memory_bytes_per_connection = Some(growth);
                }
            }
            let workload = results.workload("idle-504").expect("synthetic results contain it");
            for (contender, expected) in [("nginx", is_ranked), ("alpha", true)] {
                let cell = results.cell("idle-504", contender);
                let metrics = [Metric::MemoryPerConnection, Metric::CpuPerRequest];
                let ranked =
                    metrics.map(|metric| super::is_ranked(&results, workload, cell, metric));
                assert_eq!(ranked, [expected, true], "{contender}, {growth}");
            }
        }
    }

    #[test]
    fn one_bad_round_is_tolerated() {
        assert_eq!(
            failed_after("keep-alive-64", |round| {
                if round.number == 0 {
                    round.client_cpu_share = 1.0;
                    round.noise.steal_share = Some(0.5);
                }
            }),
            []
        );
    }

    #[test]
    fn a_busy_client_passes_on_a_shared_core() {
        let mut results = synthetic::results(1);
        results.environment.client_core = results.environment.server_core;
        results
            .cells
            .iter_mut()
            .flat_map(|cell| &mut cell.rounds)
            .for_each(|round| round.client_cpu_share = 1.0);
        assert!(results.cells.iter().all(|cell| {
            let workload = results.workload(&cell.workload).expect("synthetic results contain it");
            is_valid(&results, workload, Some(cell), Metric::Throughput)
        }));
    }

    #[test]
    fn missing_and_invalid_cells_are_detected() {
        assert!(!any_valid(&synthetic::invalid(1)));
        let results = synthetic::partial(1);
        let last = results.workloads.last().expect("there are workloads");
        assert_eq!(
            all_checks(&results, last, results.cell(&last.name, "alpha"))[0].detail,
            "not measured"
        );
    }
}
