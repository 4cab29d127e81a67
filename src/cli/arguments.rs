//! The words of a command line → options with values, checked against their description by argh.

use std::ffi::{OsStr, OsString};

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs, Optionality};

use super::environment;
use super::suggestion::did_you_mean;
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
    /// The one positional argument, which need not be UTF-8.
    pub root: Option<OsString>,
    options: Vec<Given>,
}

/// An option with its value, if it takes one.
#[derive(Debug)]
struct Given {
    flag: &'static FlagInfo<'static>,
    /// What errors call it: the option, or the variable that it comes from.
    name: String,
    value: Option<String>,
}

impl CommandLine {
    /// # Errors
    /// What is wrong with the first word that does not fit the description.
    pub(super) fn parse(
        words: &[OsString],
        flags: &[&'static FlagInfo<'static>],
    ) -> Result<CommandLine, String> {
        let mut arguments = Arguments::default();
        let mut words = words.iter().cloned();
        let mut only_positional = false;
        while let Some(word) = words.next() {
            match word.as_encoded_bytes() {
                b"--" if !only_positional => only_positional = true,
                b"-h" | b"--help" if !only_positional => return Ok(CommandLine::Help),
                [b'-', _, ..] if !only_positional => {
                    arguments.push_option(&word, &mut words, flags)?;
                }
                _ => arguments.push_positional(word)?,
            }
        }
        Ok(CommandLine::Run(arguments))
    }
}

impl Arguments {
    /// Adds what the environment sets and the command line does not.
    ///
    /// # Errors
    /// A variable has a value that its option cannot have.
    pub(super) fn add_variables(
        &mut self,
        flags: &[&'static FlagInfo<'static>],
    ) -> Result<(), String> {
        if self.root.is_none() {
            self.root = environment::root();
        }
        for flag in flags.iter().filter(|flag| !flag.hidden && flag.long != "--help") {
            if self.is_given(flag) {
                continue;
            }
            let given = |value| Given { flag, name: environment::variable_of(flag), value };
            self.options.extend(environment::values_of(flag)?.into_iter().map(given));
        }
        environment::warn_of_unknown(flags);
        Ok(())
    }

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
        for Given { flag, name, value } in self.options.iter().filter(|given| is_own(given.flag)) {
            let option = [Some(flag.long), value.as_deref()];
            let option: Vec<&str> = option.into_iter().flatten().collect();
            // One at a time, so that an error belongs to a known option.
            if let Err(error) = convert(&option)
                && let Some((_, reason)) = error.split_once(ERROR_MARK)
            {
                return Err(invalid_value(flag, name, value.as_deref(), reason.trim()));
            }
            words.extend(option);
        }
        convert(&words)
    }

    /// The options that are given, such as `--port`.
    #[cfg(feature = "compare")]
    pub(super) fn option_names(&self) -> impl Iterator<Item = &'static str> {
        self.options.iter().map(|given| given.flag.long)
    }

    fn is_given(&self, flag: &FlagInfo<'_>) -> bool {
        self.options.iter().any(|given| given.flag.long == flag.long)
    }

    fn push_option(
        &mut self,
        word: &OsStr,
        following: &mut impl Iterator<Item = OsString>,
        flags: &[&'static FlagInfo<'static>],
    ) -> Result<(), String> {
        let text = word.to_string_lossy();
        let (name, inline_value) = split_option(&text);
        let inline_value = inline_value
            // The text of a word that is not UTF-8 is longer than the word.
            .map(|start| word.as_encoded_bytes().get(start..).unwrap_or_default());
        let is_named = |flag: &&&FlagInfo<'_>| match name.strip_prefix('-') {
            Some(short) if !short.starts_with('-') => {
                flag.short.is_some_and(|own| short.chars().eq([own]))
            }
            _ => flag.long == name,
        };
        let flag = *flags.iter().find(is_named).ok_or_else(|| {
            let known = flags.iter().filter(|flag| !flag.hidden).map(|flag| flag.long);
            let suggestion = did_you_mean(name, known).map(|text| format!(": {text}"));
            format!("unknown option '{name}'{}", suggestion.unwrap_or_default())
        })?;
        let is_repeatable = matches!(flag.optionality, Optionality::Repeating);
        if !is_repeatable && self.is_given(flag) {
            return Err(format!("option '{name}' is given twice"));
        }
        let utf8 = |value: &[u8]| {
            String::from_utf8(value.to_vec()).map_err(|_| {
                invalid_value(flag, name, Some(&String::from_utf8_lossy(value)), "expected UTF-8")
            })
        };
        let value = match (&flag.kind, inline_value) {
            (FlagInfoKind::Switch, None) => None,
            (FlagInfoKind::Switch, Some(_)) => {
                return Err(format!("option '{name}' takes no value"));
            }
            (FlagInfoKind::Option { .. }, Some(value)) => Some(utf8(value)?),
            (FlagInfoKind::Option { arg_name }, None) => {
                let value = following.next();
                let value = value.ok_or_else(|| {
                    format!("missing value for '{name}': expected '{name} <{arg_name}>'")
                })?;
                Some(utf8(value.as_encoded_bytes())?)
            }
        };
        self.options.push(Given { flag, name: name.to_owned(), value });
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

/// The name of an option, and where its value begins if that follows in the same word:
/// `--port=1`, `-p=1`, `-p1`.
fn split_option(word: &str) -> (&str, Option<usize>) {
    let is_short = !word.starts_with("--");
    let end_of_short = || word.char_indices().nth(2).map_or(word.len(), |(end, _)| end);
    let end = if is_short { end_of_short() } else { word.find('=').unwrap_or(word.len()) };
    let value = match word[end..].chars().next() {
        Some('=') => Some(end + 1),
        Some(_) => Some(end),
        None => None,
    };
    (&word[..end], value)
}

/// A value that may contain a password is not repeated: errors end up in logs.
fn invalid_value(flag: &FlagInfo<'_>, name: &str, value: Option<&str>, reason: &str) -> String {
    match value.filter(|_| flag.long != "--auth") {
        Some(value) => format!("invalid value '{value}' for '{name}': {reason}"),
        None => format!("invalid value for '{name}': {reason}"),
    }
}
