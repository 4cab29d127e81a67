//! A certificate chain and its key, read from PEM files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};

use crate::server::sys;
use crate::site::{FileVersion, PrivateFile, ServedFiles, private_file_version};

/// The files of `--tls-cert` and `--tls-key`.
#[derive(Debug)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    served: ServedFiles,
}

/// What is at the two paths: a version each, or the error of stat(2).
pub type Versions = [Result<FileVersion, Errno>; 2];

/// A pair that can be used.
#[derive(Debug)]
pub struct LoadedPair {
    pub pair: CertifiedKey,
    /// None if the files may still change while their versions stay the same.
    pub versions: Option<Versions>,
    /// Problems to report although the pair is usable.
    pub warnings: Vec<String>,
}

const CERTIFICATE_OPTION: &str = "--tls-cert";
const KEY_OPTION: &str = "--tls-key";

impl CertificateFiles {
    /// # Errors
    /// The working directory is not known.
    pub fn new(certificate: PathBuf, key: PathBuf, served: ServedFiles) -> io::Result<Self> {
        let certificate = std::path::absolute(certificate)?;
        Ok(CertificateFiles { certificate, key: std::path::absolute(key)?, served })
    }

    /// Each option with its path.
    pub fn paths(&self) -> [(&'static str, PathBuf); 2] {
        [(CERTIFICATE_OPTION, self.certificate.clone()), (KEY_OPTION, self.key.clone())]
    }

    /// What is at the paths now.
    pub fn versions(&self) -> Versions {
        [private_file_version(&self.certificate), private_file_version(&self.key)]
    }

    /// Reads and checks both files.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub fn load(&self) -> Result<LoadedPair, String> {
        let about_certificate = |reason| about(CERTIFICATE_OPTION, &self.certificate, reason);
        let about_key = |reason| about(KEY_OPTION, &self.key, reason);
        let read = |path| PrivateFile::read(path, &self.served);
        let certificate_file = read(&self.certificate).map_err(about_certificate)?;
        let key_file = read(&self.key).map_err(about_key)?;
        let now = SystemTime::now();
        let versions = certificate_file.version_as_of(now).zip(key_file.version_as_of(now));
        // Taken only after the files are read: a disk that does not respond must not block forks
        // and so new connections.
        let _no_fork = sys::exclude_fork();
        let chain = parse_chain(&certificate_file.content).map_err(about_certificate)?;
        let key = parse_key(&key_file.content).map_err(about_key)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let pair = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => about_key(format!(
                "the private key does not match the certificate of {CERTIFICATE_OPTION} {}",
                self.certificate.display()
            )),
            Error::InvalidCertificate(error) => about_certificate(unusable_certificate(&error)),
            other => about_key(unusable_key(&other)),
        })?;
        let mut warnings = Vec::from_iter(key_file.mode_warning(KEY_OPTION, &self.key));
        match Validity::of(&pair, &provider, now) {
            Validity::Present => {}
            Validity::Past(end) => {
                let end = httpdate::fmt_http_date(end);
                return Err(about_certificate(format!("the certificate has expired: {end}")));
            }
            Validity::Future(start) => warnings.push(about_certificate(format!(
                "the certificate is not valid before {}",
                httpdate::fmt_http_date(start)
            ))),
        }
        Ok(LoadedPair { pair, versions: versions.map(|(a, b)| [Ok(a), Ok(b)]), warnings })
    }
}

/// Whether a certificate is valid at a given time.
#[derive(Debug, PartialEq, Eq)]
pub enum Validity {
    Present,
    /// It ended at this time.
    Past(SystemTime),
    /// It begins at this time.
    Future(SystemTime),
}

impl Validity {
    /// The chain is not verified, because the server need not know the authorities that its clients
    /// trust. rustls checks the validity period before it looks for an issuer. With no trust root,
    /// verification always fails; if the period is what is wrong, it fails with that error.
    pub fn of(pair: &CertifiedKey, provider: &CryptoProvider, now: SystemTime) -> Validity {
        let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
        let algorithms = provider.signature_verification_algorithms.all;
        let no_issuer = RootCertStore::empty();
        let certificate = pair.end_entity_cert().and_then(ParsedCertificate::try_from);
        let verified = certificate.and_then(|certificate| {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &no_issuer,
                &[],
                now,
                algorithms,
            )
        });
        let time = |time: UnixTime| UNIX_EPOCH + Duration::from_secs(time.as_secs());
        match verified {
            Err(Error::InvalidCertificate(error)) => match error {
                CertificateError::ExpiredContext { not_after, .. } => {
                    Validity::Past(time(not_after))
                }
                CertificateError::NotValidYetContext { not_before, .. } => {
                    Validity::Future(time(not_before))
                }
                _ => Validity::Present,
            },
            _ => Validity::Present,
        }
    }
}

fn parse_chain(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unusable_pem(&pem::Error::NoItemsFound, CERTIFICATE)),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable_pem(&error, CERTIFICATE)),
    }
}

/// The first key of a file, which may also have certificates and parameters of curves.
fn parse_key(content: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    const ENCRYPTED: [&[u8]; 2] =
        [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    if ENCRYPTED.iter().any(|mark| memchr::memmem::find(content, mark).is_some()) {
        return Err("the key is encrypted: expected one without a passphrase".to_owned());
    }
    PrivateKeyDer::from_pem_slice(content).map_err(|error| unusable_pem(&error, KEY))
}

const CERTIFICATE: &str = "PEM with -----BEGIN CERTIFICATE-----";
const KEY: &str = "PEM with a private key in PKCS#8, SEC1 or PKCS#1";

/// Without the text of the error, which may quote a line of the key.
fn unusable_pem(error: &pem::Error, expected: &str) -> String {
    let problem = match error {
        pem::Error::NoItemsFound => "nothing usable found",
        pem::Error::MissingSectionEnd { .. } => "incomplete, without the line -----END",
        _ => "malformed",
    };
    format!("{problem}: expected {expected}")
}

fn unusable_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::BadEncoding => "invalid certificate: expected X.509 in DER".to_owned(),
        _ => "unsupported certificate: expected X.509 version 3".to_owned(),
    }
}

fn unusable_key(error: &Error) -> String {
    let expected = "expected RSA of at least 2048 bits, ECDSA (P-256, P-384, P-521) or Ed25519";
    match error {
        Error::General(_) => format!("invalid or unsupported key: {expected}"),
        other => format!("{other}: {expected}"),
    }
}

fn about(option: &str, path: &Path, reason: String) -> String {
    format!("{option} {}: {reason}", path.display())
}
