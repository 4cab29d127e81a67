//! `--color` and the text styles of the terminal report.

use std::str::FromStr;

/// The value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl ColorChoice {
    /// Whether to use color. `no_color` is the value of NO_COLOR, which counts if it is set and not
    /// empty (<https://no-color.org>).
    pub fn is_colored(self, is_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
        match self {
            ColorChoice::Auto => is_terminal && no_color.is_none_or(|value| value.is_empty()),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

impl FromStr for ColorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<ColorChoice, String> {
        match text {
            "auto" => Ok(ColorChoice::Auto),
            "always" => Ok(ColorChoice::Always),
            "never" => Ok(ColorChoice::Never),
            _ => Err("expected one of auto, always, never".to_owned()),
        }
    }
}

/// Emphasis of text. Color never carries meaning that the text does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings and leaders.
    Strong,
    Faint,
    /// What is not ranked.
    Warning,
    Plain,
}

impl Style {
    pub fn paint(self, is_colored: bool, text: &str) -> String {
        let code = match self {
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Warning => "33",
            Style::Plain => "",
        };
        if is_colored && !code.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn auto_depends_on_the_terminal_and_no_color() {
        assert!(ColorChoice::Auto.is_colored(true, None));
        assert!(ColorChoice::Auto.is_colored(true, Some(OsStr::new(""))));
        assert!(!ColorChoice::Auto.is_colored(true, Some(OsStr::new("1"))));
        assert!(!ColorChoice::Auto.is_colored(false, None));
        assert!(ColorChoice::Always.is_colored(false, Some(OsStr::new("1"))));
        assert!(!ColorChoice::Never.is_colored(true, None));
        assert_eq!("always".parse(), Ok(ColorChoice::Always));
        assert!("sometimes".parse::<ColorChoice>().is_err());
    }
}
