//! Listening sockets, with the same options for every strategy, and accepting from them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};

use crate::syscall_stats::{Call, SyscallStats};

/// The length of the accept queue. std and mio use 128, which overflows under connection churn, and
/// each dropped SYN costs its client a second. The kernel takes the lesser of this and
/// net.core.somaxconn (4,096).
const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: SocketAddr,
    mode: SocketMode,
    ownership: Ownership,
}

/// How calls on an owned listener and on accepted sockets wait. Accept on an inherited listener
/// never waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// They fail with EAGAIN instead of waiting.
    NonBlocking,
    /// They wait, and fail with EAGAIN after a timeout.
    Blocking {
        /// For accept, and for the first recv of an accepted socket, which inherits it.
        receive: Duration,
        /// For send.
        send: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    /// The socket was opened by this process and ends with it.
    Owned,
    /// The socket was passed by a supervisor, and other processes may accept from it, now and
    /// later.
    Inherited,
}

/// The result of one accept.
#[derive(Debug)]
pub enum Accepted {
    Connection(OwnedFd, Option<SocketAddr>),
    /// The backlog is empty, or a signal has interrupted the wait.
    WouldBlock,
    /// A connection waits, but the system cannot open it now: mostly no descriptor or memory is
    /// left. Trying again at once would spin.
    Exhausted(Errno),
}

impl Listener {
    /// Binds `count` listeners to one address. Several share it with SO_REUSEPORT, and the kernel
    /// distributes connections among them. Port 0 takes a free port.
    ///
    /// # Errors
    /// EADDRINUSE, EADDRNOTAVAIL or EACCES.
    pub fn bind(address: SocketAddr, mode: SocketMode, count: usize) -> io::Result<Vec<Listener>> {
        // The first is bound without SO_REUSEPORT: with it, a second server of the same user on the
        // same port would not fail but take half of the connections.
        let first = bind_one(address, false)?;
        let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let mut sockets = vec![first];
        for number in 1..count {
            if number == 1 {
                sockets[0].set_reuse_port(true)?;
            }
            sockets.push(bind_one(address, true)?);
        }
        let open = |socket| Listener::open(socket, mode, Ownership::Owned);
        sockets.into_iter().map(open).collect()
    }

    /// The listeners that a supervisor has passed (LISTEN_FDS, sd_listen_fds(3)), at least `count`:
    /// if fewer were passed, some share a socket. None if none was passed.
    ///
    /// # Errors
    /// A passed descriptor is not a listening TCP socket.
    pub fn passed(mode: SocketMode, count: usize) -> io::Result<Option<Vec<Listener>>> {
        let mut passed = listenfd::ListenFd::from_env();
        let count_passed = passed.len();
        let take = |number| {
            let socket = passed.take_tcp_listener(number).ok().flatten().map(Socket::from);
            let is_listening = |socket: &Socket| socket.is_listener().unwrap_or(false);
            socket.filter(is_listening).ok_or_else(|| {
                let number = number + 1;
                io::Error::other(format!(
                    "LISTEN_FDS: descriptor {number} of {count_passed} is not a listening TCP socket"
                ))
            })
        };
        let sockets = (0..count_passed).map(take).collect::<io::Result<Vec<Socket>>>()?;
        if sockets.is_empty() {
            return Ok(None);
        }
        let needed = sockets.iter().cycle().take(count.max(sockets.len()));
        let open =
            |socket: &Socket| Listener::open(socket.try_clone()?, mode, Ownership::Inherited);
        needed.map(open).collect::<io::Result<Vec<Listener>>>().map(Some)
    }

    fn open(socket: Socket, mode: SocketMode, ownership: Ownership) -> io::Result<Listener> {
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        // O_NONBLOCK belongs to the socket and not to the descriptor. So every server that shares
        // an inherited socket sets it, whatever its strategy: the server before it may be an event
        // loop that still accepts.
        let is_nonblocking = mode == SocketMode::NonBlocking || ownership == Ownership::Inherited;
        socket.set_nonblocking(is_nonblocking)?;
        if let SocketMode::Blocking { receive, send } = mode {
            // Accepted sockets inherit both.
            socket.set_read_timeout(Some(receive))?;
            socket.set_write_timeout(Some(send))?;
        }
        if ownership == Ownership::Owned {
            socket.listen(BACKLOG)?;
        }
        Ok(Listener { fd: socket.into(), address, mode, ownership })
    }

    /// Whether [`Listener::accept`] waits for a connection, until [`Listener::shut_down`] wakes it.
    pub fn waits_in_accept(&self) -> bool {
        self.mode != SocketMode::NonBlocking && self.ownership == Ownership::Owned
    }

    /// The receive timeout that accepted sockets inherit; zero if they are non-blocking.
    pub fn recv_timeout(&self) -> Duration {
        match self.mode {
            SocketMode::NonBlocking => Duration::ZERO,
            SocketMode::Blocking { receive, .. } => receive,
        }
    }

    /// The bound address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
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
                    Accepted::Connection(socket, peer.and_then(|peer| peer.try_into().ok()))
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

    /// Wakes every thread that waits in [`Listener::accept`] and closes the port, unless the socket
    /// is inherited.
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

/// Keeps a connection in the kernel until its first request has arrived, or for a second
/// (TCP_DEFER_ACCEPT, as in Apache and h2o). The server then need not wait for the request again,
/// which saves a connection with one request a third of its cost. At a shutdown, a client that has
/// connected and sent nothing is treated like one that connects a moment later.
fn defer_accept(socket: &Socket) {
    use nix::{setsockopt_impl, sockopt_impl};
    sockopt_impl!(DeferAccept, SetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32);
    const SECONDS: u32 = 1;
    // Everything works without it.
    let _ = nix::sys::socket::setsockopt(socket, DeferAccept, &SECONDS);
}

/// A non-blocking listening socket with the same options as those of the strategies, for a server
/// that is compared with them.
///
/// # Errors
/// EADDRINUSE, EADDRNOTAVAIL or EACCES.
pub fn listening(address: SocketAddr) -> io::Result<Socket> {
    let socket = bind_one(address, false)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_one(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server can bind while connections of the last run are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    // Accepted sockets inherit it on Linux. Without it, the end of a response may wait 40 ms for an
    // ACK (Nagle's algorithm with delayed acknowledgements).
    socket.set_tcp_nodelay(true)?;
    defer_accept(&socket);
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
