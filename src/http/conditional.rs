//! Conditional requests (RFC 9110 section 13).
//!
//! The order of precedence is that of section 13.2.2:
//!
//! ```text
//!   1. If-Match, or else If-Unmodified-Since:     false: 412
//!   2. If-None-Match, or else If-Modified-Since:  false: 304
//!   3. Range with If-Range:                       true: 206, false: 200
//! ```
//!
//! The functions may be called only if the response without preconditions would be a 200; a server
//! ignores preconditions otherwise (section 13.2.1).

use std::time::{SystemTime, UNIX_EPOCH};

use super::etag::{self, EntityTag};
use super::headers::Headers;

/// The validators of the selected representation (RFC 9110 section 8.8). Without any, it exists all
/// the same, so `*` matches it and no tag does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Validators<'a> {
    /// The ETag of the response, if it has one.
    pub etag: Option<&'a EntityTag>,
    /// The Last-Modified of the response, if it has one.
    pub modified: Option<SystemTime>,
}

/// The result of evaluating the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreconditionResult {
    /// Perform the request.
    Proceed,
    /// Respond with 304: the client already has this representation.
    NotModified,
    /// Respond with 412: the representation is not the one that the client named.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD request.
pub fn evaluate_preconditions(
    headers: Headers<'_>,
    validators: Validators<'_>,
) -> PreconditionResult {
    const CONDITIONS: [&str; 4] =
        ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since"];
    if !CONDITIONS.iter().any(|name| headers.might_contain(name)) {
        return PreconditionResult::Proceed;
    }
    if is_present(headers, "if-match") {
        if !any_tag(headers, "if-match", |tag| validators.matches_strongly(tag)) {
            return PreconditionResult::Failed;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, "if-unmodified-since"), validators.modified)
        && seconds(modified) > seconds(date)
    {
        return PreconditionResult::Failed;
    }
    if is_present(headers, "if-none-match") {
        let matches = |tag: &_| validators.etag.is_some_and(|etag| etag.matches_weakly(tag));
        if any_tag(headers, "if-none-match", matches) {
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

/// Whether to apply the Range of a request: it has no If-Range, or If-Range names this
/// representation.
///
/// A date matches only if it is equal, and only if the tag is strong. A weak tag means that the
/// file may change again within the same second, so that one date could name two contents.
pub fn evaluate_if_range(headers: Headers<'_>, validators: Validators<'_>) -> bool {
    let mut values = headers.values("if-range");
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(tag), None) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => {
            validators.matches_strongly(tag)
        }
        (Some(_), None) => match (date(headers, "if-range"), validators.modified) {
            (Some(date), Some(modified)) => {
                validators.etag.is_some_and(EntityTag::is_strong)
                    && seconds(date) == seconds(modified)
            }
            _ => false,
        },
        (Some(_), Some(_)) => false,
    }
}

impl Validators<'_> {
    fn matches_strongly(&self, tag: &[u8]) -> bool {
        self.etag.is_some_and(|etag| etag.matches_strongly(tag))
    }
}

fn is_present(headers: Headers<'_>, name: &'static str) -> bool {
    headers.values(name).next().is_some()
}

/// Whether any listed tag matches. `*` matches every existing representation, and one exists if
/// this is called.
fn any_tag(headers: Headers<'_>, name: &'static str, matches: impl Fn(&[u8]) -> bool) -> bool {
    headers.values(name).any(|value| value == b"*" || etag::list(value).any(&matches))
}

/// The date of a header that occurs exactly once and is well-formed, in any of the three formats.
/// None means that the precondition is ignored.
fn date(headers: Headers<'_>, name: &'static str) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(headers.only(name)?).ok()?).ok()
}

/// Truncates to seconds, the resolution of an HTTP date.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
