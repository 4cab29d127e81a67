//! Results as JSON.
//!
//! The document contains all fields of [`Results`], and under `derived` what the other reports
//! compute from them: checks, medians with intervals, leads. The latter is for programs that do not
//! want to compute it; [`read`] ignores it.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use serde::Serialize;

use crate::compare::analyse::checks::{self, Outcome, Standing};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::leads;
use crate::compare::analyse::rounds;
use crate::compare::analyse::statistics::{Estimate, estimate};
use crate::compare::analyse::tls::{TlsCost, tls_loads, tls_pairs};
use crate::compare::results::{Results, SCHEMA_VERSION, Workload};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document<'a> {
    #[serde(flatten)]
    results: &'a Results,
    /// What the reports compute from the rest.
    derived: Derived<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Derived<'a> {
    /// Rounds of a workload that do not count, for any contender.
    left_out: Vec<LeftOutSummary<'a>>,
    /// Every contender under every workload.
    cells: Vec<CellSummary<'a>>,
    /// Where a contender is shown to be better than another.
    leads: Vec<LeadSummary<'a>>,
    /// What TLS adds to the CPU time per request of a strategy that was measured with and without.
    tls: Vec<TlsSummary<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LeftOutSummary<'a> {
    workload: &'a str,
    /// Their numbers.
    rounds: BTreeSet<u32>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CellSummary<'a> {
    workload: &'a str,
    contender: &'a str,
    checks: Vec<CheckSummary>,
    figures: Vec<FigureSummary>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CheckSummary {
    /// Its name, such as "Little's law".
    check: &'static str,
    outcome: OutcomeSummary,
    /// The figures, for people.
    detail: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FigureSummary {
    /// Such as "CPU time per request".
    metric: &'static str,
    /// The unit of the values; empty for counts.
    unit: &'static str,
    /// The contender is ranked by this value under this workload: the metric is ranked there, and
    /// every check that concerns it passed.
    is_ranked: bool,
    /// The client limited this rate. The true one is not lower, and may lead.
    is_lower_bound: bool,
    /// Over the rounds that count.
    median: f64,
    /// The interval.
    low: f64,
    high: f64,
    /// Its confidence level.
    level: f64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LeadSummary<'a> {
    workload: &'a str,
    metric: &'static str,
    /// The contenders that no other is shown to beat.
    leaders: Vec<&'a str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TlsSummary<'a> {
    workload: &'a str,
    /// The contender with TLS.
    contender: &'a str,
    /// The same one without.
    without_tls: &'a str,
    /// The difference in microseconds, within rounds.
    added_us: IntervalSummary,
    /// The CPU time with TLS over that without, within rounds.
    ratio: IntervalSummary,
    /// The two are shown to differ.
    is_shown: bool,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct IntervalSummary {
    median: f64,
    low: f64,
    high: f64,
    /// The confidence level.
    level: f64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum OutcomeSummary {
    Passed,
    Failed,
    /// There is no data, or the check does not apply.
    Skipped,
}

/// Writes the document and a newline.
///
/// # Errors
/// If `out` fails.
pub fn write(results: &Results, out: &mut impl Write) -> io::Result<()> {
    let left_out = rounds::left_out(results).into_iter().map(|left_out| LeftOutSummary {
        workload: &left_out.workload.name,
        rounds: left_out.rounds,
    });
    let left_out = left_out.collect();
    serde_json::to_writer(
        &mut *out,
        &Document { results, derived: derived(&rounds::quiet(results), left_out) },
    )?;
    out.write_all(b"\n")
}

/// Reads a document written by [`write()`].
///
/// # Errors
/// If the document is malformed or has another schema version.
pub fn read(source: impl Read) -> io::Result<Results> {
    let results: Results = serde_json::from_reader(source)?;
    match results.schema_version {
        SCHEMA_VERSION => Ok(results),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("unsupported schema version {other}: expected {SCHEMA_VERSION}"),
        )),
    }
}

fn derived<'a>(results: &'a Results, left_out: Vec<LeftOutSummary<'a>>) -> Derived<'a> {
    let cells = results.workloads.iter().flat_map(|workload| cells(results, workload)).collect();
    let leads = leads(results).into_iter().filter(|lead| lead.is_shown()).map(|lead| LeadSummary {
        workload: &lead.workload.name,
        metric: lead.metric.title(),
        leaders: lead.leaders.iter().map(|contender| contender.name.as_str()).collect(),
    });
    let (loads, pairs) = (tls_loads(results), tls_pairs(results));
    let costs = loads.iter().flat_map(|load| pairs.iter().map(|pair| pair.cost(results, load)));
    let tls = costs.flatten().map(tls_summary).collect();
    Derived { left_out, cells, leads: leads.collect(), tls }
}

fn tls_summary(cost: TlsCost<'_>) -> TlsSummary<'_> {
    let interval = |estimate: Estimate| {
        let Estimate { median, low, high, level, .. } = estimate;
        IntervalSummary { median, low, high, level }
    };
    TlsSummary {
        workload: &cost.workload.name,
        contender: &cost.pair.encrypted.name,
        without_tls: &cost.pair.plain.name,
        added_us: interval(cost.added_us),
        ratio: interval(cost.ratio),
        is_shown: cost.is_shown,
    }
}

fn cells<'a>(
    results: &'a Results,
    workload: &'a Workload,
) -> impl Iterator<Item = CellSummary<'a>> {
    let figure = |metric: Metric, cell| {
        let estimate = estimate(metric, cell)?;
        let (median, low, high, level) =
            (estimate.median, estimate.low, estimate.high, estimate.level);
        let is_ranked = checks::is_ranked(results, workload, Some(cell), metric);
        let standing = checks::standing(results, workload, Some(cell), metric);
        Some(FigureSummary {
            metric: metric.title(),
            unit: metric.unit(),
            is_ranked,
            is_lower_bound: standing == Standing::LowerBound,
            median,
            low,
            high,
            level,
        })
    };
    results.contenders.iter().map(move |contender| {
        let cell = results.cell(&workload.name, &contender.name);
        let checks =
            checks::all_checks(results, workload, cell).into_iter().map(|result| CheckSummary {
                check: result.check.title(),
                outcome: match result.outcome {
                    Outcome::Passed => OutcomeSummary::Passed,
                    Outcome::Failed => OutcomeSummary::Failed,
                    Outcome::Skipped => OutcomeSummary::Skipped,
                },
                detail: result.detail,
            });
        let figures = Metric::ALL.into_iter().filter_map(|metric| figure(metric, cell?));
        CellSummary {
            workload: &workload.name,
            contender: &contender.name,
            checks: checks.collect(),
            figures: figures.collect(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn results_survive_a_round_trip() {
        for results in [synthetic::results(4), synthetic::partial(4), synthetic::invalid(4)] {
            let mut text = Vec::new();
            write(&results, &mut text).expect("writing to a Vec cannot fail");
            // assert_eq would print a megabyte of differences.
            assert!(read(text.as_slice()).expect("it was just written") == results);
        }
    }

    #[test]
    fn results_from_before_there_were_timelines_are_read() {
        let mut text = Vec::new();
        let results = synthetic::partial(4);
        write(&results, &mut text).expect("writing to a Vec cannot fail");
        let mut value: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        value.as_object_mut().expect("it is an object").remove("timelines");
        let old = read(value.to_string().as_bytes()).expect("the field has a default");
        assert!(old == Results { timelines: Vec::new(), ..results });
    }

    #[test]
    fn another_schema_version_is_rejected() {
        let results = Results { schema_version: SCHEMA_VERSION + 1, ..synthetic::partial(4) };
        let mut text = Vec::new();
        write(&results, &mut text).expect("writing to a Vec cannot fail");
        let error = read(text.as_slice()).expect_err("the version differs");
        assert_eq!(error.to_string(), "unsupported schema version 3: expected 2");
        assert!(read(&b"{}"[..]).is_err());
    }

    #[test]
    fn derived_figures_are_included() {
        let mut text = Vec::new();
        write(&synthetic::results(4), &mut text).expect("writing to a Vec cannot fail");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        assert_eq!(value["schema_version"], SCHEMA_VERSION);
        assert_eq!(value["derived"]["cells"][0]["figures"][0]["is_ranked"], true);
        assert_eq!(value["derived"]["cells"][0]["checks"][2]["check"], "Little's law");
    }
}
