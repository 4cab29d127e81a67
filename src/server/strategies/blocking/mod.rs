//! Blocking sockets: each flow of control sleeps in the `recv` and `send` of its own connection.
//!
//! ```text
//!   iterative   accept ──> serve until it closes ──> accept …       all others wait in the backlog
//!   process     accept ──> fork ──> the child serves and exits      the parent accepts the next
//!   thread      accept ──> spawn ──> the thread serves and ends     the acceptor accepts the next
//!   pool        N threads, each like iterative                      N are served, the rest waits
//! ```
//!
//! The code is the simplest of all: the state of a connection is where its code stands. The cost is
//! a thread or process per connection, busy or idle, or a wait for a free one. Timeouts are socket
//! timeouts.

mod idle_workers;
mod listeners;
mod live_connections;
mod process;
mod recv_timeout;
mod threads;

use std::io;
use std::num::NonZeroUsize;

use argh::{ArgsInfo, FromArgs};

use super::strategy::{self, Comparison, ConfiguredStrategy, Setup, Strategy};
use crate::format::counted;
use crate::http::Limits;
use crate::option_values::{count_up_to, expected};
use crate::server::context::ServerContext;
use crate::server::listener::SocketMode;
use crate::syscall_stats::Call;
use threads::BlockingServer;

pub static STRATEGY: Strategy = Strategy {
    name: "blocking",
    options: strategy::options_of::<Arguments>,
    configure: |arguments| {
        let Arguments { model, threads } = strategy::parse(arguments)?;
        match (model, threads) {
            (Model::Pool(_), Some(threads)) => Ok(Box::new(Model::Pool(threads))),
            (_, Some(_)) => Err("--threads requires --model pool".to_owned()),
            (model, None) => Ok(Box::new(model)),
        }
    },
    is_event_loop: false,
    waits_with: &[Call::Setsockopt],
    setups: &[
        Setup {
            concurrency: usize::MAX,
            comparison: Comparison::FullAndQuick,
            ..blocking("blocking:thread", &["blocking", "--model", "thread"])
        },
        Setup {
            concurrency: usize::MAX,
            forks: true,
            ..blocking("blocking:process", &["blocking", "--model", "process"])
        },
        // As many threads as the largest workload of a comparison has connections.
        Setup {
            concurrency: 64,
            ..blocking("blocking:pool", &["blocking", "--model", "pool", "--threads", "64"])
        },
        blocking("blocking:iterative", &["blocking", "--model", "iterative"]),
    ],
};

const fn blocking(name: &'static str, arguments: &'static [&'static str]) -> Setup {
    Setup {
        strategy: &STRATEGY,
        name,
        arguments,
        concurrency: 1,
        event_loops: 0,
        forks: false,
        comparison: Comparison::Full,
        is_tested: true,
    }
}

/// Blocking I/O: one connection at a time, one process or thread per connection, or a thread pool.
#[derive(FromArgs, ArgsInfo, Debug)]
struct Arguments {
    /// what serves a connection: iterative, process, thread or pool (default thread)
    #[argh(option, default = "Model::Thread", from_str_fn(model), arg_name = "model")]
    model: Model,

    /// threads of the pool (default 16)
    #[argh(option, from_str_fn(count_up_to::<8192>), arg_name = "number")]
    threads: Option<NonZeroUsize>,
}

/// What serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    /// A single thread, one connection after the other.
    Iterative,
    /// A forked process for each connection.
    Process,
    /// A thread for each connection.
    Thread,
    /// One of a fixed number of threads.
    Pool(NonZeroUsize),
}

fn model(text: &str) -> Result<Model, String> {
    const POOL_THREADS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");
    match text {
        "iterative" => Ok(Model::Iterative),
        "process" => Ok(Model::Process),
        "thread" => Ok(Model::Thread),
        "pool" => Ok(Model::Pool(POOL_THREADS)),
        _ => Err(expected("one of iterative, process, thread, pool")),
    }
}

impl ConfiguredStrategy for Model {
    fn description(&self) -> String {
        match self {
            Model::Iterative => "blocking, one connection at a time".to_owned(),
            Model::Process => "blocking, one process per connection".to_owned(),
            Model::Thread => "blocking, one thread per connection".to_owned(),
            Model::Pool(threads) => {
                format!("blocking, a pool of {}", counted(threads.get(), "thread"))
            }
        }
    }

    fn socket_mode(&self, limits: &Limits) -> SocketMode {
        SocketMode::Blocking {
            receive: limits.first_request_timeout,
            // A send that sleeps is woken when a third of its buffer is free; a send that is tried
            // again finds any free space. So each one sleeps for a part of the timeout only.
            send: limits.write_timeout / 4,
        }
    }

    fn forks(&self) -> bool {
        *self == Model::Process
    }

    fn run(self: Box<Self>, mut server: ServerContext) -> io::Result<()> {
        let connections_max = match *self {
            Model::Iterative => 1,
            Model::Process | Model::Thread => usize::MAX,
            Model::Pool(threads) => threads.get(),
        };
        let blocking = BlockingServer::start(&mut server, connections_max)?;
        if self.forks() {
            blocking.start_reaping()?;
        }
        server.announce_ready();
        match *self {
            Model::Iterative => blocking.accept_in_pool("iterative")?,
            Model::Process => blocking.accept_and_fork(),
            Model::Thread => blocking.accept_and_spawn(),
            Model::Pool(_) => blocking.accept_in_pool("pool")?,
        }
        blocking.wait_for_clients();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(arguments: &[&str]) -> Result<String, String> {
        (STRATEGY.configure)(arguments).map(|strategy| strategy.description())
    }

    #[test]
    fn threads_set_the_size_of_the_pool_and_of_nothing_else() {
        let pool = description(&["--model", "pool", "--threads", "3"]);
        assert_eq!(pool.as_deref(), Ok("blocking, a pool of 3 threads"));
        let default = description(&["--model", "pool"]);
        assert_eq!(default.as_deref(), Ok("blocking, a pool of 16 threads"));
        for model in ["iterative", "process", "thread"] {
            let error = description(&["--model", model, "--threads", "3"]);
            assert_eq!(error, Err("--threads requires --model pool".to_owned()));
        }
        for threads in ["0", "8193"] {
            let error = description(&["--model", "pool", "--threads", threads]);
            assert!(error.is_err_and(|error| error.contains("from 1 to 8192")), "{threads}");
        }
    }
}
