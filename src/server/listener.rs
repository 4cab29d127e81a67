//! Listening sockets, with the same options for every strategy, and accepting from them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};

use crate::syscall_stats::{Call, SyscallStats};

/// Connections that may wait to be accepted. A std or mio listener asks for 128, and under churn that alone
/// costs one-second SYN retries; the kernel takes the lesser of this and net.core.somaxconn (4,096).
const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: SocketAddr,
    waiting: SocketMode,
    ownership: Ownership,
}

/// How the calls on a socket wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketMode {
    /// They don't: EAGAIN.
    NonBlocking,
    /// They block, each at most this long: EAGAIN then, too.
    Blocking {
        /// For accept and the first recv of a connection, which inherits it.
        receive: Duration,
        /// For a send.
        send: Duration,
    },
}

/// Whose the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ownership {
    /// This program's: with it the port ends.
    Owned,
    /// Whoever started this program and will start the next: others may accept from it, now and later.
    Inherited,
}

/// What an attempt to accept brought.
#[derive(Debug)]
pub enum Accepted {
    /// A connection.
    Connection(OwnedFd, Option<SocketAddr>),
    /// Nobody waits, or a signal came while this did.
    WouldBlock,
    /// Somebody waits, but can't be let in: mostly the system has no descriptor or memory left. To try again at once would spin.
    Exhausted(Errno),
}

impl Listener {
    /// `count` listeners on one address, each with its own queue of connections, filled by the kernel in turn
    /// (SO_REUSEPORT) if there are several. Port 0 takes a free one.
    ///
    /// # Errors
    /// The system's: the port is in use, the address is not this machine's, no permission.
    pub fn bind(
        address: SocketAddr,
        waiting: SocketMode,
        count: usize,
    ) -> io::Result<Vec<Listener>> {
        // The first is bound without SO_REUSEPORT: with it, a second server of the same user on the same port
        // would not be an error but get every other connection. It is set before the others are bound.
        let first = bind_one(address, false)?;
        let address = first.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let mut sockets = vec![first];
        for n in 1..count {
            if n == 1 {
                sockets[0].set_reuse_port(true)?;
            }
            sockets.push(bind_one(address, true)?);
        }
        sockets
            .into_iter()
            .map(|socket| Listener::open(socket, waiting, Ownership::Owned))
            .collect()
    }

    /// The listeners that whoever started this program has passed (LISTEN_FDS, see sd_listen_fds(3)), at least
    /// `count`: if there are fewer, some share one. None if none was passed.
    ///
    /// # Errors
    /// What was passed is no listening TCP socket.
    pub fn passed(waiting: SocketMode, count: usize) -> io::Result<Option<Vec<Listener>>> {
        let mut passed = listenfd::ListenFd::from_env();
        let sockets = (0..passed.len())
            .map(|n| passed.take_tcp_listener(n).map(|socket| socket.map(Socket::from)));
        let sockets = sockets.collect::<io::Result<Option<Vec<Socket>>>>()?.unwrap_or_default();
        if sockets.is_empty() {
            return Ok(None);
        }
        let needed = sockets.iter().cycle().take(count.max(sockets.len()));
        let listeners =
            needed.map(|socket| Listener::open(socket.try_clone()?, waiting, Ownership::Inherited));
        listeners.collect::<io::Result<Vec<Listener>>>().map(Some)
    }

    fn open(socket: Socket, waiting: SocketMode, ownership: Ownership) -> io::Result<Listener> {
        // Threads that sleep in a listener of their own are woken by shutting it down. That of another must go on:
        // they look up now and then.
        const LOOK_UP: Duration = Duration::from_millis(500);
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        let waiting = match (waiting, ownership) {
            (SocketMode::Blocking { receive, send }, Ownership::Inherited) => {
                SocketMode::Blocking { receive: receive.min(LOOK_UP), send }
            }
            (waiting, _) => waiting,
        };
        socket.set_nonblocking(waiting == SocketMode::NonBlocking)?;
        if let SocketMode::Blocking { receive, send } = waiting {
            // Accepted sockets inherit both.
            socket.set_read_timeout(Some(receive))?;
            socket.set_write_timeout(Some(send))?;
        }
        if ownership == Ownership::Owned {
            socket.listen(BACKLOG)?;
        }
        Ok(Listener { fd: socket.into(), address, waiting, ownership })
    }

    /// How long a recv on an accepted socket waits, until it is told otherwise.
    pub fn patience(&self) -> Duration {
        match self.waiting {
            SocketMode::NonBlocking => Duration::ZERO,
            SocketMode::Blocking { receive, .. } => receive,
        }
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes one connection that waits. Its calls wait as those of the listener do.
    pub fn accept(&self, stats: &SyscallStats) -> Accepted {
        let flags = match self.waiting {
            SocketMode::NonBlocking => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            SocketMode::Blocking { .. } => SocketFlags::CLOEXEC,
        };
        loop {
            stats.count(Call::Accept);
            return match (rustix::net::acceptfrom_with(&self.fd, flags), self.waiting) {
                (Ok((socket, peer)), _) => {
                    Accepted::Connection(socket, peer.and_then(|peer| peer.try_into().ok()))
                }
                // A thread that waits is to see why it was woken. One that doesn't has to know whether somebody waits: it is told
                // of a newcomer once.
                (Err(Errno::INTR), SocketMode::NonBlocking) => continue,
                // EINVAL: the listener was shut down under a thread that waited in it.
                (Err(Errno::AGAIN | Errno::INTR | Errno::INVAL), _) => Accepted::WouldBlock,
                (Err(errno), _) if is_of_the_newcomer(errno) => continue,
                (Err(errno), _) => Accepted::Exhausted(errno),
            };
        }
    }

    /// Wakes every thread that waits in [`Listener::accept`]; the port ends with it, unless it is another's.
    pub fn shut_down(&self) {
        if self.ownership == Ownership::Owned {
            // It can only fail if it is shut down already.
            let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Read);
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether it is the connection that failed while it waited, and not accepting: the next one may be there (accept(2), "Error
/// handling").
fn is_of_the_newcomer(errno: Errno) -> bool {
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

/// Leaves a connection in the kernel until its first request has come, or nothing has for a second: whoever accepts it then
/// need not wait for it again, which saves a connection with one request a third of what it costs. Whoever has connected and
/// said nothing when the server stops is in the place of one that comes a moment later. Apache and h2o do the same.
fn defer_accept(socket: &Socket) {
    use nix::{setsockopt_impl, sockopt_impl};
    sockopt_impl!(DeferAccept, SetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32);
    const SECONDS: u32 = 1;
    // Where it can't be had, everything works without.
    let _ = nix::sys::socket::setsockopt(socket, DeferAccept, &SECONDS);
}

/// A socket that listens at `address` like those of every strategy and never waits, for whoever wants to be compared with them.
///
/// # Errors
/// The system's.
pub fn listening(address: SocketAddr) -> io::Result<Socket> {
    let socket = bind_one(address, false)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_one(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart can bind while connections of the last run are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    // Inherited by accepted sockets on Linux: without it the end of an answer may wait 40 ms for an ACK.
    socket.set_tcp_nodelay(true)?;
    defer_accept(&socket);
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
