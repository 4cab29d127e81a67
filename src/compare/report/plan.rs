//! What a comparison is going to do, told before it begins: so that it can be done again, and nobody has to guess
//! how long to wait.

use std::time::Duration;

use crate::compare::report::terminal::{WIDTH, wrapped};
use crate::compare::results::{Results, Turn};
use crate::format::counted;

/// Lines of at most 80 columns, each with its end.
pub fn plan(results: &Results, expected: Duration) -> String {
    let (environment, options) = (&results.environment, &results.options);
    let cores = match (environment.server_core, environment.client_core) {
        (Some(server), Some(client)) => {
            format!("the server on core {server}, the load on core {client}")
        }
        _ => "server and load not kept apart".to_owned(),
    };
    let mut paragraphs = vec![
        format!(
            "{} of {} ms in {}, {} s in all; {cores}.",
            counted(results.order.len(), "window"),
            options.window_ms,
            counted(options.rounds, "round"),
            expected.as_secs().max(1)
        ),
        format!("Site: {}", options.site),
    ];
    paragraphs.extend(environment.remarks.iter().cloned());
    let arms = results.arms.iter().enumerate().map(|(n, arm)| format!("{} {}", n + 1, arm.name));
    paragraphs.push(format!(
        "Seed {}. Arms: {}. In this order:",
        options.seed,
        arms.collect::<Vec<_>>().join(", ")
    ));
    let rounds = results.order.chunk_by(|a, b| a.round == b.round);
    paragraphs.extend(
        rounds.map(|turns| format!("{}: {}", turns[0].round + 1, order_words(results, turns))),
    );
    let lines = paragraphs.iter().flat_map(|paragraph| wrapped(paragraph, 0, WIDTH));
    lines.map(|line| line + "\n").collect()
}

/// `keep-alive-64 3 1 2, large-file 1 2 3`: workloads, and the numbers of the arms that take their turns.
fn order_words(results: &Results, turns: &[Turn]) -> String {
    let number =
        |name: &str| results.arms.iter().position(|arm| arm.name == name).map_or(0, |at| at + 1);
    let workloads = turns.chunk_by(|a, b| a.workload == b.workload).map(|turns| {
        let arms: Vec<String> = turns.iter().map(|turn| number(&turn.arm).to_string()).collect();
        format!("{} {}", turns[0].workload, arms.join(" "))
    });
    workloads.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn the_seed_and_every_turn_are_told() {
        let results = synthetic::results(42);
        let text = plan(&results, Duration::from_secs(55));
        assert!(
            text.contains("Seed 42. Arms: 1 mio, 2 poll-list, ") && text.contains(", 55 s in all"),
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
