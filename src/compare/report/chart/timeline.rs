//! One second of a strategy: a lane for each client and each worker, and below it a few
//! milliseconds of the same, in which one request can be followed.
//!
//! In the lane of a client, a mark above the line is input for the server, one below it is output,
//! and one on it is a call that would block. In the lane of a worker, the shading says whether it
//! sleeps, works or polls. All timelines have the same axes, so that they can be compared.

use super::{WIDTH, series_style};
use crate::compare::analyse::metric;
use crate::compare::analyse::timeline::{Span, WorkerLane, WorkerState, lanes};
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::report::text::truncated;
use crate::compare::results::{ContenderInfo, Results};
use crate::compare::timeline::{ClientKind, StepKind, Timeline, TimelineRequest, TimelineStep};
use crate::format::{bytes, counted};

const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 10.0;
const CLIENT_HEIGHT: f64 = 32.0;
const WORKER_HEIGHT: f64 = 20.0;
const BAR_HEIGHT: f64 = 12.0;
/// The distance of marks from the middle of a lane.
const MARK_OFFSET: f64 = 8.0;
/// The space for the labels of an axis, and between the two panels.
const AXIS_HEIGHT: f64 = 26.0;
const PANEL_GAP: f64 = 26.0;
/// Work of some microseconds is drawn so wide that it can be seen.
const WORK_WIDTH_MIN: f64 = 2.0;
const LABEL_CHARS_MAX: usize = 14;

/// The length of the magnified part, and how much of it comes before the request.
const MAGNIFIED_US: u64 = 2000;
const MAGNIFIED_LENGTH: &str = "2 ms";
const BEFORE_REQUEST_US: u64 = 300;

/// The shapes of the marks, see [`Drawing::marker`].
const INPUT: usize = 4;
const OUTPUT: usize = 2;
const ACCEPTED: usize = 0;

/// The timeline of a contender.
pub fn draw(results: &Results, contender: &ContenderInfo, timeline: &Timeline) -> String {
    let lanes = lanes(timeline);
    let whole = (0, timeline.duration_us);
    let all: Vec<usize> = (0..timeline.clients.len()).collect();
    let magnified = magnified(timeline);
    let workers_height = WORKER_HEIGHT * lanes.len() as f64;
    let first_height = CLIENT_HEIGHT * all.len() as f64 + workers_height + AXIS_HEIGHT;
    let second_height = match magnified {
        Some(_) => PANEL_GAP + CLIENT_HEIGHT + workers_height + AXIS_HEIGHT,
        None => 0.0,
    };
    let label = format!("one second of {}", contender.name);
    let mut drawing = Drawing::new(WIDTH, first_height + second_height, &label);
    let class = series_style(results, contender).class;
    drawing.group(&format!("timeline {class}"), &label, |drawing| {
        if let Some((_, window)) = magnified {
            let across = scale(whole);
            let (from, to) = (across.at(window.0 as f64), across.at(window.1 as f64));
            let bottom = first_height - AXIS_HEIGHT;
            drawing.rect("magnified", (from - 2.0, 0.0), (to - from + 4.0, bottom), 1.0);
        }
        panel(drawing, timeline, &lanes, &all, whole, 0.0);
        if let Some((client, window)) = magnified {
            let top = first_height + PANEL_GAP;
            let text = format!("magnified: {} around one request", MAGNIFIED_LENGTH);
            drawing.text("note", Anchor::Start, (LEFT, top - 8.0), &text);
            panel(drawing, timeline, &lanes, &[client], window, top);
        }
    });
    drawing.finish()
}

/// A legend of the marks and shadings, as swatches with their meaning.
pub fn legend() -> Vec<(String, &'static str)> {
    let mark = |class: &'static str, shape: usize| {
        move |drawing: &mut Drawing| drawing.marker(class, shape, (14.0, 7.0))
    };
    let swatch = |draw: &dyn Fn(&mut Drawing)| {
        let mut drawing = Drawing::new(28.0, 14.0, "");
        drawing.group("timeline", "", |drawing| draw(drawing));
        drawing.finish()
    };
    vec![
        (swatch(&mark("accepted", ACCEPTED)), "accept"),
        (swatch(&mark("input", INPUT)), "recv"),
        (swatch(&mark("output", OUTPUT)), "send"),
        (swatch(&|d| cross(d, "blocked", (14.0, 7.0))), "would block"),
        (swatch(&|d| d.rect("waiting", (0.0, 5.0), (28.0, 4.0), 1.0)), "waits for a response"),
        (swatch(&|d| bar(d, "asleep", (0.0, 28.0), 7.0)), "asleep"),
        (swatch(&|d| bar(d, "working", (0.0, 28.0), 7.0)), "working"),
        (swatch(&|d| stripes(d, (0.0, 28.0), 7.0)), "polling"),
    ]
}

/// A client and the time around one of its requests: that of the quick client whose response took
/// as long as most, or its only one.
fn magnified(timeline: &Timeline) -> Option<(usize, (u64, u64))> {
    let (number, client) = timeline.client(ClientKind::Quick)?;
    let is_within = |request: &&TimelineRequest| request.sent_us < timeline.duration_us;
    let mut requests: Vec<_> = client.requests.iter().filter(is_within).collect();
    requests.sort_by_key(|request| request.response_time_us().unwrap_or(u64::MAX));
    let request = requests.get(requests.len() / 2)?;
    let from_us = request.sent_us.saturating_sub(BEFORE_REQUEST_US);
    Some((number, (from_us, from_us + MAGNIFIED_US)))
}

fn scale((from_us, to_us): (u64, u64)) -> Scale {
    Scale::linear((from_us as f64, to_us as f64), (LEFT, RIGHT))
}

/// The lanes of some clients and of all workers in a window of time.
fn panel(
    drawing: &mut Drawing,
    timeline: &Timeline,
    lanes: &[WorkerLane],
    clients: &[usize],
    window: (u64, u64),
    top: f64,
) {
    let across = scale(window);
    let height = CLIENT_HEIGHT * clients.len() as f64 + WORKER_HEIGHT * lanes.len() as f64;
    time_axis(drawing, &across, window, (top, top + height));
    let mut y = top;
    for client in clients {
        client_lane(drawing, timeline, *client, &across, window, y + CLIENT_HEIGHT / 2.0);
        y += CLIENT_HEIGHT;
    }
    for lane in lanes {
        let middle = y + WORKER_HEIGHT / 2.0;
        label(drawing, &lane.label, middle);
        // Work is drawn last, because it is drawn wider than it is.
        let (work, rest): (Vec<&Span>, Vec<&Span>) =
            lane.spans.iter().partition(|span| span.state == WorkerState::Working);
        for span in rest.into_iter().chain(work) {
            worker_span(drawing, timeline, span, &across, window, middle);
        }
        y += WORKER_HEIGHT;
    }
}

fn time_axis(
    drawing: &mut Drawing,
    across: &Scale,
    (from_us, to_us): (u64, u64),
    (top, bottom): (f64, f64),
) {
    const STEPS: u64 = 4;
    for step in 0..=STEPS {
        let at_us = from_us + (to_us - from_us) / STEPS * step;
        let x = across.at(at_us as f64);
        drawing.line("grid", (x, top), (x, bottom + 4.0));
        let text = match (step, from_us) {
            (0, 0) => "0".to_owned(),
            (_, 0) => format!("{} ms", at_us / 1000),
            // Within the second, the start is named, and the rest counts from there.
            (0, _) => format!("at {:.1} ms", from_us as f64 / 1e3),
            _ => format!("+{:.1} ms", (at_us - from_us) as f64 / 1e3),
        };
        let anchor = if step == STEPS { Anchor::End } else { Anchor::Middle };
        let x = if step == STEPS { x + 8.0 } else { x };
        drawing.text("tick", anchor, (x, bottom + 18.0), &text);
    }
}

fn label(drawing: &mut Drawing, text: &str, middle: f64) {
    let text = truncated(text, LABEL_CHARS_MAX);
    drawing.text("tick", Anchor::End, (LEFT - 8.0, middle + 4.0), &text);
}

fn client_lane(
    drawing: &mut Drawing,
    timeline: &Timeline,
    number: usize,
    across: &Scale,
    window: (u64, u64),
    middle: f64,
) {
    let Some(client) = timeline.clients.get(number) else { return };
    drawing.text("lane", Anchor::End, (LEFT - 8.0, middle + 4.0), client.kind.name());
    let connected = across.at(client.connected_us as f64);
    drawing.line("connected", (connected, middle), (RIGHT, middle));
    for (from_us, to_us) in waits(timeline, number) {
        if to_us < window.0 || from_us > window.1 {
            continue;
        }
        let (from, to) = (across.at(from_us as f64), across.at(to_us as f64));
        let took = metric::time(to_us.saturating_sub(from_us) as f64 * 1e3);
        let title = format!("{} waits {took} for a response", client.kind.name());
        drawing.group("", &title, |drawing| {
            drawing.rect("waiting", (from, middle - 2.0), ((to - from).max(1.0), 4.0), 1.0);
        });
    }
    let of_client = timeline
        .steps
        .iter()
        .filter(|step| step.client == Some(number) && (window.0..=window.1).contains(&step.at_us));
    for step in of_client {
        if let Some((class, shape, offset, words)) = mark(step) {
            let place = (across.at(step.at_us as f64), middle + offset);
            let title = format!("{:.3} ms: {words}", step.at_us as f64 / 1e3);
            drawing.group("", &title, |drawing| match shape {
                Some(shape) => drawing.marker(class, shape, place),
                None => cross(drawing, class, place),
            });
        }
    }
}

/// The times in which a client waits for the first bytes of a response, or for all of it if it
/// asks for another one then.
fn waits(timeline: &Timeline, number: usize) -> Vec<(u64, u64)> {
    let client = &timeline.clients[number];
    let first_output = timeline.steps.iter().find(|step| {
        step.client == Some(number) && matches!(step.kind, StepKind::Send | StepKind::Sendfile)
    });
    let first_output_us = first_output.map_or(timeline.duration_us, |step| step.at_us);
    match client.kind {
        ClientKind::Quick => {
            let end = |responded_us: Option<u64>| responded_us.unwrap_or(timeline.duration_us);
            let requests = client.requests.iter();
            requests.map(|request| (request.sent_us, end(request.responded_us))).collect()
        }
        ClientKind::Slow | ClientKind::Stuck => {
            let request = client.requests.first();
            request.map(|request| (request.sent_us, first_output_us)).into_iter().collect()
        }
    }
}

/// The class, the shape (none: a cross), the place relative to the middle of the lane, and the
/// words of a step.
fn mark(step: &TimelineStep) -> Option<(&'static str, Option<usize>, f64, String)> {
    let length = bytes(step.amount);
    Some(match step.kind {
        StepKind::Accepted => ("accepted", Some(ACCEPTED), 0.0, "accept".to_owned()),
        StepKind::Recv => ("input", Some(INPUT), -MARK_OFFSET, format!("recv {length}")),
        StepKind::RecvEnd => ("input", Some(INPUT), -MARK_OFFSET, "recv: end of input".to_owned()),
        StepKind::Send => ("output", Some(OUTPUT), MARK_OFFSET, format!("send {length}")),
        StepKind::Sendfile => ("output", Some(OUTPUT), MARK_OFFSET, format!("sendfile {length}")),
        StepKind::RecvWouldBlock => ("blocked", None, 0.0, "recv: would block".to_owned()),
        StepKind::SendWouldBlock => ("blocked", None, 0.0, "send: would block".to_owned()),
        StepKind::WaitsInAccept
        | StepKind::WaitsInRecv
        | StepKind::WaitsInSend
        | StepKind::WaitsForReadiness
        | StepKind::Woken
        | StepKind::Polled
        | StepKind::Started
        | StepKind::Closed => return None,
    })
}

fn worker_span(
    drawing: &mut Drawing,
    timeline: &Timeline,
    span: &Span,
    across: &Scale,
    window: (u64, u64),
    middle: f64,
) {
    if span.to_us < window.0 || span.from_us > window.1 {
        return;
    }
    let (from, to) = (across.at(span.from_us as f64), across.at(span.to_us as f64));
    let took = metric::time(span.length_us() as f64 * 1e3);
    match span.state {
        WorkerState::Asleep { call, client } => {
            let client = client.map(|client| timeline.client_name(client));
            let client = client.map(|name| format!(" of {name}")).unwrap_or_default();
            let title = format!("asleep {}{client} for {took}", call.phrase());
            drawing.group("", &title, |drawing| bar(drawing, "asleep", (from, to), middle));
        }
        WorkerState::Working => {
            let to = to.max(from + WORK_WIDTH_MIN);
            let title = format!("working for {took}");
            drawing.group("", &title, |drawing| bar(drawing, "working", (from, to), middle));
        }
        WorkerState::Polling { passes } => {
            let title = format!("polling: all sockets tried {} in {took}", counted(passes, "time"));
            drawing.group("", &title, |drawing| stripes(drawing, (from, to), middle));
        }
    }
}

/// For a call that failed.
fn cross(drawing: &mut Drawing, class: &str, (x, y): (f64, f64)) {
    const ARM: f64 = 3.0;
    drawing.line(class, (x - ARM, y - ARM), (x + ARM, y + ARM));
    drawing.line(class, (x - ARM, y + ARM), (x + ARM, y - ARM));
}

fn bar(drawing: &mut Drawing, class: &str, (from, to): (f64, f64), middle: f64) {
    drawing.rect(class, (from, middle - BAR_HEIGHT / 2.0), (to - from, BAR_HEIGHT), 1.0);
}

/// A thick dashed line: its dashes are the stripes.
fn stripes(drawing: &mut Drawing, (from, to): (f64, f64), middle: f64) {
    drawing.line("polling", (from, middle), (to, middle));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    fn svg_of(contender: &str) -> String {
        let results = synthetic::results(1);
        let timeline = results.timelines.iter().find(|timeline| timeline.contender == contender);
        let contender = results.contender(contender).expect("synthetic results contain it");
        draw(&results, contender, timeline.expect("it has a timeline"))
    }

    #[test]
    fn every_client_and_every_worker_with_a_client_has_a_lane() {
        let svg = svg_of("gamma");
        for label in ["quick", "slow", "stuck", "acceptor", "thread: stuck", "thread: quick"] {
            assert!(svg.contains(&format!(">{label}</text>")), "{label}: {svg}");
        }
    }

    #[test]
    fn calls_are_marked_and_states_are_shaded() {
        let sleeping = svg_of("alpha");
        // Once in each panel for the request that is magnified.
        assert_eq!(sleeping.matches("\"input\"").count(), 18 + 1 + 1, "{sleeping}");
        assert_eq!(sleeping.matches(": send: would block</title>").count(), 2);
        assert!(sleeping.contains("asleep until a socket is ready for 49.7 ms</title>"));
        assert!(!sleeping.contains("\"polling\""));
        let polling = svg_of("beta");
        assert!(polling.contains("polling: all sockets tried 10000 times in 49.8 ms</title>"));
        assert!(!polling.contains("\"asleep\""));
    }

    #[test]
    fn a_client_without_a_response_waits_until_the_end() {
        let svg = svg_of("delta");
        assert!(svg.contains("quick waits 900 ms for a response</title>"), "{svg}");
        assert!(svg.contains("slow waits 950 ms for a response</title>"), "{svg}");
    }

    #[test]
    fn nothing_leaves_the_drawing() {
        for contender in ["alpha", "beta", "gamma", "delta"] {
            let svg = svg_of(contender);
            for x in svg.split(" x=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let x: f64 = x.parse().expect("it is a number");
                assert!((0.0..=WIDTH).contains(&x), "{contender}: {x}");
            }
        }
    }

    #[test]
    fn a_damaged_timeline_is_drawn_as_far_as_it_goes() {
        let mut results = synthetic::results(1);
        for timeline in &mut results.timelines {
            timeline.clients.truncate(1);
            timeline.steps.reverse();
            timeline.clients[0].requests.iter_mut().for_each(|request| request.sent_us = u64::MAX);
        }
        for timeline in &results.timelines {
            let contender = results.contender(&timeline.contender).expect("it takes part");
            assert!(!draw(&results, contender, timeline).contains("NaN"));
        }
    }
}
