//! In which order measurements are taken.
//!
//! A machine drifts: it warms up, a neighbour wakes. So the contenders take measurements within each round, and no contender is
//! always first: each round begins one contender further in an order drawn from the seed, every second round backwards.

use crate::compare::results::{ContenderInfo, Measurement, Workload};

/// All measurements of all rounds.
pub(crate) fn measurements(
    contenders: &[&ContenderInfo],
    workloads: &[&Workload],
    rounds: u32,
    seed: u64,
) -> Vec<Measurement> {
    let mut random = SplitMix(seed);
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

/// Steele, Lea and Flood's generator: eight lines, and the same everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
    }
}
