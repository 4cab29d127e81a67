//! The server's counters of its system calls agree with strace's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::load::{Load, Plan, RequestTemplate, Reuse};
use miniweb::server::map_shared_counters;
use miniweb::server::strategies::{self, Setup};
use miniweb::syscall_stats::{Call, Counters, PAGE_BYTES};
use rustix::process::{Pid, Signal, kill_process};

const SMALL_BYTES: usize = 1024;
const LARGE_BYTES: usize = 1 << 20;

/// A server under strace.
struct TracedServer {
    strace: Child,
    server: Pid,
    address: SocketAddr,
    counters: &'static Counters,
    /// The server's standard input: the server ends when the test closes it.
    _input: UnixStream,
}

impl TracedServer {
    fn start(root: &Path, counters_file: &Path, report: &Path, setup: &Setup) -> TracedServer {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(counters_file)
            .expect("the directory is writable");
        file.set_len(PAGE_BYTES).expect("the file is writable");
        let counters = map_shared_counters(file).expect("the file has the size of the counters");
        let (input, server_input) = UnixStream::pair().expect("the test has free descriptors");
        let mut strace = Command::new("strace")
            .args(["-c", "-f", "-o"])
            .arg(report)
            .arg(env!("CARGO_BIN_EXE_miniweb"))
            .args(setup.arguments)
            .arg(root)
            .args(["--port", "0", "--log", "none", "--counters-file"])
            .arg(counters_file)
            .stdin(OwnedFd::from(server_input))
            .stdout(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        let mut line = String::new();
        BufReader::new(strace.stdout.take().expect("stdout is piped"))
            .read_line(&mut line)
            .expect("the server writes a line");
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        // The server is the only child of strace.
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let server = std::fs::read_to_string(children)
            .expect("strace is running")
            .split_whitespace()
            .next()
            .and_then(|pid| Pid::from_raw(pid.parse().ok()?))
            .expect("strace has a child");
        TracedServer {
            strace,
            server,
            address: address.expect("the line has an address"),
            counters,
            _input: input,
        }
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        Call::ALL.into_iter().map(|call| (call.name(), self.counters.made(call))).collect()
    }

    /// Stops the server. Returns its own counts and those of strace.
    fn stop(mut self, report: &Path) -> (BTreeMap<&'static str, u64>, BTreeMap<String, u64>) {
        kill_process(self.server, Signal::TERM).expect("the server is running");
        self.strace.wait().expect("strace is a child of the test");
        // Columns: % time, seconds, usecs/call, calls, errors (may be empty), syscall.
        let report = std::fs::read_to_string(report).expect("strace writes its report");
        let lines = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let rows = lines.filter(|words| words.len() >= 5 && words[0].parse::<f64>().is_ok());
        let counts = rows
            .filter_map(|words| Some((words.last()?.to_string(), words[3].parse().ok()?)))
            .collect();
        (self.counts(), counts)
    }
}

fn load(address: SocketAddr, path: &str, bytes: usize, reuse: Reuse, active: usize) -> u64 {
    let template = RequestTemplate::get("test", path, reuse, bytes as u64);
    let timeout = Duration::from_secs(10);
    let plan = Plan { timeout, ..Plan::closed_loop(address, template, active) };
    let mut load = Load::open(plan).expect("the server responds");
    let result = load.run(Duration::from_millis(1000)).expect("the load generator has resources");
    assert_eq!(result.errors_total(), 0, "{:?}", result.errors);
    result.responses
}

#[test]
fn the_counters_agree_with_strace() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    // The server does not count its calls at start and shutdown.
    const UNCOUNTED_CALLS_MAX: u64 = 200;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let site = directory.path().join("site");
    std::fs::create_dir(&site).expect("the directory is new");
    std::fs::write(site.join("small.html"), vec![b'x'; SMALL_BYTES]).expect("the disk has space");
    std::fs::write(site.join("large.bin"), vec![b'x'; LARGE_BYTES]).expect("the disk has space");
    // The load uses several connections at a time.
    for setup in strategies::setups().filter(|setup| setup.serves_concurrently()) {
        let report = directory.path().join("strace");
        let counters_file = directory.path().join("counters");
        let server = TracedServer::start(&site, &counters_file, &report, setup);
        let start = Instant::now();
        let mut responses = 0;
        responses += load(server.address, "/small.html", SMALL_BYTES, Reuse::KeepAlive, 4);
        responses += load(server.address, "/large.bin", LARGE_BYTES, Reuse::KeepAlive, 2);
        responses += load(server.address, "/small.html", SMALL_BYTES, Reuse::Never, 4);
        assert!(
            start.elapsed() < Duration::from_secs(30) && responses > 100,
            "{setup:?}: {responses} responses"
        );
        let (own_counts, strace_counts) = server.stop(&report);
        let children = own_counts[Call::Fork.name()];
        for (name, own) in own_counts {
            let strace = strace_counts.get(name).copied().unwrap_or(0);
            eprintln!("{setup:?} {name}: own {own}, strace {strace}");
            let uncounted_max = UNCOUNTED_CALLS_MAX.min(responses / 10);
            let difference = strace.abs_diff(own).saturating_sub(uncounted_max);
            // strace counts a call that SIGCHLD interrupts and the kernel restarts twice.
            let is_close = difference as f64 <= 0.02 * strace as f64 || difference <= children;
            assert!(
                is_close,
                "{setup:?} {name}: own {own}, strace {strace}, for {responses} responses"
            );
        }
    }
}
