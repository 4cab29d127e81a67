//! The order of the measurements.
//!
//! A machine drifts: it warms up, another virtual machine becomes busy. So the contenders alternate
//! within each round instead of running one after the other, and no contender always runs first.
//! The first order is drawn from the seed; each later group starts one contender further in it, and
//! every second round runs it backwards.

use crate::compare::results::{ContenderInfo, Measurement, Workload};

/// All measurements of all rounds. The same seed gives the same order.
pub(crate) fn measurements(
    contenders: &[&ContenderInfo],
    workloads: &[&Workload],
    rounds: u32,
    seed: u64,
) -> Vec<Measurement> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut contenders: Vec<&str> =
        contenders.iter().map(|contender| contender.name.as_str()).collect();
    random.shuffle(&mut contenders);
    let mut measurements = Vec::new();
    for round in 0..rounds {
        let mut workloads: Vec<&str> =
            workloads.iter().map(|workload| workload.name.as_str()).collect();
        random.shuffle(&mut workloads);
        for (n, workload) in workloads.into_iter().enumerate() {
            let mut contenders = contenders.clone();
            if !contenders.is_empty() {
                let by = (round as usize / 2 + n) % contenders.len();
                contenders.rotate_left(by);
            }
            if round % 2 == 1 {
                contenders.reverse();
            }
            let measurement = |contender: &str| Measurement {
                round,
                workload: workload.to_owned(),
                contender: contender.to_owned(),
            };
            measurements.extend(contenders.into_iter().map(measurement));
        }
    }
    measurements
}
