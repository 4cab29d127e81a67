//! The words of a command line → options with values, checked against their description by argh.

use std::ffi::{OsStr, OsString};

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs, Optionality};

use crate::option_values::ERROR_MARK;

/// A command line whose options all exist and have the values they need.
#[derive(Debug)]
pub(super) enum CommandLine {
    Help,
    Run(Arguments),
}

/// What follows the command, sorted.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    words: Vec<OsString>,
    /// The one positional argument, which need not be UTF-8.
    pub root: Option<OsString>,
    options: Vec<(&'static FlagInfo<'static>, Option<String>)>,
}

impl CommandLine {
    /// # Errors
    /// What is wrong with the first word that does not fit the description.
    pub(super) fn parse(
        words: impl Iterator<Item = OsString>,
        descriptions: &[CommandInfoWithArgs],
    ) -> Result<CommandLine, String> {
        let words: Vec<OsString> = words.collect();
        let mut arguments = Arguments { words: words.clone(), ..Arguments::default() };
        let mut words = words.into_iter();
        let mut only_positional = false;
        while let Some(word) = words.next() {
            match word.as_encoded_bytes() {
                b"--" if !only_positional => only_positional = true,
                b"-h" | b"--help" if !only_positional => return Ok(CommandLine::Help),
                [b'-', _, ..] if !only_positional => {
                    arguments.push_option(&word, &mut words, descriptions)?;
                }
                _ => arguments.push_positional(word)?,
            }
        }
        Ok(CommandLine::Run(arguments))
    }
}

impl Arguments {
    /// Converts the options that `T` describes.
    ///
    /// # Errors
    /// Those of [`Arguments::convert`].
    pub(super) fn parse<T: FromArgs + ArgsInfo>(&self) -> Result<T, String> {
        let parse = |words: &[&str]| T::from_args(&[], words).map_err(|exit| exit.output);
        self.convert(&T::get_args_info(), parse)
    }

    /// Converts the options of one description with `convert`.
    ///
    /// # Errors
    /// `invalid value 'x' for '--option': expected …`
    pub(super) fn convert<T>(
        &self,
        description: &CommandInfoWithArgs,
        convert: impl Fn(&[&str]) -> Result<T, String>,
    ) -> Result<T, String> {
        let is_own =
            |flag: &FlagInfo<'_>| description.flags.iter().any(|own| own.long == flag.long);
        let mut words = Vec::new();
        for (flag, value) in self.options.iter().filter(|(flag, _)| is_own(flag)) {
            let option = [Some(flag.long), value.as_deref()];
            let option: Vec<&str> = option.into_iter().flatten().collect();
            // One at a time, so that an error belongs to a known option.
            if let Err(error) = convert(&option)
                && let Some((_, reason)) = error.split_once(ERROR_MARK)
            {
                return Err(invalid_value(flag.long, value.as_deref(), reason.trim()));
            }
            words.extend(option);
        }
        convert(&words)
    }

    /// The command line as it was typed, for a report.
    pub(super) fn command(&self, name: &str) -> String {
        let words = self.words.iter().map(|word| word.to_string_lossy());
        words.fold(format!("miniweb {name}"), |command, word| format!("{command} {word}"))
    }

    fn push_option(
        &mut self,
        word: &OsStr,
        following: &mut impl Iterator<Item = OsString>,
        descriptions: &[CommandInfoWithArgs],
    ) -> Result<(), String> {
        let text = word.to_string_lossy();
        let (name, inline_value) = match text.split_once('=') {
            Some((name, _)) => (name, Some(&word.as_encoded_bytes()[name.len() + 1..])),
            None => (&*text, None),
        };
        let mut flags = descriptions.iter().flat_map(|description| description.flags);
        let flag = flags.find(|flag| flag.long == name);
        let flag = flag.ok_or_else(|| format!("unknown option '{name}'"))?;
        let is_repeatable = matches!(flag.optionality, Optionality::Repeating);
        if !is_repeatable && self.options.iter().any(|(given, _)| given.long == flag.long) {
            return Err(format!("option '{name}' is given twice"));
        }
        let value = match (&flag.kind, inline_value) {
            (FlagInfoKind::Switch, None) => None,
            (FlagInfoKind::Switch, Some(_)) => {
                return Err(format!("option '{name}' takes no value"));
            }
            (FlagInfoKind::Option { .. }, Some(value)) => Some(utf8(name, value)?),
            (FlagInfoKind::Option { arg_name }, None) => {
                let value = following.next();
                let value = value.ok_or_else(|| {
                    format!("missing value for '{name}': expected '{name} <{arg_name}>'")
                })?;
                Some(utf8(name, value.as_encoded_bytes())?)
            }
        };
        self.options.push((flag, value));
        Ok(())
    }

    fn push_positional(&mut self, word: OsString) -> Result<(), String> {
        match &self.root {
            None => {
                self.root = Some(word);
                Ok(())
            }
            Some(root) => Err(format!(
                "unexpected argument '{}': expected at most one ROOT, and '{}' was given",
                word.to_string_lossy(),
                root.to_string_lossy()
            )),
        }
    }
}

/// A value that may contain a password is not repeated: errors end up in logs.
fn invalid_value(name: &str, value: Option<&str>, reason: &str) -> String {
    match value.filter(|_| name != "--auth") {
        Some(value) => format!("invalid value '{value}' for '{name}': {reason}"),
        None => format!("invalid value for '{name}': {reason}"),
    }
}

fn utf8(name: &str, value: &[u8]) -> Result<String, String> {
    let error = |_| invalid_value(name, Some(&String::from_utf8_lossy(value)), "expected UTF-8");
    String::from_utf8(value.to_vec()).map_err(error)
}
