//! The floor: about the least that a server with one thread can do for these requests.
//!
//! | request | system calls for a response |
//! |---|---|
//! | a file of at most 64 KiB | `recv` and one `send`, from memory |
//! | pipelined requests for it | the same for the whole batch |
//! | a larger file | `recv`, `send` for the head, and `sendfile` from an open descriptor |
//! | one of 256 KiB or more | also two `setsockopt`, for `TCP_CORK` |
//! | a range | `recv`, `pread` from an open descriptor, and one `send` for head and bytes |
//! | one of many files | `recv` and one `send`; `openat`, `read` and `close` if it is not kept |
//!
//! Of many files it keeps the first that are requested, up to the default size of miniweb's cache,
//! and does not replace them. At random requests no other choice of files would be hit more often.
//!
//! It does not parse requests: it counts the empty lines, looks for `Connection: close` at the end,
//! and takes the path if there is more than one. It responds to everything with the file of the
//! workload and never checks whether that has changed. It has no timeouts and no limits, and relies
//! on the load generator, which sends the next batch when it has every response to the last one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use miniweb::server::{default_cache_bytes, listening};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fs::{Mode, OFlags, openat, sendfile};
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{SendFlags, SocketFlags, accept_with, send};
use rustix::process::{Signal, set_parent_process_death_signal};
use slab::Slab;

use crate::loads::{MANY_BYTES, RANGE_BYTES, RANGE_FIRST, Target};
use crate::site::path_of;

/// Larger files are sent with `sendfile`, which copies less.
const MEMORY_BYTES_MAX: usize = 64 * 1024;
/// A response of this length or more is corked until its end, as it is by miniweb.
const LONG_BYTES_MIN: u64 = 256 * 1024;
/// Copies of a response in one buffer, so that one write serves a pipeline.
const COPIES: usize = 16;
const LISTENER: Token = Token(usize::MAX);

/// What it responds with.
enum Source {
    /// [`COPIES`] responses.
    Memory {
        copies: Vec<u8>,
    },
    Large {
        head: Vec<u8>,
        file: File,
        bytes: u64,
    },
    /// The buffer begins with the head.
    Range {
        buffer: Vec<u8>,
        head_bytes: usize,
        file: File,
    },
    /// The buffer begins with the head.
    Many {
        root: OwnedFd,
        buffer: Vec<u8>,
        head_bytes: usize,
        kept: HashMap<Vec<u8>, Vec<u8>>,
        kept_bytes_max: u64,
    },
}

struct Client {
    socket: TcpStream,
    /// What the socket did not accept yet: first of memory, then of the file.
    unsent: Vec<u8>,
    unsent_of_file: Range<u64>,
    is_last: bool,
}

/// Serves the files of `target` beneath `root` until the process is killed or the bench ends.
pub fn serve(root: &Path, target: Target) -> io::Result<()> {
    // The bench stops it, too, but cannot if it is killed itself.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut source = Source::open(root, target)?;
    let listener = listening((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    println!("Serving the floor on http://{address}/");

    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), LISTENER, Interest::READABLE)?;
    let (mut clients, mut scratch) = (Slab::<Client>::new(), vec![0; 64 * 1024]);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            if event.token() != LISTENER {
                let key = event.token().0;
                if let Some(client) = clients.get_mut(key)
                    && client.advance(&mut source, &mut scratch).is_err()
                {
                    clients.remove(key);
                }
                continue;
            }
            while let Ok(socket) =
                accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
            {
                let mut client = Client::new(socket.into());
                // A request usually comes with the connection. If it is the last one, the socket
                // need not be registered.
                if client.advance(&mut source, &mut scratch).is_ok() {
                    let entry = clients.vacant_entry();
                    let fd = client.socket.as_raw_fd();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut SourceFd(&fd), Token(entry.key()), both)?;
                    entry.insert(client);
                }
            }
        }
    }
}

impl Source {
    fn open(root: &Path, target: Target) -> io::Result<Source> {
        let open = |bytes| File::open(root.join(&path_of(bytes)[1..]));
        Ok(match target {
            Target::File { bytes } if bytes <= MEMORY_BYTES_MAX => {
                let mut response = head("200 OK", bytes, "");
                open(bytes)?.read_to_end(&mut response)?;
                Source::Memory { copies: response.repeat(COPIES) }
            }
            Target::File { bytes } => Source::Large {
                head: head("200 OK", bytes, ""),
                file: open(bytes)?,
                bytes: bytes as u64,
            },
            Target::Range { file_bytes } => {
                let last = RANGE_FIRST + RANGE_BYTES - 1;
                let range = format!("Content-Range: bytes {RANGE_FIRST}-{last}/{file_bytes}\r\n");
                let mut buffer = head("206 Partial Content", RANGE_BYTES, &range);
                let head_bytes = buffer.len();
                buffer.resize(head_bytes + RANGE_BYTES, 0);
                Source::Range { buffer, head_bytes, file: open(file_bytes)? }
            }
            Target::Files { .. } => {
                let mut buffer = head("200 OK", MANY_BYTES, "");
                let head_bytes = buffer.len();
                buffer.resize(head_bytes + MANY_BYTES, 0);
                let root = File::open(root)?.into();
                let kept_bytes_max = default_cache_bytes();
                Source::Many { root, buffer, head_bytes, kept: HashMap::new(), kept_bytes_max }
            }
        })
    }

    /// The responses to the requests in `received`: bytes, and what follows of the file.
    fn respond(&mut self, received: &[u8]) -> io::Result<(&[u8], Range<u64>)> {
        match self {
            Source::Memory { copies } => {
                let requests = memchr::memmem::find_iter(received, b"\r\n\r\n").count();
                Ok((&copies[..copies.len() / COPIES * requests], 0..0))
            }
            Source::Large { head, bytes, .. } => Ok((head, 0..*bytes)),
            Source::Range { buffer, head_bytes, file } => {
                file.read_exact_at(&mut buffer[*head_bytes..], RANGE_FIRST as u64)?;
                Ok((buffer, 0..0))
            }
            Source::Many { root, buffer, head_bytes, kept, kept_bytes_max } => {
                const METHOD: &[u8] = b"GET /";
                let path = received.get(METHOD.len()..).unwrap_or_default();
                let path = path.split(|byte| *byte == b' ').next().unwrap_or_default();
                // A second look-up for a hit, because the borrow checker rejects a return of the
                // first. It takes some 30 ns.
                if !kept.contains_key(path) {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                    let mut file = File::from(openat(&*root, path, flags, Mode::empty())?);
                    file.read_exact(&mut buffer[*head_bytes..])?;
                    if ((kept.len() + 1) * buffer.len()) as u64 > *kept_bytes_max {
                        return Ok((buffer, 0..0));
                    }
                    kept.insert(path.to_vec(), buffer.clone());
                }
                Ok((&kept[path], 0..0))
            }
        }
    }

    /// Whether a response takes several writes. Then only full segments are sent until its end.
    fn is_long(&self) -> bool {
        matches!(self, Source::Large { bytes, .. } if *bytes >= LONG_BYTES_MIN)
    }

    fn file(&self) -> Option<&File> {
        match self {
            Source::Large { file, .. } => Some(file),
            Source::Memory { .. } | Source::Range { .. } | Source::Many { .. } => None,
        }
    }
}

/// A head with the headers of miniweb.
fn head(status: &str, body_bytes: usize, more: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nServer: floor!!\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: text/html; charset=utf-8\r\nContent-Length: {body_bytes}\r\n{more}\
         Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"0123456789abcdef\"\r\n\
         Accept-Ranges: bytes\r\n\r\n"
    )
    .into_bytes()
}

impl Client {
    fn new(socket: TcpStream) -> Client {
        Client { socket, unsent: Vec::new(), unsent_of_file: 0..0, is_last: false }
    }

    /// Responds to what has arrived, or goes on sending. Err: the connection is finished.
    fn advance(&mut self, source: &mut Source, scratch: &mut [u8]) -> io::Result<()> {
        if self.unsent.is_empty() && self.unsent_of_file.is_empty() {
            // A short read drains the socket, so one is enough.
            let received = match self.socket.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => &scratch[..length],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.is_last = received.ends_with(b"Connection: close\r\n\r\n");
            if source.is_long() {
                set_tcp_cork(&self.socket, true)?;
            }
            let (bytes, of_file) = source.respond(received)?;
            self.unsent_of_file = of_file;
            // MORE: the end of the head goes into one segment with the start of the file.
            let more = match self.unsent_of_file.is_empty() {
                true => SendFlags::empty(),
                false => SendFlags::MORE,
            };
            let sent = or_none(send(&self.socket, bytes, SendFlags::NOSIGNAL | more))?;
            self.unsent.extend_from_slice(&bytes[sent.unwrap_or(0)..]);
        }
        while !self.unsent.is_empty() {
            let Some(sent) = or_none(send(&self.socket, &self.unsent, SendFlags::NOSIGNAL))? else {
                return Ok(());
            };
            self.unsent.drain(..sent);
        }
        while let (false, Some(file)) = (self.unsent_of_file.is_empty(), source.file()) {
            let Range { start, end } = &mut self.unsent_of_file;
            let length = usize::try_from(*end - *start).unwrap_or(usize::MAX);
            // It advances the start.
            match or_none(sendfile(&self.socket, file, Some(start), length))? {
                None => return Ok(()),
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(_) => {}
            }
        }
        if source.is_long() {
            set_tcp_cork(&self.socket, false)?;
        }
        if self.is_last { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// None if the call would block.
fn or_none(result: rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(length) => Ok(Some(length)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
