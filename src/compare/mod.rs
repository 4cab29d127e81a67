//! `miniweb compare`: measures what each I/O strategy costs under the same load.
//!
//! The modules, in the order in which data flows through them:
//!
//! | module | responsibility |
//! |---|---|
//! | `contender`, `workloads`, `sweep`, `test_site` | the servers, the loads, and the files that are served |
//! | `foreign` | what a foreign server has to fulfil to take part |
//! | [`request`], `plan`, `order`, `budget` | what is measured, in which order, and how long each may take |
//! | [`measure`] | one measurement: start a server, load it, read its counters |
//! | [`run`] | the whole comparison: takes every measurement and stores what it returns |
//! | [`results`], [`timeline`] | the measured data; everything below reads it and nothing else |
//! | [`analyse`] | metrics, confidence intervals, checks, verdicts, ranking |
//! | [`report`] | terminal, HTML and JSON output |
//! | [`baselines`] | runs that were saved under a name |
//!
//! Invariants:
//! - Measuring and reporting share [`results::Results`] and nothing else. A report reads no clock
//!   and opens no socket, so every report can be made again from saved results.
//! - Derived figures are never stored. Each report computes them from the rounds with the same
//!   code, so two reports cannot disagree.
//! - Dependencies point one way: `report` → `analyse` → `results`, and `run` → `measure` →
//!   `results`.

pub mod analyse;
pub mod baselines;
mod budget;
mod contender;
mod foreign;
pub mod measure;
mod order;
mod plan;
pub mod report;
pub mod request;
pub mod results;
pub mod run;
mod sweep;
mod synthetic;
mod synthetic_timelines;
mod test_site;
pub mod timeline;
pub mod workloads;

pub use contender::Contender;
