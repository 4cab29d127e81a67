//! A directory without an index page, as a page for people or as JSON for programs.
//!
//! A directory may hold tens of thousands of names, each to be asked for its facts. So a listing is never made where
//! requests are answered: it is work that the worker hands to a helper (see [`DeferredReply`](crate::http::DeferredReply)).

use std::cmp::Ordering;
use std::io::Write;
use std::sync::atomic::{self, AtomicUsize};
use std::time::SystemTime;

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::File;
use super::path::{SitePath, escape_segment};
use super::root::{FileVersion, OpenDirectory, status_of};
use crate::format;
use crate::http::{Body, DateText, HeaderBlock, Request, Response, Status};

/// More are not listed; the page says so. At some 200 bytes each that is 20 MB of page.
const ENTRIES_MAX: usize = 100_000;

/// How a listing is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    form: Form,
    by: Column,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
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
    Rising,
    Falling,
}

#[derive(Debug)]
struct Item {
    name: Vec<u8>,
    is_directory: bool,
    /// In bytes.
    size: u64,
    modified: SystemTime,
}

impl Wanted {
    /// What the request asks for: JSON if it takes that and no HTML; `?sort=name|size|date&order=desc`.
    pub fn parse(request: &Request<'_>, query: Option<&[u8]>) -> Wanted {
        let headers = request.headers;
        let form = if headers.accepts("application/json") && !headers.accepts("text/html") {
            Form::Json
        } else {
            Form::Page
        };
        let (mut by, mut order) = (Column::Name, Order::Rising);
        for pair in query.unwrap_or_default().split(|b| *b == b'&') {
            match pair {
                b"sort=size" => by = Column::Size,
                b"sort=date" => by = Column::Date,
                b"order=desc" => order = Order::Falling,
                _ => {}
            }
        }
        Wanted { form, by, order }
    }
}

/// Reads the open directory and answers with what is in it. `policy_lines` are what the owner wants said.
///
/// # Errors
/// The status that says why it can't be listed now: 500 if the disk fails, 503 if something is short.
pub fn respond(
    directory: &OpenDirectory,
    path: &SitePath<'_>,
    wanted: Wanted,
    policy_lines: &[u8],
) -> Result<Response<File>, Status> {
    let (items, is_whole) = read(directory, path).map_err(|errno| match status_of(errno) {
        Status::ServiceUnavailable => Status::ServiceUnavailable,
        // It was there and could be opened.
        _ => Status::InternalServerError,
    })?;
    let items = sorted(items, wanted);
    let (body, media_type) = match wanted.form {
        Form::Page => (page(path, &items, is_whole, wanted), "text/html; charset=utf-8"),
        Form::Json => (json(path, &items, is_whole), "application/json; charset=utf-8"),
    };
    let body = Listed::new(body).ok_or(Status::ServiceUnavailable)?;
    let mut headers = HeaderBlock::default();
    headers.push("Vary", "Accept");
    headers.push_lines(policy_lines);
    headers.push_content_type(media_type);
    headers.push_number("Content-Length", body.0.len() as u64);
    Ok(Response { status: Status::Ok, headers, body: Body::Bytes(Bytes::from_owner(body)) })
}

/// A listing in memory, counted until the last of it is sent.
struct Listed(Vec<u8>);

/// All listings of this process. A listing is the one answer whose memory is neither shared nor small: a thousand clients
/// that ask for a large directory and don't read would hold it a thousand times.
static LISTED_BYTES: AtomicUsize = AtomicUsize::new(0);
const LISTED_BYTES_MAX: usize = 128 * 1024 * 1024;

impl Listed {
    /// None if there is no room for another.
    fn new(bytes: Vec<u8>) -> Option<Listed> {
        let listed = Listed(bytes);
        let before = LISTED_BYTES.fetch_add(listed.0.len(), atomic::Ordering::AcqRel);
        (before + listed.0.len() <= LISTED_BYTES_MAX).then_some(listed)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        LISTED_BYTES.fetch_sub(self.0.len(), atomic::Ordering::AcqRel);
    }
}

impl AsRef<[u8]> for Listed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The files and directories in it that would be served, and whether those are all.
fn read(open: &OpenDirectory, path: &SitePath<'_>) -> rustix::io::Result<(Vec<Item>, bool)> {
    let mut items = Vec::new();
    for entry in Dir::read_from(&open.directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        // Hidden names and the directory's own two.
        if name.starts_with(b".") {
            continue;
        }
        if items.len() == ENTRIES_MAX {
            return Ok((items, false));
        }
        let stat = match statat(&open.directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                open.stat_link(&beneath(path, name))
            }
            other => other,
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(errno) if status_of(errno) == Status::ServiceUnavailable => return Err(errno),
            // What went away since, and links that lead nowhere or out, are not there.
            Err(_) => continue,
        };
        let is_directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => continue,
        };
        let version = FileVersion::of(&stat);
        // The size that a file system keeps of a directory says nothing about what is in it.
        let size = if is_directory { 0 } else { version.size };
        items.push(Item { name: name.to_vec(), is_directory, size, modified: version.modified() });
    }
    Ok((items, true))
}

fn beneath(path: &SitePath<'_>, name: &[u8]) -> Vec<u8> {
    if path.relative.is_empty() { name.to_vec() } else { [&path.relative[..], b"/", name].concat() }
}

/// Folders first, always; equals by name.
fn sorted(mut items: Vec<Item>, wanted: Wanted) -> Vec<Item> {
    items.sort_by(|a, b| {
        let by_column = match wanted.by {
            Column::Name => Ordering::Equal,
            Column::Size => a.size.cmp(&b.size),
            Column::Date => a.modified.cmp(&b.modified),
        };
        let order = by_column
            .then_with(|| a.name.to_ascii_lowercase().cmp(&b.name.to_ascii_lowercase()))
            .then_with(|| a.name.cmp(&b.name));
        let order = if wanted.order == Order::Falling { order.reverse() } else { order };
        b.is_directory.cmp(&a.is_directory).then(order)
    });
    items
}

fn json(path: &SitePath<'_>, items: &[Item], is_whole: bool) -> Vec<u8> {
    let mut out = b"{\"path\":".to_vec();
    format::json_string(&mut out, path.to_directory_target().as_bytes());
    out.extend_from_slice(b",\"entries\":[");
    for (n, item) in items.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"\n{\"name\":" } else { b",\n{\"name\":" });
        format::json_string(&mut out, &item.name);
        out.extend_from_slice(b",\"href\":");
        format::json_string(&mut out, href(item).as_bytes());
        let kind = if item.is_directory { "folder" } else { "file" };
        // Writing to a Vec cannot fail.
        let _ = write!(out, ",\"type\":\"{kind}\"");
        if !item.is_directory {
            let _ = write!(out, ",\"size\":{}", item.size);
        }
        let seconds = match item.modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i128,
            Err(before) => -(before.duration().as_secs() as i128),
        };
        let _ = write!(out, ",\"modified\":{seconds}}}");
    }
    let _ = write!(out, "\n],\"complete\":{is_whole}}}\n");
    out
}

fn page(path: &SitePath<'_>, items: &[Item], is_whole: bool, wanted: Wanted) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096 + 160 * items.len());
    let title = escape_html(&path.relative);
    let title = if title.is_empty() { "/".to_owned() } else { format!("/{title}/") };
    // Writing to a Vec cannot fail, here and below.
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
        let _ = write!(out, "{}", heading(column, class, name, wanted));
    }
    out.extend_from_slice(b"</tr></thead>\n<tbody>\n");
    if !path.relative.is_empty() {
        out.extend_from_slice(b"<tr><td class=\"name\"><a href=\"../\">..</a></td><td class=\"size\"></td><td class=\"date\"></td></tr>\n");
    }
    for item in items {
        let (name, href) = (escape_html(&item.name), href(item));
        let (slash, size) =
            if item.is_directory { ("/", String::new()) } else { ("", format::bytes(item.size)) };
        let date = DateText::new(item.modified).map_or(String::new(), |date| {
            // "Sun, 06 Nov 1994 08:49:37 GMT" → "06 Nov 1994 08:49"
            String::from_utf8_lossy(&date.as_bytes()[5..22]).into_owned()
        });
        let _ = writeln!(
            out,
            "<tr><td class=\"name\"><a href=\"{href}\">{name}{slash}</a></td><td class=\"size\">{size}</td><td class=\"date\">{date}</td></tr>"
        );
    }
    let directories = items.iter().filter(|item| item.is_directory).count();
    let count = |n: usize, one: &str, many: &str| {
        if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
    };
    let (directories, files) = (
        count(directories, "folder", "folders"),
        count(items.len() - directories, "file", "files"),
    );
    let rest = if is_whole { "" } else { ", and more that are not listed" };
    let _ = write!(
        out,
        "</tbody>\n</table>\n<footer>{directories}, {files}{rest}. Times are in UTC.</footer>\n</html>\n"
    );
    out
}

/// A heading that sorts by its column, and the other way round the second time.
fn heading(column: Column, class: &str, name: &str, wanted: Wanted) -> String {
    let is_sorted = wanted.by == column;
    let (aria, mark) = match wanted.order {
        _ if !is_sorted => ("none", ""),
        Order::Rising => ("ascending", " \u{2191}"),
        Order::Falling => ("descending", " \u{2193}"),
    };
    let sort = ["name", "size", "date"][column as usize];
    let order = if is_sorted && wanted.order == Order::Rising { "&amp;order=desc" } else { "" };
    format!(
        "<th class=\"{class}\" aria-sort=\"{aria}\"><a href=\"?sort={sort}{order}\">{name}{mark}</a></th>"
    )
}

/// The way from the root to here, each step a link.
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

/// Relative, with `./` before it: a name with a colon is no scheme.
fn href(item: &Item) -> String {
    let slash = if item.is_directory { "/" } else { "" };
    format!("./{}{slash}", escape_segment(&item.name)).replace('&', "%26").replace('\'', "%27")
}

/// What is no UTF-8 is shown as a replacement character; the link says it exactly.
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
