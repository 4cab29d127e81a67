//! The server's own counters of system calls agree with strace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::load::{Load, Pace, Plan, RequestTemplate, Reuse};
use miniweb::server::{map_shared_counters, strategies};
use miniweb::syscall_stats::{Call, Counters, PAGE_BYTES};
use rustix::process::{Pid, Signal, kill_process};

const SMALL_BYTES: usize = 1024;
const LARGE_BYTES: usize = 1 << 20;

/// A server under strace.
struct Traced {
    strace: Child,
    server: Pid,
    address: SocketAddr,
    counters: &'static Counters,
    /// The server ends when it is closed.
    _lifeline: UnixStream,
}

impl Traced {
    fn start(directory: &Path, page: &Path, report: &Path, setup: &[&str]) -> Traced {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(page)
            .expect("a new file");
        file.set_len(PAGE_BYTES).expect("it can grow");
        let counters = map_shared_counters(file).expect("it can be mapped");
        let (lifeline, there) = UnixStream::pair().expect("there are descriptors");
        let mut strace = Command::new("strace")
            .args(["-c", "-f", "-o"])
            .arg(report)
            .arg(env!("CARGO_BIN_EXE_miniweb"))
            .args(setup)
            .arg(directory)
            .args(["--port", "0", "--log", "none", "--counters-file"])
            .arg(page)
            .stdin(OwnedFd::from(there))
            .stdout(Stdio::piped())
            .spawn()
            .expect("strace was found before");
        let mut line = String::new();
        BufReader::new(strace.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("a line comes");
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        // The server is the only child of strace.
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let server = std::fs::read_to_string(children)
            .expect("strace lives")
            .split_whitespace()
            .next()
            .and_then(|pid| Pid::from_raw(pid.parse().ok()?))
            .expect("it has a child");
        Traced {
            strace,
            server,
            address: address.expect("the server says where it listens"),
            counters,
            _lifeline: lifeline,
        }
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        Call::ALL.into_iter().map(|call| (call.name(), self.counters.made(call))).collect()
    }

    /// Stops the server; returns its own counts and those of strace.
    fn stop(mut self, report: &Path) -> (BTreeMap<&'static str, u64>, BTreeMap<String, u64>) {
        kill_process(self.server, Signal::TERM).expect("it lives");
        self.strace.wait().expect("it is a child");
        // "% time  seconds  usecs/call  calls  [errors]  syscall"
        let report = std::fs::read_to_string(report).expect("strace wrote it");
        let lines = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let counted = lines.filter(|words| words.len() >= 5 && words[0].parse::<f64>().is_ok());
        let traced = counted
            .filter_map(|words| Some((words.last()?.to_string(), words[3].parse().ok()?)))
            .collect();
        (self.counts(), traced)
    }
}

fn load(address: SocketAddr, path: &str, bytes: usize, reuse: Reuse, active: usize) -> u64 {
    let template = RequestTemplate::get("test", path, reuse, bytes as u64);
    let timeout = Duration::from_secs(10);
    let plan = Plan {
        address,
        template,
        active,
        idle: 0,
        depth: 1,
        pace: Pace::Closed,
        slow: None,
        timeout,
    };
    let mut load = Load::open(plan).expect("the server responses");
    let result = load.run(Duration::from_millis(1000)).expect("it runs");
    assert_eq!(result.errors_total(), 0, "{:?}", result.errors);
    result.responses
}

#[test]
fn the_counters_agree_with_strace() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: strace is not installed");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let site = directory.path().join("site");
    std::fs::create_dir(&site).expect("a new directory");
    std::fs::write(site.join("small.html"), vec![b'x'; SMALL_BYTES]).expect("a new file");
    std::fs::write(site.join("large.bin"), vec![b'x'; LARGE_BYTES]).expect("a new file");
    // The load holds several connections open.
    for setup in strategies::setups().filter(|setup| setup.serves_concurrently()) {
        let report = directory.path().join("strace");
        let server = Traced::start(&site, &directory.path().join("page"), &report, setup.arguments);
        let start = Instant::now();
        let mut responses = 0;
        responses += load(server.address, "/small.html", SMALL_BYTES, Reuse::KeepAlive, 4);
        responses += load(server.address, "/large.bin", LARGE_BYTES, Reuse::KeepAlive, 2);
        responses += load(server.address, "/small.html", SMALL_BYTES, Reuse::Never, 4);
        assert!(
            start.elapsed() < Duration::from_secs(30) && responses > 100,
            "{setup:?}: {responses} responses"
        );
        let (own, strace) = server.stop(&report);
        let children = own[Call::Fork.name()];
        for (name, own) in own {
            let traced = strace.get(name).copied().unwrap_or(0);
            eprintln!("{setup:?} {name}: stats {own}, strace {traced}");
            // Calls at start and end belong to no request and are not counted.
            let once = 200;
            let difference = traced.abs_diff(own).saturating_sub(once.min(responses / 10));
            // A call that SIGCHLD interrupts is counted once and restarted.
            let is_close = difference as f64 <= 0.02 * traced as f64 || difference <= children;
            assert!(
                is_close,
                "{setup:?} {name}: the counters say {own}, strace {traced}, for {responses} responses"
            );
        }
    }
}
