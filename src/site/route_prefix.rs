//! The path beneath which the site is served (`--route-prefix`).
//!
//! Behind a proxy that passes `/sub/…` on unchanged, the addresses of the site must begin with
//! `/sub`. The prefix is stripped when a target is parsed, so that every pattern is compared with
//! the path beneath the root, and it is prepended to each path that this server writes into a
//! response.

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_encode;

use super::path::{ESCAPED_IN_PATH, SitePath};

/// A path without a slash at its end. It is leaked, because options live as long as the process: so
/// a `SitePath` that holds one stays small and needs no lifetime for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePrefix {
    /// As in a target: percent-encoded, with a slash before it.
    target: &'static str,
    /// Decoded, without a slash at either end.
    relative: &'static [u8],
}

/// Why a target is not a path beneath the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The reason for a 400, as a sentence.
    Malformed(&'static str),
    /// It is not beneath the prefix.
    OutsidePrefix,
    /// It is the prefix without the slash at its end.
    Prefix,
}

impl RoutePrefix {
    /// The prefix for the links of a page: empty, or a path without a slash at its end.
    pub fn as_target(self) -> &'static str {
        self.target
    }

    /// Strips the prefix. The segments of `path` are decoded and normalised, so `/%73ub/` and
    /// `//sub/` are beneath `/sub`, and `/subway` is not.
    #[inline(never)]
    pub(super) fn strip_from(self, mut path: SitePath<'_>) -> Result<SitePath<'_>, PathError> {
        let rest = path.relative.strip_prefix(self.relative).ok_or(PathError::OutsidePrefix)?;
        let start = match rest {
            [] if path.is_directory => path.relative.len(),
            [] => return Err(PathError::Prefix),
            [b'/', ..] => self.relative.len() + 1,
            _ => return Err(PathError::OutsidePrefix),
        };
        match &mut path.relative {
            Cow::Borrowed(relative) => *relative = &relative[start..],
            Cow::Owned(relative) => drop(relative.drain(..start)),
        }
        path.route_prefix = self.target;
        // `.well-known` is at the top of the site.
        path.is_hidden = path.is_hidden && path.has_hidden_name();
        Ok(path)
    }
}

impl FromStr for RoutePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<RoutePrefix, String> {
        let expected = || {
            "expected a path such as /sub, not percent-encoded, without segments that are empty or \
             begin with a dot"
                .to_owned()
        };
        let path = text.strip_suffix('/').unwrap_or(text);
        let relative = path.strip_prefix('/').ok_or_else(expected)?;
        let is_segment = |segment: &str| !segment.is_empty() && !segment.starts_with('.');
        let is_plain = |c: char| !c.is_control() && !matches!(c, '%' | '?' | '#' | '\\');
        if !relative.split('/').all(is_segment) || !relative.chars().all(is_plain) {
            return Err(expected());
        }
        let target = format!("/{}", percent_encode(relative.as_bytes(), ESCAPED_IN_PATH));
        let relative = relative.to_owned().leak().as_bytes();
        Ok(RoutePrefix { target: target.leak(), relative })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_are_taken_off_however_they_are_written() {
        let prefix: RoutePrefix = "/sub/é/".parse().expect("a prefix");
        assert_eq!(prefix.as_target(), "/sub/%C3%A9");
        let beneath = |relative: &str| Ok(relative.to_owned());
        for (target, expected) in [
            ("/sub/é/", beneath("")),
            ("/sub/é/a/b", beneath("a/b")),
            ("/%73ub//%c3%a9/./a", beneath("a")),
            ("/x/../sub/é/a", beneath("a")),
            ("/sub/é/.well-known/a", beneath(".well-known/a")),
            ("/sub/é", Err(PathError::Prefix)),
            ("/sub/éa", Err(PathError::OutsidePrefix)),
            ("/sub/", Err(PathError::OutsidePrefix)),
            ("/sub/é/../a", Err(PathError::OutsidePrefix)),
            ("/SUB/é/a", Err(PathError::OutsidePrefix)),
            ("/", Err(PathError::OutsidePrefix)),
        ] {
            let path = SitePath::parse(target.as_bytes()).expect("a valid path");
            let stripped = prefix.strip_from(path).map(|path| {
                assert!(!path.is_hidden, "{target}");
                String::from_utf8_lossy(&path.relative).into_owned()
            });
            assert_eq!(stripped, expected, "{target}");
        }
        let hidden = SitePath::parse("/sub/é/.git/a".as_bytes()).expect("a valid path");
        assert!(prefix.strip_from(hidden).expect("it is beneath the prefix").is_hidden);
        for text in ["", "/", "//", "sub", "/a//b", "/../a", "/.a", "/%41", "/a?b", "/a#", "/a\n"] {
            assert!(text.parse::<RoutePrefix>().is_err(), "{text:?}");
        }
    }
}
