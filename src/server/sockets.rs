//! Opens the sockets that a server listens on, and distributes them among its event loops.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::libc;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::listener::{BACKLOG, Listener, Ownership, SocketMode};
use super::unix_socket::{self, UnixSocketFile};
use crate::format::error_with;
use crate::site::{HTTPS_PORT, Service};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Port 0 takes a free port, the same for all addresses with port 0.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// The listening sockets of a server.
#[derive(Debug)]
pub struct ListeningSockets {
    /// The bound addresses, with the real ports.
    pub addresses: Vec<ListenAddress>,
    /// The bound address where plain HTTP is redirected to HTTPS.
    pub redirect_address: Option<ListenAddress>,
    /// For each event loop, a listener for each address.
    pub listeners: Vec<Vec<Listener>>,
    /// The socket files, which are removed when the server ends.
    pub files: Vec<UnixSocketFile>,
}

/// How sockets are opened.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions<'a> {
    pub mode: SocketMode,
    /// Each gets a listener for each address. TCP sockets share the port with SO_REUSEPORT, and the
    /// kernel distributes connections among them. Unix sockets have no such option, so all event
    /// loops accept from one.
    pub event_loops: usize,
    /// The permission bits of Unix sockets.
    pub unix_socket_mode: u32,
    /// Where plain HTTP is redirected to HTTPS.
    pub redirect_http: Option<&'a ListenAddress>,
}

/// The sockets of one address: one for each event loop.
struct Bound {
    address: ListenAddress,
    sockets: Vec<Socket>,
    ownership: Ownership,
    service: Service,
}

impl ListeningSockets {
    /// Listens at each of `addresses`.
    ///
    /// # Errors
    /// EADDRINUSE, EADDRNOTAVAIL or EACCES; those of [`unix_socket::bind`].
    pub fn bind(
        addresses: &[ListenAddress],
        options: &SocketOptions<'_>,
    ) -> io::Result<ListeningSockets> {
        let mut files = Vec::new();
        let opened = bind_all(addresses, Service::Site, options, &mut files)
            .and_then(|bound| open(bound, options, &mut files));
        opened
            .inspect_err(|_| files.iter().for_each(UnixSocketFile::remove))
            .map(|sockets| ListeningSockets { files, ..sockets })
    }

    /// The listening sockets that a supervisor has passed (LISTEN_FDS, sd_listen_fds(3)). Every
    /// event loop accepts from each of them. None if none was passed.
    ///
    /// # Errors
    /// A passed descriptor is not a listening TCP or Unix socket; those of
    /// [`ListeningSockets::bind`] for the redirected address.
    pub fn passed(options: &SocketOptions<'_>) -> io::Result<Option<ListeningSockets>> {
        let mut passed = listenfd::ListenFd::from_env();
        let count = passed.len();
        let take = |number| {
            let tcp = passed.take_tcp_listener(number).ok().flatten().map(Socket::from);
            let unix = || passed.take_unix_listener(number).ok().flatten().map(Socket::from);
            let is_listening = |socket: &Socket| socket.is_listener().unwrap_or(false);
            let socket = tcp.or_else(unix).filter(is_listening).ok_or_else(|| {
                let number = number + 1;
                io::Error::other(format!(
                    "LISTEN_FDS: descriptor {number} of {count} is not a listening TCP or Unix \
                     socket"
                ))
            })?;
            Ok(Bound {
                address: address_of(&socket)?,
                sockets: shared(socket, options.event_loops)?,
                ownership: Ownership::Inherited,
                service: Service::Site,
            })
        };
        let bound = (0..count).map(take).collect::<io::Result<Vec<Bound>>>()?;
        if bound.is_empty() {
            return Ok(None);
        }
        let mut files = Vec::new();
        let opened = open(bound, options, &mut files);
        let sockets = opened.inspect_err(|_| files.iter().for_each(UnixSocketFile::remove))?;
        Ok(Some(ListeningSockets { files, ..sockets }))
    }

    /// Removes the files of the Unix sockets that `bind` has created.
    pub fn remove_files(&self) {
        self.files.iter().for_each(UnixSocketFile::remove);
    }
}

impl ListenAddress {
    /// The address and port; None for a Unix socket.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
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

/// Binds sockets to all addresses. The files of Unix sockets are added to `files`.
fn bind_all(
    addresses: &[ListenAddress],
    service: Service,
    options: &SocketOptions<'_>,
    files: &mut Vec<UnixSocketFile>,
) -> io::Result<Vec<Bound>> {
    let mut free_port = 0;
    let ownership = Ownership::Owned;
    let mut bind = |address: &ListenAddress| match address {
        ListenAddress::Tcp(wanted) => {
            let port = if wanted.port() == 0 { free_port } else { wanted.port() };
            let sockets = bind_tcp(SocketAddr::new(wanted.ip(), port), options.event_loops)?;
            let address = address_of(&sockets[0])?;
            if let (0, ListenAddress::Tcp(bound)) = (wanted.port(), &address) {
                free_port = bound.port();
            }
            Ok(Bound { address, sockets, ownership, service })
        }
        ListenAddress::Unix(path) => {
            let (socket, file) = unix_socket::bind(path, options.unix_socket_mode, BACKLOG)?;
            files.push(file);
            let sockets = shared(socket, options.event_loops)?;
            Ok(Bound { address: address.clone(), sockets, ownership, service })
        }
    };
    let with_address = |address| bind(address).map_err(|error| error_with(address, &error));
    addresses.iter().map(with_address).collect()
}

/// Listens on the sockets of the site, and where plain HTTP is redirected to the first of them. The
/// files of Unix sockets are added to `files`.
fn open(
    mut bound: Vec<Bound>,
    options: &SocketOptions<'_>,
    files: &mut Vec<UnixSocketFile>,
) -> io::Result<ListeningSockets> {
    let mut redirect_address = None;
    if let Some(address) = options.redirect_http {
        let tcp = bound.iter().find_map(|bound| bound.address.tcp());
        // Behind a Unix socket is a proxy, which listens at the standard port.
        let port = tcp.map_or(HTTPS_PORT, |address| address.port());
        let service = Service::HttpsRedirect { port };
        let mut redirected = bind_all(std::slice::from_ref(address), service, options, files)?;
        redirect_address = redirected.first().map(|bound| bound.address.clone());
        bound.append(&mut redirected);
    }
    let is_only_one = bound.len() == 1;
    let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
    for Bound { address, sockets, ownership, service } in bound {
        listeners.resize_with(sockets.len(), Vec::new);
        for (socket, of_event_loop) in sockets.into_iter().zip(&mut listeners) {
            let listener = Listener::open(socket, options.mode, ownership, is_only_one, service)?;
            of_event_loop.push(listener);
        }
        if service == Service::Site {
            addresses.push(address);
        }
    }
    Ok(ListeningSockets { addresses, redirect_address, listeners, files: Vec::new() })
}

/// Binds `count` sockets to one address.
fn bind_tcp(address: SocketAddr, count: usize) -> io::Result<Vec<Socket>> {
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
    Ok(sockets)
}

/// One socket with `count` descriptors.
fn shared(socket: Socket, count: usize) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::from_iter([socket]);
    for _ in 1..count {
        sockets.push(sockets[0].try_clone()?);
    }
    Ok(sockets)
}

fn address_of(socket: &Socket) -> io::Result<ListenAddress> {
    let address = socket.local_addr()?;
    match address.as_socket() {
        Some(address) => Ok(ListenAddress::Tcp(address)),
        None => Ok(ListenAddress::Unix(path_of(&address))),
    }
}

/// The path of a Unix socket. An abstract one is written as ss(8) and systemd do.
fn path_of(address: &SockAddr) -> PathBuf {
    let name = address.as_abstract_namespace().map(String::from_utf8_lossy);
    let path = address.as_pathname().map(PathBuf::from);
    path.or(name.map(|name| format!("@{name}").into())).unwrap_or_default()
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
