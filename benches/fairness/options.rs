//! The options, and what they select.

use std::num::NonZeroUsize;
use std::time::Duration;

use argh::FromArgs;

use crate::command_line::{self, Failure, installed, named, positive, usage_failure};
use crate::loads::{self, BesideLoad};
use crate::servers::{self, Contender};
use crate::site::SiteSize;

/// Measures the latency of a well-behaved client beside several loads.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help"))]
struct Options {
    /// rounds; the medians are reported (default 3)
    #[argh(option, default = "NonZeroUsize::MIN.saturating_add(2)", arg_name = "number")]
    rounds: NonZeroUsize,

    /// seconds of each measurement (default 2)
    #[argh(option, default = "2.0", from_str_fn(positive), arg_name = "seconds")]
    seconds: f64,

    /// requests per second of the client (default 200)
    #[argh(option, default = "200.0", from_str_fn(positive), arg_name = "number")]
    rate: f64,

    /// names of loads, separated by commas (default: all)
    #[argh(option, arg_name = "names")]
    loads: Option<String>,

    /// names of servers, separated by commas (default: all)
    #[argh(option, arg_name = "names")]
    servers: Option<String>,

    /// measure everything once and briefly, to see that it works
    #[argh(switch)]
    test: bool,

    /// cargo passes it to every bench
    #[argh(switch, hidden_help)]
    #[allow(dead_code, reason = "it has no effect")]
    bench: bool,
}

/// What is measured.
pub struct Selection {
    pub loads: Vec<&'static BesideLoad>,
    pub servers: Vec<Contender>,
    pub effort: Effort,
}

/// The number, the lengths and the extent of the measurements.
pub struct Effort {
    pub rounds: usize,
    pub warm_up: Duration,
    pub window: Duration,
    pub requests_per_second: f64,
    pub site: SiteSize,
}

/// The selection of the command line; None if it asks for help, which has then been printed.
pub fn parse() -> Result<Option<Selection>, Failure> {
    let options: Option<Options> = command_line::parse("fairness")?;
    options.map(|options| options.select().map_err(usage_failure)).transpose()
}

impl Options {
    fn select(&self) -> Result<Selection, String> {
        let loads: Vec<&BesideLoad> = loads::ALL.iter().collect();
        let servers = named("--servers", self.servers.as_deref(), servers::all(), Contender::name)?;
        let servers = installed(servers, Contender::name, Contender::is_installed);
        Ok(Selection {
            loads: named("--loads", self.loads.as_deref(), loads, |load| load.name)?,
            servers,
            effort: if self.test { self.smoke() } else { self.whole() },
        })
    }

    fn whole(&self) -> Effort {
        Effort {
            rounds: self.rounds.get(),
            warm_up: Duration::from_millis(300),
            window: Duration::from_secs_f64(self.seconds),
            requests_per_second: self.rate,
            site: SiteSize { pages: 4000, names: 20_000, large_bytes: 100_000_000 },
        }
    }

    fn smoke(&self) -> Effort {
        Effort {
            rounds: 1,
            warm_up: Duration::from_millis(20),
            window: Duration::from_millis(50),
            requests_per_second: self.rate,
            site: SiteSize { pages: 20, names: 100, large_bytes: 1_000_000 },
        }
    }
}
