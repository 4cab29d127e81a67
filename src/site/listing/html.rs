//! A listing as an HTML page.
//!
//! The page is complete without its script. Every link is relative, so a proxy may serve the site
//! beneath another path. Each row has as little markup as HTML allows, because there may be a
//! hundred thousand.
//!
//! Invariant: [`content_security_policy`] allows [`STYLE`] and [`SCRIPT`] by their hashes, and
//! nothing else. Both must be constants. Even if a name were not escaped, no script in it could
//! run.

use std::io::{self, Write};
use std::sync::LazyLock;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::entries::{Entry, Listing};
use super::kind::Kind;
use super::options::{Column, ListingOptions, Order};
use super::page::{FRAME_BYTES, PageWriter};
use crate::format::{self, counted};
use crate::http::DateText;
use crate::site::path::SitePath;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The rest of the frame is allowed 3 KiB, and takes about 1 KiB.
const _: () = assert!(STYLE.len() + SCRIPT.len() + 3 * 1024 <= FRAME_BYTES as usize);

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
<script type="module">{SCRIPT}</script>
<header>
<nav aria-label="Path"><h1>{}</h1></nav>
<input id="filter" type="search" placeholder="Filter" aria-label="Filter by name" aria-keyshortcuts="/" autocomplete="off" autocapitalize="off" spellcheck="false" hidden>
</header>
<main>
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
        out.write_all(b"<tr class=u><td><a href=\"../\">Parent folder</a><td><td>\n")?;
    }
    let mut totals = Totals::default();
    for entry in listing.entries() {
        if !out.has_room_for(&entry) {
            break;
        }
        write_entry(out, &entry)?;
        totals.add(&entry);
    }
    let is_complete = listing.is_complete && !out.is_truncated();
    let empty = match is_complete && totals.is_empty() {
        true => "<p>There is nothing to list in this folder.</p>\n",
        false => "",
    };
    let rest = if is_complete { "" } else { ", and more that are not listed" };
    write!(
        out,
        "</tbody>\n</table>\n{empty}</main>\n\
         <footer><span id=\"found\" role=\"status\"></span> {}{rest}. \
         Times are in <span id=\"zone\">UTC</span>.</footer>\n</html>\n",
        totals.text(),
    )
}

/// The value of the Content-Security-Policy header.
pub(super) fn content_security_policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let [style, script] =
            [STYLE, SCRIPT].map(|text| STANDARD.encode(Sha256::digest(text.as_bytes())));
        format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
             base-uri 'none'; form-action 'none'"
        )
    });
    &POLICY
}

/// The numbers in the footer.
#[derive(Default)]
struct Totals {
    directories: usize,
    files: usize,
    bytes: u64,
}

impl Totals {
    fn add(&mut self, entry: &Entry<'_>) {
        match entry.is_directory {
            true => self.directories += 1,
            false => self.files += 1,
        }
        // The sizes of sparse files may add up to more than a u64 holds.
        self.bytes = self.bytes.saturating_add(entry.size_bytes);
    }

    fn is_empty(&self) -> bool {
        self.directories + self.files == 0
    }

    /// `2 folders, 3 files, 1.5 MiB`
    fn text(&self) -> String {
        let directories = counted(self.directories, "folder");
        let files = format!("{}, {}", counted(self.files, "file"), format::bytes(self.bytes));
        match (self.directories, self.files) {
            (0, _) => files,
            (_, 0) => directories,
            _ => format!("{directories}, {files}"),
        }
    }
}

fn title(path: &SitePath<'_>) -> String {
    match escape_html(&path.relative).as_str() {
        "" => "/".to_owned(),
        relative => format!("/{relative}/"),
    }
}

fn write_entry(out: &mut PageWriter, entry: &Entry<'_>) -> io::Result<()> {
    let (name, href) = (isolated(entry.name), entry.href());
    let (kind, slash, size) = match entry.is_directory {
        true => (Kind::Directory, "/", String::new()),
        false => (Kind::of_file(entry.name), "", format::bytes(entry.size_bytes)),
    };
    let kind = kind.attribute();
    write!(out, "<tr{kind}><td><a href=\"{href}\">{name}{slash}</a><td>{size}<td>")?;
    if let Some((date, time)) = date_and_time(entry.modified) {
        write!(out, "<time datetime={date}T{time}Z>{date} {time}</time>")?;
    }
    out.write_all(b"\n")
}

/// A column heading. Its link sorts by the column; if that is the order already, it reverses it.
fn heading(column: Column, options: ListingOptions) -> String {
    let (sort, title) = match column {
        Column::Name => ("name", "Name"),
        Column::Size => ("size", "Size"),
        Column::Date => ("date", "Modified"),
    };
    let (aria, arrow, order) = match options.order {
        _ if options.sort_by != column => ("none", "", ""),
        Order::Ascending => ("ascending", " \u{2191}", "&amp;order=desc"),
        Order::Descending => ("descending", " \u{2193}", ""),
    };
    format!(
        "<th scope=\"col\" aria-sort=\"{aria}\">\
         <a href=\"?sort={sort}{order}\">{title}<span aria-hidden=\"true\">{arrow}</span></a></th>"
    )
}

/// The directories from the root to `path`. All but the last are links.
fn breadcrumbs(path: &SitePath<'_>) -> String {
    let segments: Vec<&[u8]> =
        path.relative.split(|b| *b == b'/').filter(|segment| !segment.is_empty()).collect();
    let names = std::iter::once("Home".to_owned()).chain(segments.iter().map(|s| isolated(s)));
    let crumbs = names.enumerate().map(|(depth, name)| match segments.len() - depth {
        0 => format!("<b aria-current=\"page\">{name}</b>"),
        levels => format!("<a href=\"{}\">{name}</a><i>/</i>", "../".repeat(levels)),
    });
    crumbs.collect()
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

/// The date and the time to the minute, in UTC: `1994-11-06` and `08:49`. None for times that are
/// not formatted, see [`DateText::new`].
fn date_and_time(time: SystemTime) -> Option<(String, String)> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = DateText::new(time)?;
    // "Sun, 06 Nov 1994 08:49:37 GMT"
    let text = str::from_utf8(text.as_bytes()).ok()?;
    let month = MONTHS.iter().position(|month| *month == &text[8..11])? + 1;
    let (year, day) = (&text[12..16], &text[5..7]);
    Some((format!("{year}-{month:02}-{day}"), text[17..22].to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn dates_are_those_of_iso_8601() {
        for (seconds, expected) in [
            (0, ("1970-01-01", "00:00")),
            (784_111_777, ("1994-11-06", "08:49")),
            (1_798_761_599, ("2026-12-31", "23:59")),
        ] {
            let (date, time) =
                date_and_time(UNIX_EPOCH + Duration::from_secs(seconds)).expect("after 1970");
            assert_eq!((&*date, &*time), expected);
        }
        assert_eq!(date_and_time(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn totals_count_what_is_listed() {
        let mut totals = Totals::default();
        assert!(totals.is_empty());
        for (is_directory, size_bytes) in [(true, 0), (false, 1024), (false, u64::MAX)] {
            totals.add(&Entry { name: b"a", is_directory, size_bytes, modified: UNIX_EPOCH });
        }
        assert_eq!((totals.directories, totals.files, totals.bytes), (1, 2, u64::MAX));
        totals.bytes = 1536;
        assert_eq!(totals.text(), "1 folder, 2 files, 1.5 KiB");
        assert_eq!(Totals { directories: 0, ..totals }.text(), "2 files, 1.5 KiB");
        assert_eq!(Totals { directories: 3, files: 0, bytes: 0 }.text(), "3 folders");
        assert_eq!(Totals::default().text(), "0 files, 0 B");
    }

    #[test]
    fn crumbs_lead_up_by_relative_links() {
        let path = SitePath::parse(b"/a/b%26/c/").expect("a valid path");
        assert_eq!(
            breadcrumbs(&path),
            "<a href=\"../../../\">Home</a><i>/</i><a href=\"../../\"><bdi>a</bdi></a><i>/</i>\
             <a href=\"../\"><bdi>b&amp;</bdi></a><i>/</i>\
             <b aria-current=\"page\"><bdi>c</bdi></b>"
        );
        let root = SitePath::parse(b"/").expect("a valid path");
        assert_eq!(breadcrumbs(&root), "<b aria-current=\"page\">Home</b>");
    }
}
