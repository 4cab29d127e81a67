//! Redirects (`--redirect`). `tests/cli` has its usage errors.

use super::policy::sha256;
use crate::case::{Case, cases};
use crate::support::{Response, Server, Setup, Site, get, get_with};

pub fn cases() -> Vec<Case> {
    cases![
        a_request_is_redirected_where_its_rule_says,
        the_first_matching_rule_applies_before_files,
        a_redirect_leads_to_no_other_host_and_has_no_line_end,
        a_redirect_applies_to_every_method_but_options,
        a_redirect_comes_after_the_host_and_the_password,
        a_single_file_is_redirected_too,
    ]
}

fn answer(response: &Response) -> (u16, Option<&str>) {
    (response.status, response.field("Location"))
}

fn a_request_is_redirected_where_its_rule_says(setup: &'static Setup) {
    let site = Site::new();
    let options = [
        "--redirect=/blog/*/*.html /posts/$2-$1",
        "--redirect=/old/** /new/$1 308",
        "--redirect=/find/* /search?q=$1&all#top 303",
        "--redirect=/shop/** https://redirect.example/$1 302",
        "--redirect=/caf\u{e9} /caf\u{e9}/ 307",
        "--header=/old/** X-A: b",
        "--header=X-All: c",
    ];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, status, location) in [
        ("/blog/2024/a%20b.html", 301, "/posts/a%20b-2024"),
        ("/blog/2024/a.html?x=y&z", 301, "/posts/a-2024?x=y&z"),
        ("/old/a/b", 308, "/new/a/b"),
        ("/old/a/b/", 308, "/new/a/b/"),
        ("/old/", 308, "/new/"),
        ("/old", 308, "/new/"),
        ("/x/..//%6fld/./a", 308, "/new/a"),
        ("/find/a&b=c?ignored", 303, "/search?q=a%26b%3Dc&all#top"),
        ("/shop/a?b", 302, "https://redirect.example/a?b"),
        ("/caf%c3%a9", 307, "/caf%C3%A9/"),
    ] {
        let response = peer.get(path);
        assert_eq!(answer(&response), (status, Some(location)), "{path}");
        assert_eq!(response.field("X-All"), Some("c"), "{path}");
        let has_pattern = response.field("X-A") == Some("b");
        assert_eq!(has_pattern, path.contains("ld/"), "{path}");
    }
    for path in ["/blog/a.html", "/blog/1/2/a.html", "/older", "/find", "/missing"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
    assert_eq!(peer.get("/old/%zz").status, 400);
    assert_eq!(peer.get("/page.html").status, 200);
}

fn the_first_matching_rule_applies_before_files(setup: &'static Setup) {
    let site = Site::new();
    let options = [
        "--redirect=/page.html /first",
        "--redirect=/page.* /second",
        "--redirect=/docs/ /third",
        "--redirect=/.git/** /fourth/$1",
        "--redirect=/hidden/** /fifth/$1",
        "--hide=/hidden",
        "--list",
        "--clean-urls",
        "--fallback=index.html",
    ];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, location) in [
        ("/page.html", "/first"),
        ("/page.txt", "/second"),
        ("/docs/", "/third"),
        // The redirect of a directory's address without its slash.
        ("/docs", "/docs/"),
        ("/docs/index.html", "/docs/"),
        ("/.git/config", "/fourth/config"),
        ("/hidden/a", "/fifth/a"),
    ] {
        assert_eq!(answer(&peer.get(path)), (301, Some(location)), "{path}");
    }
    assert_eq!(peer.get("/page").status, 200, "the path of the request counts");
}

fn a_redirect_leads_to_no_other_host_and_has_no_line_end(setup: &'static Setup) {
    let site = Site::new();
    let options = [
        "--redirect=/a/** /$1",
        "--redirect=/b/*x/** /$1/$2",
        "--redirect=/c/** https://redirect.example/$1",
    ];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, location) in [
        ("/a//evil.example/", "/evil.example/"),
        ("/a/\\evil.example", "/%5Cevil.example"),
        ("/a/%5cevil.example", "/%5Cevil.example"),
        ("/a/%09/evil.example", "/%09/evil.example"),
        ("/a/%0d%0aX-A:%20b", "/%0D%0AX-A:%20b"),
        ("/a/https:evil.example", "/https:evil.example"),
        ("/b/x/evil.example", "/evil.example"),
        ("/b/x//\\evil.example", "/%5Cevil.example"),
        ("/c/@evil.example", "https://redirect.example/@evil.example"),
        ("/c/.evil.example", "https://redirect.example/.evil.example"),
        ("/c", "https://redirect.example/"),
    ] {
        let response = peer.get(path);
        assert_eq!(answer(&response), (301, Some(location)), "{path}");
        assert_eq!(response.field("X-A"), None, "{path}");
    }
    assert_eq!(peer.get("/a/x%2f%2fevil.example").status, 400);
    assert_eq!(peer.get("/a?\r\nX: y").status, 400);
}

fn a_redirect_applies_to_every_method_but_options(setup: &'static Setup) {
    let site = Site::new();
    let rule = "--redirect=/form https://redirect.example/form 307";
    let server = Server::start(setup, site.root(), &[rule]);
    let mut peer = server.connect();
    for method in ["HEAD", "POST", "PUT", "DELETE", "PATCH"] {
        let request = get("/form").replacen("GET", method, 1);
        let response = peer.ask(request);
        let location = Some("https://redirect.example/form");
        assert_eq!(answer(&response), (307, location), "{method}");
    }
    let body = get_with("/form", &["Content-Length: 5"]).replacen("GET", "POST", 1);
    assert_eq!(peer.ask(body + "abcde").status, 307);
    assert_eq!(server.ask(get("/form").replacen("GET", "OPTIONS", 1)).status, 204);
    assert_eq!(server.ask("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").status, 204);
}

fn a_redirect_comes_after_the_host_and_the_password(setup: &'static Setup) {
    let site = Site::new();
    let auth = format!("me:{}", sha256("secret"));
    let options = ["--redirect", "/** https://redirect.example/$1", "--server-name", "example.org"];
    let options = [&options[..], &["--auth", &auth]].concat();
    let server = Server::start(setup, site.root(), &options);
    assert_eq!(server.get("/a").status, 421);
    let request = get("/a").replacen("Host: h", "Host: example.org", 1);
    assert_eq!(server.ask(&request).status, 401);
    let known = request.replacen("\r\n\r\n", "\r\nAuthorization: Basic bWU6c2VjcmV0\r\n\r\n", 1);
    let response = server.ask(known);
    assert_eq!(answer(&response), (301, Some("https://redirect.example/a")));
}

fn a_single_file_is_redirected_too(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.path("page.html"), &["--redirect=/old /new"]);
    assert_eq!(answer(&server.get("/old")), (301, Some("/new")));
    assert_eq!(server.get("/other").status, 200);
}
