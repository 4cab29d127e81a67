//! The command line → [`Settings`]. Everything is checked here, once.
//!
//! argh does the parsing. What it lacks is added around it: `--opt=value`, `-h` on every command, exit
//! status 2 for a usage error with one clear line, and output to a closed pipe.

use std::fs::File;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;

mod compare;
pub use compare::Telling;

use crate::compare::run::Request;
use crate::http::Limits;
use nix::unistd::User;

use crate::server::{LogFormat, Model, Privileges, Settings, Strategy};
use crate::site::{CacheRule, Compress, Credentials, FieldRule, MediaTypeRule, Policy, Root, default_folder};

/// Puts a folder on the web, under one of three I/O strategies. In earnest: mio.
#[derive(FromArgs, Debug)]
#[argh(
    help_triggers("-h", "--help"),
    example = "{command_name} mio                            the sample site on http://127.0.0.1:7890/",
    example = "{command_name} mio ./public --port 8080       a folder of yours",
    example = "{command_name} blocking --model process       a process for each connection",
    example = "{command_name} poll-list --trace              what the loop does, step by step",
    note = "{command_name} <command> --help shows the options, which are the same for all but a few."
)]
struct Arguments {
    /// print the version and exit
    #[argh(switch)]
    version: bool,

    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
enum Command {
    Mio(Mio),
    PollList(PollList),
    Blocking(Blocking),
    Compare(compare::Compare),
}

/// The arguments that every strategy has, and its own before them.
macro_rules! strategy_arguments {
    ($(#[$attribute:meta])* struct $name:ident { $($own:tt)* }) => {
        #[derive(FromArgs, Debug)]
        $(#[$attribute])*
        struct $name {
            $($own)*

            /// a folder, or a file that is the answer to every path; without it ./html if there is
            /// one, else the sample site
            #[argh(positional, arg_name = "ROOT")]
            root: Option<PathBuf>,

            /// address to listen on (default 127.0.0.1; :: for all, IPv4 too)
            #[argh(option, default = "String::from(\"127.0.0.1\")", arg_name = "address")]
            host: String,

            /// port to listen on (default 7890; 0 takes a free one)
            #[argh(option, default = "7890", from_str_fn(port), arg_name = "number")]
            port: u16,

            /// connections at once (default 8192, less if descriptors are scarce)
            #[argh(option, from_str_fn(count), arg_name = "number")]
            max_connections: Option<NonZeroUsize>,

            /// seconds for a request's head, from its first byte, then 408 (default 10)
            #[argh(option, default = "Limits::default().header_timeout", from_str_fn(seconds), arg_name = "seconds")]
            header_timeout: Duration,

            /// seconds between two requests, then closed (default 15)
            #[argh(option, default = "Limits::default().idle_timeout", from_str_fn(seconds), arg_name = "seconds")]
            idle_timeout: Duration,

            /// seconds in which a reader must take something, then reset (default 30)
            #[argh(option, default = "Limits::default().write_timeout", from_str_fn(seconds), arg_name = "seconds")]
            write_timeout: Duration,

            /// seconds that a stop waits for answers under way (default 10)
            #[argh(option, default = "Duration::from_secs(10)", from_str_fn(seconds), arg_name = "seconds")]
            shutdown_timeout: Duration,

            /// access log on stdout: none, short, common or json (default short at a terminal, else common)
            #[argh(option, from_str_fn(log_format), arg_name = "format")]
            log: Option<LogFormat>,

            /// codings offered: off, sidecar (page.html.br, .zst, .gz beside page.html) or on (gzip made
            /// here, too; the default)
            #[argh(option, default = "Compress::On", from_str_fn(compress), arg_name = "codings")]
            compress: Compress,

            /// list folders that have no index page
            #[argh(switch)]
            list: bool,

            /// a file beneath ROOT: the page of navigations to paths that don't exist (single-page apps)
            #[argh(option, arg_name = "file")]
            fallback: Option<String>,

            /// a field of every answer, or of those whose path matches: 'X-A: b', '/fonts/** X-A: b'
            #[argh(option, arg_name = "field")]
            header: Vec<FieldRule>,

            /// value of Cache-Control, for all or for some paths: 'no-store', '/assets/** max-age=86400'
            #[argh(option, arg_name = "rule")]
            cache_control: Vec<CacheRule>,

            /// let pages of other origins read the site
            #[argh(switch)]
            cors: bool,

            /// who may read the site, as user:SHA-256 of the password
            #[argh(option, arg_name = "user:hash")]
            auth: Option<Credentials>,

            /// the media type of an extension: glb=model/gltf-binary
            #[argh(option, arg_name = "ext=type")]
            media_type: Vec<MediaTypeRule>,

            /// become this user once the port is bound
            #[argh(option, from_str_fn(user), arg_name = "name")]
            user: Option<User>,

            /// let the kernel refuse all access to files but reading ROOT (Landlock)
            #[argh(switch)]
            confine: bool,

            /// tell on stderr what the loop does, step by step
            #[argh(switch)]
            trace: bool,

            /// a file in which system calls are counted while they are made; see `miniweb compare`
            #[argh(option, hidden_help, arg_name = "file")]
            ledger_page: Option<PathBuf>,

            /// microseconds of work added to every answer, for a comparison to find
            #[argh(option, hidden_help, default = "Duration::ZERO", from_str_fn(microseconds), arg_name = "microseconds")]
            handicap: Duration,
        }

        impl $name {
            fn into_settings(self, strategy: Strategy) -> Result<(Settings, Served), Failure> {
                let (root, served) = open_root(self.root)?;
                let policy = Policy {
                    compress: self.compress,
                    list: self.list,
                    fallback: self.fallback.map(|file| fallback(&root, &file)).transpose()?,
                    fields: self.header,
                    cache_control: self.cache_control,
                    cors: self.cors,
                    credentials: self.auth,
                    media_types: self.media_type,
                    handicap: self.handicap,
                };
                let limits = Limits {
                    header_timeout: self.header_timeout,
                    idle_timeout: self.idle_timeout,
                    write_timeout: self.write_timeout,
                    ..Limits::default()
                };
                let settings = Settings {
                    strategy,
                    root,
                    policy,
                    address: resolve(&self.host, self.port)?,
                    limits,
                    connections_max: self.max_connections,
                    log: self.log.unwrap_or_else(default_log),
                    trace: self.trace,
                    shutdown_timeout: self.shutdown_timeout,
                    privileges: Privileges { user: self.user, confine: self.confine },
                    ledger_page: self.ledger_page.map(|page| ledger_page(&page)).transpose()?,
                };
                Ok((settings, served))
            }
        }
    };
}

strategy_arguments! {
    /// Readiness: one reactor a core sleeps until the kernel says which sockets can go on.
    #[argh(subcommand, name = "mio", help_triggers("-h", "--help"))]
    struct Mio {
        /// reactors, each on its own thread with its own listener (default one a core)
        #[argh(option, from_str_fn(count), arg_name = "number")]
        workers: Option<NonZeroUsize>,
    }
}

strategy_arguments! {
    /// Busy polling: one loop over a list of non-blocking sockets.
    #[argh(subcommand, name = "poll-list", help_triggers("-h", "--help"))]
    struct PollList {
        /// microseconds to sleep after a pass that found nothing (default 0: never)
        #[argh(option, default = "Duration::ZERO", from_str_fn(microseconds), arg_name = "microseconds")]
        pause: Duration,
    }
}

strategy_arguments! {
    /// Blocking calls: a connection at a time, a process each, a thread each, or a pool of threads.
    #[argh(subcommand, name = "blocking", help_triggers("-h", "--help"))]
    struct Blocking {
        /// who serves a connection: iterative, process, thread or pool (default thread)
        #[argh(option, default = "ModelName::Thread", from_str_fn(model_name), arg_name = "model")]
        model: ModelName,

        /// threads of the pool (default 16)
        #[argh(option, from_str_fn(count), arg_name = "number")]
        threads: Option<NonZeroUsize>,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelName {
    Iterative,
    Process,
    Thread,
    Pool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a server.
    Serve(Box<Settings>, Served),
    /// Measure.
    Compare(Box<Request>, Telling),
    /// Be the floor of a comparison: a folder, and the files in it that are asked for.
    Floor(PathBuf, Vec<PathBuf>),
    /// Print this and exit 0.
    Print(String),
}

/// What is served, in words for the first line of the output.
#[derive(Debug)]
pub struct Served(pub String);

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit 2.
    Usage(String),
    /// It is right, but what it names can't be had: exit 1.
    Missing(String),
}

/// The options that are there or not. With a value they would be taken for two arguments.
const SWITCHES: [&str; 6] = ["--confine", "--cors", "--help", "--list", "--trace", "--version"];

/// Reads the arguments behind the program's name.
///
/// # Errors
/// One line for the user.
pub fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Invocation, Failure> {
    let mut words = Vec::new();
    for argument in arguments {
        let word =
            argument.into_string().map_err(|word| Failure::Usage(format!("the argument {word:?} is not UTF-8")))?;
        match word.split_once('=') {
            Some((name, _)) if SWITCHES.contains(&name) => {
                return Err(Failure::Usage(format!("{name} takes no value")));
            }
            Some((name, value)) if name.starts_with("--") && !words.iter().any(|w| w == "--") => {
                words.extend([name.to_owned(), value.to_owned()]);
            }
            _ => words.push(word),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Only a comparison starts it, so it is in no help.
    if let ["floor", root, paths @ ..] = &words[..] {
        return Ok(Invocation::Floor(root.into(), paths.iter().map(PathBuf::from).collect()));
    }
    let arguments = match Arguments::from_args(&["miniweb"], &words) {
        Ok(arguments) => arguments,
        Err(exit) if exit.status.is_ok() => return Ok(Invocation::Print(exit.output)),
        Err(exit) => return Err(Failure::Usage(one_line(&exit.output))),
    };
    if arguments.version {
        return Ok(Invocation::Print(concat!("miniweb ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
    }
    let (settings, served) = match arguments.command {
        None => return Err(Failure::Usage("which strategy? mio, poll-list or blocking; or compare".to_owned())),
        Some(Command::Compare(compare)) => {
            let (request, telling) = compare.into_request(format!("miniweb {}", words.join(" ")))?;
            return Ok(Invocation::Compare(Box::new(request), telling));
        }
        Some(Command::Mio(mio)) => {
            let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            let workers = mio.workers.unwrap_or(cores);
            if workers.get() > 1024 {
                return Err(Failure::Usage(format!("--workers {workers}: at most 1024")));
            }
            mio.into_settings(Strategy::Mio { workers })?
        }
        Some(Command::PollList(list)) => {
            let pause = list.pause;
            list.into_settings(Strategy::PollList { pause })?
        }
        Some(Command::Blocking(blocking)) => {
            let model = match (blocking.model, blocking.threads) {
                (ModelName::Pool, threads) => match threads.map_or(16, NonZeroUsize::get) {
                    threads if threads > 8192 => {
                        return Err(Failure::Usage(format!("--threads {threads}: at most 8192")));
                    }
                    threads => Model::Pool(threads),
                },
                (_, Some(_)) => return Err(Failure::Usage("--threads goes with --model pool".to_owned())),
                (ModelName::Iterative, None) => Model::Iterative,
                (ModelName::Process, None) => Model::Process,
                (ModelName::Thread, None) => Model::Thread,
            };
            blocking.into_settings(Strategy::Blocking(model))?
        }
    };
    Ok(Invocation::Serve(Box::new(settings), served))
}

/// argh's message without its advice, on one line.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("Run "));
    let line = lines.collect::<Vec<_>>().join(" ");
    // "Error parsing option '--port' with value 'abc': why"
    let option_error = || {
        let (option, rest) = line.strip_prefix("Error parsing option '")?.split_once("' with value '")?;
        let (value, why) = rest.split_once("': ")?;
        Some(format!("{option} {value}: {why}"))
    };
    option_error().unwrap_or(line)
}

fn open_root(root: Option<PathBuf>) -> Result<(Root, Served), Failure> {
    let path = match root.or_else(|| default_folder().map(PathBuf::from)) {
        None => return Ok((Root::Sample, Served("the sample site".to_owned()))),
        Some(path) => path,
    };
    let root =
        Root::open(&path).map_err(|error| Failure::Missing(format!("{}: {}", path.display(), reason(&error))))?;
    let served = match root {
        Root::File(_) => format!("{} for every path", path.display()),
        Root::Folder { .. } | Root::Sample => path.display().to_string(),
    };
    Ok((root, Served(served)))
}

/// The fallback must be there when the server starts: a mistyped name would show as a 404 weeks later.
fn fallback(root: &Root, file: &str) -> Result<Box<[u8]>, Failure> {
    let relative = file.trim_start_matches("./").trim_start_matches('/');
    match root.has_file(relative.as_bytes()) {
        true => Ok(relative.as_bytes().into()),
        false => Err(Failure::Missing(format!("--fallback {file}: no such file beneath the root"))),
    }
}

fn ledger_page(path: &Path) -> Result<File, Failure> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(|error| Failure::Missing(format!("--ledger-page {}: {}", path.display(), reason(&error))))
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |_| Failure::Usage(format!("--host {host}: not an address of this machine"));
    let mut addresses = (bare, port).to_socket_addrs().map_err(unknown)?;
    addresses.next().ok_or_else(|| Failure::Usage(format!("--host {host}: it has no address")))
}

/// What went wrong, as a person would say it.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
        std::io::ErrorKind::AddrNotAvailable => "not an address of this machine".to_owned(),
        _ => error.to_string(),
    }
}

fn default_log() -> LogFormat {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() { LogFormat::Short } else { LogFormat::Common }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a number from 0 to 65535 is needed".to_owned())
}

fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number, 1 or more, is needed".to_owned())
}

fn microseconds(text: &str) -> Result<Duration, String> {
    text.parse::<u32>()
        .map(|us| Duration::from_micros(us.into()))
        .map_err(|_| "a whole number of microseconds is needed".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    // A century: past it a deadline can't be reckoned, and nobody means it.
    const MAX: f64 = 100.0 * 366.0 * 86_400.0;
    match text.parse::<f64>() {
        // A socket's timeout has microseconds, and 0 of them mean for ever.
        Ok(seconds) if (0.001..=MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds is needed, 0.001 or more".to_owned()),
    }
}

fn user(name: &str) -> Result<User, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err("there is no such user".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "none" => Ok(LogFormat::None),
        "short" => Ok(LogFormat::Short),
        "common" => Ok(LogFormat::Common),
        "json" => Ok(LogFormat::Json),
        _ => Err("it is none, short, common or json".to_owned()),
    }
}

fn compress(text: &str) -> Result<Compress, String> {
    match text {
        "off" => Ok(Compress::Off),
        "sidecar" => Ok(Compress::Sidecar),
        "on" => Ok(Compress::On),
        _ => Err("it is off, sidecar or on".to_owned()),
    }
}

fn model_name(text: &str) -> Result<ModelName, String> {
    match text {
        "iterative" => Ok(ModelName::Iterative),
        "process" => Ok(ModelName::Process),
        "thread" => Ok(ModelName::Thread),
        "pool" => Ok(ModelName::Pool),
        _ => Err("it is iterative, process, thread or pool".to_owned()),
    }
}

/// How a person opens what listens at `address`.
pub fn url(address: SocketAddr) -> String {
    // Nobody can open 0.0.0.0 or :: in every browser, and everybody can open this.
    match address {
        address if address.ip().is_unspecified() => format!("http://localhost:{}/", address.port()),
        address => format!("http://{address}/"),
    }
}

/// The way of waiting and what was given up, in words.
pub fn describe(strategy: Strategy, privileges: &Privileges) -> String {
    let mut words = describe_strategy(strategy);
    if let Some(user) = &privileges.user {
        words.push_str(&format!("; as {}", user.name));
    }
    if privileges.confine {
        words.push_str("; confined to it");
    }
    words
}

fn describe_strategy(strategy: Strategy) -> String {
    match strategy {
        Strategy::Mio { workers } if workers.get() == 1 => "mio, 1 worker".to_owned(),
        Strategy::Mio { workers } => format!("mio, {workers} workers"),
        Strategy::PollList { pause } if pause.is_zero() => "poll-list, never resting".to_owned(),
        Strategy::PollList { pause } => format!("poll-list, resting for {} µs", pause.as_micros()),
        Strategy::Blocking(Model::Iterative) => "blocking, one connection at a time".to_owned(),
        Strategy::Blocking(Model::Process) => "blocking, a process a connection".to_owned(),
        Strategy::Blocking(Model::Thread) => "blocking, a thread a connection".to_owned(),
        Strategy::Blocking(Model::Pool(threads)) => format!("blocking, a pool of {threads} threads"),
    }
}
