//! What a port for TLS gets in place of a handshake, and handshakes that end badly: each connection
//! is closed in time, without a byte of the site, and other clients are served as before.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConnection, HandshakeKind};

use crate::case::{Case, cases};
use crate::support::{
    Admin, End, Peer, Server, Setup, Site, client_config, client_with, get, head, is_encrypted,
    server_name, shown, wait_until, with_sockets,
};

pub fn cases() -> Vec<Case> {
    cases![if is_encrypted;
        plain_http_gets_a_readable_400,
        garbage_is_refused_at_once,
        an_unfinished_client_hello_ends_at_the_header_timeout,
        single_bytes_do_not_extend_the_time_of_a_handshake,
        a_silent_connection_is_closed,
        a_client_hello_may_arrive_in_pieces_of_any_size,
        a_client_hello_may_be_spread_over_many_records,
        an_endless_handshake_message_is_refused,
        a_record_that_is_too_long_is_refused,
        old_versions_get_an_alert,
        a_client_without_a_common_cipher_gets_an_alert,
        a_client_without_a_common_protocol_gets_an_alert,
        a_client_that_vanishes_in_any_phase_leaves_nothing_behind,
        both_versions_resume_their_sessions,
        unfinished_handshakes_make_room_at_the_limit,
        a_shutdown_does_not_wait_for_an_unfinished_handshake,
        a_socket_of_a_supervisor_speaks_tls,
        handshakes_and_their_failures_are_counted,
        the_json_log_has_version_and_cipher,
    ]
}

/// No connection is closed for lack of input during a test.
const PATIENT: [&str; 2] = ["--header-timeout=3600", "--idle-timeout=3600"];

/// The first flight of a client, in one record.
fn client_hello(server: &Server) -> Vec<u8> {
    let name = server_name(server.address.ip());
    let client = ClientConnection::new(client_config(), name);
    let mut client = client.expect("the configuration is valid");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes all");
    hello
}

/// A record with this type and content.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("it is short").to_be_bytes();
    [&[kind, 3, 1][..], &length, content].concat()
}

const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Sends `bytes` without TLS and expects the end of the connection, at most an alert before it.
#[track_caller]
fn expect_refusal(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut peer = server.connect_plainly();
    // The server may close before it has read all.
    let _ = peer.try_send(bytes);
    let (alert, end) = peer.rest();
    assert!(matches!(alert[..], [] | [21, 3, _, 0, 2, 2, _]), "{}: {end:?}", shown(&alert));
    alert
}

#[track_caller]
fn expect_served(server: &Server) {
    assert_eq!(server.get("/page.html").status, 200);
}

fn plain_http_gets_a_readable_400(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let text = "This port is for HTTPS. Please use a URL that begins with https://\n";
    for (request, piece_bytes) in [
        (get("/page.html"), 1000),
        (get("/page.html"), 1),
        (get("/page.html") + &get("/page.html"), 1000),
        (get("/").replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\nx"), 9),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), 3),
    ] {
        let mut peer = server.connect_plainly();
        peer.send_in_pieces(&request, piece_bytes);
        let response = peer.response();
        assert_eq!((response.status, response.says_close()), (400, true), "{request:?}");
        assert_eq!(response.required("Content-Type"), "text/plain; charset=utf-8");
        assert_eq!(shown(&response.body), shown(text.as_bytes()));
        peer.expect_end();
    }
    let mut peer = server.connect_plainly();
    let response = peer.ask(head(&get("/page.html")));
    assert_eq!((response.status, response.content_length()), (400, text.len() as u64));
    peer.expect_end();
    for malformed in ["GET nonsense\r\n\r\n", "GET / HTTP/1.1\r\nbad name: x\r\n\r\n"] {
        let mut peer = server.connect_plainly();
        assert_eq!(peer.ask(malformed).status, 400, "{malformed:?}");
        peer.expect_end();
    }
    expect_served(&server);
}

fn garbage_is_refused_at_once(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for garbage in [
        &[0; 100][..],
        &[0xff; 100_000],
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        // SSL 2.0.
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80",
        // SSH and SMTP.
        b"\x16SSH-2.0-OpenSSH_9.2p1\r\n",
        // A handshake record without content, and one that is no ClientHello.
        &record(HANDSHAKE, b""),
        &record(HANDSHAKE, b"\x02\0\0\x02\x03\x03"),
        &record(HANDSHAKE, b"\x01\0\0\x02\x03\x03"),
        &record(APPLICATION_DATA, b"GET / HTTP/1.1\r\n\r\n"),
        &record(21, b"\x02\x28"),
        &record(20, b"\x01"),
    ] {
        expect_refusal(&server, garbage);
    }
    expect_served(&server);
}

fn an_unfinished_client_hello_ends_at_the_header_timeout(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    let hello = client_hello(&server);
    for sent in [1, 4, 5, 6, hello.len() / 2, hello.len() - 1, hello.len()] {
        let mut peer = server.connect_plainly();
        peer.send(&hello[..sent]);
        let since = Instant::now();
        let (flight, end) = peer.rest();
        // The first flight of the server is a response to a whole ClientHello only.
        assert_eq!(flight.is_empty(), sent < hello.len(), "after {sent} bytes: {end:?}");
        assert!(since.elapsed() > Duration::from_millis(250), "{sent}: {:?}", since.elapsed());
        assert_ne!(end, End::Reset, "after {sent} bytes");
    }
    expect_served(&server);
}

fn single_bytes_do_not_extend_the_time_of_a_handshake(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.5"]);
    let mut peer = server.connect_plainly();
    let since = Instant::now();
    for byte in client_hello(&server) {
        if peer.try_send([byte]).is_err() || !peer.is_waiting() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(shown(&peer.rest().0), "");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

fn a_silent_connection_is_closed(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--header-timeout", "0.3"]);
    let (bytes, end) = server.connect_plainly().rest();
    assert_eq!((shown(&bytes), end), (String::new(), End::Clean));
}

fn a_client_hello_may_arrive_in_pieces_of_any_size(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for piece_bytes in [1, 5, 100] {
        expect_handshake(&server, |hello| hello.chunks(piece_bytes).map(<[u8]>::to_vec).collect());
    }
}

fn a_client_hello_may_be_spread_over_many_records(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for content_bytes in [1, 4, 50] {
        expect_handshake(&server, |hello| {
            let pieces = hello[5..].chunks(content_bytes);
            vec![pieces.flat_map(|piece| record(HANDSHAKE, piece)).collect()]
        });
    }
}

/// Makes a handshake whose ClientHello is sent as `split` says, and a request.
#[track_caller]
fn expect_handshake(server: &Server, split: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let name = server_name(server.address.ip());
    let mut client = ClientConnection::new(client_config(), name).expect("the name is valid");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("a vector takes all");
    let mut peer = server.connect_plainly();
    split(&hello).iter().for_each(|piece| peer.send(piece));
    client.complete_io(&mut peer.stream).expect("the handshake succeeds");
    let request = get("/page.html").replace("Host: h", "Host: h\r\nConnection: close");
    let mut stream = rustls::Stream::new(&mut client, &mut peer.stream);
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("the server receives");
    let mut response = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut response).expect("it ends with a close_notify");
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", shown(&response));
}

fn an_endless_handshake_message_is_refused(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    expect_served(&server);
    let before = server.memory_bytes();
    for content_bytes in [100, 16 * 1024] {
        let piece = record(HANDSHAKE, &vec![0; content_bytes]);
        let start = record(HANDSHAKE, b"\x01\xff\xff\xff\x03\x03");
        let mut endless = start;
        while endless.len() < 1 << 20 {
            endless.extend_from_slice(&piece);
        }
        expect_refusal(&server, &endless);
    }
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 8 << 20 || setup.forks, "{grown} bytes");
    expect_served(&server);
}

fn a_record_that_is_too_long_is_refused(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let [high, low] = (16_384_u16 + 2048 + 1).to_be_bytes();
    for version in [1, 3] {
        // The client sends no more, so the server must not wait for the end of the record.
        expect_refusal(&server, &[HANDSHAKE, 3, version, high, low, 1, 0, 0x48]);
        expect_refusal(&server, &[HANDSHAKE, 3, version, 0xff, 0xff, 1, 0, 0x48]);
    }
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").status, 200);
    std::io::Write::write_all(&mut peer.stream, &[APPLICATION_DATA, 3, 3, high, low, 0])
        .expect("the connection is open");
    let (bytes, end) = peer.rest();
    assert!(bytes.is_empty() && matches!(end, End::Alert(_)), "{end:?}: {}", shown(&bytes));
}

/// A ClientHello of TLS 1.2 or earlier with these cipher suites.
fn old_client_hello(minor_version: u8, suites: &[u16]) -> Vec<u8> {
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let extensions: &[u8] = b"\
        \x00\x0a\x00\x06\x00\x04\x00\x1d\x00\x17\
        \x00\x0b\x00\x02\x01\x00\
        \x00\x0d\x00\x06\x00\x04\x04\x03\x08\x04\
        \x00\x17\x00\x00";
    let body = [
        &[3, minor_version][..],
        &[7; 32],
        &[0],
        &(suites.len() as u16).to_be_bytes(),
        &suites,
        &[1, 0],
        &(extensions.len() as u16).to_be_bytes(),
        extensions,
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    record(HANDSHAKE, &[&[1][..], &length[1..], &body].concat())
}

/// ECDHE with ECDSA and AES-GCM, which TLS 1.2 has, and with CBC, which its predecessors have.
const STRONG_SUITE: u16 = 0xc02b;
const WEAK_SUITES: [u16; 3] = [0xc009, 0x002f, 0x0005];

fn old_versions_get_an_alert(setup: &'static Setup) {
    const PROTOCOL_VERSION: u8 = 70;
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    for minor_version in [0, 1, 2] {
        let suites = [&[STRONG_SUITE][..], &WEAK_SUITES].concat();
        let alert = expect_refusal(&server, &old_client_hello(minor_version, &suites));
        assert_eq!(alert.last(), Some(&PROTOCOL_VERSION), "TLS 1.{minor_version}");
    }
}

fn a_client_without_a_common_cipher_gets_an_alert(setup: &'static Setup) {
    const HANDSHAKE_FAILURE: u8 = 40;
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let alert = expect_refusal(&server, &old_client_hello(3, &WEAK_SUITES));
    assert_eq!(alert.last(), Some(&HANDSHAKE_FAILURE));
    // The same message is understood with another cipher.
    let mut peer = server.connect_plainly();
    peer.send(old_client_hello(3, &[STRONG_SUITE]));
    assert_eq!(peer.take(1), [HANDSHAKE]);
}

fn a_client_without_a_common_protocol_gets_an_alert(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &PATIENT);
    let mut config = client_with(aws_lc_rs::default_provider(), &[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut peer = server.connect_plainly().with_tls(Some(&config.into()));
    let (_, end) = peer.rest();
    assert_eq!(end, End::Alert(AlertDescription::NoApplicationProtocol));
}

fn a_client_that_vanishes_in_any_phase_leaves_nothing_behind(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &PATIENT);
    expect_served(&server);
    let descriptors = server.descriptors();
    let hello = client_hello(&server);
    for vanish in [Peer::reset, drop, |peer: Peer| {
        peer.stream.shutdown(std::net::Shutdown::Write).expect("the connection is open");
        let mut peer = peer;
        // Whatever is on the way, but then the end.
        while peer.receive() == Ok(true) {}
    }] {
        for sent in [0, 3, hello.len() / 2, hello.len()] {
            let mut peer = server.connect_plainly();
            peer.send(&hello[..sent]);
            vanish(peer);
        }
        for request in ["", "GET / HT", &get("/page.html")] {
            let mut peer = server.connect();
            peer.complete_handshake();
            peer.send(request);
            vanish(peer);
        }
        expect_served(&server);
    }
    for vanish in [Peer::reset, drop] {
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        peer.await_response();
        vanish(peer);
    }
    wait_until("the descriptors are closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
}

fn both_versions_resume_their_sessions(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for version in [&TLS12, &TLS13] {
        let config = client_with(aws_lc_rs::default_provider(), &[version]).into();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut peer = server.connect_plainly().with_tls(Some(&config));
            // The tickets of TLS 1.3 arrive before the response.
            assert_eq!(peer.get("/page.html").status, 200);
            assert_eq!(peer.session().handshake_kind(), Some(expected), "{version:?}");
        }
    }
}

fn unfinished_handshakes_make_room_at_the_limit(setup: &'static Setup) {
    // Each of them may keep the server waiting for a second.
    let clients = if setup.serves_concurrently() { 12 } else { 2 };
    let site = Site::new();
    let options = [&PATIENT[..], &["--max-connections=4"]].concat();
    let server = Server::start(setup, site.root(), &options);
    let hello = client_hello(&server);
    for sent in [&b""[..], &hello[..5], &hello[..100], &hello] {
        let slow: Vec<Peer> = (0..clients)
            .map(|_| {
                let mut peer = server.connect_plainly();
                peer.send(sent);
                peer
            })
            .collect();
        assert_eq!(server.get("/page.html").status, 200, "after {} bytes", sent.len());
        drop(slow);
    }
}

fn a_shutdown_does_not_wait_for_an_unfinished_handshake(setup: &'static Setup) {
    let site = Site::new();
    let options = [&PATIENT[..], &["--shutdown-timeout=1"]].concat();
    let mut server = Server::start(setup, site.root(), &options);
    let hello = client_hello(&server);
    let open = [&b""[..], &hello[..7], &hello].map(|sent| {
        let mut peer = server.connect_plainly();
        peer.send(sent);
        peer
    });
    // One connection at a time may be all that the set-up serves.
    if setup.concurrency > open.len() {
        expect_served(&server);
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    drop(open);
}

fn a_socket_of_a_supervisor_speaks_tls(setup: &'static Setup) {
    let site = Site::new();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut command = crate::support::miniweb();
    command.args(setup.arguments).arg(site.root()).args(["--log", "none"]);
    let server = Server::run(with_sockets(&command, &[&socket]));
    let address = socket.local_addr().expect("it is bound");
    assert_eq!(server.connect_to(address).get("/page.html").status, 200);
}

fn handshakes_and_their_failures_are_counted(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[Admin::OPTION, "--header-timeout=0.3"]);
    let admin = Admin::of(&server);
    let [full, resumed] =
        ["full", "resumed"].map(|kind| format!("miniweb_tls_handshakes_total{{kind=\"{kind}\"}}"));
    let failed = "miniweb_tls_handshake_failures_total";
    let config = client_with(aws_lc_rs::default_provider(), &[&TLS13]).into();
    for _ in 0..3 {
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        assert_eq!(peer.get("/page.html").status, 200);
    }
    admin.wait_for(&full, 1);
    admin.wait_for(&resumed, 2);
    admin.wait_for(failed, 0);
    let hello = client_hello(&server);
    expect_refusal(&server, &old_client_hello(1, &WEAK_SUITES));
    admin.wait_for(failed, 1);
    expect_refusal(&server, b"\x16garbage");
    admin.wait_for(failed, 2);
    for sent in [&hello[..9], &hello] {
        let mut peer = server.connect_plainly();
        peer.send(sent);
        peer.rest();
    }
    admin.wait_for(failed, 4);
    // No handshake has begun.
    server.connect_plainly().rest();
    assert_eq!(server.connect_plainly().get("/").status, 400);
    admin.wait_for("miniweb_connections_open", 0);
    admin.wait_for(failed, 4);
    admin.wait_for(&full, 1);
}

fn the_json_log_has_version_and_cipher(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--log", "json"]);
    let logged = || {
        let line = server.output.next().expect("the response is logged");
        let line: serde_json::Value = serde_json::from_str(&line).expect("each line is JSON");
        ["tls", "cipher"].map(|name| line[name].as_str().unwrap_or("none").to_owned())
    };
    for (version, expected) in
        [(&TLS12, ["TLSv1.2", "TLS_ECDHE_ECDSA_WITH_"]), (&TLS13, ["TLSv1.3", "TLS_AES_"])]
    {
        let config = client_with(aws_lc_rs::default_provider(), &[version]).into();
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        assert_eq!(peer.get("/page.html").status, 200);
        drop(peer);
        let [version, cipher] = logged();
        assert!(version == expected[0] && cipher.starts_with(expected[1]), "{version} {cipher}");
    }
    assert_eq!(server.connect_plainly().get("/page.html").status, 400);
    assert_eq!(logged(), ["none", "none"]);
}
