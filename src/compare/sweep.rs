//! The sweeps: series of workloads that differ in one property, over the range that servers see.
//!
//! A sweep begins with a few positions, at about equal ratios where that makes sense. Where two
//! contenders swap places between two of them, another point is measured in between
//! (`analyse::crossover::crossings` finds these gaps), so the time goes where the order changes.
//!
//! A workload that is measured anyway is not measured a second time: the load of 64 keep-alive
//! connections is a point of the sweep over connections.

use std::io;

use crate::compare::results::{Axis, Workload};
use crate::compare::test_site::TestSite;
use crate::compare::workloads::{ACTIVE_CONNECTIONS, keep_alive, mostly_idle, open_loop};

/// How many positions a sweep begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// The default.
    Coarse,
    /// If the time allows windows of `plan::FINE_WINDOW_MIN`.
    Fine,
}

/// What positions have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepParameters {
    /// Connections of the open loop.
    pub(crate) connections: u32,
    /// The highest rate that any strategy reached in a closed loop, in requests per second.
    pub(crate) capacity: f64,
}

/// The workloads of a sweep. Sizes for which the site has no file are left out.
///
/// # Errors
/// A file of the temporary site cannot be written.
pub(crate) fn points(
    axis: Axis,
    resolution: Resolution,
    parameters: &SweepParameters,
    site: &mut TestSite,
) -> io::Result<Vec<Workload>> {
    let mut points = Vec::new();
    for position in positions(axis, resolution, parameters.capacity, site.small.bytes) {
        points.extend(at(axis, position, parameters, site)?);
    }
    // A directory may have one file for two sizes.
    points.dedup_by(|a, b| a.name == b.name);
    Ok(points)
}

/// The workload at the geometric mean of two others; `None` if there is no position between them.
///
/// # Errors
/// A file of the temporary site cannot be written.
pub(crate) fn between(
    axis: Axis,
    (below, above): (&Workload, &Workload),
    parameters: &SweepParameters,
    site: &mut TestSite,
) -> io::Result<Option<Workload>> {
    let ends = [below, above].map(|workload| axis.position(workload));
    // From 0, in ratios, everything is equally far away: one step of a decade below the next.
    let middle = if ends[0] == 0.0 { ends[1] / 10.0 } else { (ends[0] * ends[1]).sqrt() };
    let middle = if axis == Axis::Size { rounded_size(middle) } else { rounded(middle) };
    let point = at(axis, middle, parameters, site)?;
    Ok(point.filter(|point| {
        let position = axis.position(point);
        ends[0] < position && position < ends[1]
    }))
}

/// The small file, which all other workloads request, stands for its size.
fn positions(axis: Axis, resolution: Resolution, capacity: f64, small: u64) -> Vec<u64> {
    use Resolution::{Coarse, Fine};
    let shares = |shares: &[f64]| shares.iter().map(|share| rounded(share * capacity)).collect();
    match (axis, resolution) {
        (Axis::Connections, Coarse) => vec![1, 8, 64, 256, 1024, 8192],
        (Axis::Connections, Fine) => vec![1, 4, 16, 64, 256, 1024, 4096, 8192],
        (Axis::Idle, Coarse) => vec![0, 100, 1000, 10_000],
        (Axis::Idle, Fine) => vec![0, 10, 32, 100, 320, 1000, 3200, 10_000],
        (Axis::Size, Coarse) => vec![0, small, 1 << 15, 1 << 20, 1 << 24],
        (Axis::Size, Fine) => {
            vec![0, small, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24]
        }
        (Axis::Rate, Coarse) => shares(&[0.01, 0.1, 0.3, 0.6, 0.95]),
        (Axis::Rate, Fine) => shares(&[0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95]),
    }
}

fn at(
    axis: Axis,
    position: u64,
    parameters: &SweepParameters,
    site: &mut TestSite,
) -> io::Result<Option<Workload>> {
    let count = position as u32;
    let point = match axis {
        Axis::Connections => keep_alive(count, &site.small),
        Axis::Idle if count == 0 => keep_alive(ACTIVE_CONNECTIONS, &site.small),
        Axis::Idle => mostly_idle(count, &site.small),
        Axis::Rate => open_loop(count, parameters.connections, &site.small),
        Axis::Size => {
            let Some(file) = site.file_of(position)? else { return Ok(None) };
            let of_size = keep_alive(ACTIVE_CONNECTIONS, &file);
            let title = format!("files of {}", crate::format::bytes(file.bytes));
            Workload { name: format!("file-{}", file.bytes), title, ..of_size }
        }
    };
    Ok(Some(Workload { sweep: Some(axis), ..point }))
}

/// Two significant digits.
fn rounded(position: f64) -> u64 {
    let step = 10_f64.powf((position.max(1.0).log10().floor() - 1.0).max(0.0));
    ((position / step).round() * step) as u64
}

/// Whole KiB, of which there are few enough to read.
fn rounded_size(bytes: f64) -> u64 {
    const KIB: f64 = 1024.0;
    if bytes < KIB { bytes as u64 } else { ((bytes / KIB).round() * KIB) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMETERS: SweepParameters = SweepParameters { connections: 64, capacity: 100_000.0 };

    fn site() -> TestSite {
        TestSite::open(None).expect("the temporary directory is writable")
    }

    #[test]
    fn positions_ascend_and_reach_both_ends() {
        let mut site = site();
        for (axis, ends) in [
            (Axis::Connections, (1.0, 8192.0)),
            (Axis::Idle, (0.0, 10_000.0)),
            (Axis::Size, (0.0, f64::from(1 << 24))),
            (Axis::Rate, (1000.0, 95_000.0)),
        ] {
            for resolution in [Resolution::Coarse, Resolution::Fine] {
                let points = points(axis, resolution, &PARAMETERS, &mut site).expect("it writes");
                let positions: Vec<f64> = points.iter().map(|point| axis.position(point)).collect();
                assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
                assert_eq!((positions[0], positions[positions.len() - 1]), ends);
            }
        }
    }

    #[test]
    fn a_point_lies_between_its_neighbours_until_there_is_no_room() {
        let mut site = site();
        let mut point = |axis, below, above| {
            let ends = [below, above].map(|position| {
                let end = at(axis, position, &PARAMETERS, &mut site).expect("it writes");
                end.expect("the temporary site has files of any size")
            });
            let middle = between(axis, (&ends[0], &ends[1]), &PARAMETERS, &mut site);
            middle.expect("it writes").map(|middle| axis.position(&middle))
        };
        assert_eq!(point(Axis::Connections, 16, 64), Some(32.0));
        assert_eq!(point(Axis::Connections, 1, 2), None);
        assert_eq!(point(Axis::Idle, 0, 100), Some(10.0));
        assert_eq!(point(Axis::Idle, 0, 1), None);
        assert_eq!(point(Axis::Rate, 1000, 4000), Some(2000.0));
    }

    #[test]
    fn a_directory_takes_part_with_the_sizes_that_it_has() {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        for bytes in [900, 50_000] {
            std::fs::write(directory.path().join(format!("{bytes}.html")), vec![b'x'; bytes])
                .expect("the directory is writable");
        }
        let mut site = TestSite::open(Some(directory.path())).expect("it has files");
        let points = points(Axis::Size, Resolution::Fine, &PARAMETERS, &mut site);
        let names = points.expect("it reads").into_iter().map(|point| point.name);
        assert_eq!(names.collect::<Vec<_>>(), ["file-900", "file-50000"]);
    }
}
