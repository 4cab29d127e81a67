//! The texts of `--help`, rendered from the descriptions that argh derives.

use std::fmt::Write;

use argh::{FlagInfo, FlagInfoKind};

use super::command::Command;
use crate::compare::Contender;
use crate::server::strategies;

/// Lines are wrapped at the terminal's width, but not wider than this: long lines are hard to read.
const WIDTH_MAX: usize = 100;
const WIDTH_DEFAULT: usize = 80;
const INDENT: &str = "  ";

/// `miniweb --help`
pub(super) fn overview() -> String {
    let mut help = Help::new();
    let default = strategies::DEFAULT.name;
    help.text(&format!(
        "Serves a folder over HTTP, using one of several I/O strategies. Use {default} in production."
    ));
    help.heading("Usage");
    help.line("miniweb <command> [<options>] [<ROOT>]");
    help.heading("Commands");
    let commands = strategies::ALL.iter().map(|strategy| (strategy.name, strategy.summary()));
    for (name, summary) in commands.chain([("compare", Command::Compare.summary())]) {
        help.entry(name, summary);
    }
    help.heading("Options");
    help.entry("-h, --help", "print the options of a command, or this text");
    help.entry("--version", "print the version");
    help.heading("Examples");
    help.line(
        "miniweb mio                         serve the sample site on http://127.0.0.1:7890/",
    );
    help.line("miniweb mio ./public --port 8080    serve a folder");
    help.line("miniweb compare --quick             compare the strategies, in under a minute");
    help.finish()
}

/// `miniweb <command> --help`
pub(super) fn of(command: Command) -> String {
    let mut help = Help::new();
    help.text(command.summary());
    help.heading("Usage");
    help.line(&format!("miniweb {} [<options>] [<ROOT>]", command.name()));
    help.heading("Arguments");
    help.entry("ROOT", command.root_description());
    for (title, flags) in command.groups() {
        if !flags.is_empty() {
            help.heading(&title);
        }
        for flag in flags {
            help.option(flag);
        }
    }
    if let Command::Compare = command {
        let contenders = Contender::strategies(false).into_iter();
        let names = contenders.map(|contender| contender.info.name).collect::<Vec<_>>();
        help.heading("Strategies");
        help.entry("--strategies", &names.join(", "));
    }
    help.heading("Exit status");
    for (status, meaning) in command.exit_statuses() {
        help.entry(status, meaning);
    }
    help.finish()
}

impl Command {
    fn summary(self) -> &'static str {
        match self {
            Command::Serve(strategy) => strategy.summary(),
            Command::Compare => {
                "Measure what each strategy costs under the same load, with confidence intervals."
            }
        }
    }

    fn root_description(self) -> &'static str {
        match self {
            Command::Serve(_) => {
                "a folder, or a file that is the response to every path (default ./html if it exists, \
                 else the sample site)"
            }
            Command::Compare => {
                "a folder whose files are requested (default the sample site and one large file)"
            }
        }
    }

    /// The visible options in titled groups.
    fn groups(self) -> Vec<(String, Vec<&'static FlagInfo<'static>>)> {
        let visible = |flags: &'static [FlagInfo<'static>]| {
            flags.iter().filter(|flag| !flag.hidden && flag.long != "--help").collect::<Vec<_>>()
        };
        let flags = self.descriptions().into_iter().map(|description| visible(description.flags));
        let titles = match self {
            Command::Serve(strategy) => {
                vec![
                    format!("Options of {}", strategy.name),
                    "Options of every strategy".to_owned(),
                ]
            }
            Command::Compare => vec!["Options".to_owned()],
        };
        titles.into_iter().zip(flags).collect()
    }

    fn exit_statuses(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Command::Serve(_) => &[
                ("0", "a signal has shut the server down"),
                ("1", "the server could not start (address, file or user not available)"),
                ("2", "the command line is wrong"),
            ],
            Command::Compare => &[
                ("0", "results were produced"),
                ("1", "a report could not be written"),
                ("2", "the command line is wrong"),
                ("3", "no valid measurement was made"),
            ],
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

    fn text(&mut self, text: &str) {
        let wrapped = textwrap::fill(text, wrapping(self.width));
        self.push(&wrapped);
    }

    fn option(&mut self, flag: &FlagInfo<'_>) {
        match flag.kind {
            FlagInfoKind::Switch => self.entry(flag.long, flag.description),
            FlagInfoKind::Option { arg_name } => {
                self.entry(&format!("{} <{arg_name}>", flag.long), flag.description)
            }
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
