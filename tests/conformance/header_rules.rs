//! Which responses the rules of `--header` and `--cache-control` apply to.

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get, get_with};

pub fn cases() -> Vec<Case> {
    cases![
        a_pattern_is_compared_with_the_path_of_the_request,
        a_pattern_matches_a_directory_also_by_its_index_page,
        the_fallback_page_has_the_headers_of_its_own_path,
        errors_of_the_parser_have_the_headers_of_every_response,
    ]
}

fn a_pattern_is_compared_with_the_path_of_the_request(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(
        setup,
        site.root(),
        &[
            "--list",
            "--header=/ X-Front: 1",
            "--header=/bare/ X-Bare: 1",
            "--header=/bare X-Slash: 1",
            "--header=/missing/ X-Missing: 1",
            "--cache-control=/ max-age=1",
            "--cache-control=/bare/ max-age=2",
        ],
    );
    let mut peer = server.connect();
    for (path, header, cache_control) in [
        ("/", Some("X-Front"), Some("max-age=1")),
        ("/?x", Some("X-Front"), Some("max-age=1")),
        ("/docs/..", Some("X-Front"), Some("max-age=1")),
        ("/index.html", None, Some("no-cache")),
        ("/bare/", Some("X-Bare"), Some("max-age=2")),
        ("/b%61re/?sort=size", Some("X-Bare"), Some("max-age=2")),
        ("/bare", Some("X-Slash"), None),
        ("/bare/a.txt", None, Some("no-cache")),
        ("/docs/", None, Some("no-cache")),
        ("/missing/", Some("X-Missing"), None),
        ("/missing", None, None),
    ] {
        // With a condition that fails: an error has the same headers as a success.
        for fields in [&[][..], &["If-Match: \"other\""]] {
            let response = peer.get_with(path, fields);
            for name in ["X-Front", "X-Bare", "X-Slash", "X-Missing"] {
                let expected = (header == Some(name)).then_some("1");
                assert_eq!(response.field(name), expected, "{path} {fields:?}: {name}");
            }
            if response.status == 200 {
                assert_eq!(response.field("Cache-Control"), cache_control, "{path}");
            }
        }
    }
}

fn a_pattern_matches_a_directory_also_by_its_index_page(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let rules = ["--list", "--header=/**/*.html X-Page: 1", "--header=/docs/index.html X-Docs: 1"];
    let server = Server::start(setup, site.root(), &rules);
    let mut peer = server.connect();
    for (path, is_page, is_docs) in [
        ("/", true, false),
        ("/page.html", true, false),
        ("/docs/", true, true),
        ("/docs/index.html", true, true),
        ("/bare/", true, false),
        ("/missing/", true, false),
        ("/docs", false, false),
        ("/bare/a.txt", false, false),
    ] {
        let response = peer.get(path);
        let found = ["X-Page", "X-Docs"].map(|name| response.field(name).is_some());
        assert_eq!(found, [is_page, is_docs], "{path}");
    }
}

fn the_fallback_page_has_the_headers_of_its_own_path(setup: &'static Setup) {
    let site = Site::new();
    site.write("app.html", "app");
    let options = [
        "--fallback=app.html",
        "--header=/app.html X-App: 1",
        "--header=/users/** X-Users: 1",
        "--cache-control=/users/** max-age=9",
    ];
    let server = Server::start(setup, site.root(), &options);
    let page = server.ask(get_with("/users/7", &["Accept: text/html"]));
    assert_eq!((page.status, &*page.body), (200, &b"app"[..]));
    assert_eq!((page.field("X-App"), page.field("X-Users")), (Some("1"), None));
    assert_eq!(page.field("Cache-Control"), Some("no-cache"));
    let missing = server.ask(get_with("/users/7", &["Accept: application/json"]));
    assert_eq!((missing.status, missing.field("X-Users")), (404, Some("1")));
}

fn errors_of_the_parser_have_the_headers_of_every_response(setup: &'static Setup) {
    let site = Site::new();
    let options = ["--cors", "--header=X-A: b", "--header=/** X-B: c", "--header-timeout=0.3"];
    let server = Server::start(setup, site.root(), &options);
    let long = "x".repeat(40_000);
    for (status, request) in [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\n\n".to_owned()),
        (400, get_with("/", &["Content-Length: 1", "Transfer-Encoding: chunked"])),
        (408, "GET / HTTP/1.1\r\nHost:".to_owned()),
        (413, get_with("/", &["Content-Length: 100000000"])),
        (414, get(&format!("/{long}"))),
        (431, get_with("/", &[&format!("X: {long}")])),
        (501, get("/").replacen("GET", "BREW", 1)),
        (501, get_with("/", &["Transfer-Encoding: gzip"])),
        (505, get("/").replacen("HTTP/1.1", "HTTP/2.0", 1)),
    ] {
        for request in [request.replacen("GET", "HEAD", 1), request] {
            let response = server.ask(&request);
            assert_eq!(response.status, status, "{request:.60}");
            assert_eq!(response.field("X-A"), Some("b"), "{status}");
            assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"), "{status}");
            // The parser stops before the path is known, so no pattern matches it.
            assert_eq!(response.field("X-B"), None, "{status}");
        }
    }
}
