//! `miniweb compare`: what an I/O strategy costs, measured and told.
//!
//! What lives here, in the order of the data:
//!
//! | module | is |
//! |---|---|
//! | [`run`] | the turns: who takes which, and what is noted of it |
//! | `contender`, `workloads`, `order`, `site` | who takes part, under which loads, in which order, serving what |
//! | `budget` | for how long |
//! | [`mod@bench`] | one turn |
//! | `server`, `floor`, `cores`, `gate` | one arm at work; the bare loop; who has which core; equal answers first |
//! | [`lifeline`], `process`, `environment` | what the kernel knows of a server and of the machine |
//! | [`results`] | what was measured, as plain data; everything below reads it and nothing else |
//! | [`metric`] | the figures that follow from one round |
//! | [`statistics`] | how sure they are: medians and intervals over rounds |
//! | [`checks`] | what a measurement must pass before it is believed |
//! | [`verdict`] | what may be said of two arms |
//! | [`winners`] | who leads where, and where the lead changes |
//! | [`report`] | all ways to tell it: [`terminal`], [`html`] with its [`chart`]s, [`json`]; before it runs [`announce`] and while it does [`progress`] |
//!
//! # Laws
//! - Measuring and telling meet in [`results::Results`] only. What tells never measures, asks no clock and knows no
//!   socket, so every report can be made again from a file of results.
//! - A figure is never kept beside the rounds that it follows from: it is reckoned where it is told, so that no two
//!   reports can differ.

pub mod announce;
pub mod bench;
mod budget;
pub mod chart;
pub mod checks;
pub mod color;
mod contender;
mod cores;
mod environment;
mod floor;
mod gate;
pub mod html;
pub mod json;
pub mod lifeline;
pub mod metric;
mod order;
mod process;
pub mod progress;
pub mod report;
pub mod results;
pub mod run;
mod server;
mod site;
pub mod statistics;
pub mod svg;
mod synthetic;
pub mod terminal;
pub mod verdict;
pub mod winners;
pub mod workloads;

pub use contender::Contender;
pub use cores::Cores;
