//! Injected faults, one at a time: a system call fails, a client disconnects at every possible
//! moment, a bug panics. Each time the affected client gets a well-defined end, no other client
//! notices, and no resource is left behind.

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::syscall_stats::Call;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use support::{
    End, Peer, Server, Setup, Site, any_setup, get, miniweb, patterned, setup_with, setups,
    wait_until,
};

/// More than the socket buffers hold.
const LARGE_BYTES: usize = 12 << 20;
/// A request whose response needs no descriptor.
const NEEDS_NO_FILE: &str = "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";

fn site() -> Site {
    let site = Site::new();
    site.write("large.bin", patterned(LARGE_BYTES));
    (0..10).for_each(|n| drop(site.write(format!("{n}.txt"), "not asked for before")));
    site
}

/// Until it is dropped, the processes of the server can open no descriptor, or only a few.
struct WithoutDescriptors<'a> {
    server: &'a Server,
    limits: Vec<(i32, Rlimit)>,
}

impl WithoutDescriptors<'_> {
    fn of(server: &Server) -> WithoutDescriptors<'_> {
        WithoutDescriptors::but(server, 0)
    }

    fn but(server: &Server, spare: u64) -> WithoutDescriptors<'_> {
        let lower = |(id, _): (i32, char)| {
            let is_open = |n: &u64| fs::exists(format!("/proc/{id}/fd/{n}")).expect("it lives");
            let first_free = (0..).find(|n| !is_open(n)).expect("not all numbers are taken");
            // The hard limit is not changed.
            (
                id,
                set_limit(
                    id,
                    Rlimit { current: Some(first_free + spare), ..getrlimit(Resource::Nofile) },
                ),
            )
        };
        WithoutDescriptors { server, limits: server.processes().into_iter().map(lower).collect() }
    }
}

impl Drop for WithoutDescriptors<'_> {
    fn drop(&mut self) {
        let live = self.server.processes();
        for (id, before) in
            self.limits.drain(..).filter(|(id, _)| live.iter().any(|(live, _)| live == id))
        {
            set_limit(id, before);
        }
    }
}

/// Returns the previous limit.
fn set_limit(id: i32, limit: Rlimit) -> Rlimit {
    prlimit(Pid::from_raw(id), Resource::Nofile, limit)
        .expect("it lives, and its limit is ours to set")
}

/// The CPU time of its processes.
fn cpu_time(server: &Server) -> Duration {
    let ticks = |(id, _): (i32, char)| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let facts: Vec<_> =
            stat.rsplit_once(") ").map_or(vec![], |(_, facts)| facts.split(' ').collect());
        facts
            .iter()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum::<u64>()
    };
    Duration::from_secs_f64(server.processes().into_iter().map(ticks).sum::<u64>() as f64 / 100.0)
}

#[test]
fn without_free_descriptors_the_server_keeps_serving_does_not_spin_and_recovers() {
    let (site, large) = (site(), patterned(LARGE_BYTES));
    for setup in setups() {
        let server = Server::start(setup, site.root(), &[]);
        // A download that has begun, and a keep-alive connection.
        let mut download = server.connect();
        download.send(get("/large.bin"));
        assert_eq!(download.response_to_head().content_length(), LARGE_BYTES as u64);
        let mut kept = setup.serves_concurrently().then(|| server.connect());
        if let Some(kept) = &mut kept {
            assert_eq!(kept.get("/page.html").status, 200);
        }
        let shortage = WithoutDescriptors::of(&server);
        let mut newcomer = server.connect();
        newcomer.send(NEEDS_NO_FILE);
        if let Some(kept) = &mut kept {
            let refused = kept.get("/1.txt");
            assert_eq!(
                (refused.status, refused.field("Retry-After")),
                (503, Some("1")),
                "{setup:?}"
            );
            assert_eq!(kept.ask(NEEDS_NO_FILE).status, 204, "{setup:?}");
        }
        // A loop that sleeps for a fixed time between passes is always busy.
        if !setup.strategy.waits_with.contains(&Call::Sleep) {
            let (before, start) = (cpu_time(&server), Instant::now());
            std::thread::sleep(Duration::from_millis(500));
            let (spent, passed) = (cpu_time(&server) - before, start.elapsed());
            assert!(spent < passed / 5, "{setup:?} spent {spent:?} of {passed:?} on nothing");
        }
        assert!(download.take(LARGE_BYTES) == large, "{setup:?}");
        drop(shortage);
        drop(download);
        assert_eq!(newcomer.response().status, 204, "{setup:?}");
        if let Some(kept) = &mut kept {
            wait_until("files can be opened again", || {
                (kept.get("/1.txt").status == 200).then_some(())
            });
        }
    }
}

#[test]
fn a_listing_without_a_free_descriptor_is_a_503_with_configured_headers() {
    let site = site();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--list", "--header", "X-Site: mine"]);
        let mut peer = server.connect();
        assert_eq!(peer.get("/bare/").status, 200, "{setup:?}");
        // Enough to open the directory, and not to read it.
        let shortage = WithoutDescriptors::but(&server, 1);
        let refused = peer.get("/bare/");
        assert_eq!((refused.status, refused.field("X-Site")), (503, Some("mine")), "{setup:?}");
        drop(shortage);
        assert_eq!(peer.get("/bare/").status, 200, "{setup:?}");
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

#[test]
fn a_fallback_that_cannot_be_opened_now_is_a_503() {
    let site = site();
    // Too large for the cache.
    site.write("app.html", patterned(100_000));
    for setup in setups() {
        let server =
            Server::start(setup, site.root(), &["--fallback", "app.html", "--header", "X-Site: a"]);
        let mut peer = server.connect();
        let navigation = "GET /nowhere HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n";
        assert_eq!(peer.ask(navigation).status, 200, "{setup:?}");
        settled_descriptors(&server);
        let shortage = WithoutDescriptors::of(&server);
        let refused = peer.ask(navigation);
        assert_eq!((refused.status, refused.field("X-Site")), (503, Some("a")), "{setup:?}");
        // A file that was found before and cannot be opened again.
        let refused = peer.get("/app.html");
        assert_eq!((refused.status, refused.field("X-Site")), (503, Some("a")), "{setup:?}");
        drop(shortage);
        assert_eq!(peer.ask(navigation).status, 200, "{setup:?}");
    }
}

/// How a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Departure {
    Reset,
    Close,
    /// It closes its write side and continues to read.
    HalfClose,
}

#[test]
fn a_client_may_disconnect_at_any_point_of_its_requests() {
    let site = Site::new();
    site.write("200k.bin", patterned(200_000));
    let requests = [get("/page.html"), get("/200k.bin"), get("/missing")];
    let text = requests.concat();
    let ends: Vec<usize> = (1..=3).map(|n| requests[..n].concat().len()).collect();
    let mut cuts: Vec<usize> =
        (0..text.len()).step_by(7).chain(ends.iter().flat_map(|end| end - 2..end + 2)).collect();
    cuts.retain(|cut| *cut <= text.len());
    for setup in setups() {
        let server = Server::start(setup, site.root(), &[]);
        assert_eq!(server.get("/page.html").status, 200);
        let descriptors = settled_descriptors(&server);
        for cut in &cuts {
            for departure in [Departure::Reset, Departure::Close, Departure::HalfClose] {
                let mut peer = server.connect();
                peer.send(&text[..*cut]);
                match departure {
                    Departure::Reset => peer.reset(),
                    Departure::Close => drop(peer),
                    Departure::HalfClose => {
                        peer.finish_sending();
                        let whole = ends.iter().filter(|end| *end <= cut).count();
                        let answered = peer.responses_to_the_end();
                        let good = answered
                            .iter()
                            .filter(|answer| [200, 404].contains(&answer.status))
                            .count();
                        assert_eq!(good, whole, "{setup:?}: {cut} bytes, then the end of input");
                    }
                }
            }
        }
        expect_nothing_left(&server, descriptors);
    }
}

#[test]
fn a_client_may_disconnect_at_any_point_of_a_response() {
    let site = site();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &[]);
        assert_eq!(server.get("/page.html").status, 200);
        let descriptors = settled_descriptors(&server);
        for read in [
            0,
            1,
            100,
            1000,
            65_536,
            65_537,
            300_000,
            1 << 20,
            LARGE_BYTES / 2,
            LARGE_BYTES - 1,
            LARGE_BYTES,
        ] {
            for departure in [Departure::Reset, Departure::Close, Departure::HalfClose] {
                let mut peer = server.connect();
                peer.send(get("/large.bin"));
                assert_eq!(peer.take(read).len(), read);
                match departure {
                    Departure::Reset => peer.reset(),
                    Departure::Close => drop(peer),
                    Departure::HalfClose => {
                        peer.finish_sending();
                        let (rest, end) = peer.rest();
                        assert_eq!(end, End::Clean, "{setup:?}");
                        assert!(
                            read + rest.len() > LARGE_BYTES,
                            "{setup:?}: the rest is owed after {read} bytes"
                        );
                    }
                }
            }
        }
        expect_nothing_left(&server, descriptors);
    }
}

/// The open descriptors without clients. Earlier connections may take a moment to close.
fn settled_descriptors(server: &Server) -> usize {
    let mut before = server.descriptors();
    wait_until("its descriptors settle", || {
        let (then, now) = (before, server.descriptors());
        before = now;
        (then == now).then_some(now)
    })
}

#[track_caller]
fn expect_nothing_left(server: &Server, descriptors: usize) {
    assert_eq!(server.get("/page.html").status, 200);
    wait_until("what they opened is closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
    wait_until("what they started has ended", || (server.processes().len() == 1).then_some(()));
}

#[test]
fn a_panic_closes_only_its_connection() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build cannot be made to panic");
        return;
    }
    let site = Site::new();
    for setup in setups() {
        let mut command = Server::command(setup, site.root(), &[]);
        command.env("MINIWEB_PANIC_AT", "/bug");
        let mut server = Server::run(command);
        server.may_print_errors = true;
        let mut bystander = setup.serves_concurrently().then(|| server.connect());
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200);
        }
        let descriptors = settled_descriptors(&server);
        for _ in 0..20 {
            let mut peer = server.connect();
            peer.send(get("/bug"));
            let (answer, _) = peer.rest();
            assert_eq!(support::shown(&answer), "", "{setup:?}");
        }
        server.errors.until(|line| line.contains("a panic was asked for"));
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/page.html").status, 200, "{setup:?}");
        }
        wait_until("its descriptors are closed", || {
            (server.descriptors() <= descriptors).then_some(())
        });
    }
}

#[test]
fn a_slow_head_frees_its_thread_after_the_head_timeout() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.concurrency < usize::MAX) {
        let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
        let mut slow: Vec<Peer> = (0..setup.concurrency).map(|_| server.connect()).collect();
        slow.iter_mut().for_each(|peer| peer.send("GET / HTTP/1.1\r\nX: "));
        // All other clients wait meanwhile, as the strategy implies.
        let mut ordinary = server.connect();
        ordinary.send(get("/page.html"));
        for peer in &mut slow {
            assert_eq!(peer.response().status, 408, "{setup:?}");
        }
        assert_eq!(ordinary.response().status, 200, "{setup:?}");
    }
}
