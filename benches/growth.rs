//! What a request costs `miniweb mio` as things grow: connections, files, the size of a file. Prints the table of the README.
//!
//! ```text
//! cargo bench --bench growth
//! ```
//!
//! CPU time of the server, by the scheduler's count, over requests answered; one worker, on the first core, and the load on the
//! last. The points of one axis take turns, and each figure is the median of its rounds.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use miniweb::compare::measure::cores::Cores;
use miniweb::load::{Load, Pace, Plan, RequestTemplate, Reuse};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

/// What grows, and what is asked of a server at each size.
struct Axis {
    name: &'static str,
    points: &'static [u64],
    load: fn(&Path, u64) -> Point,
}

/// What is served at one point of an axis, and what asks for it.
struct Point {
    paths: Vec<String>,
    body_bytes: u64,
    active: usize,
    idle: usize,
}

/// How long it is looked at.
struct Effort {
    points: usize,
    rounds: usize,
    warm_up: Duration,
    window: Duration,
}

const AXES: [Axis; 4] = [
    Axis { name: "connections, all asking", points: &[1, 16, 256, 4_096, 15_000], load: asking },
    Axis { name: "idle connections beside 64 that ask", points: &[0, 1_000, 15_000], load: idle },
    Axis { name: "files of 4 KiB, any of them", points: &[1, 100, 10_000, 100_000], load: files },
    Axis {
        name: "bytes of the file",
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
    // Each connection of the largest point is a descriptor here, too.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let cores = Cores::divide();
    println!("| {:<40} | {:>13} | {:>14} |", "", "size", "CPU µs/request");
    println!("|{:-<42}|{:->14}:|{:->15}:|", "", "", "");
    for axis in AXES {
        let folder = tempfile::tempdir()?;
        let points = axis.points.iter().take(effort.points);
        let served: Vec<(u64, Point, Server)> = points
            .map(|size| {
                let root = folder.path().join(size.to_string());
                fs::create_dir(&root)?;
                let point = (axis.load)(&root, *size);
                Ok((*size, point, Server::start(&root, &cores)?))
            })
            .collect::<io::Result<_>>()?;
        let mut figures: Vec<(u64, Vec<f64>)> =
            served.iter().map(|(size, ..)| (*size, Vec::new())).collect();
        for _ in 0..effort.rounds {
            for ((_, point, server), (_, costs)) in served.iter().zip(&mut figures) {
                costs.push(server.cost_us(point, &effort)?);
            }
        }
        for (n, (size, costs)) in figures.iter_mut().enumerate() {
            costs.sort_unstable_by(f64::total_cmp);
            let name = if n == 0 { axis.name } else { "" };
            println!("| {name:<40} | {:>13} | {:>14.2} |", grouped(*size), costs[costs.len() / 2]);
        }
    }
    Ok(())
}

fn asking(root: &Path, connections: u64) -> Point {
    Point { active: connections as usize, ..kilobyte(root) }
}

fn idle(root: &Path, connections: u64) -> Point {
    Point { idle: connections as usize, ..kilobyte(root) }
}

fn files(root: &Path, count: u64) -> Point {
    const BYTES: usize = 4096;
    // Of one length, as the load wants them; in folders of a thousand, as people have them.
    let path = |n: u64| format!("/{:03}/{:03}.html", n / 1000, n % 1000);
    for n in 0..count {
        let file = root.join(&path(n)[1..]);
        if n % 1000 == 0 {
            fs::create_dir(file.parent().expect("it is in a folder"))
                .expect("a folder can be made");
        }
        fs::write(file, [b'x'; BYTES]).expect("a file can be written");
    }
    Point { paths: (0..count).map(path).collect(), body_bytes: BYTES as u64, active: 64, idle: 0 }
}

fn sizes(root: &Path, bytes: u64) -> Point {
    const LARGE_BYTES: u64 = 16 << 20;
    let file = fs::File::create(root.join("file.bin")).expect("a file can be made");
    file.set_len(bytes).expect("the file system has sparse files");
    // A gigabyte for each of many would not be answered in time.
    let active = if bytes < LARGE_BYTES { 64 } else { 2 };
    Point { paths: vec!["/file.bin".to_owned()], body_bytes: bytes, active, idle: 0 }
}

fn kilobyte(root: &Path) -> Point {
    fs::write(root.join("1k.html"), [b'x'; 1024]).expect("a file can be written");
    Point { paths: vec!["/1k.html".to_owned()], body_bytes: 1024, active: 64, idle: 0 }
}

/// `1000000` as `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// A server with its folder.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(root: &Path, cores: &Cores) -> io::Result<Server> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
        command.args([
            "mio",
            "--workers",
            "1",
            "--port",
            "0",
            "--log",
            "none",
            "--max-connections",
            "18000",
        ]);
        command
            .args(["--idle-timeout", "3600", "--header-timeout", "3600"])
            .arg(root)
            .stdout(Stdio::piped());
        let mut process = cores.on_server_core(|| command.spawn())?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line)?;
        let address =
            line.split_once("http://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        Ok(Server { process, address: address.expect("it says where it listens") })
    }

    /// What one request costs it, in microseconds of CPU.
    fn cost_us(&self, point: &Point, effort: &Effort) -> io::Result<f64> {
        let host = self.address.to_string();
        let template = match &point.paths[..] {
            [one] => RequestTemplate::get(&host, one, Reuse::KeepAlive, point.body_bytes),
            many => RequestTemplate::get_each(&host, many, point.body_bytes),
        };
        let mut load = Load::open(Plan {
            address: self.address,
            template,
            active: point.active,
            idle: point.idle,
            depth: 1,
            pace: Pace::Closed,
            slow: None,
            timeout: Duration::from_secs(60),
        })?;
        load.run(effort.warm_up)?;
        let before_ns = self.cpu_ns();
        let result = load.run(effort.window)?;
        let spent_ns = self.cpu_ns() - before_ns;
        assert_eq!(result.errors_total(), 0, "{:?}", result.errors);
        Ok(spent_ns as f64 / 1e3 / result.responses as f64)
    }

    /// Time on a core that its threads have had.
    fn cpu_ns(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it lives");
        let of_thread = |thread: fs::DirEntry| {
            let facts = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            facts.split(' ').next()?.parse::<u64>().ok()
        };
        threads.flatten().filter_map(of_thread).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.process);
        // It can only fail if the server has ended, and then there is nothing to wait for.
        let _ = kill_process(pid, Signal::KILL);
        let _ = self.process.wait();
    }
}
