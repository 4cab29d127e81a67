//! The command line → [`Settings`]. Everything is checked here, once.
//!
//! argh does the parsing. What it lacks is added around it: `--opt=value`, `-h` on every command, exit
//! status 2 for a usage error with one clear line, and output to a closed pipe.

mod compare;
mod strategies;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;

use argh::FromArgs;

use crate::compare::run::Request;
use crate::format::counted;
use crate::server::{Model, Privileges, Settings, Strategy};
pub use compare::ReportOptions;
use strategies::{Blocking, Mio, PollList};

/// Puts a folder on the web, under one of three I/O strategies. In earnest: mio.
#[derive(FromArgs, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name} mio                            the sample site on http://127.0.0.1:7890/",
    example = "{command_name} mio ./public --port 8080       a folder of yours",
    example = "{command_name} blocking --model process       a process for each connection",
    example = "{command_name} poll-list --trace              what the loop does, step by step",
    note = "{command_name} <command> --help shows the options, which are the same for all but a few."
)]
struct Arguments {
    /// print the version and exit
    #[argh(switch)]
    version: bool,

    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
enum Command {
    Mio(Mio),
    PollList(PollList),
    Blocking(Blocking),
    Compare(compare::Compare),
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a server.
    Serve(Box<Settings>, Served),
    /// Measure.
    Compare(Box<Request>, ReportOptions),
    /// Be the floor of a comparison: a folder, and the files in it that are asked for.
    Floor(PathBuf, Vec<PathBuf>),
    /// Print this and exit 0.
    Print(String),
}

/// What is served, in words for the first line of the output.
#[derive(Debug)]
pub struct Served(pub String);

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// It is right, but what it names can't be had: exit 1.
    Missing(String),
}

const COMMANDS: [&str; 4] = ["mio", "poll-list", "blocking", "compare"];

/// The options that are there or not. With a value they would be taken for two arguments.
const SWITCHES: [&str; 6] = ["--confine", "--cors", "--help", "--list", "--trace", "--version"];

/// Reads the arguments behind the program's name.
///
/// # Errors
/// One line for the user.
pub fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Invocation, Failure> {
    let mut arguments = arguments.peekable();
    let command =
        arguments.peek().and_then(|word| word.to_str()).filter(|word| COMMANDS.contains(word));
    // The options are those of the command, and in its help.
    let help =
        command.map_or("miniweb --help".to_owned(), |command| format!("miniweb {command} --help"));
    read(arguments).map_err(|failure| match failure {
        Failure::Usage(message) => Failure::Usage(format!("{message} (see {help})")),
        missing => missing,
    })
}

fn read(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Invocation, Failure> {
    let mut words = Vec::new();
    for argument in arguments {
        let word = argument
            .into_string()
            .map_err(|word| Failure::Usage(format!("the argument {word:?} is not UTF-8")))?;
        match word.split_once('=') {
            Some((name, _)) if SWITCHES.contains(&name) => {
                return Err(Failure::Usage(format!("{name} takes no value")));
            }
            Some((name, value)) if name.starts_with("--") && !words.iter().any(|w| w == "--") => {
                words.extend([name.to_owned(), value.to_owned()]);
            }
            _ => words.push(word),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Only a comparison starts it, so it is in no help.
    if let ["floor", root, paths @ ..] = &words[..] {
        return Ok(Invocation::Floor(root.into(), paths.iter().map(PathBuf::from).collect()));
    }
    let arguments = match Arguments::from_args(&["miniweb"], &words) {
        Ok(arguments) => arguments,
        Err(exit) if exit.status.is_ok() => return Ok(Invocation::Print(exit.output)),
        Err(exit) => return Err(Failure::Usage(one_line(&exit.output))),
    };
    if arguments.version {
        return Ok(Invocation::Print(
            concat!("miniweb ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        ));
    }
    let (settings, served) = match arguments.command {
        None => {
            return Err(Failure::Usage(
                "which strategy? mio, poll-list or blocking; or compare".to_owned(),
            ));
        }
        Some(Command::Compare(compare)) => {
            let (request, options) =
                compare.into_request(format!("miniweb {}", words.join(" ")))?;
            return Ok(Invocation::Compare(Box::new(request), options));
        }
        Some(Command::Mio(mio)) => mio.settings()?,
        Some(Command::PollList(list)) => list.settings()?,
        Some(Command::Blocking(blocking)) => blocking.settings()?,
    };
    Ok(Invocation::Serve(Box::new(settings), served))
}

/// argh's message without its advice, on one line.
fn one_line(message: &str) -> String {
    let lines =
        message.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Run "));
    let line = lines.collect::<Vec<_>>().join(" ");
    // "Error parsing option '--port' with value 'abc': why"
    let option_error = || {
        let (option, rest) =
            line.strip_prefix("Error parsing option '")?.split_once("' with value '")?;
        let (value, why) = rest.split_once("': ")?;
        Some(format!("{option} {value}: {why}"))
    };
    option_error().unwrap_or(line)
}

/// How a person opens what listens at `address`.
pub fn url(address: SocketAddr) -> String {
    // Nobody can open 0.0.0.0 or :: in every browser, and everybody can open this.
    match address {
        address if address.ip().is_unspecified() => format!("http://localhost:{}/", address.port()),
        address => format!("http://{address}/"),
    }
}

/// The way of waiting and what was given up, in words.
pub fn describe(strategy: Strategy, privileges: &Privileges) -> String {
    let mut words = describe_strategy(strategy);
    if let Some(user) = &privileges.user {
        words.push_str(&format!("; as {}", user.name));
    }
    if privileges.confine {
        words.push_str("; confined to it");
    }
    words
}

fn describe_strategy(strategy: Strategy) -> String {
    match strategy {
        Strategy::Mio { workers } => format!("mio, {}", counted(workers.get(), "worker")),
        Strategy::PollList { pause } if pause.is_zero() => "poll-list, never resting".to_owned(),
        Strategy::PollList { pause } => format!("poll-list, resting for {} µs", pause.as_micros()),
        Strategy::Blocking(Model::Iterative) => "blocking, one connection at a time".to_owned(),
        Strategy::Blocking(Model::Process) => "blocking, a process a connection".to_owned(),
        Strategy::Blocking(Model::Thread) => "blocking, a thread a connection".to_owned(),
        Strategy::Blocking(Model::Pool(threads)) => {
            format!("blocking, a pool of {}", counted(threads, "thread"))
        }
    }
}
