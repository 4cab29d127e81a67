//! `miniweb compare`: what an I/O strategy costs, measured and told.
//!
//! What lives here, in the order of the data:
//!
//! | module | is |
//! |---|---|
//! | [`results`] | what was measured, as plain data; everything below reads it and nothing else |
//!
//! # Laws
//! - Measuring and telling meet in [`results::Results`] only. What tells never measures, asks no clock and knows no
//!   socket, so every report can be made again from a file of results.
//! - A figure is never kept beside the rounds that it follows from: it is reckoned where it is told, so that no two
//!   reports can differ.

mod contender;
mod cores;
mod environment;
mod floor;
mod gate;
mod order;
mod process;
pub mod results;
pub mod run;
mod server;
mod site;
mod workloads;

pub use contender::Contender;
