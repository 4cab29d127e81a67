//! What remains of a session once the kernel encrypts what it sends: it decrypts what it receives.
//!
//! ```text
//!   TlsSession ──its next output is a file──> Open ──close_notify received──> PeerClosed
//!                                              │                                  │
//!                                              │ close_notify sent, invalid       │
//!                                              │ records, or a KeyUpdate          v
//!                                              └────────────────────────────────> Ended
//! ```
//!
//! Only sending is left to the kernel. Requests are short, so there is little to gain from its
//! decryption, and much to lose: it reports a record only when all of it has arrived, knows no
//! KeyUpdate before Linux 6.14, and parses what an attacker sends. So input keeps its limits, and a
//! client may begin a record before the switch and complete it afterwards.
//!
//! Invariants:
//! 1. An idle session stores only an incomplete record, of at most [`RECORD_BYTES_MAX`].
//! 2. The kernel gets no record to encrypt once the cipher's limit for one key may be reached.

use std::fmt;

use rustls::crypto::cipher::{InboundOpaqueMessage, MessageDecrypter};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, PeerMisbehaved,
    ProtocolVersion, SupportedCipherSuite,
};

use super::kernel_socket::{Alert, SendKey};
use super::progress::{RECORD_BYTES_MAX, TlsParameters};

/// The type, the version and the length of a record.
const HEADER_BYTES: usize = 5;

/// How many warnings a client of TLS 1.2 may send, as in rustls.
const WARNINGS_MAX: u8 = 4;

/// The kernel fills records of 16 KiB, but closes one early when memory is short, by pages.
const RECORD_BYTES_MIN: u64 = 4096;

/// One session.
pub struct KernelSession {
    state: State,
    parameters: TlsParameters,
    /// No fewer than the kernel has encrypted with the present key.
    records_sent: u64,
    /// How many one key may encrypt.
    records_max: u64,
    /// Whether the last byte of a response is not reported to the connection yet.
    is_withholding: bool,
}

enum State {
    Open(Box<Receiver>),
    /// The client has sent a close_notify. It may still receive.
    PeerClosed,
    Ended,
}

/// Decrypts records.
struct Receiver {
    connection: KernelConnection<ServerConnectionData>,
    decrypter: Box<dyn MessageDecrypter>,
    /// The number of the next record.
    sequence: u64,
    /// The start of an incomplete record.
    input: Vec<u8>,
    warnings_left: u8,
}

/// Why a session cannot go on.
#[derive(Debug)]
pub enum ReceiveError {
    /// What was received is invalid, or an alert. The client is told by `reply`.
    Invalid { error: Error, reply: Option<Alert> },
    /// The client asks for a new key to be sent with, which kernels before Linux 6.14 refuse.
    KeyUpdate,
}

/// What a record means besides its content.
enum Handled {
    Content,
    PeerClosed,
}

/// What a session of rustls consists of, and the parameters of both directions.
pub struct Extracted {
    pub connection: KernelConnection<ServerConnectionData>,
    pub send: (u64, ConnectionTrafficSecrets),
    pub receive: (u64, ConnectionTrafficSecrets),
    pub parameters: TlsParameters,
}

impl KernelSession {
    /// Continues a session of rustls. Returns the key that the kernel needs.
    ///
    /// # Errors
    /// A cipher that the kernel does not know.
    pub fn new(extracted: Extracted) -> Result<(KernelSession, SendKey), Error> {
        let Extracted { connection, send: (sent, secrets), receive, parameters } = extracted;
        let (suite, version) =
            (connection.negotiated_cipher_suite(), connection.protocol_version());
        let key = SendKey::new(version, sent, &secrets).ok_or(Error::EncryptError)?;
        let receiver = Receiver {
            decrypter: decrypter(suite, receive.1)?,
            sequence: receive.0,
            connection,
            input: Vec::new(),
            warnings_left: WARNINGS_MAX,
        };
        let session = KernelSession {
            state: State::Open(Box::new(receiver)),
            parameters,
            records_sent: sent,
            records_max: confidentiality_limit(suite),
            is_withholding: false,
        };
        Ok((session, key))
    }

    /// A session that has ended before it began.
    pub fn ended(parameters: TlsParameters) -> KernelSession {
        KernelSession {
            state: State::Ended,
            parameters,
            records_sent: 0,
            records_max: 0,
            is_withholding: false,
        }
    }

    pub fn parameters(&self) -> TlsParameters {
        self.parameters
    }

    /// Whether the client has sent a close_notify, so that no further input follows.
    pub fn has_input_ended(&self) -> bool {
        matches!(self.state, State::PeerClosed)
    }

    /// Whether the session is over. What is received then is not decrypted.
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Ends the session. Returns whether it was open until now.
    pub fn end(&mut self) -> bool {
        !matches!(std::mem::replace(&mut self.state, State::Ended), State::Ended)
    }

    /// Whether the last byte of a response is not reported to the connection yet.
    #[inline]
    pub fn is_withholding(&self) -> bool {
        self.is_withholding
    }

    pub fn set_withholding(&mut self, is_withholding: bool) {
        self.is_withholding = is_withholding;
    }

    /// Counts what the kernel has accepted in one call.
    pub fn count_sent(&mut self, bytes: usize) {
        self.records_sent += bytes as u64 / RECORD_BYTES_MIN + 1;
    }

    /// Whether half of what one key may encrypt is used up.
    pub fn is_key_worn(&self) -> bool {
        self.records_sent > self.records_max / 2
    }

    /// Whether the key must not be used any more.
    pub fn is_key_worn_out(&self) -> bool {
        self.records_sent >= self.records_max
    }

    /// Processes received bytes. The decrypted ones replace the content of `plaintext`. Returns how
    /// many records they were in.
    ///
    /// # Errors
    /// The session cannot go on.
    pub fn receive(
        &mut self,
        received: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<usize, ReceiveError> {
        plaintext.clear();
        let State::Open(receiver) = &mut self.state else { return Ok(0) };
        let (records, handled) = receiver.receive(received, plaintext)?;
        if let Handled::PeerClosed = handled {
            self.state = State::PeerClosed;
        }
        Ok(records)
    }
}

impl Receiver {
    fn receive(
        &mut self,
        received: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(usize, Handled), ReceiveError> {
        if self.input.is_empty() {
            let (used, records, handled) = self.process(received, plaintext)?;
            self.input.extend_from_slice(&received[used..]);
            return Ok((records, handled));
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(received);
        let (used, records, handled) = self.process(&mut input, plaintext)?;
        self.input = input[used..].to_vec();
        Ok((records, handled))
    }

    /// Processes complete records. Returns how many bytes they have, and how many they are.
    fn process(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(usize, usize, Handled), ReceiveError> {
        let (mut used, mut records) = (0, 0);
        while let Some(length) = record_length(&incoming[used..])? {
            let record = &mut incoming[used..used + length];
            let handled = self.process_record(record, plaintext)?;
            used += length;
            records += 1;
            if let Handled::PeerClosed = handled {
                return Ok((used, records, handled));
            }
        }
        Ok((used, records, Handled::Content))
    }

    fn process_record(
        &mut self,
        record: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<Handled, ReceiveError> {
        let (header, payload) = record.split_at_mut(HEADER_BYTES);
        let kind = ContentType::from(header[0]);
        let version = ProtocolVersion::from(u16::from_be_bytes([header[1], header[2]]));
        // In TLS 1.3 the real type is encrypted.
        if self.is_tls13() && kind != ContentType::ApplicationData {
            return Err(unexpected());
        }
        let message = InboundOpaqueMessage::new(kind, version, payload);
        let message = self.decrypter.decrypt(message, self.sequence).map_err(undecryptable)?;
        self.sequence += 1;
        match message.typ {
            ContentType::ApplicationData => {
                plaintext.extend_from_slice(message.payload);
                Ok(Handled::Content)
            }
            ContentType::Alert => match *message.payload {
                [level, description] => self.process_alert(level, description.into()),
                _ => Err(unexpected()),
            },
            ContentType::Handshake if self.is_tls13() => match *message.payload {
                [KEY_UPDATE, 0, 0, 1, UPDATE_NOT_REQUESTED] => self.update_receive_key(),
                [KEY_UPDATE, 0, 0, 1, UPDATE_REQUESTED] => Err(ReceiveError::KeyUpdate),
                _ => Err(unexpected()),
            },
            ContentType::Handshake => Err(ReceiveError::Invalid {
                error: Error::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests),
                reply: Some(Alert::Warning(AlertDescription::NoRenegotiation)),
            }),
            _ => Err(unexpected()),
        }
    }

    fn process_alert(
        &mut self,
        level: u8,
        description: AlertDescription,
    ) -> Result<Handled, ReceiveError> {
        const WARNING: u8 = 1;
        if description == AlertDescription::CloseNotify {
            return Ok(Handled::PeerClosed);
        }
        let is_ignored =
            level == WARNING && (!self.is_tls13() || description == AlertDescription::UserCanceled);
        match self.warnings_left.checked_sub(1) {
            Some(left) if is_ignored => {
                self.warnings_left = left;
                Ok(Handled::Content)
            }
            _ => {
                let error = Error::AlertReceived(description);
                Err(ReceiveError::Invalid { error, reply: None })
            }
        }
    }

    fn update_receive_key(&mut self) -> Result<Handled, ReceiveError> {
        let suite = self.connection.negotiated_cipher_suite();
        let updated = self.connection.update_rx_secret();
        let (sequence, decrypter) = updated
            .and_then(|(sequence, secrets)| Ok((sequence, decrypter(suite, secrets)?)))
            .map_err(|error| ReceiveError::Invalid { error, reply: None })?;
        (self.sequence, self.decrypter) = (sequence, decrypter);
        Ok(Handled::Content)
    }

    fn is_tls13(&self) -> bool {
        self.connection.protocol_version() == ProtocolVersion::TLSv1_3
    }
}

/// The type of the only handshake message that a client may send in an open session of TLS 1.3.
const KEY_UPDATE: u8 = 24;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;

/// The length of the first record, with its header. None if it is incomplete.
fn record_length(bytes: &[u8]) -> Result<Option<usize>, ReceiveError> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = HEADER_BYTES + usize::from(u16::from_be_bytes([header[3], header[4]]));
    match length {
        _ if length > RECORD_BYTES_MAX => Err(undecryptable(Error::PeerSentOversizedRecord)),
        _ if length > bytes.len() => Ok(None),
        _ => Ok(Some(length)),
    }
}

fn decrypter(
    suite: SupportedCipherSuite,
    secrets: ConnectionTrafficSecrets,
) -> Result<Box<dyn MessageDecrypter>, Error> {
    let (key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => return Err(Error::DecryptError),
    };
    Ok(match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let length = suite.aead_alg.key_block_shape().fixed_iv_len;
            suite.aead_alg.decrypter(key, &iv.as_ref()[..length])
        }
    })
}

fn confidentiality_limit(suite: SupportedCipherSuite) -> u64 {
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
        SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
    }
}

fn unexpected() -> ReceiveError {
    ReceiveError::Invalid {
        error: Error::InvalidMessage(InvalidMessage::InvalidContentType),
        reply: Some(Alert::Fatal(AlertDescription::UnexpectedMessage)),
    }
}

fn undecryptable(error: Error) -> ReceiveError {
    let description = match error {
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::DecryptError => AlertDescription::BadRecordMac,
        _ => AlertDescription::UnexpectedMessage,
    };
    ReceiveError::Invalid { error, reply: Some(Alert::Fatal(description)) }
}

impl fmt::Debug for KernelSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Open(_) => "Open",
            State::PeerClosed => "PeerClosed",
            State::Ended => "Ended",
        };
        f.debug_struct("KernelSession").field("state", &state).finish_non_exhaustive()
    }
}
