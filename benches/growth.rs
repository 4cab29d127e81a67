//! CPU time and latency of a request to `miniweb mio` as connections, files and file sizes grow.
//! Prints the table of docs/PERFORMANCE.md.
//!
//! ```text
//! cargo bench --bench growth
//! ```
//!
//! The CPU time of the server comes from the scheduler, the latency from the load generator, both
//! from the same run. The server has one worker on the first core; the load runs on the last core.
//! The points of an axis alternate, and each figure is the median over rounds.

#[path = "support/cost.rs"]
mod cost;
#[path = "support/files.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod files;
#[path = "support/numbers.rs"]
mod numbers;
#[path = "support/server.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod server;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cost::Cost;
use miniweb::compare::measure::cores::Cores;
use miniweb::compare::measure::environment::pacing_remark;
use miniweb::load::{Load, Plan, RequestTemplate, Reuse};
use miniweb::server::strategies;
use numbers::{digits, grouped};
use server::Server;

/// A parameter that grows, and what is served and requested at each of its values.
struct Axis {
    name: &'static str,
    points: &'static [u64],
    traffic: fn(&Path, u64) -> Traffic,
}

/// A point of an axis.
struct Point {
    size: u64,
    root: PathBuf,
    traffic: Traffic,
}

/// What is requested.
struct Traffic {
    paths: Vec<String>,
    part: Part,
    body_bytes: u64,
    active: usize,
    idle: usize,
}

/// The part of a file that is requested.
enum Part {
    Whole,
    Range { first: u64 },
}

/// The number and the lengths of the measurements.
struct Effort {
    points: usize,
    rounds: usize,
    warm_up: Duration,
    window: Duration,
}

const AXES: [Axis; 5] = [
    Axis { name: "active connections", points: &[1, 16, 256, 512, 4_096, 8_000], traffic: active },
    Axis { name: "idle connections, 64 active", points: &[0, 1_000, 8_000], traffic: idle },
    Axis { name: "files of 4 KiB", points: &[1, 100, 10_000, 100_000], traffic: files },
    Axis {
        name: "file size in bytes",
        points: &[0, 1 << 10, 16 << 10, 64 << 10, 65 << 10, 1 << 20, 16 << 20, 256 << 20, 1 << 30],
        traffic: sizes,
    },
    Axis {
        name: "range of 1 KiB, file size in bytes",
        points: &[2 << 10, 64 << 10, 65 << 10, 100_000, 1 << 20, 1 << 30],
        traffic: ranges,
    },
];

/// Requests of 64 connections for whole files; the files are to be filled in.
const WHOLE_FILE: Traffic =
    Traffic { paths: Vec::new(), part: Part::Whole, body_bytes: 0, active: 64, idle: 0 };

const WHOLE: Effort = Effort {
    points: usize::MAX,
    rounds: 5,
    warm_up: Duration::from_millis(300),
    window: Duration::from_secs(1),
};
const SMOKE: Effort = Effort {
    points: 2,
    rounds: 1,
    warm_up: Duration::from_millis(10),
    window: Duration::from_millis(30),
};

fn main() -> io::Result<()> {
    let is_smoke = std::env::args().any(|argument| argument == "--test");
    let effort = if is_smoke { SMOKE } else { WHOLE };
    let descriptors = server::raise_descriptor_limit()?;
    let cores = Cores::divide();
    let directory = tempfile::tempdir()?;
    let axes: Vec<(&Axis, Vec<Point>)> = AXES
        .iter()
        .enumerate()
        .map(|(n, axis)| {
            let root = directory.path().join(n.to_string());
            Ok((axis, create(&root, axis, &effort, descriptors)?))
        })
        .collect::<io::Result<_>>()?;
    files::settle();
    if let Some(remark) = pacing_remark() {
        println!("{}\n", textwrap::fill(&remark, 80));
    }
    println!(
        "| {:<34} | {:>13} | {:>7} | {:>7} | {:>7} |",
        "", "size", "CPU µs", "p50 µs", "p99 µs"
    );
    println!("|{:-<36}|{:->14}:|{:->8}:|{:->8}:|{:->8}:|", "", "", "", "", "");
    for (axis, points) in &axes {
        let costs = measure(points, &cores, &effort)?;
        for (n, (point, cost)) in points.iter().zip(costs).enumerate() {
            let name = if n == 0 { axis.name } else { "" };
            let [cpu, p50, p99] = [cost.cpu_us, cost.p50_us, cost.p99_us].map(digits);
            println!(
                "| {name:<34} | {:>13} | {cpu:>7} | {p50:>7} | {p99:>7} |",
                grouped(point.size)
            );
        }
    }
    Ok(())
}

/// Creates the files of an axis, with a directory for each of its points. Leaves out the points
/// for whose connections the server has too few of its `descriptors`.
fn create(
    root: &Path,
    axis: &Axis,
    effort: &Effort,
    descriptors: Option<u64>,
) -> io::Result<Vec<Point>> {
    /// One for the socket, and one that the server reserves for a file.
    const PER_CONNECTION: u64 = 2;
    /// For large files that are kept open, and for the server itself.
    const OTHERS: u64 = 600;
    let mut points = Vec::new();
    for size in axis.points.iter().take(effort.points) {
        let root = root.join(size.to_string());
        fs::create_dir_all(&root)?;
        let traffic = (axis.traffic)(&root, *size);
        let needed = (traffic.active + traffic.idle) as u64 * PER_CONNECTION + OTHERS;
        match descriptors.filter(|descriptors| *descriptors < needed) {
            Some(descriptors) => eprintln!(
                "skipped: {}, {}: needs {needed} descriptors, but the limit is {descriptors} \
                 (ulimit -Hn)",
                axis.name,
                grouped(*size)
            ),
            None => points.push(Point { size: *size, root, traffic }),
        }
    }
    Ok(points)
}

/// The cost at each of the points, which take turns.
fn measure(points: &[Point], cores: &Cores, effort: &Effort) -> io::Result<Vec<Cost>> {
    let servers: Vec<Server> =
        points.iter().map(|point| start(&point.root, cores)).collect::<io::Result<_>>()?;
    let mut costs: Vec<Vec<Cost>> = points.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        for ((point, server), costs) in points.iter().zip(&servers).zip(&mut costs) {
            costs.push(cost(server, &point.traffic, effort)?);
        }
    }
    Ok(costs.iter().map(|rounds| Cost::median(rounds)).collect())
}

fn active(root: &Path, connections: u64) -> Traffic {
    Traffic { active: connections as usize, ..kilobyte(root) }
}

fn idle(root: &Path, connections: u64) -> Traffic {
    Traffic { idle: connections as usize, ..kilobyte(root) }
}

fn files(root: &Path, count: u64) -> Traffic {
    const BYTES: usize = 4096;
    let paths = files::many_paths(count as usize);
    files::create_many(root, &paths, BYTES).expect("the directory is writable");
    Traffic { paths, body_bytes: BYTES as u64, ..WHOLE_FILE }
}

fn sizes(root: &Path, bytes: u64) -> Traffic {
    const LARGE_BYTES: u64 = 16 << 20;
    // 64 responses of 1 GiB would not finish in time.
    let active = if bytes < LARGE_BYTES { 64 } else { 2 };
    Traffic { paths: vec![sparse_file(root, bytes)], body_bytes: bytes, active, ..WHOLE_FILE }
}

/// A range in the middle of the file.
fn ranges(root: &Path, bytes: u64) -> Traffic {
    const RANGE_BYTES: u64 = 1 << 10;
    let part = Part::Range { first: (bytes - RANGE_BYTES) / 2 };
    let paths = vec![sparse_file(root, bytes)];
    Traffic { paths, part, body_bytes: RANGE_BYTES, ..WHOLE_FILE }
}

fn kilobyte(root: &Path) -> Traffic {
    fs::write(root.join("1k.html"), [b'x'; 1024]).expect("the directory is writable");
    Traffic { paths: vec!["/1k.html".to_owned()], body_bytes: 1024, ..WHOLE_FILE }
}

fn sparse_file(root: &Path, bytes: u64) -> String {
    let file = fs::File::create(root.join("file.bin")).expect("the directory is writable");
    file.set_len(bytes).expect("the file system has sparse files");
    "/file.bin".to_owned()
}

/// Starts one event loop of the strategy for production.
fn start(root: &Path, cores: &Cores) -> io::Result<Server> {
    const LIMITS: [&str; 6] =
        ["--max-connections", "8192", "--idle-timeout", "3600", "--header-timeout", "3600"];
    let setup = &strategies::DEFAULT.setups[0];
    Server::miniweb(&[setup.arguments, &LIMITS].concat(), root, cores)
}

fn cost(server: &Server, traffic: &Traffic, effort: &Effort) -> io::Result<Cost> {
    let host = server.address.to_string();
    let template = match &traffic.paths[..] {
        [one] => RequestTemplate::get(&host, one, Reuse::KeepAlive, traffic.body_bytes),
        many => RequestTemplate::get_each(&host, many, Reuse::KeepAlive, traffic.body_bytes),
    };
    let template = match traffic.part {
        Part::Whole => template,
        Part::Range { first } => {
            let last = first + traffic.body_bytes - 1;
            template.with_header("Range", &format!("bytes={first}-{last}")).expecting(206)
        }
    };
    let plan = Plan::closed_loop(server.address, template, traffic.active);
    let mut load = Load::open(Plan { idle: traffic.idle, ..plan })?;
    load.run(effort.warm_up)?;
    Cost::measure(&mut load, server, effort.window)
}
