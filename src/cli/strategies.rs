//! The command lines of the strategies: one set of options for all, and the few that each has alone.

use std::fmt::Display;
use std::fs::File;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;
use nix::unistd::User;

use super::values::{compress, count, log_format, microseconds, model_name, port, seconds, user};
use super::{Failure, Served};
use crate::format::error_with;
use crate::http::Limits;
use crate::server::{LogFormat, Model, Privileges, Settings, Strategy};
use crate::site::{
    CacheRule, Compress, Credentials, HeaderRule, MediaTypeRule, Policy, Root, SitePath,
    default_directory,
};

/// The arguments that every strategy has, and its own before them.
macro_rules! strategy_arguments {
    ($(#[$attribute:meta])* pub(super) struct $name:ident { $($own:tt)* }) => {
        #[derive(FromArgs, Debug)]
        $(#[$attribute])*
        pub(super) struct $name {
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
            header: Vec<HeaderRule>,

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

            /// a file in which system calls are counted while they are made, for a comparison, whose line is stdin
            #[argh(option, hidden_help, arg_name = "file")]
            counters_file: Option<PathBuf>,

            /// microseconds of work added to every answer, for a comparison to find
            #[argh(option, hidden_help, default = "Duration::ZERO", from_str_fn(microseconds), arg_name = "microseconds")]
            handicap: Duration,
        }

        impl $name {
            fn into_settings(self, strategy: Strategy) -> Result<(Settings, Served), Failure> {
                let (root, served) = open_root(self.root)?;
                go_with_folder(&root, &[("--list", self.list), ("--fallback", self.fallback.is_some())])?;
                let policy = Policy {
                    compress: self.compress,
                    list: self.list,
                    fallback: self.fallback.map(|file| fallback(&root, &file)).transpose()?,
                    headers: self.header,
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
                    counters_file: self.counters_file.map(|page| counters_file(&page)).transpose()?,
                };
                Ok((settings, served))
            }
        }
    };
}

strategy_arguments! {
    /// Readiness: one reactor a core sleeps until the kernel says which sockets can go on.
    #[argh(subcommand, name = "mio", help_triggers("-h", "--help"))]
    pub(super) struct Mio {
        /// reactors, each on its own thread with its own listener (default one a core)
        #[argh(option, from_str_fn(count), arg_name = "number")]
        workers: Option<NonZeroUsize>,
    }
}

strategy_arguments! {
    /// Busy polling: one loop over a list of non-blocking sockets.
    #[argh(subcommand, name = "poll-list", help_triggers("-h", "--help"))]
    pub(super) struct PollList {
        /// microseconds to sleep after a pass that found nothing (default 0: never)
        #[argh(option, default = "Duration::ZERO", from_str_fn(microseconds), arg_name = "microseconds")]
        pause: Duration,
    }
}

strategy_arguments! {
    /// Blocking calls: a connection at a time, a process each, a thread each, or a pool of threads.
    #[argh(subcommand, name = "blocking", help_triggers("-h", "--help"))]
    pub(super) struct Blocking {
        /// who serves a connection: iterative, process, thread or pool (default thread)
        #[argh(option, default = "ModelName::Thread", from_str_fn(model_name), arg_name = "model")]
        model: ModelName,

        /// threads of the pool (default 16)
        #[argh(option, from_str_fn(count), arg_name = "number")]
        threads: Option<NonZeroUsize>,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelName {
    Iterative,
    Process,
    Thread,
    Pool,
}

impl Mio {
    pub(super) fn settings(self) -> Result<(Settings, Served), Failure> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        match self.workers.unwrap_or(cores) {
            workers if workers.get() > 1024 => {
                Err(Failure::Usage(format!("--workers {workers}: at most 1024")))
            }
            workers => self.into_settings(Strategy::Mio { workers }),
        }
    }
}

impl PollList {
    pub(super) fn settings(self) -> Result<(Settings, Served), Failure> {
        let pause = self.pause;
        self.into_settings(Strategy::PollList { pause })
    }
}

impl Blocking {
    pub(super) fn settings(self) -> Result<(Settings, Served), Failure> {
        let model = match (self.model, self.threads) {
            (ModelName::Pool, threads) => match threads.map_or(16, NonZeroUsize::get) {
                threads if threads > 8192 => {
                    return Err(Failure::Usage(format!("--threads {threads}: at most 8192")));
                }
                threads => Model::Pool(threads),
            },
            (_, Some(_)) => {
                return Err(Failure::Usage("--threads goes with --model pool".to_owned()));
            }
            (ModelName::Iterative, None) => Model::Iterative,
            (ModelName::Process, None) => Model::Process,
            (ModelName::Thread, None) => Model::Thread,
        };
        self.into_settings(Strategy::Blocking(model))
    }
}

fn open_root(root: Option<PathBuf>) -> Result<(Root, Served), Failure> {
    let path = match root.or_else(|| default_directory().map(PathBuf::from)) {
        None => return Ok((Root::Sample, Served("the sample site".to_owned()))),
        Some(path) => path,
    };
    let root = Root::open(&path).map_err(|error| missing(path.display(), &error))?;
    let served = match root {
        Root::File(_) => format!("{} for every path", path.display()),
        Root::Directory { .. } | Root::Sample => path.display().to_string(),
    };
    Ok((root, Served(served)))
}

/// A file answers every path: nothing is missing, and there is nothing to list. `options` tells of each whether it is given.
fn go_with_folder(root: &Root, options: &[(&str, bool)]) -> Result<(), Failure> {
    match (root, options.iter().find(|(_, is_given)| *is_given)) {
        (Root::File(_), Some((option, _))) => {
            Err(Failure::Usage(format!("{option} goes with a folder, and ROOT is a file")))
        }
        _ => Ok(()),
    }
}

/// The fallback must be there when the server starts: a mistyped name would show as a 404 weeks later. So would a hidden one,
/// which is served under no name.
fn fallback(root: &Root, file: &str) -> Result<Box<[u8]>, Failure> {
    let relative = file.trim_start_matches("./").trim_start_matches('/');
    if SitePath::parse(format!("/{relative}").as_bytes()).is_ok_and(|path| path.is_hidden) {
        return Err(Failure::Missing(format!(
            "--fallback {file}: a name that begins with a dot is not served"
        )));
    }
    match root.has_file(relative.as_bytes()) {
        true => Ok(relative.as_bytes().into()),
        false => Err(Failure::Missing(format!("--fallback {file}: no such file beneath the root"))),
    }
}

fn counters_file(path: &Path) -> Result<File, Failure> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(|error| missing(format_args!("--counters-file {}", path.display()), &error))
}

fn missing(subject: impl Display, error: &std::io::Error) -> Failure {
    Failure::Missing(error_with(subject, error).to_string())
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |_| Failure::Usage(format!("--host {host}: not an address of this machine"));
    let mut addresses = (bare, port).to_socket_addrs().map_err(unknown)?;
    addresses.next().ok_or_else(|| Failure::Usage(format!("--host {host}: it has no address")))
}

fn default_log() -> LogFormat {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() { LogFormat::Short } else { LogFormat::Common }
}
