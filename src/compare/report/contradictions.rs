//! Results that contradict what a report could be tempted to say: each test feeds in data under
//! which a sentence would be false, and expects no report to print it.

#![cfg(test)]

use crate::compare::analyse::checks;
use crate::compare::analyse::headline::headline;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::leads;
use crate::compare::analyse::verdict::{Verdict, sentence, verdict};
use crate::compare::report::{figures, html, json, summary, terminal};
use crate::compare::results::{Cell, Results, Round};
use crate::compare::synthetic;

/// Only the workloads that the tests need: all reports of all would take long without optimisation.
fn few(mut results: Results) -> Results {
    let kept = ["keep-alive-1", "keep-alive-64", "keep-alive-64-open", "pipelined", "churn"];
    let is_kept =
        |name: &str| kept.contains(&name) || ["idle-504", "churn-resumed"].contains(&name);
    results.workloads.retain(|workload| is_kept(&workload.name));
    results.cells.retain(|cell| is_kept(&cell.workload));
    results.order.retain(|measurement| is_kept(&measurement.workload));
    results
}

/// The text of every report, by name. Line breaks of the terminal are undone.
fn reports(results: &Results) -> Vec<(&'static str, String)> {
    let utf_8 = |bytes: Vec<u8>| String::from_utf8(bytes).expect("reports are UTF-8");
    let (mut short, mut tables, mut document) = (Vec::new(), Vec::new(), Vec::new());
    summary::print_summary(results, &mut short, false, 120).expect("a Vec can be written to");
    terminal::print_tables(results, &mut tables, false).expect("a Vec can be written to");
    json::write(results, &mut document).expect("a Vec can be written to");
    let [short, tables] =
        [short, tables].map(|text| utf_8(text).split_whitespace().collect::<Vec<_>>().join(" "));
    vec![
        ("summary", short),
        ("tables", tables),
        ("HTML", html::page(results)),
        ("Markdown", figures::markdown(results)),
        ("CSV", figures::csv(results)),
        ("JSON", utf_8(document)),
    ]
}

#[track_caller]
fn expect_nowhere(results: &Results, phrases: &[&str]) {
    for (report, text) in reports(results) {
        let text = text.to_lowercase();
        for phrase in phrases {
            assert!(!text.contains(phrase), "the {report} says '{phrase}'");
        }
    }
}

/// Changes every round of `contender` under `workload`, or under all workloads.
fn modify(
    results: &mut Results,
    contender: &str,
    workload: Option<&str>,
    mut change: impl FnMut(&mut Round),
) {
    let cells = results.cells.iter_mut().filter(|cell| {
        cell.contender == contender && workload.is_none_or(|name| cell.workload == name)
    });
    cells.flat_map(|cell| &mut cell.rounds).for_each(&mut change);
}

fn sentence_on(results: &Results, workload: &str, metrics: &[Metric], pair: [&str; 2]) -> String {
    let workload = results.workload(workload).expect("synthetic results contain it");
    let [a, b] = pair.map(|name| results.contender(name).expect("synthetic results contain it"));
    sentence(results, workload, metrics, a, b)
}

#[test]
fn a_beaten_reference_loop_is_called_no_bound() {
    let mut results = few(synthetic::results(8));
    modify(&mut results, "reference", None, |round| {
        round.requests /= 3;
        round.in_flight_average /= 3.0;
    });
    let phrases = ["floor", "no server", "lower limit", "upper limit", "at best", "ceiling"];
    expect_nowhere(&results, &phrases);
    expect_nowhere(&results, &["as fast as possible", "cheapest possible", "cannot be beaten"]);
}

#[test]
fn idle_shares_are_stated_side_by_side() {
    let mut results = few(synthetic::results(8));
    modify(&mut results, "beta", None, |round| round.idle_cpu_share = Some(0.962));
    modify(&mut results, "alpha", None, |round| round.idle_cpu_share = Some(0.000_01));
    let text = sentence_on(&results, "idle-504", &[Metric::IdleCpu], ["beta", "alpha"]);
    assert_eq!(text, "beta uses 96.2 % of a core while idle, against alpha's < 0.1 %");
    let ratios = ["962 times", "of its cpu while idle", "times alpha's cpu while idle"];
    expect_nowhere(&results, &ratios);
}

#[test]
fn two_servers_that_sleep_are_neither_a_ratio_nor_a_win() {
    let mut results = few(synthetic::results(8));
    let names: Vec<String> = results.contenders.iter().map(|c| c.name.clone()).collect();
    for name in &names {
        modify(&mut results, name, None, |round| round.idle_cpu_share = Some(0.0));
    }
    let workload = results.workload("idle-504").expect("synthetic results contain it");
    let [a, b] = ["alpha", "gamma"].map(|name| results.contender(name).expect("it is a contender"));
    let judged = verdict(&results, workload, Metric::IdleCpu, a, b);
    assert!(matches!(judged, Verdict::NoDifferenceShown(..)), "{judged:?}");
    let text = sentence_on(&results, "idle-504", &[Metric::IdleCpu], ["alpha", "gamma"]);
    assert_eq!(
        text,
        "alpha and gamma: no difference shown in CPU while idle, < 0.1 % against < 0.1 %"
    );
    let leads = leads(&results);
    let mut of_idle = leads.iter().filter(|lead| lead.metric == Metric::IdleCpu);
    assert!(of_idle.all(|lead| !lead.is_shown()));
    expect_nowhere(&results, &["least cpu while idle", "nan", "inf "]);
}

#[test]
fn a_rate_that_the_client_limited_is_at_least_that() {
    let mut results = few(synthetic::results(8));
    modify(&mut results, "alpha", Some("pipelined"), |round| {
        round.client_cpu_share = 0.99;
        round.requests *= 4;
        round.in_flight_average *= 4.0;
    });
    let metrics = [Metric::Throughput];
    let text = sentence_on(&results, "pipelined", &metrics, ["alpha", "gamma"]);
    assert!(text.starts_with("alpha serves at least "), "{text}");
    assert!(text.ends_with(" requests per second, as the client was the limit"), "{text}");
    let shown = Metric::Throughput.format(
        crate::compare::analyse::statistics::figure(
            &results,
            results.workload("pipelined").expect("synthetic results contain it"),
            results.contender("alpha").expect("synthetic results contain it"),
            Metric::Throughput,
        )
        .expect("it was measured"),
    );
    for (report, text) in reports(&results) {
        let is_marked = text.contains(&format!("≥ {shown}")) || text.contains(&format!("≥{shown}"));
        match report {
            "tables" | "HTML" | "Markdown" => assert!(is_marked, "{report}: {shown}"),
            "CSV" => assert!(text.contains(",false,true\r\n"), "{text}"),
            "JSON" => assert!(text.contains("\"is_lower_bound\":true"), "{text}"),
            _ => {}
        }
    }
    expect_nowhere(&results, &["rate and latency not ranked"]);
}

/// Intervals of ratios come from a signed-rank test.
#[test]
fn the_sign_test_is_not_mentioned() {
    for results in
        [few(synthetic::results(8)), few(synthetic::partial(8)), few(synthetic::invalid(8))]
    {
        expect_nowhere(&results, &["sign test"]);
    }
}

#[test]
fn the_confidence_level_is_that_of_the_rounds() {
    let mut results = few(synthetic::results(8));
    results.cells.iter_mut().for_each(|cell| cell.rounds.truncate(5));
    let page = html::page(&results);
    assert!(page.contains("with at least 93.7 % confidence"), "{page}");
    expect_nowhere(&results, &["99 %"]);
}

#[test]
fn the_rounds_are_those_that_were_measured() {
    let results = few(synthetic::partial(8));
    expect_nowhere(&results, &["in 6 rounds", ", 6 rounds of each", "; 6 rounds,"]);
    assert!(figures::markdown(&results).contains("; 2 to 6 rounds, seed "));
}

#[test]
fn rounds_that_do_not_count_are_counted() {
    let mut results = few(synthetic::results(8));
    let name = results.workloads[0].name.clone();
    modify(&mut results, "gamma", Some(&name), |round| {
        if round.number < 2 {
            round.noise.steal_share = Some(0.3);
        }
    });
    let measured = results.workloads.len() * results.options.rounds as usize;
    let expected = format!(
        "2 of {measured} rounds left out, for all contenders alike, because a measurement lost over \
         10 % to steal"
    );
    let reports = reports(&results);
    for (report, text) in &reports[..4] {
        assert!(text.contains(&expected), "{report}");
    }
    let json = &reports[5].1;
    assert!(json.contains(&format!("{{\"workload\":\"{name}\",\"rounds\":[0,1]}}")));
    assert!(json::read(json.as_bytes()).expect("it was just written") == results, "all are kept");
}

/// An A/A comparison that fails its checks neither differs nor agrees.
#[test]
fn loads_without_an_a_a_comparison_are_not_counted() {
    let mut results = few(synthetic::results(8));
    let workloads: Vec<String> = results.workloads.iter().map(|w| w.name.clone()).collect();
    for name in &workloads[1..] {
        modify(&mut results, "alpha again", Some(name), |round| {
            round.noise.steal_share = Some(0.06);
        });
    }
    let (_, text) = reports(&results).swap_remove(0);
    assert!(text.contains("The same strategy twice (A/A) differs in 0 of 1 load."), "{text}");
}

#[test]
fn a_row_without_a_leader_has_its_own_reason() {
    let mut results = few(synthetic::results(8));
    for name in ["beta", "gamma", "delta", "epsilon", "nginx"] {
        modify(&mut results, name, Some("churn"), |round| round.noise.steal_share = Some(0.06));
    }
    let (_, text) = reports(&results).swap_remove(0);
    assert!(text.contains("fewer than two are ranked"), "{text}");
    let names: Vec<String> = results.contenders.iter().map(|c| c.name.clone()).collect();
    for name in names {
        modify(&mut results, &name, None, |round| {
            round.cpu = None;
        });
    }
    let (_, text) = reports(&results).swap_remove(0);
    assert!(!text.contains("no difference is shown"), "{text}");
    assert!(!headline(&results)[0].contains("in 0 of"), "{text}");
}

#[test]
fn a_figure_that_is_missing_is_called_not_measured() {
    let mut results = few(synthetic::results(8));
    let text = |results: &Results| reports(results).swap_remove(0).1;
    assert!(!text(&results).contains("–: not measured."));
    modify(&mut results, "nginx", None, |round| round.cpu = None);
    assert!(text(&results).contains("–: not measured."));
}

#[test]
fn a_contender_that_is_ranked_nowhere_is_not_said_to_be_beaten() {
    let mut results = few(synthetic::results(8));
    modify(&mut results, "delta", None, |round| round.noise.steal_share = Some(0.06));
    let reports = reports(&results);
    assert!(reports[1].1.contains("delta: not ranked anywhere"), "{}", reports[1].1);
    assert!(reports[2].1.contains("<p>not ranked anywhere</p>"));
}

/// The same program with TLS as without it.
fn without_difference_by_tls() -> Results {
    let mut results = few(synthetic::with_tls(8));
    let twins: Vec<Cell> =
        results.cells.iter().filter(|it| it.contender == "alpha again").cloned().collect();
    for cell in results.cells.iter_mut().filter(|cell| cell.contender == "alpha+tls") {
        let twin = twins.iter().find(|twin| twin.workload == cell.workload);
        cell.rounds = twin.expect("the twin was measured").rounds.clone();
    }
    results
}

#[test]
fn tls_is_not_said_to_add_what_is_not_shown() {
    let results = without_difference_by_tls();
    expect_nowhere(&results, &["alpha: tls adds"]);
    for (report, text) in reports(&results) {
        let handshakes = text.split("alpha: ").skip(1).map(|rest| rest.split(".").next());
        assert!(handshakes.flatten().all(|it| !it.contains("handshake costs")), "{report}");
        match report {
            "summary" => assert!(text.contains("?: no difference is shown."), "{text}"),
            "tables" | "HTML" | "Markdown" => {
                assert!(text.contains("alpha: no difference shown with "), "{report}: {text}");
            }
            "JSON" => assert!(text.contains("\"is_shown\":false"), "{text}"),
            _ => {}
        }
    }
}

/// Without TLS there are no sessions to resume.
#[test]
fn a_contender_without_tls_leads_no_load_that_resumes_sessions() {
    let results = few(synthetic::with_tls(8));
    let loads = results.workloads.len();
    let sentences = headline(&results);
    assert!(sentences[0].contains(&format!(" of {} loads", loads - 1)), "{sentences:?}");
    assert!(sentences.iter().all(|it| !it.contains("resumed TLS sessions")), "{sentences:?}");
}

/// A strategy that costs less with TLS, as far as the run can tell.
#[test]
fn tls_that_costs_less_adds_a_negative_amount() {
    let mut results = few(synthetic::with_tls(8));
    modify(&mut results, "alpha+tls", Some("keep-alive-1"), |round| {
        round.cpu.iter_mut().for_each(|cpu| {
            (cpu.user_us, cpu.system_us) = (cpu.user_us / 4, cpu.system_us / 4);
        });
    });
    for (report, text) in reports(&results) {
        match report {
            "tables" | "HTML" | "Markdown" => {
                assert!(text.contains("alpha: TLS adds −"), "{report}: {text}");
            }
            _ => {}
        }
    }
}

#[test]
fn without_both_of_a_pair_nothing_is_said_about_what_tls_adds() {
    let tls_alone = |results: &mut Results, names: &[&str]| {
        results.contenders.retain(|it| !names.contains(&&*it.name));
    };
    let mut results = few(synthetic::with_tls(8));
    tls_alone(&mut results, &["alpha", "alpha again", "gamma"]);
    let mut failed = few(synthetic::with_tls(8));
    for name in ["alpha+tls", "gamma+tls"] {
        modify(&mut failed, name, None, |round| round.noise.steal_share = Some(0.06));
    }
    for results in [results, failed, few(synthetic::results(8))] {
        expect_nowhere(&results, &["what tls adds", "tls adds", "handshake costs"]);
    }
}

/// It has no TLS, and so its client has less to do than that of a strategy with TLS.
#[test]
fn a_client_that_keeps_up_without_tls_may_be_the_limit_with_it() {
    let mut results = few(synthetic::with_tls(8));
    modify(&mut results, "alpha+tls", Some("keep-alive-64-open"), |round| {
        round.client_cpu_share = 0.99;
    });
    let workload = results.workload("keep-alive-64-open").expect("synthetic results contain it");
    let is_valid = |name: &str| {
        let cell = results.cell(&workload.name, name);
        checks::is_valid(&results, workload, cell, Metric::LatencyP99)
    };
    assert!(is_valid("alpha") && is_valid("gamma+tls") && !is_valid("alpha+tls"));
    for (report, text) in reports(&results) {
        if matches!(report, "summary" | "tables" | "HTML" | "Markdown") {
            assert!(text.contains("reference has no TLS."), "{report}");
        }
    }
}

#[test]
fn without_neighbours_no_change_of_the_lead_is_denied() {
    let mut results = few(synthetic::results(8));
    results.workloads.truncate(1);
    expect_nowhere(&results, &["nowhere between the measured workloads"]);
}
