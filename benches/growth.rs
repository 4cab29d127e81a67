//! CPU time per request of `miniweb mio` as connections, files and file sizes grow. Prints the
//! table of docs/PERFORMANCE.md.
//!
//! ```text
//! cargo bench --bench growth
//! ```
//!
//! The CPU time of the server comes from the scheduler. The server has one worker on the first
//! core; the load runs on the last core. The points of an axis alternate, and each figure is the
//! median over rounds.

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
use std::path::Path;
use std::time::Duration;

use cost::Cost;
use miniweb::compare::measure::cores::Cores;
use miniweb::load::{Load, Plan, RequestTemplate, Reuse};
use miniweb::server::strategies;
use numbers::grouped;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::Server;

/// A parameter that grows, and the load at each of its values.
struct Axis {
    name: &'static str,
    points: &'static [u64],
    load: fn(&Path, u64) -> Point,
}

/// What is served and requested at one point of an axis.
struct Point {
    paths: Vec<String>,
    body_bytes: u64,
    active: usize,
    idle: usize,
}

/// The number and the lengths of the measurements.
struct Effort {
    points: usize,
    rounds: usize,
    warm_up: Duration,
    window: Duration,
}

const AXES: [Axis; 4] = [
    Axis { name: "active connections", points: &[1, 16, 256, 4_096, 15_000], load: active },
    Axis { name: "idle connections, 64 active", points: &[0, 1_000, 15_000], load: idle },
    Axis { name: "files of 4 KiB", points: &[1, 100, 10_000, 100_000], load: files },
    Axis {
        name: "file size in bytes",
        points: &[0, 1 << 10, 16 << 10, 64 << 10, 65 << 10, 1 << 20, 16 << 20, 256 << 20, 1 << 30],
        load: sizes,
    },
];

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
    // Each connection of the largest point needs a descriptor in this process, too.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let cores = Cores::divide();
    println!("| {:<40} | {:>13} | {:>14} |", "", "size", "CPU µs/request");
    println!("|{:-<42}|{:->14}:|{:->15}:|", "", "", "");
    for axis in AXES {
        let directory = tempfile::tempdir()?;
        let points = axis.points.iter().take(effort.points);
        let served: Vec<(u64, Point, Server)> = points
            .map(|size| {
                let root = directory.path().join(size.to_string());
                fs::create_dir(&root)?;
                let point = (axis.load)(&root, *size);
                Ok((*size, point, start(&root, &cores)?))
            })
            .collect::<io::Result<_>>()?;
        let mut figures: Vec<(u64, Vec<Cost>)> =
            served.iter().map(|(size, ..)| (*size, Vec::new())).collect();
        for _ in 0..effort.rounds {
            for ((_, point, server), (_, costs)) in served.iter().zip(&mut figures) {
                costs.push(cost(server, point, &effort)?);
            }
        }
        for (n, (size, costs)) in figures.into_iter().enumerate() {
            let name = if n == 0 { axis.name } else { "" };
            let cost = Cost::median(&costs);
            println!("| {name:<40} | {:>13} | {:>14.2} |", grouped(size), cost.cpu_us);
        }
    }
    Ok(())
}

fn active(root: &Path, connections: u64) -> Point {
    Point { active: connections as usize, ..kilobyte(root) }
}

fn idle(root: &Path, connections: u64) -> Point {
    Point { idle: connections as usize, ..kilobyte(root) }
}

fn files(root: &Path, count: u64) -> Point {
    const BYTES: usize = 4096;
    let paths = files::many_paths(count as usize);
    files::create_many(root, &paths, BYTES).expect("the directory is writable");
    Point { paths, body_bytes: BYTES as u64, active: 64, idle: 0 }
}

fn sizes(root: &Path, bytes: u64) -> Point {
    const LARGE_BYTES: u64 = 16 << 20;
    let file = fs::File::create(root.join("file.bin")).expect("the directory is writable");
    file.set_len(bytes).expect("the file system has sparse files");
    // 64 responses of 1 GiB would not finish in time.
    let active = if bytes < LARGE_BYTES { 64 } else { 2 };
    Point { paths: vec!["/file.bin".to_owned()], body_bytes: bytes, active, idle: 0 }
}

fn kilobyte(root: &Path) -> Point {
    fs::write(root.join("1k.html"), [b'x'; 1024]).expect("the directory is writable");
    Point { paths: vec!["/1k.html".to_owned()], body_bytes: 1024, active: 64, idle: 0 }
}

/// Starts one event loop of the strategy for production.
fn start(root: &Path, cores: &Cores) -> io::Result<Server> {
    const LIMITS: [&str; 6] =
        ["--max-connections", "18000", "--idle-timeout", "3600", "--header-timeout", "3600"];
    let setup = &strategies::DEFAULT.setups[0];
    Server::miniweb(&[setup.arguments, &LIMITS].concat(), root, cores)
}

fn cost(server: &Server, point: &Point, effort: &Effort) -> io::Result<Cost> {
    let host = server.address.to_string();
    let template = match &point.paths[..] {
        [one] => RequestTemplate::get(&host, one, Reuse::KeepAlive, point.body_bytes),
        many => RequestTemplate::get_each(&host, many, Reuse::KeepAlive, point.body_bytes),
    };
    let plan = Plan::closed_loop(server.address, template, point.active);
    let mut load = Load::open(Plan { idle: point.idle, ..plan })?;
    load.run(effort.warm_up)?;
    Cost::measure(&mut load, server, effort.window)
}
