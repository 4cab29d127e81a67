//! Entity tags (RFC 9110 section 8.8.3).

use std::fmt::{self, Write};

/// An entity tag, as it appears in an ETag header. This server sends none that is weak: it would
/// have to identify bodies that are equivalent but differ, and a file has no such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    text: String,
}

impl EntityTag {
    /// The strong tag with the opaque part `opaque`, which must be visible ASCII without quotes. It
    /// promises that all responses that carry it have identical bodies.
    pub fn new(opaque: impl fmt::Display) -> EntityTag {
        // The hash of a content, a suffix and the quotes fit, so that the string does not grow
        // several times.
        const BYTES_TYPICAL: usize = 40;
        let mut text = String::with_capacity(BYTES_TYPICAL);
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\"{opaque}\"");
        let is_opaque_byte = |b: u8| b.is_ascii_graphic() && b != b'"';
        debug_assert!(text[1..text.len() - 1].bytes().all(is_opaque_byte));
        EntityTag { text }
    }

    /// The value of the ETag header: `"x"`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Strong comparison: both tags are strong and equal.
    pub(super) fn matches_strongly(&self, other: &[u8]) -> bool {
        self.text.as_bytes() == other
    }

    /// Weak comparison: the opaque parts are equal.
    pub(super) fn matches_weakly(&self, other: &[u8]) -> bool {
        self.text.as_bytes() == other.strip_prefix(b"W/").unwrap_or(other)
    }
}

/// The entity tags in the value of If-Match or If-None-Match, unparsed. A comma within quotes is
/// part of the tag. Iteration stops at the first malformed tag; the tags before it count.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let prefix =
            if rest.starts_with(b"W/\"") { 3 } else { usize::from(rest.starts_with(b"\"")) };
        if prefix == 0 {
            rest = b"";
            return None;
        }
        let Some(closing) = memchr::memchr(b'"', &rest[prefix..]) else {
            rest = b"";
            return None;
        };
        let (tag, after) = rest.split_at(prefix + closing + 1);
        rest = after;
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_list_is_split_at_commas_outside_quotes() {
        let tags = |text: &'static str| {
            list(text.as_bytes())
                .map(|t| String::from_utf8_lossy(t).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(tags(r#""a", W/"b,c" ,,"""#), [r#""a""#, r#"W/"b,c""#, r#""""#]);
        assert_eq!(tags(r#""a", b, "c""#), [r#""a""#]);
        assert_eq!(tags(r#""a", "open"#), [r#""a""#]);
        assert!(tags("*").is_empty() && tags("").is_empty());
    }

    #[test]
    fn a_weak_tag_matches_in_weak_comparison_only() {
        let tag = EntityTag::new("x");
        assert!(tag.matches_strongly(b"\"x\"") && !tag.matches_strongly(b"W/\"x\""));
        assert!(tag.matches_weakly(b"\"x\"") && tag.matches_weakly(b"W/\"x\""));
        assert!(!tag.matches_weakly(b"\"y\"") && !tag.matches_weakly(b"W/\"y\""));
        assert!(!tag.matches_weakly(b"") && !tag.matches_weakly(b"W/"));
    }
}
