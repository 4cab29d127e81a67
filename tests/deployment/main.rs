//! Runs the real programs with the example configurations in docs/deploy. If a program is not
//! installed, its test says that it is skipped.
//!
//! Each test replaces only addresses and paths in the documented file.

mod haproxy;
mod nginx;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
