//! Formats sizes, durations and errors for people, and escapes text for HTML and JSON.
//!
//! The crates `humansize` and `humantime` write other forms (`1.20 KiB`, `2s 500ms`).

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

/// Appends `text` as a JSON string. Invalid UTF-8 becomes a replacement character. DEL and the C1
/// controls, which a terminal would interpret, are escaped too; `serde_json` leaves them as they
/// are.
pub fn json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for char in String::from_utf8_lossy(text).chars() {
        match char {
            '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
            char if char.is_control() => {
                out.extend_from_slice(format!("\\u{:04x}", char as u32).as_bytes())
            }
            char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
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
            // Line breaks and changes of direction would let one name look like another.
            char if char.is_control()
                || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}')
            }
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_count_of_one_is_singular() {
        assert_eq!(
            [0_u32, 1, 2].map(|count| counted(count, "core")),
            ["0 cores", "1 core", "2 cores"]
        );
    }
}
