//! The index page of a directory under other names than index.html (`--index`).

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        the_first_index_page_that_exists_is_sent,
        an_index_page_that_appears_or_goes_is_noticed,
        an_index_page_is_like_any_file,
        a_directory_without_any_index_page_is_listed,
        a_pattern_matches_a_directory_as_its_index_page,
    ]
}

const NAMES: [&str; 4] = ["--index", "home.txt", "--index", "index.html"];

fn the_first_index_page_that_exists_is_sent(setup: &'static Setup) {
    let site = Site::new();
    site.write("docs/home.txt", "home");
    site.write("deep/er/home.txt", "deeper");
    // A directory is no index page.
    site.directory("home.txt");
    let server = Server::start(setup, site.root(), &NAMES);
    let mut peer = server.connect();
    for (path, status, body) in [
        ("/docs/", 200, "home"),
        ("/docs/index.html", 200, "<!doctype html><title>docs</title>\n"),
        ("/docs/home.txt", 200, "home"),
        ("/deep/er/", 200, "deeper"),
        ("/", 200, "<!doctype html><title>front</title>\n"),
    ] {
        let response = peer.get(path);
        assert_eq!(response.status, status, "{path}");
        assert_eq!(String::from_utf8_lossy(&response.body), body, "{path}");
    }
    assert_eq!(peer.get("/docs").field("Location"), Some("/docs/"));
    assert_eq!(peer.get("/bare/").status, 404);
    drop(server);
    // The default name is not tried if another is given.
    let server = Server::start(setup, site.root(), &["--index", "home.txt"]);
    assert_eq!(server.get("/docs/").body, b"home");
    assert_eq!(server.get("/").status, 404);
}

fn an_index_page_that_appears_or_goes_is_noticed(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &NAMES);
    let mut peer = server.connect();
    let default = b"<!doctype html><title>docs</title>\n";
    assert_eq!(peer.get("/docs/").body, default);
    let home = site.write("docs/home.txt", "one");
    wait_until("the first name appears", || (peer.get("/docs/").body == b"one").then_some(()));
    site.write("docs/home.txt", "two");
    wait_until("it changes", || (peer.get("/docs/").body == b"two").then_some(()));
    std::fs::remove_file(home).expect("it exists");
    wait_until("it goes", || (peer.get("/docs/").body == default).then_some(()));
    std::fs::remove_file(site.path("docs/index.html")).expect("it exists");
    wait_until("there is none", || (peer.get("/docs/").status == 404).then_some(()));
}

fn an_index_page_is_like_any_file(setup: &'static Setup) {
    let site = Site::new();
    site.write("docs/home.txt", "much of the same\n".repeat(1000));
    site.write("docs/home.txt.br", "sidecar");
    let server = Server::start(setup, site.root(), &NAMES);
    let mut peer = server.connect();
    let response = peer.settled("/docs/", &[]);
    assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
    let tag = response.required("ETag");
    assert_eq!(peer.get_with("/docs/", &[&format!("If-None-Match: {tag}")]).status, 304);
    let part = peer.get_with("/docs/", &["Range: bytes=5-6"]);
    assert_eq!((part.status, &part.body[..]), (206, &b"of"[..]));
    assert_eq!(peer.get_with("/docs/", &["Accept-Encoding: br"]).body, b"sidecar");
    let made = peer.get_with("/docs/", &["Accept-Encoding: gzip"]);
    assert_eq!(made.field("Content-Encoding"), Some("gzip"));
}

fn a_directory_without_any_index_page_is_listed(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(setup, site.root(), &[&["--list"], &NAMES[..]].concat());
    let listing = server.get("/bare/");
    assert!(listing.status == 200 && String::from_utf8_lossy(&listing.body).contains("a.txt"));
    drop(server);
    // It still counts as the path of a page.
    let options = [&["--fallback", "page.html"], &NAMES[..]].concat();
    let server = Server::start(setup, site.root(), &options);
    let page = server.connect().get_with("/bare/", &["Accept: text/html"]);
    assert_eq!(page.body, b"<!doctype html><title>page</title>\n");
}

fn a_pattern_matches_a_directory_as_its_index_page(setup: &'static Setup) {
    let site = Site::new();
    site.write("docs/home.txt", "home");
    let rules = ["--header", "/**/*.txt X-A: text", "--header", "/**/*.html X-A: page"];
    let server = Server::start(setup, site.root(), &[&rules, &NAMES[..]].concat());
    let mut peer = server.connect();
    for (path, expected) in [("/docs/", "text"), ("/", "page"), ("/bare/", "text")] {
        assert_eq!(peer.get(path).field("X-A"), Some(expected), "{path}");
    }
}
