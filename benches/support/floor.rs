//! The floor: what the kernel alone charges for traffic of this shape.
//!
//! One thread, one Poll, one answer that was made beforehand. Nothing is parsed: empty lines are counted, and a
//! request that asks for a close is recognised by its last bytes. No limits, no deadlines, no errors worth
//! the name: no server for anyone but the client of these benches.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::net::{SendFlags, SocketFlags, accept_with};
use slab::Slab;
use socket2::{Domain, Socket, Type};

use super::client::CLOSE_FIELD;

/// With this as its first argument, and a file as its second, the bench is a floor.
pub const ARGUMENT: &str = "serve-the-floor";
const LISTENER: Token = Token(usize::MAX);
/// Answers that are laid out one behind the other, for a pipeline to be answered in one write.
const COPIES: usize = 16;
/// Longer files are sent by sendfile: a copy through user space would be no floor.
const COPIED_BYTES_MAX: u64 = 64 * 1024;

/// Whether this process is to be a floor.
pub fn is_asked_for() -> bool {
    std::env::args().nth(1).as_deref() == Some(ARGUMENT)
}

/// Serves until it is killed.
pub fn serve() {
    let path = std::env::args_os().nth(2).expect("a file to answer with");
    let answer = Answer::new(Path::new(&path)).expect("the bench has just written the file");
    run(&answer).expect("loopback sockets work");
}

/// What every request is answered with.
struct Answer {
    /// [`COPIES`] whole answers, or one head where `file` follows it.
    memory: Vec<u8>,
    file: Option<File>,
    one_bytes: usize,
    head_bytes: usize,
}

impl Answer {
    fn new(path: &Path) -> io::Result<Answer> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        // As many fields as the others send.
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: floor!!\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n\
             Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        );
        let (head_bytes, one_bytes) = (head.len(), head.len() + length as usize);
        let mut memory = head.into_bytes();
        if length > COPIED_BYTES_MAX {
            return Ok(Answer { memory, file: Some(file), one_bytes, head_bytes });
        }
        file.read_to_end(&mut memory)?;
        Ok(Answer { memory: memory.repeat(COPIES), file: None, one_bytes, head_bytes })
    }

    /// Sends what it can of the `owed` bytes, of which the first stands `at` in an answer.
    fn send(&self, socket: &mut TcpStream, at: usize, owed: usize) -> io::Result<usize> {
        match &self.file {
            None => socket.write(&self.memory[at..self.memory.len().min(at + owed)]),
            Some(_) if at < self.head_bytes => {
                Ok(rustix::net::send(&*socket, &self.memory[at..], SendFlags::NOSIGNAL | SendFlags::MORE)?)
            }
            Some(file) => {
                let mut offset = (at - self.head_bytes) as u64;
                Ok(rustix::fs::sendfile(&*socket, file, Some(&mut offset), self.one_bytes - at)?)
            }
        }
    }
}

struct Client {
    socket: TcpStream,
    /// Where in an answer the next byte stands.
    at: usize,
    owed: usize,
    is_last: bool,
}

fn run(answer: &Answer) -> io::Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    listener.set_tcp_nodelay(true)?;
    listener.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listener.listen(4096)?;
    let address = listener.local_addr()?.as_socket().expect("it was bound to an IPv4 address");
    println!("The floor is on http://{address}/");

    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let mut clients: Slab<Client> = Slab::new();
    let mut scratch = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok(socket) = accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    let socket = TcpStream::from(socket);
                    let entry = clients.vacant_entry();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(entry.key()), both)?;
                    entry.insert(Client { socket, at: 0, owed: 0, is_last: false });
                }
            } else if let Some(client) = clients.get_mut(event.token().0)
                && let Go::Away = client.go_on(answer, &mut scratch)
            {
                clients.remove(event.token().0);
            }
        }
    }
}

enum Go {
    On,
    Away,
}

impl Client {
    /// Reads once, which drains a socket of less than `scratch`, and sends what it can.
    fn go_on(&mut self, answer: &Answer, scratch: &mut [u8]) -> Go {
        if self.owed == 0 {
            match self.socket.read(scratch) {
                Ok(0) => return Go::Away,
                Ok(length) => {
                    let received = &scratch[..length];
                    self.owed = memchr::memmem::find_iter(received, b"\r\n\r\n").count() * answer.one_bytes;
                    self.is_last = received.ends_with(CLOSE_FIELD.as_bytes());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Go::On,
                Err(_) => return Go::Away,
            }
        }
        while self.owed > 0 {
            match answer.send(&mut self.socket, self.at, self.owed) {
                Ok(sent) => {
                    self.owed -= sent;
                    self.at = (self.at + sent) % answer.one_bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Go::On,
                Err(_) => return Go::Away,
            }
        }
        if self.is_last { Go::Away } else { Go::On }
    }
}
