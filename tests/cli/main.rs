//! The command line: options, help, output, exit codes and signals of the binary.

mod authentication;
mod command;
mod default_command;
mod help;
mod log;
mod log_file;
mod opening;
mod serving;
mod shells;
mod shutdown;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tls;
mod tls_reload;
mod trace;
mod usage_errors;
