//! Synthetic timelines for the tests of analysis and reports: a loop that sleeps, a loop that
//! polls, threads, and a thread that is stuck.

#![cfg(test)]

use crate::compare::timeline::{
    ClientKind, StepKind, Timeline, TimelineClient, TimelineRequest, TimelineStep,
};

const QUICK: Option<usize> = Some(0);
const SLOW: Option<usize> = Some(1);
const STUCK: Option<usize> = Some(2);
const DURATION_US: u64 = 1_000_000;

/// One for each of the first four synthetic contenders.
pub fn all() -> Vec<Timeline> {
    vec![sleeping("alpha"), polling("beta"), threads("gamma"), stuck("delta")]
}

/// An event loop that wakes for each request, 18 times, and twice for the slow client.
pub fn sleeping(contender: &str) -> Timeline {
    let mut steps = vec![
        step(0, 0, None, StepKind::WaitsForReadiness),
        step(200, 0, STUCK, StepKind::Accepted),
        step(210, 0, STUCK, StepKind::Recv),
        step(300, 0, None, StepKind::WaitsForReadiness),
    ];
    for number in 0..18 {
        let at_us = 100_000 + number * 50_000;
        let woken = step(at_us, 0, None, StepKind::Woken);
        steps.push(TimelineStep { duration_us: 49_700, amount: 1, ..woken });
        if number % 9 == 0 {
            steps.push(step(at_us + 20, 0, SLOW, StepKind::Sendfile));
            steps.push(step(at_us + 30, 0, SLOW, StepKind::SendWouldBlock));
        }
        steps.push(step(at_us + 100, 0, QUICK, StepKind::Recv));
        steps.push(step(at_us + 250, 0, QUICK, StepKind::Send));
        steps.push(step(at_us + 300, 0, None, StepKind::WaitsForReadiness));
    }
    timeline(contender, &["worker 0"], steps, answered())
}

/// An event loop that reports each 50 ms how often it has polled.
pub fn polling(contender: &str) -> Timeline {
    let mut steps = vec![step(100, 0, STUCK, StepKind::Accepted)];
    for number in 0..18 {
        let at_us = 100_000 + number * 50_000;
        let polled = step(at_us, 0, None, StepKind::Polled);
        steps.push(TimelineStep { duration_us: 49_800, amount: 10_000, ..polled });
        steps.push(step(at_us, 0, QUICK, StepKind::Recv));
        steps.push(step(at_us + 200, 0, QUICK, StepKind::Send));
    }
    timeline(contender, &["loop"], steps, answered())
}

/// A thread for each client; that of the slow one sleeps in send.
pub fn threads(contender: &str) -> Timeline {
    let mut steps = Vec::new();
    for (worker, client, at_us) in [(1, STUCK, 0), (2, SLOW, 50_000), (3, QUICK, 100_000)] {
        steps.push(step(at_us, 0, client, StepKind::Accepted));
        steps.push(step(at_us + 50, 0, client, StepKind::Started));
        steps.push(step(at_us + 60, 0, None, StepKind::WaitsInAccept));
        steps.push(step(at_us + 100, worker, client, StepKind::WaitsInRecv));
    }
    steps.push(step(50_200, 2, SLOW, StepKind::Recv));
    steps.push(step(50_300, 2, SLOW, StepKind::WaitsInSend));
    for number in 0..18 {
        let at_us = 100_000 + number * 50_000;
        steps.push(step(at_us + 150, 3, QUICK, StepKind::Recv));
        steps.push(step(at_us + 250, 3, QUICK, StepKind::WaitsInSend));
        steps.push(step(at_us + 270, 3, QUICK, StepKind::Send));
        steps.push(step(at_us + 280, 3, QUICK, StepKind::WaitsInRecv));
    }
    steps.sort_by_key(|step| step.at_us);
    timeline(contender, &["acceptor", "thread", "thread", "thread"], steps, answered())
}

/// A single thread that waits for the stuck client.
pub fn stuck(contender: &str) -> Timeline {
    let steps = vec![
        step(0, 0, None, StepKind::WaitsInAccept),
        step(100, 0, STUCK, StepKind::Accepted),
        step(110, 0, STUCK, StepKind::Recv),
        step(120, 0, STUCK, StepKind::WaitsInRecv),
    ];
    let request = TimelineRequest { sent_us: 100_000, responded_us: None };
    timeline(contender, &["iterative 0"], steps, vec![request])
}

fn answered() -> Vec<TimelineRequest> {
    let request = |number| {
        let sent_us = 99_900 + number * 50_000;
        TimelineRequest { sent_us, responded_us: Some(sent_us + 400 + number) }
    };
    (0..18).map(request).collect()
}

fn timeline(
    contender: &str,
    workers: &[&str],
    steps: Vec<TimelineStep>,
    quick: Vec<TimelineRequest>,
) -> Timeline {
    let client = |kind, connected_us, requests| TimelineClient {
        kind,
        connected_us,
        requests,
        received_bytes: 1000,
    };
    let slow = TimelineRequest { sent_us: 50_000, responded_us: None };
    Timeline {
        contender: contender.to_owned(),
        duration_us: DURATION_US,
        clients: vec![
            client(ClientKind::Quick, 99_800, quick),
            client(ClientKind::Slow, 50_000, vec![slow]),
            client(ClientKind::Stuck, 0, Vec::new()),
        ],
        workers: workers.iter().map(ToString::to_string).collect(),
        steps,
        dropped: 0,
    }
}

fn step(at_us: u64, worker: usize, client: Option<usize>, kind: StepKind) -> TimelineStep {
    TimelineStep { at_us, worker, client, kind, amount: 50, duration_us: 0 }
}
