//! A measured connection of the load generator, and its requests without a response.
//!
//! A `ClientConnection` outlives its socket: when the server closes it, the next request opens
//! another.
//!
//! ```text
//! None ──connect──► Open ──last response──► Closing ──EOF──► None
//!                    └──────EOF or error───────────────────► None
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::response::{Response, ResponseReader};
use super::result::{LoadError, Recorder};
use super::stream::Stream;
use super::template::{RequestTemplate, Reuse};
use super::tls::ClientTls;

#[derive(Debug, Default)]
pub(super) struct ClientConnection {
    transport: Transport,
    pending: VecDeque<PendingRequest>,
    unsent_bytes: usize,
    /// The index of its template, modulo their number.
    batch: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PendingRequest {
    pub(super) intended: Instant,
    pub(super) sent: Instant,
}

#[derive(Debug, Default)]
enum Transport {
    /// The next request connects.
    #[default]
    None,
    Open {
        stream: Stream,
        reader: ResponseReader,
        /// A write succeeded, so the handshake of TCP is complete.
        is_connected: bool,
    },
    /// The last response has arrived. The client waits for the server's FIN, so that the server
    /// does the closing, as it does for most clients.
    Closing { stream: Stream },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Responses are outstanding.
    Busy,
    /// Every request has its response.
    Ready,
    /// The server closed as it had announced, with pipelined requests outstanding: connect and send
    /// them again.
    Reconnect,
}

/// How [`ClientConnection::read`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadOutcome {
    pub(super) status: Status,
    /// Whether [`READ_BYTES_MAX`] has ended it, so more may have arrived.
    pub(super) has_more: bool,
}

/// About the most that is read at a time. A server that sends faster than this thread reads would
/// otherwise keep it at one connection until the response ends.
const READ_BYTES_MAX: usize = 1024 * 1024;

impl ClientConnection {
    /// A connection that its first request opens. `batch` selects its first template.
    pub(super) fn unopened(batch: usize) -> ClientConnection {
        ClientConnection { batch, ..ClientConnection::default() }
    }

    /// An idle connection over `stream`.
    pub(super) fn over(stream: Stream, batch: usize) -> ClientConnection {
        let transport =
            Transport::Open { stream, reader: ResponseReader::default(), is_connected: true };
        ClientConnection { transport, batch, ..ClientConnection::default() }
    }

    pub(super) fn has_transport(&self) -> bool {
        !matches!(self.transport, Transport::None)
    }

    /// Starts a non-blocking connect, and schedules the pending requests to be sent (again).
    pub(super) fn connect(
        &mut self,
        address: SocketAddr,
        template: &RequestTemplate,
        tls: Option<&ClientTls>,
    ) -> io::Result<()> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        // A connection for one request sends it in one write, which Nagle's algorithm does not
        // delay.
        if template.reuse == Reuse::KeepAlive {
            socket.set_tcp_nodelay(true)?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        self.unsent_bytes = self.pending.len() * template.first().len();
        self.transport = Transport::Open {
            stream: Stream::start(socket.into(), tls)?,
            reader: ResponseReader::default(),
            is_connected: false,
        };
        Ok(())
    }

    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match &self.transport {
            Transport::Open { stream, .. } | Transport::Closing { stream } => Some(stream.socket()),
            Transport::None => None,
        }
    }

    /// Whether nothing waits for the socket, or for the handshake of TLS.
    pub(super) fn is_sent(&self) -> bool {
        let has_unsent =
            matches!(&self.transport, Transport::Open { stream, .. } if stream.has_unsent());
        self.unsent_bytes == 0 && !has_unsent
    }

    pub(super) fn push(&mut self, request: PendingRequest, template: &RequestTemplate) {
        // A large prime: every template is reached, and consecutive ones are far apart.
        const LEAP: usize = 7919;
        if self.pending.is_empty() {
            self.batch = self.batch.wrapping_add(LEAP);
        }
        self.pending.push_back(request);
        self.unsent_bytes += template.first().len();
    }

    /// Writes unsent requests until the socket blocks. A batch consists of whole, equal requests,
    /// at most as many as are pending.
    pub(super) fn write(&mut self, batches: &[Vec<u8>]) -> Result<(), LoadError> {
        let bytes = &batches[self.batch % batches.len()];
        let Transport::Open { stream, is_connected, .. } = &mut self.transport else {
            return Ok(());
        };
        while self.unsent_bytes > 0 || stream.has_unsent() {
            match stream.write(&bytes[bytes.len() - self.unsent_bytes..]) {
                Ok(sent) => {
                    self.unsent_bytes -= sent;
                    *is_connected = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if *is_connected => return Err(LoadError::ClosedEarly),
                Err(_) => return Err(LoadError::Connect),
            }
        }
        Ok(())
    }

    /// Reads what has arrived, up to about [`READ_BYTES_MAX`]. A short read drains the socket, so
    /// no second read is needed, unless the server `has_closed`: then the EOF has to be read, too.
    /// With TLS, it may have completed the handshake, so that requests can be written.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        has_closed: bool,
        template: &RequestTemplate,
        recorder: &mut Recorder,
    ) -> Result<ReadOutcome, LoadError> {
        let mut left_bytes = READ_BYTES_MAX;
        let has_more = loop {
            let read = match &mut self.transport {
                Transport::None => break false,
                Transport::Closing { stream } => stream.discard(scratch),
                Transport::Open { stream, reader, .. } => {
                    let pending = &mut self.pending;
                    let mut responses = Responses::new(reader, pending, template, recorder);
                    let read = stream.read(scratch, scratch.len(), |bytes| responses.take(bytes));
                    let end = responses.end;
                    if let Some(handshake) = stream.take_handshake() {
                        recorder.record_handshake(handshake);
                    }
                    self.end_responses(end)?;
                    read
                }
            };
            let received = match read {
                Ok(received) if received.bytes == 0 => return self.end(),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(self.invalid_data());
                }
                Err(_) => return self.end(),
            };
            recorder.record_received(received.bytes);
            if received.is_drained && !has_closed {
                break false;
            }
            left_bytes = left_bytes.saturating_sub(received.bytes);
            if left_bytes == 0 {
                break true;
            }
        };
        Ok(ReadOutcome { status: self.status(), has_more })
    }

    /// Handles how the responses of a read have ended.
    fn end_responses(&mut self, end: ResponsesEnd) -> Result<(), LoadError> {
        match end {
            ResponsesEnd::More => Ok(()),
            ResponsesEnd::Malformed => Err(LoadError::WrongLength),
            ResponsesEnd::Last => {
                if let Transport::Open { stream, .. } = std::mem::take(&mut self.transport) {
                    self.transport = Transport::Closing { stream };
                }
                Ok(())
            }
        }
    }

    /// What invalid records are: during the handshake, there is no connection yet.
    fn invalid_data(&self) -> LoadError {
        match &self.transport {
            Transport::Open { stream, .. } if !stream.is_open() => LoadError::Connect,
            _ => LoadError::WrongLength,
        }
    }

    /// Handles EOF and errors.
    fn end(&mut self) -> Result<ReadOutcome, LoadError> {
        let is_expected = matches!(self.transport, Transport::Closing { .. });
        let was_connected = !matches!(self.transport, Transport::Open { is_connected: false, .. });
        self.transport = Transport::None;
        let status = match (self.pending.is_empty(), is_expected) {
            (true, _) => Status::Ready,
            (false, true) => Status::Reconnect,
            (false, false) if was_connected => return Err(LoadError::ClosedEarly),
            (false, false) => return Err(LoadError::Connect),
        };
        Ok(ReadOutcome { status, has_more: false })
    }

    /// Closes the connection and returns how many requests had no response.
    pub(super) fn abandon(&mut self) -> usize {
        let pending = self.pending.len();
        *self = ClientConnection::unopened(self.batch);
        pending
    }

    pub(super) fn status(&self) -> Status {
        match self.transport {
            Transport::Closing { .. } => Status::Busy,
            _ if self.pending.is_empty() => Status::Ready,
            _ => Status::Busy,
        }
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// When the oldest pending request was sent.
    pub(super) fn oldest_sent(&self) -> Option<Instant> {
        self.pending.front().map(|request| request.sent)
    }

    /// The error to count when a response has timed out.
    pub(super) fn timeout_error(&self) -> LoadError {
        if matches!(self.transport, Transport::Open { is_connected: true, .. }) {
            LoadError::Timeout
        } else {
            LoadError::Connect
        }
    }
}

/// Counts the responses in what one read has received.
struct Responses<'a> {
    reader: &'a mut ResponseReader,
    pending: &'a mut VecDeque<PendingRequest>,
    template: &'a RequestTemplate,
    recorder: &'a mut Recorder,
    end: ResponsesEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponsesEnd {
    More,
    /// The connection closes after the last one.
    Last,
    Malformed,
}

impl<'a> Responses<'a> {
    fn new(
        reader: &'a mut ResponseReader,
        pending: &'a mut VecDeque<PendingRequest>,
        template: &'a RequestTemplate,
        recorder: &'a mut Recorder,
    ) -> Responses<'a> {
        Responses { reader, pending, template, recorder, end: ResponsesEnd::More }
    }

    /// Bytes after the last response are ignored.
    fn take(&mut self, mut bytes: &[u8]) {
        let now = Instant::now();
        while self.end == ResponsesEnd::More {
            self.end = match self.reader.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(response)) => self.count(&response, now),
                Err(_) => ResponsesEnd::Malformed,
            };
        }
    }

    fn count(&mut self, response: &Response, now: Instant) -> ResponsesEnd {
        // A response without a request.
        let Some(request) = self.pending.pop_front() else { return ResponsesEnd::Malformed };
        match self.template.error_in(response) {
            Some(error) => self.recorder.record_error(error, 1),
            None => self.recorder.record_response(request.intended, request.sent, now),
        }
        match response.is_last || self.template.reuse == Reuse::Never {
            true => ResponsesEnd::Last,
            false => ResponsesEnd::More,
        }
    }
}
