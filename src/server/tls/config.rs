//! What sessions negotiate.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};

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
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    config.ticketer = tickets;
    // Sessions in memory would need a lock and a bound, and a forked child could not add any.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A request in early data can be replayed by anyone who has recorded it (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// What the server can negotiate, the preferred first.
///
/// The server's order of cipher suites counts, not the client's. AES-128-GCM takes a fifth to a
/// quarter less time per byte than AES-256-GCM, and no attack on either is known; OpenSSL, and so
/// curl, would choose AES-256. A phone without AES instructions would prefer ChaCha20-Poly1305, but
/// phones have had them since about 2014.
///
/// In groups, the client's order counts in rustls. X25519MLKEM768 is included: a recording of its
/// traffic stays secret even if a quantum computer can solve the discrete logarithm one day, which
/// matters to sites with passwords. Current browsers prefer it, and pay for it themselves as well.
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
