//! The strategies side by side, over real sockets, beside the floor that this machine allows.
//!
//! A group is a workload, a function is a strategy. Every server is a child process of its own, started on a free
//! port before its benchmark and ended after it: only one runs at a time. The client is one thread of raw
//! sockets in this process ([`client`](support::client)); the floor is a loop that parses nothing
//! ([`floor`](support::floor)), run as a child like the others.
//!
//! What is timed is the time per request of a client that always has the next one ready. Where the client is the
//! slower side, all servers look alike in that; so the CPU time that a request costs the server stands beside it.
//! Client and server share the machine's cores, so the figures are for comparing strategies in one run, not for
//! quoting. Latencies, repetition and doubt are the business of `miniweb compare`.

mod support;

use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use support::client::{Client, Plan, Reuse};
use support::server::Server;
use support::summary::{Summary, Timed};

/// One answer to the question how to wait.
struct Arm {
    name: &'static str,
    /// None: the floor.
    arguments: Option<&'static [&'static str]>,
    /// How many connections are served at once; the others wait until one of these ends.
    served_at_once: usize,
}

const ARMS: &[Arm] = &[
    Arm { name: "floor", arguments: None, served_at_once: usize::MAX },
    // One reactor: the other core is the client's.
    Arm { name: "mio", arguments: Some(&["mio", "--workers", "1"]), served_at_once: usize::MAX },
    Arm { name: "poll-list", arguments: Some(&["poll-list"]), served_at_once: usize::MAX },
    Arm { name: "blocking-iterative", arguments: Some(&["blocking", "--model", "iterative"]), served_at_once: 1 },
    Arm { name: "blocking-process", arguments: Some(&["blocking", "--model", "process"]), served_at_once: usize::MAX },
    Arm { name: "blocking-thread", arguments: Some(&["blocking", "--model", "thread"]), served_at_once: usize::MAX },
    Arm {
        name: "blocking-pool",
        arguments: Some(&["blocking", "--model", "pool", "--threads", "64"]),
        served_at_once: 64,
    },
];

struct Workload {
    name: &'static str,
    explanation: &'static str,
    file: &'static str,
    plan: Plan,
    throughput: Throughput,
}

const KEEP_ALIVE: Plan = Plan { connections: 64, active: 64, pipeline: 1, reuse: Reuse::KeepAlive };

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "keep-alive 1 KiB",
        explanation: "64 connections, one request at a time on each",
        file: SMALL_FILE,
        plan: KEEP_ALIVE,
        throughput: Throughput::Elements(1),
    },
    Workload {
        name: "pipelined 16",
        explanation: "64 connections, 16 requests for 1 KiB at a time on each",
        file: SMALL_FILE,
        plan: Plan { pipeline: 16, ..KEEP_ALIVE },
        throughput: Throughput::Elements(16),
    },
    Workload {
        name: "1 MiB file",
        explanation: "one connection, one request at a time",
        file: LARGE_FILE,
        plan: Plan { connections: 1, active: 1, ..KEEP_ALIVE },
        throughput: Throughput::Bytes(LARGE_BYTES as u64),
    },
    Workload {
        name: "connection per request",
        explanation: "16 at a time, each for one request for 1 KiB",
        file: SMALL_FILE,
        plan: Plan { connections: 16, active: 16, pipeline: 1, reuse: Reuse::Never },
        throughput: Throughput::Elements(1),
    },
    Workload {
        name: "500 idle and 8 active",
        explanation: "508 connections, one request for 1 KiB at a time on 8 of them",
        file: SMALL_FILE,
        plan: Plan { connections: 508, active: 8, ..KEEP_ALIVE },
        throughput: Throughput::Elements(1),
    },
];

const SMALL_FILE: &str = "1k.html";
const LARGE_FILE: &str = "1m.bin";
const LARGE_BYTES: usize = 1024 * 1024;

/// Enough to see the spread; criterion asks for ten at least.
const SAMPLES: usize = 15;

fn main() {
    // This program is its own floor: see `Server::start_floor`.
    if support::floor::is_asked_for() {
        return support::floor::serve();
    }
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    for (name, length) in [(SMALL_FILE, 1024), (LARGE_FILE, LARGE_BYTES)] {
        std::fs::write(folder.path().join(name), vec![b'x'; length]).expect("a new folder can be written to");
    }
    let mut criterion = Criterion::default()
        .sample_size(SAMPLES)
        .warm_up_time(Duration::from_millis(700))
        .measurement_time(Duration::from_millis(2500))
        .configure_from_args();
    let mut summary = Summary::default();
    for workload in WORKLOADS {
        summary.begin(workload.name, workload.explanation);
        run(workload, folder.path(), &mut criterion, &mut summary);
    }
    criterion.final_summary();
    summary.print();
}

/// One group: every arm that can do the workload.
fn run(workload: &Workload, folder: &Path, criterion: &mut Criterion, summary: &mut Summary) {
    let mut group = criterion.benchmark_group(workload.name);
    group.sampling_mode(SamplingMode::Flat).throughput(workload.throughput.clone());
    for arm in ARMS {
        // Connections that end by themselves may wait their turn; those that are kept would wait for ever.
        if workload.plan.reuse == Reuse::KeepAlive && workload.plan.connections > arm.served_at_once {
            summary.left_out(arm.name, arm.served_at_once);
            continue;
        }
        let mut running: Option<Running> = None;
        let mut timed = Timed::new(workload.plan.pipeline);
        group.bench_function(BenchmarkId::from_parameter(arm.name), |bencher| {
            // Not before: a benchmark that is filtered out starts no server.
            let running = running.get_or_insert_with(|| Running::start(arm, workload, folder));
            bencher.iter_custom(|batches| {
                let cpu_before = running.server.cpu_time();
                let time = running.client.exchange(batches);
                timed.record(batches, time, running.server.cpu_time().saturating_sub(cpu_before));
                time
            });
        });
        drop(running);
        summary.add(arm.name, timed.last(SAMPLES));
    }
    group.finish();
}

/// A server and its client. The fields are dropped in their order: the client hangs up first.
struct Running {
    client: Client,
    server: Server,
}

impl Running {
    fn start(arm: &Arm, workload: &Workload, folder: &Path) -> Running {
        let file = folder.join(workload.file);
        let server = match arm.arguments {
            Some(arguments) => Server::start_miniweb(arguments, folder),
            None => Server::start_floor(&file),
        };
        let content = std::fs::read(&file).expect("it was written when the benches began");
        let client = Client::connect(server.address(), workload.plan, workload.file, &content);
        Running { client, server }
    }
}
