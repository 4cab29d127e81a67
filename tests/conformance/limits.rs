//! Limits on the size of a head and on time. A client that exceeds a limit gets an error response
//! or loses its connection; other clients are served as before.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::framing::{expect_answered, expect_refused};
use crate::support::{Peer, Server, Setup, Site, TIMEOUT, get, head, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        a_target_of_8000_bytes_is_accepted_and_one_more_is_a_414,
        a_target_of_a_megabyte_is_a_414,
        a_method_of_any_length_is_a_501_and_a_version_a_400,
        a_head_of_32_kib_is_accepted_and_one_more_byte_is_a_431,
        a_hundred_headers_are_accepted_and_one_more_is_a_431,
        ten_megabytes_of_headers_are_a_431,
        an_incomplete_head_is_rejected_when_it_exceeds_a_limit,
        an_incomplete_head_is_a_408_at_the_header_timeout,
        single_bytes_do_not_extend_the_header_timeout,
        a_missing_body_does_not_keep_a_connection_open,
        an_idle_connection_is_closed_without_a_response,
        a_request_in_time_is_served_even_if_the_server_is_late,
        a_new_connection_without_a_request_is_closed_without_a_response,
        a_client_that_reads_nothing_is_reset,
        other_timeouts_do_not_apply_while_a_reader_pauses,
        an_unread_pipeline_does_not_grow_memory,
        the_caches_of_all_connections_together_are_bounded,
    ]
}

fn a_target_of_8000_bytes_is_accepted_and_one_more_is_a_414(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let target = |bytes: usize| "/?".to_owned() + &"x".repeat(bytes - 2);
    expect_answered(&server, get(&target(8000)), 200);
    expect_refused(&server, get(&target(8001)), 414);
    expect_refused(&server, get(&("/".to_owned() + &"a/".repeat(10_000))), 414);
    expect_refused(&server, get(&("http://h".to_owned() + &target(8000))), 414);
}

fn a_target_of_a_megabyte_is_a_414(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get(&("/".to_owned() + &"x".repeat(1 << 20))));
    assert_eq!(peer.response().status, 414);
    peer.expect_end();
}

fn a_method_of_any_length_is_a_501_and_a_version_a_400(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let line = |line: String| format!("{line}\r\nHost: h\r\n\r\n");
    let long = |bytes: usize| "B".repeat(bytes);
    for bytes in [8, 100, 7_990, 9_000, 40_000] {
        expect_refused(&server, line(format!("{} / HTTP/1.1", long(bytes))), 501);
        expect_refused(&server, line(format!("GET / HTTP/1.1{}", long(bytes))), 400);
        expect_refused(&server, line(format!("@{} / HTTP/1.1", long(bytes))), 400);
    }
    expect_refused(&server, line(format!("BREW /{} HTTP/1.1", long(8_000))), 414);
    // The client sends no more, so the server must not wait for the end of the line.
    for (start, status) in [(long(9_000), 501), ("GET / ".to_owned() + &long(9_000), 400)] {
        let mut peer = server.connect();
        peer.send(start);
        assert_eq!(peer.response().status, status);
        peer.expect_end();
    }
}

/// A request whose head is `head_bytes` long.
fn request_of(head_bytes: usize) -> String {
    let (start, end) = ("GET / HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n");
    start.to_owned() + &"x".repeat(head_bytes - start.len() - end.len()) + end
}

fn a_head_of_32_kib_is_accepted_and_one_more_byte_is_a_431(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, request_of(32 * 1024), 200);
    expect_refused(&server, request_of(32 * 1024 + 1), 431);
    let mut peer = server.connect();
    peer.send_in_pieces(request_of(31 * 1024), 10 * 1024);
    assert_eq!(peer.response().status, 200);
}

fn a_hundred_headers_are_accepted_and_one_more_is_a_431(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let request = |headers: usize| {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(headers - 1))
    };
    expect_answered(&server, request(100), 200);
    expect_refused(&server, request(101), 431);
    expect_refused(&server, request(3000), 431);
}

fn ten_megabytes_of_headers_are_a_431(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let (one, many) =
        (format!("X: {}\r\n", "x".repeat(10 << 20)), "X: 0123456789\r\n".repeat((10 << 20) / 15));
    for headers in [one, many] {
        let mut peer = server.connect();
        // Most clients send the whole request before they read.
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
        assert_eq!(peer.response().status, 431);
        peer.expect_end();
    }
}

fn an_incomplete_head_is_rejected_when_it_exceeds_a_limit(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    // The client sends no more, so the server must not wait for the end of the line or of the head.
    for (start, status) in [(request_of(40_000), 431), (get(&"/x".repeat(10_000)), 414)] {
        let mut peer = server.connect();
        peer.send(start.trim_end());
        assert_eq!(peer.response().status, status);
        peer.expect_end();
    }
}

fn an_incomplete_head_is_a_408_at_the_header_timeout(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    for start in ["G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"] {
        let mut peer = server.connect();
        let response = peer.ask(start);
        assert_eq!((response.status, response.says_close()), (408, true), "{start:?}");
        peer.expect_end();
    }
    // The timeout applies to each head, not to the connection.
    let mut peer = server.connect();
    assert_eq!(peer.get("/").status, 200);
    assert_eq!(peer.ask("GET / HTTP/1.1\r\n").status, 408);
    peer.expect_end();
}

fn single_bytes_do_not_extend_the_header_timeout(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
    // Both gaps are far shorter than the timeout. With the shorter one, nearly every read of the
    // server returns a byte.
    for gap_ms in [50, 1] {
        let mut peer = server.connect();
        peer.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
        let give_up = Instant::now() + TIMEOUT;
        while peer.is_waiting() && peer.try_send("x").is_ok() {
            assert!(Instant::now() < give_up, "no end of the head, and no response");
            std::thread::sleep(Duration::from_millis(gap_ms));
        }
        assert_eq!(peer.response().status, 408);
    }
}

fn a_missing_body_does_not_keep_a_connection_open(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
        let statuses: Vec<_> = peer.responses_to_the_end().iter().map(|r| r.status).collect();
        assert!(statuses == [200] || statuses == [408], "{statuses:?}");
    }
}

fn an_idle_connection_is_closed_without_a_response(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--idle-timeout", "1"]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/").status, 200);
    assert_eq!(peer.get("/page.html").status, 200);
    peer.expect_end();
}

fn a_request_in_time_is_served_even_if_the_server_is_late(setup: &'static Setup) {
    const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--idle-timeout", "1"]);
    let mut peer = server.connect();
    let since = Instant::now();
    assert_eq!(peer.get("/").status, 200);
    // Stopping the server simulates a machine that is too busy to run it.
    server.signal_all(Signal::STOP);
    wait_until("every process is stopped", || {
        server.processes().iter().all(|(_, state)| *state == 'T').then_some(())
    });
    peer.send(get("/page.html"));
    let is_in_time = since.elapsed() < IDLE_TIMEOUT;
    std::thread::sleep(IDLE_TIMEOUT);
    server.signal_all(Signal::CONT);
    if is_in_time {
        assert_eq!(peer.response().status, 200);
        peer.expect_end();
    }
}

fn a_new_connection_without_a_request_is_closed_without_a_response(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    server.connect().expect_end();
}

fn a_client_that_reads_nothing_is_reset(setup: &'static Setup) {
    let site = Site::new();
    // Far more than the socket buffers hold, from the disk and from memory.
    site.sparse("huge.bin", 1 << 30);
    site.write("64k.bin", patterned(64 * 1024));
    let server = Server::start(setup, site.root(), &["--write-timeout", "0.5"]);
    for requests in [get("/huge.bin"), get("/64k.bin").repeat(1000)] {
        let mut peer = server.connect();
        peer.send(requests);
        // With a FIN instead of a reset, the kernel would keep the unsent data for this client.
        let error =
            wait_until("a reset", || peer.stream.take_error().expect("SO_ERROR is readable"));
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(server.get("/").status, 200);
}

fn other_timeouts_do_not_apply_while_a_reader_pauses(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(12 << 20);
    site.write("large.bin", &content);
    let server =
        Server::start(setup, site.root(), &["--header-timeout", "0.2", "--idle-timeout", "0.2"]);
    let mut peer = server.connect();
    peer.send(get("/large.bin"));
    // Both timeouts pass, but neither applies while the server sends.
    std::thread::sleep(Duration::from_millis(700));
    assert!(peer.response().body == content);
}

fn an_unread_pipeline_does_not_grow_memory(setup: &'static Setup) {
    let site = Site::new();
    site.write("12k.bin", patterned(12 * 1024));
    let server = Server::start(setup, site.root(), &[]);
    assert_eq!(server.get("/12k.bin").status, 200);
    let mut peer = server.connect();
    // All responses together are larger than a gigabyte.
    send_until_blocked(&mut peer, &get("/12k.bin").repeat(100_000));
    let bytes = server.resident_bytes();
    assert!(bytes < 60 << 20, "{bytes} bytes resident");
}

/// If each thread or process cached the whole site, they would hold three times as much.
fn the_caches_of_all_connections_together_are_bounded(setup: &'static Setup) {
    /// The size of the caches, and what else 32 threads or processes need.
    const GROWTH_BYTES_MAX: u64 = (64 + 32) << 20;
    const FILES: usize = 150;
    let site = Site::new();
    (0..FILES).for_each(|n| drop(site.write(format!("{n}.bin"), patterned(60_000))));
    let server = Server::start(setup, site.root(), &["--cache-size", "64M"]);
    let connections = setup.concurrency.min(32);
    let mut peers: Vec<Peer> = (0..connections).map(|_| server.connect()).collect();
    peers.iter_mut().for_each(|peer| assert_eq!(peer.get("/page.html").status, 200));
    let before = server.resident_bytes();
    let pipeline: String = (0..FILES).map(|n| head(&get(&format!("/{n}.bin")))).collect();
    for peer in &mut peers {
        peer.send(&pipeline);
        (0..FILES).for_each(|_| assert_eq!(peer.response_to_head().status, 200));
    }
    let grown = server.resident_bytes() - before;
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes for {connections} connections");
}

/// Sends until everything is sent or a write blocks for half a second.
fn send_until_blocked(peer: &mut Peer, bytes: &str) {
    peer.stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("the timeout is not zero");
    peer.complete_handshake();
    if let Err(error) = peer.try_send(bytes) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
    // Let the server process what it has received.
    std::thread::sleep(Duration::from_millis(300));
}
