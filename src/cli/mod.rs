//! The command line, parsed once into typed settings.
//!
//! argh structs describe the options and convert their values. `arguments.rs` checks the command
//! line against that description first, because argh has no `--option=value`, takes no path that is
//! not UTF-8, and reports errors as English text. The commands of the strategies come from the
//! registry.

mod arguments;
mod auth;
mod command;
mod compare;
mod failure;
mod help;
mod serve;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::compare::run::Request;
use crate::server::Settings;
use arguments::CommandLine;
use command::Command;
pub use compare::ReportOptions;
pub use failure::Failure;
pub use serve::{Banner, url};

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a server.
    Serve(Box<Settings>, Banner),
    /// Run a comparison.
    Compare(Box<Request>, ReportOptions),
    /// Run the floor of a comparison: a directory and the paths in it that will be requested.
    Floor(PathBuf, Vec<PathBuf>),
    /// Print this text and exit.
    Print(String),
}

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// One line for the user.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, Failure> {
    let mut arguments = arguments.collect::<Vec<_>>().into_iter();
    let first = arguments.next().unwrap_or_default();
    match first.to_str() {
        Some("-h" | "--help") => return Ok(Invocation::Print(help::overview())),
        Some("--version") => {
            return Ok(Invocation::Print(format!("miniweb {}\n", env!("CARGO_PKG_VERSION"))));
        }
        // Only a comparison starts it, so no help mentions it.
        Some("floor") => {
            let mut paths = arguments.map(PathBuf::from);
            let root = paths.next().unwrap_or_default();
            return Ok(Invocation::Floor(root, paths.collect()));
        }
        _ => {}
    }
    let command = Command::named(&first)?;
    parse_command(command, arguments).map_err(|failure| match failure {
        Failure::Usage(message) => {
            Failure::Usage(format!("{message} (see miniweb {} --help)", command.name()))
        }
        unavailable => unavailable,
    })
}

fn parse_command(
    command: Command,
    words: impl Iterator<Item = OsString>,
) -> Result<Invocation, Failure> {
    let descriptions = command.descriptions();
    let command_line = CommandLine::parse(words, &descriptions).map_err(Failure::Usage)?;
    match (command, command_line) {
        (_, CommandLine::Help) => Ok(Invocation::Print(help::of(command))),
        (Command::Compare, CommandLine::Run(arguments)) => {
            let (request, report) = compare::request(&arguments)?;
            Ok(Invocation::Compare(Box::new(request), report))
        }
        (Command::Serve(strategy), CommandLine::Run(arguments)) => {
            let (settings, banner) = serve::settings(strategy, &arguments)?;
            Ok(Invocation::Serve(Box::new(settings), banner))
        }
    }
}
