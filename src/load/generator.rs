//! The load generator: one thread, non-blocking sockets, one poll loop.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::connection::{self, Asked, Flow, State};
use super::pace::{Pace, Schedule};
use super::plan::Plan;
use super::result::{Fault, Tally, Window};
use super::slow_readers::SlowClients;
use super::template::{Ask, Reuse};

/// How long a server may take for the first answers on all connections, and for each of them more.
const PATIENCE: Duration = Duration::from_secs(4);
const PATIENCE_MORE: Duration = Duration::from_millis(2);
/// After a fault a flow rests, so that a server that is down is not asked a million times.
const REST: Duration = Duration::from_millis(10);
/// How often lateness is looked for.
const LOOK_AROUND: Duration = Duration::from_millis(20);
/// What is read at once, in bytes.
const SCRATCH_BYTES: usize = 256 * 1024;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
const SCHEDULE: Token = Token(usize::MAX);

/// A load on one server: its connections, and a window of requests whenever it is asked for one.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    poll: Poll,
    /// As many requests as a connection may owe answers to, for each thing that is asked for.
    batches: Vec<Vec<u8>>,
    scratch: Box<[u8]>,
    flows: Vec<Flow>,
    /// Flows that could ask.
    free: VecDeque<usize>,
    /// Flows that had a fault, and until when they rest.
    resting: VecDeque<(Instant, usize)>,
    /// Intended moments that no flow was free for.
    waiting: VecDeque<Instant>,
    in_flight: usize,
    schedule: Option<Schedule>,
    slow: Option<SlowClients>,
    _idle: Vec<TcpStream>,
}

impl Load {
    /// Opens the connections of `plan`. On each a first request has been answered, except where a connection is for one
    /// request only: those are opened as they are needed.
    ///
    /// # Errors
    /// The system's, or the server's: no answer to the first request, or not the right one.
    pub fn open(plan: Plan) -> io::Result<Load> {
        let poll = Poll::new()?;
        let kept = plan.ask.without_close();
        let connections =
            plan.active + plan.idle + plan.slow.as_ref().map_or(0, |slow| slow.connections);
        let give_up = Instant::now() + PATIENCE + PATIENCE_MORE * connections as u32;
        let open = |_| proven_or_why(plan.address, &kept, give_up);
        let idle = (0..plan.idle).map(open).collect::<io::Result<Vec<_>>>()?;
        let slow = plan
            .slow
            .clone()
            .map(|readers| SlowClients::open(plan.address, readers, &kept, give_up))
            .transpose()?;
        let mut flows = Vec::with_capacity(plan.active);
        for key in 0..plan.active {
            if plan.ask.reuse == Reuse::Never {
                flows.push(Flow::default());
                continue;
            }
            let socket = open(key)?;
            watch(&poll, &socket, key, BOTH)?;
            flows.push(Flow::over(socket, key));
        }
        let schedule = match plan.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => Some(Schedule::new(per_second)?),
        };
        if let Some(schedule) = &schedule {
            let fd = schedule.as_fd().as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), SCHEDULE, Interest::READABLE)?;
        }
        Ok(Load {
            poll,
            batches: plan
                .ask
                .requests
                .iter()
                .map(|request| request.repeat(plan.depth.max(1)))
                .collect(),
            scratch: vec![0; SCRATCH_BYTES].into(),
            free: (0..plan.active).collect(),
            flows,
            resting: VecDeque::new(),
            waiting: VecDeque::new(),
            in_flight: 0,
            schedule,
            slow,
            _idle: idle,
            plan,
        })
    }

    /// Asks for `time`, then waits for the answers that are still owed.
    ///
    /// # Errors
    /// The system's: what was measured can't be trusted.
    pub fn run(&mut self, time: Duration) -> io::Result<Tally> {
        let mut events = Events::with_capacity(1024);
        let start = Instant::now();
        let end = start + time;
        let give_up = end + self.plan.timeout;
        let mut window = Window::begin(start, self.schedule.is_some());
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(start, end);
        }
        let (mut now, mut look_around) = (start, start + LOOK_AROUND);
        loop {
            self.ask_all(now, end, &mut window);
            if now >= end && self.is_at_rest() {
                break;
            }
            if now >= give_up {
                self.give_up(&mut window);
                break;
            }
            if let Some(schedule) = self.schedule.as_ref().filter(|_| now < end) {
                schedule.wind(now)?;
            }
            let wakes = [look_around, give_up]
                .into_iter()
                .chain(self.slow.as_ref().map(SlowClients::next_tick));
            let wake = wakes.chain((now < end).then_some(end)).min().unwrap_or(give_up);
            match self.poll.poll(&mut events, Some(wake.saturating_duration_since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            now = Instant::now();
            window.count_in_flight(self.in_flight, now);
            for event in events.iter().filter(|event| event.token() != SCHEDULE) {
                self.go_on(
                    event.token().0,
                    event.is_read_closed() || event.is_error(),
                    end,
                    &mut window,
                );
            }
            if let Some(slow) = &mut self.slow {
                slow.read(now, &mut self.scratch, &self.plan.ask, &mut window);
            }
            if now >= look_around {
                look_around = now + LOOK_AROUND;
                self.end_waits(now, &mut window);
            }
        }
        Ok(window.end(Instant::now()))
    }

    /// Sends everything that is due.
    fn ask_all(&mut self, now: Instant, end: Instant, window: &mut Window) {
        while let Some((until, key)) = self.resting.front().copied()
            && until <= now
        {
            self.resting.pop_front();
            self.free.push_back(key);
        }
        match &mut self.schedule {
            Some(schedule) => {
                while let Some(intended) = schedule.due(now) {
                    self.waiting.push_back(intended);
                    self.in_flight += 1;
                    // It was under way already while this thread slept or was busy.
                    window.count_late(now - intended);
                }
                while let Some(intended) = self.waiting.front().copied()
                    && let Some(key) = self.free.pop_front()
                {
                    self.waiting.pop_front();
                    self.ask(key, Asked { intended, sent: now }, 1, window);
                }
            }
            None if now < end => {
                while let Some(key) = self.free.pop_front() {
                    self.in_flight += self.plan.depth;
                    self.ask(key, Asked { intended: now, sent: now }, self.plan.depth, window);
                }
            }
            None => {}
        }
    }

    fn ask(&mut self, key: usize, asked: Asked, times: usize, window: &mut Window) {
        for _ in 0..times {
            self.flows[key].ask(asked, &self.plan.ask);
        }
        if !self.flows[key].has_link() {
            return self.connect(key, window);
        }
        if let Err(fault) = self.flows[key].write(&self.batches) {
            self.fail(key, fault, window);
        }
    }

    fn connect(&mut self, key: usize, window: &mut Window) {
        let flow = &mut self.flows[key];
        let connected = flow.connect(self.plan.address, &self.plan.ask).map_err(|_| Fault::Connect);
        let watched = connected.and_then(|()| {
            // On the same machine a connection is mostly made by now, and takes the request at once. If not, the poll tells when
            // it is; else there is nothing to be told of but the answer.
            flow.write(&self.batches)?;
            let interest = if flow.is_sent() { Interest::READABLE } else { BOTH };
            flow.socket().map_or(Ok(()), |socket| {
                watch(&self.poll, socket, key, interest).map_err(|_| Fault::Connect)
            })
        });
        if let Err(fault) = watched {
            self.fail(key, fault, window);
        }
    }

    /// A socket has news. In a closed loop the next request follows at once.
    fn go_on(&mut self, key: usize, has_closed: bool, end: Instant, window: &mut Window) {
        let flow = &mut self.flows[key];
        let owed = flow.owed();
        let was_free = flow.state() == State::Free;
        let read = flow
            .write(&self.batches)
            .and_then(|()| flow.read(&mut self.scratch, has_closed, &self.plan.ask, window));
        let answered = owed - flow.owed();
        if answered > 0 && self.schedule.is_some() {
            // In a closed loop the next request follows at once, and once a turn is enough.
            window.count_in_flight(self.in_flight, Instant::now());
        }
        self.in_flight -= answered;
        match read {
            Ok(State::Waiting) => {}
            // It had nothing to do and is among the free or the resting already.
            Ok(State::Free) if was_free => {}
            Ok(State::Free) => {
                self.free.push_back(key);
                let now = Instant::now();
                if self.schedule.is_none() && now < end {
                    self.ask_all(now, end, window);
                }
            }
            Ok(State::CutOff) => self.connect(key, window),
            Err(fault) => self.fail(key, fault, window),
        }
    }

    fn fail(&mut self, key: usize, fault: Fault, window: &mut Window) {
        let owed = self.flows[key].abandon();
        self.in_flight -= owed;
        window.failed(fault, owed);
        self.resting.push_back((Instant::now() + REST, key));
    }

    /// Gives up on flows whose answers are late.
    fn end_waits(&mut self, now: Instant, window: &mut Window) {
        for key in 0..self.flows.len() {
            if self.flows[key].waits_since().is_some_and(|since| since + self.plan.timeout <= now) {
                let fault = self.flows[key].lateness();
                self.fail(key, fault, window);
            }
        }
    }

    fn give_up(&mut self, window: &mut Window) {
        for key in 0..self.flows.len() {
            if self.flows[key].state() != State::Free {
                let fault = self.flows[key].lateness();
                self.fail(key, fault, window);
            }
        }
        window.failed(Fault::Timeout, self.waiting.len());
        self.in_flight -= self.waiting.len();
        self.waiting.clear();
    }

    fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && self.free.len() + self.resting.len() == self.flows.len()
    }
}

fn watch(poll: &Poll, socket: &TcpStream, key: usize, interest: Interest) -> io::Result<()> {
    poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(key), interest)
}

fn proven_or_why(address: SocketAddr, ask: &Ask, give_up: Instant) -> io::Result<TcpStream> {
    connection::proven(address, ask, give_up, None).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "no answer on a new connection in time")
        }
        kind => io::Error::new(kind, format!("the first request on a connection failed: {error}")),
    })
}
