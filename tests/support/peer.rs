//! A client that sends raw bytes in pieces of any size and reads exactly the bytes of a response,
//! over TCP or over TLS.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use rustls::{AlertDescription, ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use super::response::Response;
use super::tls::{Failure, Received, Tls};
use super::wait::{TIMEOUT, shown, wait_until};

/// A connection to the server.
pub struct Peer {
    /// The socket, for operations that only one test needs.
    pub stream: TcpStream,
    tls: Option<Tls>,
    /// Bytes received, decrypted and not yet returned.
    buffer: Vec<u8>,
    /// Once no more can be received.
    end: Option<End>,
    _connected: Connected,
}

/// Counts a client of this address while it exists.
struct Connected(SocketAddr);

static CLIENTS: Mutex<BTreeMap<SocketAddr, usize>> = Mutex::new(BTreeMap::new());

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server sent FIN, over TLS after a close_notify: everything that it sent has arrived.
    Clean,
    /// The server sent FIN without a close_notify: what has arrived may be truncated.
    Truncated,
    /// The server sent RST: data that it sent before may be lost.
    Reset,
    /// The server refused what the client sent over TLS.
    Alert(AlertDescription),
}

/// A GET request for `path` with no header but Host.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A GET request for `path` with more header lines, each without its CRLF.
pub fn get_with(path: &str, fields: &[&str]) -> String {
    let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// The same request as HEAD.
pub fn head(request: &str) -> String {
    request.replacen("GET ", "HEAD ", 1)
}

impl Peer {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Peer {
        Peer::try_connect(address).expect("the server is listening")
    }

    /// Connects, unless the server no longer listens.
    pub fn try_connect(address: SocketAddr) -> Option<Peer> {
        Some(Peer::new(TcpStream::connect_timeout(&address, TIMEOUT).ok()?, address))
    }

    /// Connects from another address of the loopback network, as another client.
    #[track_caller]
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("IPv4 is available");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("it is a loopback address");
        socket.connect_timeout(&address.into(), TIMEOUT).expect("the server is listening");
        Peer::new(socket.into(), address)
    }

    /// Connects to the Unix socket at `path` of the server that also listens at `address`.
    /// Connects to the Unix socket at `path` of the server that also listens at `address`.
    #[track_caller]
    pub fn connect_to_unix(path: &Path, address: SocketAddr) -> Peer {
        let stream = UnixStream::connect(path).expect("the server is listening");
        // The calls that tests make work on both kinds of stream.
        Peer::with_timeouts(OwnedFd::from(stream).into(), address)
    }

    /// Begins a TLS handshake. What is sent before it is complete is sent afterwards.
    pub fn with_tls(mut self, config: Option<&Arc<ClientConfig>>) -> Peer {
        let server = self._connected.0;
        self.tls = config.map(|config| Tls::begin(&self.stream, server, config.clone()));
        self
    }

    /// Waits for the end of the handshake, if the connection has TLS.
    #[track_caller]
    pub fn complete_handshake(&mut self) {
        if self.tls.is_some() {
            self.session();
        }
    }

    /// Completes the handshake of a connection with TLS.
    #[track_caller]
    pub fn session(&mut self) -> &mut ClientConnection {
        let tls = self.tls.as_mut().expect("the connection has TLS");
        tls.connection().unwrap_or_else(|failure| panic!("no handshake: {failure:?}"))
    }

    fn new(stream: TcpStream, address: SocketAddr) -> Peer {
        // Nagle's algorithm would merge pieces that must arrive one at a time.
        stream.set_nodelay(true).expect("TCP sockets support TCP_NODELAY");
        Peer::with_timeouts(stream, address)
    }

    fn with_timeouts(stream: TcpStream, address: SocketAddr) -> Peer {
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        stream.set_write_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        let (buffer, connected) = (Vec::new(), Connected::to(address));
        Peer { stream, tls: None, buffer, end: None, _connected: connected }
    }

    /// Whether no byte of a response has arrived yet, nor the end of the connection.
    #[track_caller]
    pub fn is_waiting(&mut self) -> bool {
        if self.tls.as_mut().is_some_and(Tls::is_handshaking) {
            return true;
        }
        self.stream.set_nonblocking(true).expect("a socket has modes");
        let received = self.receive_once();
        self.stream.set_nonblocking(false).expect("a socket has modes");
        received == Ok(Received::Nothing) && self.buffer.is_empty()
    }

    /// Waits until a response has begun to arrive. It is not taken.
    #[track_caller]
    pub fn await_response(&mut self) {
        while self.buffer.is_empty() {
            assert_eq!(self.receive(), Ok(true), "no response");
        }
    }

    /// The number of clients of this address that have not been dropped.
    pub fn count(address: SocketAddr) -> usize {
        clients().get(&address).copied().unwrap_or(0)
    }

    /// Sends all bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server reads its input");
    }

    /// Sends all bytes, if the server still receives.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(bytes.as_ref()),
            Some(tls) => tls.send(&mut self.stream, bytes.as_ref()),
        }
    }

    /// Sends the bytes in pieces of `size` bytes.
    #[track_caller]
    pub fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        bytes.as_ref().chunks(size).for_each(|piece| self.send(piece));
    }

    /// Closes the sending side of the connection (FIN, over TLS after a close_notify).
    pub fn finish_sending(&mut self) {
        let finished = match &mut self.tls {
            None => self.stream.shutdown(Shutdown::Write),
            Some(tls) => tls.finish_sending(&mut self.stream),
        };
        finished.expect("the connection is open");
    }

    /// Closes the connection with RST, as the kernel does for a client that crashes.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("TCP sockets support SO_LINGER");
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(&request);
        match request.as_ref().starts_with(b"HEAD ") {
            true => self.response_to_head(),
            false => self.response(),
        }
    }

    /// Sends a GET request for `path` and reads its response.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(get(path))
    }

    /// Sends a GET request for `path` with more header lines and reads its response.
    #[track_caller]
    pub fn get_with(&mut self, path: &str, fields: &[&str]) -> Response {
        self.ask(get_with(path, fields))
    }

    /// Repeats a GET request until the response has both validators. A recently modified file has
    /// no Last-Modified, and a large one no ETag either.
    #[track_caller]
    pub fn settled(&mut self, path: &str, fields: &[&str]) -> Response {
        wait_until("both validators", || {
            Some(self.get_with(path, fields)).filter(Response::has_validators)
        })
    }

    /// Reads one response and no byte after it.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let mut response = self.response_to_head();
        if response.may_have_body() {
            response.body = self.take(response.content_length() as usize);
        }
        response
    }

    /// Reads the head of a response and no byte after it.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let rest = self.buffer.split_off(end + 4);
                return Response::parse(&mem::replace(&mut self.buffer, rest));
            }
            let received = self.receive();
            assert!(
                received == Ok(true),
                "no response, but {received:?} after {:?}",
                shown(&self.buffer)
            );
        }
    }

    /// Reads exactly `length` bytes.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(
                self.receive() == Ok(true),
                "the connection ended after {} of {length} bytes",
                self.buffer.len()
            );
        }
        let rest = self.buffer.split_off(length);
        mem::replace(&mut self.buffer, rest)
    }

    /// Reads until the connection ends. Returns the bytes and how it ended.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            match self.receive() {
                Ok(true) => {}
                Ok(false) => break End::Clean,
                Err(end) => break end,
            }
        };
        (mem::take(&mut self.buffer), end)
    }

    /// Fails unless the server closes the connection with FIN and sends nothing before it.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let (rest, end) = self.rest();
        assert_eq!(
            (shown(&rest), end),
            (String::new(), End::Clean),
            "instead of a clean end without data"
        );
    }

    /// Reads responses until the connection ends, which must be with FIN.
    #[track_caller]
    pub fn responses_to_the_end(&mut self) -> Vec<Response> {
        let (rest, end) = self.rest();
        assert_eq!(end, End::Clean, "after {}", shown(&rest));
        self.buffer = rest;
        let mut responses = Vec::new();
        while !self.buffer.is_empty() {
            responses.push(self.response());
        }
        responses
    }

    /// Receives bytes into the buffer. Returns false at the end of input.
    #[track_caller]
    pub fn receive(&mut self) -> Result<bool, End> {
        match self.receive_once()? {
            Received::Bytes => Ok(true),
            Received::End => Ok(false),
            Received::Nothing => {
                panic!("nothing within {TIMEOUT:?}, having received {:?}", shown(&self.buffer))
            }
        }
    }

    #[track_caller]
    fn receive_once(&mut self) -> Result<Received, End> {
        match self.end {
            Some(End::Clean) => return Ok(Received::End),
            Some(end) => return Err(end),
            None => {}
        }
        let received = match &mut self.tls {
            None => self.receive_plain(),
            Some(tls) => tls.receive(&mut self.stream, &mut self.buffer).map_err(End::from),
        };
        self.end = match received {
            Ok(Received::End) => Some(End::Clean),
            Ok(Received::Bytes | Received::Nothing) => None,
            Err(end) => Some(end),
        };
        received
    }

    #[track_caller]
    fn receive_plain(&mut self) -> Result<Received, End> {
        let mut piece = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Ok(Received::End),
                Ok(length) => {
                    self.buffer.extend_from_slice(&piece[..length]);
                    return Ok(Received::Bytes);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => return Ok(Received::Nothing),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Err(End::Reset),
                    _ => panic!("{error}, having received {:?}", shown(&self.buffer)),
                },
            }
        }
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        match failure {
            Failure::Truncated => End::Truncated,
            Failure::Reset => End::Reset,
            Failure::Alert(alert) => End::Alert(alert),
            Failure::TimedOut => panic!("no handshake within {TIMEOUT:?}"),
        }
    }
}

impl Connected {
    fn to(address: SocketAddr) -> Connected {
        *clients().entry(address).or_default() += 1;
        Connected(address)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(count) = clients().get_mut(&self.0) {
            *count -= 1;
        }
    }
}

fn clients() -> MutexGuard<'static, BTreeMap<SocketAddr, usize>> {
    // A panic elsewhere cannot leave a count half updated.
    CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)
}
