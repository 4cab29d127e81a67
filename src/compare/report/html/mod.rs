//! The report as a single HTML page without scripts and external resources.
//!
//! The first screen has the answer. Below it are the contenders, the ranking and the charts, and,
//! folded, every figure with its checks, everything needed to repeat the comparison, and the terms.
//!
//! Invariants:
//! - Every string from outside passes through [`escape`].
//! - Equal results give an equal page: it contains no clock, no randomness and no name of this
//!   machine.

mod answer;
mod charts;
mod figures;
mod method;

use std::fmt::{self, Write};

use crate::compare::analyse::checks;
use crate::compare::analyse::crossover::crossovers;
use crate::compare::analyse::ranking::wins;
use crate::compare::analyse::rounds;
use crate::compare::report::chart;
use crate::compare::report::svg::{Drawing, escape};
use crate::compare::report::words::{NO_CROSSOVER, left_out, levels, round_count, without_wins};
use crate::compare::results::{Completeness, ContenderInfo, ContenderKind, Results};
use crate::format::counted;

const STYLE: &str = include_str!("report.css");

pub fn page(results: &Results) -> String {
    let mut out = String::new();
    let left_out = left_out(results);
    write_page(&mut out, &rounds::quiet(results), left_out)
        .expect("writing to a String cannot fail");
    out
}

fn write_page(out: &mut String, results: &Results, left_out: Option<String>) -> fmt::Result {
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>What an I/O strategy costs: miniweb compare</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )?;
    summary(out, results, left_out)?;
    charts::write(out, results)?;
    figures::write(out, results)?;
    method::write(out, results)?;
    terms(out, results);
    out.push_str(
        "<footer>Made by <code>miniweb compare</code>.</footer>\n</main>\n</body>\n</html>\n",
    );
    Ok(())
}

/// The contenders, their ranking, and where the lead changes.
fn summary(out: &mut String, results: &Results, left_out: Option<String>) -> fmt::Result {
    let environment = &results.environment;
    write!(
        out,
        "<header>\n<h1>What an I/O strategy costs</h1>\n<p class=\"lede\">{} under {}, {} of each in alternation, \
         on {} ({}), {}.</p>\n",
        counted(results.contenders.len(), "server"),
        counted(results.workloads.len(), "workload"),
        round_count(results),
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
    for remark in environment.remarks.iter().chain(&left_out) {
        writeln!(out, "<p class=\"lede\">{}</p>", escape(remark))?;
    }
    answer::write(out, results)?;
    out.push_str("</header>\n<section>\n<h2>The contenders</h2>\n<ul class=\"contenders\">\n");
    for contender in &results.contenders {
        contender_key(out, results, contender)?;
    }
    out.push_str("</ul>\n</section>\n<section>\n<h2>When each strategy wins</h2>\n");
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
            write!(out, "<p>{}</p>", without_wins(results, contender))?;
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
        writeln!(out, "<li>{NO_CROSSOVER}</li>")?;
    }
    for crossover in crossovers {
        writeln!(out, "<li>{}</li>", escape(&crossover.describe()))?;
    }
    out.push_str("</ul>\n</section>\n");
    Ok(())
}

/// What a reader has to know to understand the report.
fn terms(out: &mut String, results: &Results) {
    const TERMS: [(&str, &str); 9] = [
        (
            "contender",
            "A server that takes part: a strategy, the reference loop, a twin, a foreign server.",
        ),
        (
            "reference",
            "A bare epoll loop that sends prepared responses, for comparison. It is not ranked.",
        ),
        (
            "A/A comparison",
            "The same strategy a second time: what differs between the two is noise.",
        ),
        ("round", "Each contender measured once under each load. Ratios are taken within rounds."),
        (
            "closed loop",
            "A connection sends its next request when the response to the last has arrived.",
        ),
        ("open loop", "Requests are sent at fixed times, whatever the server does."),
        (
            "Little's law",
            "Requests in flight = rate × mean latency. A client that loses time violates it.",
        ),
        ("crossed out", "A figure that failed a check. It is not ranked."),
        ("≥", "A rate at which the client was at its limit: the server may be faster."),
    ];
    out.push_str("<section>\n<details>\n<summary><h2>Terms</h2></summary>\n<dl class=\"terms\">\n");
    for (term, meaning) in TERMS {
        out.push_str(&format!("<dt>{term}</dt><dd>{meaning}</dd>\n"));
    }
    if let Some(levels) = levels(results) {
        out.push_str(&format!(
            "<dt>interval</dt><dd>It contains the true value with {levels} confidence.</dd>\n"
        ));
    }
    out.push_str("</dl>\n</details>\n</section>\n");
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
        ContenderKind::ReferenceLoop => "Not ranked: ".to_owned(),
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
        for (old, new) in [("alpha", "alpha<i>"), ("reference", "<reference>")] {
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
        for raw in ["<b onclick", "alpha<i>", "<reference>", "\u{1b}"] {
            assert!(!page.contains(raw), "{raw}");
        }
    }

    #[test]
    fn every_element_is_closed() {
        let page = page(&synthetic::results(6));
        for name in [
            "section", "div", "figure", "svg", "g", "table", "tr", "td", "ul", "li", "dl", "p",
            "text", "title", "details", "summary", "dt", "dd", "i", "b",
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
