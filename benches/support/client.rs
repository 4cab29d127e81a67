//! The client: one thread, raw sockets, the next request always ready.
//!
//! It has to cost less than the servers it is to tell apart. So an answer is checked once, on each connection
//! before anything is timed; after that its bytes are only counted.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// How a load looks.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Connections that are open at once.
    pub connections: usize,
    /// How many of them ask for anything while it is timed.
    pub active: usize,
    /// Requests that are sent at once, and answered before the next are.
    pub pipeline: usize,
    /// What a connection is good for.
    pub reuse: Reuse,
}

/// What a connection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Many requests.
    KeepAlive,
    /// One.
    Never,
}

/// The last field of a request that asks for a close, and the empty line behind it.
pub const CLOSE_FIELD: &str = "Connection: close\r\n\r\n";

/// The server closes a connection after 10,000 requests, and says so in a longer answer; this client is gone
/// before that. A new connection now and then is lost in the noise.
const REQUESTS_MAX: usize = 9_984;

/// A load on one server.
pub struct Client {
    address: SocketAddr,
    plan: Plan,
    poll: Poll,
    events: Events,
    flows: Vec<Flow>,
    /// As many requests as the plan sends at once.
    batch: Vec<u8>,
    batch_answer_bytes: usize,
    scratch: Box<[u8]>,
}

/// One place in the plan, which has one connection after the other.
struct Flow {
    socket: TcpStream,
    /// Of the answers to the batch under way.
    unread_bytes: usize,
    requests_left: usize,
}

impl Client {
    /// Opens the connections of `plan`; on each the server must answer a request for `file` with `content`.
    ///
    /// # Panics
    /// If it does not: there is nothing worth timing.
    pub fn connect(address: SocketAddr, plan: Plan, file: &str, content: &[u8]) -> Client {
        let last_fields = if plan.reuse == Reuse::Never { CLOSE_FIELD } else { "\r\n" };
        let request = format!("GET /{file} HTTP/1.1\r\nHost: {address}\r\n{last_fields}").into_bytes();
        let mut client = Client {
            address,
            plan,
            poll: Poll::new().expect("the system has a descriptor left"),
            events: Events::with_capacity(1024),
            flows: Vec::new(),
            batch: request.repeat(plan.pipeline),
            batch_answer_bytes: 0,
            scratch: vec![0; 256 * 1024].into(),
        };
        for key in 0..plan.connections {
            let mut socket = TcpStream::connect(address).expect("the server listens");
            let answer_bytes = check(&mut socket, &request, content);
            client.batch_answer_bytes = answer_bytes * plan.pipeline;
            if plan.reuse == Reuse::KeepAlive {
                let flow = client.flow(key, socket);
                client.flows.push(flow);
            }
        }
        client
    }

    /// Has `batches` answered and tells how long that took.
    pub fn exchange(&mut self, batches: u64) -> Duration {
        let start = Instant::now();
        if self.plan.reuse == Reuse::Never {
            self.flows.clear();
        }
        let (mut to_begin, mut answered) = (batches, 0);
        for key in 0..self.plan.active {
            if to_begin > 0 {
                to_begin -= 1;
                self.begin(key);
            }
        }
        while answered < batches {
            self.poll.poll(&mut self.events, Some(PATIENCE)).expect("a wait may be cut short, but not fail");
            assert!(!self.events.is_empty(), "the server did not answer in {PATIENCE:?}");
            let keys: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
            for key in keys {
                if self.read(key) {
                    answered += 1;
                    if to_begin > 0 {
                        to_begin -= 1;
                        self.begin(key);
                    }
                }
            }
        }
        start.elapsed()
    }

    /// Sends the next batch of a flow, on a new connection if the old one is used up.
    fn begin(&mut self, key: usize) {
        let is_used_up = self.flows.get(key).is_none_or(|flow| flow.requests_left < self.plan.pipeline);
        if is_used_up {
            let flow = self.flow(key, TcpStream::connect(self.address).expect("the server listens"));
            match self.flows.get_mut(key) {
                Some(place) => *place = flow,
                None => self.flows.push(flow),
            }
        }
        let flow = &mut self.flows[key];
        flow.requests_left -= self.plan.pipeline;
        flow.unread_bytes = self.batch_answer_bytes;
        // Everything before it was answered: the socket's buffer is empty and takes a small batch whole.
        let written = flow.socket.write(&self.batch).expect("the server is still there");
        assert_eq!(written, self.batch.len());
    }

    /// Reads what there is for a flow; whether that ends its batch.
    fn read(&mut self, key: usize) -> bool {
        let flow = &mut self.flows[key];
        loop {
            match flow.socket.read(&mut self.scratch) {
                // The end of a connection that was for one request. It is awaited, so that the server closes first
                // and has the work of it, as with any client that knows no length.
                Ok(0) => {
                    assert!(flow.unread_bytes == 0 && self.plan.reuse == Reuse::Never, "the server hung up");
                    return true;
                }
                Ok(length) => {
                    flow.unread_bytes = flow.unread_bytes.checked_sub(length).expect("no more than was asked for");
                    if flow.unread_bytes == 0 && self.plan.reuse == Reuse::KeepAlive {
                        return true;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => panic!("the server broke the connection: {error}"),
            }
        }
    }

    fn flow(&self, key: usize, socket: TcpStream) -> Flow {
        socket.set_nodelay(true).and_then(|()| socket.set_nonblocking(true)).expect("an open socket takes options");
        self.poll
            .registry()
            .register(&mut SourceFd(&socket.as_raw_fd()), Token(key), Interest::READABLE)
            .expect("the system can watch one socket more");
        let requests_left = if self.plan.reuse == Reuse::Never { 1 } else { REQUESTS_MAX };
        Flow { socket, unread_bytes: 0, requests_left }
    }
}

/// A server that says nothing for so long has lost an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has one request answered and looks at every byte that can be known; returns the length of the answer.
fn check(socket: &mut TcpStream, request: &[u8], content: &[u8]) -> usize {
    socket.set_read_timeout(Some(PATIENCE)).expect("an open socket takes options");
    socket.write_all(request).expect("the server takes a small request");
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = socket.read(&mut piece).expect("the server answers");
        answer.extend_from_slice(&piece[..length]);
        let body = memchr::memmem::find(&answer, b"\r\n\r\n").map(|head_end| &answer[head_end + 4..]);
        if body.is_some_and(|body| body.len() >= content.len()) || length == 0 {
            let is_right = answer.starts_with(b"HTTP/1.1 200 ") && body == Some(content);
            assert!(is_right, "not the right answer: {}", answer[..answer.len().min(500)].escape_ascii());
            return answer.len();
        }
    }
}
