//! What an access log is given: one exchange for each answer, when its last byte was taken or will never be.

use std::time::Duration;

use miniweb::http::Limits;

use super::peer::{LARGE_BYTES, PART, Peer, get, spans};

fn recording() -> Peer {
    Peer::new(Limits { record_exchanges: true, ..Limits::default() })
}

/// Request line, status, bytes of the body, complete.
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
fn each_answer_is_logged_once_with_what_was_sent() {
    let mut peer = recording();
    let started = peer.now.moment;
    peer.give(
        ["/small", "/large", "/late", "/parts", "/empty"].map(get).concat()
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
            (line("/late"), 200, 4, true),
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
fn an_answer_is_logged_with_its_last_byte_and_not_before() {
    let mut peer = recording();
    peer.give(get("/small"));
    let length = peer.take(usize::MAX);
    let mut peer = recording();
    peer.give(get("/small"));
    peer.take(length - 1);
    assert!(peer.exchanges.is_empty());
    peer.take(1);
    assert_eq!(peer.exchanges.len(), 1);
}

#[test]
fn what_is_no_request_is_logged_with_its_first_line() {
    let mut peer = recording();
    peer.give("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.settle();
    let [(line, 501, body_bytes, true)] = &logged(&peer)[..] else { panic!("{:?}", logged(&peer)) };
    assert_eq!(line, "BREW /pot HTTP/1.1");
    assert_eq!(*body_bytes, peer.answers()[0].body.len() as u64);
}

#[test]
fn a_late_head_is_logged_with_what_came_of_its_first_line() {
    let mut peer = recording();
    peer.give("GET /sm");
    peer.be_late();
    peer.settle();
    let [(line, 408, _, true)] = &logged(&peer)[..] else { panic!("{:?}", logged(&peer)) };
    assert_eq!(line, "GET /sm");
}

#[test]
fn what_was_not_wholly_sent_is_logged_with_the_bytes_that_were() {
    let mut peer = recording();
    peer.give(["/small", "/large", "/part", "/small"].map(get).concat());
    // Two writes: what stands before the file, and a piece of it. What is asked for behind a file has to wait for it.
    peer.take(usize::MAX);
    peer.take(120);
    peer.be_late();
    abandon(&mut peer);
    let entries: Vec<_> = logged(&peer)
        .into_iter()
        .map(|(_, status, bytes, complete)| (status, bytes, complete))
        .collect();
    assert_eq!(entries, [(200, 5, true), (200, LARGE_BYTES as u64, true), (200, 120, false)]);
    abandon(&mut peer);
    assert_eq!(peer.exchanges.len(), 3, "each is handed out once");
}

#[test]
fn an_answer_of_which_only_a_part_of_the_head_was_sent_has_no_bytes_of_a_body() {
    for path in ["/small", "/large", "/file"] {
        let mut peer = recording();
        peer.give(get(path));
        peer.take(20);
        abandon(&mut peer);
        assert_eq!(logged(&peer), [(format!("GET {path} HTTP/1.1"), 200, 0, false)]);
    }
}

#[test]
fn wherever_the_sending_ends_the_bodies_are_counted_to_the_byte() {
    let pipeline = ["/small", "/empty", "/small", "/parts"].map(get).concat();
    let whole = {
        let mut peer = recording();
        peer.give(&pipeline);
        peer.settle();
        peer.received
    };
    let bodies: Vec<_> = spans(&whole).into_iter().map(|span| span.head_end..span.end).collect();
    for sent in 0..whole.len() {
        let mut peer = recording();
        peer.give(&pipeline);
        while peer.received.len() < sent {
            peer.take(sent - peer.received.len());
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
fn nothing_is_kept_where_nothing_is_logged() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/small"));
    peer.settle();
    peer.give(get("/small"));
    abandon(&mut peer);
    assert!(peer.exchanges.is_empty());
}
