//! Certificates for tests, and which one a server shows.

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use super::authority::AUTHORITY;
use super::wait::TIMEOUT;

/// A certificate for the names of this machine and its key.
pub struct Certificate {
    /// With that of the authority.
    pub pem: String,
    pub key_pem: String,
    pub der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Certificate {
        let day = Duration::from_secs(86_400);
        Certificate::valid(SystemTime::now() - day, SystemTime::now() + day)
    }

    pub fn valid(from: SystemTime, to: SystemTime) -> Certificate {
        let key = KeyPair::generate().expect("the kernel has random bytes");
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut parameters = CertificateParams::new(names).expect("valid names");
        (parameters.not_before, parameters.not_after) = (from.into(), to.into());
        let certificate = parameters.signed_by(&key, &*AUTHORITY).expect("the key can sign");
        Certificate {
            pem: certificate.pem() + &AUTHORITY.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, directory: &Path, name: &str) -> [PathBuf; 2] {
        let certificate = write_private(&directory.join(format!("{name}.pem")), &self.pem);
        [certificate, write_private(&directory.join(format!("{name}.key")), &self.key_pem)]
    }
}

/// The options with which a server uses a certificate and its key.
pub fn tls_options([certificate, key]: &[PathBuf; 2]) -> [String; 2] {
    [format!("--tls-cert={}", certificate.display()), format!("--tls-key={}", key.display())]
}

/// Writes a file that other users cannot read.
pub fn write_private(path: &Path, content: &str) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a file has a parent"))
        .expect("a directory can be created");
    fs::write(path, content).expect("a file can be written");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("the test owns the file");
    path.to_owned()
}

/// Lets a server read its certificate with and without `--user nobody`, if the test runs as root.
pub fn give_to_nobody(files: &[PathBuf]) {
    let nobody = nix::unistd::User::from_name("nobody");
    if rustix::process::geteuid().is_root()
        && let Ok(Some(nobody)) = nobody
    {
        for file in files {
            let given = std::os::unix::fs::chown(file, Some(nobody.uid.as_raw()), None);
            given.expect("root may give files away");
        }
    }
}

/// The certificate that a server at `address` shows to a new client.
#[track_caller]
pub fn shown_certificate(address: SocketAddr) -> CertificateDer<'static> {
    let shown = Arc::new(AnyCertificate::default());
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions")
        .dangerous()
        .with_custom_certificate_verifier(shown.clone())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a valid name");
    let mut client =
        ClientConnection::new(Arc::new(config), name).expect("the configuration is complete");
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
    while client.is_handshaking() {
        client.complete_io(&mut socket).expect("the handshake succeeds");
    }
    let shown = shown.0.lock().expect("no thread panics").take();
    shown.expect("a handshake without resumption shows the certificate")
}

/// Accepts every certificate and remembers it.
#[derive(Debug, Default)]
struct AnyCertificate(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.0.lock().expect("no thread panics") = Some(certificate.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
