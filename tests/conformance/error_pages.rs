//! The site's own error pages (`--error-page`). The default for a 404 is tested in `policy.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get_with, head};

pub fn cases() -> Vec<Case> {
    cases![
        an_error_page_replaces_the_built_in_one,
        other_errors_keep_the_built_in_page,
        an_error_page_that_goes_is_replaced_by_the_built_in_one,
        what_cannot_be_read_gets_the_error_page,
        the_built_in_page_links_to_the_parent_folder_and_the_front_page,
        the_built_in_page_does_not_reveal_what_exists,
    ]
}

fn an_error_page_replaces_the_built_in_one(setup: &'static Setup) {
    let site = Site::new();
    site.write("404.html", "the default is not sent");
    site.write("errors/lost.txt", "lost?");
    // Larger than a cached file.
    site.write("errors/large.html", "lost? ".repeat(50_000));
    for (file, media_type) in [
        ("errors/lost.txt", "text/plain; charset=utf-8"),
        ("/errors/large.html", "text/html; charset=utf-8"),
    ] {
        let content = fs::read(site.path(file.trim_start_matches('/'))).expect("it exists");
        let option = format!("404={file}");
        let server = Server::start(setup, site.root(), &["--error-page", &option]);
        let mut peer = server.connect();
        for fields in [&[][..], &["If-None-Match: *"], &["Range: bytes=0-3"]] {
            let request = get_with("/missing", fields);
            let page = peer.ask(&request);
            assert!(page.status == 404 && page.body == content, "{fields:?}");
            assert_eq!(page.field("Content-Type"), Some(media_type));
            assert!(!page.has_validators(), "{fields:?}");
            let bare = peer.ask(head(&request));
            assert_eq!(bare.headers_except_date(), page.headers_except_date(), "{fields:?}");
        }
    }
}

fn other_errors_keep_the_built_in_page(setup: &'static Setup) {
    let site = Site::new();
    site.write("own.html", "own");
    let options = ["--error-page", "403=own.html", "--error-page", "500=own.html"];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, fields, status) in [
        ("/missing", &[][..], 404),
        ("/%zz", &[], 400),
        ("/page.html", &["If-Match: \"other\""], 412),
        ("/page.html", &["Range: bytes=999-"], 416),
    ] {
        let response = peer.get_with(path, fields);
        assert!(response.status == status && response.body != b"own", "{path}: {response:?}");
    }
}

fn an_error_page_that_goes_is_replaced_by_the_built_in_one(setup: &'static Setup) {
    let site = Site::new();
    let page = site.write("own.html", "own");
    let server = Server::start(setup, site.root(), &["--error-page", "404=own.html"]);
    fs::remove_file(page).expect("it exists");
    let response = server.get("/missing");
    assert!(response.status == 404 && response.body.starts_with(b"<!doctype html>"));
}

fn what_cannot_be_read_gets_the_error_page(setup: &'static Setup) {
    let site = Site::new();
    site.write("own.html", "own");
    let set_mode = |path, mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).expect("the test owns the file");
    };
    // Permissions do not apply to root, so root runs the server as another user.
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &["--user", "nobody"] } else { &[] };
    for directory in [site.root(), site.beside("")] {
        set_mode(directory, 0o755);
    }
    set_mode(site.path("page.html"), 0);
    set_mode(site.path("bare"), 0);
    let options = [&["--list", "--error-page", "403=own.html"], user].concat();
    let server = Server::start(setup, site.root(), &options);
    for path in ["/page.html", "/bare/"] {
        let response = server.get(path);
        assert_eq!((response.status, &response.body[..]), (403, &b"own"[..]), "{path}");
    }
    // Otherwise the temporary directory could not be removed.
    set_mode(site.path("bare"), 0o755);
}

fn the_built_in_page_links_to_the_parent_folder_and_the_front_page(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let (parent, front) = ("Parent folder", "Front page");
    for (path, expected) in [
        ("/missing", &[("./", front)][..]),
        ("/missing/", &[("../", front)]),
        ("/docs/missing", &[("./", parent), ("../", front)]),
        ("/docs/%22%3Ca%20b%3E/x?y=%22", &[("./", parent), ("../../", front)]),
        ("/docs/missing/?x", &[("../", parent), ("../../", front)]),
    ] {
        let page = String::from_utf8(peer.get(path).body).expect("a page is UTF-8");
        let links: Vec<(&str, &str)> = page
            .split("<a href=\"")
            .skip(1)
            .map(|rest| {
                let (target, rest) = rest.split_once("\">").expect("the attribute ends");
                (target, rest.split_once("</a>").expect("the element ends").0)
            })
            .collect();
        assert_eq!(links, expected, "{path}");
        assert!(!page.contains("a b") && !page.contains("docs"), "{path} is in its page");
    }
    // Other errors do not belong to a directory, so their pages have no links.
    for (request, status) in
        [("GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400), ("nonsense\r\n\r\n", 400)]
    {
        let response = server.connect().ask(request);
        assert_eq!(response.status, status, "{request}");
        assert!(!response.body.windows(2).any(|bytes| bytes == b"<a"), "{request}");
    }
}

fn the_built_in_page_does_not_reveal_what_exists(setup: &'static Setup) {
    let site = Site::new();
    site.write(".git/config", "x");
    site.directory("drafts");
    site.directory("bare/inner");
    let server = Server::start(setup, site.root(), &["--hide", "/drafts"]);
    let mut peer = server.connect();
    for (path, missing) in [
        ("/.git/", "/missing/"),
        ("/drafts/", "/missing/"),
        ("/drafts", "/missing"),
        // This directory exists. Only a server at a terminal says so.
        ("/bare/", "/missing/"),
        ("/bare/inner/", "/missing/inner/"),
    ] {
        let (response, expected) = (peer.get(path), peer.get(missing));
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.headers_except_date(), expected.headers_except_date(), "{path}");
        assert_eq!(response.body, expected.body, "{path}");
    }
}
