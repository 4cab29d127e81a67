//! In which order turns are taken.
//!
//! A machine drifts: it warms up, a neighbour wakes. So the arms take turns within each round, and no arm is
//! always first: each round begins one arm further in an order drawn from the seed, every second round backwards.

use crate::compare::results::{Arm, Turn, Workload};

/// All turns of all rounds.
pub(crate) fn turns(arms: &[&Arm], workloads: &[&Workload], rounds: u32, seed: u64) -> Vec<Turn> {
    let mut random = SplitMix(seed);
    let mut arms: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    random.shuffle(&mut arms);
    let mut turns = Vec::new();
    for round in 0..rounds {
        let mut workloads: Vec<&str> =
            workloads.iter().map(|workload| workload.name.as_str()).collect();
        random.shuffle(&mut workloads);
        for (n, workload) in workloads.into_iter().enumerate() {
            let mut arms = arms.clone();
            if !arms.is_empty() {
                let by = (round as usize / 2 + n) % arms.len();
                arms.rotate_left(by);
            }
            if round % 2 == 1 {
                arms.reverse();
            }
            let turn =
                |arm: &str| Turn { round, workload: workload.to_owned(), arm: arm.to_owned() };
            turns.extend(arms.into_iter().map(turn));
        }
    }
    turns
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
