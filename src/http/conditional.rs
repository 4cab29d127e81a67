//! Conditional requests (RFC 9110 section 13).
//!
//! The order of precedence is that of section 13.2.2:
//!
//! ```text
//!   If-Match? ──no──> If-Unmodified-Since? ──> false: 412
//!      └─yes─> false: 412
//!   If-None-Match? ──no──> If-Modified-Since? ──> false: 304
//!      └─yes─> false: 304
//!   Range and If-Range? ──> true: the range, false: the whole
//! ```
//!
//! Only called where the answer without conditions would be a 200: elsewhere they are ignored (13.2.1).

use std::time::{SystemTime, UNIX_EPOCH};

use super::etag::{self, EntityTag};
use super::headers::Headers;

/// What tells one state of a representation from another.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// Its tag.
    pub etag: &'a EntityTag,
    /// Its Last-Modified, as the answer says it: None where it says none.
    pub modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreconditionResult {
    /// Reply as if there were none.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not what the client thinks it is.
    Failed,
}

/// Weighs the preconditions of a GET or HEAD.
pub fn evaluate(headers: Headers<'_>, validators: Validators<'_>) -> PreconditionResult {
    const CONDITIONS: [&str; 4] =
        ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since"];
    if !CONDITIONS.iter().any(|name| headers.might_contain(name)) {
        return PreconditionResult::Proceed;
    }
    if is_present(headers, "if-match") {
        if !any_tag(headers, "if-match", |tag| validators.etag.matches_strongly(tag)) {
            return PreconditionResult::Failed;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, "if-unmodified-since"), validators.modified)
        && seconds(modified) > seconds(date)
    {
        return PreconditionResult::Failed;
    }
    if is_present(headers, "if-none-match") {
        if any_tag(headers, "if-none-match", |tag| validators.etag.matches_weakly(tag)) {
            return PreconditionResult::NotModified;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, "if-modified-since"), validators.modified)
        && seconds(modified) <= seconds(date)
    {
        return PreconditionResult::NotModified;
    }
    PreconditionResult::Proceed
}

/// Whether a Range is to be heeded: there is no If-Range, or it names just this state. A date does so only if
/// it is equal, and only if the tag is strong: while a file may still change within the second, a date names two of its states.
pub fn range_applies(headers: Headers<'_>, validators: Validators<'_>) -> bool {
    let mut values = headers.values("if-range");
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(tag), None) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => {
            validators.etag.matches_strongly(tag)
        }
        (Some(_), None) => match (date(headers, "if-range"), validators.modified) {
            (Some(date), Some(modified)) => {
                validators.etag.is_strong() && seconds(date) == seconds(modified)
            }
            _ => false,
        },
        (Some(_), Some(_)) => false,
    }
}

fn is_present(headers: Headers<'_>, name: &'static str) -> bool {
    headers.values(name).next().is_some()
}

/// `*` stands for any tag; there is a representation, or this would not be asked.
fn any_tag(headers: Headers<'_>, name: &'static str, matches: impl Fn(&[u8]) -> bool) -> bool {
    headers.values(name).any(|value| value == b"*" || etag::list(value).any(&matches))
}

/// The date of a field that is there once and well-formed, in any of the three formats; None otherwise, which is
/// how a condition on a date is ignored.
fn date(headers: Headers<'_>, name: &'static str) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(headers.only(name)?).ok()?).ok()
}

/// HTTP's dates have no fractions.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
