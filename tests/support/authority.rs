//! The authority of one run of the tests. It issues the certificates of the servers, and the
//! clients trust it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

pub static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of the tests");
    let key = KeyPair::generate().expect("the system has random numbers");
    CertifiedIssuer::self_signed(params, key).expect("the parameters are valid")
});

/// The configuration of most clients. It offers TLS 1.3 and resumes no session, so that each
/// connection makes a whole handshake.
static CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut config = client_with(aws_lc_rs::default_provider(), &[&TLS13, &TLS12]);
    config.resumption = Resumption::disabled();
    Arc::new(config)
});

/// The certificate of the authority, for clients other than [`Peer`](super::Peer).
pub fn authority_pem() -> String {
    AUTHORITY.pem()
}

pub fn client_config() -> Arc<ClientConfig> {
    CLIENT.clone()
}

/// A client that trusts the authority, with these algorithms and versions. It resumes sessions.
pub fn client_with(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.der().clone()).expect("the certificate is valid");
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites for them");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The name of the server at `address` in its certificate.
pub fn server_name(address: IpAddr) -> ServerName<'static> {
    match address {
        // Clients of the tests connect to all of 127.0.0.0/8.
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST).into(),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST).into(),
    }
}
