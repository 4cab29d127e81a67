//! The limits of bytes, headers, time and connections. A client beyond a limit gets the status that
//! says so, where a response is possible, and other clients are not affected.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::framing::{expect_answered, expect_refused};
use crate::support::{PATIENCE, Peer, Server, Setup, Site, get, patterned, shown, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        a_target_of_8000_bytes_is_accepted_and_one_more_byte_is_too_long,
        a_target_of_a_megabyte_gets_a_414,
        a_head_of_32_kib_is_accepted_and_one_more_byte_is_too_large,
        a_hundred_headers_are_accepted_and_one_more_is_too_many,
        ten_megabytes_of_headers_get_a_431,
        an_endless_head_is_refused_while_it_arrives,
        a_head_that_arrives_too_slowly_gets_a_408,
        single_bytes_do_not_postpone_the_head_timeout,
        a_body_that_never_arrives_does_not_keep_the_connection_open,
        an_idle_connection_is_closed_without_a_response,
        a_request_that_arrived_in_time_is_answered_although_the_server_is_late,
        a_silent_new_connection_is_closed_without_a_response,
        a_client_that_reads_nothing_is_reset,
        a_pausing_reader_is_not_subject_to_the_receive_timeouts,
        an_unread_pipeline_uses_bounded_memory,
    ];
    let at_once = cases![if |setup| setup.serves_concurrently();
        connections_beyond_the_limit_wait_until_another_closes,
        a_sent_request_is_answered_however_many_connections_wait,
    ];
    let loops = cases![if |setup| setup.event_loops == 1; at_the_limit_the_longest_idle_connection_is_evicted];
    let workers = cases![if |setup| setup.event_loops > 1;
        a_new_connection_is_admitted_whichever_worker_has_the_idle_ones];
    [everywhere, at_once, loops, workers].concat()
}

fn a_target_of_8000_bytes_is_accepted_and_one_more_byte_is_too_long(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let target = |bytes: usize| "/?".to_owned() + &"x".repeat(bytes - 2);
    expect_answered(&server, get(&target(8000)), 200);
    expect_refused(&server, get(&target(8001)), 414);
    expect_refused(&server, get(&("/".to_owned() + &"a/".repeat(10_000))), 414);
    expect_refused(&server, get(&("http://h".to_owned() + &target(8000))), 414);
}

fn a_target_of_a_megabyte_gets_a_414(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get(&("/".to_owned() + &"x".repeat(1 << 20))));
    assert_eq!(peer.response().status, 414);
    peer.expect_end();
}

/// A request whose head has `head_bytes` bytes.
fn request_of(head_bytes: usize) -> String {
    let (start, end) = ("GET / HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n");
    start.to_owned() + &"x".repeat(head_bytes - start.len() - end.len()) + end
}

fn a_head_of_32_kib_is_accepted_and_one_more_byte_is_too_large(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, request_of(32 * 1024), 200);
    expect_refused(&server, request_of(32 * 1024 + 1), 431);
    let mut peer = server.connect();
    peer.send_in_pieces(request_of(31 * 1024), 10 * 1024);
    assert_eq!(peer.response().status, 200);
}

fn a_hundred_headers_are_accepted_and_one_more_is_too_many(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let request = |fields: usize| {
        format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(fields - 1))
    };
    expect_answered(&server, request(100), 200);
    expect_refused(&server, request(101), 431);
    expect_refused(&server, request(3000), 431);
}

fn ten_megabytes_of_headers_get_a_431(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let (one, many) =
        (format!("X: {}\r\n", "x".repeat(10 << 20)), "X: 0123456789\r\n".repeat((10 << 20) / 15));
    for fields in [one, many] {
        let mut peer = server.connect();
        // Written completely before anything is read, as most clients do.
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        assert_eq!(peer.response().status, 431);
        peer.expect_end();
    }
}

fn an_endless_head_is_refused_while_it_arrives(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    // Nothing more is sent, so a parser that waits for the end of the line or head would wait for
    // ever.
    for (start, status) in [(request_of(40_000), 431), (get(&"/x".repeat(10_000)), 414)] {
        let mut peer = server.connect();
        peer.send(start.trim_end());
        assert_eq!(peer.response().status, status);
        peer.expect_end();
    }
}

fn a_head_that_arrives_too_slowly_gets_a_408(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    for start in ["G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"] {
        let mut peer = server.connect();
        let response = peer.ask(start);
        assert_eq!((response.status, response.says_close()), (408, true), "{start:?}");
        peer.expect_end();
    }
    // The timeout is that of one head, not of the connection.
    let mut peer = server.connect();
    assert_eq!(peer.get("/").status, 200);
    assert_eq!(peer.ask("GET / HTTP/1.1\r\n").status, 408);
    peer.expect_end();
}

fn single_bytes_do_not_postpone_the_head_timeout(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
    // Each gap is far shorter than the timeout, and one is so short that almost every read finds
    // input.
    for gap_ms in [50, 1] {
        let mut peer = server.connect();
        peer.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
        let mut sender = peer.stream.try_clone().expect("a socket can be shared");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let give_up = Instant::now() + Duration::from_secs(60);
                // The server closes the connection.
                while Instant::now() < give_up && sender.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(gap_ms));
                }
            });
            assert_eq!(peer.response().status, 408);
            peer.stream.shutdown(std::net::Shutdown::Both).expect("the connection was open");
        });
    }
}

fn a_body_that_never_arrives_does_not_keep_the_connection_open(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
        let seen: Vec<_> =
            peer.responses_to_the_end().iter().map(|response| response.status).collect();
        assert!(seen == [200] || seen == [408], "{seen:?}");
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

fn a_request_that_arrived_in_time_is_answered_although_the_server_is_late(setup: &'static Setup) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--idle-timeout", "1"]);
    let mut peer = server.connect();
    let since = Instant::now();
    assert_eq!(peer.get("/").status, 200);
    // As if the machine gave the server no CPU time.
    server.signal_all(Signal::STOP);
    wait_until("it stands still", || {
        server.processes().iter().all(|(_, state)| *state == 'T').then_some(())
    });
    peer.send(get("/page.html"));
    let is_in_time = since.elapsed() < TIMEOUT;
    std::thread::sleep(TIMEOUT);
    server.signal_all(Signal::CONT);
    if is_in_time {
        assert_eq!(peer.response().status, 200);
        peer.expect_end();
    }
}

fn a_silent_new_connection_is_closed_without_a_response(setup: &'static Setup) {
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
        // If it were closed with FIN, the kernel would keep the unread data.
        let error = wait_until("the server gives up", || {
            peer.stream.take_error().expect("a socket has a state")
        });
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(server.get("/").status, 200);
}

fn a_pausing_reader_is_not_subject_to_the_receive_timeouts(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(12 << 20);
    site.write("large.bin", &content);
    let server =
        Server::start(setup, site.root(), &["--header-timeout", "0.2", "--idle-timeout", "0.2"]);
    let mut peer = server.connect();
    peer.send(get("/large.bin"));
    // Both timeouts have passed by then, and neither concerns sending.
    std::thread::sleep(Duration::from_millis(700));
    assert!(peer.response().body == content);
}

fn an_unread_pipeline_uses_bounded_memory(setup: &'static Setup) {
    let site = Site::new();
    site.write("12k.bin", patterned(12 * 1024));
    let server = Server::start(setup, site.root(), &[]);
    assert_eq!(server.get("/12k.bin").status, 200);
    let mut peer = server.connect();
    // All responses together would be more than a gigabyte.
    send_until_blocked(&mut peer, &get("/12k.bin").repeat(100_000));
    let in_use = server.resident_bytes();
    assert!(in_use < 60 << 20, "{in_use} bytes in use");
}

/// Sends until the server accepts no more for a while, or until all is sent.
fn send_until_blocked(peer: &mut Peer, bytes: &str) {
    peer.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a socket has timeouts");
    if let Err(error) = peer.stream.write_all(bytes.as_bytes()) {
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    }
    // What it accepted it has parsed, or left in the socket.
    std::thread::sleep(Duration::from_millis(300));
}

fn connections_beyond_the_limit_wait_until_another_closes(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &["--max-connections", "2"]);
    // Both receive a response, so neither is idle.
    let mut busy: Vec<Peer> = (0..2).map(|_| server.connect()).collect();
    for peer in &mut busy {
        peer.send(get("/huge.bin"));
        peer.response_to_head();
    }
    let mut third = server.connect();
    third.send(get("/page.html"));
    third.stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket has timeouts");
    let early = third.stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(ErrorKind::WouldBlock), "there is no place for it yet");
    busy.pop();
    third.stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    assert_eq!(third.response().status, 200);
}

/// Timeouts with which an idle connection stays open.
const LONG_TIMEOUTS: [&str; 2] = ["--idle-timeout=3600", "--header-timeout=3600"];

/// At the limit, the longest-idle keep-alive connection is closed to admit a new one. A blocking
/// server cannot tell why a thread sleeps, and leaves the new connection in the backlog until
/// another closes.
fn at_the_limit_the_longest_idle_connection_is_evicted(setup: &'static Setup) {
    let site = Site::new();
    let server =
        Server::start(setup, site.root(), &[&LONG_TIMEOUTS[..], &["--max-connections=3"]].concat());
    let mut idle: Vec<Peer> = (0..3).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(|peer| assert_eq!(peer.get("/").status, 200));
    // It is no longer the longest-idle connection.
    assert_eq!(idle[0].get("/").status, 200);
    assert_eq!(server.get("/page.html").status, 200);
    idle[1].expect_end();
    for kept in [0, 2] {
        assert_eq!(idle[kept].get("/").status, 200, "connection {kept} was not in the way");
    }
}

fn a_new_connection_is_admitted_whichever_worker_has_the_idle_ones(setup: &'static Setup) {
    let site = Site::new();
    // The kernel chooses the worker of a connection, so one attempt proves nothing.
    for _ in 0..6 {
        let server = Server::start(
            setup,
            site.root(),
            &[&LONG_TIMEOUTS[..], &["--max-connections=2"]].concat(),
        );
        let mut idle = [server.connect(), server.connect()];
        idle.iter_mut().for_each(|peer| assert_eq!(peer.get("/").status, 200));
        assert_eq!(server.get("/page.html").status, 200);
    }
}

fn a_sent_request_is_answered_however_many_connections_wait(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--max-connections=4"]);
    let ask = |_| {
        let mut peer = server.connect();
        // Immediately: only a client that was silent for longer can be evicted.
        peer.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        peer
    };
    let mut peers: Vec<Peer> = (0..100).map(ask).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        let (answer, end) = peer.rest();
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "request {n} got {end:?} and {:?}",
            shown(&answer)
        );
    }
}
