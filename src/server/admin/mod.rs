//! The admin listener (`--admin`): health, readiness and metrics, apart from the site.
//!
//! ```text
//!   supervisor, load balancer ── /healthz, /readyz ──┐
//!   Prometheus ───────────────── /metrics ───────────┴─> one thread, poll(2) ──> reads atomics
//! ```
//!
//! Invariants:
//! 1. It shares no lock, worker, log or connection limit with the site, so it responds while the
//!    site is saturated, at its connection limit or draining. A forked child inherits no lock that
//!    the admin thread holds.
//! 2. It has at most [`CONNECTIONS_MAX`] connections. Each serves one request, and lasts for at
//!    most [`connection::LIFETIME_MAX`].
//! 3. Requests are parsed by the same code as those of the site. They are neither logged nor
//!    counted.

mod connection;
mod endpoints;
mod metrics;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::{Clock, ClockMode};
use super::readiness::Readiness;
use super::sockets::ListenAddress;
use super::unix_socket::{self, UnixSocketFile};
use super::waker::Waker;
use crate::format::error_with;
use crate::http::{Limits, Moment, Now};
use connection::AdminConnection;
use endpoints::Endpoints;
pub use metrics::Metrics;

/// Enough for a supervisor, a load balancer, a scraper and a person at the same time.
const CONNECTIONS_MAX: usize = 8;

/// The descriptors that the admin listener may have open: the socket, its waker and its
/// connections.
pub const DESCRIPTORS_MAX: u64 = CONNECTIONS_MAX as u64 + 2;

/// The group of the socket file may connect, so that a monitoring agent can be given access.
const UNIX_SOCKET_MODE: u32 = 0o660;

/// The pause after a failed accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// The listening socket. The file of a Unix socket is removed with it.
#[derive(Debug)]
pub struct AdminListener {
    socket: Socket,
    address: ListenAddress,
    file: Option<UnixSocketFile>,
}

/// A handle to the thread that serves the listener.
#[derive(Debug)]
pub struct AdminThread {
    waker: Waker,
    thread: JoinHandle<()>,
}

/// The state of that thread.
struct AdminServer {
    listener: AdminListener,
    waker: Waker,
    clock: Clock,
    limits: Arc<Limits>,
    endpoints: Endpoints,
    /// The oldest first.
    connections: Vec<AdminConnection>,
    backoff_until: Option<Moment>,
}

/// The result of a wait.
struct Ready {
    is_stopped: bool,
    may_accept: bool,
    /// For each connection, whether its socket is ready.
    connections: Vec<bool>,
}

impl AdminListener {
    /// Listens at `address`.
    ///
    /// # Errors
    /// EADDRINUSE, EADDRNOTAVAIL or EACCES; those of [`unix_socket::bind`].
    pub fn bind(address: &ListenAddress) -> io::Result<AdminListener> {
        let bound = match address {
            ListenAddress::Tcp(address) => bind_tcp(*address),
            ListenAddress::Unix(path) => {
                let backlog = CONNECTIONS_MAX as i32;
                unix_socket::bind(path, UNIX_SOCKET_MODE, backlog).map(|(socket, file)| {
                    AdminListener { socket, address: address.clone(), file: Some(file) }
                })
            }
        };
        let nonblocking = bound.and_then(|listener| {
            listener.socket.set_nonblocking(true)?;
            Ok(listener)
        });
        nonblocking.map_err(|error| error_with(format_args!("--admin {address}"), &error))
    }

    /// The bound address, with the real port.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left, EAGAIN if no thread can be started.
    pub fn serve(self, metrics: Metrics, readiness: Readiness) -> io::Result<AdminThread> {
        let waker = Waker::new()?;
        let mut server = AdminServer {
            listener: self,
            waker: waker.clone(),
            clock: Clock::new(ClockMode::Live),
            limits: Arc::new(connection::limits()),
            endpoints: Endpoints { metrics, readiness },
            connections: Vec::with_capacity(CONNECTIONS_MAX),
            backoff_until: None,
        };
        let thread = std::thread::Builder::new().spawn(move || server.run())?;
        Ok(AdminThread { waker, thread })
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.file.iter().for_each(UnixSocketFile::remove);
    }
}

impl AdminThread {
    /// Ends the thread and closes its sockets.
    pub fn finish(self) {
        self.waker.wake();
        // If it has panicked, the hook has reported that.
        let _ = self.thread.join();
    }
}

impl AdminServer {
    fn run(&mut self) {
        loop {
            let ready = self.wait();
            if ready.is_stopped {
                return;
            }
            let now = *self.clock.now();
            let mut is_ready = ready.connections.into_iter();
            let endpoints = &mut self.endpoints;
            self.connections.retain_mut(|connection| {
                connection.drive(is_ready.next().unwrap_or(false), &now, endpoints)
            });
            if ready.may_accept {
                self.accept(&now);
            }
        }
    }

    /// Sleeps until a socket is ready or a timeout has passed.
    fn wait(&mut self) -> Ready {
        let now = self.clock.now().moment;
        self.backoff_until = self.backoff_until.filter(|until| *until > now);
        let deadlines = self.connections.iter().map(AdminConnection::deadline);
        let next = deadlines.chain(self.backoff_until).min();
        let timeout = next.and_then(|next| Timespec::try_from(next.since(now)).ok());
        let acceptable = match self.backoff_until {
            None => PollFlags::IN,
            Some(_) => PollFlags::empty(),
        };
        let own = [
            PollFd::from_borrowed_fd(self.waker.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.listener.socket.as_fd(), acceptable),
        ];
        let connections = self.connections.iter().map(AdminConnection::poll_fd);
        let mut polled: Vec<_> = own.into_iter().chain(connections).collect();
        // If poll fails (EINTR), the next wait finds what is ready.
        let is_polled = poll(&mut polled, timeout.as_ref()).is_ok();
        let mut is_ready = polled.iter().map(|fd| is_polled && !fd.revents().is_empty());
        let mut next = || is_ready.next().unwrap_or(false);
        Ready { is_stopped: next(), may_accept: next(), connections: is_ready.collect() }
    }

    /// Accepts one connection. At the limit, the oldest connection is closed: its client has had
    /// the most time for its request.
    fn accept(&mut self, now: &Now) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(&self.listener.socket, flags) {
            Ok(socket) => {
                if self.connections.len() == CONNECTIONS_MAX {
                    self.connections.remove(0);
                }
                let mut connection = AdminConnection::new(socket, self.limits.clone(), now);
                // The request has often arrived already.
                if connection.drive(true, now, &mut self.endpoints) {
                    self.connections.push(connection);
                }
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            // No descriptor or memory is left. Without a pause, the loop would spin.
            Err(_) => self.backoff_until = Some(now.moment + ACCEPT_BACKOFF),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<AdminListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server can bind while connections of the last run are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(CONNECTIONS_MAX as i32)?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok(AdminListener { socket, address: ListenAddress::Tcp(bound), file: None })
}
