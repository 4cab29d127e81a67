//! TLS 1.3 on the side of the client, without a socket.
//!
//! The unbuffered API of rustls is used: received records are decrypted in place, and requests are
//! encrypted into the session's only buffer. All connections of a load use one cipher suite, so
//! that loads can be compared.
//!
//! Invariants:
//! - A client trusts one certificate, byte for byte, and no other. The first handshake of a load
//!   verifies that the server has its key.
//! - A ticket is used once. [`Handshake::Resumed`] connections share their tickets, and each gets
//!   the newest; the load counts how many have found one.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls12Resumption,
    Tls13ClientSessionValue, UnbufferedClientConnection,
};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::ConnectionState;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind,
    NamedGroup, PeerIncompatible, SignatureScheme,
};

use super::handshakes::Handshake;
use crate::sync::lock;
use crate::unbuffered_tls::{Handled, encrypted_bytes_max, handle};

/// How the connections of a load speak TLS.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    handshake: Handshake,
}

/// More than any load has connections without a ticket of their own; beyond that, the oldest are
/// dropped, because a server may send several with each handshake.
const TICKETS_MAX: usize = 1024;

impl ClientTls {
    /// For a server that has this certificate, in DER.
    ///
    /// # Errors
    /// The crypto provider lacks what TLS 1.3 needs.
    pub fn trusting(certificate: &[u8], handshake: Handshake) -> io::Result<ClientTls> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![kx_group::X25519],
            ..default_provider()
        });
        let verifier = OneCertificate {
            certificate: CertificateDer::from(certificate).into_owned(),
            provider: provider.clone(),
            is_proven: AtomicBool::new(false),
        };
        let builder = ClientConfig::builder_with_provider(provider);
        let mut config = builder
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match handshake {
            Handshake::Full => Resumption::disabled(),
            Handshake::Resumed => Resumption::store(Arc::new(Tickets::default()))
                .tls12_resumption(Tls12Resumption::Disabled),
        };
        Ok(ClientTls { config: Arc::new(config), handshake })
    }

    /// How connections begin.
    pub fn handshake(&self) -> Handshake {
        self.handshake
    }

    /// Sends a request and returns what the server sends until it closes the connection, with a
    /// handshake first. The socket has to be a blocking one.
    ///
    /// # Errors
    /// From a system call or from TLS, also if the server closes without a close_notify.
    pub fn exchange(&self, socket: &mut TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
        let session = ClientConnection::new(self.config.clone(), server_name());
        let mut session = session.map_err(io::Error::other)?;
        let mut stream = rustls::Stream::new(&mut session, socket);
        stream.write_all(request)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        Ok(response)
    }
}

/// The name is not checked, but a client has to have one: it is sent in the handshake.
fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("it is a valid name")
}

/// The session of one connection.
pub(super) struct ClientSession {
    connection: UnbufferedClientConnection,
    /// The start of an incomplete record or handshake message. It is passed to each call of rustls,
    /// which remembers how much of it is processed.
    input: Vec<u8>,
    /// Records that the socket has not accepted yet, from `sent` on.
    output: Vec<u8>,
    sent: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshaking,
    /// The handshake is complete, and not reported yet.
    Established,
    Open,
}

impl ClientSession {
    /// A session whose first message is unsent.
    pub(super) fn start(tls: &ClientTls) -> io::Result<ClientSession> {
        let connection = UnbufferedClientConnection::new(tls.config.clone(), server_name());
        let mut session = ClientSession {
            connection: connection.map_err(io::Error::other)?,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            phase: Phase::Handshaking,
        };
        session.process(&mut [], &mut |_| {}).1?;
        Ok(session)
    }

    /// Whether requests can be encrypted.
    pub(super) fn is_open(&self) -> bool {
        self.phase != Phase::Handshaking
    }

    /// Once for each session: that its handshake is complete.
    pub(super) fn take_handshake(&mut self) -> Option<Handshake> {
        if self.phase != Phase::Established {
            return None;
        }
        self.phase = Phase::Open;
        Some(match self.connection.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        })
    }

    pub(super) fn unsent(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Removes what the socket has accepted.
    pub(super) fn advance(&mut self, sent: usize) {
        self.sent += sent;
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Encrypts `content` behind what is unsent.
    pub(super) fn encrypt(&mut self, content: &[u8]) -> io::Result<()> {
        let start = self.output.len();
        self.output.resize(start + encrypted_bytes_max(content.len()), 0);
        let encrypted = match self.connection.process_tls_records(&mut self.input).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.encrypt(content, &mut self.output[start..]).map_err(io::Error::other)
            }
            _ => Err(invalid("the session is not open")),
        };
        self.output.truncate(start + *encrypted.as_ref().unwrap_or(&0));
        encrypted.map(|_| ())
    }

    /// How many bytes [`ClientSession::receive`] expects in front of those that are received.
    pub(super) fn input_bytes(&self) -> usize {
        self.input.len()
    }

    /// Passes what is decrypted to `take`. The first [`ClientSession::input_bytes`] of `buffer` are
    /// free, and received bytes follow them.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        buffer[..self.input.len()].copy_from_slice(&self.input);
        let (used, processed) = self.process(buffer, take);
        self.input.clear();
        self.input.extend_from_slice(&buffer[used..]);
        processed
    }

    /// Processes complete records. Returns how many bytes they have.
    fn process(
        &mut self,
        incoming: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> (usize, io::Result<()>) {
        let mut used = 0;
        let processed = loop {
            let status = self.connection.process_tls_records(&mut incoming[used..]);
            let (discard, handled) = handle(status, take, &mut self.output);
            used += discard;
            match handled {
                Ok(Handled::More | Handled::PeerClosed) => {}
                Ok(Handled::Blocked { is_open }) => {
                    if is_open && self.phase == Phase::Handshaking {
                        self.phase = Phase::Established;
                    }
                    break Ok(());
                }
                Err(error) => break Err(invalid(error)),
            }
        };
        (used, processed)
    }
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession").field("phase", &self.phase).finish_non_exhaustive()
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Trusts one certificate. The server has to prove once that it has the key: a load has one server,
/// and to verify each signature would make the client as expensive as the server.
#[derive(Debug)]
struct OneCertificate {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    is_proven: AtomicBool,
}

impl ServerCertVerifier for OneCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *certificate == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.is_proven.load(Ordering::Relaxed) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        let verified = verify_tls13_signature(message, certificate, signature, algorithms)?;
        self.is_proven.store(true, Ordering::Relaxed);
        Ok(verified)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The tickets that the connections of a load have received. The store of rustls keeps eight, and a
/// load has more connections than that.
#[derive(Debug, Default)]
struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = lock(&self.0);
        if tickets.len() == TICKETS_MAX {
            tickets.pop_front();
        }
        tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        lock(&self.0).pop_back()
    }
}
