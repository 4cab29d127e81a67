//! The command line, parsed once into typed settings.
//!
//! argh structs describe the options and convert their values. `arguments.rs` checks the command
//! line against that description first, because argh has no `--option=value`, takes no path that is
//! not UTF-8, and reports errors as English text. The commands of the strategies come from the
//! registry.

mod arguments;
mod auth;
mod banner;
mod command;
#[cfg(feature = "compare")]
mod compare;
mod completions;
mod environment;
mod failure;
mod help;
mod invocation;
mod man_page;
mod options;
mod private_file;
mod qr_code;
#[cfg(feature = "compare")]
mod report_options;
mod serve;
mod suggestion;
mod terminal;
mod tls;
mod tool;
mod values;

use std::ffi::{OsStr, OsString};

use arguments::CommandLine;
pub use banner::{Banner, Running, url};
use command::Command;
pub use failure::Failure;
pub use invocation::Invocation;
#[cfg(feature = "compare")]
pub use report_options::{ReportFiles, ReportOptions, SavedRun};
pub use terminal::terminal_columns;

/// Parses the arguments that follow the program's name.
///
/// # Errors
/// One line for the user.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Invocation, Failure> {
    let words: Vec<OsString> = arguments.collect();
    let (first, following) = match words.split_first() {
        Some((first, following)) => (first.as_os_str(), following),
        None => (OsStr::new(""), &[][..]),
    };
    if let Some(command) = Command::named(first) {
        return parse_command(command, following, || help::of(command)).map_err(|failure| {
            match failure {
                Failure::Usage(message) => {
                    Failure::Usage(format!("{message} (see miniweb {} --help)", command.name()))
                }
                unavailable => unavailable,
            }
        });
    }
    match first.to_str() {
        Some("help") => return help(following),
        Some("completions") => return completions(following),
        Some("man") => return only(following, man_page::page()),
        Some("-h" | "--help") => return Ok(Invocation::Print(help::overview())),
        Some("-V" | "--version") => {
            return Ok(Invocation::Print(format!("miniweb {}\n", env!("CARGO_PKG_VERSION"))));
        }
        // Only a comparison starts it, so no help mentions it.
        #[cfg(feature = "compare")]
        Some("reference-loop") => {
            let mut paths = following.iter().map(std::path::PathBuf::from);
            let root = paths.next().unwrap_or_default();
            return Ok(Invocation::ReferenceLoop(root, paths.collect()));
        }
        _ => {}
    }
    if !first.is_empty() && !first.as_encoded_bytes().starts_with(b"-") {
        Command::refuse_unknown(first)?;
    }
    parse_command(Command::default(), &words, help::overview).map_err(|failure| match failure {
        Failure::Usage(message) => Failure::Usage(format!("{message} (see miniweb --help)")),
        unavailable => unavailable,
    })
}

/// `miniweb help [COMMAND]`
fn help(words: &[OsString]) -> Result<Invocation, Failure> {
    match words {
        [] => Ok(Invocation::Print(help::overview())),
        [name] => match Command::named(name) {
            Some(command) => Ok(Invocation::Print(help::of(command))),
            None => Err(Command::unknown(name)),
        },
        [_, surplus, ..] => Err(Failure::Usage(format!(
            "unexpected argument '{}': expected at most one command (see miniweb --help)",
            surplus.to_string_lossy()
        ))),
    }
}

/// `miniweb completions SHELL`
fn completions(words: &[OsString]) -> Result<Invocation, Failure> {
    let (shell, surplus) = match words.split_first() {
        Some((shell, surplus)) => (shell.to_string_lossy(), surplus),
        None => ("".into(), &[][..]),
    };
    only(surplus, completions::script(&shell).map_err(Failure::Usage)?)
}

/// Prints `text`, if nothing else was asked for.
fn only(words: &[OsString], text: String) -> Result<Invocation, Failure> {
    match words {
        [] => Ok(Invocation::Print(text)),
        [surplus, ..] => Err(Failure::Usage(format!(
            "unexpected argument '{}' (see miniweb --help)",
            surplus.to_string_lossy()
        ))),
    }
}

fn parse_command(
    command: Command,
    words: &[OsString],
    help: impl Fn() -> String,
) -> Result<Invocation, Failure> {
    let command_line = CommandLine::parse(words, &command.flags()).map_err(Failure::Usage)?;
    match (command, command_line) {
        (_, CommandLine::Help) => Ok(Invocation::Print(help())),
        (Command::Tool(tool), CommandLine::Run(arguments)) => (tool.parse)(&arguments),
        (Command::Serve(strategy), CommandLine::Run(mut arguments)) => {
            arguments.add_variables(&command.flags()).map_err(Failure::Usage)?;
            let (settings, banner) = serve::settings(strategy, &arguments)?;
            Ok(Invocation::Serve(Box::new(settings), banner))
        }
    }
}
