//! What a run measures: contenders, workloads and their order, and the points by which its sweeps
//! are refined.

use std::io;
use std::time::Duration;

use crate::compare::analyse::crossover::crossings;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::rounds;
use crate::compare::budget::{Budget, WindowLengths};
use crate::compare::contender::Contender;
use crate::compare::foreign;
use crate::compare::measure::bench::Bench;
use crate::compare::measure::{environment, response_check, timeline};
use crate::compare::order::{self, Rounds};
use crate::compare::request::{CompareError, Request};
use crate::compare::results::{
    Axis, Completeness, ContenderInfo, ContenderKind, Measurement, Options, ResponseCheck, Results,
    SCHEMA_VERSION, Workload,
};
use crate::compare::sweep::{self, Resolution, SweepParameters};
use crate::compare::workloads;
use crate::format::counted;
use crate::load::Handshake;

/// Shorter windows hold too few responses for the p99 of an open loop, and too few for narrow
/// intervals.
const SWEEP_WINDOW_MIN: Duration = Duration::from_millis(110);
/// A fine sweep is worth more than longer windows, but not than windows of this length.
const FINE_WINDOW_MIN: Duration = Duration::from_millis(150);
/// How often the sweeps are refined, each time by as many points.
const REFINEMENTS: u32 = 2;
const POINTS_PER_REFINEMENT: u32 = 2;
/// The time in which the capacity is measured: its digits do not matter.
const CALIBRATION: Duration = Duration::from_millis(100);

/// What is needed to find a measurement's servers and loads, and to add more of them.
#[derive(Debug)]
pub(crate) struct Plan {
    contenders: Vec<Contender>,
    rounds: Rounds,
    seed: u64,
    /// The time for all measurements; the rest is for the timelines.
    time: Duration,
    sweeps: SweepParameters,
    /// How often the sweeps may still be refined.
    refinements: u32,
}

impl Plan {
    /// The plan, and results without cells. Checks that the time suffices and that the responses of
    /// all contenders are equal.
    ///
    /// # Errors
    /// Why nothing can be measured.
    pub(crate) fn new(
        request: &Request,
        bench: &mut Bench,
    ) -> Result<(Plan, Results), CompareError> {
        let contenders = contenders(request);
        let (mut response_check, head_bytes) = check_responses(bench, &contenders)?;
        let loads = loads(request, bench);
        let of_points = if loads.is_empty() { request.rounds } else { request.rounds.div_ceil(2) };
        let mut plan = Plan {
            contenders,
            rounds: Rounds { of_loads: request.rounds, of_points },
            seed: request.seed,
            time: request.time,
            sweeps: SweepParameters { connections: request.parameters.connections, capacity: 0.0 },
            refinements: 0,
        };
        let for_timelines = timeline::TIMELINE_TIME * plan.recorded().count() as u32;
        plan.time = request.time.saturating_sub(for_timelines);
        let mut environment = environment::describe(&bench.cores);
        if !bench.site.has_large() {
            let remark = "The site has no large file; workloads that need one are left out.";
            environment.remarks.push(remark.to_owned());
        }
        let workloads = match plan.with_sweeps(request, bench, &loads)? {
            Some(workloads) => workloads,
            None => {
                let remark = "No sweeps were measured: they need more time (--time).";
                environment.remarks.push(remark.to_owned());
                loads
            }
        };
        foreign::admit(bench, &plan.contenders, head_bytes, &mut environment, &mut response_check)
            .map_err(CompareError::ResponsesDiffer)?;
        let order = plan.order(&workloads);
        let minimum = Budget::minimum(order.len());
        if minimum > plan.time {
            let given = request.time.as_secs_f64();
            return Err(CompareError::TimeTooShort(format!(
                "invalid value '{given}' for '--time': expected at least {} seconds for {} and the \
                 timelines",
                (minimum + for_timelines).as_secs() + 1,
                counted(order.len(), "measurement")
            )));
        }
        let contenders = plan.contenders.iter().map(|contender| contender.info.clone());
        let results = Results {
            schema_version: SCHEMA_VERSION,
            completeness: Completeness::Whole,
            environment,
            options: Options::default(),
            response_check,
            order,
            contenders: contenders.collect(),
            workloads,
            cells: Vec::new(),
            timelines: Vec::new(),
        };
        Ok((plan, results))
    }

    /// The loads and the points of all sweeps that the request asks for, as finely as the time
    /// permits. `None`: it does not permit them, and they were not asked for by name.
    fn with_sweeps(
        &mut self,
        request: &Request,
        bench: &mut Bench,
        loads: &[Workload],
    ) -> io::Result<Option<Vec<Workload>>> {
        let is_full = request.workloads.is_none() && !request.parameters.is_quick;
        let axes: &[Axis] = match &request.sweeps[..] {
            [] if is_full => &Axis::ALL,
            axes => axes,
        };
        if axes.is_empty() {
            return Ok(Some(loads.to_vec()));
        }
        if axes.contains(&Axis::Rate) {
            self.sweeps.capacity = self.capacity(bench)?;
        }
        let mut best = None;
        for (resolution, window) in
            [(Resolution::Coarse, SWEEP_WINDOW_MIN), (Resolution::Fine, FINE_WINDOW_MIN)]
        {
            let mut workloads = loads.to_vec();
            for axis in axes {
                let points = sweep::points(*axis, resolution, &self.sweeps, &mut bench.site)?;
                let is_new =
                    |point: &Workload| !workloads.iter().any(|known| known.is_same_load(point));
                let points: Vec<Workload> = points.into_iter().filter(is_new).collect();
                workloads.extend(points);
            }
            self.refinements = REFINEMENTS;
            let order = self.order(&workloads);
            let measured = order.iter().filter_map(|measurement| find(&workloads, measurement));
            let reserve = 1.0 + self.reserve() as f64 / order.len() as f64;
            let duration = Budget::duration(measured, window).mul_f64(reserve);
            // A sweep that was asked for is measured even with short windows.
            let is_wanted = resolution == Resolution::Coarse && !request.sweeps.is_empty();
            if duration <= self.time || is_wanted {
                best = Some(workloads);
            }
        }
        if best.is_none() {
            self.refinements = 0;
        }
        Ok(best)
    }

    /// The highest rate that any strategy reaches in a closed loop.
    fn capacity(&self, bench: &Bench) -> io::Result<f64> {
        let workload = workloads::keep_alive(self.sweeps.connections, &bench.site.small);
        let windows = WindowLengths::for_measured(CALIBRATION);
        let mut capacity = 0.0;
        for contender in &self.contenders {
            if contender.info.kind == ContenderKind::Strategy && contender.supports(&workload) {
                let round = bench.measure(contender, &workload, 0, &windows)?;
                capacity = Metric::Throughput.of(&round).unwrap_or(0.0).max(capacity);
            }
        }
        Ok(capacity)
    }

    /// The time for all measurements.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// The contenders of which a timeline is recorded. Its clients speak plain HTTP.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = &Contender> {
        let strategies = |contender: &&Contender| contender.takes_tls();
        self.contenders.iter().filter(strategies)
    }

    /// The number of measurements for which time is kept, because sweeps will be refined.
    pub(crate) fn reserve(&self) -> usize {
        let points = self.refinements * POINTS_PER_REFINEMENT;
        points as usize * self.rounds.of_points as usize * self.contenders.len()
    }

    /// Adds points between those where contenders cross. False: there is nothing to add.
    ///
    /// # Errors
    /// A file of the temporary site cannot be written.
    pub(crate) fn refine(&mut self, results: &mut Results, bench: &mut Bench) -> io::Result<bool> {
        let Some(refinements) = self.refinements.checked_sub(1) else { return Ok(false) };
        self.refinements = refinements;
        let mut points: Vec<Workload> = Vec::new();
        for (axis, ends) in crossings(&rounds::quiet(results)) {
            let point = sweep::between(axis, ends.into(), &self.sweeps, &mut bench.site)?;
            let is_known = |point: &Workload| results.workload(&point.name).is_some();
            points.extend(point.filter(|point| !is_known(point)));
            if points.len() == POINTS_PER_REFINEMENT as usize {
                break;
            }
        }
        results.order.extend(self.order(&points));
        let is_refined = !points.is_empty();
        results.workloads.extend(points);
        Ok(is_refined)
    }

    fn order(&self, workloads: &[Workload]) -> Vec<Measurement> {
        let infos: Vec<&ContenderInfo> =
            self.contenders.iter().map(|contender| &contender.info).collect();
        let workload_refs: Vec<&Workload> = workloads.iter().collect();
        let mut order = order::measurements(&infos, &workload_refs, self.rounds, self.seed);
        order.retain(|measurement| {
            let pair = self.find(workloads, measurement);
            pair.is_some_and(|(contender, workload)| contender.supports(workload))
        });
        order
    }

    pub(crate) fn find<'a>(
        &'a self,
        workloads: &'a [Workload],
        measurement: &Measurement,
    ) -> Option<(&'a Contender, &'a Workload)> {
        let is_it = |contender: &&Contender| contender.info.name == measurement.contender;
        Some((self.contenders.iter().find(is_it)?, find(workloads, measurement)?))
    }
}

fn find<'a>(workloads: &'a [Workload], measurement: &Measurement) -> Option<&'a Workload> {
    workloads.iter().find(|workload| workload.name == measurement.workload)
}

/// The reference loop, what the request names, and the twin of the first strategy.
fn contenders(request: &Request) -> Vec<Contender> {
    let mut reference = Contender::reference_loop();
    if request.parameters.has_tls {
        reference.info.description.push_str(", without TLS");
    }
    let mut contenders = vec![reference];
    contenders.extend(request.contenders.iter().cloned());
    // The A/A comparison repeats the first strategy that was named.
    let first = contenders.iter().find(|contender| contender.info.kind == ContenderKind::Strategy);
    contenders.extend(first.map(Contender::twin));
    contenders
}

/// The workloads that the request names; without any name all, unless it asks for sweeps.
fn loads(request: &Request, bench: &Bench) -> Vec<Workload> {
    let mut workloads = bench.workloads(&request.parameters);
    workloads.retain(|workload| {
        let is_named = |name: &String| {
            workload.name == *name || workload.name.starts_with(&format!("{name}-"))
        };
        match &request.workloads {
            Some(names) => names.iter().any(is_named),
            None => request.sweeps.is_empty(),
        }
    });
    workloads
}

/// Compares the responses of all strategies. Also returns the length of their headers.
///
/// Files that were written just before have no validators at first. If the check crosses the moment
/// from which they have them, it is repeated; to wait for it in any case would cost every run two
/// seconds.
fn check_responses(
    bench: &Bench,
    contenders: &[Contender],
) -> Result<(ResponseCheck, Option<usize>), CompareError> {
    let time_to_settle = bench.site.time_to_settle();
    match compare_responses(bench, contenders) {
        Err(CompareError::ResponsesDiffer(_)) if !time_to_settle.is_zero() => {
            std::thread::sleep(bench.site.time_to_settle());
            compare_responses(bench, contenders)
        }
        checked => checked,
    }
}

/// Sends the same requests to every strategy. Servers whose responses differ cannot be compared.
fn compare_responses(
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
        let tls = bench.client_tls(contender, Handshake::Full)?;
        let response =
            |request: &[u8]| response_check::response(server.address, tls.as_ref(), request);
        let responses = requests.iter().map(|(_, request)| response(request));
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
