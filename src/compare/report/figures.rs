//! All figures as tables for other programs: Markdown for issues and pages, CSV for spreadsheets.

use std::fmt::Write;

use crate::compare::analyse::axis::{Line, lines};
use crate::compare::analyse::checks::{self, Standing};
use crate::compare::analyse::explanation::{explanations, summary_of_sweeps};
use crate::compare::analyse::headline::{headline, in_order, load};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::leads_at;
use crate::compare::analyse::rounds;
use crate::compare::analyse::statistics::{Estimate, estimate};
use crate::compare::analyse::tls::{TlsPair, tls_loads, tls_pairs, tls_sentences};
use crate::compare::report::words::{
    TLS_INTRO, TLS_TITLE, left_out, reference_without_tls, round_count, value_text,
};
use crate::compare::results::{Completeness, ContenderInfo, Results, Workload};
use crate::format::{counted, printable};

/// The metrics of the Markdown tables.
const METRICS: [Metric; 6] = [
    Metric::CpuPerRequest,
    Metric::Throughput,
    Metric::LatencyP99,
    Metric::SyscallsPerRequest,
    Metric::MemoryPerConnection,
    Metric::IdleCpu,
];

/// The headline, and a table for each load and each sweep.
pub fn markdown(results: &Results) -> String {
    let left_out = left_out(results);
    let results = &*rounds::quiet(results);
    let mut text = String::from("# What an I/O strategy costs\n\n");
    if let Completeness::Partial { reason } = &results.completeness {
        let _ = writeln!(text, "**Partial: {}.**\n", cell_text(reason));
    }
    for sentence in headline(results).into_iter().chain(summary_of_sweeps(results)) {
        let _ = writeln!(text, "- {}", cell_text(&sentence));
    }
    let environment = &results.environment;
    let _ = writeln!(
        text,
        "\n{}, {}, {}; {}, seed {}. Medians over rounds; bold is shown to be better than another \
         and not shown to be worse than any. ≥: the client was the limit.",
        cell_text(&environment.cpu_model),
        counted(environment.cores, "core"),
        cell_text(&environment.started_at),
        round_count(results),
        results.options.seed
    );
    for remark in environment.remarks.iter().chain(&left_out) {
        let _ = writeln!(text, "\n{}", cell_text(remark));
    }
    for workload in in_order(results) {
        let _ = writeln!(text, "\n## {}\n", cell_text(&load(workload)));
        let titles = METRICS.map(Metric::title).join(" | ");
        let _ = writeln!(text, "| | {titles} |\n|---|{}", "---:|".repeat(METRICS.len()));
        let leads = leads_at(results, workload, &METRICS);
        for contender in &results.contenders {
            let cells = METRICS.iter().zip(&leads).map(|(metric, lead)| {
                let value = value_text(results, workload, contender, *metric);
                let value = value.unwrap_or_else(|| "–".to_owned());
                match lead.as_ref().is_some_and(|lead| lead.is_led_by(contender)) {
                    true => format!("**{value}**"),
                    false => value,
                }
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {} | {} |", cell_text(&contender.name), cells.join(" | "));
        }
        let sentences = explanations(results, workload);
        for (n, explanation) in sentences.iter().enumerate() {
            let gap = if n == 0 { "\n" } else { "" };
            let _ = writeln!(text, "{gap}- {}", cell_text(&explanation.sentence()));
        }
    }
    tls(&mut text, results);
    for line in lines(results) {
        sweep(&mut text, results, &line);
    }
    text
}

/// A table with a row for each load, if any strategy was measured with and without TLS.
fn tls(text: &mut String, results: &Results) {
    let (loads, pairs) = (tls_loads(results), tls_pairs(results));
    if loads.is_empty() {
        return;
    }
    let names: Vec<String> = pairs.iter().map(|pair| cell_text(&pair.plain.name)).collect();
    let reference = reference_without_tls(results).unwrap_or_default();
    let _ = writeln!(text, "\n## {TLS_TITLE}\n\n{TLS_INTRO} {}\n", cell_text(&reference));
    let _ = writeln!(text, "| | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for workload in loads {
        let value = |pair: &TlsPair<'_>| match pair.cost(results, workload) {
            Some(cost) if cost.is_shown => format!("{} ({})", cost.added(), cost.percent()),
            Some(cost) => format!("no difference shown, {}", cost.added()),
            None => "–".to_owned(),
        };
        let values: Vec<String> = pairs.iter().map(value).collect();
        let _ = writeln!(text, "| {} | {} |", cell_text(&load(workload)), values.join(" | "));
    }
    text.push('\n');
    for sentence in tls_sentences(results) {
        let _ = writeln!(text, "- {}", cell_text(&sentence));
    }
}

/// A table with a row for each point.
fn sweep(text: &mut String, results: &Results, line: &Line<'_>) {
    let metric = line.axis.metric();
    let names = results.contenders.iter().map(|contender| cell_text(&contender.name));
    let names: Vec<String> = names.collect();
    let _ = writeln!(text, "\n## {} by {}\n", metric.title(), line.axis.title());
    let _ = writeln!(text, "| | {} |\n|---|{}", names.join(" | "), "---:|".repeat(names.len()));
    for point in &line.points {
        let value = |contender| value_text(results, point, contender, metric);
        let values = results.contenders.iter().map(value);
        let values: Vec<String> =
            values.map(|value| value.unwrap_or_else(|| "–".to_owned())).collect();
        let _ = writeln!(text, "| {} | {} |", line.axis.describe(point), values.join(" | "));
    }
}

/// One line for each load, contender and metric, with the interval.
pub fn csv(results: &Results) -> String {
    let results = &*rounds::quiet(results);
    let mut text =
        String::from("load,contender,metric,unit,median,low,high,level,rounds,is_ranked,");
    text.push_str("is_lower_bound\r\n");
    for workload in &results.workloads {
        for contender in &results.contenders {
            let Some(cell) = results.cell(&workload.name, &contender.name) else { continue };
            for metric in Metric::ALL {
                let Some(estimate) = estimate(metric, cell) else { continue };
                let is_ranked = checks::is_ranked(results, workload, Some(cell), metric);
                let standing = checks::standing(results, workload, Some(cell), metric);
                let is_lower_bound = standing == Standing::LowerBound;
                let metric = (metric.title(), metric.unit());
                row(&mut text, (workload, contender), metric, &estimate);
                let _ = write!(text, "{is_ranked},{is_lower_bound}\r\n");
            }
        }
    }
    let (loads, pairs) = (tls_loads(results), tls_pairs(results));
    let costs = loads.iter().flat_map(|load| pairs.iter().map(|pair| pair.cost(results, load)));
    for cost in costs.flatten() {
        let cell = (cost.workload, cost.pair.encrypted);
        row(&mut text, cell, (ADDED_BY_TLS, Metric::CpuPerRequest.unit()), &cost.added_us);
        text.push_str("false,false\r\n");
        row(&mut text, cell, (RATIO_OF_TLS, ""), &cost.ratio);
        text.push_str("false,false\r\n");
    }
    text
}

/// The metrics of a contender with TLS that compare it with the same one without, in CSV.
pub(super) const ADDED_BY_TLS: &str = "CPU time per request that TLS adds";
pub(super) const RATIO_OF_TLS: &str = "CPU time per request with TLS over that without";

/// The first nine fields of a line.
fn row(
    text: &mut String,
    (workload, contender): (&Workload, &ContenderInfo),
    (metric, unit): (&str, &str),
    estimate: &Estimate,
) {
    let Estimate { median, low, high, level, rounds } = estimate;
    let [load, contender, metric] = [&*workload.name, &*contender.name, metric].map(field);
    let _ = write!(
        text,
        "{load},{contender},{metric},{unit},{median},{low},{high},{level:.4},{rounds},"
    );
}

/// Text in a table of Markdown: names come from the command line.
pub(super) fn cell_text(text: &str) -> String {
    let mut escaped = String::new();
    for char in printable(text).chars() {
        if matches!(char, '|' | '*' | '_' | '`' | '<' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// A field, quoted if it has to be.
pub(super) fn field(text: &str) -> String {
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::analyse::statistics::figure;
    use crate::compare::synthetic;

    #[test]
    fn every_figure_is_in_both() {
        let results = synthetic::results(2);
        let (markdown, csv) = (markdown(&results), csv(&results));
        let rows = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
        assert!(rows.clone().all(|row| row.len() == 11), "{csv}");
        for workload in results.loads() {
            for contender in &results.contenders {
                let value = figure(&results, workload, contender, Metric::CpuPerRequest);
                let Some(value) = value else { continue };
                assert!(markdown.contains(&Metric::CpuPerRequest.format(value)), "{markdown}");
                let is_it = |row: &Vec<&str>| {
                    row[..3] == [&*workload.name, &*contender.name, "CPU time per request"]
                };
                let row = rows.clone().find(is_it).expect("each cell has its line");
                assert_eq!(row[3..5], ["us", &*value.to_string()]);
            }
        }
    }

    #[test]
    fn names_cannot_change_the_tables() {
        let mut results = synthetic::results(2);
        let name = "a|b,\"c\"\n*d*";
        for cell in results.cells.iter_mut().filter(|cell| cell.contender == "beta") {
            cell.contender = name.to_owned();
        }
        let beta = results.contenders.iter_mut().find(|contender| contender.name == "beta");
        beta.expect("synthetic results contain it").name = name.to_owned();
        let markdown = markdown(&results);
        assert!(markdown.contains("| a\\|b,\"c\"\\\\n\\*d\\* |"), "{markdown}");
        assert!(csv(&results).contains(",\"a|b,\"\"c\"\"\n*d*\","));
    }
}
