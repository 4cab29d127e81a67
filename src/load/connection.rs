//! One measured connection after another: what was asked on it and is not answered yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::response::AnswerReader;
use super::result::{Fault, Window};
use super::template::{Ask, Reuse};

/// A place for one connection at a time.
#[derive(Debug, Default)]
pub(super) struct Flow {
    link: Link,
    owed: VecDeque<Asked>,
    unsent_bytes: usize,
    /// Which of the things that are asked for it is at.
    turn: usize,
}

/// A request without its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) intended: Instant,
    pub(super) sent: Instant,
}

#[derive(Debug, Default)]
enum Link {
    /// There is no connection; the next request makes one.
    #[default]
    None,
    Open {
        socket: TcpStream,
        reader: AnswerReader,
        /// Something could be sent, so it was made.
        is_made: bool,
    },
    /// The last answer has come; its end is awaited, so that the server has the work of closing it, as it has
    /// with any client that knows no better.
    Ending { socket: TcpStream },
}

/// What has become of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Answers are owed.
    Waiting,
    /// Everything was answered.
    Free,
    /// The server has closed as it said, but answers are owed: they are to be asked for again.
    CutOff,
}

impl Flow {
    /// Over an open connection on which nothing is owed; `turn` is what it asks for first.
    pub(super) fn over(socket: TcpStream, turn: usize) -> Flow {
        let link = Link::Open { socket, reader: AnswerReader::default(), is_made: true };
        Flow { link, turn, ..Flow::default() }
    }

    pub(super) fn has_link(&self) -> bool {
        !matches!(self.link, Link::None)
    }

    /// Starts to connect. What is owed will be asked for (again).
    pub(super) fn connect(&mut self, address: SocketAddr, ask: &Ask) -> io::Result<()> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        // What is sent in one piece waits for nothing.
        if ask.reuse == Reuse::KeepAlive {
            socket.set_tcp_nodelay(true)?;
        }
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        self.unsent_bytes = self.owed.len() * ask.first().len();
        self.link =
            Link::Open { socket: socket.into(), reader: AnswerReader::default(), is_made: false };
        Ok(())
    }

    /// The connection, if there is one.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match &self.link {
            Link::Open { socket, .. } | Link::Ending { socket } => Some(socket),
            Link::None => None,
        }
    }

    /// Whether everything was sent that has to be.
    pub(super) fn is_sent(&self) -> bool {
        self.unsent_bytes == 0
    }

    pub(super) fn ask(&mut self, asked: Asked, ask: &Ask) {
        // A prime, so that all are come by, and far apart.
        const LEAP: usize = 7919;
        if self.owed.is_empty() {
            self.turn = self.turn.wrapping_add(LEAP);
        }
        self.owed.push_back(asked);
        self.unsent_bytes += ask.first().len();
    }

    /// Sends what has to be sent, as far as the socket takes it. A batch is made of whole requests, as many as are
    /// owed at most, and all alike.
    pub(super) fn write(&mut self, batches: &[Vec<u8>]) -> Result<(), Fault> {
        let batch = &batches[self.turn % batches.len()];
        let Link::Open { socket, is_made, .. } = &mut self.link else {
            return Ok(());
        };
        while self.unsent_bytes > 0 {
            match socket.write(&batch[batch.len() - self.unsent_bytes..]) {
                Ok(sent) => {
                    self.unsent_bytes -= sent;
                    *is_made = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) if *is_made => return Err(Fault::ClosedEarly),
                Err(_) => return Err(Fault::Connect),
            }
        }
        Ok(())
    }

    /// Reads what there is. A read that fills less than `scratch` takes the last of it, unless the server
    /// `has_closed`: that end has to be read, too.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        has_closed: bool,
        ask: &Ask,
        window: &mut Window,
    ) -> Result<State, Fault> {
        loop {
            let (Link::Open { socket, .. } | Link::Ending { socket }) = &mut self.link else {
                return Ok(self.state());
            };
            let length = match socket.read(scratch) {
                Ok(0) => return self.end(),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.state()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.end(),
            };
            window.received(length);
            self.take(&scratch[..length], ask, window)?;
            if length < scratch.len() && !has_closed {
                return Ok(self.state());
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], ask: &Ask, window: &mut Window) -> Result<(), Fault> {
        let now = Instant::now();
        // After the last answer nothing more is promised.
        while let Link::Open { reader, .. } = &mut self.link {
            let Some(answer) = reader.next(&mut bytes).map_err(|_| Fault::WrongLength)? else {
                break;
            };
            // An answer that nobody asked for.
            let asked = self.owed.pop_front().ok_or(Fault::WrongLength)?;
            if answer.status != ask.status {
                window.failed(Fault::WrongStatus, 1);
            } else if answer.body_bytes != ask.body_bytes {
                window.failed(Fault::WrongLength, 1);
            } else {
                window.answered(asked.intended, asked.sent, now);
            }
            if (answer.is_last || ask.reuse == Reuse::Never)
                && let Link::Open { socket, .. } = std::mem::take(&mut self.link)
            {
                self.link = Link::Ending { socket };
            }
        }
        Ok(())
    }

    /// The connection has ended.
    fn end(&mut self) -> Result<State, Fault> {
        let was_announced = matches!(self.link, Link::Ending { .. });
        let was_made = !matches!(self.link, Link::Open { is_made: false, .. });
        self.link = Link::None;
        match (self.owed.is_empty(), was_announced) {
            (true, _) => Ok(State::Free),
            (false, true) => Ok(State::CutOff),
            (false, false) => Err(if was_made { Fault::ClosedEarly } else { Fault::Connect }),
        }
    }

    /// Gives everything up; how many answers were owed.
    pub(super) fn abandon(&mut self) -> usize {
        let owed = self.owed.len();
        *self = Flow::default();
        owed
    }

    pub(super) fn state(&self) -> State {
        match self.link {
            Link::Ending { .. } => State::Waiting,
            _ if self.owed.is_empty() => State::Free,
            _ => State::Waiting,
        }
    }

    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// When the longest wait under way began.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.owed.front().map(|asked| asked.sent)
    }

    /// The fault of one that has waited too long.
    pub(super) fn lateness(&self) -> Fault {
        if matches!(self.link, Link::Open { is_made: true, .. }) {
            Fault::Timeout
        } else {
            Fault::Connect
        }
    }
}

/// An open connection whose first request was answered as expected: the server has it, and serves it.
pub(super) fn proven(
    address: SocketAddr,
    ask: &Ask,
    give_up: Instant,
    receive_buffer_bytes: Option<usize>,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(bytes) = receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    // A timeout of zero would be none.
    let left = || give_up.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    socket.connect_timeout(&address.into(), left())?;
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(left()))?;
    socket.write_all(ask.first())?;
    let (mut reader, mut piece) = (AnswerReader::default(), [0; 16 * 1024]);
    loop {
        let length = socket.read(&mut piece)?;
        let malformed =
            |_| io::Error::new(ErrorKind::InvalidData, "no answer that can be followed");
        match reader.next(&mut &piece[..length]).map_err(malformed)? {
            Some(answer) if answer.status != ask.status || answer.body_bytes != ask.body_bytes => {
                let what = format!("status {} with {} bytes", answer.status, answer.body_bytes);
                return Err(io::Error::new(ErrorKind::InvalidData, what));
            }
            Some(_) => break,
            None if length == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
