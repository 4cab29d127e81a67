//! The comparison itself: who takes which measurement, and what is noted of it.
//!
//! # Laws
//! 1. One server at a time, fresh for every measurement, on a core of its own; the load on another.
//! 2. Nothing is printed or drawn while a window lasts.
//! 3. What was measured is kept, whatever happens after it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::compare::budget::{Budget, WindowLengths};
use crate::compare::contender::{Contender, Origin};
use crate::compare::measure::bench::Bench;
use crate::compare::measure::{environment, response_check};
use crate::compare::order;
use crate::compare::results::{
    Cell, Completeness, ContenderInfo, ContenderKind, Measurement, Options, ResponseCheck, Results,
    SCHEMA_VERSION, Setting, Workload,
};
use crate::compare::workloads::WorkloadParameters;
use crate::format::{counted, error_with};

/// What is to be compared, and how.
#[derive(Debug)]
pub struct Request {
    /// As it was typed.
    pub command: String,
    /// A folder; None for files made for the comparison.
    pub root: Option<PathBuf>,
    /// Strategies and foreign servers, in the order of the reports.
    pub contenders: Vec<Contender>,
    /// By name or by how their names begin; None for all.
    pub workloads: Option<Vec<String>>,
    /// For all of it.
    pub time: Duration,
    /// Where the order of measurements comes from.
    pub seed: u64,
    /// For every cell.
    pub rounds: u32,
    /// Of the loads.
    pub parameters: WorkloadParameters,
}

/// Why there are no results.
#[derive(Debug)]
pub enum CompareError {
    /// Something that is needed can't be had.
    Io(io::Error),
    /// It can't be done in the time that there is.
    TimeTooShort(String),
    /// Arms gave different answers, or none: they can't be compared.
    ResponsesDiffer(String),
}

/// What there is to tell while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// What is going to be measured, without anything measured yet, and how long that will take.
    Planned(&'a Results, Duration),
    /// How far it is, between two windows.
    Measurement(Progress<'a>),
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Turns taken.
    pub done: usize,
    /// Turns planned.
    pub planned: usize,
    /// The next.
    pub measurement: &'a Measurement,
    /// Since the first.
    pub elapsed: Duration,
}

/// Longer windows make no figure surer than more rounds do.
const WINDOW_MAX: Duration = Duration::from_secs(1);
const QUICK_WINDOW_MAX: Duration = Duration::from_millis(250);

/// Compares; `tell` is called before the first measurement, and before each.
///
/// # Errors
/// If it could not begin. What goes wrong later is a fault in the results.
pub fn compare(
    request: &Request,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Results, CompareError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends this program at once, as it does a server.
        signal_hook::flag::register_conditional_shutdown(
            signal,
            128 + signal,
            interrupted.clone(),
        )?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    let bench = Bench::open(request.root.as_deref(), std::env::current_exe()?)?;
    let mut contenders = vec![Contender::floor()];
    contenders.extend(request.contenders.iter().cloned());
    // The noise is that of the first strategy that is named.
    let first = contenders.iter().find(|contender| contender.info.kind == ContenderKind::Strategy);
    contenders.extend(first.map(Contender::twin));
    let mut workloads = bench.workloads(&request.parameters);
    workloads.retain(|workload| {
        let is_named = |name: &String| {
            workload.name == *name || workload.name.starts_with(&format!("{name}-"))
        };
        request.workloads.as_ref().is_none_or(|names| names.iter().any(is_named))
    });

    let began = Instant::now();
    let mut budget = Budget::new(
        began,
        request.time,
        if request.parameters.is_quick { QUICK_WINDOW_MAX } else { WINDOW_MAX },
    );
    let mut environment = environment::describe(&bench.cores);
    if !bench.site.has_large() {
        environment.remarks.push("No large file there: what needs one is left out.".to_owned());
    }
    let infos: Vec<&ContenderInfo> = contenders.iter().map(|contender| &contender.info).collect();
    let mut measurements = order::measurements(
        &infos,
        &workloads.iter().collect::<Vec<_>>(),
        request.rounds,
        request.seed,
    );
    measurements.retain(|measurement| {
        let pair = find(&contenders, &workloads, measurement);
        pair.is_some_and(|(contender, workload)| contender.supports(workload))
    });
    let least = Budget::least(measurements.len());
    if least > request.time {
        let (given, windows) = (request.time.as_secs_f64(), counted(measurements.len(), "window"));
        return Err(CompareError::TimeTooShort(format!(
            "--time {given}: {windows} take {} s at the least",
            least.as_secs() + 1
        )));
    }
    let response_check = check_responses(&bench, &contenders)?;
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        completeness: Completeness::Whole,
        environment,
        options: Options::default(),
        response_check,
        order: measurements,
        contenders: infos.into_iter().cloned().collect(),
        workloads,
        cells: Vec::new(),
    };
    let mut windows = budget.windows(Instant::now(), results.order.len());
    results.options = options(&bench, request, &windows);
    tell(Event::Planned(&results, budget.expected(Instant::now(), results.order.len())));
    for (done, measurement) in results.order.iter().enumerate() {
        let began_at = Instant::now();
        if done > 0 && results.order[done - 1].round != measurement.round {
            windows = budget.windows(began_at, results.order.len() - done);
        }
        let reason = match () {
            () if interrupted.load(Ordering::Acquire) => Some("interrupted"),
            () if !budget.has_room(began_at, &windows) => Some("the time was up"),
            () => None,
        };
        if let Some(reason) = reason {
            results.completeness = Completeness::Partial { reason: reason.to_owned() };
            break;
        }
        tell(Event::Measurement(Progress {
            done,
            planned: results.order.len(),
            measurement,
            elapsed: began.elapsed(),
        }));
        let Some((contender, workload)) = find(&contenders, &results.workloads, measurement) else {
            continue;
        };
        let measured = bench.measure(contender, workload, measurement.round, &windows);
        let cell = cell_of(&mut results.cells, measurement);
        match measured {
            Ok(round) => cell.rounds.push(round),
            Err(error) => cell.failures.push(format!("round {}: {error}", measurement.round + 1)),
        }
        budget.learn(&windows, began_at.elapsed());
    }
    results.environment.elapsed_seconds = began.elapsed().as_secs();
    Ok(results)
}

fn check_responses(bench: &Bench, contenders: &[Contender]) -> Result<ResponseCheck, CompareError> {
    let requests = response_check::requests(&bench.site);
    let mut reference: Option<(&str, Vec<Vec<u8>>)> = None;
    let mut exempt = Vec::new();
    for contender in contenders {
        if let Origin::Foreign { address, path, .. } = &contender.origin {
            let unfit = |error| {
                CompareError::ResponsesDiffer(error_with(&contender.info.name, &error).to_string())
            };
            response_check::content_bytes(*address, path).map_err(unfit)?;
        }
        match contender.info.kind {
            ContenderKind::Strategy => {}
            ContenderKind::Twin { .. } => continue,
            ContenderKind::Floor | ContenderKind::Foreign => {
                exempt.push(contender.info.name.clone());
                continue;
            }
        }
        let server = bench.start(contender)?;
        let answers =
            requests.iter().map(|(_, request)| response_check::answer(server.address, request));
        let answers = answers.collect::<io::Result<Vec<_>>>()?;
        match &reference {
            None => reference = Some((&contender.info.name, answers)),
            Some((other, expected)) => {
                let differs =
                    answers.iter().zip(expected).position(|(answer, expected)| answer != expected);
                if let Some(at) = differs {
                    let (words, name) = (&requests[at].0, &contender.info.name);
                    return Err(CompareError::ResponsesDiffer(format!(
                        "{other} and {name} answer differently to {words}"
                    )));
                }
            }
        }
    }
    Ok(ResponseCheck { requests: requests.into_iter().map(|(words, _)| words).collect(), exempt })
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

/// Serves as the floor, for a child of a comparison.
///
/// # Errors
/// The system's.
pub fn serve_floor(
    root: &Path,
    paths: &[PathBuf],
    announce: impl FnOnce(std::net::SocketAddr),
) -> io::Result<()> {
    crate::compare::measure::floor::serve(root, paths, announce)
}
