//! Analysis: metrics, confidence intervals, checks, verdicts and ranking.
//!
//! Everything here is computed from `Results`.

pub mod checks;
pub mod headline;
pub mod metric;
pub mod ranking;
pub mod statistics;
pub mod verdict;
