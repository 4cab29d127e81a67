//! Results as JSON, and back.
//!
//! The facts are the fields of [`Results`], as they stand. Behind them, under `told`, is what the other reports say of
//! them: checks, medians and intervals, leads. It is there for a program that does not want to reckon; reading the
//! file back ignores it, for it follows from the rest.

use std::io::{self, Read, Write};

use serde::Serialize;

use crate::compare::analyse::checks;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::leads;
use crate::compare::analyse::statistics::estimate;
use crate::compare::results::{Results, SCHEMA_VERSION, Workload};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    results: &'a Results,
    told: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    cells: Vec<ToldCell<'a>>,
    leads: Vec<ToldLead<'a>>,
}

#[derive(Serialize)]
struct ToldCell<'a> {
    workload: &'a str,
    contender: &'a str,
    checks: Vec<ToldCheck>,
    figures: Vec<ToldFigure>,
}

#[derive(Serialize)]
struct ToldCheck {
    check: &'static str,
    outcome: String,
    words: String,
}

#[derive(Serialize)]
struct ToldFigure {
    metric: &'static str,
    is_ranked: bool,
    median: f64,
    low: f64,
    high: f64,
    level: f64,
}

#[derive(Serialize)]
struct ToldLead<'a> {
    workload: &'a str,
    metric: &'static str,
    leaders: Vec<&'a str>,
}

/// Writes the document and a line end.
///
/// # Errors
/// When `out` takes no more.
pub fn write(results: &Results, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Document { results, told: told(results) })?;
    out.write_all(b"\n")
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// When it is another schema, or none.
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

fn told(results: &Results) -> Told<'_> {
    let cells = results.workloads.iter().flat_map(|workload| cells(results, workload)).collect();
    let leads = leads(results).into_iter().filter(|lead| lead.is_shown()).map(|lead| ToldLead {
        workload: &lead.workload.name,
        metric: lead.metric.title(),
        leaders: lead.leaders.iter().map(|contender| contender.name.as_str()).collect(),
    });
    Told { cells, leads: leads.collect() }
}

fn cells<'a>(results: &'a Results, workload: &'a Workload) -> impl Iterator<Item = ToldCell<'a>> {
    let figure = |metric: Metric, cell| {
        let estimate = estimate(metric, cell)?;
        let (median, low, high, level) =
            (estimate.median, estimate.low, estimate.high, estimate.level);
        let is_ranked = checks::is_valid(results, workload, Some(cell), metric);
        Some(ToldFigure { metric: metric.title(), is_ranked, median, low, high, level })
    };
    results.contenders.iter().map(move |contender| {
        let cell = results.cell(&workload.name, &contender.name);
        let checks =
            checks::all_checks(results, workload, cell).into_iter().map(|result| ToldCheck {
                check: result.check.title(),
                outcome: format!("{:?}", result.outcome).to_lowercase(),
                words: result.detail,
            });
        let figures = Metric::ALL.into_iter().filter_map(|metric| figure(metric, cell?));
        ToldCell {
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
    fn what_is_written_reads_back_the_same() {
        for results in [synthetic::results(4), synthetic::partial(4), synthetic::invalid(4)] {
            let mut text = Vec::new();
            write(&results, &mut text).expect("a Vec takes it");
            // Not assert_eq: nobody reads a megabyte of difference.
            assert!(read(text.as_slice()).expect("it was just written") == results);
        }
    }

    #[test]
    fn another_schema_is_refused() {
        let results = Results { schema_version: SCHEMA_VERSION + 1, ..synthetic::partial(4) };
        let mut text = Vec::new();
        write(&results, &mut text).expect("a Vec takes it");
        let error = read(text.as_slice()).expect_err("it is of another time");
        assert_eq!(error.to_string(), "unsupported schema version 3: expected 2");
        assert!(read(&b"{}"[..]).is_err());
    }

    #[test]
    fn what_is_told_stands_behind_the_facts() {
        let mut text = Vec::new();
        write(&synthetic::results(4), &mut text).expect("a Vec takes it");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        assert_eq!(value["schema_version"], SCHEMA_VERSION);
        assert_eq!(value["told"]["cells"][0]["figures"][0]["is_ranked"], true);
        assert_eq!(value["told"]["cells"][0]["checks"][2]["check"], "Little's law");
    }
}
