//! The first screen of the HTML report: the answer in a few sentences, and the curves of CPU time.

use std::fmt::{self, Write};

use crate::compare::analyse::axis::{Line, lines};
use crate::compare::analyse::explanation::of_sweep;
use crate::compare::analyse::headline::headline;
use crate::compare::analyse::metric::Metric;
use crate::compare::report::chart::curve;
use crate::compare::report::svg::escape;
use crate::compare::results::{Axis, ContenderInfo, Results};

pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    out.push_str("<ul class=\"headline\">\n");
    for sentence in headline(results) {
        let (subject, rest) = sentence.split_once(": ").unwrap_or(("", &sentence));
        let subject = if subject.is_empty() { String::new() } else { format!("{subject}:") };
        writeln!(out, "<li><b>{}</b> {}</li>", escape(&subject), escape(rest))?;
    }
    out.push_str("</ul>\n");
    let lines = lines(results);
    let of_cpu = || lines.iter().filter(|line| line.axis.metric() == Metric::CpuPerRequest);
    if of_cpu().next().is_none() {
        return Ok(());
    }
    out.push_str("<div class=\"charts curves\">\n");
    for line in of_cpu() {
        figure(out, results, line)?;
    }
    out.push_str("</div>\n");
    Ok(())
}

/// A curve with what it shows at its upper end, and why.
pub(super) fn figure(out: &mut String, results: &Results, line: &Line<'_>) -> fmt::Result {
    curves(out, results, line, line.axis.metric(), base(results, line.axis))?;
    if let Some(found) = of_sweep(results, line) {
        let place = line.axis.describe(found.workload);
        write!(out, "<p>With {}, {}.</p>", escape(&place), escape(&found.sentence()))?;
    }
    out.push_str("</figure>\n");
    Ok(())
}

/// The start of a figure: what is drawn, and the curves. The caller closes it.
pub(super) fn curves(
    out: &mut String,
    results: &Results,
    line: &Line<'_>,
    metric: Metric,
    base: Option<&ContenderInfo>,
) -> fmt::Result {
    let unit = base.map_or(String::new(), |base| format!(", {} = 1", base.name));
    write!(
        out,
        "<figure><figcaption class=\"metric\">{} <span>by {}{}</span></figcaption>{}",
        metric.title(),
        line.axis.title(),
        escape(&unit),
        curve::draw(results, line, metric, base)
    )
}

/// What the curves are relative to. A file of 16 MiB costs a thousand times the CPU time of an
/// empty one, which would hide all differences between contenders.
fn base(results: &Results, axis: Axis) -> Option<&ContenderInfo> {
    results.reference_loop().filter(|_| axis == Axis::Size)
}
