//! The steps of `drive` for a client whose output the kernel encrypts (`--kernel-tls`).
//!
//! A session begins in user space (`encrypted.rs`), and the kernel takes over when the next output
//! is a file that would be sent with sendfile without TLS. From then on all output is sent as
//! without TLS. A connection that is sent no such file costs nothing more.
//!
//! The kernel may accept bytes, encrypt them, and find the send buffer full. It keeps such records
//! (two at most) and passes them to TCP when there is space, but it loses them if the connection is
//! closed before, or half-closed. So the last byte of a response counts as sent only once there is
//! space again: then the kernel passes on the records at once, or when the close_notify follows.

use std::ops::Range;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

use super::client::{Client, ReadState, Transport};
use super::encrypted::{Input, RECORD_PROGRESS_BYTES};
use super::tls::{Alert, KernelSession, ReceiveError, prepare_socket, send_alert};
use super::trace_event::TraceEvent;
use super::worker::Worker;
use crate::http::CloseReason;
use crate::syscall_stats::{Call, Event};

/// What a client that has output can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Send it.
    Send,
    /// Report as sent that many bytes, which have been withheld.
    Report(u64),
    /// Wait for space in the send buffer.
    Wait,
}

/// Lets the kernel encrypt the output of a client from now on, if the next output is a file and
/// nothing prevents that. Returns whether it does.
///
/// # Errors
/// Why the connection has to be closed: the session has left user space, and the kernel refuses it.
#[cfg_attr(not(feature = "tls"), allow(unreachable_code, unused_variables))]
pub fn take_over(client: &mut Client, worker: &Worker) -> Result<bool, CloseReason> {
    // Without the option, an output costs one comparison more.
    if worker.kernel_ciphers.is_empty() {
        return Ok(false);
    }
    let Transport::Tls(session) = &mut client.transport else { return Ok(false) };
    let Some((_, range)) = client.connection.output().next_file() else { return Ok(false) };
    let Some(parameters) = session.parameters() else { return Ok(false) };
    if !session.can_leave(worker.kernel_ciphers, range.end - range.start) {
        return Ok(false);
    }
    worker.stats.count(Call::Setsockopt);
    if prepare_socket(&client.socket).is_err() {
        // A Unix socket, for example.
        session.stay();
        return Ok(false);
    }
    let ended = Transport::Kernel(Box::new(KernelSession::ended(parameters)));
    let Transport::Tls(session) = std::mem::replace(&mut client.transport, ended) else {
        return Ok(false);
    };
    let (session, key) = session.into_kernel().map_err(|_| CloseReason::TlsFailed)?;
    worker.stats.count(Call::Setsockopt);
    key.install(&client.socket).map_err(|_| CloseReason::TlsFailed)?;
    client.transport = Transport::Kernel(Box::new(session));
    worker.stats.count_event(Event::KernelTls);
    worker.tracer.trace(client.id, TraceEvent::KernelEncrypts);
    Ok(true)
}

/// Passes received bytes to the session of a client, which must have one.
pub fn receive(client: &mut Client, worker: &mut Worker, range: Range<usize>) -> Input {
    let Transport::Kernel(session) = &mut client.transport else { return Input::Received };
    let received = &mut worker.receive_buffer[range];
    if received.is_empty() || session.is_ended() {
        // The connection parses earlier input again, or discards input after the session's end.
        return Input::Received;
    }
    let records = match session.receive(received, &mut worker.plaintext) {
        Ok(records) => records,
        Err(ReceiveError::KeyUpdate) => {
            client.connection.fail(CloseReason::TlsKeyUsed);
            return Input::None;
        }
        Err(ReceiveError::Invalid { error, reply }) => {
            worker.tracer.trace(client.id, TraceEvent::TlsFails(&error));
            session.end();
            if let Some(alert) = reply {
                tell(client, worker, alert, SendFlags::DONTWAIT);
            }
            client.connection.fail(CloseReason::TlsFailed);
            return Input::None;
        }
    };
    worker.progress += (records * RECORD_PROGRESS_BYTES) as u64;
    if session.has_input_ended() {
        // No event reports the end of the input once more.
        client.read_state = ReadState::ReadClosed;
    }
    if worker.plaintext.is_empty() { Input::None } else { Input::Decrypted }
}

/// What a client can do that has output.
///
/// # Errors
/// Why the connection has to be closed.
pub fn readiness(client: &mut Client, worker: &mut Worker) -> Result<Readiness, CloseReason> {
    let Transport::Kernel(session) = &mut client.transport else { return Ok(Readiness::Send) };
    if session.is_ended() {
        // The kernel may not encrypt what is sent.
        return Err(CloseReason::TlsFailed);
    }
    if session.is_withholding() {
        if !has_space(client, worker) {
            return Ok(Readiness::Wait);
        }
        set_withholding(client, false);
        return Ok(Readiness::Report(1));
    }
    if session.is_key_worn_out() {
        return Err(CloseReason::TlsKeyUsed);
    }
    if session.is_key_worn() {
        client.connection.graceful_shutdown(CloseReason::TlsKeyUsed, worker.clock.now());
    }
    Ok(Readiness::Send)
}

/// Records that the kernel has accepted `sent` bytes. Returns how many of them count as sent.
/// `ends_output`: they are the last that it was offered.
pub fn count_sent(client: &mut Client, worker: &Worker, sent: usize, ends_output: bool) -> u64 {
    let sent_bytes = sent as u64;
    let Transport::Kernel(session) = &mut client.transport else { return sent_bytes };
    session.count_sent(sent);
    // A call on a blocking socket returns when TCP has accepted the records.
    if sent == 0 || !ends_output || worker.is_blocking() || has_space(client, worker) {
        return sent_bytes;
    }
    set_withholding(client, true);
    sent_bytes - 1
}

/// Ends the session of a client before its connection is closed or half-closed: with a
/// close_notify if all responses are complete. If it cannot be sent, the client still sees the FIN.
/// In an event loop there is space for it, because nothing is withheld any more; a blocking socket
/// waits for it like for a response.
pub fn end(client: &mut Client, worker: &Worker) {
    let Transport::Kernel(session) = &mut client.transport else { return };
    if client.connection.output().is_empty() && session.end() {
        let flags = if worker.is_blocking() { SendFlags::empty() } else { SendFlags::DONTWAIT };
        tell(client, worker, Alert::CLOSE_NOTIFY, flags);
    }
}

fn tell(client: &Client, worker: &Worker, alert: Alert, flags: SendFlags) {
    worker.tracer.trace_call(client.id, Call::Sendmsg);
    let sent = send_alert(&client.socket, alert, flags);
    worker.record_transfer(client.id, Call::Sendmsg, sent);
}

fn set_withholding(client: &mut Client, is_withholding: bool) {
    if let Transport::Kernel(session) = &mut client.transport {
        session.set_withholding(is_withholding);
    }
}

/// Whether a third of the send buffer is free, which is when poll(2) reports that: enough for the
/// records that the kernel holds, unless someone has set net.ipv4.tcp_wmem to less than 100 KB. If
/// there is no space, the kernel will report when there is, also to an edge-triggered epoll.
fn has_space(client: &Client, worker: &Worker) -> bool {
    worker.stats.count(Call::Poll);
    let mut sockets = [PollFd::new(&client.socket, PollFlags::OUT)];
    // If it fails, the next call on the socket shows why.
    poll(&mut sockets, Some(&Timespec::default())) != Ok(0)
}
