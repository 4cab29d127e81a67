//! TLS (RFC 8446, RFC 5246) in front of a connection. rustls does the protocol, without sockets.
//!
//! | module | responsibility |
//! |---|---|
//! | `session`, `unsent`, `progress` | one session, between a socket and a [`Connection`] |
//! | `kernel_session`, `kernel_socket` | the rest of a session whose output the kernel encrypts |
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
mod kernel_session;
#[cfg(feature = "tls")]
mod kernel_socket;
#[cfg(feature = "tls")]
mod pair;
mod progress;
#[cfg(feature = "tls")]
mod reload;
#[cfg(feature = "tls")]
mod self_signed;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod tickets;
mod unsent;

pub use progress::{RECORD_BYTES_MAX, ReceivedRecords, TlsParameters, TlsProgress};

#[cfg(not(feature = "tls"))]
pub use absent::{
    Alert, Certificates, KernelCiphers, KernelSession, ReceiveError, TlsConfig, TlsSession,
    TlsSource, prepare_socket, send_alert,
};
#[cfg(feature = "tls")]
pub use certificates::{Certificates, TlsSource};
#[cfg(feature = "tls")]
pub use kernel_session::{KernelSession, ReceiveError};
#[cfg(feature = "tls")]
pub use kernel_socket::{Alert, KernelCiphers, prepare_socket, send_alert};
#[cfg(feature = "tls")]
pub use session::{TlsConfig, TlsSession};
