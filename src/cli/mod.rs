//! The command line, parsed once into typed settings.
//!
//! argh structs describe the options and convert their values. `arguments.rs` checks the command line
//! against that description first, because argh has no `--option=value`, takes no path that is not
//! UTF-8, and reports errors as English text. The commands of the strategies come from the registry.

mod arguments;
mod compare;
mod help;
mod serve;
mod values;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use argh::{ArgsInfo, CommandInfoWithArgs};

use crate::compare::run::Request;
use crate::server::Settings;
use crate::server::strategies::{self, Strategy};
use arguments::{CommandLine, printable};
pub use compare::ReportOptions;
pub use serve::Banner;

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

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit status 2.
    Usage(String),
    /// The command line is right, but what it names is not available: exit status 1.
    Unavailable(String),
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
    command.parse(arguments).map_err(|failure| match failure {
        Failure::Usage(message) => {
            Failure::Usage(format!("{message} (see miniweb {} --help)", command.name()))
        }
        unavailable => unavailable,
    })
}

/// A command with options.
#[derive(Clone, Copy, Debug)]
enum Command {
    Serve(&'static Strategy),
    Compare,
}

impl Command {
    fn named(name: &OsString) -> Result<Command, Failure> {
        let names = strategies::ALL.iter().map(|strategy| strategy.name).chain(["compare"]);
        let strategy = strategies::ALL.iter().find(|strategy| name == strategy.name);
        match strategy {
            Some(strategy) => Ok(Command::Serve(strategy)),
            None if name == "compare" => Ok(Command::Compare),
            None => {
                let expected = names.collect::<Vec<_>>().join(", ");
                let given = match name.is_empty() {
                    true => "missing command".to_owned(),
                    false => format!("unknown command '{}'", printable(&name.to_string_lossy())),
                };
                let message = format!("{given}: expected one of {expected} (see miniweb --help)");
                Err(Failure::Usage(message))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Command::Serve(strategy) => strategy.name,
            Command::Compare => "compare",
        }
    }

    fn parse(self, words: impl Iterator<Item = OsString>) -> Result<Invocation, Failure> {
        let descriptions = self.descriptions();
        let command_line = CommandLine::parse(words, &descriptions).map_err(Failure::Usage)?;
        match (self, command_line) {
            (_, CommandLine::Help) => Ok(Invocation::Print(help::of(self))),
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

    /// The groups of options that the command takes, its own first.
    fn descriptions(self) -> Vec<CommandInfoWithArgs> {
        match self {
            Command::Serve(strategy) => {
                vec![(strategy.options)(), serve::CommonOptions::get_args_info()]
            }
            Command::Compare => vec![compare::Compare::get_args_info()],
        }
    }
}

/// The URL at which a person on this machine opens what listens at `address`.
pub fn url(address: SocketAddr) -> String {
    // Not every browser opens 0.0.0.0 or [::].
    match address {
        address if address.ip().is_unspecified() => format!("http://localhost:{}/", address.port()),
        address => format!("http://{address}/"),
    }
}
