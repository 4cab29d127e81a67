//! The reports of two runs side by side: what is shown to differ, and what limits that.
//!
//! Invariants:
//! - Every report says that the rounds of two runs are not paired.
//! - Terminal, HTML, Markdown and CSV print the same rows.

mod files;
mod terminal;
mod two_runs;

pub use files::{csv, html, markdown};
pub use terminal::print;
pub use two_runs::TwoRuns;

#[cfg(test)]
mod tests {
    use super::two_runs::{RowText, tables};
    use super::*;
    use crate::compare::synthetic;

    /// The text of each report. Line breaks of the terminal are kept.
    fn reports(runs: &TwoRuns<'_>) -> [String; 5] {
        let print = |verbose| {
            let mut out = Vec::new();
            super::print(runs, &mut out, false, 80, verbose).expect("a Vec can be written to");
            String::from_utf8(out).expect("the output is UTF-8")
        };
        [print(false), print(true), html(runs), markdown(runs), csv(runs)]
    }

    fn names() -> [String; 2] {
        ["before.json".to_owned(), "after\x1b<b>|.json".to_owned()]
    }

    #[test]
    fn the_summary_fits_a_screen_whatever_differs() {
        let mut after = synthetic::partial(2);
        after.environment.kernel = "Linux ".to_owned() + &"7".repeat(300);
        after.options.site = "a site of many words ".repeat(40);
        for n in 0..30 {
            let mut workload = after.workloads[0].clone();
            workload.name = format!("keep-alive-{n}00");
            after.workloads.push(workload);
        }
        let before = synthetic::results(1);
        for runs in [[&before, &after], [&after, &before], [&before, &before]] {
            let [summary, ..] = reports(&TwoRuns::new(names(), runs));
            assert!(summary.lines().count() <= 25, "{summary}");
            assert!(summary.lines().all(|line| line.chars().count() <= 80), "{summary}");
        }
    }

    #[test]
    fn every_report_says_that_the_rounds_are_not_paired() {
        let (before, after) = (synthetic::results(1), synthetic::results(2));
        let reports = reports(&TwoRuns::new(names(), [&before, &after]));
        for report in &reports[..4] {
            let text = report.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains("Their rounds were not paired"), "{report}");
            assert!(text.contains("The reference loop differs by up to"), "{report}");
        }
        assert!(reports[4].starts_with("load,contender,metric,unit,before,after,unpaired_ratio,"));
        for report in reports {
            assert!(!report.contains('\x1b') && !report.contains("after<b>"), "{report}");
        }
    }

    #[test]
    fn a_run_against_itself_differs_nowhere() {
        let run = synthetic::results(1);
        let runs = TwoRuns::new(names(), [&run, &run]);
        assert!(runs.any_comparable());
        let [summary, verbose, ..] = reports(&runs);
        assert!(summary.contains("less in 0, more in 0,"), "{summary}");
        assert!(
            !verbose.contains("Not the same") && !verbose.contains("Not compared"),
            "{verbose}"
        );
        let invalid = synthetic::invalid(1);
        let nothing = TwoRuns::new(names(), [&run, &invalid]);
        assert!(!nothing.any_comparable());
        assert!(reports(&nothing)[0].contains("No CPU time per request can be compared."));
    }

    #[test]
    fn all_reports_have_the_same_rows() {
        let (before, after) = (synthetic::results(1), synthetic::results(3));
        let runs = TwoRuns::new(names(), [&before, &after]);
        let [_, verbose, html, markdown, csv] = reports(&runs);
        let verbose = verbose.split_whitespace().collect::<Vec<_>>().join(" ");
        let html = html.replace("&lt;", "<").replace('\u{a0}', " ");
        let mut rows = 0;
        for row in tables(&runs.both()).into_iter().flat_map(|(_, rows)| rows) {
            let RowText { contender, metric, before, after, ratio, outcome, .. } = row;
            let line = format!("{contender}, {metric}: {before} → {after}");
            assert!(verbose.contains(&line), "{line}");
            let cells = [&*contender, metric, &before, &after, &ratio, outcome];
            assert!(html.contains(&cells.join("</td><td>")), "{cells:?}");
            let cells = cells.join(" | ").replace('<', "\\<").replace('[', "\\[");
            assert!(markdown.contains(&cells), "{cells:?}");
            rows += 1;
        }
        assert_eq!(csv.lines().count(), rows + 1);
    }
}
