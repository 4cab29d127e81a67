//! One second under the microscope: a timeline of each strategy.

use std::fmt::{self, Write};

use crate::compare::analyse::timeline::describe;
use crate::compare::report::chart::{series_style, timeline};
use crate::compare::report::svg::escape;
use crate::compare::results::Results;
use crate::compare::timeline::REQUEST_INTERVAL_MS;

pub(super) const ID: &str = "timelines";
pub(super) const TITLE: &str = "One second under the microscope";

/// The section; nothing if no timeline was recorded.
pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    if results.timelines.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<section id=\"{ID}\">\n<h2>{TITLE}</h2>\n<p class=\"intro\">After all measurements, each server recorded its steps for one second, with the same three \
         clients: <b>stuck</b> connects first and sends half a request; <b>slow</b> requests a large file and reads \
         little of it at a time; <b>quick</b> requests a small file every {REQUEST_INTERVAL_MS} ms on one connection. \
         Work is drawn wider than it is, so that it can be seen.</p>\n<ul class=\"legend\">\n"
    )?;
    for (swatch, meaning) in timeline::legend() {
        writeln!(out, "<li>{swatch}{meaning}</li>")?;
    }
    out.push_str("</ul>\n<div class=\"charts\">\n");
    for timeline in results.timelines.iter().filter(|timeline| timeline.duration_us > 0) {
        let Some(contender) = results.contender(&timeline.contender) else { continue };
        let (name, sentences) = (escape(&contender.name), escape(&describe(timeline).join(" ")));
        let class = series_style(results, contender).class;
        let chart = timeline::draw(results, contender, timeline);
        writeln!(
            out,
            "<figure><figcaption class=\"of {class}\"><b>{name}</b><span class=\"what\">{sentences}</span></figcaption>{chart}</figure>"
        )?;
    }
    out.push_str("</div>\n</section>\n");
    Ok(())
}
