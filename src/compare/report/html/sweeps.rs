//! The sweeps: the curve over rates, and, folded, the figures of every point.

use std::fmt::{self, Write};

use super::{answer, loads};
use crate::compare::analyse::axis::{Line, lines};
use crate::compare::analyse::checks;
use crate::compare::analyse::crossover::{Crossover, crossovers};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::verdict::ranked_contenders;
use crate::compare::report::svg::escape;
use crate::compare::report::words::NO_CROSSOVER;
use crate::compare::results::{Axis, ContenderInfo, Results, Workload};
use crate::format::{counted, listed};

pub(super) const ID: &str = "sweeps";
pub(super) const TITLE: &str = "The sweeps";

pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    let lines = lines(results);
    if lines.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section id=\"{ID}\">\n<h2>{TITLE}</h2>\n<p class=\"intro\">A sweep varies one property of a load. \
         Where two contenders swap places, further points may have been measured in between. Both axes are \
         logarithmic.</p>\n<div class=\"charts\">\n"
    )?;
    for line in &lines {
        match line.axis {
            Axis::Rate => answer::figure(out, results, line)?,
            Axis::Connections | Axis::Size => {
                answer::curves(out, results, line, Metric::Throughput, None)?;
                out.push_str("</figure>\n");
            }
            Axis::Idle => {}
        }
    }
    out.push_str("</div>\n");
    if let Some(line) = lines.iter().find(|line| line.axis == Axis::Rate) {
        writeln!(out, "<p class=\"intro\">{}</p>", escape(&limits(results, line)))?;
    }
    lead_changes(out, results)?;
    points(out, results)?;
    out.push_str("</section>\n");
    Ok(())
}

/// Where the lead changes in what the curves show.
fn lead_changes(out: &mut String, results: &Results) -> fmt::Result {
    let mut crossovers = crossovers(results);
    crossovers.retain(|crossover| crossover.below.metric == crossover.axis.metric());
    if crossovers.is_empty() {
        return Ok(());
    }
    out.push_str("<h3 class=\"apart\">Where the lead changes</h3>\n");
    list(out, &crossovers)
}

/// The crossovers in words.
pub(super) fn list(out: &mut String, crossovers: &[Crossover<'_>]) -> fmt::Result {
    out.push_str("<ul class=\"crossovers\">\n");
    if crossovers.is_empty() {
        writeln!(out, "<li>{NO_CROSSOVER}</li>")?;
    }
    for crossover in crossovers {
        writeln!(out, "<li>{}</li>", escape(&crossover.describe()))?;
    }
    out.push_str("</ul>\n");
    Ok(())
}

/// Everything about the points that are no loads of their own, folded twice.
fn points(out: &mut String, results: &Results) -> fmt::Result {
    let loads = results.loads();
    let is_load = |point: &Workload| loads.iter().any(|load| load.name == point.name);
    let mut points: Vec<&Workload> =
        results.workloads.iter().filter(|point| !is_load(point)).collect();
    if points.is_empty() {
        return Ok(());
    }
    points.sort_by(|a, b| position(a).total_cmp(&position(b)));
    points.sort_by_key(|point| Axis::ALL.iter().position(|axis| Some(*axis) == point.sweep));
    writeln!(
        out,
        "<details class=\"points\">\n<summary><h3>Every figure of {}</h3></summary>",
        counted(points.len(), "point")
    )?;
    for point in points {
        loads::details(out, results, point)?;
    }
    out.push_str("</details>\n");
    Ok(())
}

fn position(point: &Workload) -> f64 {
    point.sweep.map_or(0.0, |axis| axis.position(point))
}

/// The highest rate of the sweep at which each contender kept up.
fn limits(results: &Results, line: &Line<'_>) -> String {
    let keeps_up = |contender: &ContenderInfo| {
        let points = line.points.iter().rev();
        let mut valid = points.filter(|point| {
            let cell = results.cell(&point.name, &contender.name);
            checks::is_valid(results, point, cell, line.axis.metric())
        });
        valid.next().map(|point| line.axis.describe(point))
    };
    let mut limits: Vec<(String, Vec<&str>)> = Vec::new();
    for contender in ranked_contenders(results) {
        let limit = keeps_up(contender).unwrap_or_else(|| "none".to_owned());
        match limits.iter_mut().find(|(known, _)| *known == limit) {
            Some((_, names)) => names.push(&contender.name),
            None => limits.push((limit, vec![&contender.name])),
        }
    }
    let words = limits.iter().map(|(limit, names)| format!("{}: {limit}", listed(names)));
    format!(
        "The highest rate of the sweep with a valid p99: {}. At higher rates a check failed, mostly \
         because the server or the client was at its limit.",
        words.collect::<Vec<_>>().join("; ")
    )
}
