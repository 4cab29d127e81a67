//! Servers with `--kernel-tls`, where the kernel has TLS and where it has not.

use std::path::Path;

use miniweb::server::strategies::Setup;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::admin::Admin;
use super::server::Server;

/// How many connections the kernel has taken over.
const CONNECTIONS: &str = "miniweb_tls_kernel_connections_total";

/// Whether the kernel has TLS. As root, this loads its module.
pub fn kernel_has_tls() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("IPv4 is available");
    // A socket that is not connected cannot have TLS yet.
    setsockopt(&socket, sockopt::TcpUlp::default(), b"tls") != Err(Errno::ENOENT)
}

/// Starts a server with `--kernel-tls`, which warns once if the kernel has none.
#[track_caller]
pub fn start_with_kernel_tls(
    setup: &'static Setup,
    root: impl AsRef<Path>,
    options: &[&str],
) -> Server {
    let options = [&["--kernel-tls", Admin::OPTION], options].concat();
    let server = Server::start(setup, root, &options);
    if !kernel_has_tls() {
        let warning = server.errors.next().expect("it warns");
        assert!(warning.starts_with("warning: --kernel-tls: the kernel has no TLS"), "{warning}");
    }
    server
}

/// Waits until the kernel has taken over as many connections, or asserts that it has none if it
/// cannot.
#[track_caller]
pub fn expect_taken_over(server: &Server, connections: u64) {
    Admin::of(server).wait_for(CONNECTIONS, if kernel_has_tls() { connections } else { 0 });
}
