//! A site that is served beneath a path (`--route-prefix`).

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get_with};

pub fn cases() -> Vec<Case> {
    cases![
        the_site_is_beneath_the_prefix_and_nothing_else_is,
        every_address_that_is_sent_has_the_prefix,
        patterns_are_compared_with_the_path_after_the_prefix,
        dot_files_are_hidden_beneath_the_prefix,
        a_prefix_may_need_encoding,
        a_single_file_is_served_beneath_the_prefix,
    ]
}

fn the_site_is_beneath_the_prefix_and_nothing_else_is(setup: &'static Setup) {
    let site = Site::new();
    site.write("sub/inner.html", "inner");
    site.write("404.html", "lost?");
    for prefix in ["/sub", "/sub/"] {
        let server = Server::start(setup, site.root(), &["--route-prefix", prefix]);
        assert!(server.greeting.contains("/sub/ ("), "{}", server.greeting);
        let mut peer = server.connect();
        for path in [
            "/sub/",
            "/sub/page.html",
            "/%73ub/page.html",
            "/s%75b//page.html",
            "//sub/./page.html",
            "/x/../sub/page.html",
            "/sub/sub/inner.html",
            "/sub/docs/?x",
        ] {
            assert_eq!(peer.get(path).status, 200, "{path}");
        }
        for path in [
            "/",
            "/page.html",
            "/subway",
            "/subway/page.html",
            "/sub.html",
            "/SUB/page.html",
            "/sub/../page.html",
            "/x/sub/page.html",
            "/sub/missing",
            "/sub/.git",
        ] {
            assert_eq!(peer.get(path).status, 404, "{path}");
        }
        assert_eq!(peer.get("/sub/missing").body, b"lost?");
        assert_eq!(peer.get("/sub/%zz").status, 400);
        assert_eq!(peer.get("/sub/../../x").status, 400);
        assert_eq!(server.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").status, 204);
    }
}

fn every_address_that_is_sent_has_the_prefix(setup: &'static Setup) {
    let site = Site::new();
    site.write("a/b/c.txt", "c");
    let options = [
        "--route-prefix=/x/y",
        "--list",
        "--clean-urls",
        "--redirect=/old/** /new/$1",
        "--redirect=/away https://redirect.example/",
    ];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, location) in [
        ("/x/y", "/x/y/"),
        ("/x/y?q", "/x/y/?q"),
        ("/x/%79?q", "/x/y/?q"),
        ("/x/y/docs", "/x/y/docs/"),
        ("/x/y/page.html", "/x/y/page"),
        ("/x/y/index.html?q", "/x/y/?q"),
        ("/x/y/docs/index.html", "/x/y/docs/"),
        ("/x/y/old/a?q", "/x/y/new/a?q"),
        ("/x/y/away", "https://redirect.example/"),
    ] {
        let response = peer.get(path);
        assert_eq!((response.status, response.field("Location")), (301, Some(location)), "{path}");
    }
    for path in ["/old/a", "/away", "/x/old/a"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
    let page = String::from_utf8(peer.get("/x/y/a/b/").body).expect("a page is UTF-8");
    for href in ["../../", "../", "./c.txt"] {
        assert!(page.contains(&format!("href=\"{href}\"")), "{href}: {page}");
    }
    // A link that begins with a slash would leave the prefix.
    for path in ["/x/y/a/b/", "/x/y/a/", "/x/y/missing/deep", "/x/y/a/missing"] {
        let page = String::from_utf8(peer.get(path).body).expect("a page is UTF-8");
        assert!(page.contains("href=\"") && !page.contains("href=\"/"), "{path}: {page}");
    }
    let listing = peer.ask(get_with("/x/y/a/", &["Accept: application/json"]));
    let listing: serde_json::Value = serde_json::from_slice(&listing.body).expect("JSON");
    assert_eq!(listing["path"], "/x/y/a/");
}

fn patterns_are_compared_with_the_path_after_the_prefix(setup: &'static Setup) {
    let site = Site::new();
    site.write("drafts/a", "a");
    let options = [
        "--route-prefix=/sub",
        "--hide=/drafts",
        "--header=/docs/** X-A: b",
        "--header=/sub/** X-B: c",
        "--header=X-All: d",
        "--cache-control=/page.html max-age=3",
    ];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    assert_eq!(peer.get("/sub/drafts/a").status, 404);
    assert_eq!(peer.get("/sub/page.html").field("Cache-Control"), Some("max-age=3"));
    for (path, has_header) in [("/sub/docs/", true), ("/docs/", false), ("/sub", false)] {
        let response = peer.get(path);
        assert_eq!(response.field("X-A").is_some(), has_header, "{path}");
        assert_eq!((response.field("X-B"), response.field("X-All")), (None, Some("d")), "{path}");
    }
}

fn dot_files_are_hidden_beneath_the_prefix(setup: &'static Setup) {
    let site = Site::new();
    for name in [".well-known/a.txt", ".git/config", "docs/.well-known/a.txt"] {
        site.write(name, "text");
    }
    let server = Server::start(setup, site.root(), &["--route-prefix=/sub"]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/sub/.well-known/a.txt").status, 200);
    for path in
        ["/sub/.git/config", "/sub/docs/.well-known/a.txt", "/.well-known/a.txt", "/.sub/../a"]
    {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
}

fn a_prefix_may_need_encoding(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--list", "--route-prefix=/a b&c/\u{e9}'"]);
    assert!(server.greeting.contains("/a%20b&c/%C3%A9'/ ("), "{}", server.greeting);
    let mut peer = server.connect();
    let location = "/a%20b&c/%C3%A9'/docs/";
    assert_eq!(peer.get("/a%20b%26c/\u{e9}'/docs").field("Location"), Some(location));
    assert_eq!(peer.get("/a%20b&c/%c3%a9%27/bare/").status, 200);
}

fn a_single_file_is_served_beneath_the_prefix(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.path("page.html"), &["--route-prefix=/sub"]);
    let mut peer = server.connect();
    for (path, status) in [("/sub/", 200), ("/sub/any/path", 200), ("/sub", 301), ("/", 404)] {
        assert_eq!(peer.get(path).status, status, "{path}");
    }
}
