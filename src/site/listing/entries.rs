//! The entries of a directory that would be served.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::ops::Range;
use std::time::SystemTime;

use rustix::fs::{AtFlags, Dir, FileType, Stat, statat};

use super::natural_order;
use super::options::{Column, ListingOptions, Order};
use crate::site::directory_root::OpenDirectory;
use crate::site::errors::is_shortage;
use crate::site::file_version::FileVersion;
use crate::site::path::{SitePath, escape_segment};

/// The most bytes of all names of a listing: a hundred thousand names of 160 bytes.
const NAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of an entry in any form, in addition to its name.
const ENTRY_BYTES: u64 = 256;
/// The most bytes that one byte of a name becomes: three in the link, and six in the text (`&quot;`
/// in HTML, `\u0001` in JSON).
pub(super) const BYTES_PER_NAME_BYTE: u64 = 9;

/// The entries of a directory that would be served.
pub(super) struct Listing {
    /// All names, one after the other: a hundred thousand small allocations would take more memory,
    /// and leave it fragmented.
    names: Vec<u8>,
    records: Vec<Record>,
    /// Whether all names of the directory were read.
    pub(super) is_complete: bool,
}

/// An entry as it is stored.
struct Record {
    /// Where its name is in [`Listing::names`].
    name_start: u32,
    name_bytes: u16,
    is_directory: bool,
    size_bytes: u64,
    modified: SystemTime,
}

/// An entry of a listing.
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) is_directory: bool,
    pub(super) size_bytes: u64,
    pub(super) modified: SystemTime,
}

impl Listing {
    /// Reads at most `names_max` names and [`NAMES_BYTES_MAX`]. Names that are not listed count
    /// towards `names_max`, because they cost time as well. The kernel returns names in no useful
    /// order, so no other selection would be better.
    pub(super) fn read(
        open: &OpenDirectory,
        path: &SitePath<'_>,
        names_max: usize,
    ) -> rustix::io::Result<Listing> {
        let mut listing = Listing { names: Vec::new(), records: Vec::new(), is_complete: true };
        let mut names = 0;
        for entry in Dir::read_from(&open.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let names_bytes = listing.names.len() + name.to_bytes().len();
            if names == names_max || names_bytes > NAMES_BYTES_MAX {
                listing.is_complete = false;
                break;
            }
            names += 1;
            let is_hidden = name.to_bytes().starts_with(b".");
            if !is_hidden
                && let Some(stat) = stat(open, path, name)?
                && !is_hidden_by_option(open, path, name)
            {
                listing.push(name.to_bytes(), &stat);
            }
        }
        Ok(listing)
    }

    /// Directories come first in any order. Entries equal in the column are sorted by name.
    pub(super) fn sort(&mut self, options: ListingOptions) {
        let names = &self.names;
        self.records.sort_unstable_by(|a, b| {
            let by_column = match options.sort_by {
                Column::Name => Ordering::Equal,
                Column::Size => a.size_bytes.cmp(&b.size_bytes),
                Column::Date => a.modified.cmp(&b.modified),
            };
            let (a_name, b_name) = (&names[a.name()], &names[b.name()]);
            let ascending = by_column.then_with(|| natural_order::compare(a_name, b_name));
            let ordering = match options.order {
                Order::Ascending => ascending,
                Order::Descending => ascending.reverse(),
            };
            b.is_directory.cmp(&a.is_directory).then(ordering)
        });
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.records.iter().map(|record| Entry {
            name: &self.names[record.name()],
            is_directory: record.is_directory,
            size_bytes: record.size_bytes,
            modified: record.modified,
        })
    }

    /// The most bytes that the entries take, in any form.
    pub(super) fn page_bytes_max(&self) -> u64 {
        let (names, entries) = (self.names.len() as u64, self.records.len() as u64);
        BYTES_PER_NAME_BYTE * names + ENTRY_BYTES * entries
    }

    fn push(&mut self, name: &[u8], stat: &Stat) {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let version = FileVersion::from_stat(stat);
        // The casts are lossless: all names together are bounded, and each is shorter than 4 KiB.
        self.records.push(Record {
            name_start: self.names.len() as u32,
            name_bytes: name.len() as u16,
            is_directory,
            // The st_size of a directory says nothing about its contents.
            size_bytes: if is_directory { 0 } else { version.size_bytes },
            modified: version.modified(),
        });
        self.names.extend_from_slice(name);
    }
}

impl Record {
    fn name(&self) -> Range<usize> {
        let start = self.name_start as usize;
        start..start + usize::from(self.name_bytes)
    }
}

impl Entry<'_> {
    /// The most bytes that the entry takes, in any form.
    pub(super) fn page_bytes_max(&self) -> u64 {
        BYTES_PER_NAME_BYTE * self.name.len() as u64 + ENTRY_BYTES
    }

    /// A relative link to the entry. The `./` keeps a colon in the name from ending a scheme.
    pub(super) fn href(&self) -> String {
        let slash = if self.is_directory { "/" } else { "" };
        format!("./{}{slash}", escape_segment(self.name)).replace('&', "%26").replace('\'', "%27")
    }
}

/// The stat of what `name` leads to. None if it would not be served.
fn stat(
    open: &OpenDirectory,
    path: &SitePath<'_>,
    name: &CStr,
) -> rustix::io::Result<Option<Stat>> {
    let stat = match statat(&open.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            open.stat_link(&join(path, name.to_bytes()))
        }
        result => result,
    };
    match stat {
        Ok(stat) => {
            let is_served = matches!(
                FileType::from_raw_mode(stat.st_mode),
                FileType::Directory | FileType::RegularFile
            );
            Ok(is_served.then_some(stat))
        }
        Err(errno) if is_shortage(errno) => Err(errno),
        // The file has been deleted since, or a link leads nowhere or out of the root.
        Err(_) => Ok(None),
    }
}

fn is_hidden_by_option(open: &OpenDirectory, path: &SitePath<'_>, name: &CStr) -> bool {
    !open.hidden.is_empty() && open.hidden.hides(&join(path, name.to_bytes()))
}

fn join(path: &SitePath<'_>, name: &[u8]) -> Vec<u8> {
    if path.relative.is_empty() { name.to_vec() } else { [&path.relative[..], b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::directory_root::DirectoryRoot;
    use crate::syscall_stats::SyscallStats;

    #[test]
    fn names_beyond_the_limit_are_left_out_and_hidden_names_count() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["a", ".hidden", "b", "c"] {
            std::fs::write(directory.path().join(name), "").expect("a file can be created");
        }
        let opened = std::fs::File::open(directory.path()).expect("the directory exists");
        let root = DirectoryRoot::new(directory.path(), opened.into()).expect("openat2 works");
        let path = SitePath::parse(b"/").expect("a valid path");
        let stats = SyscallStats::default();
        let open = root.open_directory(&path, &stats).expect("the directory exists");
        for (names_max, is_complete) in [(5, true), (4, true), (3, false), (0, false)] {
            let listing = Listing::read(&open, &path, names_max).expect("it can be read");
            assert_eq!(listing.is_complete, is_complete, "{names_max}");
            let listed = listing.entries().count();
            // The kernel may return the hidden name among the first ones.
            assert!(listed <= names_max.min(3) && listed + 1 >= names_max.min(4), "{names_max}");
        }
    }
}
