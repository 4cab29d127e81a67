//! What a timeline shows: the states of its workers, and a few sentences.

use std::fmt::Write;

use crate::compare::analyse::metric;
use crate::compare::timeline::{
    ClientKind, StepKind, Timeline, TimelineClient, TimelineRequest, TimelineStep,
};
use crate::format::counted;

/// A worker that had to do with one of the clients.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerLane {
    /// Its name, and its client if it has only one.
    pub label: String,
    /// In order, without overlaps. Gaps are before it was started and after it has ended.
    pub spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from_us: u64,
    pub to_us: u64,
    pub state: WorkerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Asleep {
        call: SleepCall,
        /// An index into the clients.
        client: Option<usize>,
    },
    Working,
    Polling {
        passes: u64,
    },
}

/// Where a worker sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SleepCall {
    Accept,
    Recv,
    Send,
    /// poll, epoll_wait or the like.
    Readiness,
}

/// A call that returns sooner has not slept: there was something to read, or space to write.
const SLEEP_MIN_US: u64 = 50;

impl Span {
    pub fn length_us(&self) -> u64 {
        self.to_us.saturating_sub(self.from_us)
    }
}

impl SleepCall {
    fn of(kind: StepKind) -> Option<SleepCall> {
        Some(match kind {
            StepKind::WaitsInAccept => SleepCall::Accept,
            StepKind::WaitsInRecv => SleepCall::Recv,
            StepKind::WaitsInSend => SleepCall::Send,
            StepKind::WaitsForReadiness => SleepCall::Readiness,
            _ => return None,
        })
    }

    /// Such as "in recv".
    pub fn phrase(self) -> &'static str {
        match self {
            SleepCall::Accept => "in accept",
            SleepCall::Recv => "in recv",
            SleepCall::Send => "in send",
            SleepCall::Readiness => "until a socket is ready",
        }
    }
}

/// The workers that had to do with a client, in the order in which they were started.
pub fn lanes(timeline: &Timeline) -> Vec<WorkerLane> {
    let of_worker = |worker: usize| {
        timeline.steps.iter().filter(move |step| step.worker == worker).collect::<Vec<_>>()
    };
    let workers: Vec<(&String, Vec<&TimelineStep>)> = timeline
        .workers
        .iter()
        .enumerate()
        .map(|(worker, name)| (name, of_worker(worker)))
        .filter(|(_, steps)| steps.iter().any(|step| step.client.is_some()))
        .collect();
    let is_alone = workers.len() == 1;
    let lane = |(name, steps): &(&String, Vec<&TimelineStep>)| {
        let mut clients: Vec<usize> = steps.iter().filter_map(|step| step.client).collect();
        clients.dedup();
        let label = match clients[..] {
            [client] if !is_alone => format!("{name}: {}", timeline.client_name(client)),
            // The only one needs no number.
            _ if is_alone => name.trim_end_matches(" 0").to_owned(),
            _ => (*name).clone(),
        };
        WorkerLane { label, spans: spans(steps, timeline.duration_us) }
    };
    workers.iter().map(lane).collect()
}

fn spans(steps: &[&TimelineStep], duration_us: u64) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut push = |span: Span| match spans.last_mut() {
        _ if span.to_us <= span.from_us => {}
        Some(last) if last.state == span.state && last.to_us == span.from_us => {
            last.to_us = span.to_us;
        }
        _ => spans.push(span),
    };
    for (number, step) in steps.iter().enumerate() {
        let from_us = step.at_us;
        if step.kind == StepKind::Polled {
            let state = WorkerState::Polling { passes: step.amount };
            push(Span { from_us: from_us.saturating_sub(step.duration_us), to_us: from_us, state });
        }
        let to_us = match steps.get(number + 1) {
            // Polling is reported at its end.
            Some(next) if next.kind == StepKind::Polled => {
                next.at_us.saturating_sub(next.duration_us).max(from_us)
            }
            Some(next) => next.at_us,
            // A thread or process ends with its connection.
            None if step.kind == StepKind::Closed => from_us,
            None => duration_us,
        };
        let state = match SleepCall::of(step.kind) {
            Some(call) if to_us.saturating_sub(from_us) >= SLEEP_MIN_US => {
                WorkerState::Asleep { call, client: step.client }
            }
            _ => WorkerState::Working,
        };
        push(Span { from_us, to_us, state });
    }
    spans
}

/// What happened, in sentences: what the workers did, and how the clients fared.
pub fn describe(timeline: &Timeline) -> Vec<String> {
    let lanes = lanes(timeline);
    let mut sentences: Vec<String> = workers(timeline, &lanes).into_iter().collect();
    sentences.extend(quick_client(timeline, &lanes));
    sentences.extend(slow_client(timeline, &lanes));
    if timeline.dropped > 0 {
        let steps = counted(timeline.dropped, "step");
        sentences.push(format!("The recording is incomplete: {steps} did not fit."));
    }
    sentences
}

fn workers(timeline: &Timeline, lanes: &[WorkerLane]) -> Option<String> {
    let lived: u64 = lanes.iter().flat_map(|lane| &lane.spans).map(Span::length_us).sum();
    let is_asleep = |span: &&Span| matches!(span.state, WorkerState::Asleep { .. });
    let slept: u64 =
        lanes.iter().flat_map(|lane| &lane.spans).filter(is_asleep).map(Span::length_us).sum();
    let asleep = share(slept as f64 / lived.max(1) as f64);
    let passes: u64 = lanes
        .iter()
        .flat_map(|lane| &lane.spans)
        .map(|span| match span.state {
            WorkerState::Polling { passes } => passes,
            _ => 0,
        })
        .sum();
    let woken = timeline.steps.iter().filter(|step| step.kind == StepKind::Woken).count();
    match lanes.len() {
        0 => None,
        1 if passes > 0 => Some(format!(
            "It did not sleep: it tried all its sockets {} times without moving a byte.",
            metric::quantity(passes as f64)
        )),
        1 if woken > 0 => {
            let times = counted(woken as u64, "time");
            Some(format!("It slept for {asleep} of the second and woke up {times}."))
        }
        1 => Some(format!("Its one thread slept for {asleep} of the second.")),
        several => {
            let idle = timeline.workers.len().saturating_sub(several);
            let mut text =
                format!("{several} workers took part, and slept for {asleep} of their time");
            if idle > 0 {
                let _ = write!(text, "; {idle} more waited for a connection");
            }
            Some(text + ".")
        }
    }
}

fn quick_client(timeline: &Timeline, lanes: &[WorkerLane]) -> Option<String> {
    let (_, client) = timeline.client(ClientKind::Quick)?;
    let waits = response_times_us(client);
    let unanswered = client.requests.len() - waits.len();
    match (waits.iter().max(), unanswered) {
        (None, 0) => None,
        (None, _) => {
            let reason = longest_sleep(timeline, lanes)
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            Some(format!("The quick client got no response{reason}."))
        }
        (Some(longest), 0) => Some(format!(
            "The quick client got {} and waited at most {}.",
            counted(waits.len() as u64, "response"),
            metric::time(*longest as f64 * 1e3)
        )),
        (Some(_), _) => Some(format!(
            "The quick client got {}, and none to its last request.",
            counted(waits.len() as u64, "response")
        )),
    }
}

/// The times from each request to its response, of those that got one.
fn response_times_us(client: &TimelineClient) -> Vec<u64> {
    let times = client.requests.iter();
    times.filter_map(TimelineRequest::response_time_us).collect()
}

/// What a worker did for most of the second: "the server waited in recv for the stuck one".
fn longest_sleep(timeline: &Timeline, lanes: &[WorkerLane]) -> Option<String> {
    let spans = lanes.iter().flat_map(|lane| &lane.spans);
    let longest = spans.max_by_key(|span| span.length_us())?;
    match longest.state {
        WorkerState::Asleep { call, client: Some(client) } => {
            let (call, client) = (call.phrase(), timeline.client_name(client));
            Some(format!("the server waited {call} for the {client} one"))
        }
        _ => None,
    }
}

fn slow_client(timeline: &Timeline, lanes: &[WorkerLane]) -> Option<String> {
    let (number, _) = timeline.client(ClientKind::Slow)?;
    let of_client = || timeline.steps.iter().filter(|step| step.client == Some(number));
    let blocked = of_client().filter(|step| step.kind == StepKind::SendWouldBlock).count();
    let is_sending = |span: &&Span| {
        span.state == WorkerState::Asleep { call: SleepCall::Send, client: Some(number) }
    };
    let slept_us: u64 =
        lanes.iter().flat_map(|lane| &lane.spans).filter(is_sending).map(Span::length_us).sum();
    match (blocked, slept_us) {
        (0, 0) => None,
        (0, slept_us) => {
            let slept = metric::time(slept_us as f64 * 1e3);
            Some(format!("A worker slept for {slept} in sends to the slow client."))
        }
        (blocked, _) => {
            let times = counted(blocked as u64, "time");
            Some(format!("The socket of the slow client was full {times}."))
        }
    }
}

/// `97.3 %`, `over 99.9 %`
fn share(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        percent if percent >= 99.95 => "over 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic_timelines::{polling, sleeping, stuck, threads};

    #[test]
    fn sentences_say_how_the_workers_waited_and_how_the_clients_fared() {
        for (timeline, sentences) in [
            (
                sleeping("a"),
                &[
                    "It slept for 99.5 % of the second and woke up 18 times.",
                    "The quick client got 18 responses and waited at most 417 µs.",
                    "The socket of the slow client was full 2 times.",
                ][..],
            ),
            (
                polling("a"),
                &[
                    "It did not sleep: it tried all its sockets 180k times without moving a byte.",
                    "The quick client got 18 responses and waited at most 417 µs.",
                ],
            ),
            (
                threads("a"),
                &[
                    "4 workers took part, and slept for 99.9 % of their time.",
                    "The quick client got 18 responses and waited at most 417 µs.",
                    "A worker slept for 950 ms in sends to the slow client.",
                ],
            ),
            (
                stuck("a"),
                &[
                    "Its one thread slept for over 99.9 % of the second.",
                    "The quick client got no response: the server waited in recv for the stuck one.",
                ],
            ),
        ] {
            assert_eq!(describe(&timeline), sentences);
        }
        let dropped = Timeline { dropped: 1, ..stuck("a") };
        let last = "The recording is incomplete: 1 step did not fit.";
        assert_eq!(describe(&dropped).last().map(String::as_str), Some(last));
    }

    #[test]
    fn a_worker_is_in_one_state_at_a_time() {
        for timeline in [sleeping("a"), polling("a"), threads("a"), stuck("a")] {
            for lane in lanes(&timeline) {
                assert!(lane.spans.iter().all(|span| span.from_us < span.to_us), "{lane:?}");
                let in_order = |pair: &[Span]| pair[0].to_us <= pair[1].from_us;
                assert!(lane.spans.windows(2).all(in_order), "{lane:?}");
                assert_eq!(lane.spans.last().map(|span| span.to_us), Some(timeline.duration_us));
            }
        }
    }

    #[test]
    fn a_worker_with_one_client_is_named_after_it() {
        let labels = |timeline: &Timeline| -> Vec<String> {
            lanes(timeline).into_iter().map(|lane| lane.label).collect()
        };
        let of_threads = ["acceptor", "thread: stuck", "thread: slow", "thread: quick"];
        assert_eq!(labels(&threads("a")), of_threads);
        assert_eq!(labels(&stuck("a")), ["iterative"]);
        let mut pool = stuck("a");
        pool.workers.push("pool 1".to_owned());
        assert_eq!(labels(&pool), ["iterative"], "the other one had no client");
    }

    #[test]
    fn a_call_that_returns_at_once_has_not_slept() {
        let quick = &lanes(&threads("a"))[3];
        let in_send =
            |span: &&Span| matches!(span.state, WorkerState::Asleep { call: SleepCall::Send, .. });
        assert_eq!(quick.spans.iter().find(in_send), None);
    }
}
