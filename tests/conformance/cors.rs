//! Which pages of other origins may read the site (`--cors-origin`). `policy.rs` has the cases of
//! `--cors`.

use super::policy::{one_of_each, options, sha256, site_with_one_of_each};
use crate::case::{Case, cases};
use crate::support::{Response, Server, Setup, Site, get, get_with};

pub fn cases() -> Vec<Case> {
    cases![
        a_listed_origin_may_read_every_response,
        every_response_varies_by_origin,
        a_preflight_of_a_listed_origin_is_answered,
        an_origin_is_compared_as_browsers_send_it,
    ]
}

const ORIGINS: [&str; 4] =
    ["--cors-origin", "https://app.example", "--cors-origin", "HTTP://LocalHost:80"];

/// The origin that may read `response`. Checks the other CORS headers.
#[track_caller]
fn allowed(response: &Response) -> Option<&str> {
    let allowed = response.field("Access-Control-Allow-Origin");
    assert_eq!(response.field("Access-Control-Expose-Headers").is_some(), allowed.is_some());
    assert_eq!(response.field("Access-Control-Allow-Credentials"), None);
    allowed
}

#[track_caller]
fn expect_vary(response: &Response) {
    let vary = response.list("Vary");
    assert_eq!(vary.iter().filter(|name| **name == "Origin").count(), 1, "{response:?}");
}

fn a_listed_origin_may_read_every_response(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let auth = format!("me:{}", sha256("secret"));
    let server = Server::start(setup, site.root(), &[&["--list"], &ORIGINS[..]].concat());
    let mut peer = server.connect();
    let requests = [
        ("/docs/a.txt", 200),
        ("/docs/bare/", 200),
        ("/docs/missing", 404),
        ("/docs/inner", 301),
        ("/docs/%zz", 400),
    ];
    for (path, status) in requests {
        for (origin, is_listed) in [
            ("https://app.example", true),
            ("http://localhost", true),
            ("https://evil.example", false),
            ("null", false),
            ("https://app.example.evil.example", false),
            ("http://app.example", false),
            ("https://app.example:444", false),
            ("https://app.example, https://app.example", false),
            ("", false),
        ] {
            let response = peer.get_with(path, &[&format!("Origin: {origin}")]);
            assert_eq!(response.status, status, "{path}");
            assert_eq!(allowed(&response), is_listed.then_some(origin), "{path}");
            expect_vary(&response);
        }
        let twice = ["Origin: https://app.example", "Origin: https://app.example"];
        assert_eq!(allowed(&peer.get_with(path, &twice)), None, "{path}");
    }
    let tag = peer.settled("/docs/a.txt", &[]).required("ETag").to_owned();
    let fields = ["Origin: https://app.example", &*format!("If-None-Match: {tag}")];
    let response = peer.get_with("/docs/a.txt", &fields);
    assert_eq!((response.status, allowed(&response)), (304, Some("https://app.example")));
    let post = get_with("/", &["Origin: https://app.example"]).replacen("GET", "POST", 1);
    let response = peer.ask(post);
    assert_eq!((response.status, allowed(&response)), (405, Some("https://app.example")));
    drop((peer, server));
    let options = [&ORIGINS[..], &["--auth", &auth, "--redirect", "/old /new"]].concat();
    let server = Server::start(setup, site.root(), &options);
    for (fields, status) in [
        (&["Origin: http://localhost"][..], 401),
        (&["Origin: http://localhost", "Authorization: Basic bWU6c2VjcmV0"], 301),
    ] {
        let response = server.ask(get_with("/old", fields));
        assert_eq!((response.status, allowed(&response)), (status, Some("http://localhost")));
        expect_vary(&response);
    }
}

fn every_response_varies_by_origin(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let options = [&["--list", "--server-name=h"], &ORIGINS[..]].concat();
    let server = Server::start(setup, site.root(), &options);
    for (_, response) in one_of_each(&mut server.connect()) {
        expect_vary(&response);
        assert_eq!(allowed(&response), None);
    }
    for request in [
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "BREW / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        get(&"/x".repeat(20_000)),
        get("/").replacen("Host: h", "Host: other", 1),
    ] {
        expect_vary(&server.ask(request));
    }
    drop(server);
    let server = Server::start(setup, site.root(), &[]);
    let response = server.ask(get_with("/", &["Origin: https://app.example"]));
    assert_eq!((allowed(&response), response.list("Vary").contains(&"Origin")), (None, false));
}

fn a_preflight_of_a_listed_origin_is_answered(setup: &'static Setup) {
    let site = Site::new();
    let auth = format!("me:{}", sha256("secret"));
    let method = "Access-Control-Request-Method: GET";
    let listed = "Origin: https://app.example";
    for (options_given, refused) in
        [(&ORIGINS[..], 204), (&[&ORIGINS[..], &["--auth", &auth]].concat(), 401)]
    {
        let server = Server::start(setup, site.root(), options_given);
        let response = server.ask(options("/page.html", &[listed, method]));
        assert_eq!((response.status, allowed(&response)), (204, Some("https://app.example")));
        assert!(response.list("Access-Control-Allow-Methods").contains(&"GET"));
        expect_vary(&response);
        for fields in [
            &["Origin: https://evil.example", method][..],
            &["Origin: null", method],
            &[method],
            &[listed],
        ] {
            let response = server.ask(options("/page.html", fields));
            assert_eq!(response.status, refused, "{fields:?}");
            assert_eq!(response.field("Access-Control-Allow-Methods"), None, "{fields:?}");
            let origin = (fields == [listed]).then_some("https://app.example");
            assert_eq!(allowed(&response), origin, "{fields:?}");
            expect_vary(&response);
        }
    }
}

fn an_origin_is_compared_as_browsers_send_it(setup: &'static Setup) {
    let site = Site::new();
    let options = ["HTTPS://A.Example:443", "http://[0::1]:080", "https://b.example:8443"];
    let options = options.map(|origin| format!("--cors-origin={origin}"));
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (origin, is_listed) in [
        ("https://a.example", true),
        ("http://[::1]", true),
        ("https://b.example:8443", true),
        ("https://b.example", false),
        ("http://a.example", false),
    ] {
        let response = peer.get_with("/", &[&format!("Origin: {origin}")]);
        assert_eq!(allowed(&response), is_listed.then_some(origin), "{origin}");
    }
}
