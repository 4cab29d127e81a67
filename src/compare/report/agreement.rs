//! Every number of the terminal's tables, HTML, Markdown, CSV and JSON of one run, read back and
//! compared by workload, contender and metric. `agreement_on_tls.rs` does
//! the same with what TLS adds.

#![cfg(test)]

use std::collections::BTreeMap;

use regex::Regex;

use crate::compare::analyse::axis::{Line, lines};
use crate::compare::analyse::headline::load;
use crate::compare::analyse::metric::Metric;
use crate::compare::report::words::TLS_TITLE;
use crate::compare::report::{figures, html, json, terminal};
use crate::compare::results::{Results, WorkloadKind};
use crate::compare::synthetic;

/// Workload, contender, title of the metric.
type Place = (String, String, String);
/// The text of each median: `12.3 µs`, without spaces.
type Medians = BTreeMap<Place, String>;

#[test]
fn every_report_of_a_run_has_the_same_numbers() {
    let mut limited = synthetic::results(9);
    for cell in limited.cells.iter_mut().filter(|cell| cell.contender == "alpha") {
        cell.rounds.iter_mut().for_each(|round| round.client_cpu_share = 0.99);
    }
    let mut noisy = synthetic::results(9);
    noisy.cells[0].rounds[1].noise.steal_share = Some(0.3);
    noisy.cells[9].rounds[4].noise.steal_share = Some(0.3);
    // Fewer loads, for a shorter test.
    for results in [&mut limited, &mut noisy] {
        results.workloads.truncate(3);
        let kept: Vec<String> = results.workloads.iter().map(|it| it.name.clone()).collect();
        results.cells.retain(|cell| kept.contains(&cell.workload));
    }
    let mut tls = synthetic::with_tls(9);
    tls.workloads.retain(|it| it.kind == WorkloadKind::ConnectionPerRequest);
    tls.cells.retain(|cell| cell.workload.starts_with("churn"));
    let usual = [synthetic::results(9), synthetic::partial(9), synthetic::invalid(9), tls];
    for results in usual.into_iter().chain([limited, noisy]) {
        let expected = of_csv(&results);
        let json = of_json(&results);
        assert_eq!(json, expected, "JSON and CSV");
        for (report, found, least) in [
            ("terminal", of_terminal(&results), 3),
            ("HTML", of_html(&results), 3),
            ("Markdown", of_markdown(&results), 4),
        ] {
            assert!(found.len() * least >= expected.len(), "{report}: {} numbers", found.len());
            for (place, text) in &found {
                assert_eq!(Some(text), expected.get(place), "{place:?} in the {report}");
            }
        }
    }
}

fn metric_titled(title: &str) -> Metric {
    let of_title = Metric::ALL.into_iter().find(|metric| metric.title() == title);
    of_title.unwrap_or_else(|| panic!("no metric is called '{title}'"))
}

fn text(metric: Metric, median: f64, is_lower_bound: bool) -> String {
    let mark = if is_lower_bound { "≥" } else { "" };
    mark.to_owned() + &metric.format(median).replace(' ', "")
}

fn place(workload: &str, contender: &str, metric: &str) -> Place {
    (workload.to_owned(), contender.to_owned(), metric.to_owned())
}

fn of_csv(results: &Results) -> Medians {
    let csv = figures::csv(results);
    let rows = csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let of_tls = [figures::ADDED_BY_TLS, figures::RATIO_OF_TLS];
    let medians = rows.filter(|row| !of_tls.contains(&row[2])).map(|row| {
        let metric = metric_titled(row[2]);
        let median = row[4].parse().expect("a median is a number");
        (place(row[0], row[1], row[2]), text(metric, median, row[10] == "true"))
    });
    medians.collect()
}

fn of_json(results: &Results) -> Medians {
    let mut document = Vec::new();
    json::write(results, &mut document).expect("a Vec can be written to");
    let document: serde_json::Value = serde_json::from_slice(&document).expect("it is JSON");
    let string = |value: &serde_json::Value| value.as_str().expect("it is a string").to_owned();
    let mut medians = Medians::new();
    for cell in document["derived"]["cells"].as_array().expect("it is an array") {
        for figure in cell["figures"].as_array().expect("it is an array") {
            let title = string(&figure["metric"]);
            let median = figure["median"].as_f64().expect("a median is a number");
            let is_lower_bound = figure["is_lower_bound"] == true;
            let text = text(metric_titled(&title), median, is_lower_bound);
            medians.insert((string(&cell["workload"]), string(&cell["contender"]), title), text);
        }
    }
    medians
}

/// The columns of each table have fixed widths.
fn of_terminal(results: &Results) -> Medians {
    let mut out = Vec::new();
    terminal::print_tables(results, &mut out, false).expect("a Vec can be written to");
    let out = String::from_utf8(out).expect("the output is UTF-8");
    let mut medians = Medians::new();
    let mut titles = results.workloads.iter();
    let mut workload = None;
    for line in out.lines() {
        if line.trim_start().starts_with("req/s") {
            workload = titles.next();
        }
        let name: String = line.chars().take(terminal::NAME_WIDTH).collect();
        let contender = results.contenders.iter().find(|c| c.name == name.trim_end());
        let (Some(workload), Some(contender)) = (workload, contender) else { continue };
        let mut chars = line.chars().skip(terminal::NAME_WIDTH);
        for (_, width, metric) in terminal::COLUMNS {
            let text: String = chars.by_ref().take(width).collect();
            if !matches!(text.trim(), "-" | "") {
                let place = place(&workload.name, &contender.name, metric.title());
                medians.insert(place, text.trim().to_owned());
            }
        }
    }
    medians
}

/// The tables under "Every figure", and the one on the first screen.
fn of_html(results: &Results) -> Medians {
    let page = html::page(results).replace('\u{a0}', " ");
    let unescaped = |text: &str| text.replace("&lt;", "<").replace(' ', "");
    let pattern = |pattern: &str| Regex::new(pattern).expect("the pattern is valid");
    let (heading, cell) = (pattern("<th>([^<]*)</th>"), pattern("<td[^>]*>([^<]*)"));
    let row = pattern("<th scope=\"row\">([^<]*)</th>(.*)");
    let mut medians = Medians::new();
    for table in page.split("<details class=\"load\">").skip(1) {
        let name = table.split("<code>").nth(1).expect("the heading has the name");
        let name = name.split('<').next().expect("the name ends");
        let table = table.split("</table>").next().expect("the table ends");
        let titles: Vec<&str> = heading
            .captures_iter(table)
            .map(|found| found.get(1).expect("the group matches").as_str())
            .filter(|title| !title.is_empty())
            .collect();
        for found in row.captures_iter(table) {
            for (title, value) in titles.iter().zip(cell.captures_iter(&found[2])) {
                if &value[1] != "–" {
                    medians.insert(place(name, &found[1], title), unescaped(&value[1]));
                }
            }
        }
    }
    let answer = page.split("<table class=\"costs\">").nth(1).expect("there is an answer");
    let answer = answer.split("</table>").next().expect("the table ends");
    let names = pattern("<th class=\"[^\"]*\">([^<]*)</th>");
    let names: Vec<String> = names.captures_iter(answer).map(|found| found[1].to_owned()).collect();
    for found in row.captures_iter(answer) {
        let workload = results.workloads.iter().find(|workload| load(workload) == found[1]);
        let workload = workload.expect("the row is a load");
        for (name, value) in names.iter().zip(cell.captures_iter(&found[2])) {
            let place = place(&workload.name, name, Metric::CpuPerRequest.title());
            if &value[1] != "–" {
                let known = medians.insert(place.clone(), value[1].replace(' ', ""));
                assert!(known.is_none() || known.as_ref() == medians.get(&place), "{place:?}");
            }
        }
    }
    medians
}

fn of_markdown(results: &Results) -> Medians {
    let (markdown, lines) = (figures::markdown(results), lines(results));
    let mut medians = Medians::new();
    for section in markdown.split("\n## ").skip(1) {
        let (heading, table) = section.split_once('\n').expect("a table follows the heading");
        if heading == TLS_TITLE {
            continue;
        }
        let mut rows = table
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
        let titles = rows.next().expect("the table has a head");
        let workload = results.loads().into_iter().find(|workload| load(workload) == heading);
        let sweep = lines.iter().find(|line| heading.ends_with(&line.axis.title()));
        for row in rows.skip(1) {
            for (title, value) in titles.iter().zip(&row).skip(1) {
                let place = match (workload, sweep) {
                    (Some(workload), _) => place(&workload.name, row[0], title),
                    (None, Some(Line { axis, points })) => {
                        let point = points.iter().find(|point| axis.describe(point) == row[0]);
                        let point = point.expect("the row is a point");
                        place(&point.name, title, axis.metric().title())
                    }
                    (None, None) => panic!("'{heading}' is neither a load nor a sweep"),
                };
                if *value != "–" {
                    medians.insert(place, value.replace(['*', ' '], ""));
                }
            }
        }
    }
    medians
}
