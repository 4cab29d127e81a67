//! Line charts: a metric along an axis, with one curve per contender. Both axes are logarithmic.
//!
//! Twins are left out: their curves would hide those of their originals.

use super::{EndLabel, HEIGHT, WIDTH, cell_class, end_labels, series_style, tooltip, value_axis};
use crate::compare::analyse::axis::Line;
use crate::compare::analyse::checks;
use crate::compare::analyse::metric::{Metric, significant};
use crate::compare::analyse::statistics::{Estimate, estimate, ratio};
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::results::{ContenderInfo, ContenderKind, Results, Workload};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 272.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// Ticks that are closer to each other than this would overlap.
const TICK_DISTANCE_MIN: f64 = 34.0;
/// The distance of 0 from the smallest other position, which has no place on a logarithmic axis.
const ZERO_DISTANCE: f64 = 36.0;
/// No contender costs less than this share of another.
const RATIO_MIN: f64 = 0.001;

/// One point of a curve.
struct Point<'a> {
    workload: &'a Workload,
    estimate: Estimate,
    place: (f64, f64),
}

/// The curves of all contenders with data. With a `base`, they show ratios to it.
pub fn draw(
    results: &Results,
    line: &Line<'_>,
    metric: Metric,
    base: Option<&ContenderInfo>,
) -> String {
    let estimate = |workload: &Workload, name: &str| {
        let cell = results.cell(&workload.name, name)?;
        match base {
            None => estimate(metric, cell),
            Some(base) => ratio(metric, cell, results.cell(&workload.name, &base.name)?),
        }
    };
    let format = |value: f64| match base {
        None => metric.format(value),
        Some(_) => significant(value),
    };
    let is_drawn = |contender: &&ContenderInfo| {
        let is_base = base.is_some_and(|base| base.name == contender.name);
        !is_base && !matches!(contender.kind, ContenderKind::Twin { .. })
    };
    let contenders: Vec<&ContenderInfo> = results.contenders.iter().filter(is_drawn).collect();
    let all = line.points.iter().flat_map(|workload| {
        let of_contender = |contender: &ContenderInfo| estimate(workload, &contender.name);
        contenders.iter().filter_map(move |contender| of_contender(contender))
    });
    let least = if base.is_some() { RATIO_MIN } else { metric.resolution() };
    let (low, high) = all.fold((f64::MAX, least), |(low, high), estimate| {
        (low.min(estimate.low.max(least)), high.max(estimate.high))
    });
    let up = Scale::log((low.min(high), high), (BOTTOM, TOP));
    let across = Across::new(line);
    let label = format!("{} against {}", metric.title(), line.axis.title());
    let mut drawing = Drawing::new(WIDTH, HEIGHT, &label);
    value_axis(&mut drawing, &up, (LEFT, RIGHT), format);
    position_axis(&mut drawing, line, &across);
    let mut labels = Vec::new();
    for contender in contenders {
        let points: Vec<Point<'_>> = line
            .points
            .iter()
            .filter_map(|workload| {
                let estimate = estimate(workload, &contender.name)?;
                let place = (across.at(line, workload), up.at(estimate.median));
                Some(Point { workload, estimate, place })
            })
            .collect();
        let Some(end) = points.last().map(|point| point.place) else {
            continue;
        };
        let style = series_style(results, contender);
        let class = |workload| cell_class(results, workload, contender, metric);
        for ends in points.windows(2) {
            // A segment is pale if one of its ends is.
            let classes = [class(ends[0].workload), class(ends[1].workload)];
            let class = classes.iter().max_by_key(|class| class.len()).map_or("", String::as_str);
            drawing.group(class, &contender.name, |drawing| {
                drawing.path("curve", &[ends[0].place, ends[1].place]);
            });
        }
        for Point { workload, estimate, place } in &points {
            let cell = results.cell(&workload.name, &contender.name);
            let standing = checks::standing(results, workload, cell, metric);
            let figures = tooltip(format, estimate, standing);
            let title = format!("{}, {}: {figures}", contender.name, line.axis.describe(workload));
            drawing.group(&class(workload), &title, |drawing| {
                let ends = [estimate.low, estimate.high].map(|value| (place.0, up.at(value)));
                drawing.line("whisker", ends[0], ends[1]);
                drawing.marker("marker", style.shape, *place);
            });
        }
        labels.push(EndLabel { class: style.class, text: contender.name.clone(), end });
    }
    end_labels(&mut drawing, labels, RIGHT + 16.0, (TOP, BOTTOM));
    drawing.finish()
}

/// The horizontal axis.
struct Across {
    scale: Scale,
}

impl Across {
    fn new(line: &Line<'_>) -> Across {
        let positions = line.points.iter().map(|workload| line.axis.position(workload));
        let least = positions.clone().filter(|position| *position > 0.0).fold(f64::MAX, f64::min);
        let most = positions.clone().fold(1.0, f64::max);
        let has_zero = positions.clone().any(|position| position == 0.0);
        let left = if has_zero { LEFT + ZERO_DISTANCE } else { LEFT };
        Across { scale: Scale::log((least.min(most), most), (left, RIGHT)) }
    }

    fn at(&self, line: &Line<'_>, workload: &Workload) -> f64 {
        match line.axis.position(workload) {
            0.0 => LEFT + 4.0,
            position => self.scale.at(position),
        }
    }
}

fn position_axis(drawing: &mut Drawing, line: &Line<'_>, across: &Across) {
    // From the right, so that the last position always has its label.
    let mut free_until = f64::MAX;
    for workload in line.points.iter().rev() {
        let x = across.at(line, workload);
        drawing.line("grid", (x, BOTTOM), (x, BOTTOM + 5.0));
        if x + TICK_DISTANCE_MIN <= free_until {
            let text = line.axis.tick(workload);
            drawing.text("tick", Anchor::Middle, (x, BOTTOM + 19.0), &text);
            free_until = x;
        }
    }
    let middle = (f64::midpoint(LEFT, RIGHT), HEIGHT - 8.0);
    drawing.text("axis", Anchor::Middle, middle, line.axis.title());
}
