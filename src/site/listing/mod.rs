//! Lists a directory without an index page, as an HTML page or as JSON.
//!
//! ```text
//!   request ──> small directory? ──yes──> read and rendered on the same thread ──> sent
//!                    │ no
//!                    ├──> a page that is at most 0.9 s old ─────────────────────> sent
//!                    ├──> the directory is queued or being read: waits ─┐
//!                    └──> queued ──> a builder thread reads it once and │
//!                                    renders each form requested ───────┴───────> sent to all
//! ```
//!
//! A directory may hold a hundred thousand names, each of which takes a stat. So a listing is
//! always [deferred](crate::http::Reply::Deferred), and a large one is made once for all clients
//! that wait for it.
//!
//! Invariants:
//! 1. Only what would be served is listed: regular files and directories, no hidden names, and
//!    symbolic links only if their target is beneath the root.
//! 2. The names read and the bytes of a page are bounded (`entries`, `page`), and so are the builds
//!    that run at once (`builds`, `build_locks`) and the bytes of all pages (`page_memory`). Memory
//!    is reserved before it is used.
//! 3. A change of the directory is visible within a second.

mod build_locks;
mod builds;
mod entries;
mod html;
mod json;
mod kind;
mod natural_order;
mod options;
mod page;
mod page_memory;
mod queue;
mod render;
mod request;

pub use builds::Listings;
pub use options::ListingOptions;
pub use request::ListingRequest;
