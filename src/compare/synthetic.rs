//! Synthetic results for the tests of analysis and reports.
//!
//! Equal seeds give equal results. The contenders behave roughly like real servers, so a report of
//! a synthetic run looks like a real one.

#![cfg(test)]

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::compare::results::*;
use crate::compare::synthetic_timelines;
use crate::format::counted;

/// A factor around 1, from a triangular distribution.
fn noise_factor(random: &mut Rng, spread: f64) -> f64 {
    1.0 + spread * (random.f64() + random.f64() - 1.0)
}

/// A complete run with every kind of contender and workload.
pub fn results(seed: u64) -> Results {
    run(seed, contenders(), workloads())
}

/// The same with two strategies that take part with TLS, too.
pub fn with_tls(seed: u64) -> Results {
    let (mut contenders, mut workloads) = (contenders(), workloads());
    for name in ["alpha", "gamma"] {
        let plain = contenders.iter().find(|it| it.name == name);
        let plain = plain.expect("it is a synthetic contender").clone();
        let without_tls = Some(plain.name.clone());
        contenders.push(ContenderInfo { name: format!("{name}+tls"), without_tls, ..plain });
    }
    let churn = workloads.iter().find(|it| it.kind == WorkloadKind::ConnectionPerRequest);
    let churn = churn.expect("it is a synthetic workload").clone();
    let (name, title) = ("churn-resumed".to_owned(), "resumed TLS sessions".to_owned());
    workloads.push(Workload { name, title, resumes_sessions: true, ..churn });
    run(seed, contenders, workloads)
}

fn run(seed: u64, contenders: Vec<ContenderInfo>, workloads: Vec<Workload>) -> Results {
    let mut random = Rng::with_seed(seed);
    let rounds = 6;
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        completeness: Completeness::Whole,
        environment: environment(),
        options: options(seed, rounds),
        response_check: ResponseCheck {
            requests: vec![
                "GET / → 200".into(),
                "GET /nothing → 404".into(),
                "GET / with If-None-Match → 304".into(),
            ],
            exempt: vec!["reference".into()],
            bodies_only: vec!["nginx".into()],
        },
        order: Vec::new(),
        cells: Vec::new(),
        timelines: synthetic_timelines::all(),
        contenders,
        workloads,
    };
    for workload in &results.workloads {
        let drifts: Vec<f64> = (0..rounds).map(|_| noise_factor(&mut random, 0.05)).collect();
        for contender in &results.contenders {
            let round = |(number, drift): (usize, &f64)| {
                round(contender, workload, number as u32, *drift, &mut random)
            };
            results.cells.push(Cell {
                contender: contender.name.clone(),
                workload: workload.name.clone(),
                rounds: drifts.iter().enumerate().map(round).collect(),
                failures: Vec::new(),
            });
        }
    }
    for round in 0..rounds {
        for (workload, contender) in results
            .workloads
            .iter()
            .flat_map(|w| results.contenders.iter().map(move |contender| (w, contender)))
        {
            results.order.push(Measurement {
                round,
                workload: workload.name.clone(),
                contender: contender.name.clone(),
            });
        }
    }
    results
}

/// An interrupted run: the last contender and the last workload are missing, others have fewer
/// rounds.
pub fn partial(seed: u64) -> Results {
    let mut results = results(seed);
    results.completeness = Completeness::Partial { reason: "interrupted".into() };
    let (last_contender, last_workload) =
        (results.contenders.last().cloned(), results.workloads.last().cloned());
    results.cells.retain(|cell| {
        last_contender.as_ref().is_none_or(|contender| cell.contender != contender.name)
            && last_workload.as_ref().is_none_or(|workload| cell.workload != workload.name)
    });
    for cell in results.cells.iter_mut().skip(20) {
        cell.rounds.truncate(2);
    }
    results
}

/// A run without a valid cell.
pub fn invalid(seed: u64) -> Results {
    let mut results = results(seed);
    for (number, cell) in results.cells.iter_mut().enumerate() {
        match number % 3 {
            0 => cell.failures.push("the server ended: <signal 11> & \"core\" dumped".into()),
            1 => cell.rounds.clear(),
            _ => cell.rounds.iter_mut().for_each(|round| {
                round.errors.insert(ErrorKind::Response, 3);
                round.client_cpu_share = 0.999;
            }),
        }
    }
    results
}

fn contenders() -> Vec<ContenderInfo> {
    let contender = |name: &str, kind, description: &str| ContenderInfo {
        name: name.into(),
        kind,
        description: description.into(),
        command: format!("miniweb {name}"),
        connections_max: None,
        without_tls: None,
    };
    vec![
        contender("alpha", ContenderKind::Strategy, "one thread, one event loop"),
        contender("beta", ContenderKind::Strategy, "one thread, never sleeping"),
        contender("gamma", ContenderKind::Strategy, "one thread per connection"),
        contender("delta", ContenderKind::Strategy, "a pool of 16 threads"),
        contender("epsilon", ContenderKind::Strategy, "one process per connection"),
        contender("nginx", ContenderKind::Foreign, "http://127.0.0.1:8080/"),
        contender(
            "alpha again",
            ContenderKind::Twin { of: "alpha".into() },
            "alpha, a second time",
        ),
        contender(
            "reference",
            ContenderKind::ReferenceLoop,
            "prepared responses without HTTP parsing",
        ),
    ]
}

fn workloads() -> Vec<Workload> {
    let base = |name: &str, kind, title: &str, connections| Workload {
        name: name.into(),
        kind,
        title: title.into(),
        pacing: Pacing::Closed,
        connections,
        idle_connections: 0,
        pipeline_depth: 1,
        requests_per_connection: None,
        path: "/style.css".into(),
        body_bytes: 4096,
        reader_bytes_per_second: None,
        resumes_sessions: false,
        sweep: None,
    };
    let mut workloads = Vec::new();
    for connections in [1, 8, 64, 512] {
        let title = format!("keep-alive, small file, {}", counted(connections, "connection"));
        workloads.push(base(
            &format!("keep-alive-{connections}"),
            WorkloadKind::KeepAlive,
            &title,
            connections,
        ));
    }
    let open = base(
        "keep-alive-64-open",
        WorkloadKind::KeepAlive,
        "keep-alive at a fixed 10,000 requests/s",
        64,
    );
    workloads.push(Workload { pacing: Pacing::Open { requests_per_second: 10_000.0 }, ..open });
    let pipelined =
        base("pipelined", WorkloadKind::Pipelined, "pipelined, 16 in flight on each", 64);
    workloads.push(Workload { pipeline_depth: 16, ..pipelined });
    let churn = base("churn", WorkloadKind::ConnectionPerRequest, "a connection per request", 32);
    workloads.push(Workload { requests_per_connection: Some(1), ..churn });
    let large = base("large", WorkloadKind::LargeFile, "a file of 8 MiB", 8);
    workloads.push(Workload { body_bytes: 8 << 20, path: "/large.bin".into(), ..large });
    let idle = base("idle-504", WorkloadKind::MostlyIdle, "504 idle connections", 512);
    workloads.push(Workload { idle_connections: 504, ..idle });
    let slow = base("slow", WorkloadKind::SlowReaders, "slow readers, 64 KiB/s each", 32);
    workloads.push(Workload { reader_bytes_per_second: Some(65_536), body_bytes: 16_384, ..slow });
    workloads.extend(sweeps(&base));
    workloads
}

/// The points that are not loads of their own.
fn sweeps(base: &dyn Fn(&str, WorkloadKind, &str, u32) -> Workload) -> Vec<Workload> {
    let many = base("keep-alive-2048", WorkloadKind::KeepAlive, "2048 connections", 2048);
    let mut points = vec![Workload { sweep: Some(Axis::Connections), ..many }];
    for idle_connections in [100, 10_000] {
        let (name, connections) = (format!("idle-{idle_connections}"), idle_connections + 8);
        let idle = base(&name, WorkloadKind::MostlyIdle, "idle connections", connections);
        points.push(Workload { idle_connections, sweep: Some(Axis::Idle), ..idle });
    }
    for body_bytes in [0, 65_536] {
        let file = base(&format!("file-{body_bytes}"), WorkloadKind::KeepAlive, "a file", 8);
        points.push(Workload { body_bytes, sweep: Some(Axis::Size), ..file });
    }
    for requests_per_second in [2_000.0, 50_000.0] {
        let name = format!("open-{requests_per_second}");
        let open = base(&name, WorkloadKind::KeepAlive, "at a fixed rate", 64);
        let pacing = Pacing::Open { requests_per_second };
        points.push(Workload { pacing, sweep: Some(Axis::Rate), ..open });
    }
    points
}

fn round(
    contender: &ContenderInfo,
    workload: &Workload,
    number: u32,
    drift: f64,
    random: &mut Rng,
) -> Round {
    // Cost in µs per request (user, system), per open connection and per new connection; memory in
    // bytes.
    let name = contender.without_tls.as_ref().unwrap_or(&contender.name);
    let (user, system, per_open, per_made, memory_bytes) = match name.as_str() {
        "beta" => (2.0, 6.0, 0.12, 12.0, 600.0),
        "gamma" => (1.8, 5.6, 0.012, 28.0, 18_400.0),
        "delta" => (1.9, 6.0, 0.01, 16.0, 1_100.0),
        "epsilon" => (1.9, 6.6, 0.02, 140.0, 212_000.0),
        "nginx" => (3.1, 7.9, 0.001, 15.0, 900.0),
        "reference" => (0.4, 4.8, 0.0, 10.0, 200.0),
        _ => (2.1, 6.4, 0.0008, 14.0, 560.0),
    };
    // Encryption and handshakes.
    let (user, per_made) = match (&contender.without_tls, workload.resumes_sessions) {
        (None, _) => (user, per_made),
        (Some(_), false) => (user + 4.0, per_made + 120.0),
        (Some(_), true) => (user + 4.0, per_made + 60.0),
    };
    let made =
        workload.requests_per_connection.map_or(0.0, |requests| per_made / f64::from(requests));
    let depth = f64::from(workload.pipeline_depth);
    let copied = workload.body_bytes as f64 / 40_000.0;
    let mut jitter = |spread| noise_factor(random, spread);
    let user_us = user * drift * jitter(0.03);
    let waiting = per_open * f64::from(workload.connections);
    let system_us = (system / depth.sqrt() + waiting + made + copied) * drift * jitter(0.03);
    let capacity = 1e6 / (user_us + system_us);
    let in_flight = f64::from(workload.active_connections() * workload.pipeline_depth);
    let per_second = match (workload.pacing, workload.reader_bytes_per_second) {
        (Pacing::Open { requests_per_second }, _) => requests_per_second.min(capacity),
        (_, Some(speed)) => in_flight * speed as f64 / workload.body_bytes as f64,
        // A single connection idles for a round trip between its requests.
        _ => capacity * in_flight / (in_flight + 1.5),
    };
    let duration_us = (500_000.0 * jitter(0.01)) as u64;
    let requests = (per_second * duration_us as f64 / 1e6).round().max(1.0) as u64;
    let mean_us = match workload.pacing {
        Pacing::Closed => in_flight / per_second * 1e6,
        Pacing::Open { .. } => (user_us + system_us) * (1.0 + 4.0 * per_second / capacity),
    };
    let latency = latencies(mean_us, requests, random);
    let keeps_counters = contender.kind != ContenderKind::Foreign;
    let polls = contender.name == "beta";
    let is_blocking = matches!(contender.name.as_str(), "gamma" | "delta" | "epsilon");
    let is_open = workload.pacing != Pacing::Closed;
    let scaled = |per_request: f64| (per_request * requests as f64) as u64;
    let mean_ns = latency.mean_ns().unwrap_or_default();
    Round {
        number,
        duration_us,
        requests,
        bytes: requests * (workload.body_bytes + 260),
        errors: BTreeMap::new(),
        cpu: Some(Cpu {
            user_us: (user_us * requests as f64) as u64,
            system_us: if polls {
                (duration_us as f64 * 0.98 - user_us * requests as f64).max(0.0) as u64
            } else {
                scaled(system_us)
            },
        }),
        service_time: is_open.then(|| latencies(mean_us * 0.6, requests, random)),
        syscalls: keeps_counters.then(|| syscalls(&contender.name, workload, requests)),
        would_blocks: keeps_counters.then(|| scaled(if polls { waiting / 0.4 } else { 0.02 })),
        context_switches: Some(ContextSwitches {
            voluntary: scaled(if is_blocking { 0.92 } else { 0.08 }),
            involuntary: scaled(0.004),
        }),
        memory_bytes_per_connection: Some(memory_bytes * noise_factor(random, 0.04)),
        idle_cpu_share: Some(if polls {
            0.97 + 0.02 * random.f64()
        } else {
            0.0004 * random.f64()
        }),
        client_cpu_share: 0.55 + 0.1 * random.f64(),
        handshakes: None,
        in_flight_average: requests as f64 * mean_ns / (duration_us as f64 * 1000.0),
        noise: Noise {
            steal_share: Some(0.002 * random.f64()),
            foreign_cpu_share: Some(0.01 * random.f64()),
            cpu_pressure_share: Some(0.05 * random.f64()),
        },
        latency,
    }
}

/// Latencies with the given mean, skewed to the right with a long tail.
fn latencies(mean_us: f64, requests: u64, random: &mut Rng) -> Histogram {
    let mut recorder = hdrhistogram::Histogram::<u64>::new_with_max(60_000_000_000, 2)
        .expect("2 digits are valid");
    let samples = requests.clamp(1, 150);
    for _ in 0..samples {
        let usual = 0.6 - 0.36 * (1.0 - random.f64()).ln();
        let tail = if random.f64() < 0.003 { 3.0 + 9.0 * random.f64() } else { 0.0 };
        let value_ns = (mean_us * 1000.0 * (usual + tail)).max(1.0) as u64;
        recorder
            .record_n(value_ns, requests.div_ceil(samples))
            .expect("every value is below the maximum");
    }
    Histogram::of(&recorder)
}

fn syscalls(contender: &str, workload: &Workload, requests: u64) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    let mut add = |name: &str, per_request: f64| {
        let count = (per_request * requests as f64) as u64;
        calls.insert(name.to_owned(), count);
    };
    let depth = f64::from(workload.pipeline_depth);
    let would_block =
        if contender == "beta" { 0.3 * f64::from(workload.connections) } else { 0.02 };
    add("recv", 1.0 / depth + would_block);
    add("send", 1.0 / depth);
    if workload.body_bytes > 1 << 20 {
        add("sendfile", 34.0);
    }
    if contender.starts_with("alpha") || contender == "reference" {
        add("epoll_wait", 0.4 / depth);
    }
    if let Some(per_connection) = workload.requests_per_connection {
        let made = 1.0 / f64::from(per_connection);
        add("accept", made + if contender.starts_with("alpha") { 0.6 } else { 0.0 });
        add("close", made);
        if contender.starts_with("alpha") {
            add("epoll_ctl", made);
        }
        if contender == "gamma" {
            add("clone3", made);
        }
    }
    calls
}

fn environment() -> Environment {
    Environment {
        started_at: "2025-01-31T12:00:00Z".into(),
        elapsed_seconds: 402,
        kernel: "Linux 6.8.0".into(),
        architecture: "x86_64".into(),
        cpu_model: "A Processor <4> & \"more\" @ 2.60GHz".into(),
        cores: 2,
        memory_bytes: 8 << 30,
        server_core: Some(0),
        client_core: Some(1),
        versions: [("miniweb", "0.1.0"), ("rustc", "1.95.0, release"), ("nginx", "1.26.0")]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        remarks: vec!["a virtual machine: others may take its cores".into()],
    }
}

fn options(seed: u64, rounds: u32) -> Options {
    Options {
        command: "miniweb compare ./public --html report.html".into(),
        site: "./public".into(),
        seed,
        rounds,
        warm_up_ms: 200,
        window_ms: 500,
        settings: vec![
            Setting { name: "--strategies".into(), value: "alpha,beta,gamma,delta".into() },
            Setting {
                name: "--against".into(),
                value: "nginx=http://127.0.0.1:8080/,<PID>".into(),
            },
        ],
    }
}
