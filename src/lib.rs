//! A static web server that serves the same site under three I/O strategies.
//!
//! Between two runs of `miniweb` nothing differs but the way of waiting for the network:
//!
//! | strategy | waits | file |
//! |---|---|---|
//! | `mio` | in epoll, for all sockets at once | `server/mio.rs` |
//! | `poll-list` | nowhere: it asks every socket again and again | `server/poll_list.rs` |
//! | `blocking` | in the recv and send of each connection | `server/blocking.rs` |
//!
//! # The modules
//! - [`http`]: HTTP/1.1 without I/O. [`http::Connection`] turns bytes into requests and answers into bytes.
//! - [`site`]: a request's target → an answer. [`site::Site`] opens files beneath the root and remembers small ones.
//! - [`server`]: sockets, readiness, scheduling. The strategies, and `drive`, the loop they share.
//! - [`stats`]: the counters that each worker keeps of its system calls.
//! - [`load`]: a load generator. [`compare`]: what the strategies cost under it, measured and told.
//! - [`args`]: the command line. [`format`]: amounts in words.
//!
//! # The life of a request
//! ```text
//! bytes from the socket             server/drive.rs reads into the worker's one buffer
//!   → Connection::receive           http/connection.rs; what is incomplete is kept, the rest parsed where it lies
//!   → Request | RequestError        http/request.rs, http/request_error.rs
//!   → Site::respond                 site/mod.rs: method, path, what stands there
//!   → Response { head, body }       http/response.rs
//!   → Output                        http/output.rs: bounded; while it is full nothing more is parsed
//!   → bytes to the socket           server/drive.rs: one gathered write, sendfile for large files
//! ```
//!
//! The strategy decides when [`http::Connection`] gets its turn, hands it the time, and learns from `drive` whether
//! it waits for its socket, has more to do, or is over. That is all a strategy is.

pub mod cli;
pub mod compare;
pub mod format;
pub mod http;
pub mod load;
mod option_values;
pub mod server;
pub mod site;
mod sync;
pub mod syscall_stats;
