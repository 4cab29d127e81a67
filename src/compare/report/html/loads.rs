//! The loads: what each of them costs, and, folded, everything that was measured under it.

use std::fmt::{self, Write};

use super::figures;
use crate::compare::analyse::explanation::explanations;
use crate::compare::analyse::headline::{in_order, load};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::leads_at;
use crate::compare::analyse::statistics::figure;
use crate::compare::report::chart::{self, bars, percentiles};
use crate::compare::report::svg::escape;
use crate::compare::results::{ContenderInfo, ContenderKind, Pacing, Results, Workload};

pub(super) const ID: &str = "loads";
pub(super) const TITLE: &str = "The loads";

pub(super) fn write(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "<section id=\"{ID}\">\n<h2>{TITLE}</h2>")?;
    costs(out, results)?;
    out.push_str(
        "<p class=\"intro\">Each load with its charts, every figure, and what the counters say about the \
         differences. The figures are medians over rounds with their confidence intervals; no distribution is \
         assumed. Ratios are taken within rounds, so they may differ from those of the medians.</p>\n",
    );
    for workload in in_order(results) {
        details(out, results, workload)?;
    }
    out.push_str("</section>\n");
    Ok(())
}

/// CPU time per request of each contender under each load.
fn costs(out: &mut String, results: &Results) -> fmt::Result {
    out.push_str(
        "<div class=\"scroll\"><table class=\"costs\">\n<caption>CPU time per request. Bars are \
         relative to the largest in the row. Bold: leads, alone or with others. –: not measured, for \
         example because the contender cannot serve so many connections at a time.</caption>\n<thead><tr><th></th>",
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

/// Everything about one workload, folded.
pub(super) fn details(out: &mut String, results: &Results, workload: &Workload) -> fmt::Result {
    write!(
        out,
        "<details class=\"load\">\n<summary><h3>{} <code>{}</code></h3></summary>\n",
        escape(&workload.title),
        escape(&workload.name)
    )?;
    let explanations = explanations(results, workload);
    if !explanations.is_empty() {
        out.push_str("<ul class=\"verdicts\">\n");
        for explanation in explanations {
            writeln!(out, "<li>{}</li>", escape(&explanation.sentence()))?;
        }
        out.push_str("</ul>\n");
    }
    // The points of a sweep are there for its curve.
    if workload.sweep.is_none() {
        charts(out, results, workload)?;
    }
    figures::write(out, results, workload)?;
    out.push_str("</details>\n");
    Ok(())
}

/// The charts that have data.
fn charts(out: &mut String, results: &Results, workload: &Workload) -> fmt::Result {
    let bars = |metric| bars::draw(results, workload, metric);
    let rate = (workload.pacing == Pacing::Closed).then(|| bars(Metric::Throughput)).flatten();
    // With no connection that sleeps there is nothing to hold.
    let holds = workload.idle_connections > 0;
    let memory = bars::draw_points(results, workload, Metric::MemoryPerConnection);
    let charts = [
        ("CPU time per request, user and system", bars::draw_cpu(results, workload)),
        ("Requests per second", rate),
        ("System calls per request", bars::draw_syscalls(results, workload)),
        (latency_caption(workload), percentiles::draw(results, workload)),
        ("Memory per connection", memory.filter(|_| holds)),
        ("CPU while idle, in percent of a core", bars(Metric::IdleCpu).filter(|_| holds)),
    ];
    out.push_str("<div class=\"charts\">\n");
    for (caption, chart) in charts {
        if let Some(chart) = chart {
            writeln!(out, "<figure><figcaption>{caption}</figcaption>{chart}</figure>")?;
        }
    }
    out.push_str("</div>\n");
    Ok(())
}

fn latency_caption(workload: &Workload) -> &'static str {
    match workload.pacing {
        Pacing::Closed => {
            "Latency by percentile <span>The line has the responses of all rounds, the markers are medians \
             over rounds.</span>"
        }
        Pacing::Open { .. } => {
            "Latency by percentile <span>Solid from the scheduled send time, dotted from the actual one: the \
             gap is what a closed loop hides.</span>"
        }
    }
}
