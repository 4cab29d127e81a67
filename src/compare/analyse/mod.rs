//! Analysis: metrics, confidence intervals, checks, verdicts and ranking.
//!
//! Everything here is computed from `Results`. The reports pass them through [`rounds::quiet`]
//! first, which decides which rounds count; the other modules take every round that they see.

pub mod axis;
pub mod checks;
pub mod crossover;
pub mod explanation;
pub mod headline;
pub mod metric;
pub mod ranking;
pub mod rounds;
pub mod side_by_side;
pub mod statistics;
pub mod timeline;
pub mod tls;
pub mod unpaired;
pub mod verdict;
