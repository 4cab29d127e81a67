//! The load generator with TLS against scripted servers, which have rustls as well.

#![cfg(all(feature = "compare", feature = "tls"))]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use miniweb::load::{
    ClientTls, Handshake, HandshakeCounts, Load, Pace, Plan, RequestTemplate, Reuse, SlowReaders,
};
use rcgen::{CertifiedKey, KeyPair};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server that sends a body of this length to each request. It writes at most `write_bytes_max`
/// at a time, so that records arrive in pieces.
#[derive(Clone, Copy)]
struct Script {
    body_bytes: usize,
    write_bytes_max: usize,
    has_tickets: bool,
}

const SMALL: Script = Script { body_bytes: 5, write_bytes_max: usize::MAX, has_tickets: true };

struct Server {
    address: SocketAddr,
    /// In DER.
    certificate: Vec<u8>,
}

fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("the name is valid")
}

/// Serves on threads of its own, which end with the test process.
fn serve(script: Script) -> Server {
    let CertifiedKey { cert, signing_key } = certificate();
    let certificate = cert.der().to_vec();
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let mut config = builder
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has its ciphers")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], signing_key.into())
        .expect("the key is that of the certificate");
    match script.has_tickets {
        true => config.ticketer = Ticketer::new().expect("there are random bytes"),
        false => config.send_tls13_tickets = 0,
    }
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || serve_connection(socket, config, script));
        }
    });
    Server { address, certificate }
}

/// Writes little at a time.
struct Dribble(TcpStream, usize);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(self.1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends with an error when the client has closed.
fn serve_connection(socket: TcpStream, config: Arc<ServerConfig>, script: Script) {
    let _ = socket.set_nodelay(true);
    let session = ServerConnection::new(config).expect("the configuration is valid");
    let mut stream = StreamOwned::new(session, Dribble(socket, script.write_bytes_max));
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        received.extend_from_slice(&buffer[..length]);
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            let length = script.body_bytes;
            let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            response.push_str(&"x".repeat(length));
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
            if head.windows(5).any(|window| window == b"close") {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                return;
            }
        }
    }
}

fn plan(server: &Server, handshake: Handshake, reuse: Reuse, body_bytes: usize) -> Plan {
    let template = RequestTemplate::get("test", "/", reuse, body_bytes as u64);
    let tls = ClientTls::trusting(&server.certificate, handshake).expect("there is TLS");
    let timeout = Duration::from_secs(5);
    Plan { tls: Some(tls), timeout, ..Plan::closed_loop(server.address, template, 4) }
}

const NONE: HandshakeCounts = HandshakeCounts { full: 0, resumed: 0 };

#[test]
fn every_response_is_counted_once_and_no_handshake_is_part_of_the_run() {
    let server = serve(SMALL);
    for (depth, idle, pace) in
        [(1, 0, Pace::Closed), (8, 3, Pace::Closed), (1, 0, Pace::Open { per_second: 200.0 })]
    {
        let plan = plan(&server, Handshake::Full, Reuse::KeepAlive, 5);
        let mut load = Load::open(Plan { depth, idle, pace, ..plan }).expect("the server responds");
        let result = load.run(Duration::from_millis(300)).expect("it runs");
        assert!(result.responses > 20 && result.errors_total() == 0, "{result:?}");
        assert_eq!(result.responses, result.latency_ns.len());
        assert_eq!(result.responses % depth as u64, 0, "only whole batches");
        assert_eq!(result.handshakes, NONE);
    }
}

#[test]
fn connections_begin_with_the_handshake_of_the_plan() {
    let server = serve(SMALL);
    for handshake in [Handshake::Full, Handshake::Resumed] {
        let mut load = Load::open(plan(&server, handshake, Reuse::Never, 5)).expect("it connects");
        let result = load.run(Duration::from_millis(400)).expect("it runs");
        assert!(result.responses > 10 && result.errors_total() == 0, "{result:?}");
        let all = result.responses;
        let expected = match handshake {
            Handshake::Full => HandshakeCounts { full: all, resumed: 0 },
            Handshake::Resumed => HandshakeCounts { full: 0, resumed: all },
        };
        assert_eq!(result.handshakes, expected);
    }
}

#[test]
fn connections_without_a_ticket_are_counted_as_full_handshakes() {
    let server = serve(Script { has_tickets: false, ..SMALL });
    let plan = plan(&server, Handshake::Resumed, Reuse::Never, 5);
    let result = Load::open(plan).and_then(|mut load| load.run(Duration::from_millis(200)));
    let result = result.expect("it runs");
    assert!(result.responses > 10 && result.errors_total() == 0, "{result:?}");
    assert_eq!(result.handshakes, HandshakeCounts { full: result.responses, resumed: 0 });
}

#[test]
fn records_may_arrive_in_pieces() {
    // Longer than a record, and read in pieces of other lengths than are written.
    const BODY_BYTES: usize = 40_000;
    for write_bytes_max in [701, 16_384, 50_000] {
        let server = serve(Script { body_bytes: BODY_BYTES, write_bytes_max, ..SMALL });
        for reuse in [Reuse::KeepAlive, Reuse::Never] {
            let plan = plan(&server, Handshake::Full, reuse, BODY_BYTES);
            let mut load = Load::open(plan).expect("the server responds");
            let result = load.run(Duration::from_millis(200)).expect("it runs");
            assert!(result.responses > 2 && result.errors_total() == 0, "{result:?}");
            assert!(result.received_bytes > result.responses * BODY_BYTES as u64);
        }
    }
}

#[test]
fn slow_readers_read_at_their_rate() {
    const LARGE_BYTES: usize = 1 << 20;
    let server = serve(Script { body_bytes: LARGE_BYTES, ..SMALL });
    let slow = SlowReaders {
        connections: 2,
        bytes_per_second: 500_000,
        template: RequestTemplate::get("test", "/", Reuse::KeepAlive, LARGE_BYTES as u64),
    };
    let plan = plan(&server, Handshake::Full, Reuse::KeepAlive, LARGE_BYTES);
    let mut load =
        Load::open(Plan { active: 0, slow: Some(slow), ..plan }).expect("the server responds");
    let result = load.run(Duration::from_secs(1)).expect("it runs");
    assert_eq!(result.errors_total(), 0);
    assert!((600_000..=1_100_000).contains(&result.received_bytes), "{}", result.received_bytes);
}

#[test]
fn another_certificate_is_not_trusted() {
    let (server, other) = (serve(SMALL), certificate());
    let tls = ClientTls::trusting(other.cert.der(), Handshake::Full).expect("there is TLS");
    let with_other = |reuse| {
        let plan = plan(&server, Handshake::Full, reuse, 5);
        Load::open(Plan { tls: Some(tls.clone()), ..plan })
    };
    let error = with_other(Reuse::KeepAlive).expect_err("the handshake fails");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    let mut load = with_other(Reuse::Never).expect("nothing is opened yet");
    let result = load.run(Duration::from_millis(100)).expect("it runs");
    assert_eq!((result.responses, result.handshakes), (0, NONE));
    let kinds: Vec<_> = result.errors.keys().copied().collect();
    assert_eq!(kinds, [miniweb::load::LoadError::Connect]);
}

#[test]
fn a_plain_server_is_no_tls_server() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let server = Server { address, certificate: certificate().cert.der().to_vec() };
    let error = Load::open(plan(&server, Handshake::Full, Reuse::KeepAlive, 5));
    let error = error.expect_err("the response is no record");
    assert!(error.to_string().contains("the first request on a connection failed"), "{error}");
}
