//! Opens connections, and verifies the response to a first request on each, so that the server has
//! accepted it and serves it.
//!
//! Several requests are in flight at the same time. A server whose every pass costs time for each
//! open connection would otherwise take a pass for each new one: 8,000 connections took a busy loop
//! 20 s.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::response::ResponseReader;
use super::template::RequestTemplate;

/// Far fewer than a listener's backlog: a SYN that the kernel drops costs a second.
const IN_FLIGHT_MAX: usize = 64;

/// How connections are opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    address: SocketAddr,
    /// The first request on each connection.
    template: &'a RequestTemplate,
    deadline: Instant,
    receive_buffer_bytes: Option<usize>,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        address: SocketAddr,
        template: &'a RequestTemplate,
        deadline: Instant,
    ) -> Opening<'a> {
        Opening { address, template, deadline, receive_buffer_bytes: None }
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
    pub(super) fn sockets(&self, count: usize) -> io::Result<Vec<TcpStream>> {
        let mut sockets: Vec<TcpStream> = Vec::with_capacity(count);
        let mut verified = 0;
        while verified < count {
            if sockets.len() < count && sockets.len() - verified < IN_FLIGHT_MAX {
                sockets.push(self.request().map_err(explained)?);
            } else {
                self.verify(&mut sockets[verified]).map_err(explained)?;
                verified += 1;
            }
        }
        Ok(sockets)
    }

    /// Connects and sends the request.
    fn request(&self) -> io::Result<TcpStream> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = self.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&self.address.into(), self.time_left())?;
        let mut socket = TcpStream::from(socket);
        socket.write_all(self.template.first())?;
        Ok(socket)
    }

    /// Receives the response.
    fn verify(&self, socket: &mut TcpStream) -> io::Result<()> {
        socket.set_read_timeout(Some(self.time_left()))?;
        let (mut reader, mut buffer) = (ResponseReader::default(), [0; 16 * 1024]);
        loop {
            let length = socket.read(&mut buffer)?;
            let malformed = |_| io::Error::new(ErrorKind::InvalidData, "malformed response");
            match reader.next(&mut &buffer[..length]).map_err(malformed)? {
                Some(response) if self.template.error_in(&response).is_some() => {
                    let what = format!(
                        "unexpected response: status {} with {} bytes",
                        response.status, response.body_bytes
                    );
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                }
                Some(_) => return socket.set_nonblocking(true),
                None if length == 0 => return Err(ErrorKind::UnexpectedEof.into()),
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
