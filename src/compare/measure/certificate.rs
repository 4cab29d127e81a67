//! The certificate of the contenders that speak TLS, made for one comparison.

use std::io;
use std::path::{Path, PathBuf};

/// A certificate in files, as a server reads it. ECDSA with P-256, because that is what public
/// authorities issue by default.
#[derive(Debug)]
pub(crate) struct TestCertificate {
    der: Vec<u8>,
    directory: PathBuf,
}

impl TestCertificate {
    /// Makes a key and a certificate for it.
    ///
    /// # Errors
    /// The files cannot be written, or this build has no TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn make() -> io::Result<TestCertificate> {
        use std::io::Write;
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let rcgen::CertifiedKey { cert, signing_key } = signed.map_err(io::Error::other)?;
        let name = format!("miniweb-compare-tls-{:016x}", fastrand::u64(..));
        let directory = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let made = TestCertificate { der: cert.der().to_vec(), directory };
        for (file, content) in
            [(made.file(), cert.pem()), (made.key_file(), signing_key.serialize_pem())]
        {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(file)?;
            file.write_all(content.as_bytes())?;
        }
        Ok(made)
    }

    /// # Errors
    /// Always.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn make() -> io::Result<TestCertificate> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this build has no TLS"))
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.directory.join("key.pem")
    }
}

impl Drop for TestCertificate {
    fn drop(&mut self) {
        // A leftover directory does no harm: only the clients of the comparison trust it.
        let _ = std::fs::remove_dir_all::<&Path>(&self.directory);
    }
}
