//! The whole comparison: takes every measurement and stores what it returns.
//!
//! Invariants:
//! 1. One server runs at a time. Every measurement starts its own, on one core; the load runs on
//!    another.
//! 2. Nothing is printed during a measurement.
//! 3. A finished measurement is kept, whatever happens after it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::compare::budget::{Budget, WindowLengths};
use crate::compare::contender::Contender;
use crate::compare::foreign;
use crate::compare::measure::bench::Bench;
use crate::compare::measure::{environment, response_check};
use crate::compare::order;
use crate::compare::results::{
    Cell, Completeness, ContenderInfo, ContenderKind, Measurement, Options, ResponseCheck, Results,
    SCHEMA_VERSION, Setting, Workload,
};
use crate::compare::workloads::WorkloadParameters;
use crate::format::counted;

/// What to compare, and how.
#[derive(Debug)]
pub struct Request {
    /// The command line, as typed.
    pub command: String,
    /// The directory to serve; None for the sample site.
    pub root: Option<PathBuf>,
    /// Strategies and foreign servers, in the order of the reports.
    pub contenders: Vec<Contender>,
    /// Names of workloads or of groups of them; None for all.
    pub workloads: Option<Vec<String>>,
    /// The time limit of the whole run.
    pub time: Duration,
    /// Determines the order of the measurements.
    pub seed: u64,
    /// Measurements of each contender under each workload.
    pub rounds: u32,
    pub parameters: WorkloadParameters,
}

/// Why nothing was measured.
#[derive(Debug)]
pub enum CompareError {
    Io(io::Error),
    /// The time limit is too short for all measurements.
    TimeTooShort(String),
    /// The contenders' responses differ, or one of them does not respond.
    ResponsesDiffer(String),
}

/// Progress of a comparison.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The results, still without cells, and the expected duration.
    Planned(&'a Results, Duration),
    /// A measurement begins.
    Measuring {
        measurement: &'a Measurement,
        /// How many are finished.
        done: usize,
        elapsed: Duration,
    },
}

/// More rounds narrow an interval more than longer windows do.
const WINDOW_MAX: Duration = Duration::from_secs(1);
const QUICK_WINDOW_MAX: Duration = Duration::from_millis(250);

/// Runs a comparison. `report` is called before the first measurement, and then before each.
///
/// # Errors
/// If the comparison cannot begin. Later errors become failures of a cell.
pub fn compare(
    request: &Request,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<Results, CompareError> {
    let interrupted = interrupt_flag()?;
    let bench = Bench::open(request.root.as_deref(), std::env::current_exe()?)?;
    let began = Instant::now();
    let (contenders, mut results) = plan(request, &bench)?;
    let window_max = if request.parameters.is_quick { QUICK_WINDOW_MAX } else { WINDOW_MAX };
    let mut budget = Budget::new(began, request.time, window_max);
    let mut windows = budget.windows(Instant::now(), results.order.len());
    results.options = options(&bench, request, &windows);
    report(Event::Planned(&results, budget.expected(Instant::now(), results.order.len())));
    for (done, measurement) in results.order.iter().enumerate() {
        let began_at = Instant::now();
        if done > 0 && results.order[done - 1].round != measurement.round {
            windows = budget.windows(began_at, results.order.len() - done);
        }
        let reason = match () {
            () if interrupted.load(Ordering::Acquire) => Some("interrupted"),
            () if !budget.has_room(began_at, &windows) => Some("time limit reached"),
            () => None,
        };
        if let Some(reason) = reason {
            results.completeness = Completeness::Partial { reason: reason.to_owned() };
            break;
        }
        report(Event::Measuring { measurement, done, elapsed: began.elapsed() });
        let Some((contender, workload)) = find(&contenders, &results.workloads, measurement) else {
            continue;
        };
        let measured = bench.measure(contender, workload, measurement.round, &windows);
        let cell = cell_of(&mut results.cells, measurement);
        match measured {
            Ok(round) => cell.rounds.push(round),
            Err(error) => cell.failures.push(format!("round {}: {error}", measurement.round + 1)),
        }
        budget.record(&windows, began_at.elapsed());
    }
    results.environment.elapsed_seconds = began.elapsed().as_secs();
    Ok(results)
}

/// A flag that the first SIGINT or SIGTERM sets. The second one ends the process at once.
fn interrupt_flag() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Handlers run in the order of registration: this one sees the flag of an earlier signal.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            128 + signal,
            interrupted.clone(),
        )?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    Ok(interrupted)
}

/// The contenders, and results without cells. Checks that the time suffices and that the responses
/// of all contenders are equal.
fn plan(request: &Request, bench: &Bench) -> Result<(Vec<Contender>, Results), CompareError> {
    let mut contenders = vec![Contender::reference_loop()];
    contenders.extend(request.contenders.iter().cloned());
    // The A/A comparison repeats the first strategy that was named.
    let first = contenders.iter().find(|contender| contender.info.kind == ContenderKind::Strategy);
    contenders.extend(first.map(Contender::twin));
    let mut workloads = bench.workloads(&request.parameters);
    workloads.retain(|workload| {
        let is_named = |name: &String| {
            workload.name == *name || workload.name.starts_with(&format!("{name}-"))
        };
        request.workloads.as_ref().is_none_or(|names| names.iter().any(is_named))
    });
    let mut environment = environment::describe(&bench.cores);
    if !bench.site.has_large() {
        let remark = "The site has no large file; workloads that need one are left out.";
        environment.remarks.push(remark.to_owned());
    }
    let infos: Vec<&ContenderInfo> = contenders.iter().map(|contender| &contender.info).collect();
    let mut order = order::measurements(
        &infos,
        &workloads.iter().collect::<Vec<_>>(),
        request.rounds,
        request.seed,
    );
    order.retain(|measurement| {
        let pair = find(&contenders, &workloads, measurement);
        pair.is_some_and(|(contender, workload)| contender.supports(workload))
    });
    let minimum = Budget::minimum(order.len());
    if minimum > request.time {
        let (given, windows) = (request.time.as_secs_f64(), counted(order.len(), "window"));
        return Err(CompareError::TimeTooShort(format!(
            "--time {given}: {windows} take at least {} s",
            minimum.as_secs() + 1
        )));
    }
    let (mut response_check, head_bytes) = check_responses(bench, &contenders)?;
    foreign::admit(bench, &contenders, head_bytes, &mut environment, &mut response_check)
        .map_err(CompareError::ResponsesDiffer)?;
    let results = Results {
        schema_version: SCHEMA_VERSION,
        completeness: Completeness::Whole,
        environment,
        options: Options::default(),
        response_check,
        order,
        contenders: infos.into_iter().cloned().collect(),
        workloads,
        cells: Vec::new(),
    };
    Ok((contenders, results))
}

/// Sends the same requests to every strategy. Servers whose responses differ cannot be compared.
/// Also returns the length of their headers.
fn check_responses(
    bench: &Bench,
    contenders: &[Contender],
) -> Result<(ResponseCheck, Option<usize>), CompareError> {
    let requests = response_check::requests(&bench.site);
    let mut reference: Option<(&str, Vec<Vec<u8>>)> = None;
    let mut exempt = Vec::new();
    for contender in contenders {
        match contender.info.kind {
            ContenderKind::Strategy => {}
            ContenderKind::Twin { .. } | ContenderKind::Foreign => continue,
            ContenderKind::ReferenceLoop => {
                exempt.push(contender.info.name.clone());
                continue;
            }
        }
        let server = bench.start(contender)?;
        let responses =
            requests.iter().map(|(_, request)| response_check::response(server.address, request));
        let responses = responses.collect::<io::Result<Vec<_>>>()?;
        match &reference {
            None => reference = Some((&contender.info.name, responses)),
            Some((other, expected)) => {
                let differs = responses
                    .iter()
                    .zip(expected)
                    .position(|(response, expected)| response != expected);
                if let Some(at) = differs {
                    let (description, name) = (&requests[at].0, &contender.info.name);
                    return Err(CompareError::ResponsesDiffer(format!(
                        "{other} and {name} respond differently to {description}"
                    )));
                }
            }
        }
    }
    let head_bytes =
        reference.and_then(|(_, responses)| Some(response_check::head_bytes(responses.first()?)));
    let check = ResponseCheck {
        requests: requests.into_iter().map(|(description, _)| description).collect(),
        exempt,
        bodies_only: Vec::new(),
    };
    Ok((check, head_bytes))
}

fn options(bench: &Bench, request: &Request, windows: &WindowLengths) -> Options {
    let setting =
        |name: &str, value: u32| Setting { name: name.to_owned(), value: value.to_string() };
    Options {
        command: request.command.clone(),
        site: bench.site.describe(),
        seed: request.seed,
        rounds: request.rounds,
        warm_up_ms: windows.warm_up.as_millis() as u64,
        window_ms: windows.measured.as_millis() as u64,
        settings: vec![
            Setting { name: "--time".to_owned(), value: format!("{} s", request.time.as_secs()) },
            setting("--connections", request.parameters.connections),
            setting("--depth", request.parameters.depth),
            setting("--idle", request.parameters.idle),
            setting("--slow", request.parameters.slow),
            setting("--rate", request.parameters.rate),
        ],
    }
}

fn find<'a>(
    contenders: &'a [Contender],
    workloads: &'a [Workload],
    measurement: &Measurement,
) -> Option<(&'a Contender, &'a Workload)> {
    let contender =
        contenders.iter().find(|contender| contender.info.name == measurement.contender)?;
    Some((contender, workloads.iter().find(|workload| workload.name == measurement.workload)?))
}

fn cell_of<'a>(cells: &'a mut Vec<Cell>, measurement: &Measurement) -> &'a mut Cell {
    let known = cells.iter().position(|cell| {
        cell.contender == measurement.contender && cell.workload == measurement.workload
    });
    let at = known.unwrap_or_else(|| {
        let (contender, workload) = (measurement.contender.clone(), measurement.workload.clone());
        cells.push(Cell { contender, workload, rounds: Vec::new(), failures: Vec::new() });
        cells.len() - 1
    });
    &mut cells[at]
}

impl From<io::Error> for CompareError {
    fn from(error: io::Error) -> CompareError {
        CompareError::Io(error)
    }
}
