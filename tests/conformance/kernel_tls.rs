//! Connections whose output the kernel encrypts (`--kernel-tls`). Where it cannot, the same cases
//! show that the server encrypts as without the option; `tests/virtual_machine/run` runs them where
//! it can.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, SupportedCipherSuite};

use crate::case::{Case, cases};
use crate::support::{
    Admin, End, Peer, Server, Setup, Site, TIMEOUT, client_with, expect_taken_over, get, get_with,
    head, is_encrypted, kernel_has_tls, patterned, server_name, start_with_kernel_tls as start,
};

/// Cases whose outcome may depend on how the server waits.
pub fn cases() -> Vec<Case> {
    let everywhere = cases![if is_encrypted;
        pipelined_requests_get_their_responses_in_order,
        every_kind_of_response_is_right_after_the_kernel_has_taken_over,
        a_file_is_not_read_into_the_server,
        a_record_may_be_incomplete_when_the_kernel_takes_over,
        the_end_of_a_response_reaches_a_slow_reader,
        a_truncated_file_ends_without_a_close_notify,
        a_close_notify_of_the_client_ends_the_connection_in_order,
        a_key_update_ends_the_connection_in_order,
        a_client_that_does_not_read_times_out,
        clients_that_reset_leave_nothing_behind,
        a_shutdown_lets_a_response_end,
        a_confined_server_without_privileges_can_do_it,
    ];
    let unix = cases![if |setup| is_encrypted(setup) && setup.concurrency > 1;
        a_unix_socket_stays_in_user_space];
    [everywhere, unix].concat()
}

/// Cases about records. In the virtual machine, each takes seconds.
pub fn cases_of_records() -> Vec<Case> {
    cases![if is_encrypted;
        large_files_arrive_byte_for_byte_with_each_cipher,
        a_connection_without_large_files_stays_in_user_space,
        no_nonce_is_used_twice_in_tls_12,
        a_forged_record_gets_an_alert,
        the_log_names_version_and_cipher,
    ]
}

/// No connection is closed for lack of input during a test.
const PATIENT: [&str; 2] = ["--header-timeout=3600", "--idle-timeout=3600"];

/// More than the server keeps in memory, and more than it sends in one turn.
const LARGE_BYTES: usize = 10 * PATTERN_BYTES;
/// No multiple of the length of a record or a page. Made once, because the virtual machine is slow.
const PATTERN_BYTES: usize = 70_001;

fn site() -> (Site, Vec<u8>) {
    let (site, large) = (Site::new(), patterned(PATTERN_BYTES).repeat(10));
    site.write("large.bin", &large);
    (site, large)
}

fn closing(path: &str) -> String {
    get_with(path, &["Connection: close"])
}

/// A client with one version and one cipher.
fn client(suite: SupportedCipherSuite) -> Arc<ClientConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![suite];
    let version = if suite.tls13().is_some() { &TLS13 } else { &TLS12 };
    Arc::new(client_with(provider, &[version]))
}

/// Clients with TLS 1.3 and with TLS 1.2.
fn clients() -> [Arc<ClientConfig>; 2] {
    [&TLS13, &TLS12].map(|version| client_with(aws_lc_rs::default_provider(), &[version]).into())
}

/// A connection that the kernel has taken over.
#[track_caller]
fn taken_over(server: &Server, config: &Arc<ClientConfig>) -> Peer {
    let mut peer = server.connect_plainly().with_tls(Some(config));
    assert_eq!(peer.get("/large.bin").body.len(), LARGE_BYTES);
    peer
}

fn large_files_arrive_byte_for_byte_with_each_cipher(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &PATIENT);
    let suites = [
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    for (suite, count) in suites.into_iter().zip(1..) {
        let mut peer = server.connect_plainly().with_tls(Some(&client(suite)));
        assert_eq!(peer.get("/page.html").content_length(), 35);
        assert!(peer.get("/large.bin").body == large, "{suite:?}");
        expect_taken_over(&server, count);
        assert_eq!(peer.get("/page.html").content_length(), 35);
        let range = get_with("/large.bin", &["Range: bytes=100000-199999", "Connection: close"]);
        assert!(peer.ask(range).body == large[100_000..200_000], "{suite:?}");
        peer.expect_end();
    }
}

fn every_kind_of_response_is_right_after_the_kernel_has_taken_over(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &PATIENT);
    let mut peer = taken_over(&server, &clients()[0]);
    assert_eq!(peer.ask(head(&get("/large.bin"))).content_length(), LARGE_BYTES as u64);
    for range in [0..1, 5..600_000, LARGE_BYTES - 70_000..LARGE_BYTES] {
        let field = format!("Range: bytes={}-{}", range.start, range.end - 1);
        let response = peer.get_with("/large.bin", &[&field]);
        assert!(response.status == 206 && response.body == large[range], "{field}");
    }
    let parts = peer.get_with("/large.bin", &["Range: bytes=0-99999,200000-299999"]);
    assert_eq!(parts.status, 206);
    assert!(memchr::memmem::find(&parts.body, &large[200_000..300_000]).is_some());
    let modified = peer.settled("/page.html", &[]).required("Last-Modified").to_owned();
    let condition = format!("If-Modified-Since: {modified}");
    assert_eq!(peer.get_with("/page.html", &[&condition]).status, 304);
    assert_eq!(peer.get("/missing").status, 404);
    assert_eq!(peer.ask("nonsense\r\n\r\n").status, 400);
    peer.expect_end();
    expect_taken_over(&server, 1);
}

/// The first requests are sent together with the end of the handshake.
fn pipelined_requests_get_their_responses_in_order(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &PATIENT);
    let range = get_with("/large.bin", &["Range: bytes=100000-599999"]);
    for config in clients() {
        for first in ["/large.bin", "/page.html"] {
            let mut peer = server.connect_plainly().with_tls(Some(&config));
            peer.send([get(first), get("/large.bin"), get("/missing"), range.clone()].concat());
            peer.send(
                [head(&get("/large.bin")), get("/page.html"), closing("/large.bin")].concat(),
            );
            let response = peer.response();
            assert!(response.body == large || response.content_length() == 35);
            assert!(peer.response().body == large);
            assert_eq!(peer.response().status, 404);
            assert!(peer.response().body == large[100_000..600_000]);
            assert_eq!(peer.response_to_head().content_length(), LARGE_BYTES as u64);
            assert_eq!(peer.response().content_length(), 35);
            assert!(peer.response().body == large);
            peer.expect_end();
        }
    }
    expect_taken_over(&server, 4);
}

fn a_connection_without_large_files_stays_in_user_space(setup: &'static Setup) {
    let (site, _) = site();
    let server = start(setup, site.root(), &PATIENT);
    let mut peer = server.connect();
    for _ in 0..3 {
        assert_eq!(peer.get("/page.html").status, 200);
        assert_eq!(peer.ask(head(&get("/large.bin"))).status, 200);
    }
    expect_taken_over(&server, 0);
}

fn a_file_is_not_read_into_the_server(setup: &'static Setup) {
    let (site, _) = site();
    let server = start(setup, site.root(), &PATIENT);
    assert_eq!(server.get("/large.bin").body.len(), LARGE_BYTES);
    Admin::of(&server).wait_for("miniweb_responses_total{code=\"200\"}", 1);
    let calls = |name| {
        let sample = format!("miniweb_syscalls_total{{call=\"{name}\"}}");
        Admin::of(&server).metrics().get(&sample)
    };
    let [reads, sendfiles] = ["pread64", "sendfile"].map(calls);
    match kernel_has_tls() {
        true => assert!(reads == 0.0 && sendfiles > 1.0),
        false => assert!(reads > 1.0 && sendfiles == 0.0),
    }
}

fn a_record_may_be_incomplete_when_the_kernel_takes_over(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &PATIENT);
    for config in clients() {
        let mut peer = server.connect_plainly().with_tls(Some(&config));
        peer.complete_handshake();
        let send_in_two = |peer: &mut Peer, requests: [&str; 2], missing: usize| {
            let records = requests.map(|request| record(peer, request.as_bytes()));
            let (begin, rest) = records[1].split_at(records[1].len() - missing);
            let first = [&records[0], begin].concat();
            peer.stream.write_all(&first).expect("the server reads its input");
            assert!(peer.response().body == large);
            peer.stream.write_all(rest).expect("the server reads its input");
        };
        for missing in [1, 20, 40] {
            send_in_two(&mut peer, [&get("/large.bin"), &get("/page.html")], missing);
            assert_eq!(peer.response().content_length(), 35);
        }
        send_in_two(&mut peer, [&get("/large.bin"), &closing("/page.html")], 10);
        assert_eq!(peer.response().content_length(), 35);
        peer.expect_end();
    }
}

/// The record with which `peer` would send `content`.
fn record(peer: &mut Peer, content: &[u8]) -> Vec<u8> {
    let (session, mut record) = (peer.session(), Vec::new());
    session.writer().write_all(content).expect("a record has room");
    session.write_tls(&mut record).expect("a vector takes all");
    record
}

/// With GCM in TLS 1.2, each record names its nonce. A repeated one would reveal the key that
/// authenticates the records.
fn no_nonce_is_used_twice_in_tls_12(setup: &'static Setup) {
    let (site, _) = site();
    let server = start(setup, site.root(), &PATIENT);
    let config = client(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    let received = received_records(&server, config, &[get("/page.html"), closing("/large.bin")]);
    expect_taken_over(&server, 1);
    let (mut rest, mut nonces, mut is_encrypted) = (&received[..], Vec::new(), false);
    while let [kind, _, _, high, low, after @ ..] = rest {
        let (content, following) = after.split_at(u16::from_be_bytes([*high, *low]).into());
        if is_encrypted {
            nonces.push(&content[..8]);
        }
        // ChangeCipherSpec.
        is_encrypted |= *kind == 20;
        rest = following;
    }
    assert!(nonces.len() > LARGE_BYTES >> 14, "{} records", nonces.len());
    assert_eq!(nonces.iter().collect::<BTreeSet<_>>().len(), nonces.len());
}

/// What a client receives, as it was on the wire, that sends one request after the other until the
/// server closes.
fn received_records(server: &Server, config: Arc<ClientConfig>, requests: &[String]) -> Vec<u8> {
    let name = server_name(server.address.ip());
    let mut client = ClientConnection::new(config, name).expect("the configuration is valid");
    let mut socket = TcpStream::connect(server.address).expect("the server is listening");
    socket.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
    client.writer().write_all(requests.concat().as_bytes()).expect("it is buffered");
    let (mut received, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        while client.wants_write() {
            client.write_tls(&mut socket).expect("the server reads its input");
        }
        let length = socket.read(&mut piece).expect("the server responds");
        if length == 0 {
            return received;
        }
        received.extend_from_slice(&piece[..length]);
        let mut unread = &piece[..length];
        while !unread.is_empty() {
            client.read_tls(&mut unread).expect("memory is readable");
            client.process_new_packets().expect("the records are valid");
            let end = client.reader().read_to_end(&mut Vec::new()).map_err(|error| error.kind());
            assert!(matches!(end, Ok(_) | Err(ErrorKind::WouldBlock)), "{end:?}");
        }
    }
}

/// The kernel accepts records for which the send buffer has no space, and loses them if the
/// connection is closed too early.
fn the_end_of_a_response_reaches_a_slow_reader(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &["--idle-timeout=0.2", "--header-timeout=3600"]);
    // Blocking set-ups wait in recv for longer than the idle timeout.
    let count_max = if setup.event_loops > 0 { 2 } else { 1 };
    for round in 0..4 {
        let bytes = LARGE_BYTES - 5_000 * round;
        site.write("file.bin", &large[..bytes]);
        for request in &[closing("/file.bin"), get("/file.bin")][..count_max] {
            let mut peer = server.connect();
            peer.send(request);
            assert_eq!(peer.response_to_head().content_length(), bytes as u64);
            std::thread::sleep(Duration::from_millis(20));
            for piece in large[..bytes].chunks(40_000) {
                assert!(peer.take(piece.len()) == piece);
                std::thread::sleep(Duration::from_millis(1));
            }
            peer.expect_end();
        }
        expect_taken_over(&server, (count_max * (round + 1)) as u64);
    }
}

fn a_truncated_file_ends_without_a_close_notify(setup: &'static Setup) {
    let site = Site::new();
    let server = start(setup, site.root(), &PATIENT);
    let file = site.sparse("huge.bin", 40 << 20);
    let mut peer = server.connect();
    peer.send(get("/huge.bin"));
    assert_eq!(peer.response_to_head().content_length(), 40 << 20);
    expect_taken_over(&server, 1);
    file.set_len(1 << 20).expect("the test owns the file");
    let (body, end) = peer.rest();
    assert!(body.len() < 40 << 20, "{} bytes", body.len());
    assert!(matches!(end, End::Truncated | End::Reset), "{end:?}");
}

fn a_close_notify_of_the_client_ends_the_connection_in_order(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &PATIENT);
    for config in clients() {
        let mut peer = taken_over(&server, &config);
        peer.send(get("/large.bin").repeat(2));
        peer.session().send_close_notify();
        let mut alert = Vec::new();
        peer.session().write_tls(&mut alert).expect("a vector takes all");
        // What follows is ignored.
        peer.stream.write_all(&[alert, vec![9; 100]].concat()).expect("the server reads its input");
        assert!(peer.response().body == large);
        assert!(peer.response().body == large);
        assert_ne!(peer.rest().0, b"x");
    }
}

fn a_forged_record_gets_an_alert(setup: &'static Setup) {
    let (site, _) = site();
    let server = start(setup, site.root(), &PATIENT);
    for config in clients() {
        let mut peer = taken_over(&server, &config);
        let mut forged = record(&mut peer, get("/page.html").as_bytes());
        *forged.last_mut().expect("a record has a tag") ^= 1;
        peer.stream.write_all(&forged).expect("the server reads its input");
        let (bytes, end) = peer.rest();
        assert!(bytes.is_empty() && matches!(end, End::Alert(_)), "{end:?}");
        let mut peer = taken_over(&server, &config);
        let mut oversized = vec![23, 3, 3, 0xff, 0xff];
        oversized.resize(20_000, 0);
        let _ = peer.stream.write_all(&oversized);
        assert!(matches!(peer.rest().1, End::Alert(_) | End::Reset));
    }
    assert_eq!(server.get("/page.html").status, 200);
}

/// Which asks for one of the server in return. Before the kernel has taken over, it gets that.
fn a_key_update_ends_the_connection_in_order(setup: &'static Setup) {
    let (site, large) = site();
    let server = start(setup, site.root(), &PATIENT);
    let [config, _] = clients();
    let mut peer = server.connect_plainly().with_tls(Some(&config));
    peer.session().refresh_traffic_keys().expect("the handshake is complete");
    assert!(peer.get("/large.bin").body == large);
    peer.session().refresh_traffic_keys().expect("the handshake is complete");
    match kernel_has_tls() {
        true => {
            // The server may have closed before it has read the request.
            let _ = peer.try_send(get("/page.html"));
            let (bytes, end) = peer.rest();
            assert!(bytes.is_empty() && matches!(end, End::Clean | End::Reset), "{end:?}");
        }
        false => assert_eq!(peer.get("/page.html").status, 200),
    }
    expect_taken_over(&server, 1);
}

fn a_client_that_does_not_read_times_out(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = start(setup, site.root(), &["--write-timeout=0.5"]);
    let mut peer = server.connect();
    peer.send(get("/huge.bin"));
    peer.await_response();
    Admin::of(&server).wait_for("miniweb_timeouts_total{kind=\"write\"}", 1);
    expect_taken_over(&server, 1);
    let (body, end) = peer.rest();
    assert!(body.len() < 1 << 30 && matches!(end, End::Truncated | End::Reset), "{end:?}");
}

fn clients_that_reset_leave_nothing_behind(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = start(setup, site.root(), &PATIENT);
    for _ in 0..3 {
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        // The head is encrypted in user space, still.
        peer.response_to_head();
        peer.take(1);
        peer.reset();
    }
    expect_taken_over(&server, 3);
    Admin::of(&server).wait_for("miniweb_connections_open", 0);
    assert_eq!(server.get("/page.html").status, 200);
}

fn a_shutdown_lets_a_response_end(setup: &'static Setup) {
    const BYTES: usize = 16 << 20;
    let site = Site::new();
    site.sparse("huge.bin", BYTES as u64);
    let mut server = start(setup, site.root(), &["--shutdown-timeout=20"]);
    let mut peer = server.connect();
    peer.send(get("/huge.bin"));
    peer.response_to_head();
    expect_taken_over(&server, 1);
    server.signal(Signal::TERM);
    assert_eq!(peer.take(BYTES).len(), BYTES);
    peer.expect_end();
    assert!(server.wait().success());
}

fn a_confined_server_without_privileges_can_do_it(setup: &'static Setup) {
    let (site, large) = site();
    let user: &[&str] = if geteuid().is_root() { &["--user", "nobody"] } else { &[] };
    let server = start(setup, site.root(), &[&["--confine"], user].concat());
    assert!(server.get("/large.bin").body == large);
    expect_taken_over(&server, 1);
}

fn the_log_names_version_and_cipher(setup: &'static Setup) {
    let (site, _) = site();
    let server = start(setup, site.root(), &["--log", "json"]);
    let config = client(suite::TLS13_AES_256_GCM_SHA384);
    let mut peer = taken_over(&server, &config);
    assert_eq!(peer.get("/page.html").status, 200);
    drop(peer);
    for _ in 0..2 {
        let line = server.output.next().expect("the response is logged");
        let line: serde_json::Value = serde_json::from_str(&line).expect("each line is JSON");
        assert_eq!(
            (&line["tls"], &line["cipher"]),
            (&"TLSv1.3".into(), &"TLS_AES_256_GCM_SHA384".into())
        );
    }
}

fn a_unix_socket_stays_in_user_space(setup: &'static Setup) {
    let (site, large) = site();
    let path = site.beside("socket");
    let host = format!("unix:{}", path.display());
    let server = start(setup, site.root(), &["--host", "127.0.0.1", "--host", &host]);
    let mut peer = server.connect_to_unix(&path);
    for _ in 0..2 {
        assert!(peer.get("/large.bin").body == large);
    }
    expect_taken_over(&server, 0);
}
