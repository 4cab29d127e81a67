//! The axes along which workloads differ, and the lines that the measured workloads form.
//!
//! A line has the workloads that differ in one property only. The curves of the reports are drawn
//! along it, and a change of the lead lies between two of its points.

use crate::compare::analyse::metric::Metric;
use crate::compare::results::{Axis, Pacing, Results, Workload};
use crate::format::{self, counted};

/// With fewer points, a curve is a straight line between two measurements.
const POINTS_MIN: usize = 3;

/// Workloads that differ in one property.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    pub axis: Axis,
    /// In ascending order.
    pub points: Vec<&'a Workload>,
}

impl Axis {
    /// The order in which reports show them.
    pub const ALL: [Axis; 4] = [Axis::Idle, Axis::Connections, Axis::Size, Axis::Rate];

    /// The value of `--sweep`.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Connections => "connections",
            Axis::Idle => "idle",
            Axis::Size => "size",
            Axis::Rate => "rate",
        }
    }

    /// The label of the axis of a chart.
    pub fn title(self) -> &'static str {
        match self {
            Axis::Connections => "active connections",
            Axis::Idle => "idle connections",
            Axis::Size => "size of the file",
            Axis::Rate => "requests per second",
        }
    }

    /// What a sweep shows. In an open loop the CPU time depends on how many requests the server
    /// finds at each wake-up, and latency is what suffers.
    pub fn metric(self) -> Metric {
        match self {
            Axis::Connections | Axis::Idle | Axis::Size => Metric::CpuPerRequest,
            Axis::Rate => Metric::LatencyP99,
        }
    }

    pub fn position(self, workload: &Workload) -> f64 {
        match (self, workload.pacing) {
            (Axis::Connections, _) => f64::from(workload.active_connections()),
            (Axis::Idle, _) => f64::from(workload.idle_connections),
            (Axis::Size, _) => workload.body_bytes as f64,
            (Axis::Rate, Pacing::Open { requests_per_second }) => requests_per_second,
            (Axis::Rate, Pacing::Closed) => 0.0,
        }
    }

    /// The position in words, such as "64 connections".
    pub fn describe(self, workload: &Workload) -> String {
        match self {
            Axis::Connections => counted(workload.active_connections(), "connection"),
            Axis::Idle => counted(workload.idle_connections, "idle connection"),
            Axis::Size => format!("files of {}", format::bytes(workload.body_bytes)),
            Axis::Rate => format!("{} requests/s", self.position(workload)),
        }
    }

    /// A tick of an axis: `64`, `1 MiB`, `20k`.
    pub fn tick(self, workload: &Workload) -> String {
        match self {
            Axis::Size => format::bytes(workload.body_bytes).replace(".0 ", " "),
            Axis::Connections | Axis::Idle | Axis::Rate => match self.position(workload) {
                large if large >= 10_000.0 => format!("{:.0}k", large / 1000.0),
                small => format!("{small:.0}"),
            },
        }
    }

    /// Whether `a` and `b` differ on this axis and nowhere else.
    pub fn joins(self, a: &Workload, b: &Workload) -> bool {
        let differs = |axis: Axis| axis.position(a) != axis.position(b);
        let same_load = (a.pacing == Pacing::Closed) == (b.pacing == Pacing::Closed)
            && a.pipeline_depth == b.pipeline_depth
            && a.requests_per_connection == b.requests_per_connection
            && a.reader_bytes_per_second == b.reader_bytes_per_second;
        same_load && Axis::ALL.into_iter().all(|axis| differs(axis) == (axis == self))
    }
}

/// Every line with enough points for a curve; of several along one axis, the longest.
pub fn lines(results: &Results) -> Vec<Line<'_>> {
    let longest = |axis| {
        let through = |origin| line_through(results, axis, origin);
        let lines = results.workloads.iter().map(through);
        // Of equally long lines the first.
        let longest = lines.rev().max_by_key(|line| line.points.len())?;
        (longest.points.len() >= POINTS_MIN).then_some(longest)
    };
    Axis::ALL.into_iter().filter_map(longest).collect()
}

/// Every line of at least two points.
pub fn all_lines(results: &Results) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for axis in Axis::ALL {
        for origin in &results.workloads {
            let line = line_through(results, axis, origin);
            if line.points.len() > 1 && !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

fn line_through<'a>(results: &'a Results, axis: Axis, origin: &'a Workload) -> Line<'a> {
    let is_on_it = |other: &&Workload| other.name == origin.name || axis.joins(origin, other);
    let mut points: Vec<&Workload> = results.workloads.iter().filter(is_on_it).collect();
    points.sort_by(|a, b| axis.position(a).total_cmp(&axis.position(b)));
    Line { axis, points }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn idle_connections_and_file_size_are_separate_axes() {
        let results = synthetic::results(5);
        let workload = |name| results.workload(name).expect("synthetic results contain it");
        assert!(Axis::Idle.joins(workload("keep-alive-8"), workload("idle-504")));
        assert!(Axis::Size.joins(workload("keep-alive-8"), workload("large")));
        assert!(!Axis::Connections.joins(workload("keep-alive-64"), workload("pipelined")));
        assert!(!Axis::Connections.joins(workload("keep-alive-8"), workload("keep-alive-8")));
        assert!(!Axis::Rate.joins(workload("keep-alive-64"), workload("keep-alive-64-open")));
    }

    #[test]
    fn a_line_has_loads_and_points_of_sweeps_in_order() {
        let results = synthetic::results(5);
        let lines = lines(&results);
        let names = |axis| {
            let line: Option<&Line<'_>> = lines.iter().find(|line| line.axis == axis);
            let line = line.expect("synthetic results have all sweeps");
            line.points.iter().map(|point| point.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(names(Axis::Idle), ["keep-alive-8", "idle-100", "idle-504", "idle-10000"]);
        assert_eq!(names(Axis::Size), ["file-0", "keep-alive-8", "file-65536", "large"]);
        assert_eq!(names(Axis::Connections).len(), 5);
        assert_eq!(names(Axis::Rate).len(), 3);
    }
}
