//! What a strategy is, and in which set-ups it is run.

use std::fmt;
use std::io;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};

use crate::http::Limits;
use crate::server::context::ServerContext;
use crate::server::listener::SocketMode;
use crate::syscall_stats::Call;

/// A way to wait for the network.
#[derive(Debug)]
pub struct Strategy {
    /// The command that starts it.
    pub name: &'static str,
    /// Its own options and its summary, as argh describes them.
    pub options: fn() -> CommandInfoWithArgs,
    /// Parses the values of its own options.
    pub configure: fn(&[&str]) -> Configured,
    /// Whether it serves its clients in one or more loops over non-blocking sockets. Event loops
    /// share `event_loop.rs` and use the offload pool.
    pub is_event_loop: bool,
    /// The system calls that it makes to wait, and that other strategies do not need. For an event
    /// loop, the first is the one that it sleeps in.
    pub waits_with: &'static [Call],
    /// The set-ups in which tests and comparisons run it.
    pub setups: &'static [Setup],
}

impl Strategy {
    /// One sentence for the help.
    pub fn summary(&self) -> &'static str {
        (self.options)().description
    }
}

/// A strategy with its options set, or a message that says which value was expected.
pub type Configured = Result<Box<dyn ConfiguredStrategy>, String>;

/// A strategy with its options set.
pub trait ConfiguredStrategy: fmt::Debug + Send {
    /// What the first line of the output says, such as "mio, 2 workers".
    fn description(&self) -> String;

    /// The number of its event loops, each of which accepts at every address. A strategy without
    /// event loops returns 1.
    fn event_loops(&self) -> usize {
        1
    }

    /// How calls on its sockets wait.
    fn socket_mode(&self, _: &Limits) -> SocketMode {
        SocketMode::NonBlocking
    }

    /// Whether it forks processes that write to the access log.
    fn forks(&self) -> bool {
        false
    }

    /// Serves until a signal ends the server and every client has been served.
    ///
    /// # Errors
    /// A resource that is needed to start is missing, or waiting itself fails. What happens to one
    /// connection is not an error of the server.
    fn run(self: Box<Self>, server: ServerContext) -> io::Result<()>;
}

/// A strategy with arguments, as tests and comparisons run it.
pub struct Setup {
    /// The strategy that it runs.
    pub strategy: &'static Strategy,
    /// Unique among all set-ups.
    pub name: &'static str,
    /// The command line: the strategy's name and its options.
    pub arguments: &'static [&'static str],
    /// The connections that it serves at the same time; more wait for one of them to close.
    pub concurrency: usize,
    /// The independent event loops among which connections are divided; 0 without event loops.
    pub event_loops: usize,
    /// Whether each connection has a process of its own.
    pub forks: bool,
    /// Which comparisons include it by default.
    pub comparison: Comparison,
    /// Whether the test suites include it.
    pub is_tested: bool,
}

/// The comparisons that include a set-up by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// No comparison.
    None,
    /// Comparisons without `--quick`.
    Full,
    /// All comparisons.
    FullAndQuick,
}

impl Setup {
    /// A set-up of one event loop that is tested and compared.
    pub(super) const fn event_loop(
        strategy: &'static Strategy,
        name: &'static str,
        arguments: &'static [&'static str],
    ) -> Setup {
        Setup {
            strategy,
            name,
            arguments,
            concurrency: usize::MAX,
            event_loops: 1,
            forks: false,
            comparison: Comparison::FullAndQuick,
            is_tested: true,
        }
    }

    /// What it is, in a few words.
    pub fn description(&self) -> String {
        let configured = (self.strategy.configure)(&self.arguments[1..]);
        configured.expect("the arguments of a set-up are valid").description()
    }

    /// Whether it serves a connection while another is open.
    pub fn serves_concurrently(&self) -> bool {
        self.concurrency > 1
    }
}

/// A failed test prints the name of its set-up.
impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The options of a strategy whose arguments argh describes.
pub(super) fn options_of<Arguments: ArgsInfo>() -> CommandInfoWithArgs {
    Arguments::get_args_info()
}

/// Configures a strategy whose arguments argh parses.
pub(super) fn configure<Arguments>(arguments: &[&str]) -> Configured
where
    Arguments: FromArgs + ConfiguredStrategy + 'static,
{
    parse::<Arguments>(arguments).map(|strategy| Box::new(strategy) as _)
}

/// Parses a strategy's own options.
pub(super) fn parse<Arguments: FromArgs>(arguments: &[&str]) -> Result<Arguments, String> {
    Arguments::from_args(&[], arguments).map_err(|exit| exit.output)
}
