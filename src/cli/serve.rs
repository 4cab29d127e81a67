//! The options that all strategies share → [`Settings`].

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use nix::unistd::User;

use super::arguments::Arguments;
use super::auth::authenticator;
use super::failure::Failure;
use super::values::{compress, log_format, port, user};
use crate::format::{error_with, json_string, printable};
use crate::http::Limits;
use crate::option_values::{count, microseconds, parsed, seconds};
use crate::server::strategies::Strategy;
use crate::server::{LogFormat, Privileges, Settings};
use crate::site::{
    CacheRule, Compress, Credentials, HeaderRule, Listings, MediaTypeRule, Policy, Root, SitePath,
    default_directory,
};

/// The options that every strategy takes.
#[derive(FromArgs, ArgsInfo, Debug)]
pub(super) struct CommonOptions {
    /// address to listen on (default 127.0.0.1; :: for all, IPv4 too)
    #[argh(option, default = "String::from(\"127.0.0.1\")", arg_name = "address")]
    host: String,

    /// port to listen on (default 7890; 0 lets the kernel choose)
    #[argh(option, default = "7890", from_str_fn(port), arg_name = "number")]
    port: u16,

    /// maximum number of open connections (default 8192, fewer if the descriptor limit is low)
    #[argh(option, from_str_fn(count), arg_name = "number")]
    max_connections: Option<NonZeroUsize>,

    /// maximum number of open connections of one client, which is an IPv4 address or an IPv6 /64;
    /// more are closed at once (default: no limit)
    #[argh(option, from_str_fn(count), arg_name = "number")]
    max_connections_per_client: Option<NonZeroUsize>,

    /// seconds to receive a request head, from its first byte; a slower client gets a 408 (default
    /// 10)
    #[argh(
        option,
        default = "Limits::default().head_timeout",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    header_timeout: Duration,

    /// seconds to keep an idle connection open between requests (default 15)
    #[argh(
        option,
        default = "Limits::default().idle_timeout",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    idle_timeout: Duration,

    /// seconds without write progress before the connection is reset (default 30)
    #[argh(
        option,
        default = "Limits::default().write_timeout",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    write_timeout: Duration,

    /// seconds that a shutdown waits for responses in progress (default 10)
    #[argh(
        option,
        default = "Duration::from_secs(10)",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    shutdown_timeout: Duration,

    /// access log on stdout: none, short, common or json (default short at a terminal, else
    /// common)
    #[argh(option, from_str_fn(log_format), arg_name = "format")]
    log: Option<LogFormat>,

    /// compression: off, sidecar (page.html.br, .zst or .gz beside page.html) or on (sidecar, and
    /// brotli and gzip on the fly; the default)
    #[argh(option, default = "Compress::On", from_str_fn(compress), arg_name = "mode")]
    compress: Compress,

    /// list folders that have no index page
    #[argh(switch)]
    list: bool,

    /// a file beneath ROOT to serve to browsers that open a path that does not exist (for
    /// single-page apps)
    #[argh(option, arg_name = "file")]
    fallback: Option<String>,

    /// a header for every response, or for request paths that match a pattern: 'X-A: b',
    /// '/fonts/** X-A: b' (* matches no slash; a folder's path matches also as that of its
    /// index.html)
    #[argh(option, from_str_fn(parsed), arg_name = "header")]
    header: Vec<HeaderRule>,

    /// value of Cache-Control for every file and listing, or for request paths that match a
    /// pattern: 'no-store', '/assets/** max-age=86400'
    #[argh(option, from_str_fn(parsed), arg_name = "rule")]
    cache_control: Vec<CacheRule>,

    /// let pages of other origins read the site (CORS)
    #[argh(switch)]
    cors: bool,

    /// require HTTP Basic authentication with a name and password of this file, which is read
    /// again when it changes; lines are user:hash, with a hash of bcrypt (htpasswd -B) or argon2id
    #[argh(option, arg_name = "file")]
    auth_file: Option<String>,

    /// the same for one user; hash is the SHA-256 of the password in hexadecimal, which every local
    /// user can read in the process list
    #[argh(option, from_str_fn(parsed), arg_name = "user:hash")]
    auth: Option<Credentials>,

    /// the media type of an extension: glb=model/gltf-binary
    #[argh(option, from_str_fn(parsed), arg_name = "ext=type")]
    media_type: Vec<MediaTypeRule>,

    /// switch to this user after binding the port
    #[argh(option, from_str_fn(user), arg_name = "name")]
    user: Option<User>,

    /// deny all file access except reading ROOT (Landlock)
    #[argh(switch)]
    confine: bool,

    /// print each step of the server on stderr
    #[argh(switch)]
    trace: bool,

    /// a file to count system calls in; the server then ends with its standard input
    #[argh(option, hidden_help, arg_name = "file")]
    counters_file: Option<PathBuf>,

    /// microseconds of work to add to every response, for a comparison to detect
    #[argh(
        option,
        hidden_help,
        default = "Duration::ZERO",
        from_str_fn(microseconds),
        arg_name = "microseconds"
    )]
    handicap: Duration,
}

/// What the first line of the output says about a server.
#[derive(Debug)]
pub struct Banner {
    served: String,
    description: String,
    log: LogFormat,
}

impl Banner {
    /// The line for a server that listens at `address`: JSON if the lines of the access log, which
    /// follow on the same stream, are.
    pub fn line(&self, address: SocketAddr) -> String {
        let Banner { served, description, log } = self;
        let url = url(address);
        match log {
            LogFormat::Json => {
                let [url, served, description] = [&url, served, description].map(|text| json(text));
                format!(
                    "{{\"event\":\"listening\",\"url\":{url},\"serving\":{served},\
                     \"strategy\":{description}}}\n"
                )
            }
            LogFormat::None | LogFormat::Short | LogFormat::Common => {
                format!("{}\n", printable(&format!("Serving {served} on {url} ({description})")))
            }
        }
    }
}

fn json(text: &str) -> String {
    let mut out = Vec::new();
    json_string(&mut out, text.as_bytes());
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// The URL at which a person on this machine opens what listens at `address`.
pub fn url(address: SocketAddr) -> String {
    // Not every browser opens 0.0.0.0 or [::].
    match address {
        address if address.ip().is_unspecified() => format!("http://localhost:{}/", address.port()),
        address => format!("http://{address}/"),
    }
}

/// Turns the arguments of a strategy's command into settings.
///
/// # Errors
/// An option has an invalid value, or names something that is not available.
pub(super) fn settings(
    strategy: &'static Strategy,
    arguments: &Arguments,
) -> Result<(Settings, Banner), Failure> {
    let configured = arguments.convert(&(strategy.options)(), strategy.configure);
    let configured = configured.map_err(Failure::Usage)?;
    let options: CommonOptions = arguments.parse().map_err(Failure::Usage)?;
    let (root, served) = open_root(arguments.root.as_ref())?;
    let directory_options = [("--list", options.list), ("--fallback", options.fallback.is_some())];
    refuse_for_file(&root, &directory_options)?;
    let fallback = options.fallback.map(|file| fallback(&root, &file)).transpose()?;
    let policy = Policy {
        compress: options.compress,
        listings: options.list.then(Listings::new),
        fallback,
        headers: options.header,
        cache_control: options.cache_control,
        cors: options.cors,
        authenticator: authenticator(options.auth, options.auth_file, &root)?,
        media_types: options.media_type,
        handicap: options.handicap,
        ..Policy::default()
    };
    let limits = Limits {
        first_request_timeout: options.header_timeout,
        head_timeout: options.header_timeout,
        body_timeout: options.header_timeout,
        idle_timeout: options.idle_timeout,
        write_timeout: options.write_timeout,
        ..Limits::default()
    };
    let privileges = Privileges { user: options.user, confine: options.confine };
    let log = options.log.unwrap_or_else(default_log);
    let description = describe(&configured.description(), &privileges);
    let settings = Settings {
        strategy: configured,
        root,
        policy,
        address: resolve(&options.host, options.port)?,
        limits,
        connections_max: options.max_connections,
        per_client_max: options.max_connections_per_client,
        log,
        trace: options.trace,
        shutdown_timeout: options.shutdown_timeout,
        privileges,
        counters_file: options.counters_file.map(|file| counters_file(&file)).transpose()?,
    };
    Ok((settings, Banner { served, description, log }))
}

/// The strategy, and what the process has given up.
fn describe(strategy: &str, privileges: &Privileges) -> String {
    let user = privileges.user.as_ref().map(|user| format!("; as {}", user.name));
    let confined = if privileges.confine { "; confined to it" } else { "" };
    format!("{strategy}{}{confined}", user.unwrap_or_default())
}

fn open_root(root: Option<&OsString>) -> Result<(Root, String), Failure> {
    let root = root.map(PathBuf::from);
    let path = match root.or_else(|| default_directory().map(PathBuf::from)) {
        None => return Ok((Root::Sample, "the sample site".to_owned())),
        Some(path) => path,
    };
    let root = Root::open(&path).map_err(|error| unavailable(path.display(), &error))?;
    let served = match root {
        Root::File(_) => format!("{} for every path", path.display()),
        Root::Directory { .. } | Root::Sample => path.display().to_string(),
    };
    Ok((root, served))
}

/// Refuses options that need a directory if the root is a file, which is the response to every
/// path. Each option comes with whether it is given.
fn refuse_for_file(root: &Root, options: &[(&str, bool)]) -> Result<(), Failure> {
    match (root, options.iter().find(|(_, is_given)| *is_given)) {
        (Root::File(_), Some((option, _))) => {
            Err(Failure::Usage(format!("{option} requires a folder, and ROOT is a file")))
        }
        _ => Ok(()),
    }
}

/// The fallback must exist when the server starts: a mistyped name would show as a 404 weeks later,
/// and so would a hidden file, which is never served.
fn fallback(root: &Root, file: &str) -> Result<Box<[u8]>, Failure> {
    let relative = file.trim_start_matches("./").trim_start_matches('/');
    if SitePath::parse(format!("/{relative}").as_bytes()).is_ok_and(|path| path.is_hidden) {
        return Err(Failure::Unavailable(format!(
            "invalid value '{file}' for '--fallback': expected a name that does not begin with a dot"
        )));
    }
    match root.has_file(relative.as_bytes()) {
        true => Ok(relative.as_bytes().into()),
        false => Err(Failure::Unavailable(format!(
            "invalid value '{file}' for '--fallback': expected a file beneath ROOT"
        ))),
    }
}

fn counters_file(path: &Path) -> Result<File, Failure> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(|error| unavailable(format_args!("--counters-file {}", path.display()), &error))
}

fn unavailable(subject: impl Display, error: &std::io::Error) -> Failure {
    Failure::Unavailable(error_with(subject, error).to_string())
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let unknown = |_| {
        Failure::Usage(format!(
            "invalid value '{host}' for '--host': expected an address of this machine"
        ))
    };
    let mut addresses = (bare, port).to_socket_addrs().map_err(unknown)?;
    addresses.next().ok_or_else(|| {
        Failure::Usage(format!(
            "invalid value '{host}' for '--host': expected an address of this machine"
        ))
    })
}

fn default_log() -> LogFormat {
    use std::io::IsTerminal;
    if std::io::stdout().is_terminal() { LogFormat::Short } else { LogFormat::Common }
}
