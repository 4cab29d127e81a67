//! What is neither served nor listed (`--hide`).
//!
//! A pattern with a slash is compared with the path of the request, decoded and normalised, and any
//! other pattern with each name in it. What it matches is hidden with everything beneath it. So is
//! a path that matches once a slash is appended: with `/drafts/**`, a redirect from `/drafts` would
//! reveal that the directory exists. A hidden file is still sent as the fallback or as an error
//! page, and a hidden sidecar as a coding of its file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use globset::GlobMatcher;

use super::rules::{check_pattern, glob_matcher};

/// A pattern of paths or names.
#[derive(Clone, Debug)]
pub enum HidePattern {
    /// The path from the root, which begins with a slash.
    Path(GlobMatcher),
    /// Any segment of the path.
    Name(GlobMatcher),
}

/// The patterns of a site.
#[derive(Debug, Default)]
pub struct HiddenPaths(Vec<HidePattern>);

impl HiddenPaths {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `relative`, a path beneath the root without a slash at either end, or one of its
    /// parent directories is hidden.
    pub(super) fn hides(&self, relative: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.hides(relative))
    }
}

impl From<Vec<HidePattern>> for HiddenPaths {
    fn from(patterns: Vec<HidePattern>) -> HiddenPaths {
        HiddenPaths(patterns)
    }
}

impl HidePattern {
    fn hides(&self, relative: &[u8]) -> bool {
        let is_match = |glob: &GlobMatcher, text: &[u8]| glob.is_match(OsStr::from_bytes(text));
        match self {
            HidePattern::Name(glob) => {
                relative.split(|b| *b == b'/').any(|name| is_match(glob, name))
            }
            HidePattern::Path(glob) => {
                let path = [b"/", relative].concat();
                let parents = memchr::memchr_iter(b'/', &path).skip(1).map(|end| &path[..end]);
                parents.chain([&path[..]]).any(|path| is_match(glob, path))
                    || is_match(glob, &[&path[..], b"/"].concat())
            }
        }
    }
}

impl FromStr for HidePattern {
    type Err = String;

    fn from_str(glob: &str) -> Result<HidePattern, String> {
        if glob.trim() != glob {
            return Err("expected a pattern without white space at its ends".to_owned());
        }
        // A directory may be written with its slash.
        let glob = glob.strip_suffix('/').unwrap_or(glob);
        match glob {
            "." | ".." => Err(format!("'{glob}' can match no name")),
            _ if glob.ends_with('/') && glob.starts_with('/') => {
                Err(format!("'{glob}/' can match no path: expected no empty segment"))
            }
            "" => Err("expected the pattern of a name or path".to_owned()),
            _ if glob.starts_with('/') => {
                check_pattern(glob)?;
                Ok(HidePattern::Path(glob_matcher(glob)?))
            }
            _ if glob.contains('/') => {
                Err(format!("expected a name, or a path that begins with a slash: '/{glob}'"))
            }
            name => Ok(HidePattern::Name(glob_matcher(name)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_hides_what_it_matches_and_all_beneath_it() {
        for (pattern, hidden, visible) in [
            ("*.bak", &["a.bak", "d/a.bak", "d.bak/a"][..], &["a", "bak", "a.bak.txt"][..]),
            ("node_modules/", &["node_modules", "a/node_modules/b/c"], &["node_modules2"]),
            ("/drafts", &["drafts", "drafts/a/b"], &["a/drafts", "drafts2"]),
            ("/drafts/**", &["drafts", "drafts/a"], &["drafts2", "a/drafts"]),
            ("/drafts/*", &["drafts", "drafts/a", "drafts/a/b"], &["drafts2"]),
            ("/*.txt", &["a.txt", "a.txt/b"], &["a/b.txt"]),
            ("/a/**/*.txt", &["a/b.txt", "a/b/c.txt"], &["b.txt", "a"]),
        ] {
            let paths = HiddenPaths(vec![pattern.parse().expect("a pattern")]);
            let hides = |path: &&str| paths.hides(path.as_bytes());
            assert_eq!(hidden.iter().find(|path| !hides(path)), None, "{pattern}");
            assert_eq!(visible.iter().find(|path| hides(path)), None, "{pattern}");
        }
    }
}
