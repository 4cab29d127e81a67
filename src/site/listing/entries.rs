//! The entries of a directory that would be served.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::options::{Column, ListingOptions, Order};
use crate::site::directory_root::OpenDirectory;
use crate::site::errors::is_shortage;
use crate::site::file_version::FileVersion;
use crate::site::path::{SitePath, escape_segment};

/// Further entries are left out, and the page says so. At 200 bytes each this is a page of 20 MB.
const ENTRIES_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_directory: bool,
    pub(super) size_bytes: u64,
    pub(super) modified: SystemTime,
}

/// What would be served of a directory.
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    /// Whether the directory has no more than [`ENTRIES_MAX`] entries.
    pub(super) is_complete: bool,
}

impl Listing {
    pub(super) fn read(open: &OpenDirectory, path: &SitePath<'_>) -> rustix::io::Result<Listing> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&open.directory)? {
            let entry = entry?;
            // Hidden names, `.` and `..`.
            if entry.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            if entries.len() == ENTRIES_MAX {
                return Ok(Listing { entries, is_complete: false });
            }
            entries.extend(Entry::read(open, path, entry.file_name())?);
        }
        Ok(Listing { entries, is_complete: true })
    }

    /// Directories come first in any order. Entries equal in the column are sorted by name.
    pub(super) fn sort(&mut self, options: ListingOptions) {
        self.entries.sort_by(|a, b| {
            let by_column = match options.sort_by {
                Column::Name => Ordering::Equal,
                Column::Size => a.size_bytes.cmp(&b.size_bytes),
                Column::Date => a.modified.cmp(&b.modified),
            };
            let ascending = by_column
                .then_with(|| lower_case(&a.name).cmp(lower_case(&b.name)))
                .then_with(|| a.name.cmp(&b.name));
            let ordering = match options.order {
                Order::Ascending => ascending,
                Order::Descending => ascending.reverse(),
            };
            b.is_directory.cmp(&a.is_directory).then(ordering)
        });
    }
}

impl Entry {
    /// The entry called `name`. None if it would not be served.
    fn read(
        open: &OpenDirectory,
        path: &SitePath<'_>,
        name: &CStr,
    ) -> rustix::io::Result<Option<Entry>> {
        let stat = match statat(&open.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                open.stat_link(&join(path, name.to_bytes()))
            }
            result => result,
        };
        let stat = match stat {
            Ok(stat) => stat,
            Err(errno) if is_shortage(errno) => return Err(errno),
            // The file has been deleted since, or a link leads nowhere or out of the root.
            Err(_) => return Ok(None),
        };
        let is_directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return Ok(None),
        };
        let version = FileVersion::from_stat(&stat);
        Ok(Some(Entry {
            name: name.to_bytes().to_vec(),
            is_directory,
            // The st_size of a directory says nothing about its contents.
            size_bytes: if is_directory { 0 } else { version.size_bytes },
            modified: version.modified(),
        }))
    }

    /// A relative link to the entry. It starts with `./`, so that a colon in the name is no scheme.
    pub(super) fn href(&self) -> String {
        let slash = if self.is_directory { "/" } else { "" };
        format!("./{}{slash}", escape_segment(&self.name)).replace('&', "%26").replace('\'', "%27")
    }
}

fn lower_case(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().map(u8::to_ascii_lowercase)
}

fn join(path: &SitePath<'_>, name: &[u8]) -> Vec<u8> {
    if path.relative.is_empty() { name.to_vec() } else { [&path.relative[..], b"/", name].concat() }
}
