//! A client that sends raw bytes in pieces of any size and reads exactly the bytes of a response.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Socket, Type};

use super::response::Response;
use super::wait::{TIMEOUT, shown, wait_until};

/// A connection to the server.
pub struct Peer {
    /// The socket, for operations that only one test needs.
    pub stream: TcpStream,
    /// Bytes received and not yet returned.
    buffer: Vec<u8>,
    _connected: Connected,
}

/// Counts a client of this address while it exists.
struct Connected(SocketAddr);

static CLIENTS: Mutex<BTreeMap<SocketAddr, usize>> = Mutex::new(BTreeMap::new());

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server sent FIN: everything that it sent has arrived.
    Clean,
    /// The server sent RST: data that it sent before may be lost.
    Reset,
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
        let stream =
            TcpStream::connect_timeout(&address, TIMEOUT).expect("the server is listening");
        Peer::new(stream, address)
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
    #[track_caller]
    pub fn connect_to_unix(path: &Path, address: SocketAddr) -> Peer {
        let stream = UnixStream::connect(path).expect("the server is listening");
        // The calls that tests make work on both kinds of stream.
        Peer::with_timeouts(OwnedFd::from(stream).into(), address)
    }

    fn new(stream: TcpStream, address: SocketAddr) -> Peer {
        // Nagle's algorithm would merge pieces that must arrive one at a time.
        stream.set_nodelay(true).expect("TCP sockets support TCP_NODELAY");
        Peer::with_timeouts(stream, address)
    }

    fn with_timeouts(stream: TcpStream, address: SocketAddr) -> Peer {
        stream.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        stream.set_write_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        Peer { stream, buffer: Vec::new(), _connected: Connected::to(address) }
    }

    /// Whether no byte of a response has arrived yet.
    pub fn is_waiting(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket has modes");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a socket has modes");
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// The number of clients of this address that have not been dropped.
    pub fn count(address: SocketAddr) -> usize {
        clients().get(&address).copied().unwrap_or(0)
    }

    /// Sends all bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads its input");
    }

    /// Sends the bytes in pieces of `size` bytes.
    #[track_caller]
    pub fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        bytes.as_ref().chunks(size).for_each(|piece| self.send(piece));
    }

    /// Closes the sending side of the connection (FIN).
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
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
                return Response::parse(&std::mem::replace(&mut self.buffer, rest));
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
        std::mem::replace(&mut self.buffer, rest)
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
        (std::mem::take(&mut self.buffer), end)
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
    fn receive(&mut self) -> Result<bool, End> {
        let mut piece = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(length) => {
                    self.buffer.extend_from_slice(&piece[..length]);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                    ) =>
                {
                    return Err(End::Reset);
                }
                Err(error) => panic!("{error}, having received {:?}", shown(&self.buffer)),
            }
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
