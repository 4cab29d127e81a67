//! The floor: what the kernel and the client alone charge for traffic of this shape.
//!
//! One thread, one epoll, answers that were made beforehand. A request is an empty line and the path before it; nothing else
//! is looked at. No limits, no deadlines: no server for anyone but the load of a comparison.

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
/// Longer files are sent by sendfile: a copy through this program would be no floor.
const COPIED_BYTES_MAX: u64 = 64 * 1024;
/// Answers that are laid out one behind the other, for a pipeline to be answered in one write.
const COPIES: usize = 16;

/// What the requests for one path are answered with.
struct Answer {
    request_begins: Vec<u8>,
    head_bytes: usize,
    total_bytes: usize,
    /// [`COPIES`] whole answers, or one head where `file` follows.
    memory: Vec<u8>,
    file: Option<File>,
}

struct Client {
    socket: TcpStream,
    answer: usize,
    /// Where in an answer the next byte stands.
    at: usize,
    owed_bytes: usize,
    is_last: bool,
}

/// Answers requests for `paths` with the files beneath `root` until it is ended; the first is the default.
///
/// # Errors
/// The system's.
pub fn serve(root: &Path, paths: &[PathBuf], announce: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let answers =
        paths.iter().map(|path| Answer::new(root, path)).collect::<io::Result<Vec<_>>>()?;
    let listener = crate::server::listening((Ipv4Addr::LOCALHOST, 0).into())?;
    announce(listener.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?);

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
                        answer: 0,
                        at: 0,
                        owed_bytes: 0,
                        is_last: false,
                    });
                }
            } else if let Some(client) = clients.get_mut(event.token().0)
                && client.go_on(&answers, &mut scratch).is_err()
            {
                clients.remove(event.token().0);
            }
        }
    }
}

impl Answer {
    fn new(root: &Path, path: &Path) -> io::Result<Answer> {
        let mut file = File::open(root.join(path))?;
        let length = file.metadata()?.len();
        // As many bytes as the others send.
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: floor!!\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html; \
             charset=utf-8\r\nContent-Length: {length}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Accept-Ranges: bytes\r\n\r\n"
        );
        let (head_bytes, mut memory) = (head.len(), head.into_bytes());
        let is_copied = length <= COPIED_BYTES_MAX;
        if is_copied {
            file.read_to_end(&mut memory)?;
            memory = memory.repeat(COPIES);
        }
        let request_begins = format!("GET /{} ", path.display()).into_bytes();
        let file = (!is_copied).then_some(file);
        Ok(Answer {
            request_begins,
            head_bytes,
            total_bytes: head_bytes + length as usize,
            memory,
            file,
        })
    }

    /// Sends what it can of the `owed` bytes, of which the first stands `at` in an answer.
    fn send(&self, socket: &mut TcpStream, at: usize, owed_bytes: usize) -> io::Result<usize> {
        match &self.file {
            None => socket.write(&self.memory[at..self.memory.len().min(at + owed_bytes)]),
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
    /// Reads once, which drains a socket of less than `scratch`, and sends what it can. Err: it is over.
    fn go_on(&mut self, answers: &[Answer], scratch: &mut [u8]) -> io::Result<()> {
        if self.owed_bytes == 0 {
            let received = match self.socket.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => &scratch[..length],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.answer = answers
                .iter()
                .position(|answer| received.starts_with(&answer.request_begins))
                .unwrap_or(0);
            let requests = memchr::memmem::find_iter(received, b"\r\n\r\n").count();
            self.owed_bytes = requests * answers[self.answer].total_bytes;
            self.is_last = received.ends_with(b"Connection: close\r\n\r\n");
        }
        let answer = &answers[self.answer];
        while self.owed_bytes > 0 {
            match answer.send(&mut self.socket, self.at, self.owed_bytes) {
                Ok(sent) => {
                    self.owed_bytes -= sent;
                    self.at = (self.at + sent) % answer.total_bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.is_last { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}
