//! The command line, the output and the signals: what a person or a script at a terminal sees.

mod command;
mod help;
mod log;
mod serving;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod usage_errors;
