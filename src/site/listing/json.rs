//! A listing as JSON.

use std::io::{self, Write};
use std::time::SystemTime;

use super::entries::{Entry, Listing};
use super::page::PageWriter;
use crate::format::json_string;
use crate::site::path::SitePath;

pub(super) fn write_document(
    out: &mut PageWriter,
    path: &SitePath<'_>,
    listing: &Listing,
) -> io::Result<()> {
    let mut text = b"{\"path\":".to_vec();
    json_string(&mut text, path.to_directory_target().as_bytes());
    text.extend_from_slice(b",\"entries\":[");
    out.write_all(&text)?;
    let mut separator = "\n";
    for entry in listing.entries() {
        if !out.has_room_for(&entry) {
            break;
        }
        text.clear();
        text.extend_from_slice(separator.as_bytes());
        push_entry(&mut text, &entry)?;
        out.write_all(&text)?;
        separator = ",\n";
    }
    let is_complete = listing.is_complete && !out.is_truncated();
    writeln!(out, "\n],\"complete\":{is_complete}}}")
}

fn push_entry(text: &mut Vec<u8>, entry: &Entry<'_>) -> io::Result<()> {
    text.extend_from_slice(b"{\"name\":");
    json_string(text, entry.name);
    text.extend_from_slice(b",\"href\":");
    json_string(text, entry.href().as_bytes());
    let kind = if entry.is_directory { "folder" } else { "file" };
    write!(text, ",\"type\":\"{kind}\"")?;
    if !entry.is_directory {
        write!(text, ",\"size\":{}", entry.size_bytes)?;
    }
    let seconds = match entry.modified.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i128,
        Err(before) => -(before.duration().as_secs() as i128),
    };
    write!(text, ",\"modified\":{seconds}}}")
}
