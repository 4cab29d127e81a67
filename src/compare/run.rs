//! The comparison itself: who takes which turn, and what is noted of it.
//!
//! # Laws
//! 1. One server at a time, fresh for every turn, on a core of its own; the load on another.
//! 2. Nothing is printed or drawn while a window lasts.
//! 3. What was measured is kept, whatever happens after it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::budget::{Budget, Windows};
use super::contender::{Contender, Origin};
use super::cores::Cores;
use super::results::{
    Arm, ArmKind, Cell, Completeness, ErrorKind, Gate, Histogram, Knob, Options, Pacing, Results, Round,
    SCHEMA_VERSION, Turn, Workload, WorkloadKind,
};
use super::server::Server;
use super::site::TestSite;
use super::{environment, gate, order, process, workloads};
use crate::ledger::{Call, Counters};
use crate::load::{Ask, Fault, Load, Pace, Plan, Reuse, SlowReaders, Tally};

/// What is to be compared, and how.
#[derive(Debug)]
pub struct Request {
    /// As it was typed.
    pub command: String,
    /// A folder; None for files made for the comparison.
    pub root: Option<PathBuf>,
    /// Strategies and foreign servers, in the order of the reports.
    pub contenders: Vec<Contender>,
    /// Fewer workloads and shorter windows.
    pub is_quick: bool,
    /// For all of it.
    pub time: Duration,
    /// Where the order of turns comes from.
    pub seed: u64,
    /// For every cell.
    pub rounds: u32,
    /// Of the keep-alive, pipelined and paced workloads.
    pub connections: u32,
    /// Requests at once in the pipelined workload.
    pub depth: u32,
    /// Silent connections of the mostly idle workload.
    pub idle: u32,
    /// Connections that read slowly.
    pub slow: u32,
    /// Requests a second of the paced workload.
    pub rate: u32,
}

/// Why there are no results.
#[derive(Debug)]
pub enum Refusal {
    /// Something that is needed can't be had.
    System(io::Error),
    /// Arms gave different answers: they can't be compared.
    Gate(String),
}

/// What there is to tell while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// What is going to be measured, without anything measured yet, and how long that will take.
    Planned(&'a Results, Duration),
    /// How far it is, between two windows.
    Turn(Progress<'a>),
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Turns taken.
    pub done: usize,
    /// Turns planned.
    pub planned: usize,
    /// The next.
    pub turn: &'a Turn,
    /// Since the first.
    pub elapsed: Duration,
}

/// After which an answer is late.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longer windows make no figure surer than more rounds do.
const WINDOW_MAX: Duration = Duration::from_secs(1);
const QUICK_WINDOW_MAX: Duration = Duration::from_millis(250);
/// For fewer connections the growth of memory says nothing about one.
const CONNECTIONS_MIN_FOR_MEMORY: u32 = 32;

/// Compares; `tell` is called before the first turn, and before each.
///
/// # Errors
/// If it could not begin. What goes wrong later is a fault in the results.
pub fn compare(request: &Request, tell: &mut dyn FnMut(Event<'_>)) -> Result<Results, Refusal> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends this program at once, as it does a server.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, interrupted.clone())?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    let site = TestSite::open(request.root.as_deref())?;
    let cores = Cores::divide();
    let mut contenders = vec![Contender::floor()];
    contenders.extend(request.contenders.iter().cloned());
    // The noise is that of the first strategy that is named.
    let first = contenders.iter().find(|contender| contender.arm.kind == ArmKind::Strategy);
    contenders.extend(first.map(Contender::twin));
    let workloads = workloads::all(request, &site);
    let bench = Bench { site, cores, program: std::env::current_exe()? };

    let began = Instant::now();
    let mut budget = Budget::new(began, request.time, if request.is_quick { QUICK_WINDOW_MAX } else { WINDOW_MAX });
    let mut environment = environment::describe(&bench.cores);
    if !bench.site.has_large() {
        environment.remarks.push("No large file there: what needs one is left out.".to_owned());
    }
    let gate = bench.hold_gate(&contenders)?;
    let arms: Vec<&Arm> = contenders.iter().map(|contender| &contender.arm).collect();
    let mut turns = order::turns(&arms, &workloads.iter().collect::<Vec<_>>(), request.rounds, request.seed);
    turns.retain(|turn| {
        let pair = find(&contenders, &workloads, turn);
        pair.is_some_and(|(contender, workload)| can_take(contender, workload))
    });
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        completeness: Completeness::Whole,
        environment,
        options: Options::default(),
        gate,
        order: turns,
        arms: arms.into_iter().cloned().collect(),
        workloads,
        cells: Vec::new(),
    };
    let mut windows = budget.windows(Instant::now(), results.order.len());
    results.options = bench.options(request, &windows);
    tell(Event::Planned(&results, budget.expected(Instant::now(), results.order.len())));
    for (done, turn) in results.order.iter().enumerate() {
        let turn_began = Instant::now();
        if done > 0 && results.order[done - 1].round != turn.round {
            windows = budget.windows(turn_began, results.order.len() - done);
        }
        let reason = match () {
            () if interrupted.load(Ordering::Acquire) => Some("interrupted"),
            () if !budget.has_room(turn_began, &windows) => Some("the time was up"),
            () => None,
        };
        if let Some(reason) = reason {
            results.completeness = Completeness::Partial { reason: reason.to_owned() };
            break;
        }
        tell(Event::Turn(Progress { done, planned: results.order.len(), turn, elapsed: began.elapsed() }));
        let Some((contender, workload)) = find(&contenders, &results.workloads, turn) else { continue };
        let measured = bench.measure(contender, workload, turn.round, &windows);
        let cell = cell_of(&mut results.cells, turn);
        match measured {
            Ok(round) => cell.rounds.push(round),
            Err(error) => cell.faults.push(format!("round {}: {error}", turn.round + 1)),
        }
        budget.learn(&windows, turn_began.elapsed());
    }
    results.environment.elapsed_seconds = began.elapsed().as_secs();
    Ok(results)
}

/// What does not change from turn to turn.
struct Bench {
    site: TestSite,
    cores: Cores,
    program: PathBuf,
}

impl Bench {
    fn hold_gate(&self, contenders: &[Contender]) -> Result<Gate, Refusal> {
        let requests = gate::requests(&self.site);
        let mut reference: Option<(&str, Vec<Vec<u8>>)> = None;
        let mut exempt = Vec::new();
        for contender in contenders {
            let is_held = matches!(contender.arm.kind, ArmKind::Strategy);
            if !is_held {
                if !matches!(contender.arm.kind, ArmKind::Twin { .. }) {
                    exempt.push(contender.arm.name.clone());
                }
                continue;
            }
            let server = self.start(contender)?;
            let answers = requests.iter().map(|(_, request)| gate::answer(server.address, request));
            let answers = answers.collect::<io::Result<Vec<_>>>()?;
            match &reference {
                None => reference = Some((&contender.arm.name, answers)),
                Some((other, expected)) => {
                    let differs = answers.iter().zip(expected).position(|(answer, expected)| answer != expected);
                    if let Some(at) = differs {
                        let (words, name) = (&requests[at].0, &contender.arm.name);
                        return Err(Refusal::Gate(format!("{other} and {name} answer differently to {words}")));
                    }
                }
            }
        }
        Ok(Gate { requests: requests.into_iter().map(|(words, _)| words).collect(), exempt })
    }

    fn start(&self, contender: &Contender) -> io::Result<Server> {
        Server::start(contender, &self.site, &self.cores, &self.program)
    }

    /// One turn: start, connect, warm up, measure, look at it idle.
    fn measure(&self, contender: &Contender, workload: &Workload, number: u32, windows: &Windows) -> io::Result<Round> {
        let server = self.start(contender)?;
        let before_connections = server.account()?;
        let mut load = Load::open(self.plan(contender, workload, &server)?)?;
        let memory = server.account()?.anonymous_bytes as f64 - before_connections.anonymous_bytes as f64;
        load.run(windows.warm_up)?;

        let (account, machine) = (server.account()?, process::Machine::now());
        let calls = server.ledger.map(Calls::of);
        let tally = load.run(windows.measured)?;
        let calls_now = server.ledger.map(Calls::of);
        let (account_now, machine_now) = (server.account()?, process::Machine::now());
        let cpu = account_now.cpu_since(&account);

        let idle_began = Instant::now();
        std::thread::sleep(windows.idle);
        let idle = server.account()?.cpu_since(&account_now);
        let idle_cpu_share = idle.total_us() as f64 / 1e6 / idle_began.elapsed().as_secs_f64();

        let server_cpu = Duration::from_micros(cpu.total_us());
        let used = self.cores.pinned.map(|(server, client)| vec![(server, server_cpu), (client, tally.client_cpu)]);
        let seconds = tally.duration.as_secs_f64();
        Ok(Round {
            number,
            duration_us: tally.duration.as_micros() as u64,
            requests: tally.answered,
            bytes: tally.received_bytes,
            errors: errors(&tally),
            cpu: Some(cpu),
            latency: Histogram::of(&tally.latency_ns),
            service_time: tally.service_ns.as_ref().map(Histogram::of),
            syscalls: calls.as_ref().zip(calls_now.as_ref()).map(|(then, now)| now.since(then)),
            would_blocks: calls.zip(calls_now).map(|(then, now)| now.would_block - then.would_block),
            context_switches: Some(account_now.switches_since(&account)),
            memory_bytes_per_connection: (workload.connections >= CONNECTIONS_MIN_FOR_MEMORY)
                .then(|| memory / f64::from(workload.connections)),
            idle_cpu_share: Some(idle_cpu_share),
            client_cpu_share: tally.client_cpu.as_secs_f64() / seconds,
            in_flight_average: tally.in_flight_average,
            noise: machine_now.noise_since(&machine, used.as_deref().unwrap_or_default()),
        })
    }

    fn plan(&self, contender: &Contender, workload: &Workload, server: &Server) -> io::Result<Plan> {
        let reuse = if workload.requests_per_connection == Some(1) { Reuse::Never } else { Reuse::KeepAlive };
        let host = server.address.to_string();
        let ask = match &contender.origin {
            Origin::Foreign { path, .. } => {
                let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                let answer = gate::answer(server.address, request.as_bytes())?;
                let head_end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
                Ask::get(&host, path, reuse, (answer.len() - head_end - 4) as u64)
            }
            _ => Ask::get(&host, &workload.path, reuse, workload.body_bytes),
        };
        let silent = workload.idle_connections as usize;
        let slow = workload.reader_bytes_per_second.map(|bytes_per_second| SlowReaders {
            connections: silent,
            bytes_per_second,
            ask: Ask::get(&host, &format!("/{}", self.site.large.path), Reuse::KeepAlive, self.site.large.bytes),
        });
        Ok(Plan {
            address: server.address,
            ask,
            active: workload.active_connections() as usize,
            idle: if slow.is_some() { 0 } else { silent },
            depth: workload.pipeline_depth as usize,
            pace: match workload.pacing {
                Pacing::Closed => Pace::Closed,
                Pacing::Open { requests_per_second } => Pace::Open { per_second: requests_per_second },
            },
            slow,
            timeout: TIMEOUT,
        })
    }

    fn options(&self, request: &Request, windows: &Windows) -> Options {
        let knob = |name: &str, value: u32| Knob { name: name.to_owned(), value: value.to_string() };
        Options {
            command: request.command.clone(),
            site: self.site.describe(),
            seed: request.seed,
            rounds: request.rounds,
            warm_up_ms: windows.warm_up.as_millis() as u64,
            window_ms: windows.measured.as_millis() as u64,
            knobs: vec![
                Knob { name: "--time".to_owned(), value: format!("{} s", request.time.as_secs()) },
                knob("--connections", request.connections),
                knob("--depth", request.depth),
                knob("--idle", request.idle),
                knob("--slow", request.slow),
                knob("--rate", request.rate),
            ],
        }
    }
}

/// The ledger at one moment.
struct Calls {
    made: [u64; Call::ALL.len()],
    would_block: u64,
}

impl Calls {
    fn of(counters: &'static Counters) -> Calls {
        Calls { made: Call::ALL.map(|call| counters.made(call)), would_block: counters.would_block() }
    }

    fn since(&self, before: &Calls) -> BTreeMap<String, u64> {
        let made = Call::ALL.iter().zip(self.made.iter().zip(before.made));
        let made = made.map(|(call, (now, then))| (call.name().to_owned(), now - then));
        made.filter(|(_, made)| *made > 0).collect()
    }
}

fn errors(tally: &Tally) -> BTreeMap<ErrorKind, u64> {
    let kind = |fault: &Fault| match fault {
        Fault::Connect => ErrorKind::Connect,
        Fault::ClosedEarly => ErrorKind::Closed,
        Fault::WrongStatus => ErrorKind::Status,
        Fault::WrongLength => ErrorKind::Answer,
        Fault::Timeout => ErrorKind::Timeout,
    };
    tally.faults.iter().map(|(fault, count)| (kind(fault), *count)).collect()
}

fn find<'a>(
    contenders: &'a [Contender],
    workloads: &'a [Workload],
    turn: &Turn,
) -> Option<(&'a Contender, &'a Workload)> {
    let contender = contenders.iter().find(|contender| contender.arm.name == turn.arm)?;
    Some((contender, workloads.iter().find(|workload| workload.name == turn.workload)?))
}

/// Whether an arm can serve a workload at all: kept connections beyond what it serves at once would wait for ever, and what a
/// foreign server serves is one file.
fn can_take(contender: &Contender, workload: &Workload) -> bool {
    let is_kept = workload.requests_per_connection.is_none();
    let is_foreign = contender.arm.kind == ArmKind::Foreign;
    let needs_large = matches!(workload.kind, WorkloadKind::LargeFile | WorkloadKind::SlowReaders);
    let would_wait = is_kept && workload.connections as usize > contender.served_at_once;
    let lacks_file = is_foreign && needs_large;
    !(would_wait || lacks_file)
}

fn cell_of<'a>(cells: &'a mut Vec<Cell>, turn: &Turn) -> &'a mut Cell {
    let known = cells.iter().position(|cell| cell.arm == turn.arm && cell.workload == turn.workload);
    let at = known.unwrap_or_else(|| {
        let (arm, workload) = (turn.arm.clone(), turn.workload.clone());
        cells.push(Cell { arm, workload, rounds: Vec::new(), faults: Vec::new() });
        cells.len() - 1
    });
    &mut cells[at]
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::System(error)
    }
}

/// Serves as the floor, for a child of a comparison.
///
/// # Errors
/// The system's.
pub fn serve_floor(root: &Path, paths: &[PathBuf], announce: impl FnOnce(std::net::SocketAddr)) -> io::Result<()> {
    super::floor::serve(root, paths, announce)
}
