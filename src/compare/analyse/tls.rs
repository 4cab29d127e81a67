//! What TLS adds to the CPU time per request of each strategy.
//!
//! A strategy with TLS is compared with the same one without it, under the same load and within
//! rounds. What is added is stated in microseconds and in percent; a difference is called one under
//! the conditions of `verdict`, and only if the interval in microseconds excludes 0 as well.
//!
//! Under a load that keeps its connections, handshakes lie before the measured window. So what TLS
//! adds there is the encryption of requests and responses. What it adds to a request on a new
//! connection beyond that is the handshake: this is how the word is used here, and it includes the
//! system calls and the memory that a session needs.

use crate::compare::analyse::headline::{in_order, load};
use crate::compare::analyse::metric::{Metric, time};
use crate::compare::analyse::statistics::{Estimate, differences, ratio};
use crate::compare::analyse::verdict::{LEVEL_MIN, Verdict, verdict};
use crate::compare::results::{
    Cell, ContenderInfo, ContenderKind, Pacing, Results, Workload, WorkloadKind,
};

const METRIC: Metric = Metric::CpuPerRequest;

/// A strategy with and without TLS.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TlsPair<'a> {
    pub encrypted: &'a ContenderInfo,
    pub plain: &'a ContenderInfo,
}

/// What TLS adds under one load.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsCost<'a> {
    pub workload: &'a Workload,
    pub pair: TlsPair<'a>,
    /// CPU time per request with TLS, less that without, in microseconds.
    pub added_us: Estimate,
    /// CPU time per request with TLS over that without.
    pub ratio: Estimate,
    /// The two are shown to differ.
    pub is_shown: bool,
}

/// Every strategy that takes part both with and without TLS, in the order of the reports.
pub fn tls_pairs(results: &Results) -> Vec<TlsPair<'_>> {
    let pair = |encrypted: &'_ ContenderInfo| {
        let plain = results.contender(encrypted.without_tls.as_ref()?)?;
        (encrypted.kind == ContenderKind::Strategy).then_some(plain)
    };
    let encrypted = results.contenders.iter();
    let pairs = encrypted.filter_map(|it| Some(TlsPair { encrypted: it, plain: pair(it)? }));
    let mut pairs: Vec<TlsPair<'_>> = pairs.collect();
    let place = |name: &str| results.contenders.iter().position(|other| other.name == name);
    pairs.sort_by_key(|pair| place(&pair.plain.name));
    pairs
}

/// Whether the same contender takes part without TLS, so that what TLS adds to it can be stated.
pub fn has_plain(results: &Results, contender: &ContenderInfo) -> bool {
    tls_pairs(results).iter().any(|pair| pair.encrypted.name == contender.name)
}

/// The loads, in the order of the reports, for which any cost is known.
pub fn tls_loads(results: &Results) -> Vec<&Workload> {
    let pairs = tls_pairs(results);
    let is_known = |load: &&Workload| pairs.iter().any(|pair| pair.cost(results, load).is_some());
    in_order(results).into_iter().filter(is_known).collect()
}

impl<'a> TlsPair<'a> {
    /// None if either of the two was not measured, or failed a check.
    pub fn cost(self, results: &'a Results, workload: &'a Workload) -> Option<TlsCost<'a>> {
        let [encrypted, plain] = self.cells(results, workload)?;
        let verdict = verdict(results, workload, METRIC, self.encrypted, self.plain);
        if verdict == Verdict::Unranked {
            return None;
        }
        let added_us = Estimate::of_differences(&differences(METRIC, encrypted, plain))?;
        let ratio = ratio(METRIC, encrypted, plain)?;
        let is_shown = matches!(verdict, Verdict::Differs(_))
            && added_us.excludes_zero()
            && (added_us.median > 0.0) == (ratio.median > 1.0);
        Some(TlsCost { workload, pair: self, added_us, ratio, is_shown })
    }

    fn cells(self, results: &'a Results, workload: &Workload) -> Option<[&'a Cell; 2]> {
        let [encrypted, plain] =
            [self.encrypted, self.plain].map(|it| results.cell(&workload.name, &it.name));
        Some([encrypted?, plain?])
    }

    /// What TLS adds to a request under `new` beyond what it adds under `kept`, round by round.
    /// None unless it is shown to be more.
    fn handshake_us(self, results: &Results, new: &Workload, kept: &Workload) -> Option<Estimate> {
        self.cost(results, new).filter(|cost| cost.is_shown)?;
        self.cost(results, kept)?;
        let [of_new, of_kept] = [self.cells(results, new)?, self.cells(results, kept)?];
        let added = |[encrypted, plain]: [&Cell; 2], number: u32| {
            Some(METRIC.of(encrypted.round(number)?)? - METRIC.of(plain.round(number)?)?)
        };
        let rounds = of_new[0].rounds.iter().map(|round| round.number);
        let handshakes = rounds
            .filter_map(|number| Some(added(of_new, number)? - added(of_kept, number)?))
            .collect::<Vec<f64>>();
        let estimate = Estimate::of_differences(&handshakes)?;
        (estimate.level >= LEVEL_MIN && estimate.low > 0.0).then_some(estimate)
    }
}

impl TlsCost<'_> {
    /// `+4.21 µs`
    pub fn added(&self) -> String {
        signed_time(self.added_us.median)
    }

    /// `+38 %`
    pub fn percent(&self) -> String {
        percent(self.ratio.median)
    }

    /// `+4.21 µs [+4.02 µs, +4.40 µs]`
    pub fn added_with_interval(&self) -> String {
        interval(&self.added_us, signed_time)
    }

    /// `+38 % [+36 %, +40 %]`
    pub fn percent_with_interval(&self) -> String {
        interval(&self.ratio, percent)
    }
}

/// For each strategy, what encryption costs and what the handshakes do, as far as it is shown.
pub fn tls_sentences(results: &Results) -> Vec<String> {
    let pairs = tls_pairs(results);
    pairs.into_iter().filter_map(|pair| sentence(results, pair)).collect()
}

/// Such as "mio: TLS adds 4.21 µs [4.02 µs, 4.40 µs] per request (+38 %) with 64 connections; a
/// full handshake costs 128 µs [120 µs, 133 µs]; a resumed handshake costs 74 µs [70 µs, 79 µs]."
fn sentence(results: &Results, pair: TlsPair<'_>) -> Option<String> {
    let loads = results.loads();
    let kept = loads.iter().find(|it| {
        it.kind == WorkloadKind::KeepAlive && it.pacing == Pacing::Closed && it.sweep.is_none()
    })?;
    let cost = pair.cost(results, kept)?;
    let place = load(kept);
    let encryption = match cost.is_shown {
        true => {
            let added = interval(&cost.added_us, unsigned_time);
            format!("TLS adds {added} per request ({}) with {place}", cost.percent())
        }
        false => {
            format!("no difference shown with {place}, {} per request", cost.added_with_interval())
        }
    };
    let handshake = |resumes: bool, what: &str| {
        let is_it = |it: &&&Workload| {
            it.kind == WorkloadKind::ConnectionPerRequest && it.resumes_sessions == resumes
        };
        let new = loads.iter().find(is_it)?;
        let estimate = pair.handshake_us(results, new, kept)?;
        Some(format!("a {what} handshake costs {}", interval(&estimate, unsigned_time)))
    };
    let handshakes = [handshake(false, "full"), handshake(true, "resumed")];
    let clauses = std::iter::once(encryption).chain(handshakes.into_iter().flatten());
    Some(format!("{}: {}.", pair.plain.name, clauses.collect::<Vec<_>>().join("; ")))
}

/// `12.3 µs [11.9 µs, 12.8 µs]`
fn interval(estimate: &Estimate, format: impl Fn(f64) -> String) -> String {
    let [median, low, high] = [estimate.median, estimate.low, estimate.high].map(format);
    format!("{median} [{low}, {high}]")
}

fn signed_time(us: f64) -> String {
    let sign = if us < 0.0 { "" } else { "+" };
    format!("{sign}{}", unsigned_time(us))
}

/// With a sign only if it is negative.
fn unsigned_time(us: f64) -> String {
    let sign = if us < 0.0 { "−" } else { "" };
    format!("{sign}{}", time(us.abs() * 1000.0))
}

/// The share that a ratio adds.
fn percent(ratio: f64) -> String {
    let percent = format!("{:+.0} %", (ratio - 1.0) * 100.0);
    percent.replace("-0 %", "+0 %").replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Cpu;
    use crate::compare::synthetic;

    fn set_cpu(results: &mut Results, contender: &str, workload: &str, us: &[f64]) {
        let mut cells = results.cells.iter_mut();
        let cell = cells.find(|it| it.contender == contender && it.workload == workload);
        let rounds = &mut cell.expect("synthetic results contain it").rounds;
        for (round, us) in rounds.iter_mut().zip(us.iter().cycle()) {
            let user_us = (us * round.requests as f64).round() as u64;
            round.cpu = Some(Cpu { user_us, system_us: 0 });
        }
    }

    /// With a drift that is the same for all contenders of a round, and larger than what TLS adds.
    fn results_with(kept: f64, new: f64, resumed: f64) -> Results {
        let mut results = synthetic::with_tls(3);
        let drift = [10.0, 14.0, 11.0, 19.0, 12.0, 16.0];
        for (workload, added) in
            [("keep-alive-1", kept), ("churn", new), ("churn-resumed", resumed)]
        {
            let with = drift.map(|base| base + added);
            set_cpu(&mut results, "alpha", workload, &drift);
            set_cpu(&mut results, "alpha again", workload, &drift);
            set_cpu(&mut results, "alpha+tls", workload, &with);
        }
        results
    }

    fn cost<'a>(results: &'a Results, workload: &str) -> TlsCost<'a> {
        let workload = results.workload(workload).expect("synthetic results contain it");
        tls_pairs(results)[0].cost(results, workload).expect("both were measured")
    }

    #[test]
    fn a_known_addition_is_found_whatever_the_machine_does() {
        let results = results_with(4.0, 104.0, 54.0);
        let cost = cost(&results, "keep-alive-1");
        assert!(cost.is_shown && cost.added() == "+4.00 µs", "{cost:?}");
        assert!((cost.added_us.high - cost.added_us.low).abs() < 0.01, "{cost:?}");
        assert!((1.2..1.4).contains(&cost.ratio.median), "{cost:?}");
        let sentences = tls_sentences(&results);
        assert!(sentences[0].starts_with("alpha: TLS adds 4.00 µs ["), "{sentences:?}");
        assert!(sentences[0].contains("; a full handshake costs 100 µs ["), "{sentences:?}");
        assert!(sentences[0].contains("; a resumed handshake costs 50.0 µs ["), "{sentences:?}");
    }

    #[test]
    fn what_is_not_shown_is_not_stated() {
        let results = results_with(0.0, 0.0, 30.0);
        assert!(!cost(&results, "keep-alive-1").is_shown);
        let sentence = &tls_sentences(&results)[0];
        assert!(sentence.starts_with("alpha: no difference shown with 1 connection"), "{sentence}");
        assert!(!sentence.contains("full handshake"), "{sentence}");
        assert!(sentence.contains("a resumed handshake costs 30.0 µs"), "{sentence}");
    }

    #[test]
    fn a_handshake_that_does_not_cost_more_than_encryption_has_no_cost() {
        let results = results_with(50.0, 40.0, 50.0);
        let sentence = &tls_sentences(&results)[0];
        assert!(!sentence.contains("handshake"), "{sentence}");
    }

    #[test]
    fn cells_that_fail_a_check_have_no_cost() {
        let mut results = results_with(4.0, 104.0, 54.0);
        for cell in results.cells.iter_mut().filter(|cell| cell.contender == "alpha+tls") {
            cell.rounds.iter_mut().for_each(|round| round.noise.steal_share = Some(0.06));
        }
        let pairs = tls_pairs(&results);
        assert!(pairs[0].encrypted.name == "alpha+tls" && pairs[0].plain.name == "alpha");
        let known = |pair: &TlsPair<'_>| {
            results.workloads.iter().any(|load| pair.cost(&results, load).is_some())
        };
        assert!(!known(&pairs[0]) && known(&pairs[1]));
        assert!(tls_sentences(&results).iter().all(|sentence| !sentence.starts_with("alpha:")));
        assert_eq!(tls_pairs(&synthetic::results(3)), []);
    }

    #[test]
    fn signs_are_those_of_the_differences() {
        assert_eq!([signed_time(4.21), signed_time(-0.3)], ["+4.21 µs", "−300 ns"]);
        assert_eq!([1.384, 0.96, 0.999, 4.1].map(percent), ["+38 %", "−4 %", "+0 %", "+310 %"]);
    }
}
