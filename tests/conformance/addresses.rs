//! Several addresses, and Unix sockets.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, get_with, patterned};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        every_address_is_served_and_the_socket_is_removed,
        a_large_file_arrives_over_a_unix_socket,
        a_silent_client_of_a_unix_socket_is_closed,
        a_client_of_a_unix_socket_that_does_not_read_is_closed,
        the_log_shows_no_address_of_a_unix_client,
        a_trusted_proxy_can_connect_to_a_unix_socket,
        a_unix_socket_has_its_mode,
        the_socket_of_a_killed_server_is_replaced,
    ];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        a_busy_address_does_not_keep_another_waiting];
    [everywhere, concurrent].concat()
}

/// Starts a server that listens on a TCP port and on a Unix socket at `path`.
fn server_at(setup: &'static Setup, site: &Site, path: &Path, options: &[&str]) -> Server {
    let host = format!("unix:{}", path.display());
    Server::start(
        setup,
        site.root(),
        &[&["--host", "127.0.0.1", "--host", &host][..], options].concat(),
    )
}

fn start(setup: &'static Setup, site: &Site, options: &[&str]) -> (Server, PathBuf) {
    let path = site.beside("socket");
    (server_at(setup, site, &path, options), path)
}

fn every_address_is_served_and_the_socket_is_removed(setup: &'static Setup) {
    let site = Site::new();
    let path = site.beside("socket");
    let mut server = server_at(setup, &site, &path, &["--host=127.0.0.2"]);
    let second = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), server.address.port()));
    let [first, other] = [server.url("/"), server.url_at(second, "/")];
    let expected = format!("on {first}, unix:{} and {other} (", path.display());
    assert!(server.greeting.contains(&expected), "{}", server.greeting);
    let connect: [&dyn Fn() -> Peer; 3] =
        [&|| server.connect(), &|| server.connect_to(second), &|| server.connect_to_unix(&path)];
    for connect in [connect, connect].concat() {
        let mut peer = connect();
        assert_eq!(peer.get("/page.html").status, 200);
        peer.send("GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        assert_eq!(peer.response().status, 200);
        peer.expect_end();
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(!path.exists());
}

fn a_busy_address_does_not_keep_another_waiting(setup: &'static Setup) {
    let site = Site::new();
    let (server, path) = start(setup, &site, &[]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/page.html").status, 200);
    let mut peer = server.connect_to_unix(&path);
    for _ in 0..3 {
        assert_eq!(peer.get("/page.html").status, 200);
        assert_eq!(server.get("/page.html").status, 200);
        assert_eq!(idle.get("/page.html").status, 200);
    }
}

fn a_large_file_arrives_over_a_unix_socket(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(4_000_000);
    site.write("large.bin", &content);
    let (server, path) = start(setup, &site, &[]);
    let mut peer = server.connect_to_unix(&path);
    assert!(peer.get("/large.bin").body == content);
    let range = peer.ask(get_with("/large.bin", &["Range: bytes=1000-1999"]));
    assert_eq!(range.body, content[1000..2000]);
}

fn a_silent_client_of_a_unix_socket_is_closed(setup: &'static Setup) {
    let site = Site::new();
    let options = ["--header-timeout", "0.2", "--idle-timeout", "0.2"];
    let (server, path) = start(setup, &site, &options);
    let mut silent = server.connect_to_unix(&path);
    silent.expect_end();
    let mut idle = server.connect_to_unix(&path);
    assert_eq!(idle.get("/page.html").status, 200);
    idle.expect_end();
    let mut slow = server.connect_to_unix(&path);
    slow.send("GET /page.html HTTP/1.1\r\n");
    assert_eq!(slow.response().status, 408);
}

fn a_client_of_a_unix_socket_that_does_not_read_is_closed(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let options = ["--write-timeout", "0.3", "--log", "common"];
    let (server, path) = start(setup, &site, &options);
    let mut stuck = server.connect_to_unix(&path);
    stuck.send(get("/huge.bin"));
    server.output.until(|line| line.contains("huge.bin"));
    assert!(stuck.rest().0.len() < 1 << 24);
}

fn the_log_shows_no_address_of_a_unix_client(setup: &'static Setup) {
    let site = Site::new();
    for (format, expected) in
        [("common", "- - - ["), ("combined", "- - - ["), ("json", "{\"time\"")]
    {
        let (server, path) = start(setup, &site, &["--log", format]);
        let mut peer = server.connect_to_unix(&path);
        // Without --trusted-proxy, no client chooses its address.
        let request = get_with("/page.html", &["X-Forwarded-For: 203.0.113.7"]);
        assert_eq!(peer.ask(request).status, 200);
        drop(peer);
        let line = server.output.next().expect("the request is logged");
        assert!(line.starts_with(expected), "{format}: {line}");
        assert!(!line.contains("203.0.113.7") && !line.contains("peer"), "{format}: {line}");
    }
}

fn a_trusted_proxy_can_connect_to_a_unix_socket(setup: &'static Setup) {
    let site = Site::new();
    let options = ["--log", "common", "--trusted-proxy", "unix:"];
    let forwarded = get_with("/page.html", &["X-Forwarded-For: 203.0.113.7"]);
    let (server, path) = start(setup, &site, &options);
    let connect: [(&dyn Fn() -> Peer, _); 2] =
        [(&|| server.connect_to_unix(&path), "203.0.113.7 "), (&|| server.connect(), "127.0.0.1 ")];
    for (connect, expected) in connect {
        let mut peer = connect();
        assert_eq!(peer.ask(&forwarded).status, 200);
        drop(peer);
        let line = server.output.next().expect("the request is logged");
        assert!(line.starts_with(expected), "{line}");
    }
    drop(server);
    let options = [&options[..], &["--proxy-protocol"]].concat();
    let (server, path) = start(setup, &site, &options);
    let mut peer = Peer::connect_to_unix(&path, server.address);
    peer.send("PROXY TCP4 203.0.113.9 192.0.2.1 1234 80\r\n");
    let mut peer = peer.with_tls(server.tls.as_ref());
    assert_eq!(peer.ask(&forwarded).status, 200);
    drop(peer);
    let line = server.output.next().expect("the request is logged");
    assert!(line.starts_with("203.0.113.9 "), "{line}");
}

fn a_unix_socket_has_its_mode(setup: &'static Setup) {
    let site = Site::new();
    for (options, expected) in [(&[][..], 0o666), (&["--socket-mode", "0600"], 0o600)] {
        let (_server, path) = start(setup, &site, options);
        let mode = fs::metadata(&path).expect("the socket exists").permissions().mode();
        assert_eq!(mode & 0o7777, expected);
    }
}

fn the_socket_of_a_killed_server_is_replaced(setup: &'static Setup) {
    let site = Site::new();
    let (mut server, path) = start(setup, &site, &[]);
    let second =
        Server::command(setup, site.root(), &["--host", &format!("unix:{}", path.display())]);
    let mut second = second;
    let output = second.output().expect("the binary exists");
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("error: unix:{}: another server listens on it\n", path.display());
    assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    server.signal_all(Signal::KILL);
    server.wait();
    drop(server);
    assert!(path.exists(), "a killed server cannot remove its socket");
    let (next, path) = start(setup, &site, &[]);
    assert_eq!(next.connect_to_unix(&path).get("/page.html").status, 200);
}
