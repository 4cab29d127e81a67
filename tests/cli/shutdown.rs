//! SIGINT, SIGTERM and SIGKILL, restarts, and child processes after the end.

use std::net::TcpStream;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::support::{End, Server, Setup, Site, get, miniweb, setup_with, setups, wait_until};

/// Timeouts that do not pass during a test.
const LONG_TIMEOUTS: [&str; 8] = [
    "--idle-timeout=3600",
    "--header-timeout=3600",
    "--write-timeout=3600",
    "--shutdown-timeout=3600",
    "--max-connections=100",
    "--log=none",
    "--port=0",
    "--host=127.0.0.1",
];

fn start_with_long_timeouts(setup: &'static Setup, site: &Site) -> Server {
    let mut command = miniweb();
    command.args(setup.arguments).arg(site.root()).args(LONG_TIMEOUTS);
    Server::run(command)
}

#[test]
fn a_signal_ends_the_server_and_closes_idle_connections() {
    let site = Site::new();
    for setup in setups() {
        for signal in [Signal::TERM, Signal::INT] {
            let mut server = start_with_long_timeouts(setup, &site);
            let mut idle = server.connect();
            assert_eq!(idle.get("/").status, 200);
            server.signal(signal);
            assert!(server.wait().success(), "{setup:?} {signal:?}");
            idle.expect_end();
        }
    }
}

#[test]
fn a_signal_ends_a_server_without_connections() {
    let site = Site::new();
    for setup in setups() {
        let mut server = start_with_long_timeouts(setup, &site);
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        let mut server = start_with_long_timeouts(setup, &site);
        let _silent = server.connect();
        server.signal(Signal::INT);
        assert!(server.wait().success(), "{setup:?} with a silent connection");
    }
}

/// More than the sockets hold, so that the response is in progress until it is read.
const HUGE: u64 = 64 << 20;

#[test]
fn a_signal_lets_responses_in_progress_finish() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let mut server = start_with_long_timeouts(setup, &site);
        let mut reading = server.connect();
        reading.send(get("/huge.bin"));
        assert_eq!(reading.response_to_head().content_length(), HUGE);
        server.signal(Signal::TERM);
        wait_until_it_stops_accepting(&server);
        assert!(!server.has_ended(), "{setup:?} ended before the response was read");
        let (body, end) = reading.rest();
        assert_eq!((body.len() as u64, end), (HUGE, End::Clean), "{setup:?}");
        assert!(server.wait().success(), "{setup:?}");
    }
}

#[track_caller]
fn wait_until_it_stops_accepting(server: &Server) {
    wait_until("new connections are refused", || {
        TcpStream::connect(server.address).is_err().then_some(())
    });
}

#[test]
fn a_shutdown_waits_no_longer_than_its_timeout() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let mut server = Server::start(
            setup,
            site.root(),
            &["--shutdown-timeout", "0.3", "--write-timeout=3600"],
        );
        let mut paused = server.connect();
        paused.send(get("/huge.bin"));
        paused.response_to_head();
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        wait_until("its processes have ended", || server.processes().is_empty().then_some(()));
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let mut server = start_with_long_timeouts(setup, &site);
            let mut paused = server.connect();
            paused.send(get("/huge.bin"));
            paused.response_to_head();
            server.signal(Signal::TERM);
            wait_until_it_stops_accepting(&server);
            assert!(!server.has_ended(), "{setup:?} waits for the response in progress");
            server.signal(signal);
            assert_eq!(shell_status(server.wait()), status, "{setup:?}");
        }
    }
}

/// The status as a shell reports it in `$?`.
fn shell_status(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .expect("a process ends with a code or by a signal")
}

#[test]
fn a_second_signal_leaves_no_child_behind() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    let mut server = start_with_long_timeouts(setup_with(|setup| setup.forks), &site);
    let mut paused = server.connect();
    paused.send(get("/huge.bin"));
    paused.response_to_head();
    server.signal(Signal::TERM);
    wait_until_it_stops_accepting(&server);
    server.signal(Signal::TERM);
    server.wait();
    wait_until("its child has ended", || server.processes().is_empty().then_some(()));
}

#[test]
fn a_killed_server_leaves_no_child_behind() {
    let site = Site::new();
    let mut server = start_with_long_timeouts(setup_with(|setup| setup.forks), &site);
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 200);
    assert_eq!(server.processes().len(), 2);
    server.signal(Signal::KILL);
    server.wait();
    idle.expect_end();
    wait_until("its child has ended", || server.processes().is_empty().then_some(()));
}

#[test]
fn a_server_can_be_restarted_on_the_same_port_at_once() {
    let site = Site::new();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &[]);
        let port = server.address.port().to_string();
        // The remains of this connection stay on the server's side.
        let mut peer = server.connect();
        assert_eq!(peer.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
        peer.expect_end();
        for next in setups() {
            server.signal(Signal::TERM);
            assert!(server.wait().success());
            server = Server::start(next, site.root(), &["--port", &port]);
            assert_eq!(server.get("/").status, 200, "{next:?} after {setup:?}");
        }
    }
}
