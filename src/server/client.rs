//! One client: its socket, its protocol state, and what it waits for.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::connection_limit::ConnectionPermit;
use super::cork::Cork;
use super::offload::{Completion, JobGuard};
use super::proxy_header::ProxyHeader;
use super::tls::{KernelSession, RECORD_BYTES_MAX, TlsParameters, TlsSession};
use super::tracer::ConnectionId;
use crate::http::{CloseReason, Connection, Now, Output, Step};
use crate::site::{self, ClientNetwork, Service};

/// A turn without TLS ends with the step that reaches this many bytes, received and sent together:
/// few enough that the other clients do not wait for the end of a large file, and enough that a
/// turn costs little more than its `sendfile`.
pub const TURN_BYTES_MAX: u64 = 1024 * 1024;

/// An accepted connection with everything that belongs to it.
#[derive(Debug)]
pub struct Client {
    pub id: ConnectionId,
    /// The key in the event loop's slab; 0 where there is no slab.
    pub slab_key: usize,
    /// What is known about unread input. The strategy sets it, a `recv` that drains the socket
    /// clears it.
    pub read_state: ReadState,
    pub connection: Connection<site::File>,
    pub transport: Transport,
    /// Shared with threads that shut it down to wake a thread that sleeps in it.
    pub socket: Arc<OwnedFd>,
    /// The address of the peer, or the one that its PROXY header names. It may be a proxy.
    pub address: Option<IpAddr>,
    pub proxy_header: ProxyHeader,
    pub permit: ConnectionPermit,
    pub pending_job: PendingJob,
    /// Whether an event loop has it in its turn queue.
    pub is_queued: bool,
    pub cork: Cork,
}

/// How the bytes of a connection are carried over its socket.
#[derive(Debug)]
pub enum Transport {
    /// As they are.
    Plain(Service),
    /// Encrypted in user space. Boxed, because most servers have no TLS.
    Tls(Box<TlsSession>),
    /// Encrypted by the kernel. What is received is decrypted in user space.
    Kernel(Box<KernelSession>),
}

/// What the access log tells about a client.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: Option<IpAddr>,
    pub tls: Option<TlsParameters>,
}

/// What is known about unread input of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// The last `recv` emptied the socket; nothing is known to have arrived since.
    Drained,
    /// There may be input. A `recv` that fills less than its buffer takes the last of it.
    MaybeReadable,
    /// The peer has closed its side. A short `recv` does not show that, so the socket is read until
    /// `recv` returns 0.
    ReadClosed,
}

/// The offloaded job that a client waits for. Dropping the guard cancels the job.
#[derive(Debug)]
pub enum PendingJob {
    None,
    Response(JobGuard),
    FileChunk(JobGuard),
}

/// What a client waits for from its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    /// It waits for an offloaded job.
    None,
}

impl Transport {
    /// The part of the site that the connection may see.
    pub fn service(&self) -> Service {
        match self {
            Transport::Plain(service) => *service,
            Transport::Tls(_) | Transport::Kernel(_) => Service::Site,
        }
    }

    /// Whether encrypted bytes wait for the socket.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Kernel(_) => false,
            Transport::Tls(session) => !session.unsent().is_empty(),
        }
    }

    /// Whether a handshake is in progress, or has to be made first.
    pub fn awaits_handshake(&self) -> bool {
        match self {
            Transport::Plain(_) | Transport::Kernel(_) => false,
            Transport::Tls(session) => !session.is_established() && !session.is_ended(),
        }
    }

    /// The bytes after which a turn ends: half as many with TLS, because encrypting a byte takes
    /// longer than sending it.
    #[inline]
    pub fn turn_bytes_max(&self) -> u64 {
        match self {
            Transport::Plain(_) => TURN_BYTES_MAX,
            Transport::Tls(_) | Transport::Kernel(_) => TURN_BYTES_MAX / 2,
        }
    }

    /// The most bytes to receive at a time. With TLS, a record, which may be divided into
    /// thousands: each takes some time to decrypt.
    #[inline]
    pub fn receive_bytes_max(&self) -> usize {
        match self {
            Transport::Plain(_) => usize::MAX,
            Transport::Tls(_) | Transport::Kernel(_) => RECORD_BYTES_MAX,
        }
    }

    /// Whether the client has announced that no further input follows.
    pub fn has_input_ended(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(session) => session.has_input_ended(),
            Transport::Kernel(session) => session.has_input_ended(),
        }
    }

    /// What TLS has negotiated.
    pub fn parameters(&self) -> Option<TlsParameters> {
        match self {
            Transport::Plain(_) => None,
            Transport::Tls(session) => session.parameters(),
            Transport::Kernel(session) => Some(session.parameters()),
        }
    }
}

impl Client {
    /// The network that it connects from, for which a site counts wrong passwords.
    pub fn network(&self) -> ClientNetwork {
        self.address.map_or(ClientNetwork::Unknown, ClientNetwork::from)
    }

    /// Lends the buffers of a worker to this client while it is driven.
    pub fn lend_buffers(&mut self, output: &mut Output<site::File>, records: &mut Vec<u8>) {
        self.connection.lend_buffers(output);
        if let Transport::Tls(session) = &mut self.transport {
            session.unsent_mut().lend_buffer(records);
        }
    }

    /// Returns the buffers to the worker.
    pub fn reclaim_buffers(&mut self, output: &mut Output<site::File>, records: &mut Vec<u8>) {
        self.connection.reclaim_buffers(output);
        if let Transport::Tls(session) = &mut self.transport {
            session.unsent_mut().reclaim_buffer(records);
        }
    }

    /// What has to happen at the socket before the client can continue.
    pub fn interest(&self) -> Interest {
        if self.transport.has_unsent() {
            return Interest::Write;
        }
        match (&self.pending_job, self.connection.step()) {
            (PendingJob::Response(_) | PendingJob::FileChunk(_), _) | (_, Step::Wait) => {
                Interest::None
            }
            (PendingJob::None, Step::Send) => Interest::Write,
            (PendingJob::None, _) => Interest::Read,
        }
    }

    /// Records that input may have arrived. A closed read side stays closed.
    pub fn set_read_state(&mut self, read_state: ReadState) {
        if self.read_state != ReadState::ReadClosed {
            self.read_state = read_state;
        }
    }

    /// Records that the kernel has reported an error on the socket. A client that reads or writes
    /// finds the error by itself; one that waits for an offloaded job does neither.
    pub fn socket_error(&mut self) {
        if self.interest() == Interest::None {
            self.connection.fail(CloseReason::Failed);
        }
    }

    /// Takes the result of its offloaded job.
    pub fn complete(&mut self, completion: Completion, now: &Now) {
        self.pending_job = PendingJob::None;
        match completion {
            Completion::Response(reply) => self.connection.complete(reply, now),
            Completion::FileChunk(Ok(bytes)) if bytes.is_empty() => {
                self.connection.fail(CloseReason::FileTruncated)
            }
            Completion::FileChunk(Ok(bytes)) => self.connection.fill(bytes),
            Completion::FileChunk(Err(_)) => self.connection.fail(CloseReason::Failed),
        }
    }

    /// Prepares for the end of the connection: requests that have arrived are answered, and then
    /// the input ends. A client that has not sent anything yet keeps its read side open, because
    /// its first request may be in flight.
    pub fn graceful_shutdown(&mut self, reason: CloseReason, now: &Now) {
        let is_new = self.connection.awaits_first_request();
        self.connection.graceful_shutdown(reason, now);
        if is_new {
            return;
        }
        // It fails only if the peer has disconnected, which the next read shows.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Read);
        self.read_state = ReadState::ReadClosed;
    }
}
