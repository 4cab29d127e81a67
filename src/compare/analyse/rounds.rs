//! Which rounds count: those without a burst of steal.
//!
//! A round of a workload is left out, for all contenders alike, if any of its measurements lost
//! more than [`STEAL_SHARE_MAX`] to the hypervisor. The rule was fixed before any result, and looks
//! at none: it knows the steal of the measurements and nothing else. And it treats all contenders
//! of a round alike. So if two contenders are equally fast but for a factor, either could have had
//! the noise of the other in the rounds that remain, as in all; the level of the intervals of
//! `statistics` holds, for as many rounds as remain (the simulation in the tests shows it).
//!
//! The alternative, to repeat a measurement, would keep more rounds, but the repetition would be
//! made at another time than those that it is compared with.
//!
//! Every report passes its results through [`quiet`] first. The results themselves keep all rounds.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::compare::results::{Results, Round, Workload};

/// Twice the steal that a cell may have at the median, see `checks`: a smaller burst in single
/// rounds widens an interval and is no reason to lose the round for all.
pub const STEAL_SHARE_MAX: f64 = 0.1;
/// Steal is counted in ticks of 10 ms. One tick less may have been stolen than was counted, which
/// is an eighth of the shortest window on two cores.
const TICK_US: f64 = 10_000.0;

/// The rounds of one workload that do not count.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut<'a> {
    pub workload: &'a Workload,
    /// Their numbers.
    pub rounds: BTreeSet<u32>,
    /// How many rounds were measured.
    pub measured: usize,
}

/// The results with the rounds that count.
pub fn quiet(results: &Results) -> Cow<'_, Results> {
    let left_out = left_out(results);
    if left_out.is_empty() {
        return Cow::Borrowed(results);
    }
    let mut quiet = results.clone();
    for cell in &mut quiet.cells {
        let of_workload = left_out.iter().find(|left_out| left_out.workload.name == cell.workload);
        if let Some(LeftOut { rounds, .. }) = of_workload {
            cell.rounds.retain(|round| !rounds.contains(&round.number));
        }
    }
    Cow::Owned(quiet)
}

/// The rounds that do not count, for the workloads that have any.
pub fn left_out<'a>(results: &'a Results) -> Vec<LeftOut<'a>> {
    let cores = f64::from(results.environment.cores.max(1));
    let of_workload = |workload: &'a Workload| {
        let cells = results.cells.iter().filter(|cell| cell.workload == workload.name);
        let rounds = cells.flat_map(|cell| &cell.rounds);
        let measured: BTreeSet<u32> = rounds.clone().map(|round| round.number).collect();
        let noisy = rounds.filter(|round| has_burst(round, cores));
        let rounds: BTreeSet<u32> = noisy.map(|round| round.number).collect();
        (!rounds.is_empty()).then_some(LeftOut { workload, rounds, measured: measured.len() })
    };
    results.workloads.iter().filter_map(of_workload).collect()
}

fn has_burst(round: &Round, cores: f64) -> bool {
    let tick_share = TICK_US / (round.duration_us.max(1) as f64 * cores);
    round.noise.steal_share.is_some_and(|share| share - tick_share > STEAL_SHARE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::analyse::metric::Metric;
    use crate::compare::analyse::statistics::ratio;
    use crate::compare::results::Cpu;
    use crate::compare::synthetic;

    #[test]
    fn a_burst_in_one_measurement_leaves_out_its_round_for_all() {
        let mut results = synthetic::results(2);
        assert!(matches!(quiet(&results), Cow::Borrowed(_)));
        let name = results.workloads[0].name.clone();
        let cells = results.cells.iter_mut();
        let mut cells = cells.filter(|cell| cell.workload == name && cell.contender == "gamma");
        let cell = cells.next().expect("synthetic results contain it");
        cell.rounds[3].noise.steal_share = Some(0.2);
        let left_out = left_out(&results);
        assert_eq!(left_out.len(), 1);
        assert_eq!((&left_out[0].rounds, left_out[0].measured), (&BTreeSet::from([3]), 6));
        let quiet = quiet(&results);
        for cell in &quiet.cells {
            let expected = if cell.workload == name { 5 } else { 6 };
            assert_eq!(cell.rounds.len(), expected, "{} {}", cell.workload, cell.contender);
            assert!(cell.workload != name || cell.round(3).is_none());
        }
        assert_eq!(super::left_out(&quiet), [], "it is done once");
    }

    #[test]
    fn a_single_tick_is_no_burst() {
        let round = |duration_ms: u64, ticks: f64| {
            let duration_us = duration_ms * 1000;
            let mut round = Round { duration_us, ..Round::default() };
            round.noise.steal_share = Some(ticks * TICK_US / (duration_us as f64 * 2.0));
            round
        };
        assert!(!has_burst(&round(40, 1.0), 2.0));
        assert!(has_burst(&round(40, 2.0), 2.0));
        assert!(!has_burst(&round(1000, 21.0), 2.0) && has_burst(&round(1000, 22.0), 2.0));
        assert!(!has_burst(&Round::default(), 2.0), "it was not measured");
    }

    /// A run in which `alpha` costs 1.3 times as much as `beta`. A tenth of the measurements has a
    /// burst that makes it 1.5 times as expensive, and of `alpha` a fifth, because it uses more CPU
    /// time and the hypervisor interrupts it more often. Of the bursts, nine tenths are seen.
    fn run(random: &mut fastrand::Rng, base: &Results) -> Results {
        let mut results = base.clone();
        for cell in &mut results.cells {
            let (factor, bursts) = if cell.contender == "alpha" { (1.3, 0.2) } else { (1.0, 0.1) };
            for round in &mut cell.rounds {
                let has_burst = random.f64() < bursts;
                let is_seen = has_burst && random.f64() < 0.9;
                let noise = 1.0 + 0.04 * random.f64();
                let cost = factor * noise * if has_burst { 1.5 } else { 1.0 };
                round.cpu = Some(Cpu { user_us: (1e6 * cost) as u64, system_us: 0 });
                round.noise.steal_share = Some(if is_seen { 0.3 } else { 0.0 });
            }
        }
        results
    }

    /// With a tolerance of three standard errors.
    #[test]
    fn the_level_of_intervals_holds_for_the_rounds_that_remain() {
        const RUNS: u32 = 1500;
        let mut base = synthetic::results(2);
        base.workloads.truncate(1);
        base.cells.retain(|cell| cell.workload == base.workloads[0].name);
        for cell in &mut base.cells {
            let round = Round { requests: 1000, duration_us: 500_000, ..Round::default() };
            cell.rounds = (0..16).map(|number| Round { number, ..round.clone() }).collect();
        }
        // `delta` has as many bursts as `gamma`, and `alpha` has twice as many.
        for (pair, factor) in [(["delta", "gamma"], 1.0), (["alpha", "beta"], 1.3)] {
            let mut random = fastrand::Rng::with_seed(3);
            let (mut missed, mut nominal, mut kept) = (0, 0.0, 0);
            for _ in 0..RUNS {
                let results = run(&mut random, &base);
                let quiet = quiet(&results);
                let [a, b] = pair
                    .map(|name| quiet.cell(&base.workloads[0].name, name).expect("it has a cell"));
                let Some(estimate) = ratio(Metric::CpuPerRequest, a, b) else { continue };
                missed += u32::from(!(estimate.low..=estimate.high).contains(&factor));
                nominal += 1.0 - estimate.level;
                kept += estimate.rounds;
            }
            let expected = nominal / f64::from(RUNS);
            let share = f64::from(missed) / f64::from(RUNS);
            let tolerance = 3.0 * (expected * (1.0 - expected) / f64::from(RUNS)).sqrt();
            let kept = kept as f64 / f64::from(RUNS);
            println!("{pair:?}: {share:.3} missed of {expected:.3} nominal, {kept:.1} rounds kept");
            assert!(share <= expected + tolerance, "{pair:?}: {share} missed of {expected}");
        }
    }
}
