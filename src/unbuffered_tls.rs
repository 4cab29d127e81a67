//! How a TLS session uses the unbuffered API of rustls: what the sessions of the server and of the
//! load generator have in common.
//!
//! rustls reports one state after the other, and each has to be handled before the next.

use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

/// How much longer than its content a record can be, in any cipher suite: header, nonce, type, tag.
pub const RECORD_OVERHEAD_BYTES_MAX: usize = 64;
const RECORD_CONTENT_BYTES_MAX: usize = 16 * 1024;

/// Space for a KeyUpdate message, which rustls may put in front of a record.
const KEY_UPDATE_BYTES_MAX: usize = 128;

/// What follows a state that has been handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Another state.
    More,
    /// Another state. The peer has sent a close_notify.
    PeerClosed,
    /// Nothing, until more is received. `is_open`: whether content may be encrypted now.
    Blocked { is_open: bool },
}

/// Handles a state: passes content that was decrypted to `take`, and appends messages of TLS to
/// `messages`. Returns how many bytes of the input are used up.
pub fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    take: &mut dyn FnMut(&[u8]),
    messages: &mut Vec<u8>,
) -> (usize, Result<Handled, rustls::Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let handled = match state {
        Err(error) => return (discard, Err(error)),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        take(record.payload);
                    }
                    Err(error) => return (0, Err(error)),
                }
            }
            Handled::More
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            encode_message(&mut data, messages);
            Handled::More
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Handled::More
        }
        Ok(ConnectionState::PeerClosed) => Handled::PeerClosed,
        Ok(ConnectionState::WriteTraffic(_)) => Handled::Blocked { is_open: true },
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
            Handled::Blocked { is_open: false }
        }
        // Early data, which no configuration allows, or a state of a later version.
        Ok(_) => return (0, Err(rustls::Error::General("unexpected state".to_owned()))),
    };
    (discard, Ok(handled))
}

/// Appends a message of TLS.
pub fn encode_message<Data>(data: &mut EncodeTlsData<'_, Data>, messages: &mut Vec<u8>) {
    // rustls tells the length of a message only if the buffer is too short.
    let length = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(error)) => error.required_size,
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return,
    };
    let start = messages.len();
    messages.resize(start + length, 0);
    let encoded = data.encode(&mut messages[start..]);
    encoded.expect("the buffer has the length that rustls has asked for");
}

/// The space that the encryption of `content_bytes` needs at most.
pub fn encrypted_bytes_max(content_bytes: usize) -> usize {
    let records = content_bytes / RECORD_CONTENT_BYTES_MAX + 1;
    content_bytes + records * RECORD_OVERHEAD_BYTES_MAX + KEY_UPDATE_BYTES_MAX
}
