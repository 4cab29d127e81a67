//! The one loop that joins a connection, its socket and the site.
//!
//! Every strategy calls [`drive`] and only decides when: so two strategies make the same calls to read and to
//! write, and a comparison measures nothing but the way of waiting. It works on blocking and non-blocking
//! sockets alike: on a blocking one a call that "would block" is one whose timeout has passed.
//!
//! The one exception is a slow file system: a loop that must not wait for it has files read by offload, and sends what they
//! bring. Where nobody else is held up, sendfile waits for it.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::offload::Completion;
use super::worker::{ConnectionPermit, Worker};
use crate::http::{Chunk, CloseReason, Closing, Connection, Now, Output, Step};
use crate::site;
use crate::syscall_stats::{Call, ConnectionId, SyscallStats};

/// Steps before another connection gets its turn: enough for an ordinary exchange, few enough that a fast
/// reader of a large file does not keep the others waiting.
const STEPS_MAX: usize = 16;
/// Most bytes of a file in one step.
const SENDFILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most parts of one gathered write.
const SLICES_MAX: usize = 16;

/// A peer: its socket and what it and the server have to say to each other.
#[derive(Debug)]
pub struct Client {
    /// Its number in the trace.
    pub id: ConnectionId,
    /// Whether a recv may bring something. Set by the strategy, cleared when the socket is drained.
    pub readable: ReadState,
    /// The protocol.
    pub connection: Connection<site::File>,
    /// Shared with those who may have to wake a thread that sleeps in it.
    pub(super) socket: Arc<OwnedFd>,
    pub(super) address: Option<IpAddr>,
    pub(super) permit: ConnectionPermit,
    /// What it waits for.
    pub(super) asked: PendingJob,
}

/// What a helper was asked for. The mark lives as long as the connection that wants it.
#[derive(Debug)]
pub(super) enum PendingJob {
    Nothing,
    Reply(#[expect(dead_code, reason = "it is its life that tells")] Arc<()>),
    Bytes(#[expect(dead_code, reason = "it is its life that tells")] Arc<()>),
}

/// What is known of a socket's receiving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadState {
    /// It is drained until the strategy learns otherwise.
    Drained,
    /// There may be something; a read that fills less than its buffer takes the last of it.
    MaybeReadable,
    /// The peer has closed its side: there is an end to be read, which a short read doesn't show.
    ReadClosed,
}

/// Where [`drive`] left a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// It waits for its socket.
    Blocked,
    /// It has more to do, and has had its turn.
    Yielded,
    /// It is over: drop it.
    Closed,
}

impl Client {
    /// The socket.
    pub fn socket(&self) -> &Arc<OwnedFd> {
        &self.socket
    }

    /// The peer has reset the connection. It shows by itself where something is read or written; whoever waits for an answer
    /// to be made does neither.
    pub fn reset(&mut self) {
        if self.connection.step() == Step::Wait {
            self.connection.fail(CloseReason::Failed);
        }
    }

    /// Takes what a helper has done for it.
    pub fn take(&mut self, done: Completion, now: &Now) {
        self.asked = PendingJob::Nothing;
        match done {
            Completion::Reply(finished) => self.connection.complete(finished, now),
            Completion::Read(Ok(bytes)) if bytes.is_empty() => {
                self.connection.fail(CloseReason::FileTruncated)
            }
            Completion::Read(Ok(bytes)) => self.connection.fill(bytes),
            Completion::Read(Err(_)) => self.connection.fail(CloseReason::Failed),
        }
    }

    /// Closes the socket and keeps the place.
    pub fn into_permit(self) -> ConnectionPermit {
        self.permit
    }

    /// The server is stopping: what has arrived is answered, and then the input ends.
    pub fn graceful_shutdown(&mut self, now: &Now) {
        let is_newcomer = self.connection.is_newcomer();
        self.connection.graceful_shutdown(now);
        if is_newcomer {
            return;
        }
        // It can only fail if the peer is gone, which the next read shows.
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Read);
        self.readable = ReadState::ReadClosed;
    }

    /// Lets a recv on a blocking socket wait until the deadline and no longer. `set` is what it waits now: most requests leave
    /// it as it is. A send waits for a part of its patience each time, and needs no telling.
    pub fn set_recv_timeout(&self, now: &Now, set: &mut Duration, stats: &SyscallStats) {
        let Some(deadline) =
            self.connection.deadline().filter(|_| self.connection.step() != Step::Send)
        else {
            return;
        };
        // Rounded up, so that a deadline that is a moment nearer each time is still the same timeout, and the
        // deadline has passed when the timeout has. None at all would be for ever.
        const STEP_MS: u128 = 10;
        let time = deadline.since(now.moment).as_micros();
        let time = Duration::from_millis((time.div_ceil(STEP_MS * 1000).max(1) * STEP_MS) as u64);
        if time != *set {
            stats.count(Call::Setsockopt);
            // If it fails the socket is broken, which the next read shows.
            let _ = rustix::net::sockopt::set_socket_timeout(
                &self.socket,
                rustix::net::sockopt::Timeout::Recv,
                Some(time),
            );
            *set = time;
        }
    }
}

/// Goes on with `client` as far as its socket allows.
pub fn drive(client: &mut Client, worker: &mut Worker) -> Drive {
    client.connection.lend_buffers(&mut worker.spare);
    // A panic is our bug; it shall cost the one connection that met it, not all of this worker's.
    match catch_unwind(AssertUnwindSafe(|| take_steps(client, worker))) {
        Ok(outcome) => {
            client.connection.reclaim_buffers(&mut worker.spare);
            outcome
        }
        Err(_) => {
            worker.stats.trace(client.id, format_args!("close: the server panicked"));
            worker.spare = Output::default();
            Drive::Closed
        }
    }
}

/// [`drive`]s a client whose time may have been over at `now`. Late is only who was so before a try to read and write, and is
/// so after it: what came in time counts, though the server may be late to see it.
pub fn drive_with_timeout(client: &mut Client, worker: &mut Worker, now: &Now) -> Drive {
    let outcome = drive(client, worker);
    let is_late = client.connection.deadline().is_some_and(|deadline| deadline <= now.moment);
    if outcome == Drive::Closed || !is_late {
        return outcome;
    }
    client.connection.handle_timeout(now);
    drive(client, worker)
}

fn take_steps(client: &mut Client, worker: &mut Worker) -> Drive {
    for _ in 0..STEPS_MAX {
        let flow = match client.connection.step() {
            Step::Send if matches!(client.asked, PendingJob::Bytes(_)) || fetch(client, worker) => {
                ControlFlow::Break(Drive::Blocked)
            }
            Step::Send => send(client, worker),
            Step::Resume => {
                process_input(client, worker, 0);
                ControlFlow::Continue(())
            }
            Step::Receive if client.readable != ReadState::Drained => {
                receive(client, worker, RecvFlags::empty())
            }
            Step::Receive | Step::Wait => ControlFlow::Break(Drive::Blocked),
            // Not even a blocking socket is to wait here: nothing need come.
            Step::Look => {
                if receive(client, worker, RecvFlags::DONTWAIT).is_break() {
                    client.connection.end_of_input();
                }
                ControlFlow::Continue(())
            }
            Step::HalfClose => {
                worker.stats.count(Call::Shutdown);
                worker.stats.trace(client.id, format_args!("shutdown of the sending side"));
                match rustix::net::shutdown(&client.socket, rustix::net::Shutdown::Write) {
                    Ok(()) => client.connection.half_closed(worker.clock.now()),
                    Err(_) => client.connection.fail(CloseReason::Failed),
                }
                ControlFlow::Continue(())
            }
            Step::Close(closing) => {
                close(client, worker, closing);
                ControlFlow::Break(Drive::Closed)
            }
        };
        if let ControlFlow::Break(outcome) = flow {
            return outcome;
        }
    }
    Drive::Yielded
}

/// What a call that failed means for the connection. One that a signal interrupted has said nothing about the socket: the
/// strategy comes back, and sees to the signal before.
fn fail(client: &mut Client, errno: Errno) -> ControlFlow<Drive> {
    match errno {
        Errno::AGAIN => ControlFlow::Break(Drive::Blocked),
        Errno::INTR => ControlFlow::Break(Drive::Yielded),
        _ => {
            client.connection.fail(CloseReason::Failed);
            ControlFlow::Continue(())
        }
    }
}

/// Reads once.
fn receive(client: &mut Client, worker: &mut Worker, flags: RecvFlags) -> ControlFlow<Drive> {
    let received =
        rustix::net::recv(&client.socket, &mut worker.scratch[..], flags).map(|(length, _)| length);
    worker.stats.transfer(Call::Recv, client.id, received);
    match received {
        Ok(0) => client.connection.end_of_input(),
        Ok(length) => {
            worker.moved_bytes += length as u64;
            if length < worker.scratch.len() && client.readable == ReadState::MaybeReadable {
                client.readable = ReadState::Drained;
            }
            process_input(client, worker, length);
        }
        Err(errno) => {
            if errno == Errno::AGAIN {
                client.readable = ReadState::Drained;
            }
            return fail(client, errno);
        }
    }
    ControlFlow::Continue(())
}

/// Gives the connection the first `length` bytes of what was read. What an answer takes long for is done by a helper, if the
/// worker has any, or here.
fn process_input(client: &mut Client, worker: &mut Worker, length: usize) {
    let deferred =
        client.connection.receive(&worker.scratch[..length], worker.clock.now(), &mut worker.site);
    if let Some(deferred) = deferred
        && let Some(finished) = worker.offload(client, deferred)
    {
        client.connection.complete(finished, worker.clock.now());
    }
}

/// Has the next bytes of a file read by a helper, where this loop must not wait for them. False if nothing has to be waited for.
fn fetch(client: &mut Client, worker: &mut Worker) -> bool {
    if !worker.site.is_offloaded() {
        return false;
    }
    match client.connection.output().next_file() {
        Some((file, range)) => {
            let file = file.clone();
            worker.has_read(client, file, range)
        }
        None => false,
    }
}

/// Writes once.
fn send(client: &mut Client, worker: &mut Worker) -> ControlFlow<Drive> {
    let (sent, offered) = offer(client, worker);
    let sent = match (sent, offered) {
        (Ok(0), Offered::File) => {
            client.connection.fail(CloseReason::FileTruncated);
            return ControlFlow::Continue(());
        }
        (Ok(sent), _) => sent,
        (Err(errno), _) => return fail(client, errno),
    };
    worker.moved_bytes += sent as u64;
    let (now, address) = (worker.clock.now(), client.address);
    client.connection.sent(sent as u64, now, |exchange| worker.log.record(&exchange, address, now));
    match offered {
        Offered::Memory { bytes } if sent < bytes => ControlFlow::Break(Drive::Blocked),
        // A file may have stopped for another reason than a full socket, which the next call tells.
        Offered::Memory { .. } | Offered::File => ControlFlow::Continue(()),
    }
}

/// What the socket was given.
#[derive(Clone, Copy)]
enum Offered {
    Memory { bytes: usize },
    File,
}

/// Gives the socket what comes next, and says how much of it was taken.
fn offer(client: &Client, worker: &Worker) -> (rustix::io::Result<usize>, Offered) {
    let mut slices = ArrayVec::<_, SLICES_MAX>::new();
    match client.connection.output().chunk(&mut slices) {
        Chunk::Empty => (Ok(0), Offered::Memory { bytes: 0 }),
        Chunk::Memory { more } => {
            let flags =
                if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
            let (call, sent) = match &slices[..] {
                [one] => (Call::Send, rustix::net::send(&client.socket, one, flags)),
                many => {
                    let no_control = &mut SendAncillaryBuffer::default();
                    (Call::Sendmsg, rustix::net::sendmsg(&client.socket, many, no_control, flags))
                }
            };
            worker.stats.transfer(call, client.id, sent);
            (sent, Offered::Memory { bytes: slices.iter().map(|slice| slice.len()).sum() })
        }
        Chunk::File { file, range } => {
            let count = (range.end - range.start).min(SENDFILE_BYTES_MAX);
            let mut offset = range.start;
            let sent =
                rustix::fs::sendfile(&client.socket, file, Some(&mut offset), count as usize);
            worker.stats.transfer(Call::Sendfile, client.id, sent);
            (sent, Offered::File)
        }
    }
}

fn close(client: &mut Client, worker: &mut Worker, closing: Closing) {
    if closing.reset {
        worker.stats.count(Call::Setsockopt);
        // If it fails the peer gets an ordinary close: nothing is lost.
        let _ = rustix::net::sockopt::set_socket_linger(&client.socket, Some(Duration::ZERO));
    }
    worker.stats.count(Call::Close);
    worker.stats.trace(client.id, format_args!("close: {}", closing.reason));
    let (now, address) = (worker.clock.now(), client.address);
    client.connection.abandon(|exchange| worker.log.record(&exchange, address, now));
}
