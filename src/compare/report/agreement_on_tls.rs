//! What TLS adds, according to the terminal, HTML, Markdown, CSV and JSON of one run, read back and
//! compared by workload and contender.

#![cfg(test)]

use std::collections::BTreeMap;

use regex::Regex;

use crate::compare::analyse::headline::load;
use crate::compare::analyse::metric::Metric;
use crate::compare::report::{figures, html, json, summary, terminal};
use crate::compare::results::{Cell, Results};
use crate::compare::synthetic;

/// What TLS adds: workload and contender without TLS → `+4.21µs`, `+38%`.
type Added = BTreeMap<(String, String), [String; 2]>;

#[test]
fn every_report_of_a_run_says_the_same_about_tls() {
    let mut unshown = synthetic::with_tls(9);
    let cells = unshown.cells.clone();
    for cell in unshown.cells.iter_mut().filter(|cell| cell.contender == "alpha+tls") {
        let of_plain = |it: &&Cell| it.workload == cell.workload && it.contender == "alpha again";
        cell.rounds = cells.iter().find(of_plain).expect("there is a twin").rounds.clone();
    }
    for results in [synthetic::with_tls(9), unshown] {
        let expected = tls_of_csv(&results);
        assert_eq!(expected.len(), 2 * results.loads().len());
        assert_eq!(tls_of_json(&results), expected, "JSON and CSV");
        let (terminal, markdown) = (tls_of_terminal(&results), tls_of_markdown(&results));
        for (report, found) in [("terminal", terminal), ("HTML", tls_of_html(&results))] {
            assert_eq!(found, expected, "{report} and CSV");
        }
        assert_eq!(markdown.len(), expected.len());
        for (place, added) in &markdown {
            let [us, percent] = expected.get(place).expect("it is in the CSV");
            let shown = format!("{us}({percent})");
            let unshown = format!("nodifferenceshown,{us}");
            assert!(*added == shown || *added == unshown, "{place:?}: {added}");
        }
        let brief = tls_of_summary(&results);
        assert!(!brief.is_empty());
        for (place, us) in brief {
            let expected = micros(&expected.get(&place).expect("it is in the CSV")[0]);
            // Reports have whole nanoseconds.
            let tolerance = 0.01 * expected.abs() + 0.001;
            assert!((micros(&us) - expected).abs() <= tolerance, "{place:?}: {us}");
        }
    }
}

fn signed(us: f64) -> String {
    let sign = if us < 0.0 { "−" } else { "+" };
    (sign.to_owned() + &Metric::CpuPerRequest.format(us.abs())).replace(' ', "")
}

fn percent(ratio: f64) -> String {
    let percent = format!("{:+.0}%", (ratio - 1.0) * 100.0);
    percent.replace("-0%", "+0%").replace('-', "−")
}

/// Of a time as reports format it; without a unit, it has this one.
fn micros(text: &str) -> f64 {
    let text = text.replace('−', "-");
    let units = [("ns", 1e-3), ("µs", 1.0), ("ms", 1e3), ("", 1.0)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = found.expect("every text has an empty suffix");
    number.parse::<f64>().expect("it is a number") * factor
}

fn without_tls(results: &Results, contender: &str) -> String {
    let contender = results.contender(contender).expect("it takes part");
    contender.without_tls.clone().expect("it has TLS")
}

fn tls_of_csv(results: &Results) -> Added {
    let csv = figures::csv(results);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let median = |row: &[&str]| row[4].parse::<f64>().expect("a median is a number");
    let of_metric = |metric: &'static str| rows.iter().filter(move |row| row[2] == metric);
    let both = of_metric(figures::ADDED_BY_TLS).zip(of_metric(figures::RATIO_OF_TLS));
    let added = both.map(|(added, ratio)| {
        assert_eq!(added[..2], ratio[..2]);
        let place = (added[0].to_owned(), without_tls(results, added[1]));
        (place, [signed(median(added)), percent(median(ratio))])
    });
    added.collect()
}

fn tls_of_json(results: &Results) -> Added {
    let mut document = Vec::new();
    json::write(results, &mut document).expect("a Vec can be written to");
    let document: serde_json::Value = serde_json::from_slice(&document).expect("it is JSON");
    let costs = document["derived"]["tls"].as_array().expect("it is an array");
    let added = costs.iter().map(|cost| {
        let string = |name: &str| cost[name].as_str().expect("it is a string").to_owned();
        let median = |name: &str| cost[name]["median"].as_f64().expect("it is a number");
        assert_eq!(string("without_tls"), without_tls(results, &string("contender")));
        let place = (string("workload"), string("without_tls"));
        (place, [signed(median("added_us")), percent(median("ratio"))])
    });
    added.collect()
}

fn named<'a>(results: &'a Results, heading: &str) -> &'a str {
    let workload = results.workloads.iter().find(|workload| load(workload) == heading);
    &workload.expect("it is the name of a load").name
}

fn tls_of_terminal(results: &Results) -> Added {
    let mut out = Vec::new();
    terminal::print_tables(results, &mut out, false).expect("a Vec can be written to");
    let out = String::from_utf8(out).expect("the output is UTF-8");
    let section = out.split("\nWhat TLS adds\n").nth(1).expect("there is a section");
    let section = section.split("\n\n").next().expect("it ends");
    let (mut added, mut workload) = (Added::new(), "");
    for line in section.lines() {
        if let Some(heading) = line.strip_suffix(':') {
            workload = named(results, heading);
        }
        let Some((name, rest)) = line.strip_prefix("  ").and_then(|line| line.split_once(": "))
        else {
            continue;
        };
        let medians = rest.split("], ").filter_map(|part| part.split(" [").next());
        let medians: Vec<String> = medians.take(2).map(|text| text.replace(' ', "")).collect();
        let medians = medians.try_into().expect("an amount and a share");
        added.insert((workload.to_owned(), name.to_owned()), medians);
    }
    added
}

fn tls_of_html(results: &Results) -> Added {
    let page = html::page(results).replace('\u{a0}', " ");
    let table = page.split("<table class=\"added\">").nth(1).expect("there is a table");
    let table = table.split("</table>").next().expect("the table ends");
    let pattern = |pattern: &str| Regex::new(pattern).expect("the pattern is valid");
    let (heading, row) =
        (pattern("<th class[^>]*>([^<]*)</th>"), pattern("row\">([^<]*)</th>(.*)"));
    let names: Vec<&str> =
        heading.captures_iter(table).map(|it| it.get(1).expect("it matches").as_str()).collect();
    let cell = pattern("<td[^>]*>([^<\\[]*)\\[[^<]*<small>([^<\\[]*)");
    let mut added = Added::new();
    for row in row.captures_iter(table) {
        for (name, cell) in names.iter().zip(cell.captures_iter(&row[2])) {
            let place = (named(results, &row[1]).to_owned(), (*name).to_owned());
            added.insert(place, [1, 2].map(|group| cell[group].replace(' ', "")));
        }
    }
    added
}

/// The texts of the cells.
fn tls_of_markdown(results: &Results) -> BTreeMap<(String, String), String> {
    let markdown = figures::markdown(results);
    let section = markdown.split("\n## What TLS adds\n").nth(1).expect("there is a section");
    let section = section.split("\n## ").next().expect("it ends");
    let mut rows = section
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let names = rows.next().expect("the table has a head");
    let mut added = BTreeMap::new();
    for row in rows.skip(1) {
        for (name, value) in names.iter().zip(&row).skip(1) {
            let place = (named(results, row[0]).to_owned(), (*name).to_owned());
            added.insert(place, value.replace(' ', ""));
        }
    }
    added
}

/// The amounts, without units. The columns have the width of those above.
fn tls_of_summary(results: &Results) -> BTreeMap<(String, String), String> {
    let mut out = Vec::new();
    summary::print_summary(results, &mut out, false, 120).expect("a Vec can be written to");
    let out = String::from_utf8(out).expect("the output is UTF-8");
    let table = out.split("µs: What TLS adds").nth(1).expect("there is a table");
    let mut lines = table.split("\n\n").next().expect("the table ends").lines();
    let names: Vec<&str> = lines.next().expect("it has a head").split_whitespace().collect();
    let with_tls = names.iter().filter(|name| results.contender(&format!("{name}+tls")).is_some());
    let with_tls: Vec<&&str> = with_tls.collect();
    let mut added = BTreeMap::new();
    for line in lines {
        let at = line.find(['+', '−']).expect("a row has amounts");
        let workload = named(results, line[..at].trim());
        let amounts = line[at..].split_whitespace().filter(|text| *text != "?");
        for (name, amount) in with_tls.iter().zip(amounts) {
            added.insert((workload.to_owned(), (**name).to_string()), amount.to_owned());
        }
    }
    added
}
