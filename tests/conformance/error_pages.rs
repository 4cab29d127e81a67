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
