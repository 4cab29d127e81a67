//! Tells the supervisor that started the server when it is ready (sd_notify(3)).

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The connection to a supervisor, if one waits for the server.
#[derive(Debug)]
pub struct Supervisor(Option<UnixDatagram>);

impl Supervisor {
    /// Connects to the socket that `NOTIFY_SOCKET` names. That has to be done before the process is
    /// confined: a socket that is connected may be used afterwards, but none can be connected.
    pub fn connect() -> Supervisor {
        // Without the supervisor the server works as well.
        Supervisor(env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                path => SocketAddr::from_pathname(OsStr::from_bytes(path)),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect_addr(&address.ok()?).is_ok().then_some(socket)
        }))
    }

    /// No supervisor, so that nothing is notified.
    pub fn none() -> Supervisor {
        Supervisor(None)
    }

    pub fn notify_ready(&self) {
        if let Some(socket) = &self.0 {
            // A supervisor that has gone does not stop the server.
            let _ = socket.send(b"READY=1\n");
        }
    }
}
