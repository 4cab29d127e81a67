//! The strategies over real sockets, beside the floor that this machine allows: what a request takes.
//!
//! A group is a workload of `miniweb compare`, a function is one of its arms, the load and the servers are its own. What
//! criterion adds is the memory: each run says what has changed since the last. To hold strategies against each other,
//! with latencies, CPU time and doubt, is the business of `miniweb compare`.

use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use miniweb::compare::Contender;
use miniweb::compare::measure::bench::{Bench, Loaded};
use miniweb::compare::results::Pacing;
use miniweb::compare::workloads::Knobs;

const STRATEGIES: [&str; 6] = [
    "mio",
    "poll-list",
    "blocking:thread",
    "blocking:process",
    "blocking:pool",
    "blocking:iterative",
];

const KNOBS: Knobs =
    Knobs { is_quick: true, connections: 64, depth: 16, idle: 500, slow: 32, rate: 1 };

fn main() {
    let mut criterion = Criterion::default()
        // Enough to see the spread; criterion asks for ten at least.
        .sample_size(15)
        .warm_up_time(Duration::from_millis(700))
        .measurement_time(Duration::from_millis(2500))
        .configure_from_args();
    let bench = Bench::open(None, PathBuf::from(env!("CARGO_BIN_EXE_miniweb")))
        .expect("a place for temporary files");
    let strategies =
        STRATEGIES.map(|name| Contender::strategy(name).expect("it is the name of one"));
    let arms: Vec<Contender> = [Contender::floor()].into_iter().chain(strategies).collect();
    // In an open loop a request takes what was planned for it.
    for workload in
        bench.workloads(&KNOBS).iter().filter(|workload| workload.pacing == Pacing::Closed)
    {
        let mut group = criterion.benchmark_group(&workload.name);
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
        for arm in arms.iter().filter(|arm| arm.can_take(workload)) {
            let mut running: Option<Running> = None;
            group.bench_function(BenchmarkId::from_parameter(&arm.arm.name), |bencher| {
                // Not before: a benchmark that is filtered out starts no server.
                let running = running.get_or_insert_with(|| {
                    let loaded =
                        bench.load(arm, workload).expect("the server answers on every connection");
                    Running { loaded, request_seconds: 1e-3 }
                });
                bencher.iter_custom(|requests| running.take(requests));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A server under load, and what a request took the last time.
struct Running {
    loaded: Loaded,
    request_seconds: f64,
}

impl Running {
    /// What so many requests take. A load is run for a time, not for a number: for as long as that number took before.
    fn take(&mut self, requests: u64) -> Duration {
        let time = Duration::from_secs_f64(self.request_seconds * requests as f64);
        let tally = self.loaded.load.run(time).expect("the system can poll");
        assert!(tally.answered > 0 && tally.faults_total() == 0, "{:?}", tally.faults);
        self.request_seconds = tally.duration.as_secs_f64() / tally.answered as f64;
        Duration::from_secs_f64(self.request_seconds * requests as f64)
    }
}
