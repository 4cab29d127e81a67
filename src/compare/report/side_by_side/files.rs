//! Two runs as HTML, Markdown and CSV.

use std::fmt::Write;

use super::two_runs::{RowText, TwoRuns, ratio_of, tables};
use crate::compare::analyse::side_by_side::Outcome;
use crate::compare::report::figures::{cell_text, field};
use crate::compare::report::html::STYLE;
use crate::compare::report::svg::escape;
use crate::format::printable;

/// A page without scripts and external resources.
pub fn html(runs: &TwoRuns<'_>) -> String {
    let both = runs.both();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Two runs side by side: miniweb compare</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<header>\n<h1>Two runs side by side</h1>\n"
    );
    for sentence in runs.introduction(&both) {
        out.push_str(&format!("<p class=\"lede\">{}</p>\n", escape(&sentence)));
    }
    out.push_str("</header>\n");
    let names = runs.names.each_ref().map(|name| escape(name));
    for (load, rows) in tables(&both) {
        out.push_str(&format!(
            "<section>\n<h2>{}</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th></th><th>metric</th>\
             <th>{}</th><th>{}</th><th>ratio</th><th>shown</th></tr></thead>\n<tbody>\n",
            escape(&load),
            names[0],
            names[1]
        ));
        for row in rows {
            let class = if row.is_shown { " class=\"leads\"" } else { "" };
            let cells = cells(&row).map(|text| escape(&text.replace(' ', "\u{a0}")));
            out.push_str(&format!("<tr><td{class}>{}</td></tr>\n", cells.join("</td><td>")));
        }
        out.push_str("</tbody>\n</table></div>\n</section>\n");
    }
    out.push_str(
        "<footer>Made by <code>miniweb compare</code>.</footer>\n</main>\n</body>\n</html>\n",
    );
    out
}

/// The introduction, and a table for each load.
pub fn markdown(runs: &TwoRuns<'_>) -> String {
    let both = runs.both();
    let mut text = String::from("# Two runs side by side\n\n");
    for sentence in runs.introduction(&both) {
        let _ = writeln!(text, "- {}", cell_text(&sentence));
    }
    let [before, after] = runs.names.each_ref().map(|name| cell_text(name));
    for (load, rows) in tables(&both) {
        let _ = writeln!(text, "\n## {}\n", cell_text(&load));
        let _ = writeln!(text, "| | metric | {before} | {after} | ratio | shown |");
        let _ = writeln!(text, "|---|---|---:|---:|---:|---|");
        for row in rows {
            let cells = cells(&row).map(cell_text);
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    text
}

/// One line for each load, contender and metric.
pub fn csv(runs: &TwoRuns<'_>) -> String {
    let both = runs.both();
    let mut text = String::from(
        "load,contender,metric,unit,before,after,unpaired_ratio,low,high,level,is_ranked,\
         is_difference_shown\r\n",
    );
    for change in &both.changes {
        let numbers = ratio_of(&change.outcome).map_or(",,,".to_owned(), |ratio| {
            format!("{},{},{},{:.4}", ratio.median, ratio.low, ratio.high, ratio.level)
        });
        let _ = write!(
            text,
            "{},{},{},{},{},{},{numbers},{},{}\r\n",
            field(&printable(&change.workload.name)),
            field(&printable(&change.contender.name)),
            field(change.metric.title()),
            change.metric.unit(),
            change.figures[0],
            change.figures[1],
            change.outcome != Outcome::Unranked,
            matches!(change.outcome, Outcome::Differs(_)),
        );
    }
    text
}

fn cells(row: &RowText) -> [&str; 6] {
    let RowText { contender, metric, before, after, ratio, outcome, .. } = row;
    [contender, metric, before, after, ratio, outcome]
}
