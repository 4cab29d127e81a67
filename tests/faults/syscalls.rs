//! Failing and interrupted system calls, injected with strace.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::syscall_stats::Call;

use crate::support::{Server, Setup, Site, any_setup, get, miniweb, patterned, setups, wait_until};
use crate::{LARGE_BYTES, site};

#[test]
fn an_error_of_accept_does_not_stop_the_server() {
    let site = site();
    for setup in setups() {
        for errno in ["ENFILE", "ENOMEM", "ECONNABORTED", "EPROTO", "ENETDOWN", "EINTR"] {
            // The first call, and then every third.
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
        let mut calls = "recvfrom,sendto,sendmsg,sendfile,openat2".to_owned();
        // The first call is the one that an event loop waits in.
        if setup.strategy.is_event_loop {
            calls = format!("{calls},{}", setup.strategy.waits_with[0].name());
        }
        let Some(server) = with_fault(setup, &site, &calls, "error=EINTR:when=2+3", &[]) else {
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
fn a_client_does_not_time_out_because_of_a_delay_of_the_server() {
    const IDLE_TIMEOUT: Duration = Duration::from_millis(500);
    let site = site();
    for setup in setups() {
        // After a response, waking the log's writer takes longer than the idle timeout.
        let options = ["--idle-timeout", "0.5", "--log", "common"];
        let start = || with_fault(setup, &site, "futex", "delay_exit=700000", &options);
        let mut first = start();
        if first.is_none() {
            return;
        }
        // A late server still wakes the writer, which delays the next client: start a new server.
        let (_server, mut peer) = wait_until("a second request within the timeout", || {
            let server = first.take().or_else(start)?;
            let (mut peer, since) = (server.connect(), Instant::now());
            assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
            peer.send(get("/1.txt"));
            (since.elapsed() < IDLE_TIMEOUT).then_some((server, peer))
        });
        assert_eq!(peer.response().status, 200, "{setup:?}");
    }
}

/// The thread that makes room for waiting clients wakes for each connection, and may run only when
/// another thread has accepted that connection and answered its request.
#[test]
fn no_connection_is_closed_to_make_room_for_itself() {
    let site = site();
    for setup in setups().filter(|setup| setup.concurrency == 1) {
        const DELAY: Duration = Duration::from_millis(100);
        let fault = format!("delay_exit={}", DELAY.as_micros());
        let Some(server) = with_fault(setup, &site, "ppoll", &fault, &[]) else { return };
        let mut peer = server.connect();
        assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
        peer.stream.set_read_timeout(Some(5 * DELAY)).expect("the timeout is not zero");
        let end = peer.stream.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::WouldBlock), "{setup:?}");
        // Another client does make it close.
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        peer.expect_end();
    }
}

#[test]
fn a_failed_connection_does_not_affect_others() {
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
            // Truncated and complete responses.
            let mut outcomes = [0, 0];
            for _ in 0..6 {
                let mut peer = server.connect();
                peer.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                let (bytes, _) = peer.rest();
                let head =
                    memchr::memmem::find(&bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
                assert!(large.starts_with(&bytes[head..]), "{setup:?}, {errno}");
                outcomes[usize::from(bytes.len() - head == LARGE_BYTES)] += 1;
            }
            // strace counts calls per thread, and a thread may never make its second call.
            let is_deterministic =
                (setup.event_loops == 1 || !setup.serves_concurrently()) && calls != "sendfile";
            assert!(
                !is_deterministic || outcomes.iter().all(|count| *count > 0),
                "{setup:?}, {calls}, {errno}: {outcomes:?}"
            );
        }
    }
}

/// `epoll_ctl` fails with ENOSPC at the limit of `/proc/sys/fs/epoll/max_user_watches`.
#[test]
fn a_response_on_a_connection_that_epoll_rejects_is_logged_as_incomplete() {
    const HUGE: u64 = 1 << 30;
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    let uses_epoll = |setup: &&Setup| setup.strategy.waits_with.contains(&Call::EpollCtl);
    for setup in setups().filter(uses_epoll).filter(|setup| setup.event_loops == 1) {
        let Some(at_start) = calls_at_start(setup, &site, Call::EpollCtl) else { return };
        let fault = format!("error=ENOSPC:when={}+1", at_start + 1);
        let options = ["--log", "json"];
        let Some(server) = with_fault(setup, &site, Call::EpollCtl.name(), &fault, &options) else {
            return;
        };
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        assert!((peer.rest().0.len() as u64) < HUGE, "{setup:?}");
        let line = server.output.next().expect("the request is logged");
        assert!(
            line.contains("/huge.bin") && line.contains("\"complete\":false"),
            "{setup:?}: {line}"
        );
    }
}

#[test]
fn the_access_log_continues_after_a_failed_write() {
    let site = site();
    // The lines of another process take another way.
    let setups = [any_setup()].into_iter().chain(setups().filter(|setup| setup.forks));
    // After EAGAIN (a pipe that another program made non-blocking) and EINTR the server repeats the
    // write. After ENOSPC it drops the line.
    let faults = [("EAGAIN", "?2"), ("EINTR", "?2"), ("ENOSPC", "?3")];
    for (setup, (errno, next)) in setups.flat_map(|setup| faults.map(|fault| (setup, fault))) {
        let fault = format!("error={errno}:when=2");
        let Some(server) = with_fault(setup, &site, "write", &fault, &["--log", "common"]) else {
            return;
        };
        let expect_line = |query: &str| {
            let line = server.output.next().expect("the request is logged");
            assert!(line.contains(query), "{setup:?}, {errno}: {line}, not {query}");
        };
        assert_eq!(server.get("/page.html?1").status, 200);
        expect_line("?1");
        assert_eq!(server.get("/page.html?2").status, 200);
        // Longer than the log's writer buffers lines.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(server.get("/page.html?3").status, 200);
        expect_line(next);
    }
}

/// Starts the server under strace, which injects `fault` into `calls`. Returns `None` if strace is
/// not installed.
pub fn with_fault(
    setup: &'static Setup,
    site: &Site,
    calls: &str,
    fault: &str,
    options: &[&str],
) -> Option<Server> {
    let inject = ["-e".to_owned(), format!("inject={calls}:{fault}")];
    under_strace(setup, site, calls, Path::new("/dev/null"), &inject, options)
}

/// The number of times that a server without clients makes `call` before it is ready. Returns
/// `None` if strace is not installed.
fn calls_at_start(setup: &'static Setup, site: &Site, call: Call) -> Option<usize> {
    let trace = tempfile::NamedTempFile::new().expect("the temporary directory is writable");
    drop(under_strace(setup, site, call.name(), trace.path(), &[], &[])?);
    let trace = std::fs::read_to_string(trace.path()).expect("strace has written its trace");
    Some(trace.lines().filter(|line| line.contains(call.name())).count())
}

fn under_strace(
    setup: &'static Setup,
    site: &Site,
    calls: &str,
    trace: &Path,
    arguments: &[String],
    options: &[&str],
) -> Option<Server> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return None;
    }
    let mut command = Command::new("strace");
    command.stdin(Stdio::null()).args(["-f", "-qq", "-o"]).arg(trace);
    command.arg("-e").arg(format!("trace={calls}")).args(arguments);
    command.arg(miniweb().get_program());
    command.args(Server::command(setup, site.root(), options).get_args());
    Some(Server::run(command))
}
