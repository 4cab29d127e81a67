//! Two runs on a terminal: the ratios of the CPU times in at most 25 lines, or every figure.

use std::io::{self, Write};

use super::two_runs::{RowText, TwoRuns, tables};
use crate::compare::analyse::headline::load;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::side_by_side::{Outcome, SideBySide};
use crate::compare::report::color::Style;
use crate::compare::report::page::{LOAD_WIDTH, Page};
use crate::compare::report::text::{truncated, wrapped};
use crate::compare::results::{ContenderInfo, ContenderKind, Workload};
use crate::format::counted;

const LINES_MAX: usize = 25;
/// Lines of one sentence of the introduction; `--verbose` has the rest.
const SENTENCE_LINES_MAX: usize = 2;
const INTRODUCTION_LINES_MAX: usize = 12;
/// The gaps, the heading, the legend and the line about rows that are left out.
const LINES_AROUND_ROWS: usize = 5;

/// Prints the summary, or with `verbose` every figure.
///
/// # Errors
/// If `out` fails.
pub fn print(
    runs: &TwoRuns<'_>,
    out: &mut impl Write,
    is_colored: bool,
    width: usize,
    verbose: bool,
) -> io::Result<()> {
    let both = runs.both();
    let mut page = Page { out, is_colored, width };
    if verbose {
        for sentence in runs.introduction(&both) {
            page.paragraph(Style::Plain, 0, &sentence)?;
        }
        return page.every_change(&both);
    }
    let mut lines = Vec::new();
    for sentence in runs.introduction(&both) {
        let mut of_sentence = wrapped(&sentence, 0, width);
        if of_sentence.len() > SENTENCE_LINES_MAX {
            of_sentence.truncate(SENTENCE_LINES_MAX);
            let last = of_sentence.pop().unwrap_or_default();
            of_sentence.push(truncated(&format!("{last} …"), width));
        }
        lines.extend(of_sentence.iter().map(|line| truncated(line, width)));
    }
    lines.truncate(INTRODUCTION_LINES_MAX);
    for line in &lines {
        page.line(Style::Strong, line)?;
    }
    page.ratios(&both, LINES_MAX.saturating_sub(lines.len() + LINES_AROUND_ROWS))
}

impl<W: Write> Page<'_, W> {
    /// The ratio of the CPU times per request under each load, in at most `rows_max` rows: those
    /// that differ come first.
    fn ratios(&mut self, both: &SideBySide<'_>, rows_max: usize) -> io::Result<()> {
        let columns = self.contenders(both);
        let width = self.column_width(columns.len());
        let columns = &columns[..columns.len().min((self.width - LOAD_WIDTH) / width)];
        let outcome = |workload: &Workload, contender: &ContenderInfo| {
            both.change(workload, contender, Metric::CpuPerRequest).map(|change| change.outcome)
        };
        let differs = |workload: &&&Workload| {
            columns
                .iter()
                .any(|contender| matches!(outcome(workload, contender), Some(Outcome::Differs(_))))
        };
        let loads = both.loads();
        let (differing, same): (Vec<_>, Vec<_>) = loads.iter().partition(differs);
        let shown: Vec<&&Workload> = differing.into_iter().chain(same).take(rows_max).collect();
        if shown.is_empty() || columns.is_empty() {
            return Ok(());
        }
        self.gap()?;
        let names = columns.iter().map(|contender| contender.name.as_str());
        self.load_heading("CPU per request, ×", names, width)?;
        for workload in loads.iter().filter(|it| shown.iter().any(|row| row == it)) {
            self.load_name(&load(workload))?;
            for contender in columns {
                let (style, text) = match outcome(workload, contender) {
                    Some(Outcome::Differs(ratio)) => {
                        (Style::Strong, format!("{:.2}*", ratio.median))
                    }
                    Some(Outcome::NoDifferenceShown(ratio)) => {
                        (Style::Plain, format!("{:.2} ", ratio.median))
                    }
                    Some(Outcome::Unranked) | None => (Style::Plain, "– ".to_owned()),
                };
                let text = format!("{text:>width$}");
                write!(self.out, "{}", style.paint(self.is_colored, &text))?;
            }
            writeln!(self.out)?;
        }
        let more = both.workloads.len() - shown.len();
        if more > 0 {
            let text = format!("{}; see --verbose.", counted(more, "more load"));
            self.line(Style::Faint, &text)?;
        }
        self.gap()?;
        self.line(
            Style::Faint,
            "* A difference is shown. –: not ranked. Below 1, the second costs less.",
        )
    }

    /// The reference loop and the ranked contenders.
    fn contenders<'r>(&self, both: &SideBySide<'r>) -> Vec<&'r ContenderInfo> {
        let is_shown =
            |contender: &&ContenderInfo| !matches!(contender.kind, ContenderKind::Twin { .. });
        both.contenders.iter().copied().filter(is_shown).collect()
    }

    fn every_change(&mut self, both: &SideBySide<'_>) -> io::Result<()> {
        for (load, rows) in tables(both) {
            self.gap()?;
            self.paragraph(Style::Strong, 0, &load)?;
            for row in rows {
                let RowText { contender, metric, before, after, ratio, outcome, is_shown } = row;
                let ratio = if ratio == "–" { String::new() } else { format!(", {ratio}") };
                let text = format!("{contender}, {metric}: {before} → {after}{ratio}, {outcome}");
                let style = if is_shown { Style::Strong } else { Style::Plain };
                self.paragraph(style, 2, &text)?;
            }
        }
        Ok(())
    }
}
