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
    /// When the content was last modified, if that is known.
    pub modified: Option<&'a LastModified>,
}

/// When a content was last modified (RFC 9110 section 8.8.2). HTTP compares the seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastModified {
    /// The time.
    pub time: SystemTime,
    /// How far it identifies the content.
    pub strength: DateStrength,
}

/// How far a date identifies a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateStrength {
    /// Later contents may have the same date, so the response has no Last-Modified. The content was
    /// certainly not modified after the date, but maybe within the same second.
    Withheld,
    /// Other contents are not expected to have it.
    Weak,
    /// No other content has it (section 8.8.2.2).
    Strong,
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
        if !any_tag(headers, "if-match", validators.etag, EntityTag::matches_strongly) {
            return PreconditionResult::Failed;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, "if-unmodified-since"), validators.modified)
        && modified.is_later_than(date)
    {
        return PreconditionResult::Failed;
    }
    if is_present(headers, "if-none-match") {
        if any_tag(headers, "if-none-match", validators.etag, EntityTag::matches_weakly) {
            return PreconditionResult::NotModified;
        }
    } else if let (Some(date), Some(modified)) =
        (date(headers, "if-modified-since"), validators.modified)
        && modified.strength != DateStrength::Withheld
        && !modified.is_later_than(date)
    {
        return PreconditionResult::NotModified;
    }
    PreconditionResult::Proceed
}

/// Whether to apply the Range of a request: it has no If-Range, or If-Range names this
/// representation.
///
/// A date matches only if it is equal and [strong](DateStrength::Strong): if one date could name
/// two contents, the client might join parts of both.
pub fn evaluate_if_range(headers: Headers<'_>, validators: Validators<'_>) -> bool {
    let mut values = headers.values("if-range");
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(tag), None) if tag.starts_with(b"\"") || tag.starts_with(b"W/") => {
            validators.etag.is_some_and(|etag| etag.matches_strongly(tag))
        }
        (Some(_), None) => match (date(headers, "if-range"), validators.modified) {
            (Some(date), Some(modified)) => {
                modified.strength == DateStrength::Strong && seconds(date) == seconds(modified.time)
            }
            _ => false,
        },
        (Some(_), Some(_)) => false,
    }
}

impl LastModified {
    /// Whether the content may have been modified after `date`.
    fn is_later_than(&self, date: SystemTime) -> bool {
        match self.strength {
            DateStrength::Withheld => seconds(self.time) >= seconds(date),
            DateStrength::Weak | DateStrength::Strong => seconds(self.time) > seconds(date),
        }
    }
}

fn is_present(headers: Headers<'_>, name: &'static str) -> bool {
    headers.values(name).next().is_some()
}

/// Whether any listed tag matches `etag`. `*` matches every existing representation, and one exists
/// if this is called.
fn any_tag(
    headers: Headers<'_>,
    name: &'static str,
    etag: Option<&EntityTag>,
    matches: impl Fn(&EntityTag, &[u8]) -> bool,
) -> bool {
    headers.values(name).any(|value| {
        value == b"*" || etag.is_some_and(|etag| etag::list(value).any(|tag| matches(etag, tag)))
    })
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
