//! The client side of a TLS session over a socket.
//!
//! A thread makes the handshake, so that a connection that waits in the backlog does not block the
//! test. What the test sends meanwhile is sent in the same pieces as soon as the handshake is
//! complete, as the kernel sends what a plain client has written before the server accepts it.
//!
//! Invariants:
//! 1. Each piece that is sent is a record of its own, unless it is longer than a record may be.
//! 2. A read takes no more from the socket than one piece, so a client that does not read fills the
//!    buffers of its socket as a plain one does.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{AlertDescription, ClientConfig, ClientConnection, Error};

use super::authority::server_name;
use super::wait::TIMEOUT;

/// A session, or the handshake that leads to it.
pub enum Tls {
    Handshaking(Handshake),
    Open(Box<ClientConnection>),
    /// The handshake has failed.
    Failed(Failure),
}

pub struct Handshake {
    thread: JoinHandle<Result<Box<ClientConnection>, Failure>>,
    shared: Abandoned,
}

/// Ends the thread when it is dropped.
struct Abandoned(Arc<Shared>);

/// What the thread and the test share.
struct Shared {
    /// None once the thread sends nothing more.
    queue: Mutex<Option<Vec<Piece>>>,
    is_abandoned: AtomicBool,
}

/// What is to be sent.
enum Piece {
    Bytes(Vec<u8>),
    /// A close_notify and FIN.
    End,
}

/// Why nothing more can be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// FIN without a close_notify.
    Truncated,
    Reset,
    Alert(AlertDescription),
    /// The server did not take part in the handshake.
    TimedOut,
}

/// What one read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Bytes,
    /// The server has sent a close_notify and FIN.
    End,
    /// The read has timed out, or would block.
    Nothing,
}

/// The most plaintext of a record (RFC 8446 section 5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

impl Tls {
    /// Begins a handshake on a connected socket.
    pub fn begin(socket: &TcpStream, address: SocketAddr, config: Arc<ClientConfig>) -> Tls {
        let connection = ClientConnection::new(config, server_name(address.ip()));
        let connection = Box::new(connection.expect("the configuration is valid"));
        let socket = socket.try_clone().expect("the test has free descriptors");
        let queue = Mutex::new(Some(Vec::new()));
        let shared = Arc::new(Shared { queue, is_abandoned: AtomicBool::new(false) });
        let thread = {
            let shared = shared.clone();
            std::thread::spawn(move || complete_handshake(socket, connection, &shared))
        };
        Tls::Handshaking(Handshake { thread, shared: Abandoned(shared) })
    }

    /// Sends all bytes, now or after the handshake.
    pub fn send(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        match self.enqueue(Piece::Bytes(bytes.to_vec())) {
            Ok(()) => Ok(()),
            Err((connection, _)) => send_bytes(connection, socket, bytes),
        }
    }

    /// Sends a close_notify and FIN, now or after the handshake.
    pub fn finish_sending(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        match self.enqueue(Piece::End) {
            Ok(()) => Ok(()),
            Err((connection, _)) => send_end(connection, socket),
        }
    }

    /// Reads once, and appends what is decrypted.
    pub fn receive(
        &mut self,
        socket: &mut TcpStream,
        buffer: &mut Vec<u8>,
    ) -> Result<Received, Failure> {
        let connection = self.connection()?;
        loop {
            match take_plaintext(connection, buffer) {
                Ok(Received::Nothing) => {}
                // The FIN that follows.
                Ok(Received::End) => return read_fin(socket),
                other => return other,
            }
            match connection.read_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return if_reset(&error),
            }
            process(connection, socket)?;
        }
    }

    /// Whether the handshake goes on, without waiting for it.
    pub fn is_handshaking(&mut self) -> bool {
        matches!(self, Tls::Handshaking(handshake) if !handshake.thread.is_finished())
    }

    /// The session, after its handshake.
    pub fn connection(&mut self) -> Result<&mut ClientConnection, Failure> {
        if let Tls::Handshaking(_) = self {
            let before = std::mem::replace(self, Tls::Failed(Failure::TimedOut));
            let Tls::Handshaking(handshake) = before else { unreachable!("it is handshaking") };
            *self = match handshake.thread.join().expect("the thread does not panic") {
                Ok(connection) => Tls::Open(connection),
                Err(failure) => Tls::Failed(failure),
            };
        }
        match self {
            Tls::Open(connection) => Ok(connection),
            Tls::Failed(failure) => Err(*failure),
            Tls::Handshaking(_) => unreachable!("the handshake is over"),
        }
    }

    /// Leaves a piece to the thread of the handshake. Without one, returns the session.
    fn enqueue(&mut self, piece: Piece) -> Result<(), (&mut ClientConnection, Piece)> {
        if let Tls::Handshaking(handshake) = self
            && let Some(queue) = &mut *lock(&handshake.shared.0.queue)
        {
            queue.push(piece);
            return Ok(());
        }
        match self.connection() {
            Ok(connection) => Err((connection, piece)),
            // As the kernel takes what is written to a connection that the peer has closed.
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Release);
    }
}

/// Runs in a thread of its own.
fn complete_handshake(
    mut socket: TcpStream,
    mut connection: Box<ClientConnection>,
    shared: &Shared,
) -> Result<Box<ClientConnection>, Failure> {
    let result = exchange_flights(&mut socket, &mut connection, shared)
        .and_then(|()| send_queue(&mut socket, &mut connection, shared));
    *lock(&shared.queue) = None;
    result.map(|()| connection)
}

fn exchange_flights(
    socket: &mut TcpStream,
    connection: &mut ClientConnection,
    shared: &Shared,
) -> Result<(), Failure> {
    let give_up = Instant::now() + TIMEOUT;
    while connection.is_handshaking() || connection.wants_write() {
        // What the server has sent before it closed is read first.
        let sent = flush(connection, socket);
        if !connection.is_handshaking() {
            return Ok(());
        }
        await_input(socket, give_up, shared)?;
        match connection.read_tls(socket) {
            Ok(0) if sent.is_err() => return Err(Failure::Reset),
            Ok(0) => return Err(Failure::Truncated),
            Ok(_) => process(connection, socket)?,
            Err(error) => return if_reset(&error).map(drop),
        }
    }
    Ok(())
}

/// The socket keeps its timeouts, which the test may change meanwhile.
fn await_input(socket: &TcpStream, give_up: Instant, shared: &Shared) -> Result<(), Failure> {
    const INTERVAL: Duration = Duration::from_millis(50);
    let interval = Timespec::try_from(INTERVAL).expect("it is short");
    loop {
        let mut sockets = [PollFd::new(socket, PollFlags::IN)];
        if poll(&mut sockets, Some(&interval)).is_ok_and(|ready| ready > 0) {
            return Ok(());
        }
        if shared.is_abandoned.load(Ordering::Acquire) || Instant::now() > give_up {
            return Err(Failure::TimedOut);
        }
    }
}

fn send_queue(
    socket: &mut TcpStream,
    connection: &mut ClientConnection,
    shared: &Shared,
) -> Result<(), Failure> {
    loop {
        let mut queue = lock(&shared.queue);
        let pieces = queue.take().unwrap_or_default();
        if pieces.is_empty() {
            return Ok(());
        }
        *queue = Some(Vec::new());
        drop(queue);
        for piece in pieces {
            let sent = match piece {
                Piece::Bytes(bytes) => send_bytes(connection, socket, &bytes),
                Piece::End => send_end(connection, socket),
            };
            if sent.is_err() {
                // The test finds out when it reads.
                return Ok(());
            }
        }
    }
}

fn send_bytes(
    connection: &mut ClientConnection,
    socket: &mut TcpStream,
    bytes: &[u8],
) -> io::Result<()> {
    flush(connection, socket)?;
    for record in bytes.chunks(RECORD_BYTES_MAX) {
        connection.writer().write_all(record)?;
        flush(connection, socket)?;
    }
    Ok(())
}

fn send_end(connection: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    connection.send_close_notify();
    flush(connection, socket)?;
    socket.shutdown(Shutdown::Write)
}

fn flush(connection: &mut ClientConnection, socket: &mut TcpStream) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(socket)?;
    }
    Ok(())
}

fn process(connection: &mut ClientConnection, socket: &mut TcpStream) -> Result<(), Failure> {
    let processed = connection.process_new_packets();
    // A response to a message of the server, or an alert. The server may have closed already.
    let _ = flush(connection, socket);
    match processed {
        Ok(_) => Ok(()),
        Err(Error::AlertReceived(alert)) => Err(Failure::Alert(alert)),
        Err(error) => panic!("the server violates TLS: {error}"),
    }
}

fn take_plaintext(
    connection: &mut ClientConnection,
    buffer: &mut Vec<u8>,
) -> Result<Received, Failure> {
    let before = buffer.len();
    // It reads until the end, or until there is no more.
    let end = connection.reader().read_to_end(buffer).map_err(|error| error.kind());
    match end {
        _ if buffer.len() > before => Ok(Received::Bytes),
        Ok(_) => Ok(Received::End),
        Err(ErrorKind::WouldBlock) => Ok(Received::Nothing),
        Err(ErrorKind::UnexpectedEof) => Err(Failure::Truncated),
        Err(error) => panic!("unexpected in memory: {error}"),
    }
}

fn read_fin(socket: &mut TcpStream) -> Result<Received, Failure> {
    match socket.read(&mut [0]) {
        Ok(0) => Ok(Received::End),
        Ok(_) => panic!("the server sent something after its close_notify"),
        Err(error) => if_reset(&error),
    }
}

fn if_reset(error: &io::Error) -> Result<Received, Failure> {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Err(Failure::Reset),
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(Received::Nothing),
        _ => panic!("{error}"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere cannot leave a queue half updated.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
