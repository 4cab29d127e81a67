//! The deadline in each state, and what happens when it passes.

use std::time::Duration;

use miniweb::http::{CloseReason, Closing, Limits, RequestError, Step};

use super::peer::{Peer, get};

const SECOND: Duration = Duration::from_secs(1);

/// Every timeout is different, so that a test notices if one is used for another.
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
fn a_silent_new_connection_is_closed_without_a_response() {
    let mut peer = Peer::new(limits());
    assert_eq!(peer.time_left(), Some(8 * SECOND));
    peer.time_out();
    assert_eq!(peer.settle(), close(CloseReason::IdleTimeout));
    assert!(peer.received.is_empty());
}

#[test]
fn empty_lines_neither_start_a_request_nor_extend_the_deadline() {
    let mut peer = Peer::new(limits());
    for _ in 0..7 {
        peer.wait(SECOND);
        peer.send("\r\n");
    }
    peer.send("\r");
    assert_eq!(peer.time_left(), Some(SECOND));
    peer.time_out();
    assert_eq!(peer.settle(), close(CloseReason::IdleTimeout));
    assert!(peer.received.is_empty());
}

#[test]
fn the_head_timeout_starts_at_the_first_byte_and_further_bytes_do_not_extend_it() {
    let mut peer = Peer::new(limits());
    peer.wait(7 * SECOND);
    for (second, byte) in "GET /small".bytes().enumerate() {
        peer.send([byte]);
        assert_eq!(peer.time_left(), Some((10 - second as u32) * SECOND));
        peer.wait(SECOND);
    }
    peer.time_out();
    assert_eq!(
        peer.settle(),
        Step::Receive,
        "the response is sent, the sending side is shut down, and the peer may still send"
    );
    let [response] = &peer.responses()[..] else { panic!("one response") };
    assert_eq!((response.status, response.connection.as_deref()), (408, Some("close")));
    peer.send(" HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(peer.site.requests, 0);
    assert_eq!(peer.finish().reason, CloseReason::Refused(RequestError::HeadTimeout));
}

#[test]
fn the_408_response_to_an_incomplete_head_request_has_no_body() {
    let mut peer = Peer::new(limits());
    peer.send("HEAD /small HTTP");
    peer.time_out();
    peer.settle();
    let [response] = &peer.responses()[..] else { panic!("one response") };
    assert_eq!((response.status, response.body.len()), (408, 0));
}

#[test]
fn a_head_that_completes_before_its_deadline_is_answered() {
    let mut peer = Peer::new(limits());
    peer.send("GET /small HTTP/1.1\r\n");
    peer.wait(9 * SECOND);
    peer.send("Host: a\r\n\r\n");
    peer.settle();
    assert_eq!(peer.responses()[0].status, 200);
}

#[test]
fn an_idle_keep_alive_connection_is_closed_without_a_response() {
    let mut peer = Peer::new(limits());
    peer.send(get("/small"));
    peer.wait(5 * SECOND);
    peer.settle();
    assert_eq!(
        peer.time_left(),
        Some(15 * SECOND),
        "from the moment at which the response was sent"
    );
    let sent_bytes = peer.received.len();
    peer.time_out();
    assert_eq!(peer.settle(), close(CloseReason::IdleTimeout));
    assert_eq!(peer.received.len(), sent_bytes);
}

#[test]
fn the_head_timeout_replaces_the_idle_timeout_at_the_first_byte() {
    let mut peer = Peer::new(limits());
    peer.send(get("/small"));
    peer.settle();
    peer.wait(14 * SECOND);
    peer.send("G");
    assert_eq!(peer.time_left(), Some(10 * SECOND));
}

#[test]
fn a_client_that_reads_nothing_is_reset() {
    let mut peer = Peer::new(limits());
    peer.send(get("/file"));
    assert_eq!(peer.time_left(), Some(30 * SECOND));
    peer.time_out();
    assert_eq!(peer.connection.step(), RESET);
}

#[test]
fn a_client_that_stops_reading_is_reset_after_the_write_timeout() {
    let mut peer = Peer::new(limits());
    peer.send(get("/large").repeat(6));
    peer.wait(20 * SECOND);
    peer.read(usize::MAX);
    peer.read(15_000);
    peer.wait(5 * SECOND);
    assert!(peer.received.len() > 50 * 1024, "so much that the minimum rate is met for some time");
    assert_eq!(peer.time_left(), Some(25 * SECOND));
    peer.time_out();
    assert_eq!(peer.connection.step(), RESET);
}

#[test]
fn a_client_that_reads_one_byte_per_second_is_reset() {
    let mut peer = Peer::new(limits());
    peer.send(get("/file"));
    for _ in 0..29 {
        peer.wait(SECOND);
        peer.read(1);
    }
    assert_eq!(
        peer.time_left(),
        Some(SECOND),
        "after the write timeout, the minimum rate requires more"
    );
    peer.time_out();
    assert_eq!(peer.connection.step(), RESET);
}

#[test]
fn a_client_that_reads_at_the_minimum_rate_receives_everything() {
    let mut peer = Peer::new(limits());
    peer.send(get("/large").repeat(3));
    while peer.connection.step() == Step::Send {
        assert!(peer.time_left() > Some(SECOND), "after {} bytes", peer.received.len());
        peer.wait(SECOND);
        peer.read(1100);
    }
    assert_eq!(peer.responses().len(), 3);
}

#[test]
fn the_write_timeout_restarts_with_each_response() {
    let mut peer = Peer::new(limits());
    for _ in 0..5 {
        peer.send(get("/small"));
        peer.wait(29 * SECOND);
        peer.settle();
    }
    peer.send(get("/small"));
    assert_eq!(peer.time_left(), Some(30 * SECOND));
}

#[test]
fn the_body_timeout_starts_at_the_end_of_the_head_and_closes_without_a_second_response() {
    let mut peer = Peer::new(limits());
    peer.send("GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    peer.settle();
    let sent_bytes = peer.received.len();
    for second in 0..11 {
        assert_eq!(peer.time_left(), Some((12 - second) * SECOND));
        peer.wait(SECOND);
        peer.send("x");
    }
    peer.time_out();
    assert_eq!(peer.connection.step(), Step::HalfClose);
    assert_eq!(peer.finish().reason, CloseReason::BodyUnread);
    assert_eq!(peer.received.len(), sent_bytes);
}

#[test]
fn a_lingering_close_ends_at_its_deadline_whatever_the_client_sends() {
    let mut peer = Peer::new(limits());
    peer.send("nonsense\r\n\r\n");
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(peer.time_left(), Some(2 * SECOND));
    peer.wait(SECOND);
    peer.send("more nonsense");
    assert_eq!(peer.time_left(), Some(SECOND), "input does not extend the deadline");
    peer.time_out();
    assert_eq!(
        peer.connection.step(),
        close(CloseReason::Refused(RequestError::MalformedRequestLine))
    );
}

#[test]
fn a_lingering_close_ends_when_the_client_sends_too_much() {
    let mut peer = Peer::new(Limits { linger_bytes_max: 1000, ..limits() });
    peer.send("nonsense\r\n\r\n");
    peer.settle();
    peer.send([b'x'; 1000]);
    assert_eq!(peer.connection.step(), Step::Receive);
    peer.send("x");
    assert_eq!(
        peer.connection.step(),
        close(CloseReason::Refused(RequestError::MalformedRequestLine))
    );
}

/// While output is unsent, nothing is read (invariant 2 of the connection), so the client is not
/// charged for that time.
#[test]
fn the_head_timeout_excludes_time_in_which_the_connection_did_not_read() {
    let mut peer = Peer::new(limits());
    peer.send(get("/file") + "GET /small HTTP/1.1\r\n");
    peer.read(1000);
    peer.wait(20 * SECOND);
    assert_eq!(peer.settle(), Step::Receive);
    let is_over = peer.connection.deadline().is_some_and(|deadline| deadline <= peer.now.moment);
    assert!(
        !is_over,
        "the rest of the head, in the socket buffer, would be late before it could be read"
    );
}

#[test]
fn the_body_timeout_excludes_time_in_which_the_connection_did_not_read() {
    let mut peer = Peer::new(limits());
    peer.send("GET /file HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    peer.read(1000);
    peer.wait(20 * SECOND);
    assert_eq!(peer.settle(), Step::Receive);
    let is_over = peer.connection.deadline().is_some_and(|deadline| deadline <= peer.now.moment);
    assert!(!is_over, "the body, in the socket buffer, would be late before it could be read");
}

#[test]
fn a_connection_that_waits_for_its_peer_has_a_deadline() {
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
        peer.send(input);
        assert!(peer.time_left() > Some(Duration::ZERO), "after {input:?}");
        peer.settle();
        assert!(peer.time_left() > Some(Duration::ZERO), "after {input:?} and the responses to it");
    }
}
