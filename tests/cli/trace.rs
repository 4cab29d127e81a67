//! `--trace`.

use std::time::Duration;

use miniweb::syscall_stats::Call;

use crate::support::{Server, Setup, Site, get, get_with, setups};

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
fn the_trace_shows_the_request_and_what_the_server_waited_for() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peer = server.connect();
        let request = get_with("/page.html?a=b", &["Connection: close"]);
        // After the first half of the request, the server waits for the second.
        peer.send(&request[..10]);
        std::thread::sleep(Duration::from_millis(20));
        peer.ask(&request[10..]);
        peer.expect_end();
        let trace = server.errors.until(|line| line.contains("close: "));
        let of_connection: Vec<&String> =
            trace.iter().filter(|line| line.contains(" #1 ")).collect();
        let place = |end: &str| of_connection.iter().position(|line| line.ends_with(end));
        let request = place(" request GET /page.html?a=b");
        let response = place(" response 200");
        assert!(request.is_some() && request < response, "{setup:?}: {trace:#?}");
        let polls = setup.strategy.waits_with.contains(&Call::Sleep);
        match () {
            () if polls => assert!(trace.iter().any(|line| line.contains(" polled 2 sockets "))),
            () if setup.strategy.is_event_loop => {
                assert!(trace.iter().any(|line| line.contains(" for the listener, #1 to read")));
                let readable = of_connection.iter().find(|line| line.contains(" readable"));
                assert!(readable.is_some(), "{setup:?}: {trace:#?}");
            }
            () => assert!(place(" waits in recv") < request, "{setup:?}: {trace:#?}"),
        }
        let times = of_connection.iter().map(|line| time_us(line)).collect::<Vec<_>>();
        assert!(times.is_sorted() && times[0] > 0, "{setup:?}: {trace:#?}");
    }
}

/// The time at the start of a line, such as `12.000345`.
#[track_caller]
fn time_us(line: &str) -> u64 {
    let (time, _) = line.split_once(' ').unwrap_or_else(|| panic!("no time: {line}"));
    let (seconds, fraction) = time.split_once('.').unwrap_or_else(|| panic!("no time: {line}"));
    assert_eq!(fraction.len(), 6, "{line}");
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|e| panic!("{e}: {line}"));
    number(seconds) * 1_000_000 + number(fraction)
}

#[test]
fn what_a_request_contains_is_escaped_and_cut() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let target = format!("/\u{9b}2J\u{202e}{}", "x".repeat(1000));
        server.ask(get_with(&target, &["Connection: close"]));
        server.ask("GET /\x1b[2J HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut requests = Vec::new();
        for _ in 0..2 {
            for line in server.errors.until(|line| line.contains("close: ")) {
                assert!(!line.contains(['\x1b', '\u{9b}', '\u{202e}']), "{setup:?}: {line:?}");
                assert!(line.chars().count() < 200, "{setup:?}: {line}");
                requests.extend(line.contains(" request GET ").then_some(line));
            }
        }
        let escaped = r" request GET /\u{9b}2J\u{202e}xxx";
        let [request] = &requests[..] else { panic!("{setup:?}: {requests:#?}") };
        assert!(request.contains(escaped), "{setup:?}: {request}");
    }
}

#[test]
fn a_loop_that_polls_prints_nothing_while_nothing_happens() {
    let site = Site::new();
    let polls = |setup: &&'static Setup| setup.strategy.waits_with.contains(&Call::Sleep);
    for setup in setups().filter(polls) {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peers = [server.connect(), server.connect()];
        peers.iter_mut().for_each(|peer| assert_eq!(peer.get("/").status, 200));
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(peers[1].get("/").status, 200);
        let mut trace = server.errors.until(|line| line.contains(" polled 3 sockets "));
        trace.extend(server.errors.until(|line| line.contains("response ")));
        assert!(trace.len() < 40, "{setup:?}: {trace:#?}");
        let passes = trace.iter().find_map(|line| {
            line.split_once(" polled 3 sockets ")?.1.split_once(" time")?.0.parse::<u64>().ok()
        });
        assert!(passes.is_some_and(|passes| passes > 0), "{setup:?}: {trace:#?}");
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
