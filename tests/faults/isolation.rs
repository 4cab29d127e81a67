//! Faults that must affect only the connection that causes them: a panic, a client that stalls.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use miniweb::server::map_shared_counters;
use miniweb::syscall_stats::{Call, Counters, PAGE_BYTES};

use crate::settled_descriptors;
use crate::support::{Peer, Server, Setup, Site, get, setups, shown, wait_until};

#[test]
fn a_panic_closes_only_the_connection_that_caused_it() {
    let site = Site::new();
    for setup in setups() {
        let started = PanickingServer::start(setup, &site, "/bug", &[]);
        let Some(PanickingServer { server, _input, .. }) = started else {
            return;
        };
        let mut bystander = setup.serves_concurrently().then(|| server.connect());
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200);
        }
        let descriptors = settled_descriptors(&server);
        for _ in 0..20 {
            let mut peer = server.connect();
            peer.send(get("/bug"));
            let (response, _) = peer.rest();
            assert_eq!(shown(&response), "", "{setup:?}");
        }
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200, "{setup:?}");
        }
        wait_until("the descriptors are closed", || {
            (server.descriptors() <= descriptors).then_some(())
        });
    }
}

#[test]
fn a_panic_is_logged_counted_traced_and_reported_in_one_line() {
    // It opens no file, whose close would be counted.
    const OPTIONS: &str = "OPTIONS * HTTP/1.1\r\nHost: h\r\n";
    let site = Site::new();
    for setup in setups() {
        let options = ["--log", "json", "--trace"];
        let started = PanickingServer::start(setup, &site, "/bug", &options);
        let Some(PanickingServer { server, counters, _input }) = started else {
            return;
        };
        let closes = || counters.made(Call::Close);
        let mut peer = server.connect();
        peer.ask(format!("{OPTIONS}Connection: close\r\n\r\n"));
        peer.expect_end();
        drop(peer);
        server.errors.until(|line| line.contains("close: "));
        wait_until("the end of the child", || (server.processes().len() == 1).then_some(()));
        let closes_per_connection = closes();

        let mut peer = server.connect();
        peer.send(format!("{OPTIONS}\r\n{}", get("/bug")));
        peer.rest();
        let errors = server.errors.until(|line| line.contains("close: the server panicked"));
        let reports: Vec<_> = errors.iter().filter(|line| line.contains("error")).collect();
        let [report] = &reports[..] else { panic!("{setup:?}: {errors:#?}") };
        assert!(report.starts_with("error: bug: panicked at src/"), "{report}");
        assert!(report.ends_with(": a panic was asked for:\\r\\nforged line"), "{report}");
        assert_eq!(counters.panics(), 1, "{setup:?}");
        wait_until(&format!("{setup:?}: the close is counted"), || {
            (closes() == 2 * closes_per_connection).then_some(())
        });
        // The response before the one that is lost had not been sent.
        let expected =
            [("OPTIONS * ", 204, true), ("OPTIONS * ", 204, false), ("GET /bug ", 500, false)];
        for (request, status, is_complete) in expected {
            let line = server.output.next().expect("every request is logged");
            assert!(line.contains(request), "{setup:?}: {line}");
            assert!(line.contains(&format!("\"status\":{status},")), "{setup:?}: {line}");
            let complete = format!("\"body_bytes\":0,\"complete\":{is_complete},");
            assert!(line.contains(&complete), "{setup:?}: {line}");
        }
    }
}

/// More panics than the offload pool has threads.
#[test]
fn a_panic_in_offloaded_work_is_a_500_and_the_connection_stays_open() {
    const PANICS: u64 = 70;
    let site = Site::new();
    for setup in setups() {
        let started = PanickingServer::start(setup, &site, "bare", &["--list"]);
        let Some(PanickingServer { server, counters, _input }) = started else {
            return;
        };
        let mut peer = server.connect();
        for _ in 0..PANICS {
            assert_eq!(peer.get("/bare/").status, 500, "{setup:?}");
        }
        assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
        assert_eq!(counters.panics(), PANICS, "{setup:?}");
    }
}

#[test]
fn a_panic_while_a_large_directory_is_listed_is_a_500_for_each_client_that_waits() {
    const CLIENTS: usize = 8;
    let site = Site::new();
    (0..1_000).for_each(|n| drop(site.write(format!("large/{n}"), "")));
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let started = PanickingServer::start(setup, &site, "build of a listing", &["--list"]);
        let Some(PanickingServer { server, counters, _input }) = started else {
            return;
        };
        let mut peers: Vec<Peer> = (0..CLIENTS).map(|_| server.connect()).collect();
        for _ in 0..2 {
            peers.iter_mut().for_each(|peer| peer.send(get("/large/")));
            for peer in &mut peers {
                assert_eq!(peer.response().status, 500, "{setup:?}");
            }
        }
        for peer in &mut peers {
            assert_eq!(peer.get("/bare/").status, 200, "{setup:?}");
        }
        assert!(counters.panics() >= 2, "{setup:?}");
    }
}

/// A server that panics at one place, and its counters.
struct PanickingServer {
    server: Server,
    counters: &'static Counters,
    /// Its standard input: the server ends when the test closes it.
    _input: UnixStream,
}

impl PanickingServer {
    /// Returns `None` if the server is a release build, which does not panic on request.
    fn start(
        setup: &'static Setup,
        site: &Site,
        place: &str,
        options: &[&str],
    ) -> Option<PanickingServer> {
        if !cfg!(debug_assertions) {
            eprintln!("skipped: release builds have no trigger for a panic");
            return None;
        }
        let counters_path = site.beside("counters");
        // A new file: the last server may still have the old one mapped.
        let _ = fs::remove_file(&counters_path);
        let file = File::create_new(&counters_path).expect("the directory is writable");
        file.set_len(PAGE_BYTES).expect("the disk has space");
        let counters = map_shared_counters(file).expect("the file has the size of the counters");
        let (input, server_input) = UnixStream::pair().expect("the test has free descriptors");
        let mut command = Server::command(setup, site.root(), options);
        command.arg("--counters-file").arg(counters_path).stdin(OwnedFd::from(server_input));
        command.env("MINIWEB_PANIC_AT", place).env_remove("RUST_BACKTRACE");
        let mut server = Server::run(command);
        server.may_print_errors = true;
        Some(PanickingServer { server, counters, _input: input })
    }
}

#[test]
fn the_header_timeout_frees_a_strategy_whose_every_slot_has_stalled() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.concurrency < usize::MAX) {
        let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
        let mut stalled: Vec<Peer> = (0..setup.concurrency).map(|_| server.connect()).collect();
        stalled.iter_mut().for_each(|peer| peer.send("GET / HTTP/1.1\r\nX: "));
        // The strategy serves no other connection until one of these ends.
        let mut waiting = server.connect();
        waiting.send(get("/page.html"));
        for peer in &mut stalled {
            assert_eq!(peer.response().status, 408, "{setup:?}");
        }
        assert_eq!(waiting.response().status, 200, "{setup:?}");
    }
}
