//! The whole comparison: takes every measurement and stores what it returns.
//!
//! Invariants:
//! 1. One server runs at a time. Every measurement starts its own, on one core; the load runs on
//!    another.
//! 2. Nothing is printed during a measurement.
//! 3. A finished measurement is kept, whatever happens after it.
//! 4. Timelines are recorded after the last measurement, in time that is set aside for them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::compare::budget::{Budget, WindowLengths};
use crate::compare::measure::bench::Bench;
use crate::compare::measure::timeline;
use crate::compare::plan::Plan;
use crate::compare::request::{CompareError, Request};
use crate::compare::results::{
    Cell, Completeness, Measurement, Options, Results, Setting, Workload,
};
use crate::format::reason;

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
        /// How many there are, so far: sweeps are refined at the end.
        planned: usize,
        elapsed: Duration,
    },
    /// The timeline of a strategy is recorded, after all measurements.
    Recording {
        contender: &'a str,
        /// How many measurements there were.
        measured: usize,
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
    let mut bench = Bench::open(request.root.as_deref(), request.program.clone())?;
    let began = Instant::now();
    let (mut plan, mut results) = Plan::new(request, &mut bench)?;
    let window_max = if request.parameters.is_quick { QUICK_WINDOW_MAX } else { WINDOW_MAX };
    let mut budget = Budget::new(began, plan.time(), window_max);
    let mut windows = budget.windows(Instant::now(), &left(&results, 0), plan.reserve());
    results.options = options(&bench, request, &windows);
    let expected = budget.expected(Instant::now(), &left(&results, 0), plan.reserve());
    let for_timelines = request.time.saturating_sub(plan.time());
    report(Event::Planned(&results, expected + for_timelines));
    let mut done = 0;
    loop {
        if done == results.order.len() && !plan.refine(&mut results, &mut bench)? {
            break;
        }
        let (began_at, planned) = (Instant::now(), results.order.len());
        let measurement = &results.order[done];
        let starts_round = done.checked_sub(1).is_none_or(|last| {
            let last = &results.order[last];
            (last.round, &last.workload) != (measurement.round, &measurement.workload)
        });
        if starts_round {
            windows = budget.windows(began_at, &left(&results, done), plan.reserve());
        }
        let Some((contender, workload)) = plan.find(&results.workloads, measurement) else {
            done += 1;
            continue;
        };
        let reason = match () {
            () if interrupted.load(Ordering::Acquire) => Some("interrupted"),
            () if !budget.has_room(began_at, &windows, workload) => Some("time limit reached"),
            () => None,
        };
        if let Some(reason) = reason {
            results.completeness = Completeness::Partial { reason: reason.to_owned() };
            break;
        }
        report(Event::Measuring { measurement, done, planned, elapsed: began.elapsed() });
        done += 1;
        let measured = bench.measure(contender, workload, measurement.round, &windows);
        let cell = cell_of(&mut results.cells, measurement);
        match measured {
            Ok(round) => cell.rounds.push(round),
            Err(error) => cell.failures.push(format!("round {}: {error}", measurement.round + 1)),
        }
        budget.record(&windows, began_at.elapsed(), workload);
    }
    if !results.cells.is_empty() && !interrupted.load(Ordering::Acquire) {
        record_timelines(&bench, &plan, &mut results, began, report);
    }
    results.environment.elapsed_seconds = began.elapsed().as_secs();
    Ok(results)
}

/// The workloads of the measurements that remain when the first `done` are finished.
fn left(results: &Results, done: usize) -> Vec<&Workload> {
    let left = results.order[done..].iter();
    left.filter_map(|measurement| results.workload(&measurement.workload)).collect()
}

/// Records a second of each strategy. One that fails is missing in the report; the measurements
/// have shown whether its server works.
fn record_timelines(
    bench: &Bench,
    plan: &Plan,
    results: &mut Results,
    began: Instant,
    report: &mut dyn FnMut(Event<'_>),
) {
    for contender in plan.recorded() {
        let (name, measured) = (&contender.info.name, results.order.len());
        report(Event::Recording { contender: name, measured, elapsed: began.elapsed() });
        match timeline::record(bench, contender) {
            Ok(timeline) => results.timelines.push(timeline),
            Err(error) => {
                let remark = format!("No timeline of {name} was recorded: {}.", reason(&error));
                results.environment.remarks.push(remark);
            }
        }
    }
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
