//! A listing in one form and order.

use std::io;

use super::entries::Listing;
use super::options::{Format, ListingOptions};
use super::page::{Page, PageWriter};
use super::{html, json};
use crate::http::Status;
use crate::site::directory_root::OpenDirectory;
use crate::site::errors::status_of_read;
use crate::site::memory_budget::MemoryBudget;
use crate::site::path::SitePath;

/// A directory with at most this many names is read by the thread that handles the request. Most
/// directories are that small, and cost less to read than to hand to another thread.
const SMALL_NAMES_MAX: usize = 512;

/// The page of a small directory. None if the directory or the page is large, or `budget` used up.
///
/// # Errors
/// 500 if reading the directory fails; 503 if descriptors or memory are exhausted.
pub(super) fn small_page(
    directory: &OpenDirectory,
    path: &SitePath<'_>,
    options: ListingOptions,
    budget: &MemoryBudget,
) -> Result<Option<Page>, Status> {
    let mut listing = Listing::read(directory, path, SMALL_NAMES_MAX).map_err(status_of_read)?;
    if !listing.is_complete {
        return Ok(None);
    }
    let mut out = PageWriter::small();
    let rendered = render(&mut out, path, &mut listing, options);
    Ok(rendered.ok().and_then(|()| out.finish_in(budget)))
}

/// Sorts the listing and writes it.
pub(super) fn render(
    out: &mut PageWriter,
    path: &SitePath<'_>,
    listing: &mut Listing,
    options: ListingOptions,
) -> io::Result<()> {
    listing.sort(options);
    match options.format {
        Format::Html => html::write_page(out, path, listing, options),
        Format::Json => json::write_document(out, path, listing),
    }
}
