//! Deferred replies: the connection waits while a response is computed.

use std::time::Duration;

use miniweb::http::{CloseReason, Limits, Step};

use super::peer::{ERROR_HEADER, Peer, get};

#[test]
fn a_connection_processes_no_request_while_a_reply_is_deferred() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/deferred") + &get("/small").repeat(3));
    assert_eq!((peer.connection.step(), peer.site.requests), (Step::Wait, 1));
    assert_eq!(peer.connection.deadline(), None, "the peer is not waited for");
    peer.settle();
    let paths: Vec<_> = peer.responses().into_iter().filter_map(|response| response.path).collect();
    assert_eq!(paths, ["/deferred", "/small", "/small", "/small"]);
}

#[test]
fn earlier_responses_are_sent_while_a_reply_is_deferred() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/small") + &get("/deferred"));
    peer.read(usize::MAX);
    assert_eq!(peer.connection.step(), Step::Wait);
    assert_eq!(peer.responses().len(), 1);
}

#[test]
fn a_deferred_response_is_queued_behind_unsent_responses() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/large") + &get("/deferred") + &get("/small"));
    peer.read(10);
    let deferred = peer.deferred.take().expect("the second reply is deferred");
    peer.connection.complete(deferred.wait(), &peer.now);
    peer.settle_in_writes_of(100);
    let paths: Vec<_> = peer.responses().into_iter().filter_map(|response| response.path).collect();
    assert_eq!(paths, ["/large", "/deferred", "/small"]);
}

#[test]
fn deferred_work_may_leave_the_reply_to_another_thread() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/elsewhere") + &get("/small"));
    peer.settle();
    let paths: Vec<_> = peer.responses().into_iter().filter_map(|response| response.path).collect();
    assert_eq!(paths, ["/elsewhere", "/small"]);
}

#[test]
fn deferred_work_that_never_replies_becomes_a_500_and_the_connection_persists() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/dropped") + &get("/small"));
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(peer.statuses(), [500, 200]);
}

#[test]
fn deferred_work_that_panics_becomes_a_500_and_the_connection_persists() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/panic") + &get("/small"));
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(peer.statuses(), [500, 200]);
}

#[test]
fn refused_work_becomes_a_503_and_the_connection_persists() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/deferred") + &get("/small"));
    let deferred = peer.deferred.take().expect("the reply is deferred");
    peer.connection.complete(deferred.refuse(), &peer.now);
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!(peer.statuses(), [503, 200]);
}

#[test]
fn an_error_that_is_made_without_the_site_has_the_headers_of_the_site() {
    let mut peer = Peer::new(Limits::default());
    let refused = "BREW / HTTP/1.1\r\nHost: a\r\n\r\n";
    peer.send(get("/deferred") + &get("/panic") + &get("/dropped") + refused);
    let deferred = peer.deferred.take().expect("the first reply is deferred");
    peer.connection.complete(deferred.refuse(), &peer.now);
    peer.settle();
    assert_eq!(peer.statuses(), [503, 500, 500, 501]);
    assert_eq!(memchr::memmem::find_iter(&peer.received, ERROR_HEADER).count(), 4);
}

#[test]
fn a_check_that_is_not_made_gets_an_error_with_the_headers_of_the_site() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/refused") + &get("/panic-in-check") + &get("/small"));
    let check = peer.deferred.take().expect("the first request is checked");
    peer.connection.complete(check.refuse(), &peer.now);
    peer.settle();
    assert_eq!(peer.statuses(), [503, 500, 200]);
    assert_eq!(memchr::memmem::find_iter(&peer.received, ERROR_HEADER).count(), 2);
}

#[test]
fn the_site_is_asked_again_about_a_request_that_passes_its_check() {
    for path in ["/checked", "/checked-deferred"] {
        let mut peer = Peer::new(Limits { record_exchanges: true, ..Limits::default() });
        peer.send(get("/small1") + &get(path) + &get("/small2"));
        assert_eq!((peer.connection.step(), peer.site.requests), (Step::Send, 2));
        let check = peer.deferred.take().expect("the second request is checked");
        assert!(check.is_check());
        peer.connection.complete(check.wait(), &peer.now);
        assert_eq!(peer.settle(), Step::Receive);
        let responses = peer.responses();
        let paths: Vec<_> =
            responses.iter().filter_map(|response| response.path.as_deref()).collect();
        assert_eq!(paths, ["/small1", path, "/small2"]);
        assert_eq!(peer.exchanges.len(), 3, "each request is recorded once");
    }
}

#[test]
fn a_request_that_fails_its_check_gets_the_response_of_the_check() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/refused") + &get("/small"));
    assert_eq!(peer.settle(), Step::Receive);
    assert_eq!((peer.statuses(), peer.site.requests), (vec![401, 200], 2));
}

#[test]
fn a_request_that_passes_its_check_is_framed_like_any_other() {
    let close = Some("close".to_owned());
    let limited = Limits { requests_max: 1, ..Limits::default() };
    for (limits, fields, body, next, said) in [
        (Limits::default(), "Connection: close\r\n", "", "", vec![close.clone()]),
        // The body is discarded, so the next request is not parsed from it.
        (Limits::default(), "Content-Length: 3\r\n", "abc", "/small", vec![None, None]),
        (limited, "", "", "", vec![close]),
    ] {
        let mut peer = Peer::new(limits);
        let head = get("/checked").replace("\r\n\r\n", &format!("\r\n{fields}\r\n"));
        let next = if next.is_empty() { String::new() } else { get(next) };
        peer.send(head + body + &next);
        peer.settle();
        peer.finish();
        let connection: Vec<_> =
            peer.responses().into_iter().map(|response| response.connection).collect();
        assert_eq!(connection, said, "{fields}");
    }
}

#[test]
fn the_time_of_a_check_belongs_to_its_exchange() {
    let mut peer = Peer::new(Limits { record_exchanges: true, ..Limits::default() });
    let started = peer.now.moment;
    peer.send(get("/checked") + &get("/small"));
    peer.wait(Duration::from_secs(3));
    peer.settle();
    let times: Vec<_> =
        peer.exchanges.iter().map(|exchange| exchange.started.since(started)).collect();
    assert_eq!(times, [Duration::ZERO, Duration::from_secs(3)]);
}

#[test]
fn a_deferred_response_is_dropped_if_the_connection_failed() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/deferred"));
    peer.connection.fail(CloseReason::Failed);
    let deferred = peer.deferred.take().expect("the reply is deferred");
    peer.connection.complete(deferred.wait(), &peer.now);
    assert!(
        matches!(peer.connection.step(), Step::Close(closing) if closing.reason == CloseReason::Failed)
    );
}

#[test]
fn a_graceful_shutdown_during_a_deferred_reply_processes_one_more_request() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/deferred") + &get("/small").repeat(3));
    peer.connection.graceful_shutdown(CloseReason::Stopping, &peer.now);
    peer.settle();
    peer.finish();
    let said: Vec<_> = peer.responses().into_iter().map(|response| response.connection).collect();
    assert_eq!(said, [None, Some("close".to_owned())]);
}
