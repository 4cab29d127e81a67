//! The commands: one for each strategy of the registry, and `compare`.

use std::ffi::OsString;

use argh::{ArgsInfo, CommandInfoWithArgs};

use super::compare::Compare;
use super::failure::Failure;
use super::serve::CommonOptions;
use crate::server::strategies::{self, Strategy};

/// A command with options.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Serve(&'static Strategy),
    Compare,
}

impl Command {
    pub(super) fn named(name: &OsString) -> Result<Command, Failure> {
        let names = strategies::ALL.iter().map(|strategy| strategy.name).chain(["compare"]);
        let strategy = strategies::ALL.iter().find(|strategy| name == strategy.name);
        match strategy {
            Some(strategy) => Ok(Command::Serve(strategy)),
            None if name == "compare" => Ok(Command::Compare),
            None => {
                let expected = names.collect::<Vec<_>>().join(", ");
                let given = match name.is_empty() {
                    true => "missing command".to_owned(),
                    false => format!("unknown command '{}'", name.to_string_lossy()),
                };
                let message = format!("{given}: expected one of {expected} (see miniweb --help)");
                Err(Failure::Usage(message))
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Serve(strategy) => strategy.name,
            Command::Compare => "compare",
        }
    }

    /// The groups of options that the command takes, its own first.
    pub(super) fn descriptions(self) -> Vec<CommandInfoWithArgs> {
        match self {
            Command::Serve(strategy) => {
                vec![(strategy.options)(), CommonOptions::get_args_info()]
            }
            Command::Compare => vec![Compare::get_args_info()],
        }
    }
}
