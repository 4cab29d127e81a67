//! The example configurations in docs/deploy, with the real programs. A test is skipped, and says
//! so, where its program is not installed.
//!
//! Each test takes the file as it is documented and replaces addresses and paths in it, nothing
//! else.

mod haproxy;
mod nginx;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod systemd;
