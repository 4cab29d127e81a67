//! The path of a request target → a path beneath the root, without any system call.
//!
//! Invariants of a [`SitePath`]:
//! 1. The path was percent-decoded once, before it was split at slashes. So an encoded slash can't
//!    add a segment, and a doubly encoded dot can't become `..`.
//! 2. No segment is empty, `.` or `..`. (That symbolic links don't lead out of the root is enforced
//!    by the kernel, see `directory_root.rs`.)

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::http::Coding;

/// A path beneath the root: segments joined by single slashes, without a slash at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePath<'a> {
    /// Any bytes but NUL; empty for the root itself.
    pub relative: Cow<'a, [u8]>,
    /// Whether the target ended with a slash, and so names a directory.
    pub is_directory: bool,
    /// Whether a segment starts with a dot. Such files (`.git`, `.env`) are never served, except
    /// beneath `/.well-known/` (RFC 8615).
    pub is_hidden: bool,
    /// The name of the index page, if it is a directory.
    pub index: IndexName,
    /// The prefix of its address (`--route-prefix`): empty, or a target without a slash at its end.
    pub route_prefix: &'static str,
}

/// The name of an index page: a file name that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexName(&'static str);

/// The names of index pages, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct IndexNames {
    /// It also stands for the index page of a directory that has none.
    pub first: IndexName,
    others: Vec<IndexName>,
}

impl<'a> SitePath<'a> {
    /// Decodes and normalises the path of a target, which starts with a slash.
    ///
    /// # Errors
    /// The reason for a 400, as a sentence: a `%` without two hexadecimal digits, an encoded slash
    /// or NUL, or a `..` above the root.
    #[inline]
    pub fn parse(path: &'a [u8]) -> Result<SitePath<'a>, &'static str> {
        if !is_normal(path) {
            return SitePath::normalise(path);
        }
        let relative = &path[1..];
        let is_directory = path.ends_with(b"/");
        let relative = relative.strip_suffix(b"/").unwrap_or(relative);
        Ok(SitePath {
            relative: Cow::Borrowed(relative),
            is_directory,
            is_hidden: false,
            index: IndexName::default(),
            route_prefix: "",
        })
    }

    fn normalise(path: &[u8]) -> Result<SitePath<'a>, &'static str> {
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
        let is_hidden = is_hidden(segments.iter().copied());
        Ok(SitePath {
            relative: Cow::Owned(segments.join(&b'/')),
            is_directory,
            is_hidden,
            index: IndexName::default(),
            route_prefix: "",
        })
    }

    /// The path of a file named by the configuration, such as the fallback page.
    pub fn to_file(relative: &'a [u8]) -> SitePath<'a> {
        SitePath {
            relative: Cow::Borrowed(relative),
            is_directory: false,
            is_hidden: false,
            index: IndexName::default(),
            route_prefix: "",
        }
    }

    /// Copies the path, so that it can outlive the request.
    pub fn into_owned(self) -> SitePath<'static> {
        SitePath { relative: Cow::Owned(self.relative.into_owned()), ..self }
    }

    /// Another path beneath the root, of the same kind.
    pub fn with_relative(&self, relative: Vec<u8>) -> SitePath<'static> {
        SitePath { relative: Cow::Owned(relative), ..*self }
    }

    /// The path of the file to serve, beneath the root: for a directory that is its index page.
    pub fn file_path(&self) -> Cow<'_, [u8]> {
        match self.is_directory {
            false => Cow::Borrowed(&self.relative),
            true if self.relative.is_empty() => Cow::Borrowed(self.index.as_bytes()),
            true => Cow::Owned([&self.relative[..], b"/", self.index.as_bytes()].concat()),
        }
    }

    /// The path of the file to serve in `coding`: the file itself, or a sidecar.
    pub fn file_path_in(&self, coding: Option<Coding>) -> Cow<'_, [u8]> {
        match coding {
            None => self.file_path(),
            Some(coding) => Cow::Owned(sidecar_name(&self.file_path(), coding)),
        }
    }

    /// The last segment of [`file_path`](SitePath::file_path).
    pub fn file_name(&self) -> &[u8] {
        match self.is_directory {
            true => self.index.as_bytes(),
            false => self.relative.rsplit(|b| *b == b'/').next().unwrap_or_default(),
        }
    }

    /// Whether it is hidden by its own name, whatever `--hide` says.
    pub fn has_hidden_name(&self) -> bool {
        is_hidden(self.relative.split(|b| *b == b'/'))
    }

    /// The path as a request target without a slash at its end, for the Location of a redirect. See
    /// [`to_directory_target`](SitePath::to_directory_target).
    pub fn to_file_target(&self) -> String {
        format!("{}/{}", self.route_prefix, percent_encode(&self.relative, ESCAPED_IN_PATH))
    }

    /// The path as a request target that ends with a slash, for the Location of a redirect. It
    /// starts with exactly one slash, so it can't name another host, and contains no line end.
    pub fn to_directory_target(&self) -> String {
        let slash = if self.relative.is_empty() { "" } else { "/" };
        self.to_file_target() + slash
    }
}

impl IndexName {
    pub(crate) fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.0
    }
}

impl Default for IndexName {
    fn default() -> IndexName {
        IndexName("index.html")
    }
}

impl FromStr for IndexName {
    type Err = String;

    fn from_str(name: &str) -> Result<IndexName, String> {
        match name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            true => {
                Err("expected a file name without a slash that does not begin with a dot".into())
            }
            // The names of a command line live as long as the process, and paths that hold one stay
            // small and need no lifetime for it.
            false => Ok(IndexName(name.to_owned().leak())),
        }
    }
}

impl From<Vec<IndexName>> for IndexNames {
    /// Of no names it is `index.html`.
    fn from(names: Vec<IndexName>) -> IndexNames {
        let mut names = names.into_iter();
        IndexNames { first: names.next().unwrap_or_default(), others: names.collect() }
    }
}

impl IndexNames {
    pub(crate) fn iter(&self) -> impl Iterator<Item = IndexName> {
        [self.first].into_iter().chain(self.others.iter().copied())
    }
}

/// Whether the file at `relative`, a path on the disk from the root, is not served because of its
/// name. The path is not percent-decoded.
pub fn is_hidden_file(relative: &Path) -> bool {
    let name = |component| match component {
        Component::Normal(name) => Some(name.as_bytes()),
        _ => None,
    };
    is_hidden(relative.components().filter_map(name))
}

fn is_hidden<'a>(segments: impl Iterator<Item = &'a [u8]>) -> bool {
    let is_hidden = |(depth, name): (usize, &[u8])| {
        name.starts_with(b".") && (depth > 0 || name != b".well-known")
    };
    segments.enumerate().any(is_hidden)
}

/// The name of the file that holds the content of `name` in `coding`: `page.html.br`.
pub fn sidecar_name(name: &[u8], coding: Coding) -> Vec<u8> {
    [name, coding.extension().as_bytes()].concat()
}

/// Bytes to escape in a path: all but `pchar` (RFC 3986 section 3.3) and the slash.
pub(super) const ESCAPED_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
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

/// Bytes to escape in the query of a Location: those that no request target may contain.
const ESCAPED_IN_QUERY: &AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#');

/// The characters that no part of a URL may contain. Percent signs and delimiters are kept.
pub(super) const ESCAPED_IN_URL: &AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Escapes a file name for use as a path segment.
pub fn escape_segment(name: &[u8]) -> String {
    percent_encode(name, ESCAPED_IN_PATH).to_string()
}

/// Escapes a query for a Location header.
pub fn escape_query(query: &[u8]) -> String {
    percent_encode(query, ESCAPED_IN_QUERY).to_string()
}

/// Whether `path` needs no decoding, normalising or hiding: the common case, decided in one pass.
fn is_normal(path: &[u8]) -> bool {
    let Some(mut rest) = path.strip_prefix(b"/") else { return false };
    // Each iteration tests one segment.
    while !matches!(rest, [b'.' | b'/', ..]) {
        match rest.iter().position(|byte| matches!(byte, b'/' | b'%')) {
            None => return true,
            Some(end) if rest[end] == b'%' => return false,
            Some(end) => rest = &rest[end + 1..],
        }
    }
    false
}

fn decode(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    for at in memchr::memchr_iter(b'%', path) {
        match path.get(at + 1..at + 3) {
            Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                match [*a, b.to_ascii_lowercase()] {
                    [b'2', b'f'] => return Err("A path segment can't contain an encoded slash."),
                    [b'0', b'0'] => return Err("A path can't contain a NUL."),
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
    fn dot_files_are_hidden_except_beneath_well_known() {
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
    fn malformed_paths_and_paths_above_the_root_are_rejected() {
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
    fn a_redirect_target_names_no_host_and_contains_no_line_end() {
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
