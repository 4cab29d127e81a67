//! The report as text of at most 80 columns: a table per workload, a sentence per pair, and the
//! ranking.
//!
//! Invariants:
//! - Nothing is expressed by color alone.
//! - Names come from the command line and are untrusted: what is unprintable in them is escaped.

use std::io::{self, Write};

use crate::compare::analyse::checks;
use crate::compare::analyse::crossover::crossovers;
use crate::compare::analyse::explanation::explanations;
use crate::compare::analyse::headline::load;
use crate::compare::analyse::metric::{Metric, frequent_syscalls, significant};
use crate::compare::analyse::ranking::{Lead, leads_at, wins};
use crate::compare::analyse::rounds;
use crate::compare::analyse::statistics::estimate;
use crate::compare::analyse::tls::{tls_loads, tls_pairs, tls_sentences};
use crate::compare::analyse::verdict::{noise, pairs, sentence};
use crate::compare::report::color::Style;
use crate::compare::report::page::Page;
use crate::compare::report::text::{WIDTH, fitted};
use crate::compare::report::words::{
    NO_CROSSOVER, TLS_INTRO, TLS_TITLE, left_out, noise_range, reference_without_tls, round_count,
    value_text, without_wins,
};
use crate::compare::results::{Cell, Completeness, ContenderInfo, Pacing, Results, Workload};
use crate::format::{counted, printable};

pub(super) const NAME_WIDTH: usize = 18;

/// Heading, width including the space before it, and metric of each column.
pub(super) const COLUMNS: [(&str, usize, Metric); 8] = [
    ("req/s", 7, Metric::Throughput),
    ("CPU/r", 7, Metric::CpuPerRequest),
    ("p50", 8, Metric::LatencyMedian),
    ("p99", 8, Metric::LatencyP99),
    ("p99.9", 8, Metric::LatencyP999),
    ("calls/r", 8, Metric::SyscallsPerRequest),
    ("mem/conn", 9, Metric::MemoryPerConnection),
    ("idle", 6, Metric::IdleCpu),
];

/// The metrics of the sentence on each pair. The ranking and the other reports have the rest.
const SENTENCE_METRICS: [Metric; 3] =
    [Metric::Throughput, Metric::LatencyP99, Metric::CpuPerRequest];

/// Prints the whole report.
///
/// # Errors
/// If `out` fails.
pub fn print_tables(results: &Results, out: &mut impl Write, is_colored: bool) -> io::Result<()> {
    let left_out = left_out(results);
    let results = &*rounds::quiet(results);
    let mut page = Page { out, is_colored, width: WIDTH };
    if let Completeness::Partial { reason } = &results.completeness {
        page.paragraph(
            Style::Warning,
            0,
            &format!("PARTIAL: {reason}. These are the results up to that point."),
        )?;
        page.gap()?;
    }
    let (environment, options) = (&results.environment, &results.options);
    let text = format!(
        "{} in {} s: {}, {}; seed {}, {}, windows of about {} ms.",
        environment.started_at,
        environment.elapsed_seconds,
        environment.cpu_model,
        counted(environment.cores, "core"),
        options.seed,
        round_count(results),
        options.window_ms
    );
    page.paragraph(Style::Faint, 0, &text)?;
    for remark in environment.remarks.iter().chain(&left_out) {
        page.paragraph(Style::Faint, 0, remark)?;
    }
    page.gap()?;
    for workload in &results.workloads {
        page.workload(results, workload)?;
    }
    page.tls(results)?;
    page.ranking(results)
}

impl<W: Write> Page<'_, W> {
    fn workload(&mut self, results: &Results, workload: &Workload) -> io::Result<()> {
        let pacing = match workload.pacing {
            Pacing::Closed => "closed loop".to_owned(),
            Pacing::Open { requests_per_second } => {
                format!("open loop, {} requests/s", Metric::Throughput.format(requests_per_second))
            }
        };
        self.paragraph(Style::Strong, 0, &format!("{} ({pacing})", workload.title))?;
        let mut heading = format!("{:NAME_WIDTH$}", "");
        for (title, width, _) in COLUMNS {
            heading.push_str(&format!("{title:>width$}"));
        }
        self.line(Style::Faint, &heading)?;
        let leads = leads_at(results, workload, &COLUMNS.map(|(.., metric)| metric));
        for contender in &results.contenders {
            self.row(results, workload, contender, &leads)?;
        }
        if let Some(range) = noise_range(results, workload) {
            self.paragraph(Style::Faint, 0, &format!("noise: {range}"))?;
        }
        if let Some(noise) = noise(results, workload, Metric::CpuPerRequest) {
            let text = format!(
                "A/A comparison: CPU time per request differs by up to {:.1} % (confidence limit)",
                (noise - 1.0) * 100.0
            );
            self.paragraph(Style::Faint, 0, &text)?;
        }
        for explanation in explanations(results, workload) {
            self.paragraph(Style::Plain, 2, &explanation.sentence())?;
        }
        // The points of a sweep are there for their curve.
        let pairs = if workload.sweep.is_none() { pairs(results) } else { Vec::new() };
        for (a, b) in pairs {
            self.paragraph(Style::Plain, 2, &sentence(results, workload, &SENTENCE_METRICS, a, b))?;
        }
        self.gap()
    }

    /// Prints the figures of a cell, their details and its failed checks.
    fn row(
        &mut self,
        results: &Results,
        workload: &Workload,
        contender: &ContenderInfo,
        leads: &[Option<Lead<'_>>],
    ) -> io::Result<()> {
        let cell = results.cell(&workload.name, &contender.name);
        let failures = checks::failed_checks(results, workload, cell);
        let style = |metric| match failures.iter().any(|failure| failure.check.concerns(metric)) {
            true => Style::Warning,
            false => Style::Plain,
        };
        write!(
            self.out,
            "{}",
            style(Metric::CpuPerRequest).paint(
                self.is_colored,
                &format!("{:NAME_WIDTH$}", fitted(&printable(&contender.name), NAME_WIDTH))
            )
        )?;
        for ((_, width, metric), lead) in COLUMNS.iter().zip(leads) {
            let text = value_text(results, workload, contender, *metric);
            let text = text.map_or("-".to_owned(), |text| compact(&text));
            let leads = lead.as_ref().is_some_and(|lead| lead.is_led_by(contender));
            let style = if leads { Style::Strong } else { style(*metric) };
            write!(self.out, "{}", style.paint(self.is_colored, &format!("{text:>width$}")))?;
        }
        writeln!(self.out)?;
        let details = cell.map(details).unwrap_or_default();
        if !details.is_empty() {
            self.paragraph(Style::Faint, 4, &details)?;
        }
        for failure in failures {
            let (what, check) = (failure.check.consequence(), failure.check.title());
            let text = format!("! {what}: {check}: {}", failure.detail);
            self.paragraph(Style::Warning, 4, &text)?;
        }
        Ok(())
    }

    /// Prints what TLS adds, if any strategy was measured with and without it.
    fn tls(&mut self, results: &Results) -> io::Result<()> {
        let loads = tls_loads(results);
        if loads.is_empty() {
            return Ok(());
        }
        self.line(Style::Strong, TLS_TITLE)?;
        let reference = reference_without_tls(results).unwrap_or_default();
        self.paragraph(Style::Faint, 0, &format!("{TLS_INTRO} {reference}"))?;
        for workload in loads {
            self.paragraph(Style::Plain, 0, &format!("{}:", load(workload)))?;
            for pair in tls_pairs(results) {
                let Some(cost) = pair.cost(results, workload) else { continue };
                let note = if cost.is_shown { "" } else { " (no difference shown)" };
                let (added, percent) = (cost.added_with_interval(), cost.percent_with_interval());
                let text = format!("{}: {added}, {percent}{note}", pair.plain.name);
                self.paragraph(Style::Plain, 2, &text)?;
            }
        }
        for sentence in tls_sentences(results) {
            self.paragraph(Style::Plain, 0, &sentence)?;
        }
        self.gap()
    }

    fn ranking(&mut self, results: &Results) -> io::Result<()> {
        self.line(Style::Strong, "When each strategy wins")?;
        if !checks::any_valid(results) {
            return self.paragraph(
                Style::Warning,
                0,
                "Nothing valid was measured, so there is no ranking.",
            );
        }
        for (contender, wins) in wins(results) {
            if wins.is_empty() {
                self.paragraph(
                    Style::Plain,
                    0,
                    &format!("{}: {}", contender.name, without_wins(results, contender)),
                )?;
                continue;
            }
            self.paragraph(Style::Strong, 0, &contender.name)?;
            for (metric, places) in wins {
                self.paragraph(Style::Plain, 2, &format!("{}: {places}", metric.superlative()))?;
            }
        }
        self.gap()?;
        let crossovers = crossovers(results);
        self.line(Style::Strong, "Where the lead changes")?;
        if crossovers.is_empty() {
            self.paragraph(Style::Plain, 0, NO_CROSSOVER)?;
        }
        for crossover in crossovers {
            self.paragraph(Style::Plain, 0, &crossover.describe())?;
        }
        Ok(())
    }
}

/// What the columns summarize: CPU time by kind, calls by name, would-block calls, context
/// switches.
fn details(cell: &Cell) -> String {
    let median = |metric| estimate(metric, cell).map(|estimate| estimate.median);
    let mut parts = Vec::new();
    if let (Some(user), Some(system)) =
        (median(Metric::UserCpuPerRequest), median(Metric::SystemCpuPerRequest))
    {
        parts.push(format!(
            "user {} + system {}",
            Metric::CpuPerRequest.format(user),
            Metric::CpuPerRequest.format(system)
        ));
    }
    for (name, calls) in frequent_syscalls(cell) {
        parts.push(format!("{name} {}", significant(calls)));
    }
    if let Some(would_block) = median(Metric::WouldBlocksPerRequest) {
        parts.push(format!("would-block {}", significant(would_block)));
    }
    if let Some(switches) = median(Metric::ContextSwitchesPerRequest) {
        parts.push(format!("switches {}", significant(switches)));
    }
    parts.join(", ")
}

/// `12.3 µs` → `12.3µs`, `17.9 KiB` → `17.9KiB`
fn compact(text: &str) -> String {
    text.replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    fn printed(results: &Results, is_colored: bool) -> String {
        let mut out = Vec::new();
        print_tables(results, &mut out, is_colored).expect("writing to a Vec cannot fail");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn lines_fit_80_columns_whatever_the_names() {
        let mut results = synthetic::results(2);
        results.contenders[0].description = "x".repeat(300);
        results.workloads[0].title = "a title of many words ".repeat(12);
        for results in [results, synthetic::partial(2), synthetic::invalid(2)] {
            for line in printed(&results, false).lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn escape_sequences_in_names_are_escaped() {
        let mut results = synthetic::results(2);
        results.workloads[0].title = "bad \x1b[2J title".into();
        assert!(!printed(&results, false).contains('\x1b'));
    }

    #[test]
    fn color_only_adds_escape_sequences() {
        let results = synthetic::results(2);
        let mut colored = printed(&results, true);
        assert!(colored.contains("\x1b[1m"));
        for code in ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[33m"] {
            colored = colored.replace(code, "");
        }
        assert_eq!(colored, printed(&results, false));
    }

    #[test]
    fn partial_and_invalid_results_are_marked() {
        assert!(printed(&synthetic::partial(2), false).starts_with("PARTIAL: interrupted."));
        let invalid = printed(&synthetic::invalid(2), false);
        assert!(invalid.contains("! not ranked: errors: "));
        assert!(invalid.contains("Nothing valid was measured"));
    }
}
