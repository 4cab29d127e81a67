//! The reference loop: what the kernel and the client cost for traffic of this shape, and little
//! else.
//!
//! One thread, one epoll instance, prepared responses. Only the start of the request line and the
//! empty lines are parsed. There are no limits and no timeouts, so this server is for a comparison
//! only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{SendFlags, SocketFlags, accept_with, send};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
/// Longer files are sent with sendfile(2), which copies less.
const COPIED_BYTES_MAX: u64 = 64 * 1024;
/// Copies of a response in one buffer, so that one write serves a pipeline.
const COPIES: usize = 16;

/// The prepared response for one path.
struct Response {
    request_prefix: Vec<u8>,
    head_bytes: usize,
    total_bytes: usize,
    /// [`COPIES`] complete responses, or one head if `file` follows.
    memory: Vec<u8>,
    file: Option<File>,
}

struct Client {
    socket: TcpStream,
    response: usize,
    /// The offset of the next byte within a response.
    at: usize,
    unsent_bytes: usize,
    is_last: bool,
}

/// Serves the files `paths` beneath `root` until the process is killed. Unknown paths receive the
/// first file.
///
/// # Errors
/// From a system call.
pub fn serve(
    root: &Path,
    paths: &[PathBuf],
    on_listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let responses =
        paths.iter().map(|path| Response::new(root, path)).collect::<io::Result<Vec<_>>>()?;
    let listener = crate::server::listening((Ipv4Addr::LOCALHOST, 0).into())?;
    on_listening(listener.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?);

    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let (mut clients, mut scratch) = (Slab::<Client>::new(), vec![0; 64 * 1024]);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok(socket) =
                    accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
                {
                    let socket = TcpStream::from(socket);
                    let entry = clients.vacant_entry();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(
                        &mut SourceFd(&socket.as_raw_fd()),
                        Token(entry.key()),
                        both,
                    )?;
                    entry.insert(Client {
                        socket,
                        response: 0,
                        at: 0,
                        unsent_bytes: 0,
                        is_last: false,
                    });
                }
            } else if let Some(client) = clients.get_mut(event.token().0)
                && client.handle_event(&responses, &mut scratch).is_err()
            {
                clients.remove(event.token().0);
            }
        }
    }
}

impl Response {
    fn new(root: &Path, path: &Path) -> io::Result<Response> {
        let mut file = File::open(root.join(path))?;
        let length = file.metadata()?.len();
        // The head is as long as those of the strategies.
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: refloop\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html; \
             charset=utf-8\r\nContent-Length: {length}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Accept-Ranges: bytes\r\n\r\n"
        );
        let (head_bytes, mut memory) = (head.len(), head.into_bytes());
        let is_copied = length <= COPIED_BYTES_MAX;
        if is_copied {
            file.read_to_end(&mut memory)?;
            memory = memory.repeat(COPIES);
        }
        let request_prefix = format!("GET /{} ", path.display()).into_bytes();
        let file = (!is_copied).then_some(file);
        Ok(Response {
            request_prefix,
            head_bytes,
            total_bytes: head_bytes + length as usize,
            memory,
            file,
        })
    }

    /// Sends part of the `unsent_bytes`, starting at offset `at` within a response.
    fn send(&self, socket: &mut TcpStream, at: usize, unsent_bytes: usize) -> io::Result<usize> {
        match &self.file {
            None => socket.write(&self.memory[at..self.memory.len().min(at + unsent_bytes)]),
            Some(_) if at < self.head_bytes => {
                Ok(send(&*socket, &self.memory[at..], SendFlags::NOSIGNAL | SendFlags::MORE)?)
            }
            Some(file) => {
                let mut offset = (at - self.head_bytes) as u64;
                Ok(rustix::fs::sendfile(&*socket, file, Some(&mut offset), self.total_bytes - at)?)
            }
        }
    }
}

impl Client {
    /// Reads once, which drains the socket if fewer bytes than `scratch` arrive, and sends until
    /// the socket blocks. Err: the connection is finished.
    fn handle_event(&mut self, responses: &[Response], scratch: &mut [u8]) -> io::Result<()> {
        if self.unsent_bytes == 0 {
            let received = match self.socket.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => &scratch[..length],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.response = responses
                .iter()
                .position(|response| received.starts_with(&response.request_prefix))
                .unwrap_or(0);
            let requests = memchr::memmem::find_iter(received, b"\r\n\r\n").count();
            self.unsent_bytes = requests * responses[self.response].total_bytes;
            self.is_last = received.ends_with(b"Connection: close\r\n\r\n");
        }
        let response = &responses[self.response];
        while self.unsent_bytes > 0 {
            match response.send(&mut self.socket, self.at, self.unsent_bytes) {
                Ok(sent) => {
                    self.unsent_bytes -= sent;
                    self.at = (self.at + sent) % response.total_bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.is_last { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}
