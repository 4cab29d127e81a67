//! What a client may do with its records, and how a session ends: with a close_notify behind a
//! complete response, and never behind one that is cut short.

use std::io::Write;

use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, crypto::aws_lc_rs};

use crate::case::{Case, cases};
use crate::support::{
    End, Peer, Server, Setup, Site, client_config, client_with, get, is_encrypted, patterned,
    shown, wait_until,
};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![if is_encrypted;
        records_may_be_short_and_many,
        requests_may_be_split_over_records_and_share_them,
        key_updates_are_answered,
        many_key_updates_do_not_grow_memory,
        a_close_notify_without_fin_ends_the_connection_after_the_responses,
        a_close_notify_in_the_middle_of_a_request_ends_the_connection,
        what_follows_a_close_notify_is_ignored,
        a_response_with_close_ends_with_a_close_notify,
        a_file_that_is_cut_short_ends_without_a_close_notify,
        a_shutdown_that_cuts_a_response_short_sends_no_close_notify,
        a_shutdown_lets_a_response_end_with_a_close_notify,
        a_forged_record_ends_the_connection,
    ];
    let many = cases![if |setup| is_encrypted(setup) && setup.concurrency >= 200 && !setup.forks;
        clients_that_do_not_read_hold_little_memory];
    [everywhere, many].concat()
}

/// No connection is closed for lack of input during a test.
const PATIENT: [&str; 2] = ["--header-timeout=3600", "--idle-timeout=3600"];

const CLOSE: &str = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Clients with TLS 1.3 and with TLS 1.2.
fn configs() -> [std::sync::Arc<ClientConfig>; 2] {
    [client_config(), client_with(aws_lc_rs::default_provider(), &[&TLS12]).into()]
}

/// The records that the session of `peer` has to send.
fn records(peer: &mut Peer) -> Vec<u8> {
    let session = peer.session();
    let mut records = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut records).expect("a vector takes all");
    }
    records
}

/// The records with which `peer` would send these pieces.
fn encrypted<'a>(peer: &mut Peer, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut encrypted = Vec::new();
    for piece in pieces {
        peer.session().writer().write_all(piece).expect("a record has room");
        encrypted.extend(records(peer));
    }
    encrypted
}

#[track_caller]
fn send_raw(peer: &mut Peer, bytes: &[u8]) {
    peer.stream.write_all(bytes).expect("the server reads its input");
}

/// One byte in each record, each record in a segment of its own and all together.
fn records_may_be_short_and_many(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for config in configs() {
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        peer.send_in_pieces(get("/page.html"), 1);
        assert_eq!(peer.response().status, 200);
        let requests = get("/page.html").repeat(50);
        let many = encrypted(&mut peer, requests.as_bytes().chunks(1));
        send_raw(&mut peer, &many);
        for _ in 0..50 {
            assert_eq!(peer.response().content_length(), 35);
        }
        // The bytes of the records themselves arrive one at a time.
        let one = encrypted(&mut peer, std::iter::once(CLOSE.as_bytes()));
        one.iter().for_each(|byte| send_raw(&mut peer, &[*byte]));
        assert_eq!(peer.response().status, 200);
        peer.expect_end();
    }
}

fn requests_may_be_split_over_records_and_share_them(setup: &'static Setup) {
    let site = Site::new();
    site.write("64k.bin", patterned(64 * 1024));
    let server = Server::start(setup, site.root(), &PATIENT);
    let content = patterned(64 * 1024);
    let requests = get("/64k.bin").repeat(20) + CLOSE;
    for config in configs() {
        for piece_bytes in [7, 100, requests.len()] {
            let mut peer = server.connect_plainly().with_tls(Some(&config));
            let pieces = encrypted(&mut peer, requests.as_bytes().chunks(piece_bytes));
            send_raw(&mut peer, &pieces);
            for _ in 0..20 {
                assert!(peer.response().body == content);
            }
            assert_eq!(peer.response().content_length(), 35);
            peer.expect_end();
        }
    }
}

fn key_updates_are_answered(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let config = client_with(aws_lc_rs::default_provider(), &[&TLS13]).into();
    let mut peer = server.connect_plainly().with_tls(Some(&config));
    for _ in 0..20 {
        peer.session().refresh_traffic_keys().expect("the handshake is complete");
        let update = records(&mut peer);
        assert!(!update.is_empty());
        send_raw(&mut peer, &update);
        assert_eq!(peer.get("/page.html").status, 200);
    }
    // Between two halves of a request.
    peer.send(&CLOSE[..20]);
    peer.session().refresh_traffic_keys().expect("the handshake is complete");
    peer.send(&CLOSE[20..]);
    assert_eq!(peer.response().status, 200);
    peer.expect_end();
}

/// The client reads none of the responses.
fn many_key_updates_do_not_grow_memory(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let config = client_with(aws_lc_rs::default_provider(), &[&TLS13]).into();
    let mut peer = server.connect_plainly().with_tls(Some(&config));
    assert_eq!(peer.get("/page.html").status, 200);
    let before = server.memory_bytes();
    let mut updates = Vec::new();
    for _ in 0..20_000 {
        peer.session().refresh_traffic_keys().expect("the handshake is complete");
        updates.extend(records(&mut peer));
    }
    // The server may refuse so many, but not hold them.
    let _ = peer.stream.write_all(&updates);
    let _ = peer.try_send(CLOSE);
    let (response, end) = peer.rest();
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    let is_served = response.starts_with(b"HTTP/1.1 200") && end == End::Clean;
    assert!(is_served || response.is_empty(), "{end:?} after {}", shown(&response));
}

#[track_caller]
fn send_close_notify(peer: &mut Peer) {
    peer.session().send_close_notify();
    let alert = records(peer);
    send_raw(peer, &alert);
}

/// Not only after the idle timeout: what follows a close_notify would be ignored.
fn a_close_notify_without_fin_ends_the_connection_after_the_responses(setup: &'static Setup) {
    let site = Site::new();
    site.write("large.bin", patterned(3 << 20));
    let content = patterned(3 << 20);
    let server = Server::start(setup, site.root(), &PATIENT);
    for config in configs() {
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        peer.complete_handshake();
        send_close_notify(&mut peer);
        peer.expect_end();
        for path in ["/page.html", "/large.bin"] {
            let mut peer = server.connect_plainly().with_tls(Some(&config));
            assert_eq!(peer.get("/page.html").status, 200);
            peer.send(get(path).repeat(3));
            send_close_notify(&mut peer);
            for _ in 0..3 {
                let response = peer.response();
                assert!(response.content_length() == 35 || response.body == content);
            }
            peer.expect_end();
        }
        // In one segment with a request.
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        peer.complete_handshake();
        let mut together = encrypted(&mut peer, std::iter::once(get("/page.html").as_bytes()));
        peer.session().send_close_notify();
        together.extend(records(&mut peer));
        send_raw(&mut peer, &together);
        assert_eq!(peer.response().status, 200);
        peer.expect_end();
    }
}

fn a_close_notify_in_the_middle_of_a_request_ends_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for start in ["G", "GET / HTTP/1.1\r\nHost: h\r\n"] {
        let mut peer = server.connect();
        peer.send(start);
        peer.complete_handshake();
        send_close_notify(&mut peer);
        let (bytes, _) = peer.rest();
        // A 400 is allowed, but no content.
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400"), "{}", shown(&bytes));
    }
}

fn what_follows_a_close_notify_is_ignored(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").status, 200);
    send_close_notify(&mut peer);
    // The server may have closed already.
    let _ = peer.stream.write_all(&[&[23, 3, 3, 0, 40][..], &[9; 40]].concat());
    let _ = peer.stream.write_all(get("/page.html").as_bytes());
    let (bytes, _) = peer.rest();
    assert_eq!(shown(&bytes), "");
    assert_eq!(server.get("/page.html").status, 200);
}

fn a_response_with_close_ends_with_a_close_notify(setup: &'static Setup) {
    let site = Site::new();
    site.write("large.bin", patterned(3 << 20));
    site.sparse("huge.bin", 24 << 20);
    let server = Server::start(setup, site.root(), &PATIENT);
    for config in configs() {
        for path in ["/page.html", "/large.bin", "/huge.bin", "/missing"] {
            let mut peer = server.connect_plainly().with_tls(Some(&config));
            peer.send(CLOSE.replace("/page.html", path));
            assert!(peer.response().says_close());
            peer.expect_end();
        }
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        assert_eq!(peer.ask("nonsense\r\n\r\n").status, 400);
        peer.expect_end();
    }
}

fn a_file_that_is_cut_short_ends_without_a_close_notify(setup: &'static Setup) {
    let site = Site::new();
    for size in [24 << 20, 40 << 20] {
        let server = Server::start(setup, site.root(), &[]);
        let file = site.sparse("huge.bin", size);
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        assert_eq!(peer.response_to_head().content_length(), size);
        file.set_len(1 << 20).expect("the test owns the file");
        let (body, end) = peer.rest();
        assert!((body.len() as u64) < size, "{} bytes", body.len());
        assert!(matches!(end, End::Truncated | End::Reset), "{end:?}");
    }
}

fn a_shutdown_that_cuts_a_response_short_sends_no_close_notify(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let mut server = Server::start(setup, site.root(), &["--shutdown-timeout=0.3"]);
    let mut peer = server.connect();
    peer.send(get("/huge.bin"));
    peer.response_to_head();
    server.signal(Signal::TERM);
    server.wait();
    let (body, end) = peer.rest();
    assert!(body.len() < 1 << 30);
    assert!(matches!(end, End::Truncated | End::Reset), "{end:?}");
}

fn a_shutdown_lets_a_response_end_with_a_close_notify(setup: &'static Setup) {
    const BYTES: usize = 24 << 20;
    let site = Site::new();
    site.sparse("huge.bin", BYTES as u64);
    let mut server = Server::start(setup, site.root(), &["--shutdown-timeout=20"]);
    let mut peer = server.connect();
    peer.send(get("/huge.bin"));
    peer.response_to_head();
    server.signal(Signal::TERM);
    assert_eq!(peer.take(BYTES).len(), BYTES);
    peer.expect_end();
    assert!(server.wait().success());
}

fn a_forged_record_ends_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for config in configs() {
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        assert_eq!(peer.get("/page.html").status, 200);
        let mut forged = encrypted(&mut peer, std::iter::once(CLOSE.as_bytes()));
        let last = forged.last_mut().expect("a record has a tag");
        *last ^= 1;
        send_raw(&mut peer, &forged);
        let (bytes, end) = peer.rest();
        assert!(bytes.is_empty() && matches!(end, End::Alert(_)), "{end:?}: {}", shown(&bytes));
    }
    assert_eq!(server.get("/page.html").status, 200);
}

fn clients_that_do_not_read_hold_little_memory(setup: &'static Setup) {
    const CLIENTS: usize = 200;
    // The batch that the socket has not accepted, and the session. A thread has buffers of its own.
    let bytes_max = if setup.event_loops > 0 { 128 * 1024 } else { 384 * 1024 };
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &["--write-timeout=3600"]);
    for _ in 0..10 {
        assert_eq!(server.get("/page.html").status, 200);
    }
    let before = server.resident_bytes();
    let mut peers: Vec<Peer> = (0..CLIENTS).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send(get("/huge.bin"));
        peer.await_response();
    }
    let mut last = 0;
    wait_until("all sockets are full", || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let bytes = server.resident_bytes();
        (std::mem::replace(&mut last, bytes) == bytes).then_some(())
    });
    let grown = server.resident_bytes().saturating_sub(before) / CLIENTS as u64;
    assert!(grown < bytes_max, "{grown} bytes for each of {CLIENTS} clients");
}
