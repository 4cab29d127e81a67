//! The order of the measurements.
//!
//! A machine drifts: it warms up, another virtual machine becomes busy. So the contenders alternate
//! within each round instead of running one after the other, and no contender always runs first.
//! The first order is drawn from the seed; each later group starts one contender further in it, and
//! every second round runs it backwards.
//!
//! A workload with fewer rounds than another has them spread over the whole time: with half as
//! many, it is measured in every second pass.

use crate::compare::results::{ContenderInfo, Measurement, Workload};

/// How many rounds each workload has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) of_loads: u32,
    /// Of the points of sweeps.
    pub(crate) of_points: u32,
}

/// All measurements of all rounds. The same seed gives the same order.
pub(crate) fn measurements(
    contenders: &[&ContenderInfo],
    workloads: &[&Workload],
    rounds: Rounds,
    seed: u64,
) -> Vec<Measurement> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut contenders: Vec<&str> =
        contenders.iter().map(|contender| contender.name.as_str()).collect();
    random.shuffle(&mut contenders);
    let (mut loads, mut points): (Vec<&Workload>, Vec<&Workload>) =
        workloads.iter().partition(|workload| workload.sweep.is_none());
    let passes = rounds.of_loads.max(rounds.of_points);
    let mut measurements = Vec::new();
    for pass in 0..passes {
        for (workloads, rounds) in [(&mut loads, rounds.of_loads), (&mut points, rounds.of_points)]
        {
            let Some(round) = round_in(pass, passes, rounds) else { continue };
            random.shuffle(workloads);
            for (n, workload) in workloads.iter().enumerate() {
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
                    workload: workload.name.clone(),
                    contender: contender.to_owned(),
                };
                measurements.extend(contenders.into_iter().map(measurement));
            }
        }
    }
    measurements
}

/// The number of the round that begins in this pass, of `rounds` in all passes.
fn round_in(pass: u32, passes: u32, rounds: u32) -> Option<u32> {
    let begun = |pass: u32| pass * rounds / passes;
    (begun(pass + 1) > begun(pass)).then(|| begun(pass))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn points_of_sweeps_have_their_own_rounds_in_alternating_order() {
        let results = synthetic::results(1);
        let (contenders, workloads): (Vec<_>, Vec<_>) =
            (results.contenders.iter().collect(), results.workloads.iter().collect());
        let rounds = Rounds { of_loads: 12, of_points: 5 };
        let order = measurements(&contenders, &workloads, rounds, 7);
        for workload in &results.workloads {
            let of_it: Vec<_> = order.iter().filter(|m| m.workload == workload.name).collect();
            let rounds: Vec<_> = of_it.chunk_by(|a, b| a.round == b.round).collect();
            let expected = if workload.sweep.is_none() { 12 } else { 5 };
            assert_eq!(rounds.len(), expected, "{}", workload.name);
            for (number, round) in rounds.iter().enumerate() {
                assert_eq!(round[0].round as usize, number);
                assert_eq!(round.len(), contenders.len());
            }
            let names = |number: usize| -> Vec<&str> {
                rounds[number].iter().map(|measurement| measurement.contender.as_str()).collect()
            };
            let (forwards, mut backwards) = (names(0), names(1));
            backwards.reverse();
            // It also begins with another contender.
            let around = [backwards.clone(), backwards].concat();
            assert!(around.windows(forwards.len()).any(|order| order == forwards));
        }
        assert_eq!(order.len(), (10 * 12 + 7 * 5) * contenders.len());
    }
}
