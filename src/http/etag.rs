//! Entity tags (RFC 9110 section 8.8.3).

/// An entity tag, as it appears in an ETag header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    text: Box<str>,
}

impl EntityTag {
    /// A tag with the opaque part `opaque`, which must be visible ASCII without quotes. A strong
    /// tag promises that all responses that carry it have identical bodies.
    pub fn new(opaque: &str, is_strong: bool) -> EntityTag {
        debug_assert!(opaque.bytes().all(|b| b.is_ascii_graphic() && b != b'"'));
        EntityTag {
            text: if is_strong { format!("\"{opaque}\"") } else { format!("W/\"{opaque}\"") }
                .into(),
        }
    }

    /// The value of the ETag header: `"x"` if strong, `W/"x"` if weak.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the tag is strong.
    pub fn is_strong(&self) -> bool {
        !self.text.starts_with("W/")
    }

    /// Strong comparison: both tags are strong and equal.
    pub(super) fn matches_strongly(&self, other: &[u8]) -> bool {
        self.is_strong() && self.text.as_bytes() == other
    }

    /// Weak comparison: the opaque parts are equal.
    pub(super) fn matches_weakly(&self, other: &[u8]) -> bool {
        let opaque = |tag: &'_ [u8]| tag.strip_prefix(b"W/").map_or(tag.len(), <[u8]>::len);
        let (own, other_len) = (self.text.as_bytes(), opaque(other));
        own[own.len() - opaque(own)..] == other[other.len() - other_len..]
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
        let (strong, weak) = (EntityTag::new("x", true), EntityTag::new("x", false));
        assert!(
            strong.matches_strongly(b"\"x\"")
                && !strong.matches_strongly(b"W/\"x\"")
                && !weak.matches_strongly(b"W/\"x\"")
        );
        assert!(
            strong.matches_weakly(b"W/\"x\"")
                && weak.matches_weakly(b"\"x\"")
                && !weak.matches_weakly(b"\"y\"")
        );
        assert!(!strong.matches_weakly(b"") && !strong.matches_weakly(b"W/"));
    }
}
