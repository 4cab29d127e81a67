//! `miniweb man`: the manual page in roff, from the same descriptions as the help.

use argh::{FlagInfo, FlagInfoKind};
use roff::{Inline, Roff, bold, italic, roman};

use super::command::{Command, EXTRA_COMMANDS, LONE_OPTIONS};
use super::environment;
use super::options::OptionGroup;

/// The page, for section 1 of the manual.
pub(super) fn page() -> String {
    let mut page = Roff::new();
    let version = format!("miniweb {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["MINIWEB", "1", "", &version, "User Commands"]);
    section(&mut page, "Name");
    page.text([roman("miniweb - serves a folder over HTTP")]);
    section(&mut page, "Synopsis");
    page.text([
        bold("miniweb"),
        roman(" ["),
        italic("OPTION"),
        roman("]... ["),
        italic("ROOT"),
        roman("]"),
    ]);
    page.control("br", []);
    page.text([
        bold("miniweb "),
        italic("COMMAND"),
        roman(" ["),
        italic("OPTION"),
        roman("]... ["),
        italic("ROOT"),
        roman("]"),
    ]);
    section(&mut page, "Description");
    let default = Command::default();
    page.text([
        roman("Serves ROOT: "),
        roman(default.root_description()),
        roman(". Without a command, "),
        bold(default.name()),
        roman(" serves. A path that is called like a command is written ./"),
        roman(default.name()),
        roman("."),
    ]);
    section(&mut page, "Commands");
    for command in Command::all() {
        entry(&mut page, vec![bold(command.name())], command.summary());
    }
    for (name, description) in EXTRA_COMMANDS {
        entry(&mut page, vec![bold(*name)], description);
    }
    section(&mut page, "Options");
    let (own, common) = default.groups_own_first();
    for group in common.iter().chain([&own]) {
        options(&mut page, group);
    }
    for command in Command::all().filter(|command| command.name() != default.name()) {
        let (own, _) = command.groups_own_first();
        if own.visible().next().is_some() {
            let title = format!("Options of {}", command.name());
            options(&mut page, &OptionGroup { title, ..own });
        }
    }
    page.control("SS", ["Other options"]);
    for (name, description) in LONE_OPTIONS {
        entry(&mut page, vec![bold(name)], description);
    }
    section(&mut page, "Environment");
    page.text([roman(environment::DESCRIPTION)]);
    section(&mut page, "Exit status");
    for (status, meaning) in default.exit_statuses() {
        entry(&mut page, vec![bold(*status)], meaning);
    }
    page.to_roff()
}

fn section(page: &mut Roff, title: &str) {
    page.control("SH", [title.to_uppercase().as_str()]);
}

fn options(page: &mut Roff, group: &OptionGroup) {
    page.control("SS", [group.title.as_str()]);
    for flag in group.visible() {
        entry(page, option(flag), flag.description);
    }
}

/// `-p, --port number`
fn option(flag: &FlagInfo<'_>) -> Vec<Inline> {
    let short = flag.short.map(|short| [bold(format!("-{short}")), roman(", ")]);
    let mut name: Vec<Inline> = short.into_iter().flatten().collect();
    name.push(bold(flag.long));
    if let FlagInfoKind::Option { arg_name } = flag.kind {
        name.extend([roman(" "), italic(arg_name)]);
    }
    name
}

fn entry(page: &mut Roff, name: Vec<Inline>, description: &str) {
    page.control("TP", []);
    page.text(name);
    page.text([roman(description)]);
}
