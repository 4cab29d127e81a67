//! What sessions negotiate.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};

use super::kernel_socket::KernelCiphers;
use super::tickets::Tickets;

/// The certificate that new sessions get, whatever name the client asks for (SNI).
///
/// It is read without a lock: a process that is forked while another thread replaces it must not
/// inherit a lock that is held.
#[derive(Debug)]
pub struct CurrentCertificate(ArcSwap<CertifiedKey>);

impl CurrentCertificate {
    pub fn new(pair: CertifiedKey) -> CurrentCertificate {
        CurrentCertificate(ArcSwap::from_pointee(pair))
    }

    pub fn load(&self) -> Arc<CertifiedKey> {
        self.0.load_full()
    }

    pub fn replace(&self, pair: CertifiedKey) {
        self.0.store(Arc::new(pair));
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.load())
    }
}

/// The configuration of every session: TLS 1.3 and 1.2, HTTP/1.1, no client certificates. A client
/// that offers protocols (ALPN) but not `http/1.1` gets the alert `no_application_protocol`
/// (RFC 7301 §3.2); one that offers none is served.
///
/// # Errors
/// The provider lacks what a protocol version needs.
pub fn server_config(
    certificate: Arc<CurrentCertificate>,
    tickets: Arc<Tickets>,
    kernel: KernelCiphers,
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    config.ticketer = tickets;
    // A session cache would need a lock and a limit, and forked children could not share it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A request in early data can be replayed by anyone who has recorded it (RFC 8446 §8).
    config.max_early_data_size = 0;
    config.enable_secret_extraction = !kernel.is_empty();
    Ok(Arc::new(config))
}

/// What the server can negotiate, the preferred first.
///
/// The server's cipher suite preference decides, not the client's. AES-128-GCM takes an eighth less
/// time per byte than AES-256-GCM (measured with VAES), and both are considered secure; OpenSSL,
/// and so curl, prefers AES-256. ChaCha20-Poly1305 takes three times as long, and is faster only on
/// clients without AES instructions.
///
/// Of the key exchange groups, the client's preference decides (rustls has no option for that).
/// X25519MLKEM768 takes 90 µs per handshake instead of the 70 µs of X25519, and sends over 1 KB
/// more each way. It is included because it is designed to protect traffic recorded today, and the
/// passwords in it, against a future quantum computer. Only clients that prefer it pay for it, as
/// current browsers do.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            suite::TLS13_AES_128_GCM_SHA256,
            suite::TLS13_AES_256_GCM_SHA384,
            suite::TLS13_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
            kx_group::X25519MLKEM768,
        ],
        ..aws_lc_rs::default_provider()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::client::Resumption;
    use rustls::pki_types::ServerName;
    use rustls::{
        AlertDescription, CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup,
        RootCertStore, ServerConnection, SupportedProtocolVersion,
    };

    use super::*;
    use crate::server::tls::self_signed::SelfSigned;

    /// A server and what its clients trust.
    struct Fixture {
        config: Arc<ServerConfig>,
        tickets: Arc<Tickets>,
        roots: Arc<RootCertStore>,
    }

    impl Fixture {
        fn new() -> Fixture {
            let made = SelfSigned::make(&[]).expect("random bytes");
            let roots = made.roots();
            let tickets = Arc::new(Tickets::new().expect("random bytes"));
            let current = Arc::new(CurrentCertificate::new(made.pair));
            let config = server_config(current, tickets.clone(), KernelCiphers::default())
                .expect("the provider has all");
            Fixture { config, tickets, roots: Arc::new(roots) }
        }

        fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("the provider has both versions");
            let mut config =
                builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
            config.resumption = Resumption::in_memory_sessions(4);
            config
        }

        /// A connection after the handshake and a byte in both directions, seen from the client.
        fn connect(&self, client: &Arc<ClientConfig>) -> Result<ClientConnection, Error> {
            let name = ServerName::try_from("localhost").expect("a valid name");
            let mut client = ClientConnection::new(client.clone(), name)?;
            let mut server = ServerConnection::new(self.config.clone())?;
            client.writer().write_all(b"?").expect("it is buffered");
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            while client.wants_write() || server.wants_write() {
                while client.wants_write() {
                    client.write_tls(&mut to_server).expect("memory is writable");
                }
                let mut received = &to_server[..];
                while !received.is_empty() {
                    server.read_tls(&mut received).expect("memory is readable");
                    // The client learns from the alert.
                    let _ = server.process_new_packets();
                }
                if server.reader().read(&mut [0]).is_ok() {
                    server.writer().write_all(b"!").expect("it is buffered");
                }
                while server.wants_write() {
                    server.write_tls(&mut to_client).expect("memory is writable");
                }
                let mut received = &to_client[..];
                while !received.is_empty() {
                    client.read_tls(&mut received).expect("memory is readable");
                    client.process_new_packets()?;
                }
                to_server.clear();
                to_client.clear();
            }
            assert!(client.reader().read(&mut [0]).is_ok(), "the server has responded");
            Ok(client)
        }
    }

    #[test]
    fn the_server_prefers_aes_128_in_both_versions() {
        let fixture = Fixture::new();
        for (version, expected) in [
            (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
            (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ] {
            // The order of the client is that of the library: AES-256 first.
            let connection = fixture.connect(&Arc::new(fixture.client(version)));
            let connection = connection.expect("they have much in common");
            let suite = connection.negotiated_cipher_suite().expect("the handshake is complete");
            assert_eq!(suite.suite(), expected);
        }
    }

    #[test]
    fn a_client_gets_the_group_that_it_prefers() {
        let fixture = Fixture::new();
        for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::X25519MLKEM768] {
            let provider = CryptoProvider {
                kx_groups: vec![group, kx_group::SECP384R1],
                ..aws_lc_rs::default_provider()
            };
            let client = ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&TLS13])
                .expect("the provider has the version")
                .with_root_certificates(fixture.roots.clone())
                .with_no_client_auth();
            let connection = fixture.connect(&Arc::new(client)).expect("they have both groups");
            let negotiated: Option<NamedGroup> =
                connection.negotiated_key_exchange_group().map(|group| group.name());
            assert_eq!(negotiated, Some(group.name()));
        }
    }

    #[test]
    fn a_client_that_offers_only_other_protocols_is_refused() {
        let fixture = Fixture::new();
        for (offered, negotiated) in [
            (&[][..], Ok(None)),
            (&["h2", "http/1.1"], Ok(Some("http/1.1"))),
            (&["h2"], Err(AlertDescription::NoApplicationProtocol)),
        ] {
            let mut client = fixture.client(&TLS13);
            client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
            let connected = fixture.connect(&Arc::new(client));
            let protocol = connected
                .as_ref()
                .map(|connection| connection.alpn_protocol())
                .map_err(Clone::clone);
            let expected =
                negotiated.map(|name| name.map(str::as_bytes)).map_err(Error::AlertReceived);
            assert_eq!(protocol, expected, "{offered:?}");
        }
    }

    #[test]
    fn a_ticket_resumes_a_session_until_its_key_is_forgotten() {
        for version in [&TLS13, &TLS12] {
            let fixture = Fixture::new();
            let client = Arc::new(fixture.client(version));
            let kind = || {
                let connected = fixture.connect(&client).expect("they have much in common");
                connected.handshake_kind().expect("the handshake is complete")
            };
            assert_eq!(kind(), HandshakeKind::Full);
            assert_eq!(kind(), HandshakeKind::Resumed);
            fixture.tickets.rotate().expect("random bytes");
            assert_eq!(kind(), HandshakeKind::Resumed, "the previous key still decrypts");
            for _ in 0..2 {
                fixture.tickets.rotate().expect("random bytes");
            }
            assert_eq!(kind(), HandshakeKind::Full);
        }
    }
}
