//! Methods other than GET and HEAD: OPTIONS is answered, all others are rejected.

use crate::case::{Case, cases};
use crate::framing::{expect_answered, expect_refused};
use crate::support::{Server, Setup, Site};

pub fn cases() -> Vec<Case> {
    cases![
        a_known_but_unsupported_method_is_a_405,
        an_unsupported_method_on_a_missing_path_is_a_405,
        options_lists_the_allowed_methods,
        connect_is_rejected,
        an_unknown_method_is_a_501,
        methods_are_case_sensitive,
        put_and_delete_change_nothing_on_the_disk,
    ]
}

fn a_known_but_unsupported_method_is_a_405(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        // `Response::parse` checks that every 405 has an Allow header.
        expect_answered(&server, format!("{method} /page.html HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
    }
}

fn an_unsupported_method_on_a_missing_path_is_a_405(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for path in ["/missing", "/docs", "/.git/config"] {
        assert_eq!(
            server.ask(format!("DELETE {path} HTTP/1.1\r\nHost: h\r\n\r\n")).status,
            405,
            "{path}"
        );
    }
}

fn options_lists_the_allowed_methods(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for target in ["*", "/", "/page.html"] {
        let response = peer.ask(format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(matches!(response.status, 200 | 204), "{target}: {response:?}");
        response.expect_allow();
    }
    assert_eq!(peer.get("/").status, 200);
}

fn connect_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for target in ["h:443", "[::1]:443"] {
        let response = server.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert!(matches!(response.status, 405 | 501), "{response:?}");
    }
    for target in ["/", "h:x", "u@h:443", ":443"] {
        let response = server.ask(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(response.status, 400, "{target}");
    }
}

fn an_unknown_method_is_a_501(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let long = "A".repeat(1000);
    for method in ["BREW", "PROPFIND", "M-SEARCH", "GETX", "XGET", "GE", "!#$%&'*+-.^_`|~09", &long]
    {
        let response = server.ask(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(response.status, 501, "{method}");
    }
}

fn methods_are_case_sensitive(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for method in ["get", "Get", "head", "pOST"] {
        expect_refused(
            &server,
            format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
            501,
        );
    }
}

fn put_and_delete_change_nothing_on_the_disk(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    server.ask("PUT /new.html HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    server.ask("PUT /page.html HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    server.ask("DELETE /index.html HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!site.path("new.html").exists());
    assert_eq!(server.get("/page.html").content_length(), 35);
    assert_eq!(server.get("/").status, 200);
}
