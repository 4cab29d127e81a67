//! What TLS adds under each load.

use std::fmt::{self, Write};

use crate::compare::analyse::headline::load;
use crate::compare::analyse::tls::{TlsCost, tls_loads, tls_pairs, tls_sentences};
use crate::compare::report::chart;
use crate::compare::report::svg::escape;
use crate::compare::report::words::{TLS_INTRO, TLS_TITLE, reference_without_tls};
use crate::compare::results::Results;

pub(super) const ID: &str = "tls";

/// The section; nothing if no strategy was measured with and without TLS.
pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    let (loads, pairs) = (tls_loads(results), tls_pairs(results));
    if loads.is_empty() {
        return Ok(());
    }
    let reference = reference_without_tls(results).unwrap_or_default();
    write!(
        out,
        "<section id=\"{ID}\">\n<h2>{TLS_TITLE}</h2>\n<p class=\"intro\">{TLS_INTRO} {}</p>\n\
         <ul class=\"verdicts\">\n",
        escape(&reference)
    )?;
    for sentence in tls_sentences(results) {
        writeln!(out, "<li>{}</li>", escape(&sentence))?;
    }
    out.push_str("</ul>\n<div class=\"scroll\"><table class=\"added\">\n<thead><tr><th></th>");
    for pair in &pairs {
        let class = chart::series_style(results, pair.plain).class;
        write!(out, "<th class=\"{class}\">{}</th>", escape(&pair.plain.name))?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for workload in loads {
        write!(out, "<tr><th scope=\"row\">{}</th>", escape(&load(workload)))?;
        for pair in &pairs {
            match pair.cost(results, workload) {
                Some(cost) => cell(out, &cost)?,
                None => out.push_str("<td>–</td>"),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n</section>\n");
    Ok(())
}

fn cell(out: &mut String, cost: &TlsCost<'_>) -> fmt::Result {
    let (class, note) = match cost.is_shown {
        true => ("", ""),
        false => (" class=\"unshown\"", "<small>no difference shown</small>"),
    };
    let [added, percent] = [cost.added_with_interval(), cost.percent_with_interval()]
        .map(|text| escape(&text).replace(' ', "\u{a0}"));
    write!(out, "<td{class}>{added}<small>{percent}</small>{note}</td>")
}
