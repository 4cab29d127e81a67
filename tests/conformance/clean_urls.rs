//! Pages that are served without their extension (`--clean-urls`).

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, head, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        a_page_is_served_without_its_extension,
        the_address_with_the_extension_redirects,
        a_page_without_extension_is_like_its_file,
        no_redirect_leads_to_another_file,
        a_page_that_appears_or_goes_is_noticed,
        what_is_hidden_has_no_clean_address,
        without_the_option_pages_keep_their_extension,
    ]
}

const OPTION: &[&str] = &["--clean-urls"];

fn site() -> Site {
    let site = Site::new();
    site.write("about.html", "about");
    site.write("both.html", "the page");
    site.write("both/index.html", "the directory");
    site.write("docs/a b.html", "a b");
    site
}

/// The status, and the body or the Location.
fn answer(peer: &mut Peer, path: &str) -> (u16, String) {
    let response = peer.get(path);
    let location = response.field("Location").map(str::to_owned);
    (response.status, location.unwrap_or_else(|| String::from_utf8_lossy(&response.body).into()))
}

#[track_caller]
fn expect(peer: &mut Peer, expected: &[(&str, u16, &str)]) {
    for (path, status, text) in expected {
        assert_eq!(answer(peer, path), (*status, (*text).to_owned()), "{path}");
    }
}

fn a_page_is_served_without_its_extension(setup: &'static Setup) {
    let site = site();
    let server = Server::start(setup, site.root(), OPTION);
    let mut peer = server.connect();
    expect(
        &mut peer,
        &[
            ("/about", 200, "about"),
            ("/about?x=y", 200, "about"),
            ("/docs/a%20b", 200, "a b"),
            ("/both", 200, "the page"),
            ("/both/", 200, "the directory"),
            ("/docs", 301, "/docs/"),
        ],
    );
    for path in ["/about/", "/missing", "/about.htm"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
    let bare = peer.ask(head(&get("/about")));
    assert_eq!((bare.status, bare.content_length()), (200, 5));
}

fn the_address_with_the_extension_redirects(setup: &'static Setup) {
    let site = site();
    let server = Server::start(setup, site.root(), OPTION);
    let mut peer = server.connect();
    expect(
        &mut peer,
        &[
            ("/about.html", 301, "/about"),
            ("/about.html?x=y&z", 301, "/about?x=y&z"),
            ("/docs/a%20b.html", 301, "/docs/a%20b"),
            ("/both.html", 301, "/both"),
            ("/index.html", 301, "/"),
            ("/index.html?x", 301, "/?x"),
            ("/docs/index.html", 301, "/docs/"),
            ("/both/index.html", 301, "/both/"),
            ("//docs//index.html", 301, "/docs/"),
        ],
    );
    assert_eq!(peer.get("/missing.html").status, 404);
}

fn a_page_without_extension_is_like_its_file(setup: &'static Setup) {
    let site = site();
    site.write("long.html", "much of the same\n".repeat(1000));
    site.write("long.html.br", "sidecar");
    let options = [OPTION, &["--header", "/**/*.html X-A: page"]].concat();
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    let response = peer.settled("/long", &[]);
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.field("X-A"), Some("page"));
    let tag = response.required("ETag");
    assert_eq!(peer.get_with("/long", &[&format!("If-None-Match: {tag}")]).status, 304);
    assert_eq!(peer.get_with("/long", &["If-Match: \"other\""]).status, 412);
    let part = peer.get_with("/long", &["Range: bytes=5-6"]);
    assert_eq!((part.status, &part.body[..]), (206, &b"of"[..]));
    assert_eq!(peer.get_with("/long", &["Accept-Encoding: br"]).body, b"sidecar");
    let made = peer.get_with("/long", &["Accept-Encoding: gzip"]);
    assert_eq!(made.field("Content-Encoding"), Some("gzip"));
}

fn no_redirect_leads_to_another_file(setup: &'static Setup) {
    let site = site();
    site.write("taken", "a file");
    site.write("taken.html", "a page");
    site.write("twice.html.html", "twice");
    site.write("docs/first.html", "first");
    let options = [OPTION, &["--index", "first.html", "--index", "index.html"]].concat();
    let server = Server::start(setup, site.root(), &options);
    expect(
        &mut server.connect(),
        &[
            ("/taken", 200, "a file"),
            ("/taken.html", 200, "a page"),
            ("/twice.html.html", 301, "/twice.html"),
            ("/twice.html", 200, "twice"),
            ("/docs/first.html", 301, "/docs/"),
            ("/docs/", 200, "first"),
            ("/docs/index.html", 301, "/docs/index"),
            ("/docs/index", 200, "<!doctype html><title>docs</title>\n"),
        ],
    );
}

fn a_page_that_appears_or_goes_is_noticed(setup: &'static Setup) {
    let site = Site::new();
    site.write("later/index.html", "the directory");
    let server = Server::start(setup, site.root(), OPTION);
    let mut peer = server.connect();
    expect(&mut peer, &[("/later", 301, "/later/")]);
    let page = site.write("later.html", "the page");
    wait_until("the page appears", || (peer.get("/later").status == 200).then_some(()));
    std::fs::remove_file(page).expect("it exists");
    wait_until("the page goes", || (peer.get("/later").status == 301).then_some(()));
}

fn what_is_hidden_has_no_clean_address(setup: &'static Setup) {
    let site = site();
    let options = [OPTION, &["--hide", "about.html", "--hide", "both"]].concat();
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for path in ["/about", "/about.html", "/both", "/both/"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
    expect(&mut peer, &[("/both.html", 200, "the page")]);
}

fn without_the_option_pages_keep_their_extension(setup: &'static Setup) {
    let site = site();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/about").status, 404);
    expect(&mut peer, &[("/about.html", 200, "about"), ("/both", 301, "/both/")]);
}
