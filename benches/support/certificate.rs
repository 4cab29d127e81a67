//! The certificate of all servers that a bench measures over TLS.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use tempfile::TempDir;

/// A certificate and its key in files, as servers read them.
pub struct TestCertificate {
    pub der: Vec<u8>,
    directory: TempDir,
}

/// What signs a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    P256,
    Rsa2048,
}

impl TestCertificate {
    pub fn make(kind: KeyKind) -> io::Result<TestCertificate> {
        let key = match kind {
            KeyKind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        let key = key.map_err(io::Error::other)?;
        let parameters = CertificateParams::new(["localhost".to_owned()]);
        let signed = parameters.and_then(|parameters| parameters.self_signed(&key));
        let certificate = signed.map_err(io::Error::other)?;
        let directory = tempfile::tempdir()?;
        let made = TestCertificate { der: certificate.der().to_vec(), directory };
        fs::write(made.file(), certificate.pem())?;
        let mut private = File::options();
        let private = private.write(true).create_new(true).mode(0o600).open(made.key_file());
        private?.write_all(key.serialize_pem().as_bytes())?;
        Ok(made)
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// The options of miniweb.
    pub fn options(&self) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        vec!["--tls-cert".into(), path(self.file()), "--tls-key".into(), path(self.key_file())]
    }
}
