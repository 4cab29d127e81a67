//! Names and paths that are neither served nor listed (`--hide`).

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site};

pub fn cases() -> Vec<Case> {
    cases![
        what_is_hidden_is_like_a_missing_file,
        what_is_hidden_is_not_listed,
        a_hidden_index_page_is_no_index_page,
        a_hidden_file_is_sent_where_the_configuration_names_it,
    ]
}

const PATTERNS: [&str; 6] = ["--hide", "*.bak", "--hide", "/drafts", "--hide", "node_modules/"];

fn site() -> Site {
    let site = Site::new();
    for name in [
        "a.bak",
        "deep/er/b.bak",
        "drafts/index.html",
        "drafts/new/page.html",
        "sub/node_modules/x.js",
        "sub/drafts/page.html",
        "sub/a.bak.txt",
    ] {
        site.write(name, "content");
    }
    site
}

fn what_is_hidden_is_like_a_missing_file(setup: &'static Setup) {
    let site = site();
    let server = Server::start(setup, site.root(), &[&["--list"], &PATTERNS[..]].concat());
    let mut peer = server.connect();
    // The links of an error page depend on the depth of the path.
    for (path, missing) in [
        ("/a.bak", "/missing"),
        ("/%61.bak", "/missing"),
        ("/x/../a.bak", "/missing"),
        ("/deep/er/b.bak", "/x/y/missing"),
        ("/drafts", "/missing"),
        ("/drafts/", "/missing/"),
        ("/drafts/index.html", "/x/missing"),
        ("/drafts/new/page.html", "/x/y/missing"),
        ("/drafts/missing", "/x/missing"),
        ("/sub/node_modules", "/x/missing"),
        ("/sub/node_modules/", "/x/missing/"),
        ("/sub/node_modules/x.js", "/x/y/missing"),
    ] {
        let (response, missing) = (peer.get(path), peer.get(missing));
        assert_eq!((response.status, &response.body), (404, &missing.body), "{path}");
        assert_eq!(response.headers_except_date(), missing.headers_except_date(), "{path}");
    }
    for path in ["/sub/drafts/page.html", "/sub/a.bak.txt", "/sub/", "/", "/docs/"] {
        assert_eq!(peer.get(path).status, 200, "{path}");
    }
}

fn what_is_hidden_is_not_listed(setup: &'static Setup) {
    let site = site();
    site.write("only/beneath/a.txt", "a");
    let options = [&["--list", "--hide", "/only/beneath/**"], &PATTERNS[..]].concat();
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, listed) in [
        ("/deep/er/", &[][..]),
        ("/sub/", &["./drafts/", "./a.bak.txt"]),
        ("/only/", &[]),
        ("/deep/", &["./er/"]),
    ] {
        let page = String::from_utf8_lossy(&peer.get(path).body).into_owned();
        for name in
            ["./er/", "./drafts/", "./a.bak.txt", "./b.bak", "./node_modules/", "./beneath/"]
        {
            let is_listed = page.contains(&format!("\"{name}\""));
            assert_eq!(is_listed, listed.contains(&name), "{name} in {path}: {page}");
        }
    }
}

fn a_hidden_index_page_is_no_index_page(setup: &'static Setup) {
    let site = Site::new();
    site.write("docs/home.html", "home");
    let options = ["--hide", "index.html", "--index", "index.html", "--index", "home.html"];
    let server = Server::start(setup, site.root(), &options);
    assert_eq!(server.get("/docs/").body, b"home");
    assert_eq!(server.get("/").status, 404);
}

fn a_hidden_file_is_sent_where_the_configuration_names_it(setup: &'static Setup) {
    let site = Site::new();
    site.write("404.html", "lost?");
    site.write("page.html.gz", "sidecar");
    let options = ["--hide", "404.html", "--hide", "*.gz"];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for path in ["/404.html", "/page.html.gz"] {
        let response = peer.get(path);
        assert_eq!((response.status, &response.body[..]), (404, &b"lost?"[..]), "{path}");
    }
    let response = peer.get_with("/page.html", &["Accept-Encoding: gzip"]);
    assert_eq!(response.body, b"sidecar");
}
