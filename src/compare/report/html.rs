//! The report as a single HTML page without scripts and external resources.
//!
//! It presents the ranking first, then charts, then every figure with its checks, and at the end
//! everything needed to repeat the comparison.
//!
//! Invariants:
//! - Every string from outside passes through [`escape`].
//! - Equal results give an equal page: it contains no clock, no randomness and no name of this
//!   machine.

use std::fmt::{self, Write};

use crate::compare::analyse::checks::{self, Outcome};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::{Lead, crossovers, leads_at, wins};
use crate::compare::analyse::statistics::estimate;
use crate::compare::analyse::verdict::{noise, pairs, sentence};
use crate::compare::report::chart::{self, bars, curve, percentiles};
use crate::compare::report::svg::{Drawing, escape};
use crate::compare::results::{
    Cell, Completeness, ContenderInfo, ContenderKind, Pacing, Results, Workload, WorkloadKind,
};
use crate::format::{self, counted};

const STYLE: &str = include_str!("report.css");

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

pub fn page(results: &Results) -> String {
    let mut out = String::new();
    write_page(&mut out, results).expect("writing to a String cannot fail");
    out
}

fn write_page(out: &mut String, results: &Results) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>What an I/O strategy costs: miniweb compare</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )?;
    summary(out, results)?;
    charts(out, results)?;
    figures(out, results)?;
    method(out, results)?;
    out.push_str(
        "<footer>TemporaryDirectory by <code>miniweb compare</code>.</footer>\n</main>\n</body>\n</html>\n",
    );
    Ok(())
}

/// The contenders, their ranking, and where the lead changes.
fn summary(out: &mut String, results: &Results) -> fmt::Result {
    let environment = &results.environment;
    write!(
        out,
        "<header>\n<h1>What an I/O strategy costs</h1>\n<p class=\"lede\">{} under {}, {} of each in alternation, \
         on {} ({}), {}.</p>\n",
        counted(results.contenders.len(), "server"),
        counted(results.workloads.len(), "workload"),
        counted(results.options.rounds, "round"),
        escape(&environment.cpu_model),
        counted(environment.cores, "core"),
        escape(&environment.started_at)
    )?;
    if let Completeness::Partial { reason } = &results.completeness {
        writeln!(
            out,
            "<p class=\"banner\">Partial: {}. These are the results up to that point.</p>",
            escape(reason)
        )?;
    }
    for remark in &environment.remarks {
        writeln!(out, "<p class=\"lede\">{}</p>", escape(remark))?;
    }
    out.push_str("<ul class=\"contenders\">\n");
    for contender in &results.contenders {
        contender_key(out, results, contender)?;
    }
    out.push_str("</ul>\n</header>\n<section>\n<h2>When each strategy wins</h2>\n");
    if !checks::any_valid(results) {
        out.push_str("<p class=\"banner\">Nothing valid was measured, so there is no ranking.</p>\n</section>\n");
        return Ok(());
    }
    out.push_str(
        "<p class=\"intro\">A contender wins where it is shown to be better than another and none is shown to be better than it. \
         Cells that fail a check are not ranked.</p>\n<div class=\"wins\">\n",
    );
    for (contender, wins) in wins(results) {
        let class = chart::series_style(results, contender).class;
        write!(out, "<div class=\"win {class}\"><h3>{}</h3>", escape(&contender.name))?;
        if wins.is_empty() {
            out.push_str("<p>It does not lead anywhere.</p>");
        } else {
            out.push_str("<dl>");
            for (metric, places) in wins {
                write!(
                    out,
                    "<dt>{}</dt><dd>{}</dd>",
                    escape(&metric.superlative()),
                    escape(&places)
                )?;
            }
            out.push_str("</dl>");
        }
        out.push_str("</div>\n");
    }
    out.push_str(
        "</div>\n<h3 class=\"apart\">Where the lead changes</h3>\n<ul class=\"crossovers\">\n",
    );
    let crossovers = crossovers(results);
    if crossovers.is_empty() {
        out.push_str("<li>Nowhere between the measured workloads.</li>\n");
    }
    for crossover in crossovers {
        writeln!(out, "<li>{}</li>", escape(&crossover.describe()))?;
    }
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

fn contender_key(out: &mut String, results: &Results, contender: &ContenderInfo) -> fmt::Result {
    let series_style = chart::series_style(results, contender);
    let mut swatch = Drawing::new(36.0, 14.0, "");
    swatch.group(&series_style.class, &contender.name, |swatch| {
        swatch.path("curve", &[(1.0, 7.0), (35.0, 7.0)]);
        swatch.marker("marker", series_style.shape, (18.0, 7.0));
    });
    let role = match &contender.kind {
        ContenderKind::Strategy => String::new(),
        ContenderKind::Floor => "The floor, a lower bound for every server: ".to_owned(),
        ContenderKind::Twin { of } => format!("A/A comparison with {of}: "),
        ContenderKind::Foreign => "Foreign server: ".to_owned(),
    };
    writeln!(
        out,
        "<li class=\"{}\">{}<b>{}</b><span>{}{}</span></li>",
        series_style.class,
        swatch.finish(),
        escape(&contender.name),
        escape(&role),
        escape(&contender.description)
    )
}

fn charts(out: &mut String, results: &Results) -> fmt::Result {
    let families = curve::families(results);
    let closed: Vec<&Workload> =
        results.workloads.iter().filter(|load| load.pacing == Pacing::Closed).collect();
    let curves = families.iter().map(|family| {
        let what =
            family[0].title.rsplit_once(", ").map_or(family[0].title.as_str(), |(what, _)| what);
        (what, Some(curve::draw(results, family, Metric::Throughput)))
    });
    let alone = closed.iter().filter(|load| !families.iter().any(|family| family.contains(load)));
    let alone =
        alone.map(|load| (load.title.as_str(), bars::draw(results, load, Metric::Throughput)));
    chart_section(
        out,
        "Throughput",
        "Requests per second in a closed loop, against the number of connections where several were measured.",
        curves.chain(alone),
    )?;
    // Open loops first: they measure latency without coordinated omission.
    let (open, rest): (Vec<_>, Vec<_>) =
        results.workloads.iter().partition(|load| load.pacing != Pacing::Closed);
    chart_section(
        out,
        "Latency",
        "Latency by percentile; each step to the right is ten times rarer. The line shows the responses of all rounds \
         together. The markers, side by side at 50, 99 and 99.9 %, are the medians over rounds of each round's \
         percentile, with their confidence intervals: a few slow rounds raise the line, but hardly the marker. In an \
         open loop the solid line counts from the scheduled send time, the dotted one from the actual send. The gap \
         between them is what a closed loop hides (coordinated omission).",
        open.iter()
            .chain(&rest)
            .map(|load| (load.title.as_str(), percentiles::draw(results, load))),
    )?;
    let each = |draw: fn(&Results, &Workload) -> Option<String>| {
        results.workloads.iter().map(move |load| (load.title.as_str(), draw(results, load)))
    };
    chart_section(
        out,
        "CPU time per request",
        "CPU time of the server, all its threads and processes: <i class=\"key\"></i>user and \
         <i class=\"key system\"></i>system.",
        each(bars::draw_cpu),
    )?;
    chart_section(
        out,
        "System calls per request",
        "Counted by the server itself, one shade per system call.",
        each(bars::draw_syscalls),
    )?;
    // Memory and idle CPU depend little on the load, so two workloads suffice: the one with the
    // most active connections and the one with the most idle ones.
    let most = |is_idle: bool| {
        let of_kind =
            closed.iter().filter(move |load| (load.kind == WorkloadKind::MostlyIdle) == is_idle);
        of_kind.max_by_key(|load| load.connections)
    };
    let holding = || most(false).into_iter().chain(most(true)).copied();
    chart_section(
        out,
        "Memory per connection",
        "Growth of the server's anonymous memory per open connection, on a logarithmic axis.",
        holding().map(|load| {
            (load.title.as_str(), bars::draw_points(results, load, Metric::MemoryPerConnection))
        }),
    )?;
    chart_section(
        out,
        "CPU while idle",
        "All connections open, no requests in flight. 100 % is one core.",
        holding().map(|load| (load.title.as_str(), bars::draw(results, load, Metric::IdleCpu))),
    )
}

/// A section with all charts that have data; nothing without any. `intro` is trusted markup.
fn chart_section<'a>(
    out: &mut String,
    title: &str,
    intro: &str,
    charts: impl Iterator<Item = (&'a str, Option<String>)>,
) -> fmt::Result {
    let charts: Vec<_> = charts.filter_map(|(caption, chart)| Some((caption, chart?))).collect();
    if charts.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section>\n<h2>{title}</h2>\n<p class=\"intro\">{intro}</p>\n<div class=\"charts\">\n"
    )?;
    for (caption, chart) in charts {
        writeln!(out, "<figure><figcaption>{}</figcaption>{chart}</figure>", escape(caption))?;
    }
    out.push_str("</div>\n</section>\n");
    Ok(())
}

/// Every figure with its interval, the checks of every cell, and a sentence for every pair.
fn figures(out: &mut String, results: &Results) -> fmt::Result {
    out.push_str(
        "<section>\n<h2>Every figure</h2>\n<p class=\"intro\">Medians over rounds with their confidence \
         intervals (sign test; no distribution is assumed). Leaders are bold.</p>\n",
    );
    for workload in &results.workloads {
        write!(
            out,
            "<div class=\"load\">\n<h3>{} <code>{}</code></h3>\n<div class=\"scroll\"><table>\n<thead><tr><th></th>",
            escape(&workload.title),
            escape(&workload.name)
        )?;
        for metric in COLUMNS {
            write!(out, "<th>{}</th>", metric.title())?;
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        let leads = leads_at(results, workload, &COLUMNS);
        for contender in &results.contenders {
            figure_row(out, results, workload, contender, &leads)?;
        }
        out.push_str("</tbody>\n</table></div>\n<ul class=\"verdicts\">\n");
        for (a, b) in pairs(results) {
            writeln!(
                out,
                "<li>{}</li>",
                escape(&sentence(results, workload, &Metric::RANKED, a, b))
            )?;
        }
        if let Some(noise) = noise(results, workload, Metric::CpuPerRequest) {
            writeln!(
                out,
                "<li>A/A noise of the CPU time: at most {:.1} %</li>",
                (noise - 1.0) * 100.0
            )?;
        }
        out.push_str("</ul>\n</div>\n");
    }
    out.push_str("</section>\n");
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
    let is_ranked = |metric| checks::is_valid(results, workload, cell, metric);
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
            () if !is_ranked(metric) => " class=\"unranked\"",
            () if leads => " class=\"leads\"",
            () => "",
        };
        match cell.and_then(|cell| estimate(metric, cell)) {
            None => out.push_str("<td>–</td>"),
            Some(estimate) => {
                let [median, low, high] = [estimate.median, estimate.low, estimate.high]
                    .map(|v| unbroken(&metric.format(v)));
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

/// Everything needed to repeat the comparison or to question it.
fn method(out: &mut String, results: &Results) -> fmt::Result {
    let (environment, options) = (&results.environment, &results.options);
    let core =
        |core: Option<u32>| core.map_or("not pinned".to_owned(), |core| format!("core {core}"));
    let versions = environment.versions.iter().map(|(name, version)| format!("{name} {version}"));
    let mut rows = vec![
        ("command".to_owned(), options.command.clone()),
        ("site".to_owned(), options.site.clone()),
        ("seed".to_owned(), options.seed.to_string()),
        ("rounds".to_owned(), options.rounds.to_string()),
        (
            "warm-up, window".to_owned(),
            format!("{} ms, {} ms", options.warm_up_ms, options.window_ms),
        ),
    ];
    rows.extend(
        options.settings.iter().map(|setting| (setting.name.clone(), setting.value.clone())),
    );
    rows.extend([
        (
            "started, duration".to_owned(),
            format!("{}, {} s", environment.started_at, environment.elapsed_seconds),
        ),
        (
            "processor".to_owned(),
            format!("{}, {}", environment.cpu_model, counted(environment.cores, "core")),
        ),
        ("memory".to_owned(), format::bytes(environment.memory_bytes)),
        ("system".to_owned(), format!("{}, {}", environment.kernel, environment.architecture)),
        ("server core".to_owned(), core(environment.server_core)),
        ("client core".to_owned(), core(environment.client_core)),
        ("versions".to_owned(), versions.collect::<Vec<_>>().join("; ")),
        ("equal responses to".to_owned(), results.response_check.requests.join("; ")),
        ("not checked".to_owned(), results.response_check.exempt.join(", ")),
    ]);
    rows.extend(
        results
            .contenders
            .iter()
            .map(|contender| (format!("contender {}", contender.name), contender.command.clone())),
    );
    rows.extend(
        results
            .workloads
            .iter()
            .map(|load| (format!("workload {}", load.name), describe_workload(load))),
    );
    out.push_str("<section>\n<h2>How it was measured</h2>\n<div class=\"scroll\"><table class=\"settings\">\n<tbody>\n");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(name),
            escape(value)
        )?;
    }
    out.push_str("</tbody>\n</table></div>\n<h3 class=\"apart\">Order of the measurements</h3>\n");
    let mut measurements = results.order.iter().peekable();
    while let Some(measurement) = measurements.next() {
        write!(
            out,
            "<p class=\"order\">round {}, {}: {}",
            measurement.round,
            escape(&measurement.workload),
            escape(&measurement.contender)
        )?;
        while let Some(next) = measurements.next_if(|next| {
            next.round == measurement.round && next.workload == measurement.workload
        }) {
            write!(out, ", {}", escape(&next.contender))?;
        }
        out.push_str("</p>\n");
    }
    out.push_str("</section>\n");
    Ok(())
}

fn describe_workload(load: &Workload) -> String {
    let pacing = match load.pacing {
        Pacing::Closed => "closed loop".to_owned(),
        Pacing::Open { requests_per_second } => {
            format!("open loop at {requests_per_second} requests/s")
        }
    };
    let mut words = vec![
        pacing,
        counted(load.connections, "connection"),
        format!("{} of them idle", load.idle_connections),
        format!("pipeline depth {}", load.pipeline_depth),
        format!("{} of {}", load.path, format::bytes(load.body_bytes)),
    ];
    words.extend(
        load.requests_per_connection.map(|count| format!("a new connection after {count}")),
    );
    words.extend(
        load.reader_bytes_per_second.map(|speed| format!("read at {}/s", format::bytes(speed))),
    );
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn the_page_has_no_scripts_and_no_external_resources() {
        for results in [synthetic::results(6), synthetic::partial(6), synthetic::invalid(6)] {
            let page = page(&results);
            for foreign in ["<script", "src=", "href=", "@import", "url(", "NaN", "inf"] {
                let without_words = page.replace("information", "");
                assert!(!without_words.contains(foreign), "{foreign}");
            }
        }
    }

    #[test]
    fn strings_from_outside_are_escaped() {
        const BAD: &str = "<b onclick='x'>&\"\u{1b}";
        let mut results = synthetic::partial(6);
        let environment = &mut results.environment;
        environment.cpu_model = BAD.into();
        environment.kernel = BAD.into();
        environment.remarks = vec![BAD.into()];
        environment.versions.insert(BAD.into(), BAD.into());
        results.options.command = BAD.into();
        results.options.settings[0].value = BAD.into();
        results.response_check.requests = vec![BAD.into()];
        results.completeness = Completeness::Partial { reason: BAD.into() };
        results.contenders.iter_mut().for_each(|contender| {
            (contender.description, contender.command) = (BAD.into(), BAD.into())
        });
        results
            .workloads
            .iter_mut()
            .for_each(|load| (load.title, load.path) = (BAD.into(), BAD.into()));
        results.cells.iter_mut().for_each(|cell| cell.failures = vec![BAD.into()]);
        for round in results.cells.iter_mut().flat_map(|cell| &mut cell.rounds) {
            round.syscalls = Some([(BAD.to_owned(), 1000)].into());
        }
        for (old, new) in [("alpha", "alpha<i>"), ("floor", "<floor>")] {
            results
                .contenders
                .iter_mut()
                .filter(|contender| contender.name == old)
                .for_each(|contender| contender.name = new.into());
            results
                .cells
                .iter_mut()
                .filter(|cell| cell.contender == old)
                .for_each(|cell| cell.contender = new.into());
        }
        let page = page(&results);
        assert!(page.contains("&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\u{fffd}"));
        for raw in ["<b onclick", "alpha<i>", "<floor>", "\u{1b}"] {
            assert!(!page.contains(raw), "{raw}");
        }
    }

    #[test]
    fn every_element_is_closed() {
        let page = page(&synthetic::results(6));
        for name in [
            "section", "div", "figure", "svg", "g", "table", "tr", "td", "ul", "li", "dl", "p",
            "text", "title",
        ] {
            let opened = page.matches(&format!("<{name}>")).count()
                + page.matches(&format!("<{name} ")).count();
            assert_eq!(opened, page.matches(&format!("</{name}>")).count(), "{name}");
        }
    }

    #[test]
    fn partial_and_invalid_results_are_marked() {
        assert!(page(&synthetic::partial(6)).contains("<p class=\"banner\">Partial: interrupted."));
        assert!(page(&synthetic::invalid(6)).contains("Nothing valid was measured"));
    }
}
