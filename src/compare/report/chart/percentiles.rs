//! Latency by percentile.
//!
//! The axis is logarithmic in the share of slower responses: each step to the right is ten times
//! rarer, which leaves room for the tail.

use super::{EndLabel, HEIGHT, WIDTH, cell_class, end_labels, series_style, tooltip, value_axis};
use crate::compare::analyse::checks;
use crate::compare::analyse::metric::{self, Metric};
use crate::compare::analyse::statistics::estimate;
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::results::{Histogram, Results, Workload};

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
    let curves: Vec<_> = results
        .contenders
        .iter()
        .filter_map(|contender| {
            let cell = results.cell(&workload.name, &contender.name)?;
            Some((contender, cell, cell.latency(), cell.service_time()))
        })
        .filter(|(_, _, latency, _)| latency.count() > 0)
        .collect();
    let nines = curves.iter().map(|(_, _, latency, _)| nines_of(latency)).fold(0.0, f64::max);
    let histograms = || {
        curves
            .iter()
            .flat_map(|(_, _, latency, service)| [Some(latency), service.as_ref()])
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
    for (place, (contender, cell, latency, service)) in curves.iter().enumerate() {
        let series_style = series_style(results, contender);
        let is_valid = checks::is_valid(results, workload, Some(cell), Metric::LatencyMedian);
        if let Some(service) = service {
            let title = format!("{}: service time, from the actual send", contender.name);
            drawing.group(
                &cell_class(results, workload, contender, Metric::LatencyMedian),
                &title,
                |drawing| {
                    drawing.path("curve dotted", &points(service, &across, &up));
                },
            );
        }
        let line = points(latency, &across, &up);
        drawing.group(
            &cell_class(results, workload, contender, Metric::LatencyMedian),
            &contender.name,
            |drawing| drawing.path("curve", &line),
        );
        // The estimates over rounds with their confidence intervals.
        for (metric, nines) in [
            (Metric::LatencyMedian, 2.0_f64.log10()),
            (Metric::LatencyP99, 2.0),
            (Metric::LatencyP999, 3.0),
        ] {
            let Some(estimate) = estimate(metric, cell) else {
                continue;
            };
            // Side by side, so that no interval hides another.
            let x = across.at(nines) + WHISKER_GAP * (place as f64 - curves.len() as f64 / 2.0);
            let title = format!(
                "{}, {}: {}",
                contender.name,
                metric.title(),
                tooltip(metric, &estimate, is_valid)
            );
            drawing.group(
                &cell_class(results, workload, contender, Metric::LatencyMedian),
                &title,
                |drawing| {
                    drawing.line("whisker", (x, up.at(estimate.low)), (x, up.at(estimate.high)));
                    drawing.marker("marker", series_style.shape, (x, up.at(estimate.median)));
                },
            );
        }
        if let Some(end) = line.last() {
            labels.push(EndLabel {
                class: series_style.class,
                text: contender.name.clone(),
                end: *end,
            });
        }
    }
    end_labels(&mut drawing, labels, RIGHT + 16.0, (TOP, BOTTOM));
    Some(drawing.finish())
}

fn percentile_axis(drawing: &mut Drawing, across: &Scale, nines_max: f64) {
    let ticks = [(2.0_f64.log10(), "50"), (1.0, "90"), (2.0, "99"), (3.0, "99.9"), (4.0, "99.99")];
    for (nines, text) in ticks.iter().filter(|(nines, _)| *nines <= nines_max.max(1.0)) {
        let x = across.at(*nines);
        drawing.line("grid", (x, TOP), (x, BOTTOM + 5.0));
        drawing.text("tick", Anchor::Middle, (x, BOTTOM + 19.0), text);
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    drawing.text("axis", Anchor::Middle, (middle, HEIGHT - 8.0), "percentile (%)");
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
