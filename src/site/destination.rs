//! The path of a request → the file that it stands for, or a redirect to its address.
//!
//! ```text
//!   /docs/       the first index page that exists      /about       about, about.html, /about/
//!   /docs        redirect to /docs/                     /about.html  redirect to /about
//! ```
//!
//! The right half holds with `--clean-urls`. A page `about.html` beside a directory `about` has the
//! address `/about`, and the directory `/about/`: so both can be reached, and relative links
//! resolve in each. Caddy does the same with `try_files {path} {path}.html {path}/`.
//!
//! Invariant: a redirect leads to the file itself, or the directory, so there is no chain of
//! redirects. Where another file has the shorter address, a page keeps the address with its
//! extension.

use std::sync::Arc;

use super::cache::FileCache;
use super::loaded_file::LoadedFile;
use super::loader::Lookup;
use super::path::SitePath;
use super::policy::Policy;
use crate::http::{Now, Status};

/// The reason for the redirect of a directory's address without its slash.
pub const DIRECTORY_ADDRESS: &str = "The directory's address ends with a slash.";
const PAGE_EXTENSION: &[u8] = b".html";

/// Where a request leads.
pub enum Destination {
    File(Arc<LoadedFile>),
    Redirect {
        /// A path, without a query.
        location: String,
        reason: &'static str,
    },
    NotFound(Status),
}

/// Where `path` leads. Changes it to the path of the file that is sent. A directory without an
/// index page keeps the first of the names.
#[inline]
pub fn find(
    cache: &mut FileCache,
    policy: &Policy,
    path: &mut SitePath<'_>,
    now: &Now,
) -> Destination {
    // The cache has no entry for it, because one would also hide an error page from us.
    if path.is_hidden {
        return Destination::NotFound(Status::NotFound);
    }
    let lookup = match path.is_directory {
        true => look_up_index(cache, policy, path, now),
        false => cache.look_up(path, now),
    };
    match policy.clean_urls && !path.is_directory {
        true => find_page(cache, policy, path, lookup, now),
        false => Destination::of(lookup, path),
    }
}

impl Destination {
    fn of(lookup: Lookup, path: &SitePath<'_>) -> Destination {
        match lookup {
            Lookup::File(file) => Destination::File(file),
            // Relative links in the index page must resolve beneath the directory.
            Lookup::Directory => Destination::Redirect {
                location: path.to_directory_target(),
                reason: DIRECTORY_ADDRESS,
            },
            Lookup::NotFound(status) => Destination::NotFound(status),
        }
    }
}

fn look_up_index(
    cache: &mut FileCache,
    policy: &Policy,
    path: &mut SitePath<'_>,
    now: &Now,
) -> Lookup {
    let first = path.index;
    for index in policy.index_names.iter() {
        path.index = index;
        if !policy.hidden.is_empty() && policy.hidden.hides(&path.file_path()) {
            continue;
        }
        match cache.look_up(path, now) {
            Lookup::NotFound(Status::NotFound) => {}
            lookup => return lookup,
        }
    }
    path.index = first;
    Lookup::NotFound(Status::NotFound)
}

/// With `--clean-urls`. `lookup` is that of `path`.
fn find_page(
    cache: &mut FileCache,
    policy: &Policy,
    path: &mut SitePath<'_>,
    lookup: Lookup,
    now: &Now,
) -> Destination {
    match lookup {
        Lookup::File(file) => match shorter_address(cache, policy, path, now) {
            Some(location) => {
                Destination::Redirect { location, reason: "The page has a shorter address." }
            }
            None => Destination::File(file),
        },
        Lookup::Directory | Lookup::NotFound(Status::NotFound) => {
            let page = path.with_relative([&path.relative[..], PAGE_EXTENSION].concat());
            if policy.hidden.hides(&page.relative) {
                return Destination::of(lookup, path);
            }
            match cache.look_up(&page, now) {
                Lookup::File(file) => {
                    *path = page;
                    Destination::File(file)
                }
                Lookup::Directory | Lookup::NotFound(Status::NotFound) => {
                    Destination::of(lookup, path)
                }
                // The page exists, but can't be read.
                Lookup::NotFound(status) => Destination::NotFound(status),
            }
        }
        Lookup::NotFound(_) => Destination::of(lookup, path),
    }
}

/// The address of the page at `path` without its extension, or that of the directory whose index
/// page it is. None if it is no page, or another file has that address.
fn shorter_address(
    cache: &mut FileCache,
    policy: &Policy,
    path: &SitePath<'_>,
    now: &Now,
) -> Option<String> {
    let stem = path.relative.strip_suffix(PAGE_EXTENSION)?;
    let name = path.file_name();
    if policy.index_names.iter().any(|index| index.as_bytes() == name) {
        let parent = &path.relative[..path.relative.len() - name.len()];
        let parent = parent.strip_suffix(b"/").unwrap_or(parent);
        let parent = SitePath { is_directory: true, ..path.with_relative(parent.to_vec()) };
        let mut index = parent.clone();
        if let Lookup::File(_) = look_up_index(cache, policy, &mut index, now)
            && index.index.as_bytes() == name
        {
            return Some(parent.to_directory_target());
        }
    }
    let clean = path.with_relative(stem.to_vec());
    if policy.hidden.hides(&clean.relative) {
        return None;
    }
    match cache.look_up(&clean, now) {
        Lookup::Directory | Lookup::NotFound(Status::NotFound) => Some(clean.to_file_target()),
        Lookup::File(_) | Lookup::NotFound(_) => None,
    }
}
