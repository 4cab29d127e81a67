//! The time per request of all strategies over real sockets, next to the reference loop.
//!
//! A group is a workload of `miniweb compare`, a function one of its contenders. Criterion adds the
//! history: each run reports changes since the previous one. To compare strategies with each other,
//! use `miniweb compare`, which also measures latency and CPU time and states confidence intervals.
//!
//! Without options, such as in a full `cargo bench`, it ends with a short comparison of that kind
//! and prints its headline. Cargo runs benches in the order of their names, and this one is the
//! last, so the headline is what a full `cargo bench` ends with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use miniweb::cli::{self, Invocation};
use miniweb::compare::Contender;
use miniweb::compare::measure::bench::{Bench, LoadedServer};
use miniweb::compare::report;
use miniweb::compare::results::{Completeness, Pacing};
use miniweb::compare::run;
use miniweb::compare::workloads::WorkloadParameters;

const PARAMETERS: WorkloadParameters = WorkloadParameters {
    is_quick: true,
    connections: 64,
    depth: 16,
    idle: 500,
    slow: 32,
    rate: 1,
    has_tls: false,
};

fn main() {
    // Each pins the thread that generates its load, so each needs a thread whose cores are free.
    std::thread::scope(|scope| {
        scope.spawn(bench_strategies);
    });
    // What was asked for by an option is finished.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        match headline() {
            Ok(text) => println!("{text}"),
            Err(reason) => println!("The strategies were not compared: {reason}"),
        }
    }
}

/// The headline of `miniweb compare --quick`, which takes under a minute.
fn headline() -> Result<String, String> {
    let arguments = ["compare", "--quick"].into_iter().map(OsString::from);
    let mut request = match cli::parse(arguments) {
        Ok(Invocation::Compare(request, _)) => request,
        other => return Err(format!("{other:?}")),
    };
    request.program = PathBuf::from(env!("CARGO_BIN_EXE_miniweb"));
    println!("\nminiweb compare --quick, for at most {} s:", request.time.as_secs());
    let results = run::compare(&request, &mut |_| {}).map_err(|error| format!("{error:?}"))?;
    let mut lines = report::headline(&results);
    if let Completeness::Partial { reason } = &results.completeness {
        lines.insert(0, format!("Partial: {reason}."));
    }
    Ok(lines.join("\n"))
}

fn bench_strategies() {
    let mut criterion = Criterion::default()
        // Enough to see the spread; criterion requires at least ten.
        .sample_size(15)
        .warm_up_time(Duration::from_millis(700))
        .measurement_time(Duration::from_millis(2500))
        .configure_from_args();
    let bench = Bench::open(None, PathBuf::from(env!("CARGO_BIN_EXE_miniweb")))
        .expect("the site can be prepared");
    let contenders = [Contender::reference_loop()].into_iter().chain(Contender::strategies(false));
    let contenders: Vec<Contender> = contenders.collect();
    // In an open loop the time per request is given by the rate.
    for workload in
        bench.workloads(&PARAMETERS).iter().filter(|workload| workload.pacing == Pacing::Closed)
    {
        let mut group = criterion.benchmark_group(&workload.name);
        group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
        for contender in contenders.iter().filter(|contender| contender.supports(workload)) {
            let mut running: Option<Running> = None;
            group.bench_function(BenchmarkId::from_parameter(&contender.info.name), |bencher| {
                // Started here, so that a benchmark that is filtered out starts no server.
                let running = running.get_or_insert_with(|| {
                    let loaded = bench
                        .load(contender, workload)
                        .expect("the server responds on every connection");
                    Running { loaded, request_seconds: 1e-3 }
                });
                bencher.iter_custom(|requests| running.run(requests));
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A server under load, and the time per request of the previous run.
struct Running {
    loaded: LoadedServer,
    request_seconds: f64,
}

impl Running {
    /// The time for `requests` requests. A load runs for a time, not for a number of requests, so
    /// the previous time per request determines how long.
    fn run(&mut self, requests: u64) -> Duration {
        let time = Duration::from_secs_f64(self.request_seconds * requests as f64);
        let result = self.loaded.load.run(time).expect("epoll works");
        assert!(result.responses > 0 && result.errors_total() == 0, "{:?}", result.errors);
        self.request_seconds = result.duration.as_secs_f64() / result.responses as f64;
        Duration::from_secs_f64(self.request_seconds * requests as f64)
    }
}
