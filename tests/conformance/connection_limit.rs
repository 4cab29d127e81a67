//! The limits on open connections: who is closed, who waits, and who is served.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, TIMEOUT, get, is_encrypted, shown, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        an_idle_connection_is_closed_for_a_new_client,
        clients_that_keep_the_server_waiting_do_not_keep_others_out,
        a_low_descriptor_limit_leaves_room_for_several_clients,
        a_descriptor_limit_that_is_too_low_is_an_error,
    ];
    // It measures time by the number of connections, and their handshakes would take longer than
    // the pauses that it looks for.
    let plain = cases![if |setup| !is_encrypted(setup);
        connections_follow_each_other_without_a_pause_at_the_limit,
        a_request_that_arrives_in_two_pieces_is_served_at_the_limit,
        a_request_behind_a_download_is_served_at_the_limit,
    ];
    // A TLS record need not contain a part of a response.
    let concurrent_and_plain = cases![
        if |setup| setup.serves_concurrently() && !is_encrypted(setup);
        a_busy_client_gets_a_last_response_before_it_makes_room];
    // A child closes its connection between two requests if it is told to make room.
    let not_in_processes = cases![if |setup| !is_encrypted(setup) && !setup.forks;
        the_close_of_a_connection_admits_a_client_of_any_worker_without_a_pause];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        connections_beyond_the_limit_wait_in_the_backlog,
        every_request_is_served_when_clients_exceed_the_limit,
        a_busy_keep_alive_connection_makes_room_after_a_response,
        connections_beyond_those_of_one_client_are_closed,
    ];
    // A parent does not know which of its children are idle, and a thread tells the others shortly
    // after the client has its response.
    let one_loop = cases![if |setup| setup.event_loops == 1;
        at_the_limit_the_longest_idle_connection_is_closed];
    let several_loops = cases![if |setup| setup.event_loops > 1;
        a_new_connection_evicts_idle_connections_of_any_event_loop];
    [everywhere, plain, not_in_processes, concurrent_and_plain, concurrent, one_loop, several_loops]
        .concat()
}

/// Options under which no connection times out during a test.
const NO_TIMEOUTS: [&str; 2] = ["--idle-timeout=3600", "--header-timeout=3600"];

fn with_limit(limit: &str) -> Vec<&str> {
    [&NO_TIMEOUTS[..], &[limit]].concat()
}

/// Connects and sends a request at once, because a connection that is silent for longer is evicted.
fn send_only_request(server: &Server) -> Peer {
    let mut peer = server.connect();
    peer.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    peer
}

fn an_idle_connection_is_closed_for_a_new_client(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=1"));
    let mut idle = server.connect();
    assert_eq!(idle.get("/page.html").status, 200);
    let mut new = server.connect();
    assert_eq!(new.get("/page.html").status, 200);
    idle.expect_end();
}

/// Whatever a client has sent, and however often it connects again.
fn clients_that_keep_the_server_waiting_do_not_keep_others_out(setup: &'static Setup) {
    // Each of them may keep the server waiting for a second.
    let clients = if setup.serves_concurrently() { 12 } else { 2 };
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=4"));
    for sent in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: h\r\nX: ",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n\r",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        "bad\r\n\r\n",
    ] {
        let slow: Vec<Peer> = (0..clients)
            .map(|_| {
                let mut peer = server.connect();
                peer.send(sent);
                peer
            })
            .collect();
        assert_eq!(server.get("/page.html").status, 200, "after {sent:?}");
        drop(slow);
    }
}

/// A pause of a tenth of a second before each accept would add up to half a minute.
fn connections_follow_each_other_without_a_pause_at_the_limit(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--max-connections=1"]);
    let mut peers: Vec<Peer> = (0..300).map(|_| send_only_request(&server)).collect();
    let last = peers.last_mut().expect("there are 300");
    assert_eq!(last.response().status, 200);
}

/// The next client waits before the one that it waits for closes, often for another worker. A pause
/// of a tenth of a second for half of them would add up to half a minute.
fn the_close_of_a_connection_admits_a_client_of_any_worker_without_a_pause(setup: &'static Setup) {
    const CLIENTS: usize = 600;
    // Without its end, so that no connection is idle.
    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\n";
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--max-connections=1"]);
    let begin = || {
        let mut peer = server.connect();
        peer.send(REQUEST);
        peer
    };
    let next_response = |peer: &mut Peer, end: &str| {
        peer.send(end);
        assert_eq!(peer.response().status, 200);
    };
    let next_request = format!("\r\n{REQUEST}");
    let started = Instant::now();
    let mut admitted = begin();
    for client in 0..CLIENTS {
        next_response(&mut admitted, &next_request);
        let waiting = begin();
        // Meanwhile, the worker of the client that waits finds no room for it.
        (0..2).for_each(|_| next_response(&mut admitted, &next_request));
        next_response(&mut admitted, "Connection: close\r\n\r\n");
        admitted = waiting;
        assert!(started.elapsed() < TIMEOUT, "{client} clients in {TIMEOUT:?}");
    }
}

/// 64 descriptors are fewer than the two of each connection and those of the server together.
fn a_low_descriptor_limit_leaves_room_for_several_clients(setup: &'static Setup) {
    let site = Site::new();
    let server =
        Server::run(with_descriptors(64, &Server::command(setup, site.root(), &NO_TIMEOUTS)));
    // Without a handshake, too: after one, each of them may keep the server waiting for a second.
    let silent: Vec<Peer> = (0..100).map(|_| server.connect_plainly()).collect();
    assert_eq!(server.get("/page.html").status, 200);
    if setup.concurrency >= 8 {
        let mut peers: Vec<Peer> = (0..8).map(|_| server.connect()).collect();
        peers.iter_mut().for_each(|peer| peer.send(get("/page.html")));
        for peer in &mut peers {
            assert_eq!(peer.response().status, 200);
        }
    }
    drop(silent);
}

fn a_descriptor_limit_that_is_too_low_is_an_error(setup: &'static Setup) {
    let site = Site::new();
    let mut command = with_descriptors(24, &Server::command(setup, site.root(), &[]));
    let output = command.output().expect("sh is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr, "error: the limit of 24 open files is too low: expected at least 34\n");
}

/// `command` with a limit on open descriptors.
fn with_descriptors(descriptors: u32, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -n {descriptors}; exec \"$@\""), "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

/// A client that sends one request after the other is idle only for moments.
fn a_busy_keep_alive_connection_makes_room_after_a_response(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=1"));
    let mut busy = server.connect();
    assert_eq!(busy.get("/page.html").status, 200);
    let mut new = server.connect();
    new.send(get("/page.html"));
    std::thread::scope(|scope| {
        // Until the server closes the connection.
        scope.spawn(|| {
            while busy.try_send(get("/page.html")).is_ok() && busy.receive() == Ok(true) {}
        });
        assert_eq!(new.response().status, 200);
    });
}

/// Its next request is often on its way when the server needs room. It would be lost if the
/// connection was closed then.
fn a_busy_client_gets_a_last_response_before_it_makes_room(setup: &'static Setup) {
    const ROUNDS: usize = 12;
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=1"));
    let has_last_response = |_: &usize| {
        let mut busy = server.connect();
        assert_eq!(busy.get("/page.html").status, 200);
        let mut new = send_only_request(&server);
        let mut is_last = false;
        while !is_last && busy.try_send(get("/page.html")).is_ok() && busy.receive() == Ok(true) {
            is_last = busy.response().field("Connection") == Some("close");
        }
        assert_eq!(new.response().status, 200);
        is_last
    };
    let rounds = (0..ROUNDS).filter(has_last_response).count();
    // On a busy machine the client may pause for so long that it counts as idle.
    assert!(rounds > ROUNDS / 2, "in {rounds} of {ROUNDS} rounds");
}

/// Longer than a server takes to make room, and shorter than the time for which a client may keep
/// it waiting.
const PAUSE: Duration = Duration::from_millis(250);

fn a_request_that_arrives_in_two_pieces_is_served_at_the_limit(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=1"));
    let mut slow = server.connect();
    slow.send("GET /page.html HTTP/1.1\r\n");
    let mut new = send_only_request(&server);
    std::thread::sleep(PAUSE);
    slow.send("Host: h\r\nConnection: close\r\n\r\n");
    assert_eq!(slow.response().status, 200);
    assert_eq!(new.response().status, 200);
}

fn a_request_behind_a_download_is_served_at_the_limit(setup: &'static Setup) {
    const ROUNDS: usize = 5;
    let site = Site::new();
    site.write("large.bin", vec![b'x'; 12 << 20]);
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=1"));
    let is_served = |_: &usize| {
        let mut download = server.connect();
        download.send(get("/large.bin"));
        assert_eq!(download.receive(), Ok(true));
        let mut new = send_only_request(&server);
        std::thread::sleep(PAUSE);
        assert_eq!(download.response().body.len(), 12 << 20);
        let is_served =
            download.try_send(get("/page.html")).is_ok() && download.receive() == Ok(true);
        drop(download);
        assert_eq!(new.response().status, 200);
        is_served
    };
    let rounds = (0..ROUNDS).filter(is_served).count();
    // On a busy machine the client may pause for so long that it counts as idle.
    assert!(rounds > ROUNDS / 2, "in {rounds} of {ROUNDS} rounds");
}

fn connections_beyond_those_of_one_client_are_closed(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections-per-client=2"));
    let mut open = [server.connect(), server.connect()];
    open.iter_mut().for_each(|peer| assert_eq!(peer.get("/page.html").status, 200));
    let mut third = server.connect();
    third.send(get("/page.html"));
    let (bytes, _) = third.rest();
    assert_eq!(shown(&bytes), "");
    let mut other = server.connect_from(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(other.get("/page.html").status, 200);
    open.iter_mut().for_each(|peer| assert_eq!(peer.get("/page.html").status, 200));
    let [_, closed] = open;
    drop(closed);
    wait_until("a connection in place of the closed one", || {
        (!send_only_request(&server).rest().0.is_empty()).then_some(())
    });
}

fn connections_beyond_the_limit_wait_in_the_backlog(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &["--max-connections", "2"]);
    // Responses to both are in progress, so neither is idle.
    let mut busy: Vec<Peer> = (0..2).map(|_| server.connect()).collect();
    for peer in &mut busy {
        peer.send(get("/huge.bin"));
        peer.response_to_head();
    }
    let mut third = server.connect();
    third.send(get("/page.html"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(third.is_waiting(), "served beyond the limit");
    busy.pop();
    assert_eq!(third.response().status, 200);
}

fn at_the_limit_the_longest_idle_connection_is_closed(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &with_limit("--max-connections=3"));
    let mut idle: Vec<Peer> = (0..3).map(|_| server.connect()).collect();
    let dates = idle.iter_mut().map(|peer| peer.get("/").required("Date").to_owned());
    let last_date = dates.last().expect("there are three connections");
    // An event loop reads the clock once per pass, and connections that are served in one pass have
    // been idle for equally long. A later date shows a later pass: then connection 1 has been idle
    // for longest.
    wait_until("a response with a later date", || {
        (idle[0].get("/").required("Date") != last_date).then_some(())
    });
    assert_eq!(server.get("/page.html").status, 200);
    idle[1].expect_end();
    for open in [0, 2] {
        assert_eq!(idle[open].get("/").status, 200, "connection {open} was closed");
    }
}

fn a_new_connection_evicts_idle_connections_of_any_event_loop(setup: &'static Setup) {
    let site = Site::new();
    // The kernel distributes connections at random, so one attempt proves nothing.
    for _ in 0..6 {
        let server = Server::start(setup, site.root(), &with_limit("--max-connections=2"));
        let mut idle = [server.connect(), server.connect()];
        idle.iter_mut().for_each(|peer| assert_eq!(peer.get("/").status, 200));
        assert_eq!(server.get("/page.html").status, 200);
    }
}

fn every_request_is_served_when_clients_exceed_the_limit(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--max-connections=4"]);
    let mut peers: Vec<Peer> = (0..100).map(|_| send_only_request(&server)).collect();
    for (n, peer) in peers.iter_mut().enumerate() {
        let (response, end) = peer.rest();
        assert!(
            response.starts_with(b"HTTP/1.1 200"),
            "request {n} got {end:?} and {:?}",
            shown(&response)
        );
    }
}
