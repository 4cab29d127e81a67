//! Accepts connections from a listening socket, in the same way for every strategy.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use socket2::Socket;

use crate::site::Service;
use crate::syscall_stats::{Call, SyscallStats};

/// The length of the accept queue. std and mio use 128, which overflows under connection churn, and
/// each dropped SYN costs its client a second. The kernel takes the lesser of this and
/// net.core.somaxconn (4,096).
pub const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    mode: SocketMode,
    ownership: Ownership,
    waits_in_accept: bool,
    inheritance: Inheritance,
    service: Service,
}

/// How calls on accepted sockets wait. accept(2) waits in the same way if the server has a single
/// listener and has opened it itself; otherwise accept never waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// They fail with EAGAIN instead of waiting.
    NonBlocking,
    /// They wait, and fail with EAGAIN after a timeout.
    Blocking {
        /// For accept, and for the first recv of an accepted socket.
        receive: Duration,
        /// For send.
        send: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The socket was opened by this process and ends with it.
    Owned,
    /// The socket was passed by a supervisor, and other processes may accept from it, now and
    /// later.
    Inherited,
}

/// The socket options that an accepted socket inherits from its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inheritance {
    /// All, on TCP: the kernel clones the listener.
    Options,
    /// None, on Unix sockets: the kernel creates the socket when the client connects.
    Nothing,
}

/// The result of one accept.
#[derive(Debug)]
pub enum Accepted {
    Connection(Incoming),
    /// The backlog is empty, or a signal has interrupted the wait.
    WouldBlock,
    /// A connection waits, but the system cannot open it now: mostly no descriptor or memory is
    /// left. Trying again at once would spin.
    Exhausted(Errno),
}

/// An accepted socket.
#[derive(Debug)]
pub struct Incoming {
    pub socket: OwnedFd,
    /// None on a Unix socket.
    pub peer: Option<SocketAddr>,
    /// What it may ask for.
    pub service: Service,
}

impl Listener {
    /// Wraps a bound socket and listens on it. `is_only_one`: whether the server has no other
    /// listener, so that a thread may wait in accept. `service`: what its connections may ask for.
    pub fn open(
        socket: Socket,
        mode: SocketMode,
        ownership: Ownership,
        is_only_one: bool,
        service: Service,
    ) -> io::Result<Listener> {
        let is_tcp = socket.local_addr()?.as_socket().is_some();
        let inheritance = if is_tcp { Inheritance::Options } else { Inheritance::Nothing };
        // O_NONBLOCK belongs to the socket and not to the descriptor. So every server that shares
        // an inherited socket sets it, whatever its strategy: the server before it may be an event
        // loop that still accepts.
        let is_blocking = mode != SocketMode::NonBlocking;
        let waits_in_accept = is_blocking && ownership == Ownership::Owned && is_only_one;
        socket.set_nonblocking(!waits_in_accept)?;
        if let SocketMode::Blocking { receive, send } = mode {
            socket.set_read_timeout(Some(receive))?;
            socket.set_write_timeout(Some(send))?;
        }
        if ownership == Ownership::Owned {
            socket.listen(BACKLOG)?;
        }
        Ok(Listener { fd: socket.into(), mode, ownership, waits_in_accept, inheritance, service })
    }

    /// Whether [`Listener::accept`] waits for a connection, until [`Listener::shut_down`] wakes it.
    pub fn waits_in_accept(&self) -> bool {
        self.waits_in_accept
    }

    /// Whether [`Listener::shut_down`] wakes a thread that waits for a connection.
    pub fn is_shut_down_to_wake(&self) -> bool {
        self.ownership == Ownership::Owned
    }

    /// The receive timeout of accepted sockets; zero if they are non-blocking.
    pub fn recv_timeout(&self) -> Duration {
        match self.mode {
            SocketMode::NonBlocking => Duration::ZERO,
            SocketMode::Blocking { receive, .. } => receive,
        }
    }

    /// Accepts one connection, whose socket waits according to the mode.
    pub fn accept(&self, stats: &SyscallStats) -> Accepted {
        let flags = match self.mode {
            SocketMode::NonBlocking => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            SocketMode::Blocking { .. } => SocketFlags::CLOEXEC,
        };
        loop {
            stats.count(Call::Accept);
            return match (rustix::net::acceptfrom_with(&self.fd, flags), self.mode) {
                (Ok((socket, peer)), _) => {
                    self.set_timeouts(&socket, stats);
                    let peer = peer.and_then(|peer| peer.try_into().ok());
                    Accepted::Connection(Incoming { socket, peer, service: self.service })
                }
                // A blocking thread returns to see why it was woken. An event loop must find out
                // whether the backlog is empty: readiness is reported only once.
                (Err(Errno::INTR), SocketMode::NonBlocking) => continue,
                // EINVAL: the listener was shut down while a thread waited in accept.
                (Err(Errno::AGAIN | Errno::INTR | Errno::INVAL), _) => Accepted::WouldBlock,
                (Err(errno), _) if is_connection_error(errno) => continue,
                (Err(errno), _) => Accepted::Exhausted(errno),
            };
        }
    }

    fn set_timeouts(&self, socket: &OwnedFd, stats: &SyscallStats) {
        if let (Inheritance::Nothing, SocketMode::Blocking { receive, send }) =
            (self.inheritance, self.mode)
        {
            for (timeout, time) in [(Timeout::Recv, receive), (Timeout::Send, send)] {
                stats.count(Call::Setsockopt);
                set_socket_timeout(socket, timeout, Some(time))
                    .expect("the socket is open and the timeout is not zero");
            }
        }
    }

    /// Wakes every thread that waits for a connection and closes the port, unless the socket is
    /// inherited.
    pub fn shut_down(&self) {
        if self.ownership == Ownership::Owned {
            // It fails only if it is shut down already.
            let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Read);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until listeners have connections, at most for `timeout`, and returns their numbers. None
/// has one if the wait was interrupted, or the listeners were shut down.
pub fn wait_for_connections(
    listeners: &[Listener],
    timeout: Duration,
    stats: &SyscallStats,
) -> Vec<usize> {
    let timeout = Timespec::try_from(timeout).ok();
    let mut polled: Vec<_> =
        listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
    stats.count(Call::Poll);
    // If poll fails, there is nothing better to assume than empty backlogs.
    if poll(&mut polled, timeout.as_ref()).is_err() {
        return Vec::new();
    }
    let is_readable = |number: &usize| polled[*number].revents() == PollFlags::IN;
    (0..polled.len()).filter(is_readable).collect()
}

/// Whether the error belongs to the connection and not to the listener, so that the next connection
/// in the backlog can be accepted (accept(2), "Error handling").
fn is_connection_error(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNABORTED
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
    )
}
