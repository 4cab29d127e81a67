//! A client of raw bytes: it sends given bytes in given pieces, and reads exactly what arrives.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::response::Response;
use super::wait::{PATIENCE, shown, wait_until};

/// A connection to the server.
pub struct Peer {
    /// The socket, for tests that need more than the methods here.
    pub stream: TcpStream,
    /// Received bytes that no method has returned yet.
    ahead: Vec<u8>,
    _presence: Presence,
}

/// Counts a client of this address while it exists.
struct Presence(SocketAddr);

static PRESENT: Mutex<BTreeMap<SocketAddr, usize>> = Mutex::new(BTreeMap::new());

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed its side with FIN: everything that it sent has arrived.
    Clean,
    /// The connection was reset: what the server sent before may be lost.
    Reset,
}

/// A GET request for `path`.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A GET request for `path` with more headers: each a line without its CRLF.
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
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        // With Nagle's algorithm, a piece would wait for the acknowledgement of the one before and
        // arrive together with the next.
        stream.set_nodelay(true).expect("a socket has no delay");
        Peer { stream, ahead: Vec::new(), _presence: Presence::of(address) }
    }

    /// The number of clients of this address.
    pub fn count(address: SocketAddr) -> usize {
        present().get(&address).copied().unwrap_or(0)
    }

    /// Sends all bytes in one call.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes what it is sent");
    }

    /// Sends the bytes in pieces of `size`.
    #[track_caller]
    pub fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) {
        bytes.as_ref().chunks(size).for_each(|piece| self.send(piece));
    }

    /// Closes the write side (FIN).
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Resets the connection, as a crashed client does.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("a socket has a linger time");
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

    /// Requests a path.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(get(path))
    }

    /// Requests a path with more headers.
    #[track_caller]
    pub fn get_with(&mut self, path: &str, fields: &[&str]) -> Response {
        self.ask(get_with(path, fields))
    }

    /// Requests a path until its ETag is strong, which happens when the file is old enough.
    #[track_caller]
    pub fn settled(&mut self, path: &str, fields: &[&str]) -> Response {
        wait_until("the tag becomes strong", || {
            Some(self.get_with(path, fields))
                .filter(|response| response.required("ETag").starts_with('"'))
        })
    }

    /// Reads one response and not a byte more.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let mut response = self.response_to_head();
        if response.may_have_body() {
            response.body = self.take(response.content_length() as usize);
        }
        response
    }

    /// Reads one response to a HEAD request, or the head of a response.
    #[track_caller]
    pub fn response_to_head(&mut self) -> Response {
        loop {
            if let Some(end) = memchr::memmem::find(&self.ahead, b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                return Response::parse(&std::mem::replace(&mut self.ahead, rest));
            }
            let received = self.receive();
            assert!(
                received == Ok(true),
                "no answer, but {received:?} after {:?}",
                shown(&self.ahead)
            );
        }
    }

    /// Reads `length` bytes, whatever they belong to.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert!(
                self.receive() == Ok(true),
                "it ended after {} of {length} bytes",
                self.ahead.len()
            );
        }
        let rest = self.ahead.split_off(length);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Reads until the connection ends; returns the bytes and how it ended.
    #[track_caller]
    pub fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            match self.receive() {
                Ok(true) => {}
                Ok(false) => break End::Clean,
                Err(end) => break end,
            }
        };
        (std::mem::take(&mut self.ahead), end)
    }

    /// Fails unless the connection ends with FIN and without further bytes.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let (rest, end) = self.rest();
        assert_eq!(
            (shown(&rest), end),
            (String::new(), End::Clean),
            "what came instead of a clean end"
        );
    }

    /// Reads responses until the connection ends, which must be with FIN.
    #[track_caller]
    pub fn responses_to_the_end(&mut self) -> Vec<Response> {
        let (rest, end) = self.rest();
        assert_eq!(end, End::Clean, "after {}", shown(&rest));
        self.ahead = rest;
        let mut responses = Vec::new();
        while !self.ahead.is_empty() {
            responses.push(self.response());
        }
        responses
    }

    /// Waits for bytes. Returns false at the end of input; a reset is a failure.
    #[track_caller]
    fn receive(&mut self) -> Result<bool, End> {
        let mut piece = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut piece) {
                Ok(length) => {
                    self.ahead.extend_from_slice(&piece[..length]);
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
                Err(error) => panic!("{error}, having received {:?}", shown(&self.ahead)),
            }
        }
    }
}

impl Presence {
    fn of(address: SocketAddr) -> Presence {
        *present().entry(address).or_default() += 1;
        Presence(address)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(count) = present().get_mut(&self.0) {
            *count -= 1;
        }
    }
}

fn present() -> MutexGuard<'static, BTreeMap<SocketAddr, usize>> {
    // The map is changed in one step, so a poisoned lock protects nothing half-made.
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner)
}
