//! Sockets, readiness and scheduling.
//!
//! This module opens a server and hands it to a strategy (`strategies/`, one file each). All
//! strategies share a client's turn (`drive.rs`); event loops also share the order in which clients
//! are served and the life cycle (`event_loop.rs`). HTTP is not known here: a client has a
//! [`Connection`](crate::http::Connection), which says what it needs next.

mod acceptor;
mod access_log;
mod admin;
mod client;
mod clock;
mod connection_limit;
mod context;
mod cork;
mod drive;
mod encrypted;
mod event_loop;
mod eviction;
mod kernel_tls;
mod line_writer;
mod listener;
mod log_file;
mod log_line;
mod memory_limit;
mod network;
mod offload;
mod privileges;
mod proxy_header;
mod readiness;
mod shutdown_signal;
mod sockets;
pub mod strategies;
mod supervisor;
mod sys;
mod timer_fd;
mod timer_queue;
mod tls;
mod trace_event;
mod traced_site;
mod tracer;
mod turn_queue;
mod unix_socket;
mod waker;
mod worker;

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use log_line::LogFormat;
pub use memory_limit::{default_cache_bytes, machine_memory_bytes};
pub(crate) use network::network_addresses;
pub use privileges::Privileges;
pub use shutdown_signal::StopHandle;
pub use sockets::{ListenAddress, listening};
pub use sys::{map_recording, map_shared_counters};
#[cfg(feature = "compare")]
pub(crate) use timer_fd::TimerFd;
pub use tls::TlsSource;
#[doc(hidden)]
#[cfg(feature = "tls")]
pub use tls::{TlsConfig, TlsSession};
pub use tracer::Trace;

use crate::http::{Limits, TrustedProxies};
use crate::site::{MemoryBudget, OpenFiles, Policy, PrivateFiles, Root, ServedFiles, checks_max};
use crate::syscall_stats::{CounterSource, Event, SyscallStats};
use access_log::AccessLog;
use admin::{AdminListener, Metrics};
use connection_limit::ConnectionLimit;
use context::ServerContext;
use log_file::{LogFile, LogOutput};
use offload::OffloadPool;
use readiness::Readiness;
use shutdown_signal::ShutdownSignal;
use sockets::{ListeningSockets, SocketOptions};
use strategies::ConfiguredStrategy;
use supervisor::Supervisor;
use tls::{Certificates, KernelCiphers};
use tracer::TraceSink;
use unix_socket::UnixSocketFile;
use worker::Shared;

use crate::warning::warn;

/// Everything that a server is started with.
#[derive(Debug)]
pub struct Settings {
    /// How it waits for the network.
    pub strategy: Box<dyn ConfiguredStrategy>,
    /// What it serves.
    pub root: Root,
    /// How it serves that: headers, compression, access.
    pub policy: Policy,
    /// Where it listens. There must be at least one address.
    pub addresses: Vec<ListenAddress>,
    /// Where plain HTTP is redirected to HTTPS, if there is TLS.
    pub redirect_http: Option<ListenAddress>,
    /// The permission bits of the Unix sockets that it creates for `addresses`.
    pub unix_socket_mode: u32,
    /// The address of the admin listener: health, readiness and metrics.
    pub admin: Option<ListenAddress>,
    /// Where the certificate comes from; None for plain HTTP.
    pub tls: Option<TlsSource>,
    /// Whether the kernel encrypts files, if there is TLS and it can.
    pub kernel_tls: bool,
    /// The limits of each connection.
    pub limits: Limits,
    /// The proxies that tell the addresses of their clients.
    pub trusted_proxies: TrustedProxies,
    /// Whether their connections begin with a PROXY header.
    pub proxy_protocol: bool,
    /// The most open connections; None for what the descriptor limit allows, at most 8,192.
    pub connections_max: Option<NonZeroUsize>,
    /// The most open connections of one client; None for no limit of its own.
    pub per_client_max: Option<NonZeroUsize>,
    /// The most bytes that the file caches of all workers hold together.
    pub cache_bytes_max: u64,
    /// The format of the access log.
    pub log: LogFormat,
    /// Where the access log is written; None for stdout.
    pub log_file: Option<PathBuf>,
    /// Whether each step is printed on stderr, or recorded.
    pub trace: Trace,
    /// How long a shutdown waits for responses in progress.
    pub shutdown_timeout: Duration,
    /// What is given up before the first connection is accepted.
    pub privileges: Privileges,
    /// A file to count system calls in, shared with the process that opened it.
    pub counters_file: Option<File>,
    /// Whether the process exists for this server. If so, the server handles SIGINT, SIGTERM and
    /// SIGHUP, accepts from the sockets that a supervisor has passed and notifies the supervisor,
    /// raises the descriptor limit, and ends the process if a shutdown gets stuck. If not, it does
    /// none of this, and a [`StopHandle`] shuts it down.
    pub owns_process: bool,
}

impl Settings {
    /// The settings of `miniweb ROOT`, but on a free port, without a log, and in a process that the
    /// server does not own.
    pub fn new(root: Root) -> Settings {
        let strategy = (strategies::DEFAULT.configure)(&[]);
        Settings {
            strategy: strategy.expect("every option of the strategy has a default"),
            root,
            policy: Policy::default(),
            addresses: vec![ListenAddress::Tcp((Ipv4Addr::LOCALHOST, 0).into())],
            unix_socket_mode: 0o666,
            admin: None,
            tls: None,
            kernel_tls: false,
            redirect_http: None,
            limits: Limits::default(),
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: false,
            connections_max: None,
            per_client_max: None,
            cache_bytes_max: default_cache_bytes(),
            log: LogFormat::None,
            log_file: None,
            trace: Trace::Off,
            shutdown_timeout: Duration::from_secs(10),
            privileges: Privileges::default(),
            counters_file: None,
            owns_process: false,
        }
    }
}

/// A server whose port is bound and whose privileges are dropped.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// use miniweb::server::{ListenAddress, Server, Settings};
/// use miniweb::site::Root;
///
/// let server = Server::open(Settings::new(Root::open("html".as_ref())?))?;
/// let ListenAddress::Tcp(address) = server.addresses()[0] else { unreachable!() };
/// let stop = server.stop_handle();
/// let thread = std::thread::spawn(move || server.run(|_| ()));
///
/// let mut client = TcpStream::connect(address)?;
/// client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.starts_with("HTTP/1.1 200 OK\r\n"));
///
/// stop.stop();
/// thread.join().expect("the server does not panic")?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    sockets: ListeningSockets,
    shutdown: ShutdownSignal,
    supervisor: Supervisor,
    counters: CounterSource,
    trace: TraceSink,
    log_output: LogOutput,
    admin: Option<AdminListener>,
    certificates: Option<Certificates>,
    kernel_ciphers: KernelCiphers,
}

impl Server {
    /// Binds the addresses and drops privileges. It starts no thread. If [`Settings::privileges`]
    /// are to be dropped, the process must not have started a thread either: they are dropped only
    /// for the calling thread and for those that it starts afterwards.
    ///
    /// # Errors
    /// An address cannot be bound, privileges cannot be dropped, a resource is missing, or the
    /// strategy forks and the server does not own the process.
    pub fn open(mut settings: Settings) -> io::Result<Server> {
        let counters = counter_source(&mut settings)?;
        let trace = trace_sink(&mut settings)?;
        // Before the port is bound: a signal ends the server in order from the first connection on.
        let shutdown = match settings.owns_process {
            true => ShutdownSignal::install(settings.shutdown_timeout)?,
            false => ShutdownSignal::without_handlers(settings.shutdown_timeout),
        };
        if settings.strategy.forks() && !settings.owns_process {
            // Children are shut down by signals, and inherit locks that other threads hold.
            let message = "a strategy that forks requires a server that owns the process";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let sockets = open_sockets(&settings)?;
        let bound = settings.admin.as_ref().map(AdminListener::bind).transpose();
        let admin = bound.inspect_err(|_| sockets.remove_files())?;
        let supervisor = match settings.owns_process {
            true => Supervisor::connect(),
            false => Supervisor::none(),
        };
        let mut private_files = PrivateFiles::new();
        private_files.extend(settings.policy.authenticator.iter().flat_map(|it| it.file()));
        let certificates =
            open_certificates(&settings, &sockets).inspect_err(|_| sockets.remove_files())?;
        private_files.extend(certificates.iter().flat_map(Certificates::files));
        let kernel_ciphers = kernel_ciphers(&settings);
        let log_output =
            drop_privileges(&settings, &private_files).inspect_err(|_| sockets.remove_files())?;
        Ok(Server {
            settings,
            sockets,
            shutdown,
            supervisor,
            counters,
            trace,
            log_output,
            admin,
            certificates,
            kernel_ciphers,
        })
    }

    /// The bound address of the admin listener, with the real port.
    pub fn admin_address(&self) -> Option<&ListenAddress> {
        self.admin.as_ref().map(AdminListener::address)
    }

    /// The SHA-256 fingerprint of a self-signed certificate, as browsers show it.
    pub fn certificate_fingerprint(&self) -> Option<&str> {
        self.certificates.as_ref()?.fingerprint()
    }

    /// The bound addresses, with the real ports.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.sockets.addresses
    }

    /// The bound address where plain HTTP is redirected to HTTPS, with the real port.
    pub fn redirect_address(&self) -> Option<&ListenAddress> {
        self.sockets.redirect_address.as_ref()
    }

    /// A handle that shuts the server down, if it does not own the process.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle::new(self.shutdown.clone())
    }

    /// Calls `announce` with the addresses when the server is ready, and serves until it is
    /// shut down.
    ///
    /// # Errors
    /// A resource that is needed to start is missing. What happens to one connection is not an
    /// error of the server.
    pub fn run(self, announce: impl FnOnce(&[ListenAddress]) + 'static) -> io::Result<()> {
        let kernel_ciphers = self.kernel_ciphers;
        let (tls, reload_thread) = match self.certificates {
            Some(certificates) => (
                Some(certificates.server_config(kernel_ciphers)?),
                Some(certificates.start_reloading()?),
            ),
            None => (None, None),
        };
        let Server { settings, sockets, shutdown, supervisor, counters, trace, .. } = self;
        let (log_output, admin) = (self.log_output, self.admin);
        let stats = SyscallStats::new(counters);
        let owns_process = settings.owns_process;
        if owns_process {
            count_panics(stats.clone());
            shutdown.start_watchdog()?;
        }
        let Settings { strategy, root, mut policy, mut limits, log, .. } = settings;
        if let Some(health) = &mut policy.health {
            health.report_draining(shutdown.flag());
        }
        limits.record_exchanges = log != LogFormat::None || admin.is_some();
        let (log, log_writer) =
            AccessLog::start(log, log_output, strategy.forks(), owns_process, &stats)?;
        let admin_descriptors = if admin.is_some() { admin::DESCRIPTORS_MAX } else { 0 };
        let connections_max =
            connections_max(settings.connections_max, admin_descriptors, owns_process)?;
        let shared = Shared {
            offload_pool: OffloadPool::new(checks_max()),
            cache_budget: MemoryBudget::new(settings.cache_bytes_max),
            root: Arc::new(root),
            policy: Arc::new(if strategy.forks() { policy.for_children() } else { policy }),
            limits: Arc::new(limits),
            trusted_proxies: Arc::new(settings.trusted_proxies),
            expects_proxy_header: settings.proxy_protocol,
            tls,
            kernel_ciphers,
            connection_limit: ConnectionLimit::new(connections_max, settings.per_client_max),
            log,
            trace,
            counters,
        };
        let readiness = Readiness::new(shutdown.clone());
        let metrics = Metrics::new(counters, strategy.description());
        let start = |admin: AdminListener| admin.serve(metrics, readiness.clone());
        let admin = admin.map(start).transpose()?;
        let ListeningSockets { addresses, listeners, files, .. } = sockets;
        let announce = move || {
            readiness.set_ready();
            announce(&addresses);
        };
        let context = ServerContext::new(listeners, shared, shutdown, supervisor, announce);
        let ran = strategy.run(context);
        // Last, because it responds while the server drains.
        if let Some(admin) = admin {
            admin.finish();
        }
        if let Some(thread) = reload_thread {
            thread.finish();
        }
        ran?;
        log_writer.finish();
        files.iter().for_each(UnixSocketFile::remove);
        Ok(())
    }
}

/// Counts each panic, on whatever thread and in whatever child it happens, before the hook that the
/// program has set reports it. The code that contains a panic (`drive.rs`, `offload.rs`) does
/// neither.
fn count_panics(stats: SyscallStats) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        stats.count_event(Event::Panic);
        report(panic);
    }));
}

/// The process that passes a counters file reads that; otherwise only an admin listener reads the
/// counters.
fn counter_source(settings: &mut Settings) -> io::Result<CounterSource> {
    match (settings.counters_file.take(), &settings.admin) {
        (Some(file), _) => sys::map_shared_counters(file).map(CounterSource::Page),
        (None, Some(_)) => sys::map_counter_cells().map(CounterSource::Cells),
        (None, None) => Ok(CounterSource::Private),
    }
}

/// What becomes of the steps. The times of a trace count from here.
fn trace_sink(settings: &mut Settings) -> io::Result<TraceSink> {
    match std::mem::take(&mut settings.trace) {
        Trace::Off => Ok(TraceSink::Off),
        Trace::Stderr => Ok(TraceSink::stderr()),
        Trace::Recording(file) => sys::map_recording(file).map(TraceSink::Recording),
    }
}

fn open_sockets(settings: &Settings) -> io::Result<ListeningSockets> {
    let Settings { strategy, limits, addresses, .. } = settings;
    let options = SocketOptions {
        mode: strategy.socket_mode(limits),
        event_loops: strategy.event_loops(),
        unix_socket_mode: settings.unix_socket_mode,
        redirect_http: settings.redirect_http.as_ref(),
    };
    let passed = match settings.owns_process {
        true => ListeningSockets::passed(&options)?,
        false => None,
    };
    match passed {
        Some(passed) => Ok(passed),
        None => ListeningSockets::bind(addresses, &options),
    }
}

/// Reads or makes the certificate with the privileges that the server was started with, so that an
/// error names its cause. It is read again while the server runs.
fn open_certificates(
    settings: &Settings,
    sockets: &ListeningSockets,
) -> io::Result<Option<Certificates>> {
    let served = ServedFiles::of(&settings.root);
    let open = |source| Certificates::open(source, &sockets.addresses, served);
    settings.tls.clone().map(open).transpose()
}

/// With which ciphers the kernel may encrypt. It is asked with the privileges that the server was
/// started with, because those of root load its module.
fn kernel_ciphers(settings: &Settings) -> KernelCiphers {
    if settings.tls.is_none() || !settings.kernel_tls {
        return KernelCiphers::default();
    }
    KernelCiphers::probe().unwrap_or_else(|error| {
        warn(format_args!("--kernel-tls: {error}; files are encrypted in user space"));
        KernelCiphers::default()
    })
}

/// Drops the privileges that serving does not need. Private files are read again and the log file
/// is opened again while the server runs, so that must be possible without them.
fn drop_privileges(settings: &Settings, private_files: &PrivateFiles) -> io::Result<LogOutput> {
    let Settings { privileges, root, log_file, .. } = settings;
    let log_file = log_file.as_ref().map(std::path::absolute).transpose()?;
    if let (Some(user), Some(path)) = (&privileges.user, &log_file) {
        LogFile::create_for(user, path)?;
    }
    let readable = private_files.directories()?;
    privileges.drop(root, &readable, log_file.as_ref().and_then(|path| path.parent()))?;
    let with_user = |error| privileges.explain(error);
    private_files.check_access().map_err(with_user)?;
    match log_file {
        Some(path) => {
            LogFile::open(path, ServedFiles::of(root)).map(LogOutput::File).map_err(with_user)
        }
        None => Ok(LogOutput::Stdout(io::stdout())),
    }
}

/// The connection limit: `wanted`, or as many connections as the descriptor limit allows. The soft
/// limit is raised as far as the hard limit permits, if the server owns the process. Each
/// connection may need a second descriptor, for the file that it is sent.
///
/// # Errors
/// The descriptor limit is too low for a server.
fn connections_max(
    wanted: Option<NonZeroUsize>,
    admin_descriptors: u64,
    owns_process: bool,
) -> io::Result<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const DEFAULT: usize = 8192;
    /// For the program itself: standard streams, listeners, the descriptors of event loops, the
    /// pipes of signal handlers, directories that are listed, files that the offload pool reads.
    const RESERVED: u64 = 32;
    const PER_CONNECTION: u64 = 2;
    let connections = wanted.map_or(DEFAULT, NonZeroUsize::get);
    let limit = getrlimit(Resource::Nofile);
    let shared = OpenFiles::share_of(limit.maximum.unwrap_or(u64::MAX));
    let reserved = RESERVED + admin_descriptors + shared;
    let needed = (connections as u64).saturating_mul(PER_CONNECTION).saturating_add(reserved);
    if owns_process && limit.current.is_some_and(|current| current < needed) {
        let raised = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
        // If this fails, the present limit applies.
        let _ =
            setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
    let Some(descriptors) = getrlimit(Resource::Nofile).current else { return Ok(connections) };
    match descriptors.saturating_sub(reserved) / PER_CONNECTION {
        0 => {
            let least = reserved + PER_CONNECTION;
            let message = format!(
                "the limit of {descriptors} open files is too low: expected at least {least}"
            );
            Err(io::Error::other(message))
        }
        possible => Ok(connections.min(possible as usize)),
    }
}
