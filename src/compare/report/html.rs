//! A comparison as one page: a file that needs nothing but a browser, no network and no script.
//!
//! The order is the reader's: what it comes to, then the plots, then every figure with its checks, and at the end all
//! that somebody needs to do it again.
//!
//! # Laws
//! - Every string that was not written here goes through [`escape`].
//! - The page is the same for the same results: no clock, no chance, no name of this machine.

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

/// Shown in the table of each workload.
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

/// The page.
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
    plots(out, results)?;
    figures(out, results)?;
    circumstances(out, results)?;
    out.push_str(
        "<footer>TemporaryDirectory by <code>miniweb compare</code>.</footer>\n</main>\n</body>\n</html>\n",
    );
    Ok(())
}

/// Who took part, who wins where, and where the lead changes.
fn summary(out: &mut String, results: &Results) -> fmt::Result {
    let environment = &results.environment;
    write!(
        out,
        "<header>\n<h1>What an I/O strategy costs</h1>\n<p class=\"lede\">{} under {}, {} of each in measurements, \
         on {} ({}), {}.</p>\n",
        counted(results.contenders.len(), "server"),
        counted(results.workloads.len(), "load"),
        counted(results.options.rounds, "round"),
        escape(&environment.cpu_model),
        counted(environment.cores, "core"),
        escape(&environment.started_at)
    )?;
    if let Completeness::Partial { reason } = &results.completeness {
        writeln!(
            out,
            "<p class=\"banner\">Partial: {}. What follows is what was measured until then.</p>",
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
        out.push_str("<p class=\"banner\">Nothing valid was measured, so there is nothing to say.</p>\n</section>\n");
        return Ok(());
    }
    out.push_str(
        "<p class=\"intro\">An contender wins where it is shown to beat another and nobody is shown to beat it. Cells that \
         fail a check are not ranked.</p>\n<div class=\"wins\">\n",
    );
    for (contender, wins) in wins(results) {
        let class = chart::series_style(results, contender).class;
        write!(out, "<div class=\"win {class}\"><h3>{}</h3>", escape(&contender.name))?;
        if wins.is_empty() {
            out.push_str("<p>Nowhere in what was measured.</p>");
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
        out.push_str("<li>Nowhere along the lines that were measured.</li>\n");
    }
    for crossover in crossovers {
        writeln!(out, "<li>{}</li>", escape(&crossover.describe()))?;
    }
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

fn contender_key(out: &mut String, results: &Results, contender: &ContenderInfo) -> fmt::Result {
    let series_style = chart::series_style(results, contender);
    let mut sign = Drawing::new(36.0, 14.0, "");
    sign.group(&series_style.class, &contender.name, |sign| {
        sign.path("curve", &[(1.0, 7.0), (35.0, 7.0)]);
        sign.marker("marker", series_style.shape, (18.0, 7.0));
    });
    let role = match &contender.kind {
        ContenderKind::Strategy => String::new(),
        ContenderKind::Floor => "The floor, which no server can pass: ".to_owned(),
        ContenderKind::Twin { of } => format!("{of} a second time, to show the noise: "),
        ContenderKind::Foreign => "Not ours: ".to_owned(),
    };
    writeln!(
        out,
        "<li class=\"{}\">{}<b>{}</b><span>{}{}</span></li>",
        series_style.class,
        sign.finish(),
        escape(&contender.name),
        escape(&role),
        escape(&contender.description)
    )
}

fn plots(out: &mut String, results: &Results) -> fmt::Result {
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
    plot_section(
        out,
        "Throughput",
        "Requests per second in a closed loop, against connections where several numbers of them were measured.",
        curves.chain(alone),
    )?;
    // Open loops first: they are what latency is measured with.
    let (open, rest): (Vec<_>, Vec<_>) =
        results.workloads.iter().partition(|load| load.pacing != Pacing::Closed);
    plot_section(
        out,
        "Latency",
        "Each step to the right is ten times rarer. The line is of the answers of all rounds together; the markers, side \
         by side at 50, 99 and 99.9 %, are medians over rounds of what each round had there, and their bars the intervals \
         of those medians: a few slow rounds raise the line, but hardly the marker. In an open loop the line counts from \
         when a request should have been sent, the dotted one from when it was: the gap is what a closed loop hides.",
        open.iter()
            .chain(&rest)
            .map(|load| (load.title.as_str(), percentiles::draw(results, load))),
    )?;
    let each = |draw: fn(&Results, &Workload) -> Option<String>| {
        results.workloads.iter().map(move |load| (load.title.as_str(), draw(results, load)))
    };
    plot_section(
        out,
        "CPU time per request",
        "By the server's own CPU clock, all threads and processes: <i class=\"key\"></i>user and \
         <i class=\"key system\"></i>system.",
        each(bars::draw_cpu),
    )?;
    plot_section(
        out,
        "System calls per request",
        "By the server's own stats, each name in its shade.",
        each(bars::draw_syscalls),
    )?;
    // What is held tells nothing new with every load: the most that ask, and the most that do not.
    let most = |is_idle: bool| {
        let of_kind =
            closed.iter().filter(move |load| (load.kind == WorkloadKind::MostlyIdle) == is_idle);
        of_kind.max_by_key(|load| load.connections)
    };
    let holding = || most(false).into_iter().chain(most(true)).copied();
    plot_section(
        out,
        "Memory per connection",
        "Growth of the server's memory, on an axis of magnitudes.",
        holding().map(|load| {
            (load.title.as_str(), bars::draw_points(results, load, Metric::MemoryPerConnection))
        }),
    )?;
    plot_section(
        out,
        "CPU while idle",
        "All connections open, no request under way. 100 % is one core.",
        holding().map(|load| (load.title.as_str(), bars::draw(results, load, Metric::IdleCpu))),
    )
}

/// Those plots that there is anything for; no section without any. `intro` is markup of our own.
fn plot_section<'a>(
    out: &mut String,
    title: &str,
    intro: &str,
    plots: impl Iterator<Item = (&'a str, Option<String>)>,
) -> fmt::Result {
    let plots: Vec<_> = plots.filter_map(|(caption, plot)| Some((caption, plot?))).collect();
    if plots.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section>\n<h2>{title}</h2>\n<p class=\"intro\">{intro}</p>\n<div class=\"plots\">\n"
    )?;
    for (caption, plot) in plots {
        writeln!(out, "<figure><figcaption>{}</figcaption>{plot}</figure>", escape(caption))?;
    }
    out.push_str("</div>\n</section>\n");
    Ok(())
}

/// Every figure with its interval, beneath them the checks of every cell, and what may be said of every pair.
fn figures(out: &mut String, results: &Results) -> fmt::Result {
    out.push_str(
        "<section>\n<h2>Every figure</h2>\n<p class=\"intro\">Medians over rounds, with the interval that holds the true \
         median as surely as the rounds allow, whatever the noise is shaped like. Bold leads.</p>\n",
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
                for part in cell.map_or(Vec::new(), |cell| beneath(metric, cell)) {
                    write!(out, "<small>{}</small>", escape(&part))?;
                }
                out.push_str("</td>");
            }
        }
    }
    let told =
        check_results.iter().filter(|result| result.outcome != Outcome::Skipped).map(|result| {
            let mark = if result.outcome == Outcome::Failed { "✗ " } else { "✓ " };
            format!("{mark}{}: {}", result.check.title(), result.detail)
        });
    let told = escape(&told.collect::<Vec<_>>().join("; "));
    let span = COLUMNS.len() + 1;
    writeln!(
        out,
        "</tr>\n<tr class=\"checks{unranked}\"><td colspan=\"{span}\"><div>{told}</div></td></tr>"
    )
}

/// A narrow column breaks its interval at the dash, and nowhere else.
fn unbroken(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// What a figure sums up.
fn beneath(metric: Metric, cell: &Cell) -> Vec<String> {
    let parts: &[(Metric, &str)] = match metric {
        Metric::CpuPerRequest => {
            &[(Metric::UserCpuPerRequest, "user"), (Metric::SystemCpuPerRequest, "system")]
        }
        Metric::SyscallsPerRequest => &[(Metric::WouldBlocksPerRequest, "in vain")],
        _ => &[],
    };
    let words = |(metric, what): &(Metric, &str)| {
        let median = estimate(*metric, cell)?.median;
        Some(unbroken(&format!("{} {what}", metric.format(median))))
    };
    parts.iter().filter_map(words).collect()
}

/// All that is needed to do it again, or to reason it.
fn circumstances(out: &mut String, results: &Results) -> fmt::Result {
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
            "began, took".to_owned(),
            format!("{}, {} s", environment.started_at, environment.elapsed_seconds),
        ),
        (
            "processor".to_owned(),
            format!("{}, {}", environment.cpu_model, counted(environment.cores, "core")),
        ),
        ("memory".to_owned(), format::bytes(environment.memory_bytes)),
        ("system".to_owned(), format!("{}, {}", environment.kernel, environment.architecture)),
        ("server on".to_owned(), core(environment.server_core)),
        ("load on".to_owned(), core(environment.client_core)),
        ("versions".to_owned(), versions.collect::<Vec<_>>().join("; ")),
        ("equal answers to".to_owned(), results.response_check.requests.join("; ")),
        ("not held to that".to_owned(), results.response_check.exempt.join(", ")),
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
            .map(|load| (format!("load {}", load.name), describe_workload(load))),
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
    out.push_str("</tbody>\n</table></div>\n<h3 class=\"apart\">The order of measurements</h3>\n");
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

/// Every parameter.
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
    fn it_needs_nothing_from_outside_and_runs_nothing() {
        for results in [synthetic::results(6), synthetic::partial(6), synthetic::invalid(6)] {
            let page = page(&results);
            for foreign in ["<script", "src=", "href=", "@import", "url(", "NaN", "inf"] {
                let without_words = page.replace("information", "");
                assert!(!without_words.contains(foreign), "{foreign}");
            }
        }
    }

    #[test]
    fn every_string_is_escaped() {
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
    fn its_elements_are_closed() {
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
    fn what_is_partial_or_invalid_says_so() {
        assert!(page(&synthetic::partial(6)).contains("<p class=\"banner\">Partial: interrupted."));
        assert!(page(&synthetic::invalid(6)).contains("Nothing valid was measured"));
    }
}
