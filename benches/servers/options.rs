//! The options, and what they select.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use argh::FromArgs;

use crate::command_line::{self, Failure, installed, named, positive, usage_failure};
use crate::loads::{self, Workload};
use crate::servers::{self, Contender};

/// Measures the CPU time and the latency of a request under several loads, for miniweb, other
/// servers and a floor.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help"))]
struct Options {
    /// rounds; the medians are reported (default 5)
    #[argh(option, default = "NonZeroUsize::MIN.saturating_add(4)", arg_name = "number")]
    rounds: NonZeroUsize,

    /// seconds of each measurement (default 1)
    #[argh(option, default = "1.0", from_str_fn(positive), arg_name = "seconds")]
    seconds: f64,

    /// names of loads, separated by commas (default: all)
    #[argh(option, arg_name = "names")]
    loads: Option<String>,

    /// names of servers, separated by commas (default: all)
    #[argh(option, arg_name = "names")]
    servers: Option<String>,

    /// measure everything once and briefly, to see that it works
    #[argh(switch)]
    test: bool,

    /// the bench starts itself with it, to serve this directory as the floor under the one load
    #[argh(option, hidden_help)]
    floor: Option<PathBuf>,

    /// cargo passes it to every bench
    #[argh(switch, hidden_help)]
    #[allow(dead_code, reason = "it has no effect")]
    bench: bool,
}

pub enum Invocation {
    Measure(Selection),
    ServeFloor { root: PathBuf, workload: &'static Workload },
}

/// What is measured.
pub struct Selection {
    pub workloads: Vec<&'static Workload>,
    pub servers: Vec<Contender>,
    pub effort: Effort,
}

/// The number, the lengths and the extent of the measurements.
pub struct Effort {
    pub rounds: usize,
    pub warm_up: Duration,
    pub window: Duration,
    /// How many files are served of those of a load with many.
    pub files_max: usize,
}

/// What the command line asks for; None if it is help, which has then been printed.
pub fn parse() -> Result<Option<Invocation>, Failure> {
    let options: Option<Options> = command_line::parse("servers")?;
    options.map(|options| options.into_invocation().map_err(usage_failure)).transpose()
}

impl Options {
    fn into_invocation(self) -> Result<Invocation, String> {
        let workloads = loads::ALL.iter().collect();
        let workloads = named("--loads", self.loads.as_deref(), workloads, |load| load.name)?;
        if let (Some(root), [workload]) = (&self.floor, &workloads[..]) {
            return Ok(Invocation::ServeFloor { root: root.clone(), workload });
        }
        let servers = named("--servers", self.servers.as_deref(), servers::all(), Contender::name)?;
        Ok(Invocation::Measure(Selection {
            workloads,
            servers: installed(servers, Contender::name, Contender::is_installed),
            effort: if self.test { SMOKE } else { self.whole() },
        }))
    }

    fn whole(&self) -> Effort {
        Effort {
            rounds: self.rounds.get(),
            warm_up: Duration::from_millis(300),
            window: Duration::from_secs_f64(self.seconds),
            files_max: usize::MAX,
        }
    }
}

const SMOKE: Effort = Effort {
    rounds: 1,
    warm_up: Duration::from_millis(10),
    window: Duration::from_millis(20),
    files_max: 100,
};
