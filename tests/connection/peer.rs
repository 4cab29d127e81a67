//! Both ends of a connection in memory: a site that answers from made-up files, and a peer that moves bytes
//! in whatever pieces a test wants.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrayvec::ArrayVec;
use miniweb::http::{
    Body, Closing, Connection, DeferredReply, Exchange, HeaderBlock, Limits, Method, Moment, Now,
    Reply, Request, Respond, Response, Status, Step, Target, Transmit, error_response,
};

/// A file that is nowhere: its bytes follow from where they stand.
#[derive(Clone, Copy, Debug)]
pub struct PaperFile;

impl PaperFile {
    /// The bytes of `range`. The period is a prime, so that no two nearby ranges look the same.
    pub fn read(self, range: std::ops::Range<u64>) -> impl Iterator<Item = u8> {
        range.map(|at| b'a' + (at % 23) as u8)
    }
}

/// Longer than what is copied into the queue: shared with it instead.
pub const LARGE_BYTES: usize = 20_000;
/// What of the file `/part` answers with, and `/parts` between two texts.
pub const PART: std::ops::Range<u64> = 100..400;
/// The length of `/file`.
pub const FILE_BYTES: u64 = 3_000;

/// Answers each known path with another kind of body, and says in a field what was asked.
#[derive(Debug)]
pub struct PaperSite {
    large: bytes::Bytes,
    /// Requests answered.
    pub answered: usize,
}

impl PaperSite {
    pub fn new() -> PaperSite {
        PaperSite { large: vec![b'L'; LARGE_BYTES].into(), answered: 0 }
    }
}

impl Respond for PaperSite {
    type File = PaperFile;

    fn respond(&mut self, request: &Request<'_>, _: &Now) -> Reply<PaperFile> {
        self.answered += 1;
        let response = self.read(request);
        match request.target {
            Target::Path { path: b"/late", .. } => Reply::Deferred(Box::new(|| response)),
            Target::Path { path: b"/never", .. } => {
                Reply::Deferred(Box::new(|| panic!("as a test wants it")))
            }
            _ => Reply::Ready(response),
        }
    }
}

impl PaperSite {
    fn read(&self, request: &Request<'_>) -> Response<PaperFile> {
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
            b"/file" => Body::File { file: PaperFile, range: 0..FILE_BYTES },
            b"/part" => Body::File { file: PaperFile, range: PART },
            b"/parts" => Body::Parts(vec![
                text(b"before"),
                Body::File { file: PaperFile, range: PART },
                text(b"after"),
            ]),
            b"/late" => text(b"late"),
            small if small.starts_with(b"/small") => text(b"small"),
            _ => return error_response(Status::NotFound, ""),
        };
        let mut headers = HeaderBlock::default();
        headers.push("Asked", path);
        headers.push_number("Content-Length", body.len());
        Response { status: Status::Ok, headers, body }
    }
}

fn text(text: &'static [u8]) -> Body<PaperFile> {
    Body::Bytes(bytes::Bytes::from_static(text))
}

/// A GET of `path` that leaves the connection open.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// One connection, driven by the test.
pub struct Peer {
    pub connection: Connection<PaperFile>,
    pub site: PaperSite,
    pub now: Now,
    /// Every byte that was taken.
    pub received: Vec<u8>,
    /// What an access log would have been given.
    pub exchanges: Vec<Exchange>,
    /// The work on an answer that the connection waits for.
    pub deferred: Option<DeferredReply<PaperFile>>,
}

impl Peer {
    /// Just accepted, under `limits`.
    pub fn new(limits: Limits) -> Peer {
        Peer::of_server(&Arc::new(limits))
    }

    /// One of several that a server accepted, which all have the same `limits`.
    pub fn of_server(limits: &Arc<Limits>) -> Peer {
        let now = Now::new(Moment::default(), UNIX_EPOCH + Duration::from_secs(784_111_777));
        Peer {
            connection: Connection::new(limits.clone(), &now),
            site: PaperSite::new(),
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

    /// How long until the connection wants to be looked at.
    pub fn patience(&self) -> Option<Duration> {
        self.connection.deadline().map(|deadline| deadline.since(self.now.moment))
    }

    /// Waits until the deadline and reports it.
    pub fn be_late(&mut self) {
        self.now.moment =
            self.connection.deadline().expect("a connection that waits has a deadline");
        self.connection.handle_timeout(&self.now);
    }

    /// Sends `bytes`, which must be wanted.
    pub fn give(&mut self, bytes: impl AsRef<[u8]>) {
        assert_eq!(self.connection.step(), Step::Receive);
        self.receive(bytes.as_ref());
    }

    /// The same, wanted or not.
    pub fn receive(&mut self, bytes: &[u8]) {
        let deferred = self.connection.receive(bytes, &self.now, &mut self.site);
        assert!(
            deferred.is_none() || self.deferred.is_none(),
            "answers are made one after the other"
        );
        self.deferred = deferred.or(self.deferred.take());
    }

    /// Takes at most `bytes_max` of what is offered next; returns how many bytes that was.
    pub fn take(&mut self, bytes_max: usize) -> usize {
        assert_eq!(self.connection.step(), Step::Send);
        let before = self.received.len();
        let mut slices = ArrayVec::<_, 4>::new();
        match self.connection.output().next_transmit(&mut slices) {
            Transmit::Empty => panic!("there is nothing to send"),
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

    /// Reads all there is to read, and goes on as a strategy would until the connection waits or is over.
    pub fn settle(&mut self) -> Step {
        self.settle_in_writes_of(usize::MAX)
    }

    /// The same, at most `bytes_max` at a time.
    pub fn settle_in_writes_of(&mut self, bytes_max: usize) -> Step {
        loop {
            match self.connection.step() {
                Step::Send => drop(self.take(bytes_max)),
                Step::Resume => self.receive(&[]),
                Step::Wait => {
                    let deferred = self.deferred.take().expect("what is waited for was handed out");
                    self.connection.complete(deferred.finish(), &self.now);
                }
                Step::CheckInput => self.connection.end_of_input(),
                Step::HalfClose => self.connection.half_closed(&self.now),
                end @ (Step::Receive | Step::Close(_)) => return end,
            }
        }
    }

    /// Closes the peer's side and reads to the end.
    pub fn finish(&mut self) -> Closing {
        if self.settle() == Step::Receive {
            self.connection.end_of_input();
        }
        match self.settle() {
            Step::Close(closing) => closing,
            other => {
                panic!("after the end of its input a connection closes, but this one: {other:?}")
            }
        }
    }

    /// The answers that were taken so far.
    pub fn answers(&self) -> Vec<Received> {
        answers(&self.received)
    }
}

/// One answer as the peer reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    pub status: u16,
    /// The path that it answers, where the site knew it.
    pub asked: Option<String>,
    /// The Connection field.
    pub connection: Option<String>,
    pub body: Vec<u8>,
}

/// Takes `received` apart.
pub fn answers(received: &[u8]) -> Vec<Received> {
    spans(received).iter().map(|span| span.read(received)).collect()
}

/// Where one answer stands in what was received.
#[derive(Debug)]
pub struct Span {
    start: usize,
    /// Where its body starts.
    pub head_end: usize,
    pub end: usize,
}

/// Where each answer stands. No body of this site holds a status line, which is how the next is found.
pub fn spans(received: &[u8]) -> Vec<Span> {
    let starts: Vec<usize> = memchr::memmem::find_iter(received, b"HTTP/1.1 ").collect();
    let ends = starts.iter().skip(1).copied().chain([received.len()]);
    let span = |(&start, end): (&usize, usize)| {
        let head_bytes = memchr::memmem::find(&received[start..end], b"\r\n\r\n")
            .expect("a head has an end")
            + 4;
        Span { start, head_end: start + head_bytes, end }
    };
    starts.iter().zip(ends).map(span).collect()
}

impl Span {
    fn read(&self, received: &[u8]) -> Received {
        let head = std::str::from_utf8(&received[self.start..self.head_end])
            .expect("the heads of this site are ASCII");
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let field =
            |name: &str| headers.clone().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        Received {
            status: head[9..12].parse().expect("a status is a number"),
            asked: field("Asked"),
            connection: field("Connection"),
            body: received[self.head_end..self.end].to_vec(),
        }
    }
}

/// What a peer saw of one whole connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Talk {
    pub received: Vec<u8>,
    pub closing: Closing,
    /// Status, bytes of the body, complete: one for each answer.
    pub logged: Vec<(u16, u64, bool)>,
}

/// Sends `pieces` one after the other as long as they are wanted, reads in writes of `bytes_max`, and leaves.
pub fn talk<'a>(
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    bytes_max: usize,
) -> Talk {
    let mut peer = Peer::new(Limits { record_exchanges: true, ..limits.clone() });
    for piece in pieces {
        if peer.settle_in_writes_of(bytes_max) == Step::Receive {
            peer.give(piece);
        }
    }
    peer.settle_in_writes_of(bytes_max);
    let closing = peer.finish();
    let exchanges = &mut peer.exchanges;
    peer.connection.abandon(|exchange| exchanges.push(exchange));
    let logged =
        peer.exchanges.iter().map(|e| (e.status.code(), e.body_bytes, e.complete)).collect();
    Talk { received: peer.received, closing, logged }
}
