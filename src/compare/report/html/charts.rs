//! The charts of the HTML report.

use std::fmt::{self, Write};

use crate::compare::analyse::metric::Metric;
use crate::compare::report::chart::{bars, percentiles};
use crate::compare::report::svg::escape;
use crate::compare::results::{Pacing, Results, Workload, WorkloadKind};

/// All charts that have data, in sections by metric.
pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    throughput(out, results)?;
    latency(out, results)?;
    let each = |draw: fn(&Results, &Workload) -> Option<String>| {
        results
            .workloads
            .iter()
            .map(move |workload| (workload.title.as_str(), draw(results, workload)))
    };
    chart_section(
        out,
        Visibility::Open,
        "CPU time per request",
        "CPU time of the server, all its threads and processes: <i class=\"key\"></i>user and \
         <i class=\"key system\"></i>system.",
        each(bars::draw_cpu),
    )?;
    chart_section(
        out,
        Visibility::Folded,
        "System calls per request",
        "Counted by the server itself, one shade per system call.",
        each(bars::draw_syscalls),
    )?;
    // Memory and idle CPU depend little on the workload, so two workloads suffice: the one with the
    // most active connections and the one with the most idle ones.
    let most = |is_idle: bool| {
        let of_kind = closed_loops(results)
            .filter(move |workload| (workload.kind == WorkloadKind::MostlyIdle) == is_idle);
        of_kind.max_by_key(|workload| workload.connections)
    };
    let holding = || most(false).into_iter().chain(most(true));
    chart_section(
        out,
        Visibility::Folded,
        "Memory per connection",
        "Growth of the server's anonymous memory per open connection, on a logarithmic axis.",
        holding().map(|workload| {
            (
                workload.title.as_str(),
                bars::draw_points(results, workload, Metric::MemoryPerConnection),
            )
        }),
    )?;
    chart_section(
        out,
        Visibility::Folded,
        "CPU while idle",
        "All connections open, no requests in flight. 100 % is one core.",
        holding().map(|workload| {
            (workload.title.as_str(), bars::draw(results, workload, Metric::IdleCpu))
        }),
    )
}

fn throughput(out: &mut String, results: &Results) -> fmt::Result {
    let charts = closed_loops(results).map(|workload| {
        (workload.title.as_str(), bars::draw(results, workload, Metric::Throughput))
    });
    chart_section(
        out,
        Visibility::Open,
        "Throughput",
        "Requests per second in a closed loop.",
        charts,
    )
}

fn latency(out: &mut String, results: &Results) -> fmt::Result {
    // Open loops first: they measure latency without coordinated omission.
    let (open, rest): (Vec<_>, Vec<_>) =
        results.workloads.iter().partition(|workload| workload.pacing != Pacing::Closed);
    chart_section(
        out,
        Visibility::Folded,
        "Latency",
        "Latency by percentile; each step to the right is ten times rarer. The line shows the responses of all rounds \
         together. The markers, side by side at 50, 99 and 99.9 %, are the medians over rounds of each round's \
         percentile, with their confidence intervals: a few slow rounds raise the line, but hardly the marker. In an \
         open loop the solid line counts from the scheduled send time, the dotted one from the actual send. The gap \
         between them is what a closed loop hides (coordinated omission).",
        open.iter()
            .chain(&rest)
            .map(|workload| (workload.title.as_str(), percentiles::draw(results, workload))),
    )
}

fn closed_loops(results: &Results) -> impl Iterator<Item = &Workload> {
    results.loads().into_iter().filter(|workload| workload.pacing == Pacing::Closed)
}

/// Whether the reader has to unfold a section. Rates and CPU times are what most came for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    Open,
    Folded,
}

/// A section with all charts that have data; nothing without any. `intro` is trusted markup.
fn chart_section<'a>(
    out: &mut String,
    visibility: Visibility,
    title: &str,
    intro: &str,
    charts: impl Iterator<Item = (&'a str, Option<String>)>,
) -> fmt::Result {
    let charts: Vec<_> = charts.filter_map(|(caption, chart)| Some((caption, chart?))).collect();
    if charts.is_empty() {
        return Ok(());
    }
    let open = match visibility {
        Visibility::Open => " open",
        Visibility::Folded => "",
    };
    write!(
        out,
        "<section>\n<details{open}>\n<summary><h2>{title}</h2></summary>\n<p class=\"intro\">{intro}</p>\n\
         <div class=\"charts\">\n"
    )?;
    for (caption, chart) in charts {
        writeln!(out, "<figure><figcaption>{}</figcaption>{chart}</figure>", escape(caption))?;
    }
    out.push_str("</div>\n</details>\n</section>\n");
    Ok(())
}
