//! How a connection closes: for which reason, after which responses, and with or without a
//! lingering close.

use miniweb::http::{CloseReason, Closing, Limits, RequestError, Step};

use super::peer::{Peer, Received, get};

fn close(reason: CloseReason) -> Step {
    Step::Close(Closing { reason, reset: false })
}

/// The Connection header of each response.
fn persistence(responses: &[Received]) -> Vec<Option<&str>> {
    responses.iter().map(|response| response.connection.as_deref()).collect()
}

#[test]
fn no_request_is_processed_after_connection_close() {
    let last = "GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/small") + last + &get("/part"));
    // The peer has sent more than it announced. Without a half-close, closing could reset the
    // connection before the peer has read the response.
    assert_eq!(peer.settle(), Step::Receive);
    peer.send(get("/part"));
    assert_eq!(peer.site.requests, 2);
    assert_eq!(persistence(&peer.responses()), [None, Some("close")]);
    assert_eq!(peer.finish().reason, CloseReason::ClientRequested);
}

#[test]
fn a_connection_closes_without_lingering_if_the_client_requested_it_and_sent_nothing_more() {
    for request in
        ["GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /file HTTP/1.0\r\n\r\n"]
    {
        let mut peer = Peer::new(Limits::default());
        peer.send(request);
        assert_eq!(peer.settle(), close(CloseReason::ClientRequested));
        assert_eq!(persistence(&peer.responses()), [Some("close")]);
    }
}

#[test]
fn a_connection_lingers_if_the_client_requested_close_but_sent_more() {
    for more in [&b"\r\n"[..], b"GET /small HTTP/1.1\r\n"] {
        let mut peer = Peer::new(Limits::default());
        peer.send("GET /file HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        while peer.connection.step() == Step::Send {
            peer.read(1000);
        }
        assert_eq!(peer.connection.step(), Step::CheckInput);
        peer.send_unrequested(more);
        assert_eq!(peer.connection.step(), Step::HalfClose, "a reset could destroy the response");
        assert_eq!(persistence(&peer.responses()), [Some("close")]);
        assert_eq!(peer.finish().reason, CloseReason::ClientRequested);
    }
}

#[test]
fn an_http_1_0_connection_persists_with_keep_alive_and_the_response_says_so() {
    let mut peer = Peer::new(Limits::default());
    peer.send("GET /small HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(persistence(&peer.responses()), [Some("keep-alive")]);
}

#[test]
fn the_response_to_the_last_allowed_request_says_close() {
    let mut peer = Peer::new(Limits { requests_max: 3, ..Limits::default() });
    peer.send(get("/small").repeat(5));
    peer.settle();
    assert_eq!(persistence(&peer.responses()), [None, None, Some("close")]);
    assert_eq!(peer.finish().reason, CloseReason::RequestsMax);
}

#[test]
fn a_malformed_request_is_answered_with_400_and_a_lingering_close() {
    let mut peer = Peer::new(Limits::default());
    peer.send(
        get("/small") + "GET /small HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n" + &get("/small"),
    );
    while peer.connection.step() == Step::Send {
        peer.read(7);
    }
    assert_eq!(peer.connection.step(), Step::HalfClose, "a reset could destroy the response");
    assert_eq!(persistence(&peer.responses()), [None, Some("close")]);
    assert_eq!(peer.finish().reason, CloseReason::Refused(RequestError::InvalidHeaderName));
    assert_eq!(peer.site.requests, 1);
}

#[test]
fn requests_received_before_the_end_of_input_are_answered() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/file").repeat(10) + "GET /sm");
    peer.settle_in_writes_of(100);
    peer.connection.end_of_input();
    assert_eq!(peer.settle(), close(CloseReason::InputEnded));
    assert_eq!(peer.responses().len(), 10);
}

#[test]
fn a_failed_connection_sends_nothing() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/file"));
    peer.read(usize::MAX);
    peer.read(100);
    peer.connection.fail(CloseReason::FileTruncated);
    assert_eq!(peer.connection.step(), close(CloseReason::FileTruncated));
    assert_eq!(peer.responses()[0].body.len(), 100);
}

#[test]
fn a_graceful_shutdown_processes_one_more_request_and_says_close() {
    for sent_before_shutdown in ["", "GET /sm", "\r\n"] {
        let mut peer = Peer::new(Limits::default());
        peer.send(get("/part"));
        peer.settle();
        peer.send(sent_before_shutdown);
        peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
        peer.send((get("/small") + &get("/part")).trim_start_matches(sent_before_shutdown));
        peer.settle();
        assert_eq!(
            persistence(&peer.responses()),
            [None, Some("close")],
            "{sent_before_shutdown:?} was sent before the shutdown"
        );
        peer.finish();
        assert_eq!(peer.site.requests, 2);
    }
}

#[test]
fn a_graceful_shutdown_processes_one_more_of_the_requests_behind_a_full_queue() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/large").repeat(20));
    let queued = peer.site.requests;
    assert!(queued < 20);
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.settle();
    peer.finish();
    let responses = peer.responses();
    assert_eq!(responses.len(), queued + 1);
    assert_eq!(responses.last().and_then(|response| response.connection.as_deref()), Some("close"));
}

#[test]
fn a_graceful_shutdown_during_a_request_body_closes_after_the_body() {
    let mut peer = Peer::new(Limits::default());
    peer.send("GET /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.settle();
    peer.send("lo".to_owned() + &get("/small"));
    assert_eq!(peer.finish().reason, CloseReason::Stopping);
    assert_eq!(peer.site.requests, 1);
}

#[test]
fn a_graceful_shutdown_does_not_change_how_long_a_connection_has_been_idle() {
    let mut peer = Peer::new(Limits::default());
    let accepted = peer.now.moment;
    peer.wait(std::time::Duration::from_secs(3));
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    assert!(peer.connection.awaits_first_request());
    assert_eq!(peer.connection.eviction_candidate().map(|idle| idle.since), Some(accepted));
}

#[test]
fn a_graceful_shutdown_is_the_close_reason() {
    let mut peer = Peer::new(Limits::default());
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.send(get("/small"));
    assert_eq!(peer.finish().reason, CloseReason::Stopping);
}

#[test]
fn graceful_shutdown_is_idempotent() {
    let mut peer = Peer::new(Limits::default());
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.send(get("/small"));
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.settle();
    assert_eq!(persistence(&peer.responses()), [Some("close")]);
}

#[test]
fn a_closed_connection_ignores_every_event() {
    let mut peer = Peer::new(Limits::default());
    peer.connection.end_of_input();
    assert_eq!(peer.settle(), close(CloseReason::InputEnded));
    peer.send_unrequested(get("/small").as_bytes());
    peer.connection.handle_timeout(&peer.now, &peer.site);
    peer.connection.half_closed(&peer.now);
    peer.connection.end_of_input();
    assert_eq!(peer.connection.step(), close(CloseReason::InputEnded));
    assert_eq!(peer.site.requests, 0);
}
