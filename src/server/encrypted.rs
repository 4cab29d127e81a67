//! The steps of `drive` for a client whose records are encrypted in user space.
//!
//! Files cannot be sent with sendfile: they are read into a buffer of the worker and encrypted from
//! there. Everything else, what is received, in which order responses leave, and when the
//! connection ends, is decided as without TLS.

use std::io::IoSlice;
use std::ops::Range;

use arrayvec::ArrayVec;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::client::{Client, ReadState, Transport};
use super::tls::{ReceivedRecords, TlsProgress};
use super::trace_event::TraceEvent;
use super::worker::Worker;
use crate::http::{CloseReason, Transmit};
use crate::site::Service;
use crate::syscall_stats::{Call, Event};

/// How much is encrypted for one write: enough that the system call costs little compared with the
/// encryption, but little enough to bound the memory that clients that do not read can hold.
const BATCH_BYTES_MAX: usize = 64 * 1024;
const SLICES_MAX: usize = 64;

/// How many bytes of progress a received record counts for in a turn, even if it contains one byte:
/// decrypting a record takes about as long as sending this much.
pub const RECORD_PROGRESS_BYTES: usize = 1024;

/// Where the input for the connection is.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// In the receive buffer.
    Received,
    /// In the worker's buffer for plaintext.
    Decrypted,
    None,
}

/// What one write has sent.
#[derive(Clone, Copy, Debug)]
pub struct SentRecords {
    pub bytes: usize,
    pub response_bytes: u64,
}

/// Passes received bytes to the session of a client, which must have one.
pub fn receive(client: &mut Client, worker: &mut Worker, range: Range<usize>) -> Input {
    let Transport::Tls(session) = &mut client.transport else { return Input::Received };
    let received = &mut worker.receive_buffer[range];
    if received.is_empty() || session.is_ended() {
        // The connection parses earlier input again, or discards input after the session's end.
        return Input::Received;
    }
    if session.is_plain_http(received) {
        client.transport = Transport::Plain(Service::HttpsRequired);
        client.connection.graceful_shutdown(CloseReason::HttpsRequired, worker.clock.now());
        return Input::Received;
    }
    let was_established = session.is_established();
    let received = session.receive(received, &mut worker.plaintext);
    let ReceivedRecords { progress, records } = match received {
        Ok(received) => received,
        Err(error) => {
            worker.tracer.trace(client.id, TraceEvent::TlsFails(&error));
            if !was_established {
                worker.stats.count_event(Event::HandshakeFailed);
            }
            client.connection.fail(CloseReason::TlsFailed);
            return Input::None;
        }
    };
    if let TlsProgress::Established { resumed } = progress {
        worker.stats.count_event(if resumed { Event::Resumed } else { Event::Handshake });
        if let Some(parameters) = session.parameters() {
            worker.tracer.trace(client.id, TraceEvent::TlsBegins { parameters, resumed });
        }
    }
    if progress != TlsProgress::Unchanged {
        worker.handshake_steps += 1;
    }
    worker.progress += (records * RECORD_PROGRESS_BYTES) as u64;
    if session.has_input_ended() {
        // No event reports the end of the input once more.
        client.read_state = ReadState::ReadClosed;
    }
    if worker.plaintext.is_empty() { Input::None } else { Input::Decrypted }
}

/// Whether a part of a response is encrypted and waits for the socket.
#[inline]
pub fn has_unsent_response(client: &Client) -> bool {
    match &client.transport {
        Transport::Plain(_) | Transport::Kernel(_) => false,
        Transport::Tls(session) => session.unsent().has_response(),
    }
}

/// Encrypts the next output.
///
/// # Errors
/// Why the connection has to be closed.
pub fn encrypt(client: &mut Client, worker: &mut Worker) -> Result<(), CloseReason> {
    let Client { transport: Transport::Tls(session), connection, .. } = client else {
        return Ok(());
    };
    let mut slices = ArrayVec::<_, SLICES_MAX>::new();
    let encrypted = match connection.output().next_transmit(&mut slices) {
        Transmit::Empty => return Ok(()),
        Transmit::Memory { .. } => session.encrypt(&slices, BATCH_BYTES_MAX, &mut worker.plaintext),
        Transmit::File { file, range } => {
            let length = (range.end - range.start).min(BATCH_BYTES_MAX as u64) as usize;
            worker.file_bytes.resize(BATCH_BYTES_MAX, 0);
            worker.stats.count(Call::Read);
            let bytes = &mut worker.file_bytes[..length];
            match rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut *bytes, range.start)) {
                Ok(0) => return Err(CloseReason::FileTruncated),
                Ok(read) => {
                    let slice = [IoSlice::new(&bytes[..read])];
                    session.encrypt(&slice, BATCH_BYTES_MAX, &mut worker.plaintext)
                }
                Err(_) => return Err(CloseReason::Failed),
            }
        }
    };
    encrypted.map_err(|_| CloseReason::TlsFailed)
}

/// Writes encrypted bytes once.
///
/// # Errors
/// Those of send(2).
pub fn send(
    client: &mut Client,
    worker: &Worker,
    flags: SendFlags,
) -> rustix::io::Result<SentRecords> {
    let Transport::Tls(session) = &mut client.transport else { return Err(Errno::INVAL) };
    worker.tracer.trace_call(client.id, Call::Send);
    let sent =
        rustix::net::send(&client.socket, session.unsent().bytes(), SendFlags::NOSIGNAL | flags);
    worker.record_transfer(client.id, Call::Send, sent);
    let bytes = sent?;
    Ok(SentRecords { bytes, response_bytes: session.unsent_mut().advance(bytes) })
}

/// Ends the session of a client, if it has one, before its connection is closed or half-closed:
/// with a close_notify if all responses are complete. One non-blocking attempt to send it is
/// enough: if it fails, the client still sees the FIN.
pub fn end(client: &mut Client, worker: &Worker) {
    let Transport::Tls(session) = &mut client.transport else { return };
    if session.is_handshaking() {
        worker.stats.count_event(Event::HandshakeFailed);
    }
    if client.connection.output().is_empty() && session.unsent().is_empty() {
        session.close();
    }
    if !session.unsent().is_empty() && !session.unsent().has_response() {
        let _ = send(client, worker, SendFlags::DONTWAIT);
    }
}
