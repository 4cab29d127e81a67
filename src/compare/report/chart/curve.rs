//! Line charts: a metric against the number of connections.

use super::{EndLabel, HEIGHT, WIDTH, cell_class, end_labels, series_style, tooltip, value_axis};
use crate::compare::analyse::checks;
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::ranking::Axis;
use crate::compare::analyse::statistics::{Estimate, estimate};
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::results::{Pacing, Results, Workload};

const LEFT: f64 = 56.0;
const RIGHT: f64 = 272.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 46.0;

/// Groups of at least two closed-loop workloads that differ only in their connections, in ascending
/// order.
pub fn families(results: &Results) -> Vec<Vec<&Workload>> {
    let mut families: Vec<Vec<&Workload>> = Vec::new();
    for workload in results.workloads.iter().filter(|workload| workload.pacing == Pacing::Closed) {
        let family = families.iter_mut().find(|family| {
            family.iter().all(|other| {
                other.kind == workload.kind && Axis::Connections.joins(other, workload)
            })
        });
        match family {
            Some(family) => family.push(workload),
            None => families.push(vec![workload]),
        }
    }
    families.retain(|family| family.len() > 1);
    families.iter_mut().for_each(|family| family.sort_by_key(|workload| workload.connections));
    families
}

/// One curve per contender.
pub fn draw(results: &Results, family: &[&Workload], metric: Metric) -> String {
    let value = |workload: &Workload, name: &str| {
        results.cell(&workload.name, name).and_then(|cell| estimate(metric, cell))
    };
    let all = family.iter().flat_map(|workload| {
        results.contenders.iter().filter_map(|contender| value(workload, &contender.name))
    });
    let max = all.map(|estimate| estimate.high).fold(0.0, f64::max);
    let (least, most) = (family[0].connections.max(1), family[family.len() - 1].connections.max(2));
    let across = Scale::log((f64::from(least), f64::from(most)), (LEFT, RIGHT));
    let up = Scale::from_zero(max, (BOTTOM, TOP));
    let mut drawing =
        Drawing::new(WIDTH, HEIGHT, &format!("{} against connections", metric.title()));
    value_axis(&mut drawing, &up, (LEFT, RIGHT), |value| metric.format(value));
    for workload in family {
        let x = across.at(f64::from(workload.connections));
        drawing.line("grid", (x, BOTTOM), (x, BOTTOM + 5.0));
        drawing.text("tick", Anchor::Middle, (x, BOTTOM + 19.0), &workload.connections.to_string());
    }
    drawing.text("axis", Anchor::Middle, (f64::midpoint(LEFT, RIGHT), HEIGHT - 8.0), "connections");
    let mut labels = Vec::new();
    for contender in &results.contenders {
        let points: Vec<(&Workload, Estimate, (f64, f64))> = family
            .iter()
            .filter_map(|workload| {
                let estimate = value(workload, &contender.name)?;
                let place = (across.at(f64::from(workload.connections)), up.at(estimate.median));
                Some((*workload, estimate, place))
            })
            .collect();
        let Some((_, _, end)) = points.last() else {
            continue;
        };
        let series_style = series_style(results, contender);
        for ends in points.windows(2) {
            let [(before, _, from), (after, _, to)] = ends else {
                continue;
            };
            // A segment is pale if one of its ends is.
            let classes =
                [before, after].map(|workload| cell_class(results, workload, contender, metric));
            let class = if classes[0].len() > classes[1].len() { &classes[0] } else { &classes[1] };
            drawing.group(class, &contender.name, |drawing| drawing.path("curve", &[*from, *to]));
        }
        for (workload, estimate, (x, y)) in &points {
            let standing = checks::standing(
                results,
                workload,
                results.cell(&workload.name, &contender.name),
                metric,
            );
            let title = format!(
                "{}, {} connections: {}",
                contender.name,
                workload.connections,
                tooltip(metric, estimate, standing)
            );
            drawing.group(&cell_class(results, workload, contender, metric), &title, |drawing| {
                drawing.line("whisker", (*x, up.at(estimate.low)), (*x, up.at(estimate.high)));
                drawing.marker("marker", series_style.shape, (*x, *y));
            });
        }
        labels.push(EndLabel {
            class: series_style.class,
            text: contender.name.clone(),
            end: *end,
        });
    }
    end_labels(&mut drawing, labels, RIGHT + 16.0, (TOP, BOTTOM));
    drawing.finish()
}
