//! A static web server that serves the same site under different I/O strategies.
//!
//! Two runs of `miniweb` differ only in how they wait for the network:
//!
//! | strategy | what it asks the kernel | file |
//! |---|---|---|
//! | `poll-list` | every socket, over and over | `server/strategies/poll_list.rs` |
//! | `poll` | "which of these?", with the whole list (poll, level-triggered) | `server/strategies/poll.rs` |
//! | `mio` | to report what changed (epoll, edge-triggered) | `server/strategies/mio.rs` |
//! | `blocking` | nothing: each thread sleeps in `recv` | `server/strategies/blocking/` |
//!
//! # For users of the library
//! [`server::Server`] serves a directory on a thread of your program, and a [`server::StopHandle`]
//! shuts it down. Unless [`server::Settings::owns_process`] is set, it installs no signal handlers
//! and changes no other state of the process. [`server::strategies`] lists the strategies;
//! [`site::Root`] and [`site::Policy`] say what is served and how.
//!
//! # Internals
//! The other modules are public for the binary, the tests, the benches and the fuzz targets of this
//! repository. They may change in any release.
//! - [`http`]: HTTP/1.1 without I/O. [`http::Connection`] turns bytes into requests and responses
//!   into bytes.
//! - [`syscall_stats`]: counters of system calls, which a comparison reads.
//! - [`trace_recording`]: the steps of a server, which a comparison draws.
//! - [`load`]: a load generator. [`compare`]: measures what each strategy costs, and reports it.
//! - [`cli`]: the command line. [`mod@format`]: amounts and errors as text.
//!
//! # The life of a request
//! ```text
//! bytes from the socket            server/drive.rs reads into the worker's one buffer
//!   → Connection::receive          http/connection.rs; keeps a partial head, parses in place
//!   → Request | RequestError       http/request.rs, http/request_error.rs
//!   → Site::respond                site/mod.rs: authentication, method
//!   → FileResponder::respond       site/file_responder.rs: path → file → preconditions → range
//!   → Response { head, body }      http/response.rs
//!   → Output                       http/output.rs: bounded; while it is full, nothing is parsed
//!   → bytes to the socket          server/drive.rs: one gathered write; sendfile for large files
//! ```
//!
//! A strategy decides when a connection gets its turn, passes in the time, and learns from `drive`
//! whether the connection waits for its socket, has more to do, or is closed. Everything else is
//! shared.

#[cfg(not(target_os = "linux"))]
compile_error!("miniweb needs Linux: it uses epoll, openat2, sendfile and inotify.");

#[allow(missing_docs)]
pub mod cli;
#[cfg(feature = "compare")]
#[allow(missing_docs)]
pub mod compare;
#[allow(missing_docs)]
pub mod format;
#[allow(missing_docs)]
pub mod http;
#[cfg(feature = "compare")]
#[allow(missing_docs)]
pub mod load;
mod option_values;
pub mod server;
pub mod site;
mod sync;
#[allow(missing_docs)]
pub mod syscall_stats;
#[allow(missing_docs)]
pub mod trace_recording;
#[cfg(feature = "tls")]
mod unbuffered_tls;
mod warning;
