//! One TLS session, without its socket.
//!
//! ```text
//!   AwaitingHello ──first bytes──> Handshaking ──Finished──> Open ──close_notify received──┐
//!        │                             │                      │                            │
//!        │ an HTTP request             │ invalid records      │ close_notify sent,         v
//!        v                             v                      v or invalid records     PeerClosed
//!   (a plain connection)             Ended <────────────────Ended <────────────────────────┘
//! ```
//!
//! It uses the unbuffered API of rustls: records are decrypted in place in the receive buffer of
//! the worker and encrypted into a buffer of the worker.
//!
//! Invariants:
//! 1. An idle session owns no I/O buffer. It stores only an incomplete record or message, of at
//!    most [`INPUT_BYTES_MAX`], and the records that the socket has not accepted yet.
//! 2. Nothing is encrypted in `Ended`: the last record is a close_notify or a fatal alert.
//! 3. The server sends a close_notify only after a complete response. So a client can tell a
//!    truncated response from a complete one, even without Content-Length.

use std::fmt;
use std::io::IoSlice;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncryptError};
use rustls::{HandshakeKind, ProtocolVersion, SupportedCipherSuite};

use super::kernel_session::{Extracted, KernelSession};
use super::kernel_socket::{KernelCiphers, SendKey};
use super::progress::{RECORD_BYTES_MAX, ReceivedRecords, TlsParameters, TlsProgress};
use super::unsent::Unsent;
use crate::unbuffered_tls::{
    Handled, RECORD_OVERHEAD_BYTES_MAX, encode_message, encrypted_bytes_max, handle,
};

/// What the sessions of a server have in common.
pub type TlsConfig = rustls::ServerConfig;

/// A handshake message may be longer than a record, but no ClientHello that a browser sends is, so
/// a longer one is refused: 8,192 connections of 64 KiB would hold half a gigabyte.
const INPUT_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// A slice of at least this length is encrypted where it is. Shorter ones are gathered first: each
/// record costs as much as copying several kilobytes.
const GATHERED_BYTES_MAX: usize = 4 * 1024;

/// One session.
pub struct TlsSession {
    connection: UnbufferedServerConnection,
    phase: Phase,
    /// The start of an incomplete record or handshake message. It is passed to each call of rustls,
    /// which remembers how much of it is processed.
    input: Vec<u8>,
    unsent: Unsent,
    kernel: KernelSwitch,
}

/// Whether the kernel may take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KernelSwitch {
    /// rustls may hold a KeyUpdate of its own, which it sends with the next output.
    AfterOutput,
    Now,
    Never,
}

/// Larger files need more than one key with AES-GCM, and the kernel cannot change it.
const KERNEL_FILE_BYTES_MAX: u64 = 32 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitingHello,
    Handshaking,
    Open,
    /// The client has sent a close_notify. It may still receive.
    PeerClosed,
    Ended,
}

impl TlsSession {
    /// None if the configuration is invalid.
    pub fn new(config: Arc<TlsConfig>) -> Option<TlsSession> {
        let connection = UnbufferedServerConnection::new(config).ok()?;
        Some(TlsSession {
            connection,
            phase: Phase::AwaitingHello,
            input: Vec::new(),
            unsent: Unsent::default(),
            kernel: KernelSwitch::AfterOutput,
        })
    }

    /// Whether `received` are the first bytes and begin an HTTP request instead of a ClientHello:
    /// with a letter, which no type of a TLS record is.
    pub fn is_plain_http(&self, received: &[u8]) -> bool {
        self.phase == Phase::AwaitingHello && received.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Whether a client has begun a handshake and not completed it.
    pub fn is_handshaking(&self) -> bool {
        self.phase == Phase::Handshaking
    }

    /// Whether the handshake is complete and the session has not ended.
    pub fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::PeerClosed)
    }

    /// Whether the client has sent a close_notify, so that no further input follows.
    pub fn has_input_ended(&self) -> bool {
        self.phase == Phase::PeerClosed
    }

    /// Whether the session is over. What is received then is not decrypted.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// None before the handshake.
    pub fn parameters(&self) -> Option<TlsParameters> {
        let version = match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => return None,
        };
        let suite = self.connection.negotiated_cipher_suite()?;
        Some(TlsParameters { version, cipher: cipher_name(suite) })
    }

    /// Processes received bytes. The decrypted ones replace the content of `plaintext`.
    ///
    /// # Errors
    /// Invalid records, or too long a message. The session has ended; an alert may be unsent.
    pub fn receive(
        &mut self,
        received: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<ReceivedRecords, rustls::Error> {
        plaintext.clear();
        if self.phase == Phase::AwaitingHello {
            self.phase = Phase::Handshaking;
        }
        if self.kernel == KernelSwitch::Now {
            self.kernel = KernelSwitch::AfterOutput;
        }
        let processed = self.process_behind_input(received, plaintext);
        match processed {
            Ok(received) if self.input.len() <= INPUT_BYTES_MAX => Ok(received),
            Ok(_) => {
                self.phase = Phase::Ended;
                Err(rustls::Error::General("a message is too long".to_owned()))
            }
            Err(error) => {
                self.encode_alert();
                self.phase = Phase::Ended;
                Err(error)
            }
        }
    }

    /// Encrypts the first `bytes_max` bytes of `slices` into the unsent batch. Short slices are
    /// copied into `gathered` first, so that they share a record.
    ///
    /// # Errors
    /// The session is not open, or its keys have reached their usage limit.
    pub fn encrypt(
        &mut self,
        slices: &[IoSlice<'_>],
        bytes_max: usize,
        gathered: &mut Vec<u8>,
    ) -> Result<(), EncryptError> {
        let mut left = bytes_max;
        gathered.clear();
        for slice in slices {
            let slice = &slice[..slice.len().min(left)];
            left -= slice.len();
            if slice.len() < GATHERED_BYTES_MAX {
                gathered.extend_from_slice(slice);
                continue;
            }
            self.encrypt_slice(gathered)?;
            gathered.clear();
            self.encrypt_slice(slice)?;
        }
        self.encrypt_slice(gathered)
    }

    /// Ends the session in order, behind the last complete response.
    pub fn close(&mut self) {
        if !self.is_established() {
            return;
        }
        let TlsSession { connection, unsent, input, .. } = self;
        let status = connection.process_tls_records(input);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
            // If this fails, the client sees a FIN without a close_notify: TLS cannot tell that
            // from a truncation attack, but HTTP framing can.
            let _ = unsent
                .append(RECORD_OVERHEAD_BYTES_MAX * 2, 0, |out| traffic.queue_close_notify(out));
        }
        self.phase = Phase::Ended;
    }

    /// Whether the kernel can send what follows, the next part of which is a file: it knows the
    /// cipher, no record is incomplete, and all that is encrypted has been sent.
    pub fn can_leave(&self, ciphers: KernelCiphers, file_bytes: u64) -> bool {
        self.kernel == KernelSwitch::Now
            && self.phase == Phase::Open
            && self.input.is_empty()
            && self.unsent.is_empty()
            && file_bytes <= KERNEL_FILE_BYTES_MAX
            && self.connection.negotiated_cipher_suite().is_some_and(|suite| ciphers.contain(suite))
    }

    /// Keeps the session in user space: its socket is not TCP.
    pub fn stay(&mut self) {
        self.kernel = KernelSwitch::Never;
    }

    /// Leaves sending to the kernel, if [`TlsSession::can_leave`]. Returns the key that it needs.
    ///
    /// # Errors
    /// rustls does not reveal the keys.
    pub fn into_kernel(self) -> Result<(KernelSession, SendKey), rustls::Error> {
        let parameters = self.parameters().ok_or(rustls::Error::HandshakeNotComplete)?;
        let (secrets, connection) = self.connection.dangerous_into_kernel_connection()?;
        KernelSession::new(Extracted {
            connection,
            send: secrets.tx,
            receive: secrets.rx,
            parameters,
        })
    }

    /// What the socket has to accept next.
    pub fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    /// The same, to remove what it has accepted.
    pub fn unsent_mut(&mut self) -> &mut Unsent {
        &mut self.unsent
    }

    fn process_behind_input(
        &mut self,
        received: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<ReceivedRecords, rustls::Error> {
        if self.input.is_empty() {
            let (used, processed) = self.process(received, plaintext);
            self.input.extend_from_slice(&received[used..]);
            return processed;
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(received);
        let (used, processed) = self.process(&mut input, plaintext);
        self.input = input[used..].to_vec();
        processed
    }

    /// Processes complete records. Returns how many bytes they have.
    fn process(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Vec<u8>,
    ) -> (usize, Result<ReceivedRecords, rustls::Error>) {
        let (mut used, mut records, mut messages) = (0, 0, Vec::new());
        let mut take = |content: &[u8]| {
            records += 1;
            plaintext.extend_from_slice(content);
        };
        let processed = loop {
            let status = self.connection.process_tls_records(&mut incoming[used..]);
            let (discard, handled) = handle(status, &mut take, &mut messages);
            used += discard;
            match handled {
                Ok(Handled::More) => {}
                Ok(Handled::PeerClosed) => self.phase = Phase::PeerClosed,
                Ok(Handled::Blocked { .. }) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.unsent.push_message(&messages);
        let received = processed.map(|()| ReceivedRecords { progress: self.progress(), records });
        (used, received)
    }

    fn progress(&mut self) -> TlsProgress {
        if self.phase != Phase::Handshaking {
            return TlsProgress::Unchanged;
        }
        if self.connection.is_handshaking() {
            return TlsProgress::Handshaking;
        }
        self.phase = Phase::Open;
        let resumed = self.connection.handshake_kind() == Some(HandshakeKind::Resumed);
        TlsProgress::Established { resumed }
    }

    /// Encodes the alert about invalid records, and what precedes it. It is the last message:
    /// another call would process the invalid record again.
    fn encode_alert(&mut self) {
        loop {
            let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.connection.process_tls_records(&mut self.input).state
            else {
                return;
            };
            let mut message = Vec::new();
            encode_message(&mut data, &mut message);
            self.unsent.push_message(&message);
            if is_alert(&message) {
                return;
            }
        }
    }

    fn encrypt_slice(&mut self, slice: &[u8]) -> Result<(), EncryptError> {
        if slice.is_empty() {
            return Ok(());
        }
        if self.kernel == KernelSwitch::AfterOutput {
            self.kernel = KernelSwitch::Now;
        }
        let TlsSession { connection, unsent, input, .. } = self;
        let bytes_max = encrypted_bytes_max(slice.len());
        match connection.process_tls_records(input).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                unsent.append(bytes_max, slice.len(), |out| traffic.encrypt(slice, out))
            }
            Ok(_) | Err(_) => Err(EncryptError::EncryptExhausted),
        }
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// TLS 1.3 hides the type of an encrypted record, but no other message is as short as an alert.
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const APPLICATION_DATA: u8 = 23;
    /// Header, level, description, type and tag.
    const ENCRYPTED_ALERT_BYTES: usize = 5 + 2 + 1 + 16;
    match record.first() {
        Some(&ALERT) => true,
        Some(&APPLICATION_DATA) => record.len() == ENCRYPTED_ALERT_BYTES,
        _ => false,
    }
}

/// The name that IANA has registered. rustls names those of TLS 1.3 a little differently.
fn cipher_name(suite: SupportedCipherSuite) -> &'static str {
    let name = suite.suite().as_str().unwrap_or("unknown");
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use rustls::pki_types::ServerName;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, ServerConfig, SupportedProtocolVersion};

    use super::super::config::{CurrentCertificate, server_config};
    use super::super::kernel_session::ReceiveError;
    use super::super::self_signed::SelfSigned;
    use super::super::tickets::Tickets;
    use super::*;

    /// A client and a session that have completed a handshake.
    fn connected(version: &'static SupportedProtocolVersion) -> (ClientConnection, TlsSession) {
        let made = SelfSigned::make(&[]).expect("random bytes");
        let roots = made.roots();
        let tickets = Arc::new(Tickets::new().expect("random bytes"));
        let current = Arc::new(CurrentCertificate::new(made.pair));
        let config = server_config(current, tickets, KernelCiphers::default());
        let mut config: ServerConfig = (*config.expect("the provider has all")).clone();
        config.enable_secret_extraction = true;
        let client = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a valid name");
        let client = ClientConnection::new(Arc::new(client), name).expect("it is valid");
        let session = TlsSession::new(Arc::new(config)).expect("it is valid");
        let mut pair = (client, session);
        while pair.0.is_handshaking() || pair.0.wants_write() {
            let mut sent = records(&mut pair.0);
            pair.1.receive(&mut sent, &mut Vec::new()).expect("the records are valid");
            deliver(&mut pair);
        }
        pair
    }

    /// What the client has to send.
    fn records(client: &mut ClientConnection) -> Vec<u8> {
        let mut records = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut records).expect("memory is writable");
        }
        records
    }

    /// Gives the client what the session has to send.
    fn deliver((client, session): &mut (ClientConnection, TlsSession)) {
        let sent = session.unsent().bytes().to_vec();
        session.unsent_mut().advance(sent.len());
        let mut unread = &sent[..];
        while !unread.is_empty() {
            client.read_tls(&mut unread).expect("memory is readable");
            client.process_new_packets().expect("the records are valid");
        }
        // What is decrypted is not looked at.
        let _ = client.reader().read_to_end(&mut Vec::new());
    }

    fn write(client: &mut ClientConnection, content: &[u8]) -> Vec<u8> {
        client.writer().write_all(content).expect("it is buffered");
        records(client)
    }

    #[test]
    fn input_is_decrypted_in_pieces_of_any_size_after_the_session_has_left_for_the_kernel() {
        for version in [&TLS13, &TLS12] {
            for piece_bytes in [1, 7, 50, 1000] {
                let (mut client, session) = connected(version);
                let (mut session, _) = session.into_kernel().expect("nothing is unsent");
                let mut sent = write(&mut client, b"first");
                sent.extend(write(&mut client, b"second"));
                client.send_close_notify();
                sent.extend(records(&mut client));
                sent.extend([9; 40]);
                let (mut received, mut plaintext) = (Vec::new(), Vec::new());
                for piece in sent.chunks_mut(piece_bytes) {
                    session.receive(piece, &mut plaintext).expect("the records are valid");
                    received.extend_from_slice(&plaintext);
                }
                assert_eq!(received, b"firstsecond");
                assert!(session.has_input_ended());
                assert!(session.end() && !session.end());
            }
        }
    }

    #[test]
    fn a_client_may_change_its_key_but_not_ask_for_another_one() {
        let (mut client, mut session) = connected(&TLS13);
        // The client answers this with a KeyUpdate that requests none.
        let status = session.connection.process_tls_records(&mut []);
        let Ok(ConnectionState::WriteTraffic(traffic)) = status.state else {
            panic!("the handshake is complete");
        };
        traffic.refresh_traffic_keys().expect("TLS 1.3 has that");
        session.receive(&mut [], &mut Vec::new()).expect("it is open");
        assert!(session.unsent().bytes().len() > 20);
        let mut pair = (client, session);
        deliver(&mut pair);
        (client, session) = pair;
        let (mut session, _) = session.into_kernel().expect("nothing is unsent");
        let mut plaintext = Vec::new();
        for _ in 0..3 {
            let mut sent = write(&mut client, b"content");
            session.receive(&mut sent, &mut plaintext).expect("the records are valid");
            assert_eq!(plaintext, b"content");
        }
        client.refresh_traffic_keys().expect("TLS 1.3 has that");
        let mut sent = write(&mut client, b"content");
        let received = session.receive(&mut sent, &mut plaintext);
        assert!(matches!(received, Err(ReceiveError::KeyUpdate)), "{received:?}");
    }

    #[test]
    fn a_record_that_is_forged_replayed_or_of_another_type_is_refused() {
        for version in [&TLS13, &TLS12] {
            let change: [fn(&mut Vec<u8>); 5] = [
                |record| *record.last_mut().expect("it has a tag") ^= 1,
                |record| record[0] = 22,
                |record| record[0] = 20,
                |record| record.extend(record.clone()),
                |record| record[3] = 0xff,
            ];
            for change in change {
                let (mut client, session) = connected(version);
                let (mut session, _) = session.into_kernel().expect("nothing is unsent");
                let mut sent = write(&mut client, b"content");
                change(&mut sent);
                let received = session.receive(&mut sent, &mut Vec::new());
                let is_refused =
                    matches!(received, Err(ReceiveError::Invalid { reply: Some(_), .. }));
                assert!(is_refused, "{received:?}");
            }
        }
    }

    #[test]
    fn a_key_is_not_used_for_more_records_than_its_cipher_allows() {
        let (_, session) = connected(&TLS12);
        let (mut session, _) = session.into_kernel().expect("nothing is unsent");
        // AES-GCM allows 2^24 records, none of which is shorter than 4 KiB in a long file.
        for _ in 0..64 {
            assert!(!session.is_key_worn());
            session.count_sent(512 << 20);
        }
        assert!(session.is_key_worn() && !session.is_key_worn_out());
        for _ in 0..64 {
            session.count_sent(512 << 20);
        }
        assert!(session.is_key_worn_out());
    }
}
