//! The options that all strategies share → [`Settings`].

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::Arguments;
use super::auth::authenticator;
use super::banner::Banner;
use super::failure::Failure;
use super::options::CommonOptions;
use super::private_file::refuse_served;
use super::tls::TlsOptions;
use crate::format::error_with;
use crate::http::Limits;
use crate::server::strategies::Strategy;
use crate::server::{ListenAddress, LogFormat, Privileges, Settings, Trace};
use crate::site::{
    Cors, ErrorPageRule, ErrorPages, Listings, Origin, Policy, Root, RoutePrefix,
    default_directory, is_hidden_file,
};

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
    let options = CommonOptions::parse(arguments).map_err(Failure::Usage)?;
    let CommonOptions { site, network, caching, security, log } = options;
    let (root, served) = open_root(arguments.root.as_ref())?;
    let directory_options = [
        ("--list", site.list),
        ("--index", !site.index.is_empty()),
        ("--hide", !site.hide.is_empty()),
        ("--clean-urls", site.clean_urls),
        ("--fallback", site.fallback.is_some()),
        ("--error-page", !site.error_page.is_empty()),
    ];
    refuse_for_file(&root, &directory_options)?;
    let fallback = site.fallback.map(|file| page(&root, "--fallback", &file)).transpose()?;
    let error_pages = error_pages(&root, &site.error_page)?;
    let policy = Policy {
        compress: caching.compress,
        hidden: Arc::new(site.hide.into()),
        index_names: site.index.into(),
        clean_urls: site.clean_urls,
        listings: site.list.then(Listings::new),
        // The hint is for whoever started the server, not for visitors of one that runs unattended.
        suggests_listings: !site.list && is_at_terminal(),
        fallback,
        error_pages,
        headers: caching.header,
        cache_control: caching.cache_control,
        cors: cors(caching.cors, caching.cors_origin)?,
        redirects: site.redirect,
        route_prefix: site.route_prefix,
        health: network.health.map(Box::new),
        server_names: security.server_name,
        authenticator: authenticator(security.auth, security.auth_file, &root)?,
        media_types: site.media_type,
        handicap: log.handicap,
        ..Policy::default()
    };
    let limits = Limits {
        first_request_timeout: network.header_timeout,
        head_timeout: network.header_timeout,
        body_timeout: network.header_timeout,
        idle_timeout: network.idle_timeout,
        write_timeout: network.write_timeout,
        ..Limits::default()
    };
    if network.proxy_protocol && network.trusted_proxy.is_empty() {
        let message = "--proxy-protocol requires --trusted-proxy: expected the proxy's address";
        return Err(Failure::Usage(message.to_owned()));
    }
    let privileges = Privileges { user: security.user, confine: security.confine };
    let description = describe(&configured.description(), &privileges);
    let log_format = log.log.unwrap_or_else(|| default_log(log.log_file.is_some()));
    if let Some(file) = &log.log_file {
        check_log_file(file, log_format, &root)?;
    }
    let addresses = listen_addresses(&network.host, network.port)?;
    let tls = TlsOptions {
        certificate: security.tls_cert,
        key: security.tls_key,
        self_signed: security.tls_self_signed,
        kernel: security.kernel_tls,
        redirect_http: security.redirect_http,
    };
    let (tls, redirect_http) = (tls.source(&root)?, tls.redirect_address(&addresses));
    let settings = Settings {
        strategy: configured,
        root,
        policy,
        addresses,
        unix_socket_mode: network.socket_mode,
        admin: network.admin,
        tls,
        kernel_tls: security.kernel_tls,
        redirect_http,
        limits,
        proxy_protocol: network.proxy_protocol,
        trusted_proxies: network.trusted_proxy.into(),
        connections_max: network.max_connections,
        per_client_max: network.max_connections_per_client,
        cache_bytes_max: caching.cache_size,
        log: log_format,
        log_file: log.log_file,
        trace: trace(log.trace, log.recording_file.as_deref())?,
        shutdown_timeout: network.shutdown_timeout,
        privileges,
        counters_file: log
            .counters_file
            .map(|file| shared_file("--counters-file", &file))
            .transpose()?,
        owns_process: true,
    };
    check_browser_options(&settings, network.open, network.qr)?;
    // No other reader needs it, and it may take a look at the disk.
    let hint = if is_at_terminal() { hint(&settings, arguments.root.is_some()) } else { None };
    let route_prefix = settings.policy.route_prefix.map_or("", RoutePrefix::as_target);
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let banner = Banner {
        scheme,
        served,
        route_prefix,
        description,
        log: log_format,
        hint,
        has_qr_code: network.qr,
        opens_browser: network.open,
    };
    Ok((settings, banner))
}

/// What a new user may want to know next.
fn hint(settings: &Settings, is_root_given: bool) -> Option<String> {
    let index_names = &settings.policy.index_names;
    let has_index = || index_names.iter().any(|name| settings.root.has_file(name.as_bytes()));
    match &settings.root {
        _ if !is_root_given => Some("To serve the current folder: miniweb .".to_owned()),
        Root::Directory(_) if settings.policy.listings.is_none() && !has_index() => {
            let name = index_names.first.as_str();
            Some(format!("There is no {name}. To list the files of folders, add --list"))
        }
        Root::Directory(_) | Root::File(_) | Root::Sample => None,
    }
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

fn cors(is_for_all: bool, origins: Vec<Origin>) -> Result<Cors, Failure> {
    match (is_for_all, origins.is_empty()) {
        (false, true) => Ok(Cors::Off),
        (true, true) => Ok(Cors::AllOrigins),
        (false, false) => Ok(Cors::Origins(origins)),
        (true, false) => {
            let message = "--cors and --cors-origin cannot be combined: expected one of them";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

fn error_pages(root: &Root, rules: &[ErrorPageRule]) -> Result<ErrorPages, Failure> {
    let mut pages = ErrorPages::new();
    for rule in rules {
        if pages.iter().any(|(status, _)| *status == rule.status) {
            let status = rule.status.code();
            return Err(Failure::Usage(format!("--error-page is given twice for {status}")));
        }
        pages.push((rule.status, page(root, "--error-page", &rule.file)?));
    }
    Ok(pages)
}

/// A page of the site must exist when the server starts: a mistyped name would show as a 404 weeks
/// later, and so would a hidden file, which is never served.
fn page(root: &Root, option: &str, file: &str) -> Result<Box<[u8]>, Failure> {
    let relative = file.trim_start_matches("./").trim_start_matches('/');
    if is_hidden_file(Path::new(relative)) {
        return Err(Failure::Unavailable(format!(
            "invalid value '{file}' for '{option}': expected a name that does not begin with a dot"
        )));
    }
    match root.has_file(relative.as_bytes()) {
        true => Ok(relative.as_bytes().into()),
        false => Err(Failure::Unavailable(format!(
            "invalid value '{file}' for '{option}': expected a file beneath ROOT"
        ))),
    }
}

fn check_log_file(file: &Path, format: LogFormat, root: &Root) -> Result<(), Failure> {
    if format == LogFormat::None {
        let message = "--log none and --log-file cannot be combined: expected one of them";
        return Err(Failure::Usage(message.to_owned()));
    }
    refuse_served("--log-file", file, root)
}

fn trace(is_printed: bool, recording_file: Option<&Path>) -> Result<Trace, Failure> {
    match (is_printed, recording_file) {
        (false, None) => Ok(Trace::Off),
        (true, None) => Ok(Trace::Stderr),
        (false, Some(file)) => shared_file("--recording-file", file).map(Trace::Recording),
        (true, Some(_)) => {
            let message = "--trace and --recording-file cannot be combined: expected one of them";
            Err(Failure::Usage(message.to_owned()))
        }
    }
}

/// A file that the process which starts the server maps, too.
fn shared_file(option: &str, path: &Path) -> Result<File, Failure> {
    let opened = File::options().read(true).write(true).open(path);
    opened.map_err(|error| unavailable(format_args!("{option} {}", path.display()), &error))
}

fn unavailable(subject: impl Display, error: &std::io::Error) -> Failure {
    Failure::Unavailable(error_with(subject, error).to_string())
}

/// Refuses `--open` and `--qr` if there is no URL for them.
fn check_browser_options(settings: &Settings, open: bool, qr: bool) -> Result<(), Failure> {
    let Settings { addresses, privileges, .. } = settings;
    let tcp = addresses.iter().filter_map(ListenAddress::tcp);
    let refusal = if open && (privileges.user.is_some() || privileges.confine) {
        // The browser would be confined, or run as that user.
        "--open cannot be combined with --user or --confine"
    } else if open && tcp.clone().next().is_none() {
        "--open requires an address that a browser can open: expected a --host that is not a Unix \
         socket"
    } else if qr && tcp.clone().all(|address| address.ip().is_loopback()) {
        "--qr requires an address that other machines reach: expected, for example, --host 0.0.0.0"
    } else {
        return Ok(());
    };
    Err(Failure::Usage(refusal.to_owned()))
}

/// The addresses of `--host`.
fn listen_addresses(hosts: &[String], port: u16) -> Result<Vec<ListenAddress>, Failure> {
    if hosts.is_empty() {
        return Ok(vec![ListenAddress::Tcp((Ipv4Addr::LOCALHOST, port).into())]);
    }
    let address = |host: &String| match host.strip_prefix("unix:") {
        Some("") => Err(Failure::Usage(format!(
            "invalid value '{host}' for '--host': expected unix:PATH, the path of a socket"
        ))),
        Some(path) => Ok(ListenAddress::Unix(path.into())),
        None => resolve(host, port).map(ListenAddress::Tcp),
    };
    hosts.iter().map(address).collect()
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

fn default_log(has_file: bool) -> LogFormat {
    if !has_file && is_at_terminal() { LogFormat::Short } else { LogFormat::Common }
}

fn is_at_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdout().is_terminal()
}
