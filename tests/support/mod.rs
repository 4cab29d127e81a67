//! Shared by the black-box tests: the real binary on a free port, a directory for it to serve, a
//! client that sends raw bytes, and parsed responses.
//!
//! Invariants:
//! 1. Tests use only public interfaces: the command line, sockets and signals.
//! 2. No test blocks forever: whatever takes longer than [`TIMEOUT`] is a failure.
//! 3. Dropping a [`Server`] kills and reaps the server and its children.

#![allow(dead_code, unused_imports, reason = "no test binary uses everything")]

mod admin;
mod authority;
mod certificate;
mod kernel_tls;
mod peer;
mod response;
mod server;
mod site;
mod tls;
mod wait;

pub use admin::{Admin, Metrics};
pub use authority::{authority_pem, client_config, client_with, server_name};
pub use certificate::{Certificate, give_to_nobody, shown_certificate, tls_options, write_private};
pub use kernel_tls::{expect_taken_over, kernel_has_tls, start_with_kernel_tls};
pub use miniweb::server::strategies::Setup;
pub use peer::{End, Peer, get, get_with, head};
pub use response::Response;
pub use server::{
    Lines, Server, address_in, any_setup, encrypted, is_encrypted, miniweb, setup_with, setups,
    with_sockets,
};
pub use site::{Site, patterned};
pub use wait::{TIMEOUT, shown, wait_until};
