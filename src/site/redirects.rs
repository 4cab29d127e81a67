//! Redirects that the command line sets (`--redirect 'FROM TO [STATUS]'`).
//!
//! FROM is a pattern as in the other rules, but is compared only with the requested path: for a
//! directory, not also with that of its index page. Each `*` and `**` in it is a capture. `$1` to
//! `$9` in TO insert them, percent-encoded again.
//!
//! Redirects are tried before files are looked up. So a rule applies whether or not the old files
//! still exist, and costs no lookup on the disk.
//!
//! Invariants of a Location:
//! 1. Its host is that of TO, or none: TO has no capture there, and a path begins with one slash.
//! 2. It has no control character and no space, whatever was captured.

use std::str::FromStr;

use globset::GlobBuilder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use regex::bytes::{Captures, Regex, RegexBuilder};

use super::path::{ESCAPED_IN_PATH, ESCAPED_IN_URL, SitePath, escape_query};
use super::rules::check_pattern;
use crate::format::counted;
use crate::http::{Status, is_authority};

/// `FROM TO [STATUS]`
#[derive(Clone, Debug)]
pub struct RedirectRule {
    from: Regex,
    to: Target,
    status: Status,
}

/// Where a rule leads.
#[derive(Clone, Debug)]
struct Target {
    /// Whether it is a path of this site. Otherwise it is a URL.
    is_path: bool,
    before_query: Vec<Piece>,
    /// None: the query of the request is kept.
    query: Option<Vec<Piece>>,
    fragment: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Percent-encoded where a URL needs it.
    Text(String),
    Capture(usize),
}

/// A capture in a query is one value, so its `&`, `=` and `+` are escaped.
const ESCAPED_IN_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

impl RedirectRule {
    /// The status and the Location for a request of `path` and `query`. None if the rule does not
    /// match, or if what was captured would lead back to the request, or to `..`: a browser would
    /// leave the path that TO begins with.
    pub(super) fn apply(
        &self,
        path: &SitePath<'_>,
        query: Option<&[u8]>,
    ) -> Option<(Status, String)> {
        let slash: &[u8] = if path.is_directory && !path.relative.is_empty() { b"/" } else { b"" };
        let requested = [b"/", &*path.relative, slash].concat();
        let captures = self.from.captures(&requested)?;
        let location = self.to.location(&captures, query, path.route_prefix);
        let target = location.split(['?', '#']).next().unwrap_or_default();
        let own_target = match slash {
            [] => path.to_file_target(),
            _ => path.to_directory_target(),
        };
        let is_usable = target != own_target && !has_dot_segment(target);
        is_usable.then_some((self.status, location))
    }
}

impl Target {
    fn location(
        &self,
        captures: &Captures<'_>,
        query: Option<&[u8]>,
        route_prefix: &str,
    ) -> String {
        let before_query = joined(&self.before_query, captures, ESCAPED_IN_PATH);
        let mut location = match self.is_path {
            // After an empty capture, the path may begin with a second slash.
            true => format!("{route_prefix}/{}", before_query.trim_start_matches('/')),
            false => before_query,
        };
        let query = match &self.query {
            Some(own) => Some(joined(own, captures, ESCAPED_IN_VALUE)),
            None => query.map(escape_query),
        };
        let fragment = self.fragment.as_ref();
        let fragment = fragment.map(|pieces| joined(pieces, captures, ESCAPED_IN_VALUE));
        for (mark, part) in [('?', query), ('#', fragment)] {
            if let Some(part) = part {
                location.push(mark);
                location.push_str(&part);
            }
        }
        location
    }
}

/// Whether a segment of a URL or path is `.` or `..`, which browsers resolve. They do not decode an
/// encoded slash.
fn has_dot_segment(target: &str) -> bool {
    let is_dot = |segment: &str| {
        let segment = segment.replace("%2e", ".").replace("%2E", ".");
        segment == "." || segment == ".."
    };
    target.split('/').any(is_dot)
}

fn joined(pieces: &[Piece], captures: &Captures<'_>, escaped: &'static AsciiSet) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Capture(number) => {
                let captured = captures.get(*number).map(|capture| capture.as_bytes());
                text.extend(percent_encode(captured.unwrap_or_default(), escaped));
            }
        }
    }
    text
}

impl FromStr for RedirectRule {
    type Err = String;

    fn from_str(text: &str) -> Result<RedirectRule, String> {
        const EXPECTED: &str = "expected 'FROM TO' or 'FROM TO STATUS', such as '/old/** /new/$1'";
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let (from, to, status) = match words[..] {
            [from, to] => (from, to, "301"),
            [from, to, status] => (from, to, status),
            _ => return Err(EXPECTED.to_owned()),
        };
        if !from.starts_with('/') {
            return Err(format!("expected a path pattern that begins with a slash, not '{from}'"));
        }
        check_pattern(from)?;
        let status = match status {
            "301" => Status::MovedPermanently,
            "302" => Status::Found,
            "303" => Status::SeeOther,
            "307" => Status::TemporaryRedirect,
            "308" => Status::PermanentRedirect,
            _ => return Err("expected the status 301, 302, 303, 307 or 308".to_owned()),
        };
        let from = capturing(from)?;
        let to = Target::parse(to, from.captures_len() - 1)?;
        match leads_to_itself(&from, &to) {
            true => Err("the rule matches its own target, so it would redirect forever".to_owned()),
            false => Ok(RedirectRule { from, to, status }),
        }
    }
}

/// A regular expression for a glob, with a group for each star.
fn capturing(glob: &str) -> Result<Regex, String> {
    let invalid =
        |reason: &dyn std::fmt::Display| format!("invalid path pattern '{glob}': {reason}");
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    let built = built.map_err(|error| invalid(error.kind()))?;
    let grouped = with_groups(built.regex());
    let compiled = RegexBuilder::new(&grouped).unicode(false).dot_matches_new_line(true).build();
    compiled.map_err(|error| invalid(&error))
}

/// Adds capture groups to the regular expression that globset generates. Everything else in it is a
/// literal or a class, so each star of the pattern is recognised by its translation.
fn with_groups(regex: &str) -> String {
    const ONE_SEGMENT: &str = "[^/]*";
    let mut grouped = String::new();
    let mut rest = regex;
    while let Some(next) = rest.chars().next() {
        let (group, length) = if rest.starts_with(ONE_SEGMENT) {
            // globset translates `a**` to two of them, which are one capture.
            let after = rest.trim_start_matches(ONE_SEGMENT);
            ("([^/]*)", rest.len() - after.len())
        } else if rest.starts_with("(?:/|/.*/)") {
            ("(?:/|/(.*)/)", "(?:/|/.*/)".len())
        } else if rest == "/.*$" {
            // `/old/**` also matches `/old`, so that a moved directory needs only one rule.
            ("(?:/(.*))?$", rest.len())
        } else if rest.starts_with("/.*") {
            ("/(.*)", "/.*".len())
        } else {
            ("", literal_length(rest, next))
        };
        grouped.push_str(if group.is_empty() { &rest[..length] } else { group });
        rest = &rest[length..];
    }
    grouped
}

/// The length of the escaped character, the class or the character at the start of `rest`.
fn literal_length(rest: &str, next: char) -> usize {
    let escaped = |text: &str| 1 + text.chars().nth(1).map_or(0, char::len_utf8);
    match next {
        '\\' => escaped(rest),
        '[' => {
            let mut length = 1;
            while let Some(inside) = rest[length..].chars().next() {
                match inside {
                    ']' => return length + 1,
                    '\\' => length += escaped(&rest[length..]),
                    other => length += other.len_utf8(),
                }
            }
            length
        }
        other => other.len_utf8(),
    }
}

impl Target {
    /// `captures` is the number of stars in the pattern.
    fn parse(text: &str, captures: usize) -> Result<Target, String> {
        if text.chars().any(char::is_control) {
            return Err("the target contains a control character".to_owned());
        }
        let is_path = text.starts_with('/');
        if matches!(text.as_bytes(), [b'/', b'/' | b'\\', ..]) {
            return Err("expected a target that begins with one slash, or an http URL".to_owned());
        }
        if !is_path {
            check_authority(text)?;
        }
        if !has_valid_escapes(text.as_bytes()) {
            return Err(
                "a percent sign in the target is not followed by two hexadecimal digits".to_owned()
            );
        }
        let (text, fragment) = split(text, '#');
        let (before_query, query) = split(text, '?');
        if has_dot_segment(before_query) {
            return Err("expected a target without the segments '.' and '..'".to_owned());
        }
        let pieces = |text| pieces(text, captures);
        Ok(Target {
            is_path,
            before_query: pieces(before_query)?,
            query: query.map(pieces).transpose()?,
            fragment: fragment.map(pieces).transpose()?,
        })
    }
}

/// Refuses a target that is not an http URL, or that has a capture in its host: clients could then
/// choose the host that this server redirects to.
fn check_authority(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let is_http = ["http", "https"].iter().any(|http| scheme.eq_ignore_ascii_case(http));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let is_named = !matches!(authority.as_bytes(), [] | [b':', ..]);
    match is_http && is_named && is_authority(authority.as_bytes()) {
        true if authority.contains('$') => {
            Err("expected a target without a capture in its host".to_owned())
        }
        true => Ok(()),
        false => Err(format!("expected a target that is a path or an http URL, not '{url}'")),
    }
}

fn has_valid_escapes(text: &[u8]) -> bool {
    memchr::memchr_iter(b'%', text).all(|at| {
        text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn pieces(text: &str, captures: usize) -> Result<Vec<Piece>, String> {
    let encoded = utf8_percent_encode(text, ESCAPED_IN_URL).to_string();
    let mut pieces = Vec::new();
    for (at, part) in encoded.split('$').enumerate() {
        let digit = part.chars().next().and_then(|first| first.to_digit(10));
        let text = match digit {
            Some(number) if at > 0 => {
                if number == 0 || number as usize > captures {
                    return Err(format!(
                        "the target has ${number}, but the pattern has {}",
                        counted(captures, "capture")
                    ));
                }
                pieces.push(Piece::Capture(number as usize));
                part[1..].to_owned()
            }
            _ if at > 0 => format!("${part}"),
            _ => part.to_owned(),
        };
        pieces.push(Piece::Text(text));
    }
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

/// Whether `from` matches the path of `to`, with `x` in place of each capture.
fn leads_to_itself(from: &Regex, to: &Target) -> bool {
    if !to.is_path {
        return false;
    }
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Capture(_) => "x".to_owned(),
    };
    let target: String = to.before_query.iter().map(text).collect();
    let Ok(path) = SitePath::parse(target.as_bytes()) else { return false };
    let slash: &[u8] = if path.is_directory && !path.relative.is_empty() { b"/" } else { b"" };
    from.is_match(&[b"/", &*path.relative, slash].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(rule: &str, target: &str) -> Option<String> {
        let rule: RedirectRule = rule.parse().unwrap_or_else(|error| panic!("{rule}: {error}"));
        let (path, query) = split(target, '?');
        let path = SitePath::parse(path.as_bytes()).expect("a valid path");
        rule.apply(&path, query.map(str::as_bytes)).map(|(_, location)| location)
    }

    #[test]
    fn each_star_is_inserted_where_its_number_is() {
        for (rule, target, expected) in [
            ("/a /b", "/a", Some("/b")),
            ("/a /b", "/a/", None),
            ("/a/ /b/", "/a/", Some("/b/")),
            ("/a/*/*.html /$2/$1", "/a/b/c.html", Some("/c/b")),
            ("/a/* /b/$1", "/a/x/y", None),
            ("/a/** /b/$1", "/a/x/y", Some("/b/x/y")),
            ("/a/** /b/$1", "/a/x/y/", Some("/b/x/y/")),
            ("/a/** /b/$1", "/a/", Some("/b/")),
            ("/a/** /b/$1", "/a", Some("/b/")),
            ("/a/** /b/$1", "/ab", None),
            ("/**/old/* /$1/new/$2", "/x/y/old/z", Some("/x/y/new/z")),
            ("/**/old/* /$1/new/$2", "/old/z", Some("/new/z")),
            ("/{a,b*}/c /$1", "/a/c", Some("/")),
            ("/{a,b*}/c /$1", "/bx/c", Some("/x")),
            ("/a** /$1", "/abc", Some("/bc")),
            ("/[*]?/* /$1", "/*x/y", Some("/y")),
            ("/[!/]\\*(?:/* /$1", "/x*(%3F:/y", Some("/y")),
            ("/** https://h.example/$1", "/a/b", Some("https://h.example/a/b")),
            ("/** https://h.example", "/a?b", Some("https://h.example?b")),
            ("/a /b$x/$", "/a", Some("/b$x/$")),
        ] {
            assert_eq!(location(rule, target).as_deref(), expected, "{rule}: {target}");
        }
    }

    #[test]
    fn captures_are_encoded_again_and_lead_to_no_other_host() {
        for (rule, target, expected) in [
            ("/a/* /b/$1", "/a/%0d%0aX:%20y", "/b/%0D%0AX:%20y"),
            ("/a/* /b/$1", "/a/%3f%23%25", "/b/%3F%23%25"),
            ("/a/* /b/$1", "/a/\u{e9}", "/b/%C3%A9"),
            ("/a/** /$1", "/a//evil.example/", "/evil.example/"),
            ("/a/** /$1", "/a/\\evil.example", "/%5Cevil.example"),
            ("/a/*b/* /$1/$2", "/a/b/evil.example", "/evil.example"),
            ("/a/* /b?q=$1&r", "/a/x&y=z+1", "/b?q=x%26y%3Dz%2B1&r"),
            ("/a/* /b#$1", "/a/x", "/b#x"),
            ("/a/* /\u{e9}|/$1", "/a/x", "/%C3%A9%7C/x"),
        ] {
            assert_eq!(location(rule, target).as_deref(), Some(expected), "{rule}: {target}");
        }
    }

    #[test]
    fn a_capture_leads_neither_back_nor_to_a_parent() {
        for (rule, target) in [
            ("/esc*/k https://h.example/users/$1/", "/esc%2e%2e/k"),
            ("/go*/** /$1/$2", "/go../evil"),
            ("/go* /a/$1/b", "/go."),
            ("/*/[!x] /$1/$1", "/a/a"),
            ("/*/[!x]/ /$1/$1/?b", "/a/a/"),
        ] {
            assert_eq!(location(rule, target), None, "{rule}: {target}");
        }
        assert_eq!(location("/go* /a/$1", "/go...").as_deref(), Some("/a/..."));
    }

    #[test]
    fn the_query_is_kept_unless_the_target_has_one() {
        for (rule, target, expected) in [
            ("/a /b", "/a?x=%20\"", "/b?x=%20%22"),
            ("/a /b", "/a?", "/b?"),
            ("/a /b?y", "/a?x", "/b?y"),
            ("/a /b?", "/a?x", "/b?"),
            ("/a /b#c", "/a?x", "/b?x#c"),
            ("/a /b#c?d", "/a?x", "/b?x#c?d"),
        ] {
            assert_eq!(location(rule, target).as_deref(), Some(expected), "{rule}: {target}");
        }
    }

    #[test]
    fn malformed_rules_and_those_that_lead_to_themselves_are_rejected() {
        for text in [
            "",
            "/a",
            "/a ",
            "a /b",
            "/a b",
            "/a /b 300",
            "/a /b 301 x",
            "/a /b 0301",
            "/[ /b",
            "/a//b /c",
            "/a/../b /c",
            "/a //evil.example",
            "/a /\\evil.example",
            "/a /b\tc",
            "/a /b\r\nX:y",
            "/a /%zz",
            "/a /b/../c",
            "/a https://h.example/%2E./c",
            "/a /b$1",
            "/* /b/$2",
            "/* /b/$0",
            "/* ftp://h.example/$1",
            "/* javascript://h.example/$1",
            "/* https:/h.example",
            "/* https:///$1",
            "/* https://$1",
            "/* https://$1.example/",
            "/* https://h.example$1/",
            "/* https://h.example:$1/",
            "/* https://me@h.example/",
            "/* https://h.example\\$1",
            "/* https://\u{e9}.example/",
            "/a /a",
            "/a /a?b",
            "/a /%61",
            "/a /x/../a",
            "/** /b",
            "/a/** /a/b/$1",
            "/a/* /a/b",
            "/* /$1.html",
        ] {
            assert!(text.parse::<RedirectRule>().is_err(), "{text:?}");
        }
    }
}
