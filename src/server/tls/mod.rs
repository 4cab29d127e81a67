//! TLS (RFC 8446, RFC 5246) in front of a connection. rustls does the protocol, without sockets.
//!
//! | module | responsibility |
//! |---|---|
//! | `session`, `unsent` | one session, between the bytes of a socket and those of a [`Connection`] |
//! | `certificates` and the others | which certificate the server has |
//! | `absent` | in place of all others in a build without the feature `tls` |
//!
//! rustls is used with aws-lc-rs. ring is smaller and builds faster, but its P-256 and AES-GCM are
//! slower, its RSA takes twice as long, and it has no ML-KEM.
//!
//! [`Connection`]: crate::http::Connection

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls")]
mod pair;
#[cfg(feature = "tls")]
mod reload;
#[cfg(feature = "tls")]
mod self_signed;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod tickets;
mod unsent;

#[cfg(not(feature = "tls"))]
pub use absent::{Certificates, TlsConfig, TlsSession, TlsSource};
#[cfg(feature = "tls")]
pub use certificates::{Certificates, TlsSource};
#[cfg(feature = "tls")]
pub use session::{TlsConfig, TlsSession};

/// What client and server have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsParameters {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// The name that IANA has registered.
    pub cipher: &'static str,
}

/// The longest record (RFC 8446 section 5.2: 2^14 + 256 bytes, and TLS 1.2 allows 2^14 + 2048), with
/// its header.
pub const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// What received bytes have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsProgress {
    /// The handshake goes on.
    Handshaking,
    /// The handshake is complete, with or without a ticket of an earlier session.
    Established { resumed: bool },
    /// Nothing.
    Unchanged,
}
