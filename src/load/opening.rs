//! Opens connections, and verifies the response to a first request on each, so that the server has
//! accepted it and serves it.
//!
//! Several requests are in flight at the same time. A server whose every pass costs time for each
//! open connection would otherwise take a pass for each new one: 8,000 connections took a busy loop
//! 20 s.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::response::ResponseReader;
use super::stream::Stream;
use super::template::RequestTemplate;
use super::tls::ClientTls;

/// Far fewer than a listener's backlog: a SYN that the kernel drops costs a second.
const IN_FLIGHT_MAX: usize = 64;
/// Two records of TLS.
const BUFFER_BYTES: usize = 40 * 1024;

/// How connections are opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    address: SocketAddr,
    /// The first request on each connection.
    template: &'a RequestTemplate,
    deadline: Instant,
    receive_buffer_bytes: Option<usize>,
    tls: Option<&'a ClientTls>,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        address: SocketAddr,
        template: &'a RequestTemplate,
        deadline: Instant,
    ) -> Opening<'a> {
        Opening { address, template, deadline, receive_buffer_bytes: None, tls: None }
    }

    pub(super) fn with_tls(self, tls: Option<&'a ClientTls>) -> Opening<'a> {
        Opening { tls, ..self }
    }

    /// With this SO_RCVBUF.
    pub(super) fn with_receive_buffer(self, bytes: usize) -> Opening<'a> {
        Opening { receive_buffer_bytes: Some(bytes), ..self }
    }

    /// Opens `count` connections. They are non-blocking.
    ///
    /// # Errors
    /// From a system call, or because a first response did not arrive before the deadline or was
    /// not the expected one.
    pub(super) fn streams(&self, count: usize) -> io::Result<Vec<Stream>> {
        let mut streams: Vec<Stream> = Vec::with_capacity(count);
        let mut buffer = vec![0; BUFFER_BYTES];
        while streams.len() < count {
            let first = streams.len();
            for _ in first..count.min(first + IN_FLIGHT_MAX) {
                streams.push(self.begin().map_err(explained)?);
            }
            let opened = &mut streams[first..];
            if self.tls.is_some() {
                for stream in &mut *opened {
                    self.complete_handshake(stream, &mut buffer).map_err(explained)?;
                }
            }
            for stream in opened {
                self.verify(stream, &mut buffer).map_err(explained)?;
                stream.socket().set_nonblocking(true)?;
            }
        }
        Ok(streams)
    }

    /// Opens a connection for the request and closes it. With TLS, this leaves a ticket.
    ///
    /// # Errors
    /// Those of [`Opening::streams`].
    pub(super) fn open_and_close(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut stream = self.begin().map_err(explained)?;
        self.complete_handshake(&mut stream, &mut buffer).map_err(explained)?;
        self.verify(&mut stream, &mut buffer).map_err(explained)
    }

    /// Connects and sends the first bytes: the request or, with TLS, the first message of the
    /// handshake.
    fn begin(&self) -> io::Result<Stream> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&self.address.into(), self.time_left())?;
        let mut stream = Stream::start(TcpStream::from(socket), self.tls)?;
        match self.tls {
            None => stream.write_all(self.template.first())?,
            Some(_) => stream.flush()?,
        }
        Ok(stream)
    }

    /// Completes the handshake, and sends the request.
    fn complete_handshake(&self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<()> {
        stream.socket().set_read_timeout(Some(self.time_left()))?;
        stream.complete_handshake(buffer)?;
        stream.write_all(self.template.first())
    }

    /// Receives the response.
    fn verify(&self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<()> {
        stream.socket().set_read_timeout(Some(self.time_left()))?;
        let mut reader = ResponseReader::default();
        loop {
            let mut parsed = Ok(None);
            let received = stream.read(buffer, BUFFER_BYTES / 2, |mut content| {
                if let Ok(None) = parsed {
                    parsed = reader.next(&mut content);
                }
            })?;
            let malformed = |_| io::Error::new(ErrorKind::InvalidData, "malformed response");
            match parsed.map_err(malformed)? {
                Some(response) if self.template.error_in(&response).is_some() => {
                    let what = format!(
                        "unexpected response: status {} with {} bytes",
                        response.status, response.body_bytes
                    );
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                }
                Some(_) => return Ok(()),
                None if received.bytes == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }

    fn time_left(&self) -> Duration {
        // A timeout of zero would mean none.
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }
}

fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => io::Error::new(
            ErrorKind::TimedOut,
            "timed out waiting for the first response on a connection",
        ),
        kind => io::Error::new(kind, format!("the first request on a connection failed: {error}")),
    }
}
