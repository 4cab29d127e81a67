//! A TLS session between a client that may send anything and a connection: it carries bytes as they
//! are, in pieces of any size, and nothing that a client sends makes it panic.
//!
//! An input is either what a client sends from the start, or a schedule of what happens once the
//! handshake is complete: records of any type and content, with and without valid tags, bytes that
//! are no record, responses, and the end of the session.

use std::io::IoSlice;
use std::sync::{Arc, LazyLock};

use miniweb::server::{TlsConfig, TlsSession};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    RootCertStore, ServerConfig, SupportedCipherSuite,
};

/// The first byte says what follows: its lowest bit whether the handshake is complete, the others
/// how long the pieces are in which bytes arrive.
pub fn check(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    let piece_bytes = usize::from(first >> 1) + 1;
    match first & 1 {
        0 => check_handshake(rest, piece_bytes),
        _ => check_session(rest, piece_bytes),
    }
}

/// What the session has come to does not depend on how its input is split, and the last thing that
/// it sends is an alert if it has ended.
fn check_handshake(wire: &[u8], piece_bytes: usize) {
    let results = [wire.len().max(1), piece_bytes, 1].map(|piece_bytes| {
        let mut server = Server::new();
        for piece in wire.chunks(piece_bytes) {
            if server.session.is_ended() {
                break;
            }
            // The caller treats them as a request.
            if server.session.is_plain_http(piece) {
                return None;
            }
            server.receive(piece);
        }
        assert!(server.plaintext.is_empty(), "content before the handshake is complete");
        assert!(!server.session.is_established());
        // It sends no close_notify in a handshake.
        let before = server.sent.len();
        server.close();
        assert_eq!(server.sent.len(), before);
        Some(server.session.is_ended())
    });
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

/// Until a client breaks the rules, both directions carry exactly the bytes that were put in.
fn check_session(schedule: &[u8], piece_bytes: usize) {
    let (mut server, mut client) = establish();
    let (mut expected, mut responses, mut is_undisturbed) = (Vec::new(), Vec::new(), true);
    let mut rest = schedule;
    while let [kind, length, after @ ..] = rest {
        let content = &after[..after.len().min(usize::from(*length))];
        rest = &after[content.len()..];
        let content_type = match kind % 8 {
            2 => ContentType::Handshake,
            3 => ContentType::Alert,
            _ => ContentType::ApplicationData,
        };
        match kind % 8 {
            5 => server.receive_in_pieces(content, piece_bytes),
            6 => {
                let response = content.repeat(1 + usize::from(kind / 8) * 20);
                if server.respond(&response) && is_undisturbed {
                    responses.extend(response);
                }
                continue;
            }
            7 => {
                // In the connection, nothing follows a close.
                server.close();
                break;
            }
            mutated => {
                let mut record = client.encrypt(content_type, content);
                if mutated == 4 {
                    let at = usize::from(*kind) % record.len();
                    record[at] ^= 1 << (kind / 32);
                }
                server.receive_in_pieces(&record, piece_bytes);
            }
        }
        // An endless sequence of empty records breaks the rules, too.
        is_undisturbed &= kind % 8 < 2 && !content.is_empty();
        if is_undisturbed {
            expected.extend_from_slice(content);
            assert_eq!(server.plaintext, expected, "the input has changed on its way");
        }
    }
    assert!(server.plaintext.starts_with(&expected), "the input has changed on its way");
    if is_undisturbed {
        assert_eq!(client.decrypt(&server.sent), responses, "a response has changed on its way");
    }
}

/// A session with what its caller does: it lends buffers and writes a little at a time.
struct Server {
    session: TlsSession,
    spare: Vec<u8>,
    decrypted: Vec<u8>,
    /// All that the connection has received.
    plaintext: Vec<u8>,
    /// All that the socket has accepted.
    sent: Vec<u8>,
}

impl Server {
    fn new() -> Server {
        let session = TlsSession::new(CONFIG.clone()).expect("the configuration is valid");
        let (spare, decrypted, plaintext, sent) = Default::default();
        Server { session, spare, decrypted, plaintext, sent }
    }

    fn receive_in_pieces(&mut self, bytes: &[u8], piece_bytes: usize) {
        bytes.chunks(piece_bytes).for_each(|piece| self.receive(piece));
    }

    fn receive(&mut self, bytes: &[u8]) {
        // What follows is neither decrypted nor processed.
        if self.session.is_ended() || self.session.has_input_ended() {
            return;
        }
        self.session.unsent_mut().lend_buffer(&mut self.spare);
        match self.session.receive(&mut bytes.to_vec(), &mut self.decrypted) {
            Ok(_) => self.plaintext.extend_from_slice(&self.decrypted),
            Err(_) => assert!(self.session.is_ended()),
        }
        self.write_all();
    }

    /// Whether the session could carry the response.
    fn respond(&mut self, response: &[u8]) -> bool {
        if response.is_empty() || !self.session.is_established() {
            return false;
        }
        self.session.unsent_mut().lend_buffer(&mut self.spare);
        let (head, body) = response.split_at(response.len() / 3);
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        let encrypted = self.session.encrypt(&slices, response.len(), &mut self.decrypted);
        let reported = self.write_all();
        if encrypted.is_ok() {
            assert_eq!(reported, response.len() as u64);
        }
        encrypted.is_ok()
    }

    fn close(&mut self) {
        self.session.unsent_mut().lend_buffer(&mut self.spare);
        self.session.close();
        self.write_all();
    }

    /// Accepts what is unsent in growing pieces. Returns how much of a response is in it.
    fn write_all(&mut self) -> u64 {
        let (mut reported, mut accepted) = (0, 1);
        while !self.session.unsent().is_empty() {
            let bytes = self.session.unsent().bytes();
            let accept = bytes.len().min(accepted);
            self.sent.extend_from_slice(&bytes[..accept]);
            reported += self.session.unsent_mut().advance(accept);
            self.session.unsent_mut().reclaim_buffer(&mut self.spare);
            self.session.unsent_mut().lend_buffer(&mut self.spare);
            accepted *= 2;
        }
        self.session.unsent_mut().reclaim_buffer(&mut self.spare);
        reported
    }
}

/// The keys of a client with which records of any type can be made.
struct Client {
    encrypter: Box<dyn MessageEncrypter>,
    decrypter: Box<dyn MessageDecrypter>,
    sent_records: u64,
    received_records: u64,
}

impl Client {
    fn encrypt(&mut self, typ: ContentType, content: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(content);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
        let record = self.encrypter.encrypt(message, self.sent_records);
        self.sent_records += 1;
        record.expect("the content is short").encode()
    }

    /// The content of records, of which only the last may be a close_notify.
    fn decrypt(&mut self, records: &[u8]) -> Vec<u8> {
        let (mut content, mut rest, mut is_closed) = (Vec::new(), records.to_vec(), false);
        while !rest.is_empty() {
            assert!(!is_closed, "a record follows the close_notify");
            let length = usize::from(u16::from_be_bytes([rest[3], rest[4]]));
            let mut record = rest[5..5 + length].to_vec();
            rest.drain(..5 + length);
            let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
            let record = InboundOpaqueMessage::new(typ, version, &mut record);
            let plain = self.decrypter.decrypt(record, self.received_records);
            let plain = plain.expect("the server makes valid records");
            self.received_records += 1;
            match plain.typ {
                ContentType::ApplicationData => content.extend_from_slice(plain.payload),
                ContentType::Alert => is_closed = plain.payload == [1, 0],
                other => panic!("unexpected {other:?}"),
            }
        }
        content
    }
}

/// Makes a handshake in memory.
fn establish() -> (Server, Client) {
    let mut server = Server::new();
    let name = ServerName::try_from("localhost").expect("the name is valid");
    let mut client = ClientConnection::new(CLIENT.clone(), name).expect("the name is valid");
    while client.is_handshaking() || client.wants_write() || !server.sent.is_empty() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("a vector takes all");
        }
        server.receive(&flight);
        let sent = std::mem::take(&mut server.sent);
        let mut sent = &sent[..];
        while !sent.is_empty() {
            client.read_tls(&mut sent).expect("a slice has all");
            client.process_new_packets().expect("the server keeps to the rules");
        }
    }
    assert!(server.session.is_established());
    let secrets = client.dangerous_extract_secrets().expect("the configuration allows it");
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        unreachable!("it is a suite of TLS 1.3")
    };
    let keys = |secrets| match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (key, iv),
        _ => unreachable!("the client offers one suite"),
    };
    let ((sent_records, tx), (received_records, rx)) = (secrets.tx, secrets.rx);
    let ((tx_key, tx_iv), (rx_key, rx_iv)) = (keys(tx), keys(rx));
    let encrypter = suite.aead_alg.encrypter(tx_key, tx_iv);
    let decrypter = suite.aead_alg.decrypter(rx_key, rx_iv);
    (server, Client { encrypter, decrypter, sent_records, received_records })
}

/// A certificate for localhost, and its key.
static PAIR: LazyLock<(rcgen::Certificate, KeyPair)> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("the kernel has random bytes");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("the name is valid");
    (params.self_signed(&key).expect("the key can sign"), key)
});

static CONFIG: LazyLock<Arc<TlsConfig>> = LazyLock::new(|| {
    let (certificate, key) = &*PAIR;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key);
    config.expect("the pair is valid").into()
});

static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add(PAIR.0.der().clone()).expect("the certificate is valid");
    let cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    let provider = CryptoProvider { cipher_suites, ..default_provider() };
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS13])
        .expect("the suite is of this version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    config.into()
});
