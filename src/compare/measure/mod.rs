//! One measurement: start a server, put it under load, and read what it and the machine counted.

pub mod bench;
mod certificate;
pub mod control_socket;
pub mod cores;
pub mod environment;
pub(super) mod pinning;
pub(super) mod process;
pub mod reference_loop;
pub(super) mod response_check;
pub(super) mod server;
pub(super) mod timeline;
