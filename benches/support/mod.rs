//! What the benches of the strategies are made of: servers as child processes, a floor to hold them against, a
//! client of raw sockets, and a table at the end.

pub mod client;
pub mod floor;
pub mod server;
pub mod summary;
