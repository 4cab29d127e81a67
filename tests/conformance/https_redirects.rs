//! `--redirect-http`: plain HTTP is redirected to HTTPS, and only challenges of ACME are served.

use std::net::SocketAddr;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::case::{Case, cases};
use crate::support::{
    Peer, Response, Server, Setup, Site, TIMEOUT, get, get_with, head, is_encrypted, shown,
};

pub fn cases() -> Vec<Case> {
    cases![if is_encrypted;
        a_plain_request_is_redirected_to_the_same_url_with_https,
        the_host_of_the_request_is_kept_and_validated,
        challenges_are_served_and_nothing_else,
        challenges_need_no_password_and_redirects_say_nothing_of_files,
        an_unknown_host_is_misdirected,
        a_connection_is_redirected_any_number_of_times_and_closed_when_idle,
        tls_on_the_plain_address_is_an_error,
        both_addresses_share_the_connection_limit,
    ]
}

/// A server, and the address where it redirects.
fn start(setup: &'static Setup, site: &Site, options: &[&str]) -> (Server, SocketAddr) {
    let options = [&["--redirect-http=127.0.0.1:0"], options].concat();
    let server = Server::start(setup, site.root(), &options);
    let (_, address) =
        server.greeting.split_once("; redirecting http://").expect("it is announced");
    let end = address.find(|char: char| !char.is_ascii_digit() && !".:".contains(char));
    let address = address[..end.unwrap_or(address.len())].parse().expect("it is numeric");
    (server, address)
}

/// A response as it is, because its Location names a host.
#[track_caller]
fn ask(address: SocketAddr, request: &str) -> (u16, Option<String>, Vec<u8>) {
    let mut peer = Peer::connect(address);
    peer.send(request);
    peer.finish_sending();
    let (bytes, _) = peer.rest();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok());
    let location = head.lines().find_map(|line| line.strip_prefix("Location: "));
    (status.expect("a status"), location.map(str::to_owned), body.as_bytes().to_vec())
}

#[track_caller]
fn location(address: SocketAddr, request: &str) -> String {
    let (status, location, _) = ask(address, request);
    assert_eq!(status, 308, "{request:?}");
    location.expect("a redirect has a Location")
}

fn a_plain_request_is_redirected_to_the_same_url_with_https(setup: &'static Setup) {
    let site = Site::new();
    let (server, plain) = start(setup, &site, &[]);
    let port = server.address.port();
    for target in [
        "/",
        "/page.html",
        "/missing",
        "/docs",
        "/page.html?a=1&b=%20#",
        "/?",
        "/%2e%2e/x",
        "/a//b",
        "//evil.example/",
        "/caf%C3%A9",
    ] {
        let target = target.trim_end_matches('#');
        let expected = format!("https://redirect.example:{port}{target}");
        let request = get(target).replace("Host: h", "Host: redirect.example");
        assert_eq!(location(plain, &request), expected);
        assert_eq!(location(plain, &head(&request)), expected);
        let post =
            request.replace("GET ", "POST ").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(location(plain, &post), expected, "308 keeps the method");
    }
    // Bytes that a URL may not contain are escaped.
    let request = "GET /a\"<b>\\{} HTTP/1.1\r\nHost: redirect.example\r\n\r\n";
    let (status, location, _) = ask(plain, request);
    let is_escaped = |location: String| !location.contains(['"', '<', '>', '\\', '{']);
    assert!(status == 400 || location.is_some_and(is_escaped), "{status}");
    assert_eq!(server.get("/page.html").status, 200);
}

fn the_host_of_the_request_is_kept_and_validated(setup: &'static Setup) {
    let site = Site::new();
    let (server, plain) = start(setup, &site, &[]);
    let port = server.address.port();
    let with_host = |host: &str| format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for (host, expected) in [
        ("example.org", "example.org"),
        ("example.org:80", "example.org"),
        ("example.org:8080", "example.org"),
        ("192.0.2.1:80", "192.0.2.1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:8080", "[2001:db8::1]"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        let expected = format!("https://{expected}:{port}/x");
        assert_eq!(location(plain, &with_host(host)), expected, "{host}");
    }
    // The host of an absolute target wins (RFC 9112 section 3.2.2).
    let absolute = "GET http://first.example/x HTTP/1.1\r\nHost: second.example\r\n\r\n";
    assert_eq!(location(plain, absolute), format!("https://first.example:{port}/x"));
    // Without a host there is no URL.
    for request in ["GET /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\nHost: \r\n\r\n"] {
        let (status, location, body) = ask(plain, request);
        assert_eq!((status, location), (400, None), "{request:?}");
        assert!(shown(&body).contains("https://"), "{}", shown(&body));
    }
    for host in
        ["a b", "evil.example/", "user@h", "h:x", "h\u{0}", "[::1", "h?x", "h#x", "\"h\"", "<h>"]
    {
        let (status, location, _) = ask(plain, &with_host(host));
        assert_eq!((status, location), (400, None), "{host:?}");
    }
    for request in ["GET /x HTTP/1.1\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        assert_eq!(ask(plain, request).0, 400, "{request:?}");
    }
}

/// A site with a challenge, and a file that must not be served beside it.
fn site_with_challenge() -> Site {
    let site = Site::new();
    site.write(".well-known/acme-challenge/token", "token.thumbprint");
    site.write(".well-known/acme-challenge/deep/token", "deep");
    site.write(".well-known/secret.txt", "secret");
    site.write("secret.txt", "secret");
    site
}

fn challenges_are_served_and_nothing_else(setup: &'static Setup) {
    let site = site_with_challenge();
    let (server, plain) = start(setup, &site, &[]);
    let mut peer = Peer::connect(plain);
    let token = "/.well-known/acme-challenge/token";
    for target in
        [token, "/.well-known/acme-challenge/token?x", "/.well-known/acme%2dchallenge/token"]
    {
        let response = peer.get(target);
        assert_eq!((response.status, shown(&response.body)), (200, "token.thumbprint".to_owned()));
    }
    let response = peer.ask(head(&get(token)));
    assert_eq!((response.status, response.content_length()), (200, 16));
    assert_eq!(peer.get("/.well-known/acme-challenge/missing").status, 404);
    drop(peer);
    for target in [
        "/secret.txt",
        "/.well-known/secret.txt",
        "/.well-known/",
        "/.well-known/acme-challenge",
        "/.well-known/acme-challengex/token",
        "/.well-known/acme-challenge/../secret.txt",
        "/.well-known/acme-challenge/%2e%2e/secret.txt",
        "/.well-known/acme-challenge/.%2e/%2e./secret.txt",
        "/.well-known/acme-challenge/..%2fsecret.txt",
        "/.well-known/acme-challenge/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/.well-known/acme-challenge//../../secret.txt",
        "//.well-known/acme-challenge/../../secret.txt",
        "/.well-known/acme-challenge/../../page.html",
        "/.well-known/acme-challenge/deep/../../secret.txt",
        "/.WELL-KNOWN/acme-challenge/token",
        "/.well-known\\acme-challenge\\token",
        "/x/.well-known/acme-challenge/token",
    ] {
        let (status, _, body) = ask(plain, &get(target));
        assert!(matches!(status, 308 | 400 | 404), "{target}: {status}");
        assert!(!shown(&body).contains("secret") || status == 308, "{target}: {}", shown(&body));
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        assert_eq!(ask(plain, &get(token).replacen("GET", method, 1)).0, 308, "{method}");
    }
    assert_eq!(server.get(token).status, 200);
}

fn challenges_need_no_password_and_redirects_say_nothing_of_files(setup: &'static Setup) {
    let site = site_with_challenge();
    let hash: String = Sha256::digest("secret").iter().map(|byte| format!("{byte:02x}")).collect();
    let (server, plain) = start(setup, &site, &["--auth", &format!("me:{hash}")]);
    assert_eq!(server.get("/page.html").status, 401);
    let mut peer = Peer::connect(plain);
    assert_eq!(peer.get("/.well-known/acme-challenge/token").status, 200);
    drop(peer);
    let of = |target: &str, fields: &[&str]| {
        let (status, location, body) = ask(plain, &get_with(target, fields));
        let suffix = location.map(|location| location.replace(target, ""));
        (status, suffix, shown(&body).replace(target, ""))
    };
    let expected = of("/page.html", &[]);
    assert_eq!(expected.0, 308);
    // me:secret
    assert_eq!(of("/page.html", &["Authorization: Basic bWU6c2VjcmV0"]), expected);
    assert_eq!(of("/missing", &[]), expected);
    assert_eq!(of("/docs", &[]), expected);
}

fn an_unknown_host_is_misdirected(setup: &'static Setup) {
    let site = site_with_challenge();
    let (server, plain) = start(setup, &site, &["--server-name", "redirect.example"]);
    let with_host = |host: &str| get("/page.html").replace("Host: h", &format!("Host: {host}"));
    let port = server.address.port();
    let expected = format!("https://redirect.example:{port}/page.html");
    assert_eq!(location(plain, &with_host("redirect.example")), expected);
    for host in ["evil.example", "redirect.example.evil.example", ""] {
        let (status, location, _) = ask(plain, &with_host(host));
        assert_eq!((status, location), (421, None), "{host:?}");
    }
}

fn a_connection_is_redirected_any_number_of_times_and_closed_when_idle(setup: &'static Setup) {
    let site = Site::new();
    let (mut server, plain) = start(setup, &site, &["--idle-timeout=0.5"]);
    let mut peer = Peer::connect(plain);
    let request = get("/page.html").replace("Host: h", "Host: redirect.example");
    peer.send(request.repeat(20));
    for _ in 0..20 {
        let response: Response = peer.response();
        assert_eq!((response.status, response.says_close()), (308, false));
    }
    peer.expect_end();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
}

fn tls_on_the_plain_address_is_an_error(setup: &'static Setup) {
    let site = Site::new();
    let (server, plain) = start(setup, &site, &["--header-timeout=3600"]);
    let mut peer = Peer::connect(plain);
    peer.stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
    // The start of a ClientHello, and a line end that the parser waits for.
    peer.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n");
    let response = peer.response();
    assert_eq!((response.status, response.says_close()), (400, true));
    assert_eq!(server.get("/page.html").status, 200);
}

fn both_addresses_share_the_connection_limit(setup: &'static Setup) {
    let site = Site::new();
    let options = ["--max-connections=2", "--idle-timeout=3600", "--header-timeout=3600"];
    let (server, plain) = start(setup, &site, &options);
    let request = get("/page.html").replace("Host: h", "Host: redirect.example");
    // Idle connections at one address make room for new ones at the other.
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::connect(plain);
        assert_eq!(peer.ask(&request).status, 308);
        idle.push(peer);
        let mut peer = server.connect();
        assert_eq!(peer.get("/page.html").status, 200);
        idle.push(peer);
    }
    drop(idle);
}
