//! The first screen of the HTML report: the answer, and the table that it rests on.

use std::fmt::{self, Write};

use crate::compare::analyse::headline::{headline, in_order, load};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::leads_at;
use crate::compare::analyse::statistics::figure;
use crate::compare::report::chart;
use crate::compare::report::svg::escape;
use crate::compare::results::{ContenderInfo, ContenderKind, Results};

pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    out.push_str("<ul class=\"headline\">\n");
    for sentence in headline(results) {
        let (subject, rest) = sentence.split_once(": ").unwrap_or(("", &sentence));
        let subject = if subject.is_empty() { String::new() } else { format!("{subject}:") };
        writeln!(out, "<li><b>{}</b> {}</li>", escape(&subject), escape(rest))?;
    }
    out.push_str(
        "</ul>\n<div class=\"scroll\"><table class=\"costs\">\n<caption>CPU time per request. Bars are \
         relative to the row; bold is not shown to be worse than any other.</caption>\n<thead><tr><th></th>",
    );
    let is_shown = |kind: &ContenderKind| !matches!(kind, ContenderKind::Twin { .. });
    let contenders: Vec<_> =
        results.contenders.iter().filter(|contender| is_shown(&contender.kind)).collect();
    for contender in &contenders {
        let class = chart::series_style(results, contender).class;
        let name = escape(&contender.name).replace(':', ":<wbr>");
        write!(out, "<th class=\"{class}\">{name}</th>")?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for workload in in_order(results) {
        let value = |contender: &&ContenderInfo| {
            figure(results, workload, contender, Metric::CpuPerRequest)
        };
        let values: Vec<Option<f64>> = contenders.iter().map(value).collect();
        let largest = values.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        let lead = leads_at(results, workload, &[Metric::CpuPerRequest]).pop().flatten();
        write!(out, "<tr><th scope=\"row\">{}</th>", escape(&load(workload)))?;
        for (contender, value) in contenders.iter().zip(values) {
            let Some(value) = value else {
                out.push_str("<td>–</td>");
                continue;
            };
            let leads = lead.as_ref().is_some_and(|lead| lead.is_led_by(contender));
            let class = chart::series_style(results, contender).class;
            write!(
                out,
                "<td class=\"{class}{}\">{}<i style=\"width:{:.1}%\"></i></td>",
                if leads { " leads" } else { "" },
                Metric::CpuPerRequest.format(value).replace(' ', "\u{a0}"),
                100.0 * value / largest
            )?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
    Ok(())
}
