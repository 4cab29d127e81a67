//! When a connection has waited for long enough, and what it does then.

use std::time::Duration;

use miniweb::http::{CloseReason, Closing, Limits, RequestError, Step};

use super::peer::{Peer, get};

const SECOND: Duration = Duration::from_secs(1);

/// Each different, so that none can be taken for another.
fn limits() -> Limits {
    Limits {
        first_request_timeout: 8 * SECOND,
        head_timeout: 10 * SECOND,
        body_timeout: 12 * SECOND,
        idle_timeout: 15 * SECOND,
        write_timeout: 30 * SECOND,
        linger_timeout: 2 * SECOND,
        write_rate_min: 1024,
        ..Limits::default()
    }
}

fn close(reason: CloseReason) -> Step {
    Step::Close(Closing { reason, reset: false })
}

const RESET: Step = Step::Close(Closing { reason: CloseReason::WriteStalled, reset: true });

#[test]
fn a_connection_that_never_speaks_is_closed_without_a_word() {
    let mut peer = Peer::new(limits());
    assert_eq!(peer.patience(), Some(8 * SECOND));
    peer.be_late();
    assert_eq!(peer.settle(), close(CloseReason::IdleTimeout));
    assert!(peer.received.is_empty());
}

#[test]
fn empty_lines_are_no_first_byte_and_postpone_nothing() {
    let mut peer = Peer::new(limits());
    for _ in 0..7 {
        peer.wait(SECOND);
        peer.give("\r\n");
    }
    peer.give("\r");
    assert_eq!(peer.patience(), Some(SECOND));
    peer.be_late();
    assert_eq!(peer.settle(), close(CloseReason::IdleTimeout));
    assert!(peer.received.is_empty());
}

#[test]
fn a_head_has_its_time_from_its_first_byte_and_no_byte_postpones_it() {
    let mut peer = Peer::new(limits());
    peer.wait(7 * SECOND);
    for (second, byte) in "GET /small".bytes().enumerate() {
        peer.give([byte]);
        assert_eq!(peer.patience(), Some((10 - second as u32) * SECOND));
        peer.wait(SECOND);
    }
    peer.be_late();
    assert_eq!(
        peer.settle(),
        Step::Receive,
        "the answer is out, the sending side closed, the peer may still send"
    );
    let [answer] = &peer.answers()[..] else { panic!("one answer") };
    assert_eq!((answer.status, answer.connection.as_deref()), (408, Some("close")));
    peer.give(" HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(peer.site.answered, 0);
    assert_eq!(peer.finish().reason, CloseReason::Refused(RequestError::HeadTimeout));
}

#[test]
fn a_late_head_request_is_answered_without_a_body() {
    let mut peer = Peer::new(limits());
    peer.give("HEAD /small HTTP");
    peer.be_late();
    peer.settle();
    let [answer] = &peer.answers()[..] else { panic!("one answer") };
    assert_eq!((answer.status, answer.body.len()), (408, 0));
}

#[test]
fn a_head_that_is_complete_in_time_is_answered() {
    let mut peer = Peer::new(limits());
    peer.give("GET /small HTTP/1.1\r\n");
    peer.wait(9 * SECOND);
    peer.give("Host: a\r\n\r\n");
    peer.settle();
    assert_eq!(peer.answers()[0].status, 200);
}

#[test]
fn silence_between_requests_is_closed_without_a_word() {
    let mut peer = Peer::new(limits());
    peer.give(get("/small"));
    peer.wait(5 * SECOND);
    peer.settle();
    assert_eq!(peer.patience(), Some(15 * SECOND), "from when the answer was taken");
    let answered = peer.received.len();
    peer.be_late();
    assert_eq!(peer.settle(), close(CloseReason::IdleTimeout));
    assert_eq!(peer.received.len(), answered);
}

#[test]
fn the_next_head_has_its_own_time() {
    let mut peer = Peer::new(limits());
    peer.give(get("/small"));
    peer.settle();
    peer.wait(14 * SECOND);
    peer.give("G");
    assert_eq!(peer.patience(), Some(10 * SECOND));
}

#[test]
fn a_reader_that_takes_nothing_is_reset() {
    let mut peer = Peer::new(limits());
    peer.give(get("/file"));
    assert_eq!(peer.patience(), Some(30 * SECOND));
    peer.be_late();
    assert_eq!(peer.connection.step(), RESET);
}

#[test]
fn a_reader_that_stops_is_reset_when_it_has_taken_nothing_for_the_time_of_a_stall() {
    let mut peer = Peer::new(limits());
    peer.give(get("/large").repeat(6));
    peer.wait(20 * SECOND);
    peer.take(usize::MAX);
    peer.take(15_000);
    peer.wait(5 * SECOND);
    assert!(
        peer.received.len() > 50 * 1024,
        "so much that the least rate asks for nothing more for some time"
    );
    assert_eq!(peer.patience(), Some(25 * SECOND));
    peer.be_late();
    assert_eq!(peer.connection.step(), RESET);
}

#[test]
fn a_reader_that_takes_a_byte_now_and_then_is_reset_all_the_same() {
    let mut peer = Peer::new(limits());
    peer.give(get("/file"));
    for _ in 0..29 {
        peer.wait(SECOND);
        peer.take(1);
    }
    assert_eq!(
        peer.patience(),
        Some(SECOND),
        "what the least rate asks for from then on is more than this"
    );
    peer.be_late();
    assert_eq!(peer.connection.step(), RESET);
}

#[test]
fn a_reader_that_keeps_more_than_the_least_rate_is_served_to_the_end() {
    let mut peer = Peer::new(limits());
    peer.give(get("/large").repeat(3));
    while peer.connection.step() == Step::Send {
        assert!(peer.patience() > Some(SECOND), "after {} bytes", peer.received.len());
        peer.wait(SECOND);
        peer.take(1100);
    }
    assert_eq!(peer.answers().len(), 3);
}

#[test]
fn each_answer_is_timed_anew() {
    let mut peer = Peer::new(limits());
    for _ in 0..5 {
        peer.give(get("/small"));
        peer.wait(29 * SECOND);
        peer.settle();
    }
    peer.give(get("/small"));
    assert_eq!(peer.patience(), Some(30 * SECOND));
}

#[test]
fn a_body_has_its_time_from_its_head_and_is_answered_only_once() {
    let mut peer = Peer::new(limits());
    peer.give("GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    peer.settle();
    let answered = peer.received.len();
    for second in 0..11 {
        assert_eq!(peer.patience(), Some((12 - second) * SECOND));
        peer.wait(SECOND);
        peer.give("x");
    }
    peer.be_late();
    assert_eq!(peer.connection.step(), Step::HalfClose);
    assert_eq!(peer.finish().reason, CloseReason::BodyUnread);
    assert_eq!(peer.received.len(), answered);
}

#[test]
fn a_closed_sending_side_waits_for_the_peer_and_no_longer_than_that() {
    let mut peer = Peer::new(limits());
    peer.give("nonsense\r\n\r\n");
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(peer.patience(), Some(2 * SECOND));
    peer.wait(SECOND);
    peer.give("more nonsense");
    assert_eq!(peer.patience(), Some(SECOND), "a byte postpones nothing");
    peer.be_late();
    assert_eq!(
        peer.connection.step(),
        close(CloseReason::Refused(RequestError::MalformedRequestLine))
    );
}

#[test]
fn a_peer_that_sends_on_and_on_is_not_lingered_for() {
    let mut peer = Peer::new(Limits { linger_bytes_max: 1000, ..limits() });
    peer.give("nonsense\r\n\r\n");
    peer.settle();
    peer.give([b'x'; 1000]);
    assert_eq!(peer.connection.step(), Step::Receive);
    peer.give("x");
    assert_eq!(
        peer.connection.step(),
        close(CloseReason::Refused(RequestError::MalformedRequestLine))
    );
}

/// While an answer waits to be sent nothing is read (law 2 of the connection): that time is not the peer's.
#[test]
fn time_in_which_nothing_was_read_is_not_held_against_the_next_head() {
    let mut peer = Peer::new(limits());
    peer.give(get("/file") + "GET /small HTTP/1.1\r\n");
    peer.take(1000);
    peer.wait(20 * SECOND);
    assert_eq!(peer.settle(), Step::Receive);
    let is_over = peer.connection.deadline().is_some_and(|deadline| deadline <= peer.now.moment);
    assert!(
        !is_over,
        "the rest of the head waits in the socket, and is late before it could be read"
    );
}

/// The same for a body.
#[test]
fn time_in_which_nothing_was_read_is_not_held_against_the_body() {
    let mut peer = Peer::new(limits());
    peer.give("GET /file HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    peer.take(1000);
    peer.wait(20 * SECOND);
    assert_eq!(peer.settle(), Step::Receive);
    let is_over = peer.connection.deadline().is_some_and(|deadline| deadline <= peer.now.moment);
    assert!(!is_over, "the body waits in the socket, and is late before it could be read");
}

#[test]
fn whoever_waits_for_the_peer_has_a_deadline() {
    let inputs = [
        "",
        "\r",
        "G",
        "GET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: a\r\n\r\nGET",
        "x\r\n\r\n",
    ];
    for input in inputs {
        let mut peer = Peer::new(limits());
        peer.give(input);
        assert!(peer.patience() > Some(Duration::ZERO), "after {input:?}");
        peer.settle();
        assert!(peer.patience() > Some(Duration::ZERO), "after {input:?} and its answers");
    }
}
