//! Both ends of a connection in memory: a site with generated content, and a peer that sends and
//! reads bytes in pieces of any size.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrayvec::ArrayVec;
use bytes::Bytes;
use miniweb::http::{
    Body, Closing, Connection, DeferredReply, Exchange, HeaderBlock, Limits, Method, Moment, Now,
    Reply, ReplySender, Request, RequestError, Respond, Response, Status, Step, Target, Transmit,
    Work, error_response,
};

/// A file that exists nowhere. Each byte is a function of its offset.
#[derive(Clone, Copy, Debug)]
pub struct FakeFile;

impl FakeFile {
    /// The bytes of `range`. The period is a prime, so that ranges near each other differ.
    pub fn read(self, range: std::ops::Range<u64>) -> impl Iterator<Item = u8> {
        range.map(|at| b'a' + (at % 23) as u8)
    }
}

/// The length of `/large`: shared with the output instead of copied into it.
pub const LARGE_BYTES: usize = 20_000;
/// The range of the file in `/part`, and between two texts in `/parts`.
pub const PART: std::ops::Range<u64> = 100..400;
/// The length of `/file`.
pub const FILE_BYTES: u64 = 3_000;

/// Responds to each known path with a different kind of body, and copies the path into a header.
#[derive(Debug)]
pub struct FakeSite {
    large: Bytes,
    /// The number of requests so far.
    pub requests: usize,
    /// Whether the request that needs a check has passed it.
    has_passed: bool,
}

impl FakeSite {
    pub fn new() -> FakeSite {
        FakeSite { large: vec![b'L'; LARGE_BYTES].into(), requests: 0, has_passed: false }
    }
}

impl Respond for FakeSite {
    type File = FakeFile;

    fn respond(&mut self, request: &Request<'_>, _: &Now) -> Reply<FakeFile> {
        self.requests += 1;
        let response = self.response(request);
        match request.target {
            Target::Path { path: b"/deferred", .. } => deferred(|reply| reply.send(response)),
            Target::Path { path: b"/elsewhere", .. } => deferred(|reply| {
                std::thread::spawn(|| reply.send(response));
            }),
            Target::Path { path: b"/dropped", .. } => deferred(drop),
            Target::Path { path: b"/panic", .. } => deferred(|_| panic!("this test wants a panic")),
            Target::Path { path: b"/refused", .. } => {
                checked(|| Some(error_response(Status::Unauthorized, "")))
            }
            Target::Path { path: b"/panic-in-check", .. } => {
                checked(|| panic!("this test wants a panic"))
            }
            Target::Path { path: b"/checked" | b"/checked-deferred", .. } if !self.has_passed => {
                self.has_passed = true;
                checked(|| None)
            }
            Target::Path { path: b"/checked-deferred", .. } => {
                deferred(|reply| reply.send(response))
            }
            _ => Reply::Ready(response),
        }
    }

    fn refuse(&self, error: RequestError) -> Response<FakeFile> {
        let mut response = error.response();
        response.headers.push_lines(ERROR_HEADER);
        response
    }
}

/// What the site adds to errors that are made without it.
pub const ERROR_HEADER: &[u8] = b"Site: fake\r\n";

fn deferred(run: impl FnOnce(ReplySender<FakeFile>) + Send + 'static) -> Reply<FakeFile> {
    Reply::Deferred(Work::new(ERROR_HEADER.into(), run))
}

fn checked(run: impl FnOnce() -> Option<Response<FakeFile>> + Send + 'static) -> Reply<FakeFile> {
    Reply::Deferred(Work::check(ERROR_HEADER.into(), run))
}

impl FakeSite {
    fn response(&self, request: &Request<'_>) -> Response<FakeFile> {
        if !matches!(request.method, Method::Get | Method::Head) {
            return error_response(Status::MethodNotAllowed, "");
        }
        let path = match request.target {
            Target::Path { path, .. } => path,
            Target::Server | Target::Authority => return error_response(Status::NotFound, ""),
        };
        let body = match path {
            b"/empty" => Body::Empty,
            b"/large" => Body::Bytes(self.large.clone()),
            b"/file" => Body::File { file: FakeFile, range: 0..FILE_BYTES },
            b"/part" => Body::File { file: FakeFile, range: PART },
            b"/parts" => Body::Parts(vec![
                text(b"before"),
                Body::File { file: FakeFile, range: PART },
                text(b"after"),
            ]),
            b"/deferred" | b"/elsewhere" | b"/checked" | b"/checked-deferred" => text(b"late"),
            small if small.starts_with(b"/small") => text(b"small"),
            _ => return error_response(Status::NotFound, ""),
        };
        let mut headers = HeaderBlock::default();
        headers.push("Request-Path", path);
        headers.push_number("Content-Length", body.len());
        Response { status: Status::Ok, headers, body }
    }
}

fn text(text: &'static [u8]) -> Body<FakeFile> {
    Body::Bytes(Bytes::from_static(text))
}

/// A GET of `path` that leaves the connection open.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// One connection, driven by the test.
pub struct Peer {
    pub connection: Connection<FakeFile>,
    pub site: FakeSite,
    pub now: Now,
    /// Every byte read so far.
    pub received: Vec<u8>,
    /// The exchanges handed out so far.
    pub exchanges: Vec<Exchange>,
    /// The deferred reply that the connection waits for.
    pub deferred: Option<Box<DeferredReply<FakeFile>>>,
}

impl Peer {
    /// A connection that was just accepted.
    pub fn new(limits: Limits) -> Peer {
        Peer::of_server(&Arc::new(limits))
    }

    /// One of several connections of a server, which share `limits`.
    pub fn of_server(limits: &Arc<Limits>) -> Peer {
        let now = Now::new(Moment::default(), UNIX_EPOCH + Duration::from_secs(784_111_777));
        Peer {
            connection: Connection::new(limits.clone(), &now),
            site: FakeSite::new(),
            now,
            received: Vec::new(),
            exchanges: Vec::new(),
            deferred: None,
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now.moment += time;
    }

    /// The time until the deadline of the connection.
    pub fn time_left(&self) -> Option<Duration> {
        self.connection.deadline().map(|deadline| deadline.since(self.now.moment))
    }

    /// Advances the clock to the deadline and handles the timeout.
    pub fn time_out(&mut self) {
        self.now.moment = self
            .connection
            .deadline()
            .expect("a connection that waits for its peer has a deadline");
        self.connection.handle_timeout(&self.now, &self.site);
    }

    /// Sends `bytes`. The connection must ask for input.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert_eq!(self.connection.step(), Step::Receive);
        self.send_unrequested(bytes.as_ref());
    }

    /// Sends `bytes`, whether or not the connection asks for input.
    pub fn send_unrequested(&mut self, bytes: &[u8]) {
        let deferred = self.connection.receive(bytes, &self.now, &mut self.site);
        assert!(
            deferred.is_none() || self.deferred.is_none(),
            "only one reply is deferred at a time"
        );
        self.deferred = deferred.or(self.deferred.take());
    }

    /// Reads at most `bytes_max` of the output and returns how many bytes that was.
    pub fn read(&mut self, bytes_max: usize) -> usize {
        assert_eq!(self.connection.step(), Step::Send);
        let before = self.received.len();
        let mut slices = ArrayVec::<_, 4>::new();
        match self.connection.output().next_transmit(&mut slices) {
            Transmit::Empty => panic!("Step::Send without output"),
            Transmit::Memory { .. } => {
                let offered = slices.iter().flat_map(|slice| slice.iter());
                self.received.extend(offered.take(bytes_max));
            }
            Transmit::File { file, range } => {
                self.received.extend(file.read(range).take(bytes_max))
            }
        }
        drop(slices);
        let taken = self.received.len() - before;
        let exchanges = &mut self.exchanges;
        self.connection.sent(taken as u64, &self.now, |exchange| exchanges.push(exchange));
        taken
    }

    /// Performs steps until the connection waits for input or is closed.
    pub fn settle(&mut self) -> Step {
        self.settle_in_writes_of(usize::MAX)
    }

    /// The same; the socket accepts at most `bytes_max` bytes at a time.
    pub fn settle_in_writes_of(&mut self, bytes_max: usize) -> Step {
        loop {
            match self.connection.step() {
                Step::Send => drop(self.read(bytes_max)),
                Step::Resume => self.send_unrequested(&[]),
                Step::Wait => {
                    let deferred =
                        self.deferred.take().expect("Step::Wait follows a deferred reply");
                    self.connection.complete(deferred.wait(), &self.now);
                }
                Step::CheckInput => self.connection.end_of_input(),
                Step::HalfClose => self.connection.half_closed(&self.now),
                end @ (Step::Receive | Step::Close(_)) => return end,
            }
        }
    }

    /// Closes the sending side of the peer and reads to the end.
    pub fn finish(&mut self) -> Closing {
        if self.settle() == Step::Receive {
            self.connection.end_of_input();
        }
        match self.settle() {
            Step::Close(closing) => closing,
            other => {
                panic!("a connection closes after the end of its input, but: {other:?}")
            }
        }
    }

    /// The responses read so far.
    pub fn statuses(&self) -> Vec<u16> {
        self.responses().iter().map(|response| response.status).collect()
    }

    pub fn responses(&self) -> Vec<Received> {
        responses(&self.received)
    }
}

/// One response as the peer reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub status: u16,
    /// The path of its request, if the site knows it.
    pub path: Option<String>,
    /// The Connection header.
    pub connection: Option<String>,
    pub body: Vec<u8>,
}

/// Splits `received` into responses.
pub fn responses(received: &[u8]) -> Vec<Received> {
    spans(received).iter().map(|span| span.read(received)).collect()
}

/// The position of one response in the received bytes.
#[derive(Debug)]
pub struct Span {
    start: usize,
    pub head_end: usize,
    pub end: usize,
}

/// The position of each response. No body of the fake site contains a status line, so each status
/// line starts a response.
pub fn spans(received: &[u8]) -> Vec<Span> {
    let starts: Vec<usize> = memchr::memmem::find_iter(received, b"HTTP/1.1 ").collect();
    let ends = starts.iter().skip(1).copied().chain([received.len()]);
    let span = |(&start, end): (&usize, usize)| {
        let head_bytes = memchr::memmem::find(&received[start..end], b"\r\n\r\n")
            .expect("every head ends in an empty line")
            + 4;
        Span { start, head_end: start + head_bytes, end }
    };
    starts.iter().zip(ends).map(span).collect()
}

impl Span {
    fn read(&self, received: &[u8]) -> Received {
        let head = std::str::from_utf8(&received[self.start..self.head_end])
            .expect("every head of the fake site is ASCII");
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let header =
            |name: &str| headers.clone().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        Received {
            status: head[9..12].parse().expect("a status is three digits"),
            path: header("Request-Path"),
            connection: header("Connection"),
            body: received[self.head_end..self.end].to_vec(),
        }
    }
}

/// Everything a peer observes of one connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Transcript {
    pub received: Vec<u8>,
    pub closing: Closing,
    /// Status, body bytes sent, and completeness of each exchange.
    pub logged: Vec<(u16, u64, bool)>,
}

/// Sends `pieces` while the connection asks for input, in writes of at most `bytes_max` bytes, then
/// closes.
pub fn converse<'a>(
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    bytes_max: usize,
) -> Transcript {
    let mut peer = Peer::new(Limits { record_exchanges: true, ..limits.clone() });
    for piece in pieces {
        if peer.settle_in_writes_of(bytes_max) == Step::Receive {
            peer.send(piece);
        }
    }
    peer.settle_in_writes_of(bytes_max);
    let closing = peer.finish();
    let exchanges = &mut peer.exchanges;
    peer.connection.abandon(|exchange| exchanges.push(exchange));
    let logged =
        peer.exchanges.iter().map(|e| (e.status.code(), e.body_bytes, e.complete)).collect();
    Transcript { received: peer.received, closing, logged }
}
