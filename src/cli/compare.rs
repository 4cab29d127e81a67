//! The command line of `miniweb compare`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::arguments::Arguments;
use super::failure::Failure;
use super::invocation::Invocation;
use super::report_options::{ReportFiles, ReportOptions, SavedRun};
use super::tool::Tool;
use crate::compare::Contender;
use crate::compare::baselines::{Baselines, is_valid_name};
use crate::compare::report::ColorChoice;
use crate::compare::request::Request;
use crate::compare::results::Axis;
use crate::compare::workloads::{self, WorkloadParameters};
use crate::format::reason;
use crate::option_values::{ERROR_MARK, count, expected, parsed, seconds};

/// `miniweb compare`
pub(super) static COMMAND: Tool = Tool {
    name: "compare",
    summary: "Measure what each strategy costs under the same load, with confidence intervals.",
    root_description: "a folder whose files are requested (default the sample site and one large \
                       file)",
    example: ("compare --quick", "compare the strategies, in under a minute"),
    options: Compare::get_args_info,
    values: || {
        let names = Contender::strategies(false).into_iter().map(|contender| contender.info.name);
        vec![("--strategies", names.collect::<Vec<_>>().join(", "))]
    },
    exit_statuses: &[
        ("0", "results were produced"),
        ("1", "the folder does not exist, or a report could not be written"),
        ("2", "the command line is wrong, or --time is too short"),
        ("3", "nothing valid could be measured, for example because responses differ"),
    ],
    parse: invocation,
};

/// The options of `miniweb compare`.
#[derive(FromArgs, ArgsInfo, Debug)]
struct Compare {
    /// strategies to compare, separated by commas (default all; with --quick fewer)
    #[argh(option, arg_name = "names")]
    strategies: Option<String>,

    /// workloads, separated by commas: keep-alive, pipelined, connection-per-request, large-file,
    /// slow-readers, mostly-idle, open, or a full name such as keep-alive-64 (default all; with
    /// --sweep none)
    #[argh(option, arg_name = "names", from_str_fn(workload_names))]
    workloads: Option<Vec<String>>,

    /// properties to vary, separated by commas: connections (1 to 8192), idle (0 to 10000 idle
    /// connections), size (of the file, 0 to 16 MiB), rate (1 to 95 % of capacity) (default all if
    /// --time suffices; none with --workloads or --quick)
    #[argh(option, arg_name = "names", from_str_fn(sweeps))]
    sweep: Option<Vec<Axis>>,

    /// another server that serves ROOT, as name=URL,PID: nginx=http://127.0.0.1:8080/,1234;
    /// without PID, its CPU time and memory are not measured
    #[argh(option, arg_name = "server", from_str_fn(foreign))]
    against: Vec<Contender>,

    /// measure every strategy with and without TLS (1.3, AES-128-GCM, ECDSA P-256): short for
    /// adding NAME+tls to --strategies for each NAME
    #[argh(switch)]
    tls: bool,

    /// finish in under a minute: fewer strategies and workloads, shorter windows
    #[argh(switch)]
    quick: bool,

    /// seconds for the whole comparison, divided among the windows (default 570, with --quick 55)
    #[argh(option, arg_name = "seconds", from_str_fn(seconds))]
    time: Option<Duration>,

    /// print all figures and intervals, and the order of the measurements, and not only a summary
    #[argh(switch)]
    verbose: bool,

    /// write an HTML report
    #[argh(option, arg_name = "file")]
    html: Option<PathBuf>,

    /// write all measurements as JSON (NAME.json.gz: compressed)
    #[argh(option, arg_name = "file")]
    json: Option<PathBuf>,

    /// write the summary and all figures as Markdown
    #[argh(option, arg_name = "file")]
    markdown: Option<PathBuf>,

    /// write all figures as CSV
    #[argh(option, arg_name = "file")]
    csv: Option<PathBuf>,

    /// save the run under a name for --from, in ~/.local/share/miniweb/baselines; it replaces the
    /// run that has the name
    #[argh(option, arg_name = "name", from_str_fn(baseline_name))]
    baseline: Option<String>,

    /// measure nothing, and report the results in a file of --json, or a saved run, again; given
    /// twice, set two runs side by side
    #[argh(option, arg_name = "file-or-name")]
    from: Vec<String>,

    /// seed for the order of measurements (default: from the clock)
    #[argh(option, arg_name = "number", from_str_fn(seed))]
    seed: Option<u64>,

    /// rounds; each measures every strategy once per workload (default 12)
    #[argh(option, arg_name = "number", from_str_fn(count))]
    rounds: Option<NonZeroUsize>,

    /// connections of the keep-alive, pipelined and open workloads (default 64)
    #[argh(option, arg_name = "number", default = "64", from_str_fn(small_count))]
    connections: u32,

    /// requests in flight per connection in the pipelined workload (default 16)
    #[argh(option, arg_name = "number", default = "16", from_str_fn(small_count))]
    depth: u32,

    /// idle connections of the mostly-idle workload (default 1000, with --quick 256)
    #[argh(option, arg_name = "number", from_str_fn(small_count))]
    idle: Option<u32>,

    /// slow readers of the slow-readers workload (default 32)
    #[argh(option, arg_name = "number", default = "32", from_str_fn(small_count))]
    slow: u32,

    /// requests per second of the open workload (default 2000, with --quick 5000)
    #[argh(option, arg_name = "number", from_str_fn(small_count))]
    rate: Option<u32>,

    /// color on stdout: auto, always or never (default auto: at a terminal, unless NO_COLOR is
    /// set)
    #[argh(option, arg_name = "when", default = "ColorChoice::Auto", from_str_fn(parsed))]
    color: ColorChoice,
}

/// The options that `--from` can be combined with.
const REPORT_OPTIONS: [&str; 7] =
    ["--from", "--html", "--json", "--markdown", "--csv", "--color", "--verbose"];

fn invocation(arguments: &Arguments) -> Result<Invocation, Failure> {
    let mut options: Compare = arguments.parse().map_err(Failure::Usage)?;
    let report = ReportOptions {
        files: ReportFiles {
            html: options.html.take(),
            json: options.json.take(),
            markdown: options.markdown.take(),
            csv: options.csv.take(),
            baseline: match options.baseline.take() {
                Some(name) => Some((name, baselines()?)),
                None => None,
            },
        },
        color: options.color,
        verbose: options.verbose,
    };
    let runs = std::mem::take(&mut options.from);
    if runs.is_empty() {
        return Ok(Invocation::Compare(Box::new(request(arguments, options)?), report));
    }
    let mut given = arguments.option_names();
    match (given.find(|name| !REPORT_OPTIONS.contains(name)), &arguments.root) {
        (None, None) => {}
        (surplus, _) => {
            return Err(Failure::Usage(format!(
                "--from cannot be combined with {}: it measures nothing",
                surplus.unwrap_or("ROOT")
            )));
        }
    }
    let runs = runs.into_iter().map(saved_run).collect::<Result<Vec<_>, Failure>>()?;
    match <[SavedRun; 2]>::try_from(runs) {
        Ok(_) if report.files.json.is_some() => Err(Failure::Usage(
            "--json cannot be combined with two --from: it writes the results of one run"
                .to_owned(),
        )),
        Ok(runs) => Ok(Invocation::SideBySide(runs, report)),
        Err(runs) => match <[SavedRun; 1]>::try_from(runs) {
            Ok([run]) => Ok(Invocation::Report(run, report)),
            Err(runs) => Err(Failure::Usage(format!(
                "--from is given {} times: expected one run, or two to set side by side",
                runs.len()
            ))),
        },
    }
}

/// The file that `given` names: an existing one, or that of a saved run.
fn saved_run(given: String) -> Result<SavedRun, Failure> {
    let file = PathBuf::from(&given);
    if file.exists() || !is_valid_name(&given) {
        return Ok(SavedRun { file, name: given });
    }
    let saved = baselines()?;
    let file = saved.path(&given);
    if !file.exists() {
        let directory = saved.directory().display();
        let reason = format!("{given}: no such file, and no saved run of this name in {directory}");
        return Err(Failure::Unavailable(reason));
    }
    Ok(SavedRun { file, name: given })
}

fn baselines() -> Result<Baselines, Failure> {
    let variable = std::env::var_os;
    Baselines::of_user(variable("XDG_DATA_HOME"), variable("HOME"))
        .ok_or_else(|| Failure::Unavailable("no folder for saved runs: HOME is not set".to_owned()))
}

fn baseline_name(text: &str) -> Result<String, String> {
    match is_valid_name(text) {
        true => Ok(text.to_owned()),
        false => Err(expected(
            "at most 64 letters, digits, '.', '_' and '-', beginning with a letter or digit",
        )),
    }
}

/// Turns the options of a measurement into a request.
///
/// # Errors
/// An option has an invalid value, or the root is not a directory.
fn request(arguments: &Arguments, options: Compare) -> Result<Request, Failure> {
    let root = arguments.root.as_ref().map(PathBuf::from);
    if let Some(root) = root.as_ref().filter(|root| !root.is_dir()) {
        return Err(Failure::Unavailable(format!("{}: no such folder", root.display())));
    }
    if root.is_none() && !options.against.is_empty() {
        let reason = "--against needs ROOT, a folder that the other server serves, too: the sample \
                      site is written to a temporary folder";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let is_quick = options.quick;
    let mut contenders = strategies(options.strategies.as_deref(), is_quick)?;
    if options.tls {
        add_tls(&mut contenders)?;
    }
    contenders.extend(options.against);
    reject_duplicates(&contenders)?;
    Ok(Request {
        command: command(),
        program: std::env::current_exe().map_err(|error| Failure::Unavailable(reason(&error)))?,
        root,
        workloads: options.workloads,
        sweeps: options.sweep.unwrap_or_default(),
        time: options.time.unwrap_or(if is_quick { QUICK_TIME } else { TIME }),
        seed: options.seed.unwrap_or_else(seed_from_clock),
        rounds: options.rounds.map_or(ROUNDS, |rounds| rounds.get() as u32),
        parameters: WorkloadParameters {
            has_tls: contenders.iter().any(|contender| contender.info.without_tls.is_some()),
            is_quick,
            connections: options.connections,
            depth: options.depth,
            idle: options.idle.unwrap_or(if is_quick { 256 } else { 1000 }),
            slow: options.slow,
            rate: options.rate.unwrap_or(if is_quick { 5000 } else { 2000 }),
        },
        contenders,
    })
}

/// The command line as it was typed.
fn command() -> String {
    let words = std::env::args_os().skip(1);
    words
        .fold("miniweb".to_owned(), |command, word| format!("{command} {}", word.to_string_lossy()))
}

fn strategies(names: Option<&str>, is_quick: bool) -> Result<Vec<Contender>, Failure> {
    let Some(names) = names else { return Ok(Contender::strategies(is_quick)) };
    let contender = |name| {
        let invalid = |reason| format!("invalid value '{name}' for '--strategies': {reason}");
        Contender::strategy(name).map_err(invalid)
    };
    let contenders: Result<Vec<_>, String> = names.split(',').map(contender).collect();
    contenders.map_err(Failure::Usage)
}

/// Adds to each strategy the same one with TLS, unless that is named anyway.
fn add_tls(contenders: &mut Vec<Contender>) -> Result<(), Failure> {
    let plain: Vec<Contender> = contenders.iter().filter(|it| it.takes_tls()).cloned().collect();
    for contender in plain {
        let unavailable = |reason| Failure::Usage(format!("invalid option '--tls': {reason}"));
        let encrypted = contender.with_tls().map_err(unavailable)?;
        if contenders.iter().all(|known| known.info.name != encrypted.info.name) {
            contenders.push(encrypted);
        }
    }
    Ok(())
}

fn reject_duplicates(contenders: &[Contender]) -> Result<(), Failure> {
    for (n, contender) in contenders.iter().enumerate() {
        let name = &contender.info.name;
        if name == Contender::REFERENCE
            || contenders[..n].iter().any(|other| other.info.name == *name)
        {
            return Err(Failure::Usage(format!(
                "'{name}' is given twice by '--strategies' and '--against'"
            )));
        }
    }
    Ok(())
}

/// Enough for 99 % confidence intervals of which a burst of noise in one or two rounds is no bound.
const ROUNDS: u32 = 12;
/// Under ten minutes, with a reserve for one server that hangs.
const TIME: Duration = Duration::from_secs(570);
/// Under a minute.
const QUICK_TIME: Duration = Duration::from_secs(55);

/// JSON readers that use doubles keep integers below 2^53.
const SEED_END: u64 = 1 << 53;

fn seed_from_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_micros() as u64 % SEED_END)
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|seed| *seed < SEED_END)
        .ok_or_else(|| expected("a whole number below 2^53"))
}

/// A number of connections or requests: what one thread can generate, and a machine has ports for.
fn small_count(text: &str) -> Result<u32, String> {
    const MAX: u32 = 20_000;
    text.parse()
        .ok()
        .filter(|count| (1..=MAX).contains(count))
        .ok_or_else(|| expected("a whole number from 1 to 20000"))
}

fn workload_names(text: &str) -> Result<Vec<String>, String> {
    let kinds = workloads::NAMES;
    let names = text.split(',').map(|name| match kinds.iter().any(|kind| name.starts_with(kind)) {
        true => Ok(name.to_owned()),
        false => Err(expected(&format!("names that begin with {}", kinds.join(", ")))),
    });
    names.collect()
}

fn sweeps(text: &str) -> Result<Vec<Axis>, String> {
    let names = Axis::ALL.map(Axis::name);
    let axis = |name: &str| Axis::ALL.into_iter().find(|axis| axis.name() == name);
    let axes: Option<Vec<Axis>> = text.split(',').map(axis).collect();
    axes.ok_or_else(|| expected(&format!("a comma-separated list of {}", names.join(", "))))
}

fn foreign(text: &str) -> Result<Contender, String> {
    Contender::foreign(text).map_err(|reason| format!("{ERROR_MARK}{reason}"))
}
