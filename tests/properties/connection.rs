//! A whole connection: whatever a peer sends, in whatever pieces, and whatever happens meanwhile.

use miniweb::http::CloseReason;

use super::answers::{self, Answer};
use super::grammar::{self, Stop};
use super::talk::{Manner, Outcome, letter, talk};

/// What stands between the bytes of the peer and the schedule.
const MARK: &[u8] = b"\xff\xff";

/// `input` is what a peer sends and, behind the last mark, a schedule: a byte for each turn.
pub fn check(input: &[u8]) {
    let mark = input.windows(MARK.len()).rposition(|bytes| bytes == MARK);
    let (wire, schedule) = match mark {
        Some(at) => (&input[..at], &input[at + MARK.len()..]),
        None => (input, &[][..]),
    };
    check_talk(wire, schedule);
}

/// Three times: undisturbed, in pieces, in pieces and disturbed.
pub fn check_talk(wire: &[u8], schedule: &[u8]) {
    let strict = Strict::read(wire);
    let whole = talk(wire, &[], Manner::Whole);
    check_outcome(&whole, &strict, wire);
    let pieces = talk(wire, schedule, Manner::Pieces);
    check_outcome(&pieces, &strict, wire);
    assert_eq!(
        text(&pieces.received),
        text(&whole.received),
        "pieces change nothing of what is answered"
    );
    assert_eq!(pieces.closing, whole.closing);
    assert_eq!(pieces.asked, whole.asked);
    check_outcome(&talk(wire, schedule, Manner::Disturbed), &strict, wire);
}

/// The requests of a stream by the strict reading.
struct Strict<'a> {
    /// The request line of each, and where what follows it starts.
    requests: Vec<(&'a [u8], usize)>,
}

impl<'a> Strict<'a> {
    fn read(wire: &'a [u8]) -> Strict<'a> {
        let mut requests = Vec::new();
        let mut at = 0;
        loop {
            at = after_empty_lines(wire, at);
            // A head may be answered before its body has come, but nothing behind it.
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

    /// Where the request begins that follows the first `answered`.
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
    // No request that isn't one by the grammar: no byte of a body is taken for the next request.
    let asked = outcome.asked.iter().map(|asked| &asked.line[..]);
    let known = strict.requests.iter().map(|request| request.0);
    assert!(
        asked.clone().eq(known.take(outcome.asked.len())),
        "{:?}",
        asked.map(text).collect::<Vec<_>>()
    );

    let answers = read(outcome, strict, wire);
    for (n, answer) in answers.iter().enumerate() {
        let is_last = n + 1 == answers.len();
        assert!(is_last || answer.is_complete, "nothing follows an answer that is not whole");
        assert!(is_last || !answer.says_close(), "nothing follows a close");
        check_answer(n, answer, outcome, is_last);
    }
    check_end(outcome, &answers);
    check_exchanges(outcome, &answers);
}

fn read(outcome: &Outcome, strict: &Strict<'_>, wire: &[u8]) -> Vec<Answer> {
    let start = strict.start_after(outcome.asked.len(), wire);
    let is_refused_head =
        wire.get(start..outcome.given).is_some_and(|rest| rest.starts_with(b"HEAD "));
    answers::read(&outcome.received, |n| {
        outcome.asked.get(n).map_or(is_refused_head, |asked| asked.is_head)
    })
}

/// The answers of the site come in the order of the requests; what is none of its answers is a refusal, and the last.
fn check_answer(n: usize, answer: &Answer, outcome: &Outcome, is_last: bool) {
    match answer.values("answer")[..] {
        [number] => {
            assert_eq!(number, n.to_string());
            assert!(
                answer.status != 200 || answer.body.iter().all(|byte| *byte == letter(n)),
                "a body of another answer"
            );
        }
        _ if answer.status == 0 => assert!(!answer.is_complete),
        // Work that nobody had time for.
        _ if answer.status == 503 => {
            assert!(outcome.asked[n].line.windows(6).any(|bytes| bytes == b"/later"))
        }
        _ => {
            assert!(is_last && answer.says_close(), "{answer:?}");
            assert_eq!(n, outcome.asked.len(), "more is answered than is asked");
            assert!(matches!(answer.status, 400 | 408 | 413 | 414 | 431 | 501 | 505), "{answer:?}");
        }
    }
}

/// Why it ended, and what was said of that.
fn check_end(outcome: &Outcome, answers: &[Answer]) {
    let is_cut = matches!(outcome.closing.reason, CloseReason::Failed | CloseReason::WriteStalled);
    assert_eq!(outcome.closing.reset, outcome.closing.reason == CloseReason::WriteStalled);
    if !is_cut {
        assert!(
            answers.iter().all(|answer| answer.is_complete),
            "closed in the middle of an answer"
        );
        let refusals =
            answers.len().checked_sub(outcome.asked.len()).expect("every request is answered");
        assert!(refusals <= 1 && !outcome.is_unanswered);
    }
    match outcome.closing.reason {
        CloseReason::ClientRequested | CloseReason::RequestsMax => {
            assert!(
                answers.last().is_some_and(Answer::says_close),
                "{:?} and not said",
                outcome.closing
            );
        }
        CloseReason::IdleTimeout => assert!(answers.iter().all(|answer| !answer.says_close())),
        _ => {}
    }
}

/// Every answer is logged once, in order, with what the peer had of it.
fn check_exchanges(outcome: &Outcome, answers: &[Answer]) {
    assert!(outcome.exchanges.len() >= answers.len());
    for (n, exchange) in outcome.exchanges.iter().enumerate() {
        let (is_complete, body_bytes) = match answers.get(n) {
            Some(answer) => (answer.is_complete, answer.body.len()),
            None => (false, 0),
        };
        assert_eq!(
            (exchange.complete, exchange.body_bytes),
            (is_complete, body_bytes as u64),
            "{exchange:?}"
        );
        if let Some(asked) = outcome.asked.get(n) {
            assert_eq!(*exchange.request_line, asked.line[..]);
        }
        if let Some(answer) = answers.get(n).filter(|answer| answer.status != 0) {
            assert_eq!(exchange.status.code(), answer.status);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
