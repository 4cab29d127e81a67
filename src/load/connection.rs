//! One measured connection after another: what was request on it and is not responses yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::response::ResponseReader;
use super::result::{LoadError, Recorder};
use super::template::{RequestTemplate, Reuse};

/// A place for one connection at a time.
#[derive(Debug, Default)]
pub(super) struct ClientConnection {
    transport: Transport,
    pending: VecDeque<PendingRequest>,
    unsent_bytes: usize,
    /// Which of the things that are request for it is at.
    turn: usize,
}

/// A request without its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingRequest {
    pub(super) intended: Instant,
    pub(super) sent: Instant,
}

#[derive(Debug, Default)]
enum Transport {
    /// There is no connection; the next request makes one.
    #[default]
    None,
    Open {
        socket: TcpStream,
        reader: ResponseReader,
        /// Something could be sent, so it was made.
        is_connected: bool,
    },
    /// The last response has come; its end is awaited, so that the server has the work of closing it, as it has
    /// with any client that knows no better.
    Closing { socket: TcpStream },
}

/// What has become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Answers are pending.
    Busy,
    /// Everything was answered.
    Ready,
    /// The server has closed as it said, but responses are pending: they are to be request for again.
    Reconnect,
}

impl ClientConnection {
    /// Over an open connection on which nothing is pending; `turn` is what it asks for first.
    pub(super) fn over(socket: TcpStream, turn: usize) -> ClientConnection {
        let transport =
            Transport::Open { socket, reader: ResponseReader::default(), is_connected: true };
        ClientConnection { transport, turn, ..ClientConnection::default() }
    }

    pub(super) fn has_transport(&self) -> bool {
        !matches!(self.transport, Transport::None)
    }

    /// Starts to connect. What is pending will be request for (again).
    pub(super) fn connect(
        &mut self,
        address: SocketAddr,
        template: &RequestTemplate,
    ) -> io::Result<()> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        // What is sent in one piece waits for nothing.
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
            socket: socket.into(),
            reader: ResponseReader::default(),
            is_connected: false,
        };
        Ok(())
    }

    /// The connection, if there is one.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match &self.transport {
            Transport::Open { socket, .. } | Transport::Closing { socket } => Some(socket),
            Transport::None => None,
        }
    }

    /// Whether everything was sent that has to be.
    pub(super) fn is_sent(&self) -> bool {
        self.unsent_bytes == 0
    }

    pub(super) fn send_request(&mut self, request: PendingRequest, template: &RequestTemplate) {
        // A prime, so that all are come by, and far apart.
        const LEAP: usize = 7919;
        if self.pending.is_empty() {
            self.turn = self.turn.wrapping_add(LEAP);
        }
        self.pending.push_back(request);
        self.unsent_bytes += template.first().len();
    }

    /// Sends what has to be sent, as far as the socket takes it. A batch is made of whole requests, as many as are
    /// pending at most, and all alike.
    pub(super) fn write(&mut self, batches: &[Vec<u8>]) -> Result<(), LoadError> {
        let batch = &batches[self.turn % batches.len()];
        let Transport::Open { socket, is_connected, .. } = &mut self.transport else {
            return Ok(());
        };
        while self.unsent_bytes > 0 {
            match socket.write(&batch[batch.len() - self.unsent_bytes..]) {
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

    /// Reads what there is. A read that fills less than `scratch` takes the last of it, unless the server
    /// `has_closed`: that end has to be read, too.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        has_closed: bool,
        template: &RequestTemplate,
        recorder: &mut Recorder,
    ) -> Result<Status, LoadError> {
        loop {
            let (Transport::Open { socket, .. } | Transport::Closing { socket }) =
                &mut self.transport
            else {
                return Ok(self.status());
            };
            let length = match socket.read(scratch) {
                Ok(0) => return self.end(),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.status()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.end(),
            };
            recorder.record_received(length);
            self.take(&scratch[..length], template, recorder)?;
            if length < scratch.len() && !has_closed {
                return Ok(self.status());
            }
        }
    }

    fn take(
        &mut self,
        mut bytes: &[u8],
        template: &RequestTemplate,
        recorder: &mut Recorder,
    ) -> Result<(), LoadError> {
        let now = Instant::now();
        // After the last response nothing more is promised.
        while let Transport::Open { reader, .. } = &mut self.transport {
            let Some(response) = reader.next(&mut bytes).map_err(|_| LoadError::WrongLength)?
            else {
                break;
            };
            // An response that nobody request for.
            let request = self.pending.pop_front().ok_or(LoadError::WrongLength)?;
            if response.status != template.status {
                recorder.record_error(LoadError::WrongStatus, 1);
            } else if response.body_bytes != template.body_bytes {
                recorder.record_error(LoadError::WrongLength, 1);
            } else {
                recorder.record_response(request.intended, request.sent, now);
            }
            if (response.is_last || template.reuse == Reuse::Never)
                && let Transport::Open { socket, .. } = std::mem::take(&mut self.transport)
            {
                self.transport = Transport::Closing { socket };
            }
        }
        Ok(())
    }

    /// The connection has ended.
    fn end(&mut self) -> Result<Status, LoadError> {
        let was_announced = matches!(self.transport, Transport::Closing { .. });
        let was_connected = !matches!(self.transport, Transport::Open { is_connected: false, .. });
        self.transport = Transport::None;
        match (self.pending.is_empty(), was_announced) {
            (true, _) => Ok(Status::Ready),
            (false, true) => Ok(Status::Reconnect),
            (false, false) => {
                Err(if was_connected { LoadError::ClosedEarly } else { LoadError::Connect })
            }
        }
    }

    /// Gives everything up; how many responses were pending.
    pub(super) fn abandon(&mut self) -> usize {
        let pending = self.pending.len();
        *self = ClientConnection::default();
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

    /// When the longest wait under way began.
    pub(super) fn oldest_sent(&self) -> Option<Instant> {
        self.pending.front().map(|request| request.sent)
    }

    /// The error of one that has waited too long.
    pub(super) fn timeout_error(&self) -> LoadError {
        if matches!(self.transport, Transport::Open { is_connected: true, .. }) {
            LoadError::Timeout
        } else {
            LoadError::Connect
        }
    }
}

/// An open connection whose first request was responses as expected: the server has it, and serves it.
pub(super) fn open_verified(
    address: SocketAddr,
    template: &RequestTemplate,
    deadline: Instant,
    receive_buffer_bytes: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    // A timeout of zero would be none.
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    socket.connect_timeout(&address.into(), left())?;
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(left()))?;
    socket.write_all(template.first())?;
    let (mut reader, mut piece) = (ResponseReader::default(), [0; 16 * 1024]);
    loop {
        let length = socket.read(&mut piece)?;
        let malformed =
            |_| io::Error::new(ErrorKind::InvalidData, "no response that can be followed");
        match reader.next(&mut &piece[..length]).map_err(malformed)? {
            Some(response)
                if response.status != template.status
                    || response.body_bytes != template.body_bytes =>
            {
                let what = format!("status {} with {} bytes", response.status, response.body_bytes);
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            Some(_) => break,
            None if length == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
