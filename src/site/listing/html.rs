//! A listing as an HTML page.

use std::io::{self, Write};

use super::entries::{Entry, Listing};
use super::options::{Column, ListingOptions, Order};
use super::page::PageWriter;
use crate::format::{self, counted};
use crate::http::DateText;
use crate::site::path::{SitePath, escape_segment};

pub(super) fn write_page(
    out: &mut PageWriter,
    path: &SitePath<'_>,
    listing: &Listing,
    options: ListingOptions,
) -> io::Result<()> {
    write!(
        out,
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{}</title>
<style>{STYLE}</style>
<h1>{}</h1>
<table>
<thead><tr>{}{}{}</tr></thead>
<tbody>
"#,
        title(path),
        breadcrumbs(path),
        heading(Column::Name, options),
        heading(Column::Size, options),
        heading(Column::Date, options),
    )?;
    if !path.relative.is_empty() {
        write_row(out, "../", "..", "", "")?;
    }
    let (mut directories, mut files) = (0_usize, 0_usize);
    for entry in listing.entries() {
        if !out.has_room_for(&entry) {
            break;
        }
        write_entry(out, &entry)?;
        match entry.is_directory {
            true => directories += 1,
            false => files += 1,
        }
    }
    let (directories, files) = (counted(directories, "folder"), counted(files, "file"));
    let is_complete = listing.is_complete && !out.is_truncated();
    let rest = if is_complete { "" } else { ", and more that are not listed" };
    write!(
        out,
        "</tbody>\n</table>\n\
         <footer>{directories}, {files}{rest}. Times are in UTC.</footer>\n</html>\n",
    )
}

fn title(path: &SitePath<'_>) -> String {
    match escape_html(&path.relative).as_str() {
        "" => "/".to_owned(),
        relative => format!("/{relative}/"),
    }
}

fn write_entry(out: &mut PageWriter, entry: &Entry<'_>) -> io::Result<()> {
    let mut name = isolated(entry.name);
    let mut size = String::new();
    match entry.is_directory {
        true => name.push('/'),
        false => size = format::bytes(entry.size_bytes),
    }
    let date = DateText::new(entry.modified).map_or(String::new(), |date| {
        // "Sun, 06 Nov 1994 08:49:37 GMT" → "06 Nov 1994 08:49"
        String::from_utf8_lossy(&date.as_bytes()[5..22]).into_owned()
    });
    write_row(out, &entry.href(), &name, &size, &date)
}

fn write_row(
    out: &mut PageWriter,
    href: &str,
    name: &str,
    size: &str,
    date: &str,
) -> io::Result<()> {
    writeln!(
        out,
        "<tr><td class=\"name\"><a href=\"{href}\">{name}</a></td>\
         <td class=\"size\">{size}</td><td class=\"date\">{date}</td></tr>"
    )
}

/// A column heading. Its link sorts by the column; if that is the order already, it reverses it.
fn heading(column: Column, options: ListingOptions) -> String {
    let (sort, title) = match column {
        Column::Name => ("name", "Name"),
        Column::Size => ("size", "Size"),
        Column::Date => ("date", "Changed"),
    };
    let (aria, arrow, order) = match options.order {
        _ if options.sort_by != column => ("none", "", ""),
        Order::Ascending => ("ascending", " \u{2191}", "&amp;order=desc"),
        Order::Descending => ("descending", " \u{2193}", ""),
    };
    format!(
        "<th class=\"{sort}\" aria-sort=\"{aria}\">\
         <a href=\"?sort={sort}{order}\">{title}{arrow}</a></th>"
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
            isolated(segment)
        ));
    }
    crumbs
}

/// The name as an element whose direction does not depend on its neighbours: two Hebrew names with
/// a slash between them would trade places.
fn isolated(name: &[u8]) -> String {
    format!("<bdi>{}</bdi>", escape_html(name))
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
th,td{padding:.45rem .75rem .45rem 0;border-bottom:1px solid var(--line);\
text-align:left;vertical-align:top}\
th{font-size:.85rem}th a{color:inherit;opacity:.75}\
.name{overflow-wrap:anywhere}\
.size,.date{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}\
td.size,td.date{opacity:.8}.date{padding-right:0}\
tbody tr:hover{background:color-mix(in srgb,currentColor 5%,transparent)}\
footer{margin-top:1.25rem;font-size:.85rem;opacity:.7}\
@media(max-width:34rem){body{margin-top:1.25rem}.date{display:none}\
.size{padding-right:0}td{padding-block:.6rem}}";
