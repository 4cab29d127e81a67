//! The command line of `miniweb compare`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;

use super::Failure;
use super::values::{count, seconds};
use crate::compare::Contender;
use crate::compare::report::ColorChoice;
use crate::compare::run::Request;
use crate::compare::workloads::{self, Knobs};

/// Measure what each strategy costs under the same load, and say how sure that is.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "compare",
    help_triggers("-h", "--help"),
    example = "miniweb compare                                 the sample site, all strategies, under ten minutes",
    example = "miniweb compare ./public --quick --strategies mio,poll-list,blocking:thread",
    example = "miniweb compare --against nginx=http://127.0.0.1:8080/,1234",
    error_code(3, "Nothing valid could be measured.")
)]
pub(super) struct Compare {
    /// a folder whose files are asked for; without it the sample site, with one large file beside it
    #[argh(positional, arg_name = "ROOT")]
    root: Option<PathBuf>,

    /// strategies, with commas: mio, poll-list, blocking:thread, :process, :pool, :iterative
    /// (default all; with --quick mio, poll-list and blocking:thread)
    #[argh(option, arg_name = "names")]
    strategies: Option<String>,

    /// loads, with commas: keep-alive, pipelined, connection-per-request, large-file, slow-readers,
    /// mostly-idle, open, or one by its whole name, e.g. keep-alive-64 (default all)
    #[argh(option, arg_name = "names", from_str_fn(workload_names))]
    workloads: Option<Vec<String>>,

    /// another server as name=URL,PID, e.g. nginx=http://127.0.0.1:8080/,1234
    #[argh(option, arg_name = "server", from_str_fn(foreign))]
    against: Vec<Contender>,

    /// under a minute: three strategies, fewer workloads, shorter windows
    #[argh(switch)]
    quick: bool,

    /// seconds for all of it, shared out among the windows (default 570, with --quick 55)
    #[argh(option, arg_name = "seconds", from_str_fn(seconds))]
    time: Option<Duration>,

    /// write a report for browsers
    #[argh(option, arg_name = "file")]
    html: Option<PathBuf>,

    /// write everything that was measured
    #[argh(option, arg_name = "file")]
    json: Option<PathBuf>,

    /// where the order of turns comes from (default the time)
    #[argh(option, arg_name = "number", from_str_fn(seed))]
    seed: Option<u64>,

    /// windows for each strategy and workload (default 12)
    #[argh(option, arg_name = "number", from_str_fn(count))]
    rounds: Option<NonZeroUsize>,

    /// connections of the keep-alive, pipelined and paced workloads (default 64)
    #[argh(option, arg_name = "number", default = "64", from_str_fn(small_count))]
    connections: u32,

    /// requests at once in the pipelined workload (default 16)
    #[argh(option, arg_name = "number", default = "16", from_str_fn(small_count))]
    depth: u32,

    /// silent connections of the mostly idle workload (default 1000, with --quick 256)
    #[argh(option, arg_name = "number", from_str_fn(small_count))]
    idle: Option<u32>,

    /// connections that read slowly (default 32)
    #[argh(option, arg_name = "number", default = "32", from_str_fn(small_count))]
    slow: u32,

    /// requests a second of the paced workload (default 2000, with --quick 5000: a p99 needs a hundred)
    #[argh(option, arg_name = "number", from_str_fn(small_count))]
    rate: Option<u32>,

    /// auto, always or never (default auto: at a terminal, unless NO_COLOR is set)
    #[argh(option, arg_name = "when", default = "ColorChoice::Auto")]
    color: ColorChoice,
}

/// How the results are told.
#[derive(Clone, Debug)]
pub struct Telling {
    /// A report for browsers goes here.
    pub html: Option<PathBuf>,
    /// The results go here.
    pub json: Option<PathBuf>,
    /// Of what goes to stdout.
    pub color: ColorChoice,
}

impl Telling {
    /// Those that are to be written.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.json, &self.html].into_iter().filter_map(|file| file.as_deref())
    }
}

impl Compare {
    /// `command` is how it was typed.
    pub(super) fn into_request(self, command: String) -> Result<(Request, Telling), Failure> {
        const QUICK: &str = "mio,poll-list,blocking:thread";
        const ALL: &str =
            "mio,poll-list,blocking:thread,blocking:process,blocking:pool,blocking:iterative";
        let usual = if self.quick { QUICK } else { ALL };
        let names = self.strategies.as_deref().unwrap_or(usual).split(',');
        let wrong = |why| Failure::Usage(format!("--strategies {why}"));
        let mut contenders =
            names.map(Contender::strategy).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        contenders.extend(self.against);
        for (n, contender) in contenders.iter().enumerate() {
            let name = &contender.arm.name;
            if name == "floor" || contenders[..n].iter().any(|other| other.arm.name == *name) {
                return Err(Failure::Usage(format!(
                    "--strategies and --against: {name} is there already"
                )));
            }
        }
        if let Some(root) = self.root.as_ref().filter(|root| !root.is_dir()) {
            return Err(Failure::Missing(format!("{}: no such folder", root.display())));
        }
        let request = Request {
            command,
            root: self.root,
            contenders,
            workloads: self.workloads,
            time: self.time.unwrap_or(if self.quick { QUICK_TIME } else { TIME }),
            seed: self.seed.unwrap_or_else(seed_of_the_moment),
            rounds: self.rounds.map_or(ROUNDS, |rounds| rounds.get() as u32),
            knobs: Knobs {
                is_quick: self.quick,
                connections: self.connections,
                depth: self.depth,
                idle: self.idle.unwrap_or(if self.quick { 256 } else { 1000 }),
                slow: self.slow,
                rate: self.rate.unwrap_or(if self.quick { 5000 } else { 2000 }),
            },
        };
        Ok((request, Telling { html: self.html, json: self.json, color: self.color }))
    }
}

/// The fewest of which a burst of noise can spoil one at each end, and the intervals are still sure by 99 %.
const ROUNDS: u32 = 12;
/// Under ten minutes, with room for one server that hangs.
const TIME: Duration = Duration::from_secs(570);
/// Under one.
const QUICK_TIME: Duration = Duration::from_secs(55);

/// Every JSON reader keeps a number below this one.
const SEED_END: u64 = 1 << 53;

fn seed_of_the_moment() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_micros() as u64 % SEED_END)
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|seed| *seed < SEED_END)
        .ok_or_else(|| "a whole number below 2^53 is needed".to_owned())
}

/// What one thread can load a server with, and a machine has ports for.
fn small_count(text: &str) -> Result<u32, String> {
    const MAX: u32 = 20_000;
    let wanted = "a whole number from 1 to 20000 is needed";
    text.parse().ok().filter(|count| (1..=MAX).contains(count)).ok_or_else(|| wanted.to_owned())
}

fn workload_names(text: &str) -> Result<Vec<String>, String> {
    let kinds = workloads::NAMES;
    let names = text.split(',').map(|name| match kinds.iter().any(|kind| name.starts_with(kind)) {
        true => Ok(name.to_owned()),
        false => Err(format!("{name:?} is none of {}", kinds.join(", "))),
    });
    names.collect()
}

fn foreign(text: &str) -> Result<Contender, String> {
    Contender::foreign(text)
}
