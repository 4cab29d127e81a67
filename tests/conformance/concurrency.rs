//! Clients do not block each other. Most cases run only under set-ups that serve concurrently.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![sequential_connections_leak_nothing];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        a_slow_sender_does_not_block_other_clients,
        a_slow_reader_does_not_block_other_clients,
        idle_connections_do_not_block_other_clients_and_stay_usable,
        each_of_many_clients_gets_its_own_response,
        a_response_in_progress_does_not_mix_with_others,
        connections_in_every_state_can_be_closed_at_once,
        a_stream_of_new_connections_delays_neither_other_clients_nor_shutdown,
    ];
    [everywhere, concurrent].concat()
}

/// The number of connections that a test opens such that the server can serve one more. A process
/// per connection costs more than a thread, and a thread more than a connection of an event loop.
fn many(setup: &'static Setup) -> usize {
    let affordable = match setup {
        setup if setup.forks => 40,
        setup if setup.event_loops == 0 => 200,
        _ => 500,
    };
    affordable.min(setup.concurrency.saturating_sub(1)).max(1)
}

#[track_caller]
fn expect_served(server: &Server) {
    assert_eq!(server.get("/page.html").status, 200);
}

fn a_slow_sender_does_not_block_other_clients(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut slow = server.connect();
    for byte in get("/").bytes() {
        slow.send([byte]);
        expect_served(&server);
    }
    assert_eq!(slow.response().status, 200);
}

fn a_slow_reader_does_not_block_other_clients(setup: &'static Setup) {
    let site = Site::new();
    let size = 1 << 30;
    site.sparse("huge.bin", size);
    let server = Server::start(setup, site.root(), &[]);
    expect_served(&server);
    let idle_bytes = server.resident_bytes();
    let mut slow: Vec<Peer> = (0..3).map(|_| server.connect()).collect();
    for peer in &mut slow {
        peer.send(get("/huge.bin"));
        assert_eq!(peer.response_to_head().content_length(), size);
    }
    (0..20).for_each(|_| expect_served(&server));
    // The resident size counts pages that a child shares with its parent once per process.
    let max_bytes = idle_bytes * if setup.forks { 6 } else { 1 } + (16 << 20);
    let bytes = server.resident_bytes();
    assert!(bytes < max_bytes, "{bytes} bytes resident, {idle_bytes} before");
}

fn idle_connections_do_not_block_other_clients_and_stay_usable(setup: &'static Setup) {
    let site = Site::new();
    let server =
        Server::start(setup, site.root(), &["--idle-timeout", "60", "--header-timeout", "60"]);
    let mut idle: Vec<Peer> = (1..many(setup)).map(|_| server.connect()).collect();
    for peer in idle.iter_mut().step_by(2) {
        assert_eq!(peer.get("/").status, 200);
    }
    (0..5).for_each(|_| expect_served(&server));
    for peer in idle.iter_mut().rev() {
        assert_eq!(peer.get("/page.html").status, 200);
    }
}

fn each_of_many_clients_gets_its_own_response(setup: &'static Setup) {
    let site = Site::new();
    let sizes: Vec<usize> = (0..8).map(|n| 1 + n * n * 4000).collect();
    for size in &sizes {
        site.write(size.to_string(), patterned(*size));
    }
    let server = Server::start(setup, site.root(), &[]);
    let (address, tls) = (server.address, server.tls.as_ref());
    std::thread::scope(|scope| {
        for size in &sizes {
            scope.spawn(move || {
                let (path, content) = (format!("/{size}"), patterned(*size));
                for _ in 0..5 {
                    let mut peer = Peer::connect(address).with_tls(tls);
                    for _ in 0..5 {
                        assert!(peer.get(&path).body == content, "wrong body for {path}");
                    }
                }
            });
        }
    });
}

fn a_response_in_progress_does_not_mix_with_others(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(12 << 20);
    site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let mut readers: Vec<Peer> = (0..3).map(|_| server.connect()).collect();
    readers.iter_mut().for_each(|peer| peer.send(get("/large.bin") + &get("/missing")));
    // The readers do not read, so each response stops in the middle of its body.
    expect_served(&server);
    for peer in &mut readers {
        assert!(peer.response().body == content);
        expect_served(&server);
        assert_eq!(peer.response().status, 404);
    }
}

fn connections_in_every_state_can_be_closed_at_once(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &[]);
    expect_served(&server);
    let descriptors = server.descriptors();
    for round in 0..3 {
        let starts = [
            "",
            "GET",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n",
            &get("/huge.bin"),
            &get("/"),
        ];
        let peers = starts.map(|start| {
            let mut peer = server.connect();
            peer.send(start);
            peer
        });
        for (n, peer) in peers.into_iter().enumerate() {
            match (n + round) % 3 {
                0 => peer.reset(),
                1 => drop(peer),
                _ => peer.stream.shutdown(Shutdown::Both).expect("the connection is open"),
            }
        }
        expect_served(&server);
    }
    wait_until("the descriptors are closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
}

fn sequential_connections_leak_nothing(setup: &'static Setup) {
    let site = Site::new();
    site.write("large.bin", patterned(100_000));
    let server = Server::start(setup, site.root(), &[]);
    let visit = |n: usize| match n % 4 {
        0 => drop(server.connect()),
        1 => assert_eq!(server.get("/large.bin").content_length(), 100_000),
        2 => assert_eq!(server.ask("nonsense\r\n\r\n").status, 400),
        _ => expect_served(&server),
    };
    (0..20).for_each(visit);
    let descriptors = server.descriptors();
    (0..200).for_each(visit);
    wait_until("the descriptors are closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
    // Children that are not reaped remain as zombies.
    wait_until("the child processes are reaped", || (server.processes().len() == 1).then_some(()));
}

/// A new connection costs the server much more time (for gzip) than the client, so the backlog is
/// never empty. The test measures a client's wait in responses to other clients, not in seconds.
fn a_stream_of_new_connections_delays_neither_other_clients_nor_shutdown(setup: &'static Setup) {
    const NEW_CLIENTS: usize = 24;
    const PAGES: usize = 600;
    const REQUESTS: usize = 15;
    let site = Site::new();
    for n in 0..PAGES {
        site.write(format!("{n}.html"), format!("page {n} ").repeat(6_000));
    }
    let mut server = Server::start(setup, site.root(), &["--shutdown-timeout", "1"]);
    let mut other = server.connect();
    assert_eq!(other.get("/page.html").status, 200);
    let (is_over, responses) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (address, tls) = (server.address, server.tls.clone());
    let connect_repeatedly = || {
        while !is_over.load(Ordering::Acquire) {
            let n = responses.fetch_add(1, Ordering::AcqRel) % PAGES;
            let Some(peer) = Peer::try_connect(address) else { return };
            let mut peer = peer.with_tls(tls.as_ref());
            let head = format!("GET /{n}.html HTTP/1.1\r\nHost: h\r\n");
            let end = "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n";
            // Shutdown may close the connection at any point.
            if peer.try_send(head + end).is_ok() {
                peer.rest();
            }
        }
    };
    std::thread::scope(|scope| {
        (0..NEW_CLIENTS).for_each(|_| drop(scope.spawn(connect_repeatedly)));
        wait_until("a constant stream of new connections", || {
            (responses.load(Ordering::Acquire) > 2 * NEW_CLIENTS).then_some(())
        });
        let mut waited: Vec<usize> = (0..REQUESTS)
            .map(|_| {
                let before = responses.load(Ordering::Acquire);
                assert_eq!(other.get("/page.html").status, 200);
                responses.load(Ordering::Acquire) - before
            })
            .collect();
        server.signal(Signal::TERM);
        server.wait();
        is_over.store(true, Ordering::Release);
        waited.sort_unstable();
        // The scheduler may delay this thread, so the two longest waits do not count.
        let third_longest = waited[REQUESTS - 3];
        assert!(
            third_longest <= 4 * NEW_CLIENTS,
            "responses to others during each wait: {waited:?}"
        );
    });
}
