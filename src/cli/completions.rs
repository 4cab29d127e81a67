//! `miniweb completions bash|zsh|fish`

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, SubCommandInfo};
use argh_complete::Generator;
use argh_complete::bash::Bash;
use argh_complete::fish::Fish;
use argh_complete::zsh::Zsh;

use super::command::{Command, EXTRA_COMMANDS};
use super::suggestion::did_you_mean;

const NAME: &str = "miniweb";

/// Makes the script of one shell, from the name and the description of the program.
type Generate = fn(&str, &CommandInfoWithArgs) -> String;

const SHELLS: [(&str, Generate); 3] = [
    ("bash", |name, program| Bash::generate(name, program)),
    ("zsh", |name, program| Zsh::generate(name, program)),
    // The crate's option of `commandline` needs fish 4; this one is as old as fish 3.
    ("fish", |name, program| {
        Fish::generate(name, program).replace("commandline -xpc", "commandline -opc")
    }),
];

/// The script that completes the commands and options of this program in `shell`.
///
/// # Errors
/// `unknown shell 'x': expected one of bash, zsh, fish`
pub(super) fn script(shell: &str) -> Result<String, String> {
    let generate = SHELLS.iter().find(|(name, _)| *name == shell).map(|(_, generate)| generate);
    let generate = generate.ok_or_else(|| {
        let names = SHELLS.map(|(name, _)| name);
        let expected = || format!("expected one of {}", names.join(", "));
        format!("unknown shell '{shell}': {}", did_you_mean(shell, names).unwrap_or_else(expected))
    })?;
    let described = Command::all().map(|command| SubCommandInfo {
        name: command.name(),
        command: CommandInfoWithArgs {
            name: command.name(),
            description: command.summary(),
            flags: visible_flags(command),
            ..CommandInfoWithArgs::default()
        },
    });
    let extra = EXTRA_COMMANDS.iter().map(|(name, description)| SubCommandInfo {
        name,
        command: CommandInfoWithArgs { name, description, ..CommandInfoWithArgs::default() },
    });
    let program = CommandInfoWithArgs {
        name: NAME,
        description: "Serves a folder over HTTP.",
        flags: visible_flags(Command::default()),
        commands: described.chain(extra).collect(),
        ..CommandInfoWithArgs::default()
    };
    Ok(generate(NAME, &program))
}

/// Copies of the options that the help shows: they are of several groups, and a command needs them
/// in one slice, for as long as the program runs.
fn visible_flags(command: Command) -> &'static [FlagInfo<'static>] {
    let visible = command.flags().into_iter().filter(|flag| !flag.hidden);
    let mut flags: Vec<FlagInfo<'static>> = Vec::new();
    for flag in visible.filter(|flag| flag.long != "--help") {
        flags.push(FlagInfo {
            kind: match flag.kind {
                FlagInfoKind::Switch => FlagInfoKind::Switch,
                FlagInfoKind::Option { arg_name } => FlagInfoKind::Option { arg_name },
            },
            optionality: Optionality::Optional,
            long: flag.long,
            short: flag.short,
            description: flag.description,
            hidden: false,
        });
    }
    flags.push(FlagInfo {
        long: "--help",
        short: Some('h'),
        description: "print the options",
        optionality: Optionality::Optional,
        ..FlagInfo::default()
    });
    flags.leak()
}
