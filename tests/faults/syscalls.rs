//! Failing and interrupted system calls, injected with strace.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::syscall_stats::Call;

use crate::support::{
    Server, Setup, Site, any_setup, get, miniweb, patterned, setup_with, setups, wait_until,
};
use crate::{LARGE_BYTES, site};

#[test]
fn the_server_recovers_from_any_failure_of_accept() {
    let site = site();
    for setup in setups() {
        for errno in ["ENFILE", "ENOMEM", "ECONNABORTED", "EPROTO", "ENETDOWN", "EINTR"] {
            // The first call and every third after it.
            let fault = format!("error={errno}:when=1+3");
            let Some(server) = with_fault(setup, &site, "accept4", &fault, &[]) else {
                return;
            };
            (0..4).for_each(|_| {
                assert_eq!(server.get("/page.html").status, 200, "{setup:?}, {errno}")
            });
        }
    }
}

#[test]
fn an_interrupted_call_is_repeated() {
    let (site, large) = (site(), patterned(LARGE_BYTES));
    for setup in setups() {
        let calls = "recvfrom,sendto,sendmsg,sendfile,epoll_wait,poll,openat2";
        let Some(server) = with_fault(setup, &site, calls, "error=EINTR:when=2+3", &[]) else {
            return;
        };
        for _ in 0..3 {
            let mut peer = server.connect();
            peer.send(get("/page.html").repeat(5));
            (0..5).for_each(|_| assert_eq!(peer.response().status, 200, "{setup:?}"));
            assert!(peer.get("/large.bin").body == large, "{setup:?}");
        }
    }
}

#[test]
fn a_delay_of_the_server_does_not_time_out_its_clients() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    let site = site();
    for setup in setups() {
        // The server has responded, and then waking the log thread takes longer than the idle
        // timeout.
        let options = ["--idle-timeout", "0.5", "--log", "common"];
        let Some(server) = with_fault(setup, &site, "futex", "delay_exit=700000", &options) else {
            return;
        };
        let mut peer = wait_until("a client is quick enough", || {
            let (mut peer, since) = (server.connect(), Instant::now());
            assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
            peer.send(get("/1.txt"));
            (since.elapsed() < TIMEOUT).then_some(peer)
        });
        assert_eq!(peer.response().status, 200, "{setup:?}");
    }
}

#[test]
fn a_failed_connection_affects_no_other() {
    let (site, large) = (site(), patterned(LARGE_BYTES));
    for setup in setups() {
        for (calls, errno) in [
            ("recvfrom", "ECONNRESET"),
            ("recvfrom", "ETIMEDOUT"),
            ("sendto,sendmsg", "EPIPE"),
            ("sendto,sendmsg", "ECONNRESET"),
            ("sendfile", "EIO"),
            ("sendfile", "EPIPE"),
        ] {
            let Some(server) =
                with_fault(setup, &site, calls, &format!("error={errno}:when=2+3"), &[])
            else {
                return;
            };
            let mut outcomes = [0, 0];
            for _ in 0..6 {
                let mut peer = server.connect();
                peer.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                let (bytes, _) = peer.rest();
                let head =
                    memchr::memmem::find(&bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
                // The whole body or a prefix, and never other bytes.
                assert!(large.starts_with(&bytes[head..]), "{setup:?}, {errno}");
                outcomes[usize::from(bytes.len() - head == LARGE_BYTES)] += 1;
            }
            // strace counts calls per thread and process, and a thread may never make a second one.
            let is_sure =
                (setup.event_loops == 1 || !setup.serves_concurrently()) && calls != "sendfile";
            assert!(
                !is_sure || outcomes.iter().all(|count| *count > 0),
                "{setup:?}, {calls}, {errno}: {outcomes:?}"
            );
        }
    }
}

/// The kernel limits the number of epoll watches.
#[test]
fn a_response_on_a_connection_that_cannot_be_registered_is_logged_as_incomplete() {
    const HUGE: u64 = 1 << 30;
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    // Before it: the listener, the waker, the timer and the signals.
    let fault = "error=ENOSPC:when=5+1";
    let watches = |setup: &Setup| setup.strategy.waits_with.contains(&Call::EpollCtl);
    let watching = setup_with(|setup| watches(setup) && setup.event_loops == 1);
    let Some(server) = with_fault(watching, &site, "epoll_ctl", fault, &["--log", "json"]) else {
        return;
    };
    let mut peer = server.connect();
    peer.send(get("/huge.bin"));
    assert!((peer.rest().0.len() as u64) < HUGE);
    let line = server.output.next().expect("a line");
    assert!(line.contains("/huge.bin") && line.contains("\"complete\":false"), "{line}");
}

#[test]
fn the_log_continues_after_a_temporary_write_error() {
    let site = site();
    // A pipe that another program has made non-blocking loses nothing; a full disk loses the lines
    // that do not fit.
    for (errno, next) in [("EAGAIN", "?2"), ("EINTR", "?2"), ("ENOSPC", "?3")] {
        let fault = format!("error={errno}:when=2");
        let Some(server) = with_fault(any_setup(), &site, "write", &fault, &["--log", "common"])
        else {
            return;
        };
        let expect_line = |query: &str| {
            let line = server.output.next().expect("a line");
            assert!(line.contains(query), "{errno}: {line}, not {query}");
        };
        assert_eq!(server.get("/page.html?1").status, 200);
        expect_line("?1");
        assert_eq!(server.get("/page.html?2").status, 200);
        // Longer than the flush interval of the log.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(server.get("/page.html?3").status, 200);
        expect_line(next);
    }
}

/// The server under strace, which makes `calls` fail as `fault` says; None without strace.
fn with_fault(
    setup: &'static Setup,
    site: &Site,
    calls: &str,
    fault: &str,
    options: &[&str],
) -> Option<Server> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return None;
    }
    let mut command = Command::new("strace");
    command.stdin(Stdio::null()).args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={calls}"),
        "-e",
    ]);
    command.arg(format!("inject={calls}:{fault}")).arg(miniweb().get_program());
    command.args(Server::command(setup, site.root(), options).get_args());
    Some(Server::run(command))
}
