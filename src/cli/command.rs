//! The commands: one for each strategy of the registry, and the tools.
//!
//! A command line that begins with no command is that of the default strategy: `miniweb ./site`.

use std::ffi::OsStr;
use std::path::Path;

use argh::FlagInfo;

#[cfg(feature = "compare")]
use super::compare;
use super::failure::Failure;
use super::options::{CommonOptions, OptionGroup};
use super::suggestion::did_you_mean;
use super::tool::Tool;
use crate::server::strategies::{self, Strategy};

/// A command with options.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Serve(&'static Strategy),
    Tool(&'static Tool),
}

/// The tools of this build, in the order of the help.
pub(super) static TOOLS: &[&Tool] = &[
    #[cfg(feature = "compare")]
    &compare::COMMAND,
];

/// Options that stand alone, and what they do.
pub(super) const LONE_OPTIONS: [(&str, &str); 2] =
    [("-h, --help", "print a summary of the options"), ("-V, --version", "print the version")];

/// Commands without options, and what they do.
pub(super) const EXTRA_COMMANDS: &[(&str, &str)] = &[
    ("help", "print the options of a command: miniweb help blocking"),
    ("completions", "print a script for the completion of bash, zsh or fish"),
    ("man", "print the manual page"),
];

impl Command {
    /// The command of this name.
    pub(super) fn named(name: &OsStr) -> Option<Command> {
        let strategy = strategies::ALL.iter().find(|strategy| name == strategy.name);
        let tool = || TOOLS.iter().find(|tool| name == tool.name);
        strategy.map(|strategy| Command::Serve(strategy)).or_else(|| Some(Command::Tool(tool()?)))
    }

    /// The command that serves if none is named.
    pub(super) fn default() -> Command {
        Command::Serve(strategies::DEFAULT)
    }

    /// Every command with options, in the order of the help.
    pub(super) fn all() -> impl Iterator<Item = Command> {
        let tools = TOOLS.iter().map(|tool| Command::Tool(tool));
        strategies::ALL.iter().map(|strategy| Command::Serve(strategy)).chain(tools)
    }

    /// Every name.
    fn names() -> impl Iterator<Item = &'static str> {
        let extra = EXTRA_COMMANDS.iter().map(|(name, _)| *name);
        Command::all().map(Command::name).chain(extra)
    }

    /// Refuses the first word of a command line without a command if it was meant to be one: it is
    /// a bare name that no file has.
    ///
    /// # Errors
    /// `unknown command 'copmare' …`, or `flder: no such file or folder …`
    pub(super) fn refuse_unknown(word: &OsStr) -> Result<(), Failure> {
        let is_path = word.as_encoded_bytes().contains(&b'/') || Path::new(word).exists();
        let is_similar = did_you_mean(&word.to_string_lossy(), Command::names()).is_some();
        match is_path {
            true => Ok(()),
            false if is_similar => Err(Command::unknown(word)),
            // More likely the name of a folder.
            false => Err(Failure::Usage(format!(
                "{}: no such file or folder, and no command (see miniweb --help)",
                word.to_string_lossy()
            ))),
        }
    }

    /// The error for a name that is no command.
    pub(super) fn unknown(word: &OsStr) -> Failure {
        let word = word.to_string_lossy();
        let names = Command::names().collect::<Vec<_>>();
        let suggestion = did_you_mean(&word, names.iter().copied());
        let expected = suggestion.unwrap_or_else(|| {
            format!("expected a path that exists, or one of {}", names.join(", "))
        });
        Failure::Usage(format!("unknown command '{word}': {expected} (see miniweb --help)"))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Serve(strategy) => strategy.name,
            Command::Tool(tool) => tool.name,
        }
    }

    /// The options that the command takes, its own first.
    pub(super) fn groups(self) -> Vec<OptionGroup> {
        match self {
            Command::Serve(strategy) => {
                let own = OptionGroup {
                    title: format!("Options of {}", strategy.name),
                    description: (strategy.options)(),
                };
                [own].into_iter().chain(CommonOptions::groups()).collect()
            }
            Command::Tool(tool) => {
                vec![OptionGroup { title: "Options".to_owned(), description: (tool.options)() }]
            }
        }
    }

    /// The same without the groups.
    pub(super) fn flags(self) -> Vec<&'static FlagInfo<'static>> {
        self.groups().iter().flat_map(|group| group.description.flags).collect()
    }

    /// The options of the command alone, and those that all strategies take.
    pub(super) fn groups_own_first(self) -> (OptionGroup, Vec<OptionGroup>) {
        let mut groups = self.groups();
        (groups.remove(0), groups)
    }

    pub(super) fn summary(self) -> &'static str {
        match self {
            Command::Serve(strategy) => strategy.summary(),
            Command::Tool(tool) => tool.summary,
        }
    }

    pub(super) fn root_description(self) -> &'static str {
        match self {
            Command::Serve(_) => {
                "a folder, or a file that is the response to every path (default ./html if it exists, \
                 else the sample site)"
            }
            Command::Tool(tool) => tool.root_description,
        }
    }

    pub(super) fn exit_statuses(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Command::Serve(_) => &[
                ("0", "a signal has shut the server down"),
                ("1", "the server could not start (address, file or user not available)"),
                ("2", "the command line is wrong"),
            ],
            Command::Tool(tool) => tool.exit_statuses,
        }
    }
}
