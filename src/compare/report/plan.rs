//! The plan of a comparison: order, seed and expected duration, printed before it starts.
//!
//! With it, a run can be repeated, and the user knows how long to wait.

use std::time::Duration;

use crate::compare::report::text::{WIDTH, wrapped};
use crate::compare::results::{Measurement, Results};
use crate::format::counted;

/// The plan in lines of at most 80 columns; with the order of the measurements if it is `verbose`.
pub fn plan(results: &Results, expected: Duration, verbose: bool) -> String {
    let (environment, options) = (&results.environment, &results.options);
    let cores = match (environment.server_core, environment.client_core) {
        (Some(server), Some(client)) => {
            format!("the server on core {server}, the load on core {client}")
        }
        _ => "server and load not pinned".to_owned(),
    };
    let mut paragraphs = vec![
        format!(
            "{} of {} ms in {}, {} s in total; {cores}.",
            counted(results.order.len(), "window"),
            options.window_ms,
            counted(options.rounds, "round"),
            expected.as_secs().max(1)
        ),
        format!("Site: {}", options.site),
    ];
    paragraphs.extend(environment.remarks.iter().cloned());
    if !verbose {
        paragraphs.push(format!("Seed {}. Ctrl-C reports the results so far.", options.seed));
        return lines_of(&paragraphs);
    }
    let contenders = results
        .contenders
        .iter()
        .enumerate()
        .map(|(n, contender)| format!("{} {}", n + 1, contender.name));
    paragraphs.push(format!(
        "Seed {}. Contenders: {}. Order:",
        options.seed,
        contenders.collect::<Vec<_>>().join(", ")
    ));
    let rounds = results.order.chunk_by(|a, b| a.round == b.round);
    paragraphs.extend(rounds.map(|measurements| {
        format!("{}: {}", measurements[0].round + 1, describe_order(results, measurements))
    }));
    lines_of(&paragraphs)
}

fn lines_of(paragraphs: &[String]) -> String {
    let lines = paragraphs.iter().flat_map(|paragraph| wrapped(paragraph, 0, WIDTH));
    lines.map(|line| line + "\n").collect()
}

/// For each workload the numbers of the contenders in order, such as `keep-alive-64 3 1 2,
/// large-file 1 2 3`.
fn describe_order(results: &Results, measurements: &[Measurement]) -> String {
    let number = |name: &str| {
        results
            .contenders
            .iter()
            .position(|contender| contender.name == name)
            .map_or(0, |at| at + 1)
    };
    let workloads = measurements.chunk_by(|a, b| a.workload == b.workload).map(|measurements| {
        let contenders: Vec<String> = measurements
            .iter()
            .map(|measurement| number(&measurement.contender).to_string())
            .collect();
        format!("{} {}", measurements[0].workload, contenders.join(" "))
    });
    workloads.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn the_plan_has_the_seed_and_every_measurement() {
        let results = synthetic::results(42);
        let text = plan(&results, Duration::from_secs(55), true);
        assert!(
            text.contains("Seed 42. Contenders: 1 alpha, 2 beta, ")
                && text.contains(", 55 s in total"),
            "{text}"
        );
        let unwrapped = text.replace("\n  ", " ");
        let rounds =
            unwrapped.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
        assert_eq!(rounds.count(), 1 + results.options.rounds as usize, "{text}");
        assert!(
            unwrapped.contains("\n1: keep-alive-1 1 2 3 4 5 6 7 8, keep-alive-8 1 2"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }
}
