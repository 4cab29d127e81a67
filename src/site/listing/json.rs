//! A listing as JSON.

use std::io::Write;
use std::time::SystemTime;

use super::entries::Listing;
use crate::format::json_string;
use crate::site::path::SitePath;

pub(super) fn document(path: &SitePath<'_>, listing: &Listing) -> Vec<u8> {
    let mut out = b"{\"path\":".to_vec();
    json_string(&mut out, path.to_directory_target().as_bytes());
    out.extend_from_slice(b",\"entries\":[");
    for (n, entry) in listing.entries.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"\n{\"name\":" } else { b",\n{\"name\":" });
        json_string(&mut out, &entry.name);
        out.extend_from_slice(b",\"href\":");
        json_string(&mut out, entry.href().as_bytes());
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
