//! A whole connection: any input, in pieces of any size, with any disruption.

use miniweb::http::CloseReason;

use super::grammar::{self, Stop};
use super::responses::{self, Response};
use super::simulation::{Mode, Outcome, letter, simulate};

/// Separates the bytes of the peer from the schedule.
const SEPARATOR: &[u8] = b"\xff\xff";

/// `input` is what a peer sends and, after the last separator, a schedule: one byte per turn.
pub fn check(input: &[u8]) {
    let mark = input.windows(SEPARATOR.len()).rposition(|bytes| bytes == SEPARATOR);
    let (wire, schedule) = match mark {
        Some(at) => (&input[..at], &input[at + SEPARATOR.len()..]),
        None => (input, &[][..]),
    };
    check_input(wire, schedule);
}

/// Checks `wire` whole, in pieces, and in pieces with disruptions.
pub fn check_input(wire: &[u8], schedule: &[u8]) {
    let strict = Strict::read(wire);
    let whole = simulate(wire, &[], Mode::Whole);
    check_outcome(&whole, &strict, wire);
    let pieces = simulate(wire, schedule, Mode::Pieces);
    check_outcome(&pieces, &strict, wire);
    assert_eq!(
        text(&pieces.received),
        text(&whole.received),
        "splitting the input changes the responses"
    );
    assert_eq!(pieces.closing, whole.closing);
    assert_eq!(pieces.requests, whole.requests);
    check_outcome(&simulate(wire, schedule, Mode::Disrupted), &strict, wire);
}

/// The requests in a stream, according to the strict grammar.
struct Strict<'a> {
    /// The request line of each request, and the offset of its end.
    requests: Vec<(&'a [u8], usize)>,
}

impl<'a> Strict<'a> {
    fn read(wire: &'a [u8]) -> Strict<'a> {
        let mut requests = Vec::new();
        let mut at = 0;
        loop {
            at = after_empty_lines(wire, at);
            // A request may be answered before its body has arrived, but no request behind it.
            match (grammar::request(&wire[at..]), grammar::head(&wire[at..])) {
                (Ok((head, _, bytes)), _) => {
                    at += bytes;
                    requests.push((head.line, at));
                }
                (Err(Stop::Incomplete | Stop::Malformed(_)), Ok(head))
                    if grammar::framing(&head).is_ok() =>
                {
                    requests.push((head.line, wire.len()));
                    return Strict { requests };
                }
                _ => return Strict { requests },
            }
        }
    }

    /// The offset of the request after the first `answered` ones.
    fn start_after(&self, answered: usize, wire: &[u8]) -> usize {
        let end = answered
            .checked_sub(1)
            .and_then(|last| self.requests.get(last))
            .map_or(0, |request| request.1);
        after_empty_lines(wire, end)
    }
}

fn after_empty_lines(wire: &[u8], mut at: usize) -> usize {
    while wire[at..].starts_with(b"\r\n") {
        at += 2;
    }
    at
}

fn check_outcome(outcome: &Outcome, strict: &Strict<'_>, wire: &[u8]) {
    // Every request is one according to the grammar: no byte of a body is parsed as a request.
    let requests = outcome.requests.iter().map(|request| &request.line[..]);
    let known = strict.requests.iter().map(|request| request.0);
    assert!(
        requests.clone().eq(known.take(outcome.requests.len())),
        "{:?}",
        requests.map(text).collect::<Vec<_>>()
    );

    let responses = read(outcome, strict, wire);
    for (n, response) in responses.iter().enumerate() {
        let is_last = n + 1 == responses.len();
        assert!(is_last || response.is_complete, "a response follows an incomplete one");
        assert!(is_last || !response.says_close(), "a response follows Connection: close");
        check_response(n, response, outcome, is_last);
    }
    check_end(outcome, &responses);
    check_exchanges(outcome, &responses);
}

fn read(outcome: &Outcome, strict: &Strict<'_>, wire: &[u8]) -> Vec<Response> {
    let start = strict.start_after(outcome.requests.len(), wire);
    let is_refused_head =
        wire.get(start..outcome.sent_bytes).is_some_and(|rest| rest.starts_with(b"HEAD "));
    responses::read(&outcome.received, |n| {
        outcome.requests.get(n).map_or(is_refused_head, |request| request.is_head)
    })
}

/// The responses of the site are in the order of the requests. Any other response is a refusal, and
/// is the last.
fn check_response(n: usize, response: &Response, outcome: &Outcome, is_last: bool) {
    let is_by_site = response.values("response-number").len() == 1;
    assert!(
        is_by_site || response.status == 0 || response.values("site") == ["fake"],
        "an error without the headers of the site: {response:?}"
    );
    match response.values("response-number")[..] {
        [number] => {
            assert_eq!(number, n.to_string());
            assert!(
                response.status != 200 || response.body.iter().all(|byte| *byte == letter(n)),
                "the body of another response"
            );
        }
        _ if response.status == 0 => assert!(!response.is_complete),
        // Deferred work that was rejected.
        _ if response.status == 503 => {
            assert!(outcome.requests[n].line.windows(6).any(|bytes| bytes == b"/later"))
        }
        _ => {
            assert!(is_last && response.says_close(), "{response:?}");
            assert_eq!(n, outcome.requests.len(), "there are more responses than requests");
            assert!(
                matches!(response.status, 400 | 408 | 413 | 414 | 431 | 501 | 505),
                "{response:?}"
            );
        }
    }
}

/// The close reason is consistent with the responses.
fn check_end(outcome: &Outcome, responses: &[Response]) {
    let is_cut_off =
        matches!(outcome.closing.reason, CloseReason::Failed | CloseReason::WriteStalled);
    assert_eq!(outcome.closing.reset, outcome.closing.reason == CloseReason::WriteStalled);
    if !is_cut_off {
        assert!(responses.iter().all(|response| response.is_complete), "closed within a response");
        let refusals =
            responses.len().checked_sub(outcome.requests.len()).expect("every request is answered");
        assert!(refusals <= 1 && !outcome.is_reply_pending);
    }
    match outcome.closing.reason {
        CloseReason::ClientRequested | CloseReason::RequestsMax => {
            assert!(
                responses.last().is_some_and(Response::says_close),
                "{:?}, but the last response does not say close",
                outcome.closing
            );
        }
        CloseReason::Refused(error) if responses.len() > outcome.requests.len() => {
            assert_eq!(responses.last().map(|last| last.status), Some(error.status().code()));
        }
        CloseReason::IdleTimeout => {
            assert!(responses.iter().all(|response| !response.says_close()))
        }
        _ => {}
    }
}

/// Every response is logged once, in order, with the number of bytes that the peer received.
fn check_exchanges(outcome: &Outcome, responses: &[Response]) {
    assert!(outcome.exchanges.len() >= responses.len());
    for (n, exchange) in outcome.exchanges.iter().enumerate() {
        let (is_complete, body_bytes) = match responses.get(n) {
            Some(response) => (response.is_complete, response.body.len()),
            None => (false, 0),
        };
        assert_eq!(
            (exchange.complete, exchange.body_bytes),
            (is_complete, body_bytes as u64),
            "{exchange:?}"
        );
        if let Some(requests) = outcome.requests.get(n) {
            assert_eq!(*exchange.request_line, requests.line[..]);
        }
        if let Some(response) = responses.get(n).filter(|response| response.status != 0) {
            assert_eq!(exchange.status.code(), response.status);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
