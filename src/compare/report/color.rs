//! Whether to color, and the few ways to do so.

use std::str::FromStr;

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// At a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Even into a pipe.
    Always,
    /// Not even at a terminal.
    Never,
}

impl ColorChoice {
    /// Whether to color what goes to a place that is a terminal or isn't. `no_color` is the value of NO_COLOR, which
    /// counts if it is set and not empty (<https://no-color.org>).
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
            _ => Err("it is auto, always or never".to_owned()),
        }
    }
}

/// How a piece of text stands out. Only weights and one hue: every meaning is in the words, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings, and who leads.
    Strong,
    /// Details.
    Faint,
    /// What is not to be ranked.
    Warning,
    /// As it is.
    Plain,
}

impl Style {
    /// `text` in this style, or as it is.
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
    fn auto_asks_the_terminal_and_no_color() {
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
