//! The headers that describe a response and its body.

use std::time::{Duration, SystemTime};

use crate::case::{Case, cases};
use crate::support::{Peer, Response, Server, Setup, Site, get, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        get_sends_the_file_with_its_type_and_length,
        head_has_the_headers_of_get_and_no_body,
        an_error_response_to_head_has_no_body,
        only_text_types_have_a_charset,
        date_is_the_current_time,
        last_modified_is_the_mtime_of_the_file,
        an_error_page_states_its_status,
        a_directory_is_served_as_its_index_page,
    ]
}

fn get_sends_the_file_with_its_type_and_length(setup: &'static Setup) {
    let site = Site::new();
    site.write("page.html", "<!doctype html>\n<p>grüße\n");
    let response = Server::start(setup, site.root(), &[]).get("/page.html");
    assert_eq!(response.status, 200);
    assert_eq!(response.body, "<!doctype html>\n<p>grüße\n".as_bytes());
    assert_eq!(response.required("Content-Type"), "text/html; charset=utf-8");
    assert_eq!(response.required("Content-Length"), "27", "bytes, not characters");
    assert_eq!(response.field("Transfer-Encoding"), None);
    assert_eq!(response.field("Connection"), None, "HTTP/1.1 connections persist by default");
}

fn head_has_the_headers_of_get_and_no_body(setup: &'static Setup) {
    let site = Site::new();
    site.write("empty.txt", "");
    site.write("large.bin", vec![7; 300_000]);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for path in
        ["/", "/page.html", "/empty.txt", "/large.bin", "/docs", "/missing", "/bare/", "/%zz"]
    {
        let mut by_get = peer.get(path);
        if by_get.status == 200 {
            by_get = peer.settled(path, &[]);
        }
        // A body after the response to HEAD would appear as the start of the next response.
        let by_head = peer.ask(get(path).replace("GET", "HEAD"));
        assert_eq!(by_head.status, by_get.status, "{path}");
        assert_eq!(by_head.headers_except_date(), by_get.headers_except_date(), "{path}");
        assert_eq!(by_head.content_length(), by_get.body.len() as u64, "{path}");
    }
}

fn an_error_response_to_head_has_no_body(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for rest in [
        "/ HTTP/1.1\r\n\r\n",
        "/ HTTP/3.0\r\nHost: h\r\n\r\n",
        "/ HTTP/1.1\r\nHost: h\r\nX : 1\r\n\r\n",
    ] {
        let by_get = server.ask(format!("GET {rest}"));
        let mut peer = server.connect();
        let by_head = peer.ask(format!("HEAD {rest}"));
        assert_eq!(
            (by_head.status, by_head.headers_except_date()),
            (by_get.status, by_get.headers_except_date()),
            "{rest}"
        );
        peer.expect_end();
    }
}

fn only_text_types_have_a_charset(setup: &'static Setup) {
    let site = Site::new();
    let types = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.min.css", "text/css; charset=utf-8"),
        ("a.png", "image/png"),
        ("a.jpeg", "image/jpeg"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.unheard-of", "text/plain; charset=utf-8"),
        ("html", "text/plain; charset=utf-8"),
    ];
    for (name, _) in types {
        site.write(name, "x");
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (name, media_type) in types {
        assert_eq!(peer.get(&format!("/{name}")).required("Content-Type"), media_type, "{name}");
    }
}

fn date_is_the_current_time(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let mut ask = || {
        // Date has whole seconds.
        let before = SystemTime::now() - Duration::from_secs(1);
        let date = date_of(&mut peer);
        assert!(before <= date && date <= SystemTime::now(), "{date:?} is not now");
        date
    };
    let first = ask();
    wait_until("a later date", || Some(ask()).filter(|date| *date > first));
}

fn date_of(peer: &mut Peer) -> SystemTime {
    peer.get("/").time("Date").expect("every response has a Date")
}

fn last_modified_is_the_mtime_of_the_file(setup: &'static Setup) {
    let site = Site::new();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    // Rounded down to a whole second: rounded up it could be later than Date.
    site.set_modified("page.html", time + Duration::from_millis(900));
    let server = Server::start(setup, site.root(), &[]);
    let response = server.connect().settled("/page.html", &[]);
    assert_eq!(response.required("Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
}

fn an_error_page_states_its_status(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let expect_error_page = |response: Response| {
        let page = String::from_utf8(response.body.clone()).expect("a page is UTF-8");
        assert_eq!(response.required("Content-Type"), "text/html; charset=utf-8");
        assert!(page.starts_with("<!doctype html>"), "{page}");
        assert!(page.contains(&response.status.to_string()), "{page}");
        assert!(page.len() < 4096, "{page}");
        assert_eq!(response.field("Last-Modified"), None, "an error has no Last-Modified");
    };
    expect_error_page(server.get("/missing"));
    expect_error_page(server.get("/docs"));
    expect_error_page(server.ask("BREW / HTTP/1.1\r\nHost: h\r\n\r\n"));
    expect_error_page(server.ask("POST / HTTP/1.1\r\nHost: h\r\n\r\n"));
    expect_error_page(server.ask("GET / HTTP/1.1\r\n\r\n"));
    expect_error_page(server.ask("GET / HTTP/2.0\r\nHost: h\r\n\r\n"));
}

fn a_directory_is_served_as_its_index_page(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, content) in
        [("/", "front"), ("/docs/", "docs"), ("/?x=/docs/", "front"), ("/docs/?", "docs")]
    {
        let response = peer.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(
            response.body,
            format!("<!doctype html><title>{content}</title>\n").as_bytes(),
            "{path}"
        );
    }
}
