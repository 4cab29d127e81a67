//! The registry of I/O strategies.
//!
//! [`ALL`] is the only list of strategies. The command line and its help, `miniweb compare`, the
//! benches and the tests enumerate it; a test that applies to some strategies only selects them by
//! a property. CONTRIBUTING.md shows how to add one.

mod blocking;
mod mio;
mod poll;
mod poll_list;
mod strategy;

pub use strategy::{Comparison, Configured, ConfiguredStrategy, Setup, Strategy};

/// Every strategy, in the order in which help and reports list them.
pub static ALL: &[&Strategy] =
    &[&poll_list::STRATEGY, &poll::STRATEGY, &mio::STRATEGY, &blocking::STRATEGY];

/// The strategy for production.
pub static DEFAULT: &Strategy = &mio::STRATEGY;

/// Every set-up of every strategy.
pub fn setups() -> impl Iterator<Item = &'static Setup> {
    ALL.iter().flat_map(|strategy| strategy.setups)
}
