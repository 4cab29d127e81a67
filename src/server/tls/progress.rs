//! What a session tells about itself, with or without the feature `tls`.

/// What client and server have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsParameters {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// The name that IANA has registered.
    pub cipher: &'static str,
}

/// The longest record (RFC 8446 section 5.2: 2^14 + 256 bytes, and TLS 1.2 allows 2^14 + 2048),
/// with its header.
pub const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// What was received.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedRecords {
    pub progress: TlsProgress,
    /// How many records the plaintext was in.
    pub records: usize,
}

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
