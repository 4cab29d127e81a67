//! The report as a single HTML page without scripts and external resources.
//!
//! The first screen has the answer: a few sentences and the curves of the sweeps. Below it are the
//! loads and the sweeps, each with its details folded, the contenders, and what is needed to repeat
//! the comparison or to understand the report.
//!
//! Invariants:
//! - Every string from outside passes through [`escape`].
//! - Equal results give an equal page: it contains no clock, no randomness and no name of this
//!   machine.

mod answer;
mod contenders;
mod figures;
mod glossary;
mod loads;
mod method;
mod sweeps;
mod timelines;
mod tls;

use std::fmt::{self, Write};

use crate::compare::analyse::axis::lines;
use crate::compare::analyse::rounds;
use crate::compare::analyse::tls::tls_loads;
use crate::compare::report::svg::escape;
use crate::compare::report::words::{TLS_TITLE, left_out, partial, round_count};
use crate::compare::results::{Completeness, Results};
use crate::format::counted;

pub(super) const STYLE: &str = include_str!("report.css");

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
    header(out, results, left_out)?;
    loads::write(out, results)?;
    tls::write(out, results)?;
    sweeps::write(out, results)?;
    timelines::write(out, results)?;
    contenders::write(out, results)?;
    method::write(out, results)?;
    glossary::write(out, results);
    out.push_str(
        "<footer>Made by <code>miniweb compare</code>.</footer>\n</main>\n</body>\n</html>\n",
    );
    Ok(())
}

/// The answer, what was measured, and the table of contents.
fn header(out: &mut String, results: &Results, left_out: Option<String>) -> fmt::Result {
    let environment = &results.environment;
    out.push_str("<header>\n<h1>What an I/O strategy costs</h1>\n");
    if let Completeness::Partial { reason } = &results.completeness {
        writeln!(out, "<p class=\"banner\">{}</p>", escape(&partial(reason)))?;
    }
    answer::write(out, results)?;
    write!(
        out,
        "<p class=\"lede\">{} under {}, {} of each in alternation, on {} ({}), {}.{}",
        counted(results.contenders.len(), "contender"),
        counted(results.workloads.len(), "workload"),
        round_count(results),
        escape(&environment.cpu_model),
        counted(environment.cores, "core"),
        escape(&environment.started_at),
        match (environment.server_core, environment.client_core) {
            (Some(server), Some(client)) if server != client => {
                " The server has one core, the client another."
            }
            _ => "",
        }
    )?;
    for remark in environment.remarks.iter().chain(&left_out) {
        write!(out, " {}", escape(remark))?;
    }
    out.push_str("</p>\n<nav>");
    for (id, title) in sections(results) {
        write!(out, "<a href=\"#{id}\">{title}</a> ")?;
    }
    out.push_str("</nav>\n</header>\n");
    Ok(())
}

/// The sections of this page, in order.
fn sections(results: &Results) -> Vec<(&'static str, &'static str)> {
    let sweeps = (!lines(results).is_empty()).then_some((sweeps::ID, sweeps::TITLE));
    let timelines = (!results.timelines.is_empty()).then_some((timelines::ID, timelines::TITLE));
    let tls = (!tls_loads(results).is_empty()).then_some((tls::ID, TLS_TITLE));
    [(loads::ID, loads::TITLE)]
        .into_iter()
        .chain(tls)
        .chain(sweeps)
        .chain(timelines)
        .chain([
            (contenders::ID, contenders::TITLE),
            (method::ID, method::TITLE),
            (glossary::ID, glossary::TITLE),
        ])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn the_page_has_no_scripts_and_no_external_resources() {
        let tls = synthetic::with_tls(6);
        for results in [synthetic::results(6), synthetic::partial(6), synthetic::invalid(6), tls] {
            let page = page(&results);
            for foreign in ["<script", "src=", "href=", "@import", "url(", "NaN", "inf"] {
                let without_words = page.replace("information", "").replace("href=\"#", "");
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
        results.timelines.iter_mut().for_each(|timeline| timeline.workers.fill(BAD.into()));
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
            results
                .timelines
                .iter_mut()
                .filter(|timeline| timeline.contender == old)
                .for_each(|timeline| timeline.contender = new.into());
        }
        let page = page(&results);
        assert!(page.contains("&lt;b onclick=&#39;x&#39;&gt;&amp;&quot;\u{fffd}"));
        for raw in ["<b onclick", "alpha<i>", "<reference>", "\u{1b}"] {
            assert!(!page.contains(raw), "{raw}");
        }
    }

    #[test]
    fn every_element_is_closed() {
        let page = page(&synthetic::with_tls(6));
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
    fn results_without_timelines_have_no_section_for_them() {
        let mut results = synthetic::results(6);
        const HEADING: &str = "One second under the microscope";
        assert!(page(&results).contains(HEADING));
        results.timelines.clear();
        assert!(!page(&results).contains(HEADING));
    }

    #[test]
    fn partial_and_invalid_results_are_marked() {
        assert!(page(&synthetic::partial(6)).contains("<p class=\"banner\">Partial: interrupted."));
        assert!(page(&synthetic::invalid(6)).contains("Nothing valid was measured"));
    }
}
