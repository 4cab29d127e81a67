//! Text for terminals and charts: wrapping and truncating.

use crate::format::printable;

/// Columns of a report on a terminal.
pub(super) const WIDTH: usize = 80;

/// `text` wrapped at spaces into lines of at most `width` columns. The first line is indented by
/// `indent` columns, the others by two more. Names in it come from the command line, so it is
/// escaped.
pub(super) fn wrapped(text: &str, indent: usize, width: usize) -> Vec<String> {
    let mut lines = vec![" ".repeat(indent)];
    let mut filled = indent;
    for word in printable(text).split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if filled > indent && filled + 1 + length > width {
            lines.push(" ".repeat(indent + 2));
            filled = indent + 2;
        } else if filled > indent {
            // A space before every word but the first.
            filled += 1;
            lines.last_mut().expect("there is a first line").push(' ');
        }
        lines.last_mut().expect("there is a first line").push_str(word);
        filled += length;
    }
    lines
}

/// `text`, with an ellipsis instead of its end if it has more than `chars_max` characters.
pub(super) fn truncated(text: &str, chars_max: usize) -> String {
    match text.chars().count() {
        count if count > chars_max => text.chars().take(chars_max - 1).chain(['…']).collect(),
        _ => text.to_owned(),
    }
}

/// The name of a contender in at most `chars_max` characters: if it is longer, without the strategy
/// that several have in common. `blocking:pool+tls` becomes `pool+tls`.
pub(super) fn fitted(name: &str, chars_max: usize) -> String {
    match name.split_once(':') {
        Some((_, model)) if name.chars().count() > chars_max => truncated(model, chars_max),
        _ => truncated(name, chars_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_indented() {
        assert_eq!(wrapped("one two three", 2, 9), ["  one two", "    three"]);
        assert_eq!(wrapped("unbreakable", 0, 5), ["unbreakable"]);
        assert_eq!(wrapped("", 2, 9), ["  "]);
    }

    #[test]
    fn long_names_end_in_an_ellipsis() {
        assert_eq!(truncated("a-name-of-18-chars", 18), "a-name-of-18-chars");
        assert_eq!(truncated("a-name-of-18-chars again", 18), "a-name-of-18-char…");
        assert_eq!(fitted("several:of-18-char", 18), "several:of-18-char");
        assert_eq!(fitted("several:of-18-chars again", 18), "of-18-chars again");
    }
}
