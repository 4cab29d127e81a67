//! Clients behind a proxy: whose address the log has, and for whom wrong passwords count.

use std::net::Ipv4Addr;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, get_with};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        the_log_has_the_address_that_a_trusted_proxy_names,
        an_untrusted_peer_cannot_choose_its_address,
        a_refused_request_is_logged_with_the_address_of_the_proxy,
        wrong_passwords_count_for_the_client_behind_the_proxy,
        a_proxy_header_names_the_client_of_a_connection,
        a_trusted_proxy_without_a_valid_header_gets_no_response,
        an_untrusted_peer_cannot_send_a_proxy_header,
    ];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        a_trusted_proxy_may_have_any_number_of_connections];
    [everywhere, concurrent].concat()
}

/// Trusts the address that tests connect from, and a second hop.
const PROXIES: [&str; 3] = ["--trusted-proxy", "127.0.0.1", "--trusted-proxy=10.0.0.0/8"];

/// An address that is not trusted.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// A client and the lines of X-Forwarded-For that lead to it.
const CLIENTS: [(&str, &[&str]); 9] = [
    ("203.0.113.7", &["203.0.113.7"]),
    ("203.0.113.8", &["198.51.100.9, 203.0.113.8, 10.1.1.1"]),
    ("203.0.113.9", &["198.51.100.9", "203.0.113.9", "10.1.1.1, 10.1.1.2"]),
    ("203.0.113.7", &["203.0.113.7:1234"]),
    ("2001:db8::7", &["[2001:db8::7]:443"]),
    ("203.0.113.7", &["::ffff:203.0.113.7"]),
    ("127.0.0.1", &[]),
    ("127.0.0.1", &["203.0.113.7, unknown"]),
    ("10.1.1.1", &["_hidden, 10.1.1.1"]),
];

/// A request with these lines of X-Forwarded-For.
fn forwarded(values: &[&str]) -> String {
    let lines: Vec<String> =
        values.iter().map(|value| format!("X-Forwarded-For: {value}")).collect();
    get_with("/page.html", &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Ends the server and returns its log.
fn log_of(mut server: Server, peer: Peer) -> Vec<String> {
    drop(peer);
    server.signal(Signal::TERM);
    server.wait();
    server.output.rest()
}

/// One connection carries the requests of several clients.
fn the_log_has_the_address_that_a_trusted_proxy_names(setup: &'static Setup) {
    let site = Site::new();
    for format in ["short", "common", "combined", "json"] {
        let options = [&PROXIES[..], &["--log", format]].concat();
        let server = Server::start(setup, site.root(), &options);
        let mut peer = server.connect();
        peer.send(CLIENTS.iter().map(|(_, values)| forwarded(values)).collect::<String>());
        CLIENTS.iter().for_each(|_| assert_eq!(peer.response().status, 200));
        let lines = log_of(server, peer);
        assert_eq!(lines.len(), CLIENTS.len(), "{lines:#?}");
        for (line, (client, values)) in lines.iter().zip(CLIENTS) {
            let is_logged = match format {
                "short" => line.ends_with(&format!("  {client}")),
                "json" => line.contains(&format!("\"peer\":\"{client}\"")),
                _ => line.starts_with(&format!("{client} - - [")),
            };
            assert!(is_logged, "{format}, {values:?}: {line}");
        }
    }
}

fn an_untrusted_peer_cannot_choose_its_address(setup: &'static Setup) {
    let site = Site::new();
    for (options, source) in [(&PROXIES[..], STRANGER), (&[], Ipv4Addr::LOCALHOST)] {
        let options = [options, &["--log", "common"]].concat();
        let server = Server::start(setup, site.root(), &options);
        let mut peer = server.connect_from(source);
        for (_, values) in CLIENTS {
            assert_eq!(peer.ask(forwarded(values)).status, 200);
        }
        let lines = log_of(server, peer);
        assert_eq!(lines.len(), CLIENTS.len(), "{lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with(&format!("{source} - "))), "{lines:#?}");
    }
}

/// Its headers are not known.
fn a_refused_request_is_logged_with_the_address_of_the_proxy(setup: &'static Setup) {
    let site = Site::new();
    let options = [&PROXIES[..], &["--log", "common"]].concat();
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    assert_eq!(peer.ask(forwarded(&["203.0.113.7"])).status, 200);
    assert_eq!(peer.ask(forwarded(&["203.0.113.7\r\nbad name: x"])).status, 400);
    let lines = log_of(server, peer);
    let starts: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(starts, ["203.0.113.7", "127.0.0.1"]);
}

fn wrong_passwords_count_for_the_client_behind_the_proxy(setup: &'static Setup) {
    let site = Site::new();
    let hash: String = Sha256::digest("secret").iter().map(|byte| format!("{byte:02x}")).collect();
    let users = format!("me:{hash}");
    let options = [&PROXIES[..], &["--auth", &users]].concat();
    let server = Server::start(setup, site.root(), &options);
    let status = |peer: &mut Peer, client: &str, right: bool| {
        // me:secret, me:wrong
        let token = if right { "bWU6c2VjcmV0" } else { "bWU6d3Jvbmc=" };
        let client = format!("X-Forwarded-For: {client}");
        let credentials = format!("Authorization: Basic {token}");
        peer.ask(get_with("/page.html", &[&client, &credentials])).status
    };
    let mut peer = server.connect();
    for attempt in 0..5 {
        // What stands before the client's address is its own invention.
        let client = format!("198.51.100.{attempt}, 203.0.113.1");
        assert_eq!(status(&mut peer, &client, false), 401, "{attempt}");
    }
    assert_eq!(status(&mut peer, "203.0.113.1", true), 429);
    assert_eq!(status(&mut peer, "203.0.113.2", true), 200);
    assert_eq!(status(&mut peer, "203.0.113.1", true), 429, "it was verified for another address");
    drop(peer);
    // The same client without the proxy, and a stranger who pretends to be another one.
    let mut stranger = server.connect_from(STRANGER);
    for attempt in 0..5 {
        let client = format!("203.0.113.{}", 100 + attempt);
        assert_eq!(status(&mut stranger, &client, false), 401, "{attempt}");
    }
    assert_eq!(status(&mut stranger, "203.0.113.9", true), 429);
}

fn a_trusted_proxy_may_have_any_number_of_connections(setup: &'static Setup) {
    let site = Site::new();
    let options = [&PROXIES[..], &["--max-connections-per-client=1"]].concat();
    let server = Server::start(setup, site.root(), &options);
    let mut proxy = [server.connect(), server.connect()];
    proxy.iter_mut().for_each(|peer| assert_eq!(peer.get("/page.html").status, 200));
    let mut stranger = server.connect_from(STRANGER);
    assert_eq!(stranger.get("/page.html").status, 200);
    let mut second = server.connect_from(STRANGER);
    second.send(get("/page.html"));
    assert_eq!(second.rest().0, b"");
}

const PROXY_PROTOCOL: [&str; 6] = [
    "--proxy-protocol",
    "--trusted-proxy",
    "127.0.0.1",
    "--trusted-proxy=10.0.0.0/8",
    "--log",
    "common",
];

/// A header of version 2 for 203.0.113.7:12345.
const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\x30\x39\0\x50";
/// A health check of the proxy itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// The first address that is not trusted is the client's, whichever of the two ways names it.
fn a_proxy_header_names_the_client_of_a_connection(setup: &'static Setup) {
    let site = Site::new();
    let request = forwarded(&["198.51.100.9"]);
    for (header, client) in [
        (&b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n"[..], "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 12345 80\r\n", "2001:db8::7"),
        (VERSION_2, "203.0.113.7"),
        // A proxy that is trusted, too, and then speaks for its client.
        (b"PROXY TCP4 10.0.0.7 10.0.0.1 12345 80\r\n", "198.51.100.9"),
        // The client may have written X-Forwarded-For itself.
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (LOCAL, "127.0.0.1"),
    ] {
        for piece_bytes in [1, 1000] {
            let server = Server::start(setup, site.root(), &PROXY_PROTOCOL);
            let mut peer = server.connect_behind(header, piece_bytes);
            peer.send_in_pieces(&request, piece_bytes);
            assert_eq!(peer.response().status, 200);
            // One header is for all requests of the connection.
            assert_eq!(peer.ask(&request).status, 200);
            let lines = log_of(server, peer);
            let is_from_client = |line: &String| line.starts_with(&format!("{client} - - ["));
            assert!(lines.len() == 2 && lines.iter().all(is_from_client), "{client}: {lines:#?}");
        }
    }
}

fn a_trusted_proxy_without_a_valid_header_gets_no_response(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PROXY_PROTOCOL);
    let request = get("/page.html");
    for start in
        [&b""[..], b"PROXY TCP4 x 10.0.0.1 1 2\r\n", &[b'P'; 5000], b"\r\n\r\n\0\r\nQUIT\n\x31"]
    {
        let mut peer = server.connect_behind(start, start.len().max(1));
        // The server may have closed already.
        let _ = peer.try_send(&request);
        assert_eq!(peer.rest().0, b"");
    }
    let mut peer = server.connect_plainly();
    peer.send(b"PROXY");
    peer.finish_sending();
    assert_eq!(peer.rest().0, b"");
    assert_eq!(log_of(server, peer), [""; 0]);
}

fn an_untrusted_peer_cannot_send_a_proxy_header(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PROXY_PROTOCOL);
    let mut peer = server.connect_from(STRANGER);
    assert_eq!(peer.get("/page.html").status, 200);
    drop(peer);
    let mut peer = server.connect_from(STRANGER);
    peer.send([VERSION_2, get("/page.html").as_bytes()].concat());
    assert_eq!(peer.response().status, 400);
    let lines = log_of(server, peer);
    let is_from_peer = |line: &String| line.starts_with("127.0.1.1 - - [");
    assert!(lines.len() == 2 && lines.iter().all(is_from_peer), "{lines:#?}");
}
