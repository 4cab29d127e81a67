//! What the site's owner wants beyond serving files: extra fields, caching, types, who may read.
//!
//! Each option is parsed here, once, from what the command line says; what can't be is a usage error that names it.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::{Duration, Instant};

use globset::{GlobBuilder, GlobMatcher};

use super::auth::Credentials;
use super::media_type;
use crate::http::HeaderBlock;

/// The owner's wishes.
#[derive(Debug, Default)]
pub struct Policy {
    /// Which codings are offered.
    pub compress: Compress,
    /// Whether a directory without an index page is listed.
    pub list: bool,
    /// The page for navigations that lead nowhere, as a path beneath the root.
    pub fallback: Option<Box<[u8]>>,
    /// Headers for the answers beneath some paths.
    pub headers: Vec<HeaderRule>,
    /// Cache-Control for some paths; the first that matches counts, and then the default.
    pub cache_control: Vec<CacheRule>,
    /// Whether pages of other origins may read the site.
    pub cors: bool,
    /// Who may read the site, if not everyone.
    pub credentials: Option<Credentials>,
    /// Types that differ from the table's.
    pub media_types: Vec<MediaTypeRule>,
    /// Work added to every answer: what it costs is lookup, so that what measures costs can be measured.
    pub handicap: Duration,
}

/// Which codings are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// The file as it is.
    Off,
    /// What lies beside it: `page.html.br`, `.zst`, `.gz`.
    Sidecar,
    /// That, and gzip made here.
    #[default]
    On,
}

/// `[GLOB ]Name: value`
#[derive(Clone, Debug)]
pub struct HeaderRule {
    paths: Paths,
    name: String,
    value: String,
}

/// `[GLOB ]value`
#[derive(Clone, Debug)]
pub struct CacheRule {
    paths: Paths,
    value: String,
}

/// `extension=type`
#[derive(Clone, Debug)]
pub struct MediaTypeRule {
    extension: String,
    media_type: String,
}

/// Which paths a rule is for.
#[derive(Clone, Debug)]
enum Paths {
    All,
    Like(GlobMatcher),
}

impl Policy {
    /// Works for nothing, if that is wished.
    pub(super) fn carry_handicap(&self) {
        if !self.handicap.is_zero() {
            let start = Instant::now();
            while start.elapsed() < self.handicap {
                std::hint::spin_loop();
            }
        }
    }

    /// Adds what is said of an answer about the file at `relative`.
    pub fn push_headers(&self, headers: &mut HeaderBlock, relative: &[u8]) {
        headers.push("Cache-Control", self.cache_control(relative));
        self.push_extra_headers(headers, relative);
    }

    /// Adds what is said of any answer for `relative`, errors and redirects too.
    pub fn push_extra_headers(&self, headers: &mut HeaderBlock, relative: &[u8]) {
        if self.cors {
            headers.push("Access-Control-Allow-Origin", "*");
            headers.push(
                "Access-Control-Expose-Headers",
                "Accept-Ranges, Content-Encoding, Content-Range, ETag",
            );
        }
        for rule in self.headers.iter().filter(|rule| rule.paths.contain(relative)) {
            headers.push(&rule.name, &rule.value);
        }
    }

    fn cache_control(&self, relative: &[u8]) -> &str {
        match self.cache_control.iter().find(|rule| rule.paths.contain(relative)) {
            Some(rule) => &rule.value,
            // A name that holds a hash of the content never has another content.
            None if is_fingerprinted(relative) => "public, max-age=31536000, immutable",
            // Kept, and asked for again each time: with an ETag that costs a 304, and a change is seen at once.
            None => "no-cache",
        }
    }

    /// The media type of the file called `name`.
    pub fn media_type(&self, name: &[u8]) -> Cow<'_, str> {
        let own = self.media_types.iter().find(|rule| {
            let start = name.len().checked_sub(rule.extension.len() + 1);
            start.is_some_and(|at| {
                name[at] == b'.' && name[at + 1..].eq_ignore_ascii_case(rule.extension.as_bytes())
            })
        });
        match own {
            Some(rule) => Cow::Borrowed(&rule.media_type),
            None => Cow::Borrowed(media_type::of_name(name)),
        }
    }
}

/// Whether the name of an asset has a segment that only a build tool writes: eight or more hexadecimal digits, some of
/// them letters and some figures (`app.3f2a9c1b.js`, not `2024.01.31` or `deadbeef.png`).
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

impl Paths {
    /// A rule that begins with a slash is for the paths that match it, up to the first space.
    fn parse(rule: &str) -> Result<(Paths, &str), String> {
        if !rule.starts_with('/') {
            return Ok((Paths::All, rule));
        }
        let (glob, rest) = rule
            .split_once(' ')
            .ok_or("behind the path pattern and a space something has to follow")?;
        // One star stays within a directory, as in a shell; two don't.
        let matcher = GlobBuilder::new(glob).literal_separator(true).build();
        let matcher =
            matcher.map_err(|error| format!("the path pattern {glob}: {}", error.kind()))?;
        Ok((Paths::Like(matcher.compile_matcher()), rest.trim_start()))
    }

    fn contain(&self, relative: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;
        match self {
            Paths::All => true,
            Paths::Like(glob) => {
                glob.is_match(std::ffi::OsStr::from_bytes(&[b"/", relative].concat()))
            }
        }
    }
}

impl FromStr for HeaderRule {
    type Err = String;

    fn from_str(text: &str) -> Result<HeaderRule, String> {
        // What this server says itself; said twice or wrongly it would break the connection or its promises.
        const OWN: [&str; 18] = [
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
        let (paths, field) = Paths::parse(text)?;
        let (name, value) = field.split_once(':').ok_or("'Name: value' is needed")?;
        let value = value.trim();
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        {
            return Err(format!("{name:?} is not a field's name"));
        }
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("{name} is said by the server itself"));
        }
        for (field, option) in
            [("cache-control", "--cache-control"), ("content-type", "--media-type")]
        {
            if name.eq_ignore_ascii_case(field) {
                return Err(format!("there is {option} for that"));
            }
        }
        Ok(HeaderRule { paths, name: name.to_owned(), value: checked(value)?.to_owned() })
    }
}

impl FromStr for CacheRule {
    type Err = String;

    fn from_str(text: &str) -> Result<CacheRule, String> {
        let (paths, value) = Paths::parse(text)?;
        if value.trim().is_empty() {
            return Err("a value is needed, such as 'no-store' or 'max-age=3600'".to_owned());
        }
        Ok(CacheRule { paths, value: checked(value.trim())?.to_owned() })
    }
}

impl FromStr for MediaTypeRule {
    type Err = String;

    fn from_str(text: &str) -> Result<MediaTypeRule, String> {
        const FORM: &str = "extension=type is needed, such as glb=model/gltf-binary";
        let (extension, media_type) = text.split_once('=').ok_or(FORM)?;
        let extension = extension.trim_start_matches('.').to_owned();
        let is_type = media_type
            .split_once('/')
            .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
        if extension.is_empty() || extension.contains('/') || !is_type {
            return Err(FORM.to_owned());
        }
        Ok(MediaTypeRule { extension, media_type: checked(media_type)?.to_owned() })
    }
}

/// A value without control characters: nothing that ends a line can get into a head.
fn checked(value: &str) -> Result<&str, String> {
    match value.chars().any(|c| c.is_control() && c != '\t') {
        true => Err("control characters have no place in a field".to_owned()),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_for_all_paths_or_for_those_they_name() {
        let rule: HeaderRule = "/assets/**/*.js X-A: b: c".parse().expect("a rule");
        assert_eq!((rule.name.as_str(), rule.value.as_str()), ("X-A", "b: c"));
        assert!(
            rule.paths.contain(b"assets/a.js")
                && rule.paths.contain(b"assets/x/y/a.js")
                && !rule.paths.contain(b"a.js")
        );
        let star: CacheRule = "/a/* no-store".parse().expect("a rule");
        assert!(star.paths.contain(b"a/b") && !star.paths.contain(b"a/b/c"));
        assert!("X-A: b".parse::<HeaderRule>().expect("a rule").paths.contain(b"anything"));
    }

    #[test]
    fn what_would_break_the_protocol_is_no_rule() {
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
            "Cache-Control: x",
        ] {
            assert!(text.parse::<HeaderRule>().is_err(), "{text:?}");
        }
        for text in ["", "/a", "/a ", "a\nb"] {
            assert!(text.parse::<CacheRule>().is_err(), "{text:?}");
        }
        for text in ["", "a", "a=b", "=a/b", "a=/b", "a=b/c\r\nX: y"] {
            assert!(text.parse::<MediaTypeRule>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_names_with_a_hash_in_them_never_change() {
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
