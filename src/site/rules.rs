//! The rules that options of the command line add to the policy, parsed from their text.
//!
//! A pattern is compared with the path of the request, decoded and normalised: `/docs/a.txt`. For a
//! path that ends with a slash it is compared with that of the index page, too, or of the first of
//! its possible names if there is none: `/docs/` and `/docs/index.html`. So `/` is the front page,
//! `/**/*.html` includes the pages that are requested by their directory, and `/docs/**` includes
//! the listing of `docs`. A request without a valid path gets what has no pattern.
//!
//! Invariant: a rule holds no control character, so that no value can end a header line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use super::path::SitePath;
use crate::http::{Status, is_token};

/// `[GLOB ]Name: value`
#[derive(Clone, Debug)]
pub struct HeaderRule {
    pub(super) paths: PathPattern,
    pub(super) name: String,
    pub(super) value: String,
}

/// `[GLOB ]value`
#[derive(Clone, Debug)]
pub struct CacheRule {
    pub(super) paths: PathPattern,
    pub(super) value: String,
}

/// `extension=type`
#[derive(Clone, Debug)]
pub struct MediaTypeRule {
    extension: String,
    pub(super) media_type: String,
}

/// `status=file`
#[derive(Clone, Debug)]
pub struct ErrorPageRule {
    /// One of the statuses with which files and listings fail.
    pub status: Status,
    /// As it was given.
    pub file: String,
}

/// The paths that a rule applies to.
#[derive(Clone, Debug)]
pub(super) enum PathPattern {
    All,
    Glob(GlobMatcher),
}

/// Headers that the server sets itself. A second line or another value would break the connection's
/// framing, or contradict what the server does.
const RESERVED_HEADERS: [&str; 18] = [
    "accept-ranges",
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "server",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
    "x-content-type-options",
];

impl FromStr for HeaderRule {
    type Err = String;

    fn from_str(text: &str) -> Result<HeaderRule, String> {
        let (paths, header) = PathPattern::split_from(text)?;
        let (name, value) = header.split_once(':').ok_or("expected 'Name: value'")?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("invalid header name {name:?}"));
        }
        let lower_name = name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&lower_name.as_str()) {
            return Err(format!("{name} is set by the server itself"));
        }
        let last_word = value.rsplit(' ').next().unwrap_or_default();
        if last_word.starts_with('/') && last_word.contains('*') {
            return Err(format!(
                "expected the path pattern before the name: '{last_word} {name}: …'"
            ));
        }
        match lower_name.as_str() {
            "cache-control" => Err("use --cache-control for that header".to_owned()),
            "content-type" => Err("use --media-type for that header".to_owned()),
            _ => Ok(HeaderRule {
                paths,
                name: name.to_owned(),
                value: without_control_characters(value.trim())?.to_owned(),
            }),
        }
    }
}

impl FromStr for CacheRule {
    type Err = String;

    fn from_str(text: &str) -> Result<CacheRule, String> {
        let (paths, value) = PathPattern::split_from(text)?;
        let value = without_control_characters(value.trim())?;
        match is_cache_control(value) {
            true => Ok(CacheRule { paths, value: value.to_owned() }),
            false => Err("expected directives, after a path pattern if there is one, such as \
                          'no-store' or '/assets/** max-age=3600'"
                .to_owned()),
        }
    }
}

impl FromStr for MediaTypeRule {
    type Err = String;

    fn from_str(text: &str) -> Result<MediaTypeRule, String> {
        const EXPECTED: &str = "expected 'extension=type', such as 'glb=model/gltf-binary'";
        let (extension, media_type) = text.split_once('=').ok_or(EXPECTED)?;
        let extension = extension.trim_start_matches('.').to_owned();
        let is_media_type = media_type
            .split_once('/')
            .is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty());
        if extension.is_empty() || extension.contains(['/', '*']) || !is_media_type {
            return Err(EXPECTED.to_owned());
        }
        let media_type = without_control_characters(media_type)?.to_owned();
        Ok(MediaTypeRule { extension, media_type })
    }
}

impl MediaTypeRule {
    /// Whether a file called `name` has the extension of this rule.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let dot = name.len().checked_sub(self.extension.len() + 1);
        dot.is_some_and(|dot| {
            name[dot] == b'.' && name[dot + 1..].eq_ignore_ascii_case(self.extension.as_bytes())
        })
    }
}

impl PathPattern {
    /// Splits a rule into its pattern and the rest. A rule that starts with a slash has a glob up
    /// to its first space.
    fn split_from(rule: &str) -> Result<(PathPattern, &str), String> {
        if !rule.starts_with('/') {
            return Ok((PathPattern::All, rule));
        }
        let (glob, rest) =
            rule.split_once(' ').ok_or("expected a space and a value after the path pattern")?;
        check_pattern(glob)?;
        Ok((PathPattern::Glob(glob_matcher(glob)?), rest.trim_start()))
    }

    /// Whether the pattern matches `path`, which is None for a request without a valid path.
    pub(super) fn matches(&self, path: Option<&SitePath<'_>>) -> bool {
        let PathPattern::Glob(glob) = self else { return true };
        let matches = |parts: &[&[u8]]| glob.is_match(OsStr::from_bytes(&parts.concat()));
        path.is_some_and(|path| {
            matches(&[b"/", &path.file_path()])
                || match &path.relative[..] {
                    _ if !path.is_directory => false,
                    b"" => matches(&[b"/"]),
                    relative => matches(&[b"/", relative, b"/"]),
                }
        })
    }
}

impl FromStr for ErrorPageRule {
    type Err = String;

    fn from_str(text: &str) -> Result<ErrorPageRule, String> {
        let (status, file) =
            text.split_once('=').ok_or("expected 'status=file', such as '404=lost.html'")?;
        // Others are about the request, not about what is at its path.
        let status = match status {
            "403" => Status::Forbidden,
            "404" => Status::NotFound,
            "500" => Status::InternalServerError,
            "503" => Status::ServiceUnavailable,
            _ => return Err("expected the status 403, 404, 500 or 503 before the '='".to_owned()),
        };
        Ok(ErrorPageRule { status, file: file.to_owned() })
    }
}

/// As in a shell, * does not match a slash; ** does.
pub(super) fn glob_matcher(glob: &str) -> Result<GlobMatcher, String> {
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    let invalid =
        |error: globset::Error| format!("invalid path pattern '{glob}': {}", error.kind());
    Ok(built.map_err(invalid)?.compile_matcher())
}

/// Refuses a pattern that matches no path: once it is normalised, a segment of a path is never
/// empty, `.` or `..`. Only the last segment of a pattern may be empty, for a directory.
pub(super) fn check_pattern(glob: &str) -> Result<(), String> {
    let mut segments = glob.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, "." | "..") || segment.is_empty() && !is_last {
            let expected = "expected a path pattern without empty segments, '.' and '..'";
            return Err(format!("{expected}: '{glob}' can match no request path"));
        }
    }
    Ok(())
}

/// Whether `value` is a list of directives (RFC 9111 section 5.2). One with a pattern behind it, or
/// behind a pattern without its slash, is not.
fn is_cache_control(value: &str) -> bool {
    let mut rest = Some(value);
    while let Some(text) = rest {
        match after_directive(text.trim_start()) {
            Some("") => return true,
            Some(after) => rest = after.strip_prefix(','),
            None => return false,
        }
    }
    false
}

/// What follows `token [ "=" ( token / quoted-string ) ]` and white space.
fn after_directive(text: &str) -> Option<&str> {
    let after_name = after_token(text)?;
    let after = match after_name.strip_prefix('=') {
        None => after_name,
        Some(argument) => match argument.strip_prefix('"') {
            None => after_token(argument)?,
            Some(quoted) => quoted.split_once('"')?.1,
        },
    };
    Some(after.trim_start())
}

fn after_token(text: &str) -> Option<&str> {
    let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
    (end > 0).then(|| &text[end..])
}

fn without_control_characters(value: &str) -> Result<&str, String> {
    match value.chars().any(|c| c.is_control() && c != '\t') {
        true => Err("the value contains a control character".to_owned()),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_applies_to_all_paths_or_to_those_of_its_pattern() {
        let rule: HeaderRule = "/assets/**/*.js X-A: b: c".parse().expect("a rule");
        assert_eq!((rule.name.as_str(), rule.value.as_str()), ("X-A", "b: c"));
        for (pattern, matching, others) in [
            ("/assets/**/*.js", &["/assets/a.js", "/assets/x/y/a.js"][..], &["/a.js"][..]),
            ("/a/*", &["/a/b", "/a/"], &["/a/b/c", "/a", "/a/b/c/"]),
            ("/", &["/", "/."], &["/index.html", "/a", "/a/"]),
            ("/a/", &["/a/", "/x/../a/", "/%61/"], &["/", "/a", "/a/index.html", "/a/b"]),
            ("/a", &["/a"], &["/a/", "/"]),
            ("/a/**", &["/a/", "/a/b", "/a/b/"], &["/a", "/", "/ab"]),
            ("/**/*.html", &["/", "/a/", "/a.html"], &["/a", "/a.txt"]),
            ("/**", &["/", "/a", "/a/", "/a/b"], &[]),
        ] {
            let rule: CacheRule = format!("{pattern} no-store").parse().expect("a rule");
            let matches = |path: &&str| {
                rule.paths.matches(Some(&SitePath::parse(path.as_bytes()).expect("a valid path")))
            };
            assert_eq!(matching.iter().find(|path| !matches(path)), None, "{pattern}");
            assert_eq!(others.iter().find(|path| matches(path)), None, "{pattern}");
            assert!(!rule.paths.matches(None), "{pattern}");
        }
        assert!("X-A: b".parse::<HeaderRule>().expect("a rule").paths.matches(None));
    }

    #[test]
    fn a_cache_rule_holds_any_list_of_directives() {
        for value in [
            "no-store",
            "max-age=60, stale-while-revalidate=30",
            "private=\"Set-Cookie, X-A\" , max-age=0",
            "public,max-age=1",
        ] {
            let rule: CacheRule = format!("/a/* {value}").parse().expect(value);
            assert_eq!(rule.value, value);
            assert_eq!(value.parse::<CacheRule>().expect(value).value, value);
        }
    }

    #[test]
    fn malformed_rules_and_reserved_headers_are_rejected() {
        for text in [
            "",
            "no colon",
            ": x",
            "X Y: z",
            "Content-Length: 3",
            "date: x",
            "X: a\r\nY: b",
            "/[ X: y",
            "/a",
            "/a//b X: y",
            "//a X: y",
            "/a/../b X: y",
            "/a/. X: y",
            "/.. X: y",
            "X: y /a/**",
            "Cache-Control: x",
        ] {
            assert!(text.parse::<HeaderRule>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "/a",
            "/a ",
            "a\nb",
            "max-age=1 /a/**",
            "a/** max-age=1",
            "/a b/** max-age=1",
            "/a//b max-age=1",
            "max-age=",
            "max-age=1,",
            ", max-age=1",
            "max-age=1 no-cache",
            "private=\"a",
        ] {
            assert!(text.parse::<CacheRule>().is_err(), "{text:?}");
        }
        for text in ["", "a", "a=b", "=a/b", "*.a=b/c", "a=/b", "a=b/c\r\nX: y"] {
            assert!(text.parse::<MediaTypeRule>().is_err(), "{text:?}");
        }
    }
}
