//! What the options of the command line change about the responses of a site.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Authenticator;
use super::compressor::Compressor;
use super::cors::Cors;
use super::health::HealthPath;
use super::hidden::HiddenPaths;
use super::listing::Listings;
use super::media_type;
use super::open_files::OpenFiles;
use super::path::{IndexNames, SitePath};
use super::redirects::RedirectRule;
use super::route_prefix::{PathError, RoutePrefix};
use super::rules::{CacheRule, HeaderRule, MediaTypeRule};
use super::server_names::ServerName;
use crate::http::{HeaderBlock, HeaderLines, Request, Response, Status, Target};

/// The options of a site.
#[derive(Debug, Default)]
pub struct Policy {
    /// Which content codings are offered.
    pub compress: Compress,
    /// Compresses files for [`Compress::On`].
    pub compressor: Arc<Compressor>,
    /// Keeps large files open.
    pub open_files: Arc<OpenFiles>,
    /// How a change of a cached file is noticed.
    pub change_detection: ChangeDetection,
    /// What is neither served nor listed.
    pub hidden: Arc<HiddenPaths>,
    /// The names of index pages.
    pub index_names: IndexNames,
    /// Whether pages are served without their extension: `/about` for `about.html`.
    pub clean_urls: bool,
    /// The listings of directories without an index page, if they are listed.
    pub listings: Option<Arc<Listings>>,
    /// The path that tells whether the server accepts requests, if there is one.
    pub health: Option<Box<HealthPath>>,
    /// Whether the 404 of a directory without an index page names `--list`.
    pub suggests_listings: bool,
    /// The hosts that the site is served for; every host if there are none.
    pub server_names: Vec<ServerName>,
    /// The page for navigations to a path that does not exist, as a path beneath the root.
    pub fallback: Option<Box<[u8]>>,
    /// The site's own error pages, in addition to `404.html`.
    pub error_pages: ErrorPages,
    /// Additional headers.
    pub headers: Vec<HeaderRule>,
    /// Values of Cache-Control; the first rule that matches a path applies, else the default.
    pub cache_control: Vec<CacheRule>,
    /// Which other origins may read the site.
    pub cors: Cors,
    /// Redirects, which are tried before files; the first rule that matches a path applies.
    pub redirects: Vec<RedirectRule>,
    /// The path beneath which the site is served, unless that is `/`.
    pub route_prefix: Option<RoutePrefix>,
    /// Checks the user name and password of every request, if the site requires them.
    pub authenticator: Option<Arc<Authenticator>>,
    /// Media types that override the built-in table.
    pub media_types: Vec<MediaTypeRule>,
    /// CPU time added to every response, so that a comparison has a known difference to detect.
    pub handicap: Duration,
}

/// The page for each status, as a path beneath the root.
pub type ErrorPages = Vec<(Status, Box<[u8]>)>;

/// Which content codings are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// None.
    Off,
    /// Those of sidecars: `page.html.br`, `.zst`, `.gz`.
    Sidecar,
    /// Those of sidecars, and those that this server makes: brotli and gzip.
    #[default]
    On,
}

/// How a change of a cached file is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeDetection {
    /// By inotify(7). What is not watched is compared with the disk every second, and what is,
    /// every ten seconds.
    #[default]
    Watch,
    /// Each request compares the file with the disk.
    EachRequest,
}

impl Policy {
    /// The same for a server that forks a child for each connection: what the children make and
    /// keep open is bounded for each of them, because they share no memory. They watch nothing: a
    /// child that did would start a thread and wait for the kernel to end the watches, for the few
    /// files that one connection requests twice.
    pub fn for_children(self) -> Policy {
        Policy {
            compressor: Arc::new(Compressor::for_children()),
            open_files: Arc::new(OpenFiles::for_children()),
            change_detection: ChangeDetection::EachRequest,
            ..self
        }
    }

    /// Whether the site is served for `host`.
    pub fn serves(&self, host: &[u8]) -> bool {
        self.server_names.iter().any(|name| name.matches(host))
    }

    /// The path of a request target, with the first of the index names. It is hidden if an option
    /// says so.
    ///
    /// # Errors
    /// Those of [`SitePath::parse`]; the path is not beneath the prefix.
    #[inline(always)]
    pub fn parse_path<'a>(&self, target: &'a [u8]) -> Result<SitePath<'a>, PathError> {
        let path = SitePath::parse(target).map_err(PathError::Malformed)?;
        let path = match self.route_prefix {
            Some(prefix) => prefix.strip_from(path)?,
            None => path,
        };
        let is_hidden =
            path.is_hidden || !self.hidden.is_empty() && self.hidden.hides(&path.relative);
        Ok(SitePath { is_hidden, index: self.index_names.first, ..path })
    }

    /// The path of the target, for the rules. None if it is malformed or outside the prefix, or if
    /// there is none.
    pub fn valid_path<'a>(&self, request: &Request<'a>) -> Option<SitePath<'a>> {
        match request.target {
            Target::Path { path, .. } => self.parse_path(path).ok(),
            Target::Server | Target::Authority => None,
        }
    }

    /// The status and Location of the first redirect that matches the target, with its path.
    pub fn redirect<'a>(&self, request: &Request<'a>) -> Option<(Status, String, SitePath<'a>)> {
        let Target::Path { path, query } = request.target else { return None };
        let path = self.parse_path(path).ok()?;
        let (status, location) = self.redirects.iter().find_map(|rule| rule.apply(&path, query))?;
        Some((status, location, path))
    }

    /// The path of the page for a failure, beneath the root. It need not exist.
    pub fn error_page(&self, status: Status) -> Option<&[u8]> {
        let own = self.error_pages.iter().find(|(own, _)| *own == status);
        let default = (status == Status::NotFound).then_some(&b"404.html"[..]);
        own.map(|(_, page)| &**page).or(default)
    }

    /// The header lines of a response that sends, or refers to, the file or listing at `path`.
    pub fn header_lines(&self, path: &SitePath<'_>) -> HeaderLines {
        let mut headers = HeaderBlock::default();
        headers.push("Cache-Control", self.cache_control(path));
        self.push_common_headers(&mut headers, Some(path));
        headers.freeze()
    }

    /// Adds the headers of any other response, such as an error or a redirect. `path` is None if
    /// the request has no valid path.
    pub fn apply_to<F>(
        &self,
        mut response: Response<F>,
        path: Option<&SitePath<'_>>,
    ) -> Response<F> {
        self.push_common_headers(&mut response.headers, path);
        response
    }

    /// The same headers as lines, for an error that is made elsewhere.
    pub fn error_lines(&self, path: Option<&SitePath<'_>>) -> HeaderLines {
        let mut headers = HeaderBlock::default();
        self.push_common_headers(&mut headers, path);
        headers.freeze()
    }

    fn push_common_headers(&self, headers: &mut HeaderBlock, path: Option<&SitePath<'_>>) {
        self.cors.push_headers(headers);
        for rule in self.headers.iter().filter(|rule| rule.paths.matches(path)) {
            headers.push(&rule.name, &rule.value);
        }
    }

    fn cache_control(&self, path: &SitePath<'_>) -> &str {
        match self.cache_control.iter().find(|rule| rule.paths.matches(Some(path))) {
            Some(rule) => &rule.value,
            // The content behind a name that contains its hash never changes. A response that needs
            // a password is `private`: no shared cache gives it to others (RFC 9111 section 3.5).
            None if is_fingerprinted(&path.file_path()) => match self.authenticator {
                None => "max-age=31536000, immutable",
                Some(_) => "private, max-age=31536000, immutable",
            },
            None if self.authenticator.is_some() => "private, no-cache",
            // Caches keep the file but revalidate it each time, which costs a 304 thanks to the
            // ETag. So a change is visible at once.
            None => "no-cache",
        }
    }

    /// The media type of a file called `name`. None if the name does not tell.
    pub fn media_type(&self, name: &[u8]) -> Option<&str> {
        match self.media_types.iter().find(|rule| rule.matches(name)) {
            Some(rule) => Some(&rule.media_type),
            None => media_type::of_name(name),
        }
    }
}

/// Whether `relative` is named as build tools name an asset whose content never changes: a name, a
/// separator, a hash of eight or more hexadecimal digits, and the extension (`app.3f2a9c1b.js`,
/// `chunk-0a1b2c3d4e.css`, either with `.map`). A wrong guess pins an outdated file in browsers for
/// a year, so data (`.json`), pages, IDs and names that are nothing but a hash do not count.
fn is_fingerprinted(relative: &[u8]) -> bool {
    const ASSETS: [&[u8]; 12] = [
        b"js", b"mjs", b"css", b"wasm", b"woff", b"woff2", b"ttf", b"png", b"jpg", b"svg", b"webp",
        b"avif",
    ];
    let file_name = relative.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let file_name = file_name.strip_suffix(b".map").unwrap_or(file_name);
    let Some((stem, extension)) = rsplit(file_name, b".") else { return false };
    let Some((name, hash)) = rsplit(stem, b".-_") else { return false };
    ASSETS.contains(&extension) && !name.is_empty() && is_hash(hash) && !ends_with_uuid(stem)
}

/// Splits at the last of `separators`.
fn rsplit<'a>(text: &'a [u8], separators: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.iter().rposition(|b| separators.contains(b))?;
    Some((&text[..at], &text[at + 1..]))
}

/// Dates are only decimal digits, and words such as `deadbeef` only letters. No build tool is known
/// to write 24 digits, the length of MongoDB's object IDs.
fn is_hash(text: &[u8]) -> bool {
    text.len() >= 8
        && text.len() != 24
        && text.iter().all(u8::is_ascii_hexdigit)
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_alphabetic)
}

/// Whether `text` ends with a UUID: hexadecimal digits in groups of 8, 4, 4, 4 and 12. A name may
/// precede it: `user_550e8400-…`.
fn ends_with_uuid(text: &[u8]) -> bool {
    const UUID_BYTES: usize = 36;
    text.last_chunk::<UUID_BYTES>().is_some_and(|uuid| {
        let is_hex = |group: &[u8]| group.iter().all(u8::is_ascii_hexdigit);
        let mut groups = uuid.split(|b| *b == b'-');
        groups.clone().map(<[u8]>::len).eq([8, 4, 4, 4, 12]) && groups.all(is_hex)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_contain_a_hash_are_fingerprinted() {
        for name in [
            "a/app.3f2a9c1b.js",
            "app.3f2a9c1b.js.map",
            "chunk-0a1b2c3d4e.css",
            "x_9f8e7d6c5b4a.woff2",
        ] {
            assert!(is_fingerprinted(name.as_bytes()), "{name}");
        }
        for name in [
            "app.js",
            "report-20240131.css",
            "deadbeef.png",
            "3f2a9c1b.html",
            "3f2a9c1b/app.js",
            "app.3f2a9c1.js",
            "app.3f2a9c1b.json",
            "3f2a9c1b4d5e.js",
            "users/550e8400-e29b-41d4-a716-446655440000.js",
            "avatar-550e8400-e29b-41d4-a716-446655440000.png",
            "avatar_550e8400-e29b-41d4-a716-4466554400a0.png",
            "photo_507f1f77bcf86cd799439011.jpg",
        ] {
            assert!(!is_fingerprinted(name.as_bytes()), "{name}");
        }
    }
}
