//! `--trace`.

use miniweb::syscall_stats::Call;

use crate::support::{Server, Setup, Site, get, setups};

#[test]
fn the_trace_shows_each_step_and_why_a_connection_closes() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let request = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let mut peer = server.connect();
        peer.ask(request);
        peer.expect_end();
        drop(peer);
        let trace = server.errors.until(|line| line.contains("close")).join("\n");
        let steps =
            ["accept", &format!("recv {} bytes", request.len()), "send ", " bytes", "close: "];
        let mut rest = &*trace;
        for step in steps {
            // The steps come in this order.
            rest = rest
                .split_once(step)
                .unwrap_or_else(|| panic!("{setup:?} has no {step:?}: {trace}"))
                .1;
        }
        assert!(!rest.trim().is_empty(), "{setup:?} has no reason: {trace}");
    }
}

#[test]
fn the_trace_names_the_call_that_an_event_loop_waits_in() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.strategy.is_event_loop) {
        let wait = setup.strategy.waits_with[0].name();
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peer = server.connect();
        assert_eq!(peer.get("/").status, 200);
        server.errors.until(|line| line.contains(wait));
    }
}

#[test]
fn the_trace_of_an_event_loop_shows_calls_that_would_block() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.strategy.is_event_loop) {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peer = server.connect();
        // A connection is read as soon as it is accepted, before anything was sent.
        server.errors.until(|line| line.contains("recv: would block"));
        assert_eq!(peer.get("/").status, 200);
    }
}

/// Each response costs several system calls on files, and all of them together take milliseconds.
#[test]
fn a_pipeline_that_opens_many_files_is_served_in_several_turns() {
    const REQUESTS: usize = 200;
    let site = Site::new();
    // A loop that polls does not wait between its passes.
    let waits = |setup: &&'static Setup| !setup.strategy.waits_with.contains(&Call::Sleep);
    for setup in setups().filter(|setup| setup.strategy.is_event_loop).filter(waits) {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peer = server.connect();
        let missing: String = (0..REQUESTS).map(|n| get(&format!("/missing-{n}"))).collect();
        peer.send(missing);
        (0..REQUESTS).for_each(|_| assert_eq!(peer.response().status, 404));
        peer.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let trace = server.errors.until(|line| line.contains("close"));
        let wait = setup.strategy.waits_with[0].name();
        let waits = trace.iter().filter(|line| line.contains(wait)).count();
        assert!(waits > REQUESTS / 50, "{setup:?} waited {waits} times");
    }
}
