//! The path of a target → a path beneath the root. Pure.
//!
//! Decoded once, then split, so that an encoded slash can't make a segment nor a twice encoded dot a
//! `..`. What comes out has no empty, `.` or `..` segment; that the file system's own links don't lead
//! out of the root either is the kernel's business (`root.rs`).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// A path beneath the root: segments joined by single slashes, none at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePath<'a> {
    /// Any bytes but NUL; empty for the root itself.
    pub relative: Cow<'a, [u8]>,
    /// Whether the target ended with a slash: a directory is asked for, not a file.
    pub is_directory: bool,
    /// Whether a segment starts with a dot. Such names are for tools, not for the web; the exception is
    /// `/.well-known/` (RFC 8615).
    pub is_hidden: bool,
}

impl<'a> SitePath<'a> {
    /// Decodes and normalises the path of a target, which starts with a slash.
    ///
    /// # Errors
    /// The reason, a sentence, for a 400: a `%` without two hexadecimal digits, an encoded slash or NUL, a
    /// `..` above the root.
    pub fn parse(path: &'a [u8]) -> Result<SitePath<'a>, &'static str> {
        if is_plain(path) {
            let relative = &path[1..];
            let is_directory = path.ends_with(b"/");
            let relative = relative.strip_suffix(b"/").unwrap_or(relative);
            return Ok(SitePath {
                relative: Cow::Borrowed(relative),
                is_directory,
                is_hidden: false,
            });
        }
        let decoded = decode(path)?;
        let mut segments: Vec<&[u8]> = Vec::new();
        let mut is_directory = true;
        for segment in decoded.split(|b| *b == b'/') {
            is_directory = matches!(segment, b"" | b"." | b"..");
            match segment {
                b"" | b"." => {}
                b".." => drop(segments.pop().ok_or("The path leads above the root.")?),
                name => segments.push(name),
            }
        }
        let hidden = |(depth, name): (usize, &&[u8])| {
            name.starts_with(b".") && (depth > 0 || *name != b".well-known")
        };
        let is_hidden = segments.iter().enumerate().any(hidden);
        Ok(SitePath { relative: Cow::Owned(segments.join(&b'/')), is_directory, is_hidden })
    }

    /// The path of a file of the site itself, which is lookup to be clean.
    pub fn to_file(relative: &'a [u8]) -> SitePath<'a> {
        SitePath { relative: Cow::Borrowed(relative), is_directory: false, is_hidden: false }
    }

    /// The same, for whoever outlives the request.
    pub fn into_owned(self) -> SitePath<'static> {
        SitePath { relative: Cow::Owned(self.relative.into_owned()), ..self }
    }

    /// The path as a target again, with a slash at the end: where a directory's redirect leads. It starts with
    /// exactly one slash, so it can't name another host, and holds no line end.
    pub fn to_directory_target(&self) -> String {
        match self.relative.is_empty() {
            true => "/".to_owned(),
            false => format!("/{}/", percent_encode(&self.relative, ESCAPED_IN_PATH)),
        }
    }
}

/// What of a path must be escaped: all but the `pchar` of RFC 3986 section 3.3, and the slash.
const ESCAPED_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// What of a query must be escaped in a Location: what no target may hold.
const ESCAPED_IN_QUERY: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#');

/// One name as it may stand in a path.
pub fn escape_segment(name: &[u8]) -> String {
    percent_encode(name, ESCAPED_IN_PATH).to_string()
}

/// A query as it may stand in a Location field.
pub fn escape_query(query: &[u8]) -> String {
    percent_encode(query, ESCAPED_IN_QUERY).to_string()
}

/// Whether nothing has to be decoded, joined or hidden, as in nearly every request.
fn is_plain(path: &[u8]) -> bool {
    let mut after_slash = false;
    for byte in path {
        match byte {
            b'%' => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = *byte == b'/',
        }
    }
    path.first() == Some(&b'/')
}

fn decode(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    for at in memchr::memchr_iter(b'%', path) {
        match path.get(at + 1..at + 3) {
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                match [*a, b.to_ascii_lowercase()] {
                    [b'2', b'f'] => return Err("A slash in a name can't be encoded."),
                    [b'0', b'0'] => return Err("A name can't hold a NUL."),
                    _ => {}
                }
            }
            _ => return Err("A percent sign is not followed by two hexadecimal digits."),
        }
    }
    Ok(percent_decode(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> (String, bool, bool) {
        let path = SitePath::parse(path.as_bytes()).expect("a valid path");
        (String::from_utf8_lossy(&path.relative).into_owned(), path.is_directory, path.is_hidden)
    }

    #[test]
    fn a_path_is_decoded_once_and_normalised() {
        for (path, relative, is_directory) in [
            ("/", "", true),
            ("/a.html", "a.html", false),
            ("/a/b/", "a/b", true),
            ("//a///b", "a/b", false),
            ("/a/./b/../c", "a/c", false),
            ("/a/..", "", true),
            ("/a/.", "a", true),
            ("/%61%2Ehtml", "a.html", false),
            ("/%252e%252e/x", "%2e%2e/x", false),
            ("/%E4%B8%AD.html", "中.html", false),
            ("/a\\..\\b", "a\\..\\b", false),
            ("/a%0d%0ab", "a\r\nb", false),
        ] {
            assert_eq!(parsed(path), (relative.to_owned(), is_directory, false), "{path}");
        }
    }

    #[test]
    fn names_that_start_with_a_dot_are_hidden_but_well_known_is_not() {
        for (path, hidden) in [
            ("/.git/config", true),
            ("/a/.htaccess", true),
            ("/%2egit", true),
            ("/...", true),
            ("/.well-known/security.txt", false),
            ("/a/.well-known", true),
            ("/.well-known/.x", true),
            ("/a.b", false),
        ] {
            assert_eq!(parsed(path).2, hidden, "{path}");
        }
    }

    #[test]
    fn what_no_path_can_be_is_refused() {
        for path in [
            "/..",
            "/a/../..",
            "/%2e%2e/etc/passwd",
            "/a%2fb",
            "/a%2Fb",
            "/%00",
            "/%",
            "/%4",
            "/%zz",
            "/a%",
        ] {
            assert!(SitePath::parse(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_redirect_stays_on_this_host_in_one_line() {
        for (path, target) in [
            ("//evil.example/..", "/"),
            ("//evil.example", "/evil.example/"),
            ("/a%0d%0ab", "/a%0D%0Ab/"),
            ("/%ff?", "/%FF%3F/"),
        ] {
            assert_eq!(
                SitePath::parse(path.as_bytes()).expect("a valid path").to_directory_target(),
                target,
                "{path}"
            );
        }
        assert_eq!(escape_query(b"a=1&b=%20\xff\""), "a=1&b=%20%FF%22");
    }
}
