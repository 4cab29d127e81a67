//! The exchanges handed to the access log: one per response, when its last byte is sent or never
//! will be.

use std::time::Duration;

use miniweb::http::Limits;

use super::peer::{LARGE_BYTES, PART, Peer, get, spans};

fn recording() -> Peer {
    Peer::new(Limits { record_exchanges: true, ..Limits::default() })
}

/// Request line, status, body bytes sent, and completeness of each exchange.
fn logged(peer: &Peer) -> Vec<(String, u16, u64, bool)> {
    let entry = |e: &miniweb::http::Exchange| {
        (
            String::from_utf8_lossy(&e.request_line).into_owned(),
            e.status.code(),
            e.body_bytes,
            e.complete,
        )
    };
    peer.exchanges.iter().map(entry).collect()
}

fn abandon(peer: &mut Peer) {
    let exchanges = &mut peer.exchanges;
    peer.connection.abandon(|exchange| exchanges.push(exchange));
}

#[test]
fn each_response_is_logged_once_with_the_bytes_sent() {
    let mut peer = recording();
    let started = peer.now.moment;
    peer.send(
        ["/small", "/large", "/deferred", "/parts", "/empty"].map(get).concat()
            + "HEAD /large HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: test\r\n\r\n",
    );
    peer.wait(Duration::from_secs(1));
    peer.settle_in_writes_of(13);
    let line = |path: &str| format!("GET {path} HTTP/1.1");
    assert_eq!(
        logged(&peer),
        [
            (line("/small"), 200, 5, true),
            (line("/large"), 200, LARGE_BYTES as u64, true),
            (line("/deferred"), 200, 4, true),
            (line("/parts"), 200, 11 + PART.end - PART.start, true),
            (line("/empty"), 200, 0, true),
            ("HEAD /large HTTP/1.1".into(), 200, 0, true),
        ]
    );
    let last = peer.exchanges.last().expect("six exchanges");
    assert_eq!(
        (last.referer.as_deref(), last.user_agent.as_deref()),
        (Some(&b"http://b/"[..]), Some(&b"test"[..]))
    );
    assert_eq!(peer.exchanges[0].started, started);
    peer.finish();
    abandon(&mut peer);
    assert_eq!(peer.exchanges.len(), 6);
}

#[test]
fn a_response_is_logged_when_its_last_byte_is_sent() {
    let mut peer = recording();
    peer.send(get("/small"));
    let length = peer.read(usize::MAX);
    let mut peer = recording();
    peer.send(get("/small"));
    peer.read(length - 1);
    assert!(peer.exchanges.is_empty());
    peer.read(1);
    assert_eq!(peer.exchanges.len(), 1);
}

#[test]
fn a_refused_request_is_logged_with_its_request_line() {
    let mut peer = recording();
    peer.send("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.settle();
    let [(line, 501, body_bytes, true)] = &logged(&peer)[..] else { panic!("{:?}", logged(&peer)) };
    assert_eq!(line, "BREW /pot HTTP/1.1");
    assert_eq!(*body_bytes, peer.responses()[0].body.len() as u64);
}

#[test]
fn a_head_that_timed_out_is_logged_with_its_partial_request_line() {
    let mut peer = recording();
    peer.send("GET /sm");
    peer.time_out();
    peer.settle();
    let [(line, 408, _, true)] = &logged(&peer)[..] else { panic!("{:?}", logged(&peer)) };
    assert_eq!(line, "GET /sm");
}

#[test]
fn an_incomplete_response_is_logged_with_the_bytes_sent() {
    let mut peer = recording();
    peer.send(["/small", "/large", "/part", "/small"].map(get).concat());
    // Two writes: the memory before the file, and a part of the file. The request behind it waits.
    peer.read(usize::MAX);
    peer.read(120);
    peer.time_out();
    abandon(&mut peer);
    let entries: Vec<_> = logged(&peer)
        .into_iter()
        .map(|(_, status, bytes, complete)| (status, bytes, complete))
        .collect();
    assert_eq!(entries, [(200, 5, true), (200, LARGE_BYTES as u64, true), (200, 120, false)]);
    abandon(&mut peer);
    assert_eq!(peer.exchanges.len(), 3, "each exchange is handed out once");
}

#[test]
fn a_response_with_an_incomplete_head_is_logged_with_zero_body_bytes() {
    for path in ["/small", "/large", "/file"] {
        let mut peer = recording();
        peer.send(get(path));
        peer.read(20);
        abandon(&mut peer);
        assert_eq!(logged(&peer), [(format!("GET {path} HTTP/1.1"), 200, 0, false)]);
    }
}

#[test]
fn body_bytes_are_exact_wherever_the_output_is_cut_off() {
    let pipeline = ["/small", "/empty", "/small", "/parts"].map(get).concat();
    let whole = {
        let mut peer = recording();
        peer.send(&pipeline);
        peer.settle();
        peer.received
    };
    let bodies: Vec<_> = spans(&whole).into_iter().map(|span| span.head_end..span.end).collect();
    for sent in 0..whole.len() {
        let mut peer = recording();
        peer.send(&pipeline);
        while peer.received.len() < sent {
            peer.read(sent - peer.received.len());
        }
        abandon(&mut peer);
        let expected: Vec<_> = bodies
            .iter()
            .map(|body| (sent.clamp(body.start, body.end) - body.start, sent >= body.end))
            .collect();
        let seen: Vec<_> =
            peer.exchanges.iter().map(|e| (e.body_bytes as usize, e.complete)).collect();
        assert_eq!(seen, expected, "after {sent} bytes");
    }
}

#[test]
fn no_exchange_is_recorded_without_an_access_log() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/small"));
    peer.settle();
    peer.send(get("/small"));
    abandon(&mut peer);
    assert!(peer.exchanges.is_empty());
}
