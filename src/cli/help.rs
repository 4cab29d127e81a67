//! The texts of `--help`, rendered from the descriptions that argh derives.

use std::fmt::Write;

use argh::{FlagInfo, FlagInfoKind};

use super::command::{Command, EXTRA_COMMANDS, LONE_OPTIONS, TOOLS};
use super::environment;
use super::options::OptionGroup;
use super::terminal::terminal_columns;
use crate::server::strategies;

/// Lines are wrapped at the terminal's width, but not wider than this: long lines are hard to read.
const WIDTH_MAX: usize = 100;
const INDENT: &str = "  ";

/// `miniweb --help`: all that concerns the default strategy, and the commands.
pub(super) fn overview() -> String {
    let mut help = Help::new();
    let default = strategies::DEFAULT.name;
    help.text("Serves a folder over HTTP.");
    help.heading("Usage");
    help.line("miniweb [<options>] [<ROOT>]");
    help.line("miniweb <command> [<options>] [<ROOT>]");
    help.heading("Examples");
    help.line("miniweb ./public                  serve a folder on http://127.0.0.1:7890/");
    help.line("miniweb ./public -p 80 --host ::  serve it to other machines, on port 80");
    for (arguments, effect) in TOOLS.iter().map(|tool| tool.example) {
        help.line(&format!("miniweb {arguments:<26}{effect}"));
    }
    help.heading("Arguments");
    help.entry("ROOT", Command::default().root_description());
    help.heading("Commands");
    help.text(&format!(
        "{INDENT}The default command is {default}. If ROOT has the name of a command, write it as \
         ./{default}."
    ));
    let commands = strategies::ALL.iter().map(|strategy| (strategy.name, strategy.summary()));
    for (name, summary) in commands.chain(TOOLS.iter().map(|tool| (tool.name, tool.summary))) {
        help.entry(name, summary);
    }
    for (name, description) in EXTRA_COMMANDS {
        help.entry(name, description);
    }
    let (own, common) = Command::default().groups_own_first();
    for group in common.iter().chain([&own]) {
        help.group(group);
    }
    help.heading("Other options");
    for (name, description) in LONE_OPTIONS {
        help.entry(name, description);
    }
    help.heading("Environment");
    help.text(&format!("{INDENT}{}", environment::DESCRIPTION));
    help.exit_statuses(Command::default());
    help.finish()
}

/// `miniweb <command> --help`: what the overview does not explain.
pub(super) fn of(command: Command) -> String {
    let mut help = Help::new();
    help.text(command.summary());
    help.heading("Usage");
    help.line(&format!("miniweb {} [<options>] [<ROOT>]", command.name()));
    help.heading("Arguments");
    help.entry("ROOT", command.root_description());
    let (own, common) = command.groups_own_first();
    help.group(&own);
    if let Command::Tool(tool) = command {
        for (option, values) in (tool.values)() {
            help.heading(&format!("Values of {option}"));
            help.text(&format!("{INDENT}{values}"));
        }
    }
    if !common.is_empty() {
        help.heading("Options of every strategy");
        help.text(&format!("{INDENT}miniweb --help describes them:"));
        let names = common.iter().flat_map(OptionGroup::visible).map(|flag| flag.long);
        help.text(&format!("{INDENT}{}", names.collect::<Vec<_>>().join(", ")));
    }
    help.exit_statuses(command);
    help.finish()
}

/// A text that grows line by line.
struct Help {
    text: String,
    width: usize,
}

impl Help {
    fn new() -> Help {
        Help { text: String::new(), width: terminal_columns(WIDTH_MAX) }
    }

    fn heading(&mut self, title: &str) {
        self.line_break();
        self.push(&format!("{title}:"));
    }

    fn line(&mut self, line: &str) {
        self.push(&format!("{INDENT}{line}"));
    }

    /// A paragraph, whose lines are all indented like the first.
    fn text(&mut self, text: &str) {
        let indent = &text[..text.len() - text.trim_start().len()];
        let options = wrapping(self.width).initial_indent(indent).subsequent_indent(indent);
        let wrapped = textwrap::fill(text.trim_start(), options);
        self.push(&wrapped);
    }

    fn group(&mut self, group: &OptionGroup) {
        if group.visible().next().is_some() {
            self.heading(&group.title);
        }
        group.visible().for_each(|flag| self.option(flag));
    }

    fn option(&mut self, flag: &FlagInfo<'_>) {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let value = match flag.kind {
            FlagInfoKind::Switch => String::new(),
            FlagInfoKind::Option { arg_name } => format!(" <{arg_name}>"),
        };
        self.entry(&format!("{short}{}{value}", flag.long), flag.description);
    }

    fn exit_statuses(&mut self, command: Command) {
        self.heading("Exit status");
        for (status, meaning) in command.exit_statuses() {
            self.entry(status, meaning);
        }
    }

    /// A name, and its description in a column of its own.
    fn entry(&mut self, name: &str, description: &str) {
        const COLUMN: usize = 26;
        let column = " ".repeat(COLUMN);
        let options = wrapping(self.width).initial_indent(&column).subsequent_indent(&column);
        let wrapped = textwrap::fill(description, options);
        let name = format!("{INDENT}{name}");
        match name.chars().count() + 2 <= COLUMN {
            true => self.push(&format!("{name:COLUMN$}{}", &wrapped[COLUMN..])),
            false => self.push(&format!("{name}\n{wrapped}")),
        }
    }

    fn line_break(&mut self) {
        self.text.push('\n');
    }

    fn push(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn finish(self) -> String {
        self.text
    }
}

/// Lines break at spaces only: an option or a name with a hyphen stays whole.
fn wrapping<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width).word_splitter(textwrap::WordSplitter::NoHyphenation)
}
