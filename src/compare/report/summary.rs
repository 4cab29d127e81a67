//! The report of a run without `--verbose`: the answer, one table, and what limits both, in at most
//! 25 lines.
//!
//! Invariants:
//! - Nothing is expressed by color alone: leaders have an asterisk.
//! - Names come from the command line and are untrusted: what is unprintable in them is escaped.

use std::io::{self, Write};

use crate::compare::analyse::checks::{any_valid, failed_checks};
use crate::compare::analyse::explanation::summary_of_sweeps;
use crate::compare::analyse::headline::{distinct_loads, headline, load};
use crate::compare::analyse::metric::{Metric, significant};
use crate::compare::analyse::ranking::{Lead, leads_at};
use crate::compare::analyse::rounds;
use crate::compare::analyse::statistics::{figure, median};
use crate::compare::analyse::tls::{TlsCost, TlsPair, has_plain, tls_loads, tls_pairs};
use crate::compare::analyse::verdict::{Verdict, detectable, ranked_contenders, twins, verdict};
use crate::compare::report::color::Style;
use crate::compare::report::page::{COLUMN_WIDTH_MIN, LOAD_WIDTH, Page};
use crate::compare::report::text::wrapped;
use crate::compare::report::words::{TLS_TITLE, left_out_total, partial, reference_without_tls};
use crate::compare::results::{Completeness, ContenderInfo, Results, Workload, WorkloadKind};
use crate::format::counted;

/// The notes about cells that are not ranked.
const NOTES_MAX: usize = 3;
/// The path of the HTML report follows in one line more.
const LINES_MAX: usize = 24;
const ROWS_MAX: usize = 10;
/// The rows of both tables, if there is one of what TLS adds.
const ROWS_MAX_BESIDE_TLS: usize = 6;
const TLS_ROWS_MAX: usize = 4;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Prints the summary in lines of at most `width` columns.
///
/// # Errors
/// If `out` fails.
pub fn print_summary(
    results: &Results,
    out: &mut impl Write,
    is_colored: bool,
    width: usize,
) -> io::Result<()> {
    let left_out = left_out_total(results).map(|left_out| format!("{left_out}."));
    let results = &*rounds::quiet(results);
    let Text { headline, notes } = Text::fitting(results, left_out, width);
    let mut page = Page { out, is_colored, width };
    if let Completeness::Partial { reason } = &results.completeness {
        page.paragraph(Style::Warning, 0, &partial(reason))?;
    }
    for sentence in headline {
        page.paragraph(Style::Strong, 0, &sentence)?;
    }
    if any_valid(results) {
        page.gap()?;
        page.table(results)?;
        page.tls_table(results)?;
    }
    page.gap()?;
    for note in notes {
        page.paragraph(Style::Faint, 0, &note)?;
    }
    Ok(())
}

/// The paragraphs above and below the table.
struct Text {
    headline: Vec<String>,
    notes: Vec<String>,
}

impl Text {
    /// As many details, and as many paragraphs of their own, as fit on the screen.
    fn fitting(results: &Results, left_out: Option<String>, width: usize) -> Text {
        let (headline, sweeps) = (headline(results), summary_of_sweeps(results));
        let whole: Vec<String> = headline.iter().cloned().chain(sweeps).collect();
        let joined = |texts: Vec<String>| vec![texts.join(" ")];
        let (general, unranked) = (general_notes(results), unranked(results));
        let notes = |unranked_max| -> Vec<String> {
            let unranked = unranked_notes(&unranked, unranked_max);
            let after = rows_left_out(results).into_iter().chain(left_out.clone());
            general.iter().cloned().chain(unranked).chain(after).collect()
        };
        let few = notes(0);
        let layouts = [
            Text { headline: whole.clone(), notes: notes(NOTES_MAX) },
            Text { headline: whole.clone(), notes: few.clone() },
            Text { headline: whole, notes: joined(few.clone()) },
            Text { headline: headline.clone(), notes: joined(few.clone()) },
        ];
        let fits = |text: &Text| text.lines(results, width) <= LINES_MAX;
        let last = Text { headline: joined(headline), notes: joined(few) };
        layouts.into_iter().find(fits).unwrap_or(last)
    }

    fn lines(&self, results: &Results, width: usize) -> usize {
        let partial = match &results.completeness {
            Completeness::Whole => None,
            Completeness::Partial { reason } => Some(partial(reason)),
        };
        let texts = self.headline.iter().chain(&self.notes).chain(&partial);
        let text: usize = texts.map(|text| wrapped(text, 0, width).len()).sum();
        let tls = tls_rows(results).len();
        let tls = if tls > 0 { tls + 1 } else { 0 };
        let table = if any_valid(results) { rows(results).len() + 2 + tls } else { 0 };
        text + table + 1
    }
}

/// The loads of the table. A run of several sweeps has too many for a screen: then these are spread
/// evenly over all.
fn rows(results: &Results) -> Vec<&Workload> {
    let loads = distinct_loads(results);
    let max = if tls_rows(results).is_empty() { ROWS_MAX } else { ROWS_MAX_BESIDE_TLS };
    match loads.len() {
        all if all <= max => loads,
        all => (0..max).map(|n| loads[n * (all - 1) / (max - 1)]).collect(),
    }
}

/// The loads of the table of what TLS adds: those that show its parts.
fn tls_rows(results: &Results) -> Vec<&Workload> {
    let mut loads = tls_loads(results);
    if loads.len() > TLS_ROWS_MAX {
        let first = results.loads().first().map(|load| load.name.clone());
        loads.retain(|load| {
            let kinds = [WorkloadKind::ConnectionPerRequest, WorkloadKind::LargeFile];
            kinds.contains(&load.kind) || Some(&load.name) == first.as_ref()
        });
    }
    loads.truncate(TLS_ROWS_MAX);
    loads
}

impl<W: Write> Page<'_, W> {
    /// CPU time per request of each contender under each load.
    fn table(&mut self, results: &Results) -> io::Result<()> {
        let columns = self.columns(results);
        let width = self.column_width(columns.len());
        let names = columns.iter().map(|contender| short_name(contender));
        self.load_heading("µs of CPU per request", names, width)?;
        for workload in rows(results) {
            let lead = leads_at(results, workload, &[Metric::CpuPerRequest]).pop().flatten();
            self.load_row(results, workload, &columns, lead.as_ref(), width)?;
        }
        Ok(())
    }

    /// What TLS adds to the contenders of the table above, in the same columns.
    fn tls_table(&mut self, results: &Results) -> io::Result<()> {
        let (rows, pairs) = (tls_rows(results), tls_pairs(results));
        if rows.is_empty() {
            return Ok(());
        }
        let columns = self.columns(results);
        let width = self.column_width(columns.len());
        let names = columns.iter().map(|contender| short_name(contender));
        self.load_heading(&format!("µs: {TLS_TITLE}"), names, width)?;
        for workload in rows {
            self.load_name(&load(workload))?;
            let mut row = String::new();
            for contender in &columns {
                let pair = pairs.iter().find(|pair| pair.plain.name == contender.name);
                let text = tls_text(results, workload, pair);
                row.push_str(&format!("{text:>width$}"));
            }
            self.line(Style::Plain, &row)?;
        }
        Ok(())
    }

    /// The ranked contenders, and before them the reference loop if there is room for it. Those
    /// with TLS are in a table of their own, unless they take part only so.
    fn columns<'r>(&self, results: &'r Results) -> Vec<&'r ContenderInfo> {
        let mut ranked = ranked_contenders(results);
        ranked.retain(|contender| !has_plain(results, contender));
        let has_room = LOAD_WIDTH + (ranked.len() + 1) * (COLUMN_WIDTH_MIN + 2) <= self.width;
        results.reference_loop().filter(|_| has_room).into_iter().chain(ranked).collect()
    }

    fn load_row(
        &mut self,
        results: &Results,
        workload: &Workload,
        columns: &[&ContenderInfo],
        lead: Option<&Lead<'_>>,
        width: usize,
    ) -> io::Result<()> {
        let value = |contender: &&ContenderInfo| {
            figure(results, workload, contender, Metric::CpuPerRequest)
        };
        let values: Vec<Option<f64>> = columns.iter().map(value).collect();
        let largest = values.iter().flatten().copied().fold(0.0, f64::max);
        self.load_name(&load(workload))?;
        for (contender, value) in columns.iter().zip(&values) {
            let text = match value {
                Some(value) => format!("{} {}", significant(*value), bar(*value, largest)),
                None => "–  ".to_owned(),
            };
            let leads = lead.is_some_and(|lead| lead.is_led_by(contender));
            let (style, mark) = if leads { (Style::Strong, '*') } else { (Style::Plain, ' ') };
            let text = format!("{:>width$}{mark}", text.trim_end(), width = width - 1);
            write!(self.out, "{}", style.paint(self.is_colored, &text))?;
        }
        writeln!(self.out)
    }
}

/// `+4.21`, with a question mark if no difference is shown. Where nothing can be stated, nothing
/// is.
fn tls_text(results: &Results, workload: &Workload, pair: Option<&TlsPair<'_>>) -> String {
    let text = |cost: TlsCost<'_>| {
        let sign = if cost.added_us.median < 0.0 { '−' } else { '+' };
        let mark = if cost.is_shown { ' ' } else { '?' };
        format!("{sign}{} {mark} ", significant(cost.added_us.median.abs()))
    };
    pair.and_then(|pair| pair.cost(results, workload)).map_or(String::new(), text)
}

/// Without the strategy that several have in common: `blocking:pool` is `pool`.
fn short_name(contender: &ContenderInfo) -> &str {
    contender
        .name
        .split_once(':')
        .filter(|(strategy, _)| !strategy.contains('+'))
        .map_or(&contender.name, |(_, model)| model)
}

fn bar(value: f64, largest: f64) -> char {
    let level = (value / largest * BARS.len() as f64).ceil() as usize;
    BARS[level.clamp(1, BARS.len()) - 1]
}

/// What the marks mean, and how certain the figures are.
fn general_notes(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    if any_valid(results) {
        notes.push(legend(results));
    }
    notes.extend(uncertainty(results));
    notes
}

fn rows_left_out(results: &Results) -> Option<String> {
    let count = distinct_loads(results).len() - rows(results).len();
    (count > 0).then(|| format!("{} not shown; see --verbose.", counted(count, "row")))
}

/// At most `max` of these notes, and how many there are beside them.
fn unranked_notes(unranked: &[String], max: usize) -> Vec<String> {
    let mut notes: Vec<String> = unranked.iter().take(max).cloned().collect();
    let left = unranked.len() - notes.len();
    if left > 0 {
        let cells = if notes.is_empty() { "cell" } else { "more cell" };
        notes.push(format!("{} not ranked; see --verbose.", counted(left, cells)));
    }
    notes
}

/// What the marks of the table mean, and why rows have none.
fn legend(results: &Results) -> String {
    let leads = distinct_loads(results).into_iter().filter_map(|workload| {
        leads_at(results, workload, &[Metric::CpuPerRequest]).pop().flatten()
    });
    let (marked, unmarked): (Vec<_>, Vec<_>) = leads.partition(Lead::is_shown);
    let (tied, alone): (Vec<_>, Vec<_>) = unmarked.iter().partition(|lead| lead.rivals > 1);
    let is_led_beside = |lead: &Lead<'_>| lead.leaders.iter().all(|it| has_plain(results, it));
    let reasons = [
        marked.iter().any(is_led_beside).then_some("one with TLS is better"),
        (!tied.is_empty()).then_some("no difference is shown"),
        (!alone.is_empty()).then_some("fewer than two are ranked"),
    ];
    let in_table = |contender: &&ContenderInfo| !has_plain(results, contender);
    let has_gaps = ranked_contenders(results).into_iter().filter(in_table).any(|contender| {
        let metric = Metric::CpuPerRequest;
        distinct_loads(results)
            .iter()
            .any(|load| figure(results, load, contender, metric).is_none())
    });
    let pairs = tls_pairs(results);
    let costs = tls_rows(results).into_iter();
    let mut costs = costs.flat_map(|load| pairs.iter().filter_map(|it| it.cost(results, load)));
    let has_unshown = costs.any(|cost| !cost.is_shown);
    let reasons: Vec<&str> = reasons.into_iter().flatten().collect();
    let sentences = [
        (!marked.is_empty()).then(|| "* No other is shown to be better.".to_owned()),
        (!reasons.is_empty()).then(|| format!("Rows without *: {}.", reasons.join(", or "))),
        Some("Bars are per row.".to_owned()),
        has_gaps.then(|| "–: not measured.".to_owned()),
        has_unshown.then(|| "?: no difference is shown.".to_owned()),
        reference_without_tls(results),
    ];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// How small a difference the run can show, and what its A/A comparison did.
fn uncertainty(results: &Results) -> Option<String> {
    let metric = Metric::CpuPerRequest;
    let smallest = results.workloads.iter().filter_map(|w| detectable(results, w, metric));
    let smallest = median(&smallest.collect::<Vec<_>>())?;
    let twins = twins(results);
    let compared = results.workloads.iter().flat_map(|w| twins.iter().map(move |pair| (w, pair)));
    let mut verdicts: Vec<Verdict> =
        compared.map(|(w, (twin, of))| verdict(results, w, metric, twin, of)).collect();
    verdicts.retain(|verdict| *verdict != Verdict::Unranked);
    let differing = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Differs(_)));
    let a_a = (!verdicts.is_empty()).then(|| {
        format!(
            " The same strategy twice (A/A) differs in {} of {}.",
            differing.count(),
            counted(verdicts.len(), "load")
        )
    });
    Some(format!(
        "Differences of less than {:.0} % would mostly not have been shown.{}",
        (smallest - 1.0) * 100.0,
        a_a.unwrap_or_default()
    ))
}

/// The cells of the loads that are not ranked by CPU time, by the check that they fail. In a sweep,
/// a rate that a contender cannot serve is part of the result.
fn unranked(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    for workload in results.loads() {
        for contender in ranked_contenders(results) {
            let Some(cell) = results.cell(&workload.name, &contender.name) else { continue };
            let failures = failed_checks(results, workload, Some(cell));
            let concerns =
                |metric| failures.iter().find(move |failure| failure.check.concerns(metric));
            if let Some(failure) = concerns(Metric::CpuPerRequest) {
                let place = format!("{}, {}", load(workload), contender.name);
                notes.push(format!(
                    "Not ranked: {place}: {}, {}.",
                    failure.check.title(),
                    failure.detail
                ));
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Axis;
    use crate::compare::synthetic;

    fn printed(results: &Results, width: usize) -> String {
        let mut out = Vec::new();
        print_summary(results, &mut out, false, width).expect("writing to a Vec cannot fail");
        String::from_utf8(out).expect("the output is UTF-8")
    }

    #[test]
    fn the_summary_fits_a_screen_at_80_and_120_columns() {
        let mut sweeps = synthetic::results(2);
        sweeps.workloads.iter_mut().for_each(|workload| workload.sweep = Some(Axis::Idle));
        let mut noisy = synthetic::results(2);
        for cell in noisy.cells.iter_mut().filter(|cell| cell.contender == "gamma") {
            cell.rounds.iter_mut().for_each(|round| round.noise.foreign_cpu_share = Some(0.5));
        }
        let others = [synthetic::results(2), synthetic::partial(2), synthetic::invalid(2)];
        for results in others.into_iter().chain([sweeps, noisy, synthetic::with_tls(2)]) {
            for width in [80, 120] {
                let text = printed(&results, width);
                assert!(text.lines().count() < 25, "one line is for the path:\n{text}");
                assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            }
        }
    }

    #[test]
    fn what_tls_adds_is_below_the_table() {
        let text = printed(&synthetic::with_tls(2), 100);
        let table = text.split("µs: What TLS adds").nth(1).expect("it has a heading");
        let row = table.lines().find(|line| line.starts_with("new connections"));
        let row = row.expect("the load is one of the rows");
        assert_eq!(row.matches('+').count(), 2, "two strategies have TLS: {row}");
        assert!(text.contains("reference has no TLS."), "{text}");
        assert!(!text.contains("alpha+tls"), "{text}");
        let mut only = synthetic::with_tls(2);
        only.contenders.retain(|contender| !["alpha", "alpha again"].contains(&&*contender.name));
        assert!(printed(&only, 100).contains("alpha+tls"), "it is in the table");
        assert!(!printed(&synthetic::results(2), 100).contains("TLS"));
    }

    #[test]
    fn leaders_are_marked_without_color() {
        let text = printed(&synthetic::results(2), 120);
        assert!(text.contains('*') && text.contains("µs of CPU per request"), "{text}");
        assert!(printed(&synthetic::partial(2), 80).starts_with("Partial: interrupted."));
        assert!(printed(&synthetic::invalid(2), 80).starts_with("Nothing valid was measured"));
    }

    #[test]
    fn escape_sequences_in_names_are_escaped() {
        let mut results = synthetic::results(2);
        let name = "bad\x1b[2J".to_owned();
        for cell in results.cells.iter_mut().filter(|cell| cell.contender == "beta") {
            cell.contender.clone_from(&name);
        }
        let mut beta = results.contenders.iter_mut().filter(|contender| contender.name == "beta");
        beta.by_ref().for_each(|contender| contender.name.clone_from(&name));
        assert!(!printed(&results, 120).contains('\x1b'));
    }

    #[test]
    fn the_smallest_bar_is_not_empty() {
        assert_eq!([bar(0.0, 10.0), bar(5.0, 10.0), bar(10.0, 10.0)], ['▁', '▄', '█']);
    }
}
