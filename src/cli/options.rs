//! The options that every strategy takes, in the groups in which the help shows them.

// The doc comments of options are the help texts, in which an address has no markup.
#![allow(rustdoc::bare_urls)]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FromArgs};
use nix::unistd::User;

use super::arguments::Arguments;
use super::values::{
    RedirectAddress, admin_address, cache_size, compress, log_format, permission_bits, port,
    redirect_address, user,
};
use crate::http::{Limits, TrustedProxy};
use crate::option_values::{count, microseconds, parsed, seconds};
use crate::server::{ListenAddress, LogFormat, default_cache_bytes};
use crate::site::{
    CacheRule, Compress, Credentials, ErrorPageRule, HeaderRule, HealthPath, HidePattern,
    IndexName, MediaTypeRule, Origin, RedirectRule, RoutePrefix, ServerName,
};

/// The options that every strategy takes.
#[derive(Debug)]
pub(super) struct CommonOptions {
    pub site: SiteOptions,
    pub network: NetworkOptions,
    pub caching: CachingOptions,
    pub security: SecurityOptions,
    pub log: LogOptions,
}

/// Options of one kind, with the heading under which the help shows them.
#[derive(Debug)]
pub(super) struct OptionGroup {
    pub title: String,
    pub description: CommandInfoWithArgs,
}

impl CommonOptions {
    /// # Errors
    /// `invalid value 'x' for '--option': expected …`
    pub(super) fn parse(arguments: &Arguments) -> Result<CommonOptions, String> {
        Ok(CommonOptions {
            site: arguments.parse()?,
            network: arguments.parse()?,
            caching: arguments.parse()?,
            security: arguments.parse()?,
            log: arguments.parse()?,
        })
    }

    pub(super) fn groups() -> [OptionGroup; 5] {
        [
            OptionGroup::of::<SiteOptions>("What to serve"),
            OptionGroup::of::<NetworkOptions>("Network"),
            OptionGroup::of::<CachingOptions>("Caching and headers"),
            OptionGroup::of::<SecurityOptions>("Security"),
            OptionGroup::of::<LogOptions>("Logging"),
        ]
    }
}

impl OptionGroup {
    fn of<T: ArgsInfo>(title: &str) -> OptionGroup {
        OptionGroup { title: title.to_owned(), description: T::get_args_info() }
    }

    /// The options that the help shows.
    pub(super) fn visible(&self) -> impl Iterator<Item = &'static FlagInfo<'static>> {
        self.description.flags.iter().filter(|flag| !flag.hidden && flag.long != "--help")
    }
}

/// What to serve.
#[derive(FromArgs, ArgsInfo, Debug)]
pub(super) struct SiteOptions {
    /// list folders that have no index page
    #[argh(switch)]
    pub list: bool,

    /// the name of the index page of folders (default index.html); if there are several, the first
    /// that exists
    #[argh(option, from_str_fn(parsed), arg_name = "name")]
    pub index: Vec<IndexName>,

    /// names that are neither served nor listed, or paths if the pattern begins with a slash, with
    /// all beneath them: '*.bak', '/drafts'
    #[argh(option, from_str_fn(parsed), arg_name = "pattern")]
    pub hide: Vec<HidePattern>,

    /// serve about.html as /about, and redirect /about.html there and /index.html to /
    #[argh(switch)]
    pub clean_urls: bool,

    /// redirect request paths that match a pattern, before files are looked up: '/old/** /new/$1'
    /// ($1 is what the first star matches), or '/blog https://blog.example.org 302' (the default
    /// status is 301)
    #[argh(option, from_str_fn(parsed), arg_name = "rule")]
    pub redirect: Vec<RedirectRule>,

    /// serve the site beneath this path, such as /docs, for a proxy that does not strip it;
    /// patterns are compared with the rest of the path
    #[argh(option, from_str_fn(parsed), arg_name = "path")]
    pub route_prefix: Option<RoutePrefix>,

    /// a file beneath ROOT to serve to browsers that open a path that does not exist and has no
    /// extension but .html (for single-page apps)
    #[argh(option, arg_name = "file")]
    pub fallback: Option<String>,

    /// a page beneath ROOT to send with an error: 404=lost.html, or 403, 500 or 503 (default
    /// 404=404.html, if it exists)
    #[argh(option, from_str_fn(parsed), arg_name = "status=file")]
    pub error_page: Vec<ErrorPageRule>,

    /// the media type of an extension: glb=model/gltf-binary
    #[argh(option, from_str_fn(parsed), arg_name = "ext=type")]
    pub media_type: Vec<MediaTypeRule>,
}

/// Network.
#[derive(FromArgs, ArgsInfo, Debug)]
pub(super) struct NetworkOptions {
    /// address to listen on (default 127.0.0.1; :: for all, IPv4 too), or unix:PATH for a Unix
    /// socket; may be repeated
    #[argh(option, arg_name = "address")]
    pub host: Vec<String>,

    /// port to listen on (default 7890; 0 lets the kernel choose)
    #[argh(option, short = 'p', default = "7890", from_str_fn(port), arg_name = "number")]
    pub port: u16,

    /// permission bits of the Unix sockets of --host; connecting requires write permission (default
    /// 0666)
    #[argh(option, default = "0o666", from_str_fn(permission_bits), arg_name = "mode")]
    pub socket_mode: u32,

    /// open the site in a browser
    #[argh(switch)]
    pub open: bool,

    /// draw the address for other machines as a QR code, for phones
    #[argh(switch)]
    pub qr: bool,

    /// address (127.0.0.1:9090 or unix:PATH, with mode 0660) of a listener for /healthz, /readyz
    /// and /metrics (Prometheus); it requires no password, so it must not be public
    #[argh(option, from_str_fn(admin_address), arg_name = "address")]
    pub admin: Option<ListenAddress>,

    /// path for probes of the public port, such as /health: the response is a 200, or a 503 while
    /// the server shuts down; it requires no host name or password, is not logged, and hides a file
    /// of that name
    #[argh(option, from_str_fn(parsed), arg_name = "path")]
    pub health: Option<HealthPath>,

    /// maximum number of open connections (default 8192, fewer if the descriptor limit is low)
    #[argh(option, from_str_fn(count), arg_name = "number")]
    pub max_connections: Option<NonZeroUsize>,

    /// maximum number of open connections of one client, which is an IPv4 address or an IPv6 /64;
    /// more are closed at once (default: no limit)
    #[argh(option, from_str_fn(count), arg_name = "number")]
    pub max_connections_per_client: Option<NonZeroUsize>,

    /// address or network of a proxy, such as 10.0.0.0/8, or 'unix:' for every client of a Unix
    /// socket; its X-Forwarded-For gives the address of the client for the log and for limiting
    /// password attempts; may be repeated
    #[argh(option, from_str_fn(parsed), arg_name = "cidr")]
    pub trusted_proxy: Vec<TrustedProxy>,

    /// expect a header of the PROXY protocol (version 1 or 2) at the start of each connection of a
    /// trusted proxy
    #[argh(switch)]
    pub proxy_protocol: bool,

    /// seconds to receive a request head, from its first byte; a slower client gets a 408 (default
    /// 10)
    #[argh(
        option,
        default = "Limits::default().head_timeout",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    pub header_timeout: Duration,

    /// seconds to keep an idle connection open between requests (default 15)
    #[argh(
        option,
        default = "Limits::default().idle_timeout",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    pub idle_timeout: Duration,

    /// seconds without write progress before the connection is reset (default 30)
    #[argh(
        option,
        default = "Limits::default().write_timeout",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    pub write_timeout: Duration,

    /// seconds that a shutdown waits for responses in progress (default 10)
    #[argh(
        option,
        default = "Duration::from_secs(10)",
        from_str_fn(seconds),
        arg_name = "seconds"
    )]
    pub shutdown_timeout: Duration,
}

/// Caching and headers.
#[derive(FromArgs, ArgsInfo, Debug)]
pub(super) struct CachingOptions {
    /// compression: off, sidecar (page.html.br, .zst or .gz beside page.html) or on (sidecar, and
    /// brotli and gzip on the fly; the default)
    #[argh(option, default = "Compress::On", from_str_fn(compress), arg_name = "mode")]
    pub compress: Compress,

    /// memory in which all workers together cache files of up to 64 KiB, such as 16M or 1G: at
    /// least 1M, or 0 to cache none (default: 1/16 of the memory of the machine or cgroup, from 16M
    /// to 1G)
    #[argh(option, default = "default_cache_bytes()", from_str_fn(cache_size), arg_name = "size")]
    pub cache_size: u64,

    /// value of Cache-Control for every file and listing, or for request paths that match a
    /// pattern: 'no-store', '/assets/** max-age=86400'
    #[argh(option, from_str_fn(parsed), arg_name = "rule")]
    pub cache_control: Vec<CacheRule>,

    /// a header for every response, or for request paths that match a pattern: 'X-A: b',
    /// '/fonts/** X-A: b' (* matches no slash; a folder's path matches also as that of its index
    /// page)
    #[argh(option, from_str_fn(parsed), arg_name = "header")]
    pub header: Vec<HeaderRule>,

    /// let pages of every other origin read the site (CORS)
    #[argh(switch)]
    pub cors: bool,

    /// let pages of this origin read the site, such as https://app.example.org; may be repeated
    #[argh(option, from_str_fn(parsed), arg_name = "origin")]
    pub cors_origin: Vec<Origin>,
}

/// Security.
#[derive(FromArgs, ArgsInfo, Debug)]
pub(super) struct SecurityOptions {
    /// a host that the site is served for (*.example.org: every host beneath it); a request for
    /// another host gets a 421, so that pages of other sites cannot read this one by DNS rebinding
    #[argh(option, from_str_fn(parsed), arg_name = "host")]
    pub server_name: Vec<ServerName>,

    /// require HTTP Basic authentication with a name and password of this file, which is read
    /// again when it changes; lines are user:hash, with a hash of bcrypt (htpasswd -B) or argon2id
    #[argh(option, arg_name = "file")]
    pub auth_file: Option<String>,

    /// the same for one user; hash is the SHA-256 of the password in hexadecimal, which every local
    /// user can read in the process list
    #[argh(option, from_str_fn(parsed), arg_name = "user:hash")]
    pub auth: Option<Credentials>,

    /// switch to this user after binding the port, by name or number (1000 or 1000:1000)
    #[argh(option, from_str_fn(user), arg_name = "user")]
    pub user: Option<User>,

    /// serve HTTPS with the certificate in this PEM file, followed by those of intermediate
    /// authorities; it is read again when it changes
    #[argh(option, arg_name = "file")]
    pub tls_cert: Option<PathBuf>,

    /// the private key for --tls-cert, in PEM without a passphrase
    #[argh(option, arg_name = "file")]
    pub tls_key: Option<PathBuf>,

    /// serve HTTPS with a certificate made for this run, whose fingerprint is printed, to try
    /// things out: clients do not trust it
    #[argh(switch)]
    pub tls_self_signed: bool,

    /// let the kernel encrypt files that are not served from memory (kernel TLS, Linux module tls);
    /// where it cannot, a warning says why, and the server encrypts them as without this option
    #[argh(switch)]
    pub kernel_tls: bool,

    /// address (:80, 192.0.2.1:80 or unix:PATH; default host: that of --host) of a listener that
    /// redirects HTTP to HTTPS, and serves /.well-known/acme-challenge/
    #[argh(option, from_str_fn(redirect_address), arg_name = "address")]
    pub redirect_http: Option<RedirectAddress>,

    /// deny all file access (Landlock) except reading ROOT and the directories of --auth-file,
    /// --tls-cert and --tls-key, and writing to the directory of --log-file
    #[argh(switch)]
    pub confine: bool,
}

/// Logging.
#[derive(FromArgs, ArgsInfo, Debug)]
pub(super) struct LogOptions {
    /// access log: none, short, common, combined or json (default short at a terminal, common
    /// otherwise and with --log-file)
    #[argh(option, from_str_fn(log_format), arg_name = "format")]
    pub log: Option<LogFormat>,

    /// write the access log to this file instead of stdout; SIGHUP reopens it after a rotation
    #[argh(option, arg_name = "file")]
    pub log_file: Option<PathBuf>,

    /// print each step of the server on stderr, with the time in seconds since the start
    #[argh(switch)]
    pub trace: bool,

    /// a file to count system calls in; the server then ends with its standard input
    #[argh(option, hidden_help, arg_name = "file")]
    pub counters_file: Option<PathBuf>,

    /// a file to record the steps of the server in, instead of printing them
    #[argh(option, hidden_help, arg_name = "file")]
    pub recording_file: Option<PathBuf>,

    /// microseconds of work to add to every response, for a comparison to detect
    #[argh(
        option,
        hidden_help,
        default = "Duration::ZERO",
        from_str_fn(microseconds),
        arg_name = "microseconds"
    )]
    pub handicap: Duration,
}
