//! One connection of the admin listener, with its socket.
//!
//! It is driven like those of the site, but no file is sent and no reply is deferred.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::endpoints::Endpoints;
use crate::http::{CloseReason, Connection, Limits, Moment, Now, Step, Transmit};

/// Enough for one small request.
pub const LIFETIME_MAX: Duration = Duration::from_secs(10);

/// More than one request, its response and the close take.
const STEPS_MAX: usize = 32;

/// The limits of one connection. Keep-alive is off, because an idle connection would take the place
/// of another.
pub fn limits() -> Limits {
    const TIMEOUT: Duration = Duration::from_secs(5);
    Limits {
        requests_max: 1,
        target_bytes_max: 1024,
        head_bytes_max: 8 * 1024,
        body_bytes_max: 8 * 1024,
        first_request_timeout: TIMEOUT,
        head_timeout: TIMEOUT,
        body_timeout: TIMEOUT,
        write_timeout: TIMEOUT,
        linger_timeout: Duration::from_secs(1),
        linger_bytes_max: 64 * 1024,
        ..Limits::default()
    }
}

/// An accepted, non-blocking socket with its protocol state.
pub struct AdminConnection {
    socket: OwnedFd,
    http: Connection<Infallible>,
    closes_at: Moment,
}

impl AdminConnection {
    pub fn new(socket: OwnedFd, limits: Arc<Limits>, now: &Now) -> AdminConnection {
        let closes_at = now.moment + LIFETIME_MAX;
        AdminConnection { socket, http: Connection::new(limits, now), closes_at }
    }

    /// When to drive it even if its socket is not ready.
    pub fn deadline(&self) -> Moment {
        self.http.deadline().map_or(self.closes_at, |deadline| deadline.min(self.closes_at))
    }

    /// The socket, with the event that the connection waits for.
    pub fn poll_fd(&self) -> PollFd<'_> {
        let events = match self.http.step() {
            Step::Send => PollFlags::OUT,
            _ => PollFlags::IN,
        };
        PollFd::from_borrowed_fd(self.socket.as_fd(), events)
    }

    /// Reads and writes until the socket would block, and handles a timeout that has expired.
    /// Returns false if the connection has ended.
    pub fn drive(&mut self, is_ready: bool, now: &Now, endpoints: &mut Endpoints) -> bool {
        if is_ready && !self.run_steps(now, endpoints) || self.closes_at <= now.moment {
            return false;
        }
        if self.deadline() > now.moment {
            return true;
        }
        // Timeouts of admin clients are not counted.
        let _ = self.http.handle_timeout(now, endpoints);
        self.run_steps(now, endpoints)
    }

    fn run_steps(&mut self, now: &Now, endpoints: &mut Endpoints) -> bool {
        for _ in 0..STEPS_MAX {
            let done = match self.http.step() {
                Step::Send => self.send(now),
                Step::Receive => self.receive(now, endpoints),
                Step::Resume => {
                    self.process(&[], now, endpoints);
                    Ok(())
                }
                Step::CheckInput => {
                    if self.receive(now, endpoints).is_err() {
                        self.http.end_of_input();
                    }
                    Ok(())
                }
                Step::HalfClose => rustix::net::shutdown(&self.socket, Shutdown::Write)
                    .map(|()| self.http.half_closed(now)),
                Step::Close(_) => return false,
                Step::Wait => unreachable!("no endpoint defers its reply"),
            };
            match done {
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => self.http.fail(CloseReason::Failed),
            }
        }
        true
    }

    fn receive(&mut self, now: &Now, endpoints: &mut Endpoints) -> rustix::io::Result<()> {
        let mut buffer = [0; 4096];
        match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())? {
            (0, _) => self.http.end_of_input(),
            (length, _) => self.process(&buffer[..length], now, endpoints),
        }
        Ok(())
    }

    fn process(&mut self, bytes: &[u8], now: &Now, endpoints: &mut Endpoints) {
        let deferred = self.http.receive(bytes, now, endpoints);
        assert!(deferred.is_none(), "no endpoint defers its reply");
    }

    fn send(&mut self, now: &Now) -> rustix::io::Result<()> {
        let sent = self.offer()?;
        self.http.sent(sent as u64, now, |_| ());
        Ok(())
    }

    /// Offers the output to the socket. Returns how many bytes the socket accepted.
    fn offer(&self) -> rustix::io::Result<usize> {
        /// A head with a small body, and a large body.
        const SLICES_MAX: usize = 4;
        let mut slices = ArrayVec::<_, SLICES_MAX>::new();
        match self.http.output().next_transmit(&mut slices) {
            Transmit::Empty => Ok(0),
            Transmit::Memory { .. } => {
                let no_control = &mut SendAncillaryBuffer::default();
                rustix::net::sendmsg(&self.socket, &slices, no_control, SendFlags::NOSIGNAL)
            }
            Transmit::File { file, .. } => match *file {},
        }
    }
}

impl Drop for AdminConnection {
    fn drop(&mut self) {
        // A forked child may hold a copy of the descriptor, so closing this one may not end the
        // connection. shutdown(2) fails only if the peer has disconnected.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }
}
