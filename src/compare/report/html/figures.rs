//! The table of a workload in the HTML report: every figure with its interval and its checks.

use std::fmt::{self, Write};

use crate::compare::analyse::checks::{self, Outcome, Standing};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::{Lead, leads_at};
use crate::compare::analyse::statistics::estimate;
use crate::compare::analyse::verdict::{noise, pairs, sentence};
use crate::compare::report::chart;
use crate::compare::report::svg::escape;
use crate::compare::report::words::value_text;
use crate::compare::results::{Cell, ContenderInfo, Results, Workload};

/// The columns of the table of each workload.
const COLUMNS: [Metric; 9] = [
    Metric::Throughput,
    Metric::CpuPerRequest,
    Metric::LatencyMedian,
    Metric::LatencyP99,
    Metric::LatencyP999,
    Metric::SyscallsPerRequest,
    Metric::ContextSwitchesPerRequest,
    Metric::MemoryPerConnection,
    Metric::IdleCpu,
];

/// Every figure under one workload with its interval, the checks of every cell, and a sentence for
/// every pair.
pub(super) fn write(out: &mut String, results: &Results, workload: &Workload) -> fmt::Result {
    out.push_str("<div class=\"scroll\"><table>\n<thead><tr><th></th>");
    for metric in COLUMNS {
        write!(out, "<th>{}</th>", metric.title())?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let leads = leads_at(results, workload, &COLUMNS);
    for contender in &results.contenders {
        figure_row(out, results, workload, contender, &leads)?;
    }
    out.push_str("</tbody>\n</table></div>\n");
    // The points of a sweep are there for the curve; what matters of each pair is in it.
    if workload.sweep.is_some() {
        return Ok(());
    }
    out.push_str("<ul class=\"verdicts\">\n");
    for (a, b) in pairs(results) {
        writeln!(out, "<li>{}</li>", escape(&sentence(results, workload, &Metric::RANKED, a, b)))?;
    }
    if let Some(noise) = noise(results, workload, Metric::CpuPerRequest) {
        writeln!(
            out,
            "<li>A/A comparison: CPU time per request differs by up to {:.1} % (confidence limit)</li>",
            (noise - 1.0) * 100.0
        )?;
    }
    out.push_str("</ul>\n");
    Ok(())
}

fn figure_row(
    out: &mut String,
    results: &Results,
    workload: &Workload,
    contender: &ContenderInfo,
    leads: &[Option<Lead<'_>>],
) -> fmt::Result {
    let cell = results.cell(&workload.name, &contender.name);
    let check_results = checks::all_checks(results, workload, cell);
    let standing = |metric| checks::standing(results, workload, cell, metric);
    let unranked = if check_results.iter().any(|result| result.outcome == Outcome::Failed) {
        " unranked"
    } else {
        ""
    };
    let class = chart::series_style(results, contender).class;
    write!(out, "<tr class=\"{class}\"><th scope=\"row\">{}</th>", escape(&contender.name))?;
    for (metric, lead) in COLUMNS.into_iter().zip(leads) {
        let leads = lead.as_ref().is_some_and(|lead| lead.is_led_by(contender));
        let class = match () {
            () if standing(metric) == Standing::Invalid => " class=\"unranked\"",
            () if leads => " class=\"leads\"",
            () => "",
        };
        match cell.and_then(|cell| estimate(metric, cell)) {
            None => out.push_str("<td>–</td>"),
            Some(estimate) => {
                let median = value_text(results, workload, contender, metric).unwrap_or_default();
                let [median, low, high] =
                    [median, metric.format(estimate.low), metric.format(estimate.high)]
                        .map(|text| escape(&unbroken(&text)));
                write!(out, "<td{class}>{median}<small>{low} – {high}</small>")?;
                for part in cell.map_or(Vec::new(), |cell| parts(metric, cell)) {
                    write!(out, "<small>{}</small>", escape(&part))?;
                }
                out.push_str("</td>");
            }
        }
    }
    let text =
        check_results.iter().filter(|result| result.outcome != Outcome::Skipped).map(|result| {
            let mark = if result.outcome == Outcome::Failed { "✗ " } else { "✓ " };
            format!("{mark}{}: {}", result.check.title(), result.detail)
        });
    let text = escape(&text.collect::<Vec<_>>().join("; "));
    let span = COLUMNS.len() + 1;
    writeln!(
        out,
        "</tr>\n<tr class=\"checks{unranked}\"><td colspan=\"{span}\"><div>{text}</div></td></tr>"
    )
}

/// With no-break spaces, so that a narrow column breaks only at the dash.
fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// The parts of a figure.
fn parts(metric: Metric, cell: &Cell) -> Vec<String> {
    let parts: &[(Metric, &str)] = match metric {
        Metric::CpuPerRequest => {
            &[(Metric::UserCpuPerRequest, "user"), (Metric::SystemCpuPerRequest, "system")]
        }
        Metric::SyscallsPerRequest => &[(Metric::WouldBlocksPerRequest, "would-block")],
        _ => &[],
    };
    let words = |(metric, what): &(Metric, &str)| {
        let median = estimate(*metric, cell)?.median;
        Some(unbroken(&format!("{} {what}", metric.format(median))))
    };
    parts.iter().filter_map(words).collect()
}
