//! Lists a directory without an index page, as an HTML page or as JSON.
//!
//! A directory may hold tens of thousands of names, each of which takes a stat. So a listing is
//! always [deferred](crate::http::Reply::Deferred).
//!
//! Invariants:
//! 1. Only what would be served is listed: regular files and directories, no hidden names, and
//!    symbolic links only if their target is beneath the root.
//! 2. The memory of all listings in this process is bounded by [`LISTING_BYTES_MAX`].

use std::cmp::Ordering;
use std::io::Write;
use std::sync::atomic::{self, AtomicUsize};
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::directory_root::OpenDirectory;
use super::errors::{is_shortage, status_of_read};
use super::file_version::FileVersion;
use super::open_file::File;
use super::path::{SitePath, escape_segment};
use crate::format;
use crate::http::{Body, DateText, HeaderBlock, Request, Response, Status};

/// Further entries are left out, and the page says so. At 200 bytes each this is a page of 20 MB.
const ENTRIES_MAX: usize = 100_000;

/// The form and order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingOptions {
    format: Format,
    sort_by: Column,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Html,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Size,
    Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    is_directory: bool,
    size_bytes: u64,
    modified: SystemTime,
}

struct Listing {
    entries: Vec<Entry>,
    /// Whether the directory has no more than [`ENTRIES_MAX`] entries.
    is_complete: bool,
}

impl ListingOptions {
    /// JSON if the client accepts JSON and not HTML. Order: `?sort=name|size|date&order=desc`.
    pub fn parse(request: &Request<'_>, query: Option<&[u8]>) -> ListingOptions {
        let headers = request.headers;
        let format = if headers.accepts("application/json") && !headers.accepts("text/html") {
            Format::Json
        } else {
            Format::Html
        };
        let (mut sort_by, mut order) = (Column::Name, Order::Ascending);
        for pair in query.unwrap_or_default().split(|b| *b == b'&') {
            match pair {
                b"sort=size" => sort_by = Column::Size,
                b"sort=date" => sort_by = Column::Date,
                b"order=desc" => order = Order::Descending,
                _ => {}
            }
        }
        ListingOptions { format, sort_by, order }
    }
}

/// Reads the open directory and lists it. `policy_lines` are the rendered headers of the policy.
///
/// # Errors
/// 500 if reading the directory fails; 503 if descriptors or memory are exhausted.
pub fn respond(
    directory: &OpenDirectory,
    path: &SitePath<'_>,
    options: ListingOptions,
    policy_lines: &[u8],
) -> Result<Response<File>, Status> {
    let mut listing = read(directory, path).map_err(status_of_read)?;
    sort(&mut listing.entries, options);
    let (body, media_type) = match options.format {
        Format::Html => (page(path, &listing, options), "text/html; charset=utf-8"),
        Format::Json => (json(path, &listing), "application/json; charset=utf-8"),
    };
    let body = ListingBody::new(body).ok_or(Status::ServiceUnavailable)?;
    let mut headers = HeaderBlock::default();
    headers.push("Vary", "Accept");
    headers.push_lines(policy_lines);
    headers.push_content_type(media_type);
    headers.push_number("Content-Length", body.0.len() as u64);
    Ok(Response { status: Status::Ok, headers, body: Body::Bytes(Bytes::from_owner(body)) })
}

/// A listing in memory. It counts towards [`LISTING_BYTES`] until its last byte has been sent.
struct ListingBody(Vec<u8>);

/// The size of all listings in this process. A listing is the only body that is large and not
/// shared: without a bound, a thousand clients that request one and don't read it would hold a
/// thousand copies.
static LISTING_BYTES: AtomicUsize = AtomicUsize::new(0);
const LISTING_BYTES_MAX: usize = 128 * 1024 * 1024;

impl ListingBody {
    /// None if `bytes` would exceed [`LISTING_BYTES_MAX`].
    fn new(bytes: Vec<u8>) -> Option<ListingBody> {
        let body = ListingBody(bytes);
        let others = LISTING_BYTES.fetch_add(body.0.len(), atomic::Ordering::AcqRel);
        (others + body.0.len() <= LISTING_BYTES_MAX).then_some(body)
    }
}

impl Drop for ListingBody {
    fn drop(&mut self) {
        LISTING_BYTES.fetch_sub(self.0.len(), atomic::Ordering::AcqRel);
    }
}

impl AsRef<[u8]> for ListingBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn read(open: &OpenDirectory, path: &SitePath<'_>) -> rustix::io::Result<Listing> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(&open.directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // Hidden names, `.` and `..`.
        if name.starts_with(b".") {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            return Ok(Listing { entries, is_complete: false });
        }
        let stat = match statat(&open.directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                open.stat_link(&join(path, name))
            }
            result => result,
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(errno) if is_shortage(errno) => return Err(errno),
            // The file has been deleted since, or a link leads nowhere or out of the root.
            Err(_) => continue,
        };
        let is_directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => continue,
        };
        let version = FileVersion::from_stat(&stat);
        // The st_size of a directory says nothing about its contents.
        let size_bytes = if is_directory { 0 } else { version.size_bytes };
        let (name, modified) = (name.to_vec(), version.modified());
        entries.push(Entry { name, is_directory, size_bytes, modified });
    }
    Ok(Listing { entries, is_complete: true })
}

fn join(path: &SitePath<'_>, name: &[u8]) -> Vec<u8> {
    if path.relative.is_empty() { name.to_vec() } else { [&path.relative[..], b"/", name].concat() }
}

/// Directories come first in any order. Entries equal in the column are sorted by name.
fn sort(entries: &mut [Entry], options: ListingOptions) {
    entries.sort_by(|a, b| {
        let by_column = match options.sort_by {
            Column::Name => Ordering::Equal,
            Column::Size => a.size_bytes.cmp(&b.size_bytes),
            Column::Date => a.modified.cmp(&b.modified),
        };
        let ascending = by_column
            .then_with(|| a.name.to_ascii_lowercase().cmp(&b.name.to_ascii_lowercase()))
            .then_with(|| a.name.cmp(&b.name));
        let ordering = match options.order {
            Order::Ascending => ascending,
            Order::Descending => ascending.reverse(),
        };
        b.is_directory.cmp(&a.is_directory).then(ordering)
    });
}

fn json(path: &SitePath<'_>, listing: &Listing) -> Vec<u8> {
    let mut out = b"{\"path\":".to_vec();
    format::json_string(&mut out, path.to_directory_target().as_bytes());
    out.extend_from_slice(b",\"entries\":[");
    for (n, entry) in listing.entries.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"\n{\"name\":" } else { b",\n{\"name\":" });
        format::json_string(&mut out, &entry.name);
        out.extend_from_slice(b",\"href\":");
        format::json_string(&mut out, href(entry).as_bytes());
        let kind = if entry.is_directory { "folder" } else { "file" };
        // Writing to a Vec can't fail.
        let _ = write!(out, ",\"type\":\"{kind}\"");
        if !entry.is_directory {
            let _ = write!(out, ",\"size\":{}", entry.size_bytes);
        }
        let seconds = match entry.modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i128,
            Err(before) => -(before.duration().as_secs() as i128),
        };
        let _ = write!(out, ",\"modified\":{seconds}}}");
    }
    let _ = write!(out, "\n],\"complete\":{}}}\n", listing.is_complete);
    out
}

fn page(path: &SitePath<'_>, listing: &Listing, options: ListingOptions) -> Vec<u8> {
    let entries = &listing.entries;
    let mut out = Vec::with_capacity(4096 + 160 * entries.len());
    let title = escape_html(&path.relative);
    let title = if title.is_empty() { "/".to_owned() } else { format!("/{title}/") };
    // Writing to a Vec can't fail, here and below.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{}</h1>\n<table>\n<thead><tr>",
        breadcrumbs(path)
    );
    for (column, class, name) in [
        (Column::Name, "name", "Name"),
        (Column::Size, "size", "Size"),
        (Column::Date, "date", "Changed"),
    ] {
        let _ = write!(out, "{}", heading(column, class, name, options));
    }
    out.extend_from_slice(b"</tr></thead>\n<tbody>\n");
    if !path.relative.is_empty() {
        out.extend_from_slice(b"<tr><td class=\"name\"><a href=\"../\">..</a></td><td class=\"size\"></td><td class=\"date\"></td></tr>\n");
    }
    for entry in entries {
        let (name, href) = (escape_html(&entry.name), href(entry));
        let (slash, size) = if entry.is_directory {
            ("/", String::new())
        } else {
            ("", format::bytes(entry.size_bytes))
        };
        let date = DateText::new(entry.modified).map_or(String::new(), |date| {
            // "Sun, 06 Nov 1994 08:49:37 GMT" → "06 Nov 1994 08:49"
            String::from_utf8_lossy(&date.as_bytes()[5..22]).into_owned()
        });
        let _ = writeln!(
            out,
            "<tr><td class=\"name\"><a href=\"{href}\">{name}{slash}</a></td><td class=\"size\">{size}</td><td class=\"date\">{date}</td></tr>"
        );
    }
    let directories = entries.iter().filter(|entry| entry.is_directory).count();
    let count = |n: usize, one: &str, many: &str| {
        if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
    };
    let (directories, files) = (
        count(directories, "folder", "folders"),
        count(entries.len() - directories, "file", "files"),
    );
    let rest = if listing.is_complete { "" } else { ", and more that are not listed" };
    let _ = write!(
        out,
        "</tbody>\n</table>\n<footer>{directories}, {files}{rest}. Times are in UTC.</footer>\n</html>\n"
    );
    out
}

/// A column heading. Its link sorts by the column; if that is the order already, it reverses it.
fn heading(column: Column, class: &str, name: &str, options: ListingOptions) -> String {
    let is_sorted = options.sort_by == column;
    let (aria, arrow) = match options.order {
        _ if !is_sorted => ("none", ""),
        Order::Ascending => ("ascending", " \u{2191}"),
        Order::Descending => ("descending", " \u{2193}"),
    };
    let sort = ["name", "size", "date"][column as usize];
    let order = if is_sorted && options.order == Order::Ascending { "&amp;order=desc" } else { "" };
    format!(
        "<th class=\"{class}\" aria-sort=\"{aria}\"><a href=\"?sort={sort}{order}\">{name}{arrow}</a></th>"
    )
}

/// The directories from the root to `path`, each a link.
fn breadcrumbs(path: &SitePath<'_>) -> String {
    let mut crumbs = "<a href=\"/\">/</a>".to_owned();
    let mut href = "/".to_owned();
    for segment in path.relative.split(|b| *b == b'/').filter(|segment| !segment.is_empty()) {
        href.push_str(&escape_segment(segment));
        href.push('/');
        crumbs.push_str(&format!(
            " <a href=\"{}\">{}</a> /",
            href.replace('&', "&amp;").replace('\'', "%27"),
            escape_html(segment)
        ));
    }
    crumbs
}

/// A relative link. It starts with `./`, so that a colon in the name does not make a scheme of it.
fn href(entry: &Entry) -> String {
    let slash = if entry.is_directory { "/" } else { "" };
    format!("./{}{slash}", escape_segment(&entry.name)).replace('&', "%26").replace('\'', "%27")
}

/// The name as text. Invalid UTF-8 becomes a replacement character; the link has the exact bytes.
fn escape_html(name: &[u8]) -> String {
    format::escape_html(&String::from_utf8_lossy(name))
}

const STYLE: &str = "\
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 16%,transparent)}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2.5rem auto;padding:0 1.25rem}\
h1{font-size:1.15rem;font-weight:600;overflow-wrap:anywhere}\
a{text-decoration:none;color:light-dark(#0b5cad,#8ab8ff)}a:hover{text-decoration:underline}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.45rem .75rem .45rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}\
th{font-size:.85rem}th a{color:inherit;opacity:.75}\
.name{overflow-wrap:anywhere}.size,.date{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}\
td.size,td.date{opacity:.8}.date{padding-right:0}tbody tr:hover{background:color-mix(in srgb,currentColor 5%,transparent)}\
footer{margin-top:1.25rem;font-size:.85rem;opacity:.7}\
@media(max-width:34rem){body{margin-top:1.25rem}.date{display:none}.size{padding-right:0}td{padding-block:.6rem}}";
