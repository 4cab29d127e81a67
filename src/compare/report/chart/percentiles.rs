//! Latency by percentile.
//!
//! The axis is logarithmic in the share of slower responses: each step to the right is ten times
//! rarer, which leaves room for the tail.

use super::{EndLabel, HEIGHT, WIDTH, cell_class, end_labels, series_style, tooltip, value_axis};
use crate::compare::analyse::checks;
use crate::compare::analyse::metric::{self, Metric};
use crate::compare::analyse::statistics::estimate;
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::results::{Cell, ContenderInfo, Histogram, Results, Workload};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 272.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// The horizontal distance between the intervals of two contenders.
const WHISKER_GAP: f64 = 3.0;
/// Even a full run has too few responses for higher percentiles.
const NINES_MAX: f64 = 5.0;

/// One curve per contender; for an open loop also its service time, dotted.
pub fn draw(results: &Results, workload: &Workload) -> Option<String> {
    let curves: Vec<Curve<'_>> = results
        .contenders
        .iter()
        .filter_map(|contender| {
            let cell = results.cell(&workload.name, &contender.name)?;
            Some(Curve {
                contender,
                cell,
                latency: cell.latency(),
                service_time: cell.service_time(),
            })
        })
        .filter(|curve| curve.latency.count() > 0)
        .collect();
    let nines = curves.iter().map(|curve| nines_of(&curve.latency)).fold(0.0, f64::max);
    let histograms = || {
        curves
            .iter()
            .flat_map(|curve| [Some(&curve.latency), curve.service_time.as_ref()])
            .flatten()
    };
    let low = histograms().filter_map(|histogram| histogram.quantile_ns(0.0)).min()?;
    let high = histograms()
        .filter_map(|histogram| histogram.quantile_ns(1.0 - 10_f64.powf(-nines)))
        .max()?;
    let across = Scale::linear((0.0, nines.max(1.0)), (LEFT, RIGHT));
    let up = Scale::log((low.max(1) as f64, high.max(2) as f64), (BOTTOM, TOP));
    let mut drawing =
        Drawing::new(WIDTH, HEIGHT, &format!("latency by percentile, {}", workload.title));
    value_axis(&mut drawing, &up, (LEFT, RIGHT), metric::time);
    percentile_axis(&mut drawing, &across, nines);
    let mut labels = Vec::new();
    for (position, curve) in curves.iter().enumerate() {
        let offset = WHISKER_GAP * (position as f64 - curves.len() as f64 / 2.0);
        labels.extend(draw_curve(&mut drawing, results, workload, curve, (&across, &up), offset));
    }
    end_labels(&mut drawing, labels, RIGHT + 16.0, (TOP, BOTTOM));
    Some(drawing.finish())
}

/// The latencies of one contender.
struct Curve<'a> {
    contender: &'a ContenderInfo,
    cell: &'a Cell,
    latency: Histogram,
    service_time: Option<Histogram>,
}

/// Draws a curve and its estimates, which are shifted by `offset` so that no interval hides
/// another.
fn draw_curve(
    drawing: &mut Drawing,
    results: &Results,
    workload: &Workload,
    curve: &Curve<'_>,
    (across, up): (&Scale, &Scale),
    offset: f64,
) -> Option<EndLabel> {
    let Curve { contender, cell, latency, service_time } = curve;
    let style = series_style(results, contender);
    let class = cell_class(results, workload, contender, Metric::LatencyMedian);
    let standing = checks::standing(results, workload, Some(cell), Metric::LatencyMedian);
    if let Some(service_time) = service_time {
        let title = format!("{}: service time, from the actual send", contender.name);
        drawing.group(&class, &title, |drawing| {
            drawing.path("curve dotted", &points(service_time, across, up));
        });
    }
    let line = points(latency, across, up);
    drawing.group(&class, &contender.name, |drawing| drawing.path("curve", &line));
    let quantiles = [
        (Metric::LatencyMedian, 2.0_f64.log10()),
        (Metric::LatencyP99, 2.0),
        (Metric::LatencyP999, 3.0),
    ];
    for (metric, nines) in quantiles {
        let Some(estimate) = estimate(metric, cell) else {
            continue;
        };
        let x = across.at(nines) + offset;
        let tooltip = tooltip(|value| metric.format(value), &estimate, standing);
        let title = format!("{}, {}: {tooltip}", contender.name, metric.title());
        drawing.group(&class, &title, |drawing| {
            drawing.line("whisker", (x, up.at(estimate.low)), (x, up.at(estimate.high)));
            drawing.marker("marker", style.shape, (x, up.at(estimate.median)));
        });
    }
    let end = *line.last()?;
    Some(EndLabel { class: style.class, text: contender.name.clone(), end })
}

fn percentile_axis(drawing: &mut Drawing, across: &Scale, nines_max: f64) {
    let ticks = [(2.0_f64.log10(), "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")];
    for (nines, text) in ticks.iter().filter(|(nines, _)| *nines <= nines_max.max(1.0)) {
        let x = across.at(*nines);
        drawing.line("grid", (x, TOP), (x, BOTTOM + 5.0));
        drawing.text("tick", Anchor::Middle, (x, BOTTOM + 19.0), text);
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    drawing.text("axis", Anchor::Middle, (middle, HEIGHT - 8.0), "percentile");
}

/// The highest percentile with at least one response beyond it, as a number of nines.
fn nines_of(histogram: &Histogram) -> f64 {
    (histogram.count().max(1) as f64).log10().min(NINES_MAX)
}

fn points(histogram: &Histogram, across: &Scale, up: &Scale) -> Vec<(f64, f64)> {
    const STEPS_PER_NINE: f64 = 16.0;
    let steps = (nines_of(histogram) * STEPS_PER_NINE) as usize;
    let nines = (0..=steps).map(|step| step as f64 / STEPS_PER_NINE);
    let place = |nines: f64| {
        let value_ns = histogram.quantile_ns(1.0 - 10_f64.powf(-nines))?;
        Some((across.at(nines), up.at(value_ns as f64)))
    };
    let mut points: Vec<(f64, f64)> = Vec::new();
    for point in nines.filter_map(place) {
        // A flat stretch needs only its two ends.
        if let [.., (_, before), (x, last)] = &mut points[..]
            && *before == *last
            && *last == point.1
        {
            *x = point.0;
        } else {
            points.push(point);
        }
    }
    points
}
