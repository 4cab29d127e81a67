//! The texts of `--help`, rendered from the descriptions that argh derives.

use std::fmt::Write;

use argh::{FlagInfo, FlagInfoKind};

use super::command::{Command, TOOLS};
use super::environment;
use super::options::OptionGroup;
use crate::server::strategies;

/// Lines are wrapped at the terminal's width, but not wider than this: long lines are hard to read.
const WIDTH_MAX: usize = 100;
const WIDTH_DEFAULT: usize = 80;
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
        "{INDENT}Without a command, {default} serves. A path that is called like a command is \
         written ./{default}."
    ));
    let commands = strategies::ALL.iter().map(|strategy| (strategy.name, strategy.summary()));
    for (name, summary) in commands.chain(TOOLS.iter().map(|tool| (tool.name, tool.summary))) {
        help.entry(name, summary);
    }
    help.entry("help <command>", "print the options of a command");
    let (own, common) = Command::default().groups_own_first();
    for group in common.iter().chain([&own]) {
        help.group(group);
    }
    help.heading("Other options");
    help.entry("-h, --help", "print this text");
    help.entry("-V, --version", "print the version");
    help.heading("Environment");
    help.text(&format!(
        "{INDENT}Each option can be set by a variable, and the command line wins: {} for --port, {} \
         for --list (1 or 0), {} for ROOT. An option that can be repeated takes one value on each \
         line.",
        "MINIWEB_PORT",
        "MINIWEB_LIST",
        environment::ROOT,
    ));
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
        let names = common.iter().flat_map(visible).map(|flag| flag.long);
        help.text(&format!("{INDENT}{}", names.collect::<Vec<_>>().join(", ")));
    }
    help.exit_statuses(command);
    help.finish()
}

/// The options of a group that the help shows.
fn visible(group: &OptionGroup) -> impl Iterator<Item = &'static FlagInfo<'static>> {
    group.description.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help")
}

impl Command {
    /// The options of the command alone, and those that all strategies take.
    fn groups_own_first(self) -> (OptionGroup, Vec<OptionGroup>) {
        let mut groups = self.groups();
        (groups.remove(0), groups)
    }

    fn summary(self) -> &'static str {
        match self {
            Command::Serve(strategy) => strategy.summary(),
            Command::Tool(tool) => tool.summary,
        }
    }

    fn root_description(self) -> &'static str {
        match self {
            Command::Serve(_) => {
                "a folder, or a file that is the response to every path (default ./html if it exists, \
                 else the sample site)"
            }
            Command::Tool(tool) => tool.root_description,
        }
    }

    fn exit_statuses(self) -> &'static [(&'static str, &'static str)] {
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

/// A text that grows line by line.
struct Help {
    text: String,
    width: usize,
}

impl Help {
    fn new() -> Help {
        Help { text: String::new(), width: terminal_width() }
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
        if visible(group).next().is_some() {
            self.heading(&group.title);
        }
        visible(group).for_each(|flag| self.option(flag));
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

fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns >= 40);
    columns.unwrap_or(WIDTH_DEFAULT).min(WIDTH_MAX)
}
