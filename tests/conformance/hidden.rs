//! Names and paths that are neither served nor listed (`--hide`).

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get_with};

pub fn cases() -> Vec<Case> {
    cases![
        what_is_hidden_is_like_a_missing_file,
        what_is_hidden_is_not_listed,
        a_hidden_index_page_is_no_index_page,
        a_hidden_file_is_sent_where_the_configuration_names_it,
        a_hidden_directory_is_like_one_that_does_not_exist,
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

/// Two sites with the same options, of which only one has the directories, respond alike.
fn a_hidden_directory_is_like_one_that_does_not_exist(setup: &'static Setup) {
    let (with, without) = (Site::new(), Site::new());
    for name in ["drafts/x", "drafts/index.html", "drafts/sub/y", "flat/index.html", "a/b/c"] {
        with.write(name, "content");
    }
    let patterns = ["--hide=/drafts/**", "--hide=/flat/*", "--hide=/a/*/**"];
    let header = "--header=/drafts/** X-A: b";
    for options in [
        &[][..],
        &["--list"],
        &["--clean-urls"],
        &["--fallback=index.html"],
        &["--list", "--clean-urls", "--fallback=index.html", "--cors", header],
    ] {
        let options = [options, &patterns[..]].concat();
        let servers = [&with, &without].map(|site| Server::start(setup, site.root(), &options));
        let mut peers = servers.each_ref().map(Server::connect);
        for path in [
            "/drafts",
            "/drafts/",
            "/drafts/x",
            "/drafts/index.html",
            "/drafts/sub",
            "/drafts/sub/",
            "/drafts?q",
            "/x/../drafts",
            "/%64rafts",
            "/drafts.html",
            "/flat",
            "/flat/",
            "/a/b",
            "/a/b/",
            "/a/b/c",
        ] {
            for method in ["GET", "HEAD", "OPTIONS", "POST"] {
                for accept in ["text/html", "image/png"] {
                    let request = get_with(path, &[&format!("Accept: {accept}")]);
                    let request = request.replacen("GET", method, 1);
                    let [is, is_not] = peers.each_mut().map(|peer| peer.ask(&request));
                    assert_eq!((is.status, &is.body), (is_not.status, &is_not.body), "{request}");
                    let [fields, expected] = [&is, &is_not].map(|it| {
                        // These headers depend on the time at which the site was written.
                        let own = ["ETag", "Last-Modified"];
                        let fields = it.headers_except_date().into_iter();
                        fields.filter(|field| !own.contains(&&*field.0)).collect::<Vec<_>>()
                    });
                    assert_eq!(fields, expected, "{request}");
                }
            }
        }
    }
}
