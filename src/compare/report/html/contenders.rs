//! Who takes part, where each of them wins, and where the lead changes.

use std::fmt::{self, Write};

use super::sweeps;
use crate::compare::analyse::checks;
use crate::compare::analyse::crossover::crossovers;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::wins;
use crate::compare::report::chart;
use crate::compare::report::svg::{Drawing, escape};
use crate::compare::report::words::without_wins;
use crate::compare::results::{ContenderInfo, ContenderKind, Results};
use crate::format::counted;

pub(super) const ID: &str = "contenders";
pub(super) const TITLE: &str = "The contenders";

pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "<section id=\"{ID}\">\n<h2>{TITLE}</h2>")?;
    if !checks::any_valid(results) {
        out.push_str(
            "<p class=\"banner\">Nothing valid was measured, so there is no ranking.</p>\n",
        );
    }
    out.push_str(
        "<p class=\"intro\">A contender leads where it is shown to be better than another and none is shown \
         to be better than it. Cells that fail a check are not ranked.</p>\n<div class=\"wins\">\n",
    );
    let wins = wins(results);
    for contender in &results.contenders {
        let class = chart::series_style(results, contender).class;
        let of_it = wins.iter().find(|(ranked, _)| ranked.name == contender.name);
        write!(out, "<div class=\"win {class}\">")?;
        key(out, results, contender)?;
        match of_it {
            None => {}
            Some((_, wins)) if wins.is_empty() => {
                write!(out, "<p>{}</p>", without_wins(results, contender))?;
            }
            Some((_, wins)) => places(out, wins)?,
        }
        out.push_str("</div>\n");
    }
    out.push_str("</div>\n");
    lead_changes(out, results)?;
    out.push_str("</section>\n");
    Ok(())
}

fn places(out: &mut String, wins: &[(Metric, String)]) -> fmt::Result {
    out.push_str("<dl>");
    for (metric, places) in wins {
        write!(out, "<dt>{}</dt><dd>{}</dd>", escape(&metric.superlative()), escape(places))?;
    }
    out.push_str("</dl>");
    Ok(())
}

/// Its line and marker, name and description.
fn key(out: &mut String, results: &Results, contender: &ContenderInfo) -> fmt::Result {
    let style = chart::series_style(results, contender);
    let mut swatch = Drawing::new(36.0, 14.0, "");
    swatch.group(&style.class, &contender.name, |swatch| {
        swatch.path("curve", &[(1.0, 7.0), (35.0, 7.0)]);
        swatch.marker("marker", style.shape, (18.0, 7.0));
    });
    let role = match &contender.kind {
        ContenderKind::Strategy => String::new(),
        ContenderKind::ReferenceLoop => "Not ranked: ".to_owned(),
        ContenderKind::Twin { of } => format!("A/A comparison with {of}: "),
        ContenderKind::Foreign => "Foreign server: ".to_owned(),
    };
    let limit = contender.connections_max.map_or(String::new(), |max| {
        format!(" Takes part with at most {}.", counted(max, "keep-alive connection"))
    });
    write!(
        out,
        "<h3>{}{}</h3><p>{}{}.{limit}</p>",
        swatch.finish(),
        escape(&contender.name),
        escape(&role),
        escape(&contender.description)
    )
}

fn lead_changes(out: &mut String, results: &Results) -> fmt::Result {
    out.push_str("<details>\n<summary><h3>Where the lead changes</h3></summary>\n");
    sweeps::list(out, &crossovers(results))?;
    out.push_str("</details>\n");
    Ok(())
}
