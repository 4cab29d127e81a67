//! The built-in error pages, with links to the parent directory and to the front page.
//!
//! The links are relative, so a page contains no text of the request, and depends only on the depth
//! of the path. It does not reveal what exists: the page for a missing file is also that for a
//! hidden file, and for a file in a missing directory.

use std::sync::OnceLock;

use super::errors::reason;
use super::open_file::File;
use super::path::SitePath;
use crate::http::{ErrorPage, Response, Status, error_response};

/// Deeper pages have no link to the front page, whose length would grow with the path.
const LEVELS_MAX: usize = 16;

/// The error response with `status` to a request for `path`.
pub fn failure(status: Status, path: &SitePath<'_>) -> Response<File> {
    match status {
        Status::NotFound => not_found(path),
        Status::Forbidden => Position::of(path).page(status, reason(status)).response(),
        _ => error_response(status, reason(status)),
    }
}

/// The 404 for a directory without an index page.
pub fn no_index_page(path: &SitePath<'_>) -> Response<File> {
    let message = "This folder has no index page. To list the files of folders, start miniweb with \
                   <code>--list</code>.";
    Position::of(path).page(Status::NotFound, message).response()
}

/// Each page is rendered once, because scanners for vulnerabilities request more missing paths than
/// clients request files.
fn not_found(path: &SitePath<'_>) -> Response<File> {
    static OF_FILES: [OnceLock<ErrorPage>; LEVELS_MAX + 2] =
        [const { OnceLock::new() }; LEVELS_MAX + 2];
    static OF_DIRECTORIES: [OnceLock<ErrorPage>; LEVELS_MAX + 2] =
        [const { OnceLock::new() }; LEVELS_MAX + 2];
    let position = Position::of(path);
    let pages = if position.is_directory { &OF_DIRECTORIES } else { &OF_FILES };
    let page = || position.page(Status::NotFound, reason(Status::NotFound));
    pages[position.levels].get_or_init(page).response()
}

/// The position of a path in the tree of directories.
struct Position {
    /// How many times `../` leads to the root, at most `LEVELS_MAX + 1`.
    levels: usize,
    is_directory: bool,
}

impl Position {
    fn of(path: &SitePath<'_>) -> Position {
        let slashes = memchr::memchr_iter(b'/', &path.relative).count();
        let is_inside = path.is_directory && !path.relative.is_empty();
        let levels = (slashes + usize::from(is_inside)).min(LEVELS_MAX + 1);
        Position { levels, is_directory: path.is_directory }
    }

    fn page(&self, status: Status, message: &str) -> ErrorPage {
        let to_front = match self.levels {
            0 => "./".to_owned(),
            levels => "../".repeat(levels),
        };
        let parent = (if self.is_directory { "../" } else { "./" }, "Parent folder");
        let front = (to_front.as_str(), "Front page");
        let links = match (self.levels, self.is_directory) {
            // It is the front page.
            (0, true) => &[][..],
            // The parent directory is the root.
            (0, false) | (1, true) => &[front],
            (1..=LEVELS_MAX, _) => &[parent, front],
            _ => &[parent],
        };
        ErrorPage::new(status, message, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;

    /// The targets of the links on the page for a missing `target`.
    fn links(target: &str) -> Vec<String> {
        let path = SitePath::parse(target.as_bytes()).expect("a valid path");
        let Body::Bytes(page) = failure(Status::NotFound, &path).body else {
            unreachable!("an error page is in memory")
        };
        let page = String::from_utf8(page.to_vec()).expect("a page is UTF-8");
        let links = page.split("href=\"").skip(1);
        links.map(|rest| rest.split('"').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn the_links_lead_to_the_parent_folder_and_the_front_page() {
        assert!(links("/").is_empty());
        assert_eq!(links("/a"), ["./"]);
        assert_eq!(links("/a/"), ["../"]);
        assert_eq!(links("/a/b"), ["./", "../"]);
        assert_eq!(links("/a/b/"), ["../", "../../"]);
        assert_eq!(links("/a/b/%22%3E/d"), ["./", "../../../"]);
    }

    #[test]
    fn the_page_of_a_deep_path_is_not_longer() {
        let deepest = "/a".repeat(LEVELS_MAX + 1);
        assert_eq!(links(&deepest), ["./".to_owned(), "../".repeat(LEVELS_MAX)]);
        assert_eq!(links(&format!("/a{deepest}")), ["./"]);
        assert_eq!(links(&format!("{}/", "/a".repeat(4000))), ["../"]);
    }
}
