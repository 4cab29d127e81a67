//! Formats sizes, durations and errors for people, and escapes text for terminals, JSON and HTML.
//!
//! The crates `humansize` and `humantime` write other forms (`1.20 KiB`, `2s 500ms`).
//!
//! Text that comes from a peer, a file name or a command line is escaped where it is written:
//! [`printable`] for a line on stdout or stderr, [`json_string`] and [`json_escaped`] for JSON,
//! [`escape_html`] for a page. No terminal or log viewer acts on the result.

use std::fmt::Display;
use std::io;
use std::time::Duration;

/// `17 B`, `1.2 KiB`, `3.4 GiB`
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// `0.3 ms`, `2.5 s`
pub fn time(time: Duration) -> String {
    match time {
        time if time >= Duration::from_secs(1) => format!("{:.1} s", time.as_secs_f64()),
        time => format!("{:.1} ms", time.as_secs_f64() * 1000.0),
    }
}

/// `1 core`, `2 cores`
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// `a`, `a and b`, `a, b and c`
pub fn listed(texts: &[impl AsRef<str>]) -> String {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    match &texts[..] {
        [several @ .., before_last, last] => {
            let several = [several, &[*before_last]].concat().join(", ");
            format!("{several} and {last}")
        }
        one_or_none => one_or_none.concat(),
    }
}

/// The error in words, without the name of the file or address.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "not an address of this machine".to_owned(),
        _ => error.to_string(),
    }
}

/// An error whose message is `subject: reason`.
pub fn error_with(subject: impl Display, error: &io::Error) -> io::Error {
    io::Error::other(format!("{subject}: {}", reason(error)))
}

/// Whether a program that shows text would act on `char` or hide it: a control character (Cc), a
/// format character (Cf, such as those that change the direction of text), or a separator (Z, of
/// which U+2028 and U+2029 end a line) other than the space.
pub fn is_unprintable(char: char) -> bool {
    match char {
        ' '..='~' => false,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{a0}' | '\u{ad}' => true,
        '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' => true,
        '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{1680}' | '\u{180e}' => true,
        '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' => true,
        '\u{205f}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{3000}' => true,
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' => true,
        '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' => true,
        '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}' => true,
        _ => false,
    }
}

/// The text on one line: what is unprintable becomes `\n` or `\u{1b}`.
pub fn printable(text: &str) -> String {
    let escaped = |char: char| match is_unprintable(char) {
        true => char.escape_default().to_string(),
        false => char.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Appends `text` as a JSON string. Invalid UTF-8 becomes a replacement character. What is
/// unprintable is escaped, too; `serde_json` leaves it as it is.
pub fn json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    json_escaped(out, text, usize::MAX);
    out.push(b'"');
}

/// Appends the content of a JSON string, at most `bytes_max` bytes of it. An ellipsis stands for
/// what does not fit.
pub fn json_escaped(out: &mut Vec<u8>, text: &[u8], bytes_max: usize) {
    let chars = text.utf8_chunks().flat_map(|chunk| {
        let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(invalid)
    });
    push_within(out, chars, bytes_max, "…", |out, char| match char {
        '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
        char if is_unprintable(char) => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
        char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    });
}

/// Appends each of `items` with `push`. If that takes more than `bytes_max` bytes, as many as leave
/// space for `ellipsis` are kept, each of them whole.
pub fn push_within<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    bytes_max: usize,
    ellipsis: &str,
    push: impl Fn(&mut Vec<u8>, T),
) {
    let start = out.len();
    let mut kept = start;
    for item in items {
        push(out, item);
        let length = out.len() - start;
        if length > bytes_max {
            out.truncate(kept);
            out.extend_from_slice(ellipsis.as_bytes());
            return;
        }
        if length + ellipsis.len() <= bytes_max {
            kept = out.len();
        }
    }
}

/// Escapes `text` for the content of an element or a quoted attribute.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Line breaks and changes of direction would let one name look like another. Other
            // format characters and spaces are part of how some languages are written.
            char if char.is_control() || is_line_or_direction(char) => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}

/// U+2028 and U+2029, which end a line, and the characters with the property Bidi_Control.
fn is_line_or_direction(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_with_and() {
        assert_eq!(listed(&[""; 0]), "");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b"]), "a and b");
        assert_eq!(listed(&["a", "b", "c"].map(String::from)), "a, b and c");
    }

    #[test]
    fn unprintable_are_the_controls_the_format_characters_and_the_separators() {
        let classes = regex::Regex::new(r"^[\p{Cc}\p{Cf}\p{Z}--\x20]$").expect("it is valid");
        for char in '\0'..=char::MAX {
            let is_of_class = classes.is_match(char.encode_utf8(&mut [0; 4]));
            assert_eq!(is_unprintable(char), is_of_class, "{char:?}");
        }
    }

    #[test]
    fn every_unprintable_character_is_escaped_in_every_syntax() {
        for char in ('\0'..=char::MAX).filter(|char| is_unprintable(*char)) {
            let text = format!("a{char}b");
            let escaped = printable(&text);
            assert!(escaped.starts_with("a\\") && !escaped.contains(is_unprintable), "{char:?}");
            let mut json = Vec::new();
            json_string(&mut json, text.as_bytes());
            let json = String::from_utf8(json).expect("JSON is UTF-8");
            assert!(!json.contains(is_unprintable), "{char:?}: {json}");
            let parsed: String = serde_json::from_str(&json).expect("it is JSON");
            assert_eq!(parsed, text, "an escape loses nothing");
            let is_hidden = char.is_control() || is_line_or_direction(char);
            assert_eq!(escape_html(&text) == "a\u{fffd}b", is_hidden, "{char:?}");
        }
    }

    #[test]
    fn json_that_is_cut_is_whole_characters_with_an_ellipsis() {
        let text = "a\"\u{1b}ü\u{e0001}€".repeat(3).into_bytes();
        let text = [&text[..], b"\xff\xe2\x82"].concat();
        let mut whole = Vec::new();
        json_escaped(&mut whole, &text, usize::MAX);
        let parsed = |content: &[u8]| {
            let quoted = [b"\"", content, b"\""].concat();
            serde_json::from_slice::<String>(&quoted).unwrap_or_else(|e| panic!("{e}: {quoted:?}"))
        };
        for bytes_max in "…".len()..=whole.len() {
            let mut cut = b"before".to_vec();
            json_escaped(&mut cut, &text, bytes_max);
            let cut = cut.strip_prefix(b"before").expect("it is appended");
            assert!(cut.len() <= bytes_max, "{} of {bytes_max} bytes", cut.len());
            match parsed(cut).strip_suffix('…') {
                Some(kept) => assert!(parsed(&whole).starts_with(kept) && bytes_max < whole.len()),
                None => assert_eq!((cut, bytes_max), (&whole[..], whole.len())),
            }
        }
    }

    #[test]
    fn only_a_count_of_one_is_singular() {
        assert_eq!(
            [0_u32, 1, 2].map(|count| counted(count, "core")),
            ["0 cores", "1 core", "2 cores"]
        );
    }
}
