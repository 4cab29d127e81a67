//! How a connection ends: who wanted it, what is answered before, and what isn't any more.

use miniweb::http::{CloseReason, Closing, Limits, RequestError, Step};

use super::peer::{Peer, Received, get};

fn close(reason: CloseReason) -> Step {
    Step::Close(Closing { reason, reset: false })
}

/// What the Connection field of each answer says.
fn persistence(answers: &[Received]) -> Vec<Option<&str>> {
    answers.iter().map(|answer| answer.connection.as_deref()).collect()
}

#[test]
fn after_a_close_nothing_is_answered() {
    let last = "GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/small") + last + &get("/part"));
    // The peer has sent more than it said it would: without a half-close the reset could overtake the answer.
    assert_eq!(peer.settle(), Step::Receive);
    peer.give(get("/part"));
    assert_eq!(peer.site.answered, 2);
    assert_eq!(persistence(&peer.answers()), [None, Some("close")]);
    assert_eq!(peer.finish().reason, CloseReason::ClientRequested);
}

#[test]
fn a_peer_that_asks_for_the_close_and_sends_no_more_is_closed_at_once() {
    for request in
        ["GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /file HTTP/1.0\r\n\r\n"]
    {
        let mut peer = Peer::new(Limits::default());
        peer.give(request);
        assert_eq!(peer.settle(), close(CloseReason::ClientRequested));
        assert_eq!(persistence(&peer.answers()), [Some("close")]);
    }
}

#[test]
fn a_peer_that_sends_more_than_it_said_is_given_time_to_read() {
    for more in [&b"\r\n"[..], b"GET /small HTTP/1.1\r\n"] {
        let mut peer = Peer::new(Limits::default());
        peer.give("GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        while peer.connection.step() == Step::Send {
            peer.take(1000);
        }
        assert_eq!(peer.connection.step(), Step::CheckInput);
        peer.receive(more);
        assert_eq!(
            peer.connection.step(),
            Step::HalfClose,
            "so that no reset takes the answer away"
        );
        assert_eq!(persistence(&peer.answers()), [Some("close")]);
        assert_eq!(peer.finish().reason, CloseReason::ClientRequested);
    }
}

#[test]
fn http_1_0_goes_on_where_it_asks_to_and_is_told_so() {
    let mut peer = Peer::new(Limits::default());
    peer.give("GET /small HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(persistence(&peer.answers()), [Some("keep-alive")]);
}

#[test]
fn the_last_request_of_a_connection_is_told_so() {
    let mut peer = Peer::new(Limits { requests_max: 3, ..Limits::default() });
    peer.give(get("/small").repeat(5));
    peer.settle();
    assert_eq!(persistence(&peer.answers()), [None, None, Some("close")]);
    assert_eq!(peer.finish().reason, CloseReason::RequestsMax);
}

#[test]
fn what_is_no_request_ends_the_connection_in_order() {
    let mut peer = Peer::new(Limits::default());
    peer.give(
        get("/small") + "GET /small HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n" + &get("/small"),
    );
    while peer.connection.step() == Step::Send {
        peer.take(7);
    }
    assert_eq!(peer.connection.step(), Step::HalfClose, "so that no reset takes the answer away");
    assert_eq!(persistence(&peer.answers()), [None, Some("close")]);
    assert_eq!(peer.finish().reason, CloseReason::Refused(RequestError::InvalidHeaderName));
    assert_eq!(peer.site.answered, 1);
}

#[test]
fn a_request_followed_by_the_end_of_input_is_answered() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/file").repeat(10) + "GET /sm");
    peer.settle_in_writes_of(100);
    peer.connection.end_of_input();
    assert_eq!(peer.settle(), close(CloseReason::PeerClosed));
    assert_eq!(peer.answers().len(), 10);
}

#[test]
fn a_failed_connection_sends_nothing_more() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/file"));
    peer.take(usize::MAX);
    peer.take(100);
    peer.connection.fail(CloseReason::FileTruncated);
    assert_eq!(peer.connection.step(), close(CloseReason::FileTruncated));
    assert_eq!(peer.answers()[0].body.len(), 100);
}

#[test]
fn a_stop_lets_one_request_more_through_and_says_close() {
    for sent_before_the_stop in ["", "GET /sm", "\r\n"] {
        let mut peer = Peer::new(Limits::default());
        peer.give(get("/part"));
        peer.settle();
        peer.give(sent_before_the_stop);
        peer.connection.graceful_shutdown(&peer.now);
        peer.give((get("/small") + &get("/part")).trim_start_matches(sent_before_the_stop));
        peer.settle();
        assert_eq!(
            persistence(&peer.answers()),
            [None, Some("close")],
            "{sent_before_the_stop:?} was sent before"
        );
        peer.finish();
        assert_eq!(peer.site.answered, 2);
    }
}

#[test]
fn a_stop_lets_one_request_more_through_of_those_that_a_full_queue_held_up() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/large").repeat(20));
    let queued = peer.site.answered;
    assert!(queued < 20);
    peer.connection.graceful_shutdown(&peer.now);
    peer.settle();
    peer.finish();
    let answers = peer.answers();
    assert_eq!(answers.len(), queued + 1);
    assert_eq!(answers.last().and_then(|answer| answer.connection.as_deref()), Some("close"));
}

#[test]
fn a_stop_during_a_body_ends_with_it() {
    let mut peer = Peer::new(Limits::default());
    peer.give("GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    peer.connection.graceful_shutdown(&peer.now);
    peer.settle();
    peer.give("lo".to_owned() + &get("/small"));
    assert_eq!(peer.finish().reason, CloseReason::Stopping);
    assert_eq!(peer.site.answered, 1);
}

#[test]
fn a_graceful_shutdown_does_not_change_since_when_a_new_connection_is_idle() {
    let mut peer = Peer::new(Limits::default());
    let accepted = peer.now.moment;
    peer.wait(std::time::Duration::from_secs(3));
    peer.connection.graceful_shutdown(&peer.now);
    assert!(peer.connection.awaits_first_request());
    assert_eq!(peer.connection.idle_state().map(|idle| idle.since), Some(accepted));
}

#[test]
fn the_reason_of_a_stop_is_the_stop() {
    let mut peer = Peer::new(Limits::default());
    peer.connection.graceful_shutdown(&peer.now);
    peer.give(get("/small"));
    assert_eq!(peer.finish().reason, CloseReason::Stopping);
}

#[test]
fn a_stop_may_come_twice() {
    let mut peer = Peer::new(Limits::default());
    peer.connection.graceful_shutdown(&peer.now);
    peer.connection.graceful_shutdown(&peer.now);
    peer.give(get("/small"));
    peer.connection.graceful_shutdown(&peer.now);
    peer.settle();
    assert_eq!(persistence(&peer.answers()), [Some("close")]);
}

#[test]
fn nothing_is_asked_of_a_connection_that_is_over() {
    let mut peer = Peer::new(Limits::default());
    peer.connection.end_of_input();
    assert_eq!(peer.settle(), close(CloseReason::PeerClosed));
    peer.receive(get("/small").as_bytes());
    peer.connection.handle_timeout(&peer.now);
    peer.connection.half_closed(&peer.now);
    peer.connection.end_of_input();
    assert_eq!(peer.connection.step(), close(CloseReason::PeerClosed));
    assert_eq!(peer.site.answered, 0);
}
