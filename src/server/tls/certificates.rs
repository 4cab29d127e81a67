//! Which certificate the server has, and how sessions are configured.
//!
//! ```text
//!   --tls-cert, --tls-key ──┐ read, check     ┌─────────────────────┐
//!   --tls-self-signed ──────┴───────────────> │ CurrentCertificate  │──┐
//!            ▲                                └─────────────────────┘  │  ┌──────────────┐
//!            │ looks twice a second                      ▲             ├──│ ServerConfig │
//!            │                               replaces    │             │  └──────────────┘
//!       ┌────┴──────────┐ ───────────────────────────────┘             │  read by each
//!       │ reload thread │               replaces      ┌─────────┐      │  handshake
//!       └───────────────┘ ──────────────────────────> │ Tickets │──────┘
//!                                                     └─────────┘
//! ```
//!
//! Invariants:
//! 1. There is one `ServerConfig` for the life of the server. What changes is behind it.
//! 2. A handshake takes no lock that the reload thread holds, and waits for no file.
//! 3. A pair that cannot be used never replaces one that can.
//! 4. The server stores no session state: a client that resumes a session sends it in its ticket.
//! 5. While the reload thread calls the cryptography library, the process does not fork:
//!    otherwise a child could inherit a held lock of that library.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;

use super::config::{self, CurrentCertificate};
use super::kernel_socket::KernelCiphers;
use super::pair::CertificateFiles;
use super::reload::{ReloadThread, Reloader, Source};
use super::self_signed::SelfSigned;
use super::tickets::Tickets;
use crate::server::sockets::ListenAddress;
use crate::site::ServedFiles;

/// Where the certificate of a server comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSource {
    /// PEM files, which are read again when they change.
    Files {
        /// The certificate, followed by those of intermediate authorities.
        certificate: PathBuf,
        /// Its key, without a passphrase: PKCS#8, SEC1 or PKCS#1.
        key: PathBuf,
    },
    /// A certificate that the server makes for itself, and that no client trusts.
    SelfSigned,
}

/// The certificate of a server, and the keys of its session tickets.
#[derive(Debug)]
pub struct Certificates {
    source: Source,
    current: Arc<CurrentCertificate>,
    tickets: Arc<Tickets>,
    /// Of a self-signed certificate, so that users can recognise it.
    fingerprint: Option<String>,
}

impl Certificates {
    /// Reads the certificate, or makes one for the names of this machine and `addresses`.
    ///
    /// # Errors
    /// A file cannot be read or is among those that are `served`, the key does not match the
    /// certificate, or the certificate has expired.
    pub fn open(
        source: TlsSource,
        addresses: &[ListenAddress],
        served: ServedFiles,
    ) -> io::Result<Certificates> {
        let (source, pair, fingerprint) = match source {
            TlsSource::Files { certificate, key } => {
                let files = CertificateFiles::new(certificate, key, served)?;
                let (source, pair) = Source::open(files).map_err(io::Error::other)?;
                (source, pair, None)
            }
            TlsSource::SelfSigned => {
                let SelfSigned { pair, fingerprint } = SelfSigned::make(addresses)
                    .map_err(|error| io::Error::other(format!("--tls-self-signed: {error}")))?;
                (Source::Memory, pair, Some(fingerprint))
            }
        };
        let current = Arc::new(CurrentCertificate::new(pair));
        let tickets = Tickets::new().map_err(io::Error::other)?;
        Ok(Certificates { source, current, tickets: Arc::new(tickets), fingerprint })
    }

    /// The configuration of every session. The kernel may take over those with its ciphers.
    ///
    /// # Errors
    /// rustls was built without TLS 1.2 or 1.3; the Cargo features in use rule that out.
    pub fn server_config(&self, kernel: KernelCiphers) -> io::Result<Arc<ServerConfig>> {
        config::server_config(self.current.clone(), self.tickets.clone(), kernel)
            .map_err(io::Error::other)
    }

    /// The SHA-256 fingerprint of a self-signed certificate, as browsers show it.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// The files that must stay readable while the server runs.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        self.source.files()
    }

    /// Starts the thread that replaces the certificate and the ticket keys.
    ///
    /// # Errors
    /// EAGAIN: no thread can be started.
    pub fn start_reloading(self) -> io::Result<ReloadThread> {
        Reloader::new(self.source, self.current, self.tickets).start()
    }
}
