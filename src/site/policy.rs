//! What the options of the command line change about the responses of a site.

use std::borrow::Cow;
use std::time::Duration;

use super::auth::Credentials;
use super::media_type;
use super::rules::{CacheRule, HeaderRule, MediaTypeRule};
use crate::http::{HeaderBlock, Response};

/// The options of a site.
#[derive(Debug, Default)]
pub struct Policy {
    /// Which content codings are offered.
    pub compress: Compress,
    /// Whether directories without an index page are listed.
    pub list: bool,
    /// The page for navigations to a path that does not exist, as a path beneath the root.
    pub fallback: Option<Box<[u8]>>,
    /// Additional headers.
    pub headers: Vec<HeaderRule>,
    /// Values of Cache-Control; the first rule that matches a path applies, else the default.
    pub cache_control: Vec<CacheRule>,
    /// Whether scripts of other origins may read the site.
    pub cors: bool,
    /// The user name and password that every request must carry.
    pub credentials: Option<Credentials>,
    /// Media types that override the built-in table.
    pub media_types: Vec<MediaTypeRule>,
    /// CPU time added to every response, so that a comparison has a known difference to detect.
    pub handicap: Duration,
}

/// Which content codings are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// None.
    Off,
    /// Those of sidecars: `page.html.br`, `.zst`, `.gz`.
    Sidecar,
    /// Those of sidecars, and gzip made by this server.
    #[default]
    On,
}

impl Policy {
    /// Adds the headers of a response that sends, or refers to, the file at `relative`.
    pub fn push_headers(&self, headers: &mut HeaderBlock, relative: &[u8]) {
        headers.push("Cache-Control", self.cache_control(relative));
        self.push_common_headers(headers, relative);
    }

    /// Adds the headers of any other response about `relative`, such as an error or a redirect.
    pub fn apply_to<F>(&self, mut response: Response<F>, relative: &[u8]) -> Response<F> {
        self.push_common_headers(&mut response.headers, relative);
        response
    }

    fn push_common_headers(&self, headers: &mut HeaderBlock, relative: &[u8]) {
        if self.cors {
            headers.push("Access-Control-Allow-Origin", "*");
            headers.push(
                "Access-Control-Expose-Headers",
                "Accept-Ranges, Content-Encoding, Content-Range, ETag",
            );
        }
        for rule in self.headers.iter().filter(|rule| rule.paths.matches(relative)) {
            headers.push(&rule.name, &rule.value);
        }
    }

    fn cache_control(&self, relative: &[u8]) -> &str {
        match self.cache_control.iter().find(|rule| rule.paths.matches(relative)) {
            Some(rule) => &rule.value,
            // The content behind a name that contains its hash never changes.
            None if is_fingerprinted(relative) => "public, max-age=31536000, immutable",
            // Caches keep the file but revalidate it each time, which costs a 304 thanks to the
            // ETag. So a change is visible at once.
            None => "no-cache",
        }
    }

    /// The media type of a file called `name`.
    pub fn media_type(&self, name: &[u8]) -> Cow<'_, str> {
        match self.media_types.iter().find(|rule| rule.matches(name)) {
            Some(rule) => Cow::Borrowed(&rule.media_type),
            None => Cow::Borrowed(media_type::of_name(name)),
        }
    }
}

/// Whether the name of an asset contains a hash, as build tools write it: a segment of eight or
/// more hexadecimal digits, both letters and decimal digits among them (`app.3f2a9c1b.js`, but not
/// `2024.01.31` or `deadbeef.png`).
fn is_fingerprinted(relative: &[u8]) -> bool {
    const ASSETS: [&[u8]; 14] = [
        b"js", b"mjs", b"css", b"map", b"wasm", b"woff", b"woff2", b"ttf", b"png", b"jpg", b"svg",
        b"webp", b"avif", b"json",
    ];
    let name = relative.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let mut segments = name.split(|b| matches!(b, b'.' | b'-' | b'_'));
    let is_asset =
        name.rsplit(|b| *b == b'.').next().is_some_and(|extension| ASSETS.contains(&extension));
    is_asset
        && segments.any(|segment| {
            segment.len() >= 8
                && segment.iter().all(u8::is_ascii_hexdigit)
                && segment.iter().any(u8::is_ascii_digit)
                && segment.iter().any(u8::is_ascii_alphabetic)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_contain_a_hash_are_fingerprinted() {
        for name in ["a/app.3f2a9c1b.js", "chunk-0a1b2c3d4e.css", "x_9f8e7d6c5b4a.woff2"] {
            assert!(is_fingerprinted(name.as_bytes()), "{name}");
        }
        for name in [
            "app.js",
            "report-20240131.css",
            "deadbeef.png",
            "3f2a9c1b.html",
            "3f2a9c1b/app.js",
            "app.3f2a9c1.js",
        ] {
            assert!(!is_fingerprinted(name.as_bytes()), "{name}");
        }
    }
}
