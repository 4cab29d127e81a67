//! The servers that take part in a comparison, and how each is started.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::compare::results::{ContenderInfo, ContenderKind, Workload};
use crate::server::strategies::{self, Comparison, Setup};

/// A server that takes part, and how it is started.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What the reports show of it.
    pub info: ContenderInfo,
    pub(crate) origin: Origin,
    /// Keep-alive connections that are served at the same time, as far as a comparison goes. Any
    /// further one waits until another closes, which in a comparison never happens.
    pub(crate) concurrency: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// This program with these arguments.
    Strategy(Vec<String>),
    ReferenceLoop,
    Foreign(ForeignServer),
}

/// A server that runs already, and serves the directory of the comparison.
#[derive(Clone, Debug)]
pub(crate) struct ForeignServer {
    pub(crate) address: SocketAddr,
    /// The Host of its URL.
    pub(crate) host: String,
    /// The path of its URL, beneath which the directory is served. It begins and ends with a slash.
    pub(crate) base: String,
    /// Its main process. Without one, it is seen from outside only.
    pub(crate) pid: Option<u32>,
}

impl ForeignServer {
    /// The request target of a file of the site.
    pub(crate) fn target(&self, path: &str) -> String {
        format!("{}{}", self.base, path.trim_start_matches('/'))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.host, self.base)
    }
}

/// A process for each of 8,000 connections starts and ends in 10 s, far longer than any window.
const PROCESSES_MAX: usize = 2_000;

impl Contender {
    /// The strategies of a comparison for which the user named none.
    pub fn strategies(is_quick: bool) -> Vec<Contender> {
        let is_default = |setup: &&Setup| match setup.comparison {
            Comparison::FullAndQuick => true,
            Comparison::Full => !is_quick,
            Comparison::None => false,
        };
        setups().filter(is_default).map(|setup| Contender::of(setup, None)).collect()
    }

    /// The strategy called `name`. `NAME+slow:5us` adds 5 µs of CPU time to every request, which
    /// tests use as a known difference, and `NAME+tls` speaks TLS; a strategy with several models
    /// may be named without one.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn strategy(name: &str) -> Result<Contender, String> {
        let (strategy, modifiers) = name.split_once('+').unwrap_or((name, ""));
        let (mut handicap_us, mut has_tls) = (None, false);
        for modifier in modifiers.split('+').filter(|modifier| !modifier.is_empty()) {
            match modifier.strip_prefix("slow:") {
                Some(handicap) if handicap_us.is_none() => handicap_us = Some(micros(handicap)?),
                None if modifier == "tls" && !has_tls => has_tls = true,
                _ => return Err(format!("unknown '+{modifier}': expected '+tls' or '+slow:5us'")),
            }
        }
        let is_named = |setup: &&Setup| {
            setup.name == strategy
                || setup.name.split_once(':').is_some_and(|(group, _)| group == strategy)
        };
        let setup = setups().find(is_named).ok_or_else(|| {
            let names: Vec<&str> = setups().map(|setup| setup.name).collect();
            format!("expected one of {}", names.join(", "))
        })?;
        let contender = Contender::of(setup, handicap_us);
        if has_tls { contender.with_tls() } else { Ok(contender) }
    }

    /// The same strategy behind TLS.
    ///
    /// # Errors
    /// This build has no TLS.
    pub fn with_tls(&self) -> Result<Contender, String> {
        if !cfg!(feature = "tls") {
            return Err("this build has no TLS: it was made without the feature tls".to_owned());
        }
        let mut contender = self.clone();
        contender.info.name.push_str("+tls");
        contender.info.description.push_str(", with TLS 1.3");
        contender.info.command.push_str(" --tls-cert CERTIFICATE --tls-key KEY");
        contender.info.without_tls = Some(self.info.name.clone());
        Ok(contender)
    }

    /// Whether it can be measured with TLS, and is not yet.
    pub fn takes_tls(&self) -> bool {
        self.info.kind == ContenderKind::Strategy && self.info.without_tls.is_none()
    }

    fn of(setup: &Setup, handicap_us: Option<u32>) -> Contender {
        let mut arguments: Vec<String> = setup.arguments.iter().map(ToString::to_string).collect();
        let summary = (setup.strategy.options)().description.trim_end_matches('.').to_owned();
        let (mut name, mut description) =
            (setup.name.to_owned(), format!("{summary} ({})", setup.description()));
        if let Some(handicap_us) = handicap_us {
            arguments.extend(["--handicap".to_owned(), handicap_us.to_string()]);
            name += &format!("+slow:{handicap_us}us");
            description += &format!(", {handicap_us} µs slower on purpose");
        }
        let origin = Origin::Strategy(arguments);
        let concurrency =
            if setup.forks { setup.concurrency.min(PROCESSES_MAX) } else { setup.concurrency };
        Contender::new(&name, ContenderKind::Strategy, &description, origin, concurrency)
    }

    /// The name of the reference loop.
    pub const REFERENCE: &str = "reference";

    /// A bare loop, for comparison: little else than the kernel's work.
    pub fn reference_loop() -> Contender {
        let description = "one epoll loop that sends prepared responses without parsing requests";
        let (kind, origin) = (ContenderKind::ReferenceLoop, Origin::ReferenceLoop);
        Contender::new(Contender::REFERENCE, kind, description, origin, usize::MAX)
    }

    /// The same strategy a second time, for the A/A comparison.
    pub fn twin(&self) -> Contender {
        let mut twin = self.clone();
        twin.info.name = format!("{} again", self.info.name);
        twin.info.kind = ContenderKind::Twin { of: self.info.name.clone() };
        twin.info.description = format!("{}, a second time", self.info.description);
        twin
    }

    /// Whether it can serve a workload at all. It cannot if the workload keeps more connections
    /// open than it serves at the same time.
    pub fn supports(&self, workload: &Workload) -> bool {
        let is_kept = workload.requests_per_connection.is_none();
        !is_kept || workload.connections as usize <= self.concurrency
    }

    /// Parses `name=http://host:port/path/,PID`; `,PID` may be omitted.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn foreign(text: &str) -> Result<Contender, String> {
        const FORM: &str =
            "expected name=URL or name=URL,PID, such as nginx=http://127.0.0.1:8080/,1234";
        let (name, rest) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or(FORM)?;
        let (url, pid) = match rest.rsplit_once(',') {
            None => (rest, None),
            Some((url, pid)) => (url, Some(pid.parse::<u32>().map_err(|_| FORM)?)),
        };
        let (host, path) = url
            .strip_prefix("http://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .ok_or(FORM)?;
        if !path.is_empty() && !path.ends_with('/') {
            return Err("expected the URL of a folder, ending with '/', where the server serves \
                        ROOT, such as nginx=http://127.0.0.1:8080/,1234"
                .to_owned());
        }
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let addresses = with_port.to_socket_addrs();
        let mut addresses = addresses.map_err(|error| format!("{with_port}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{with_port}: no address found"))?;
        if let Some(pid) = pid
            && !std::path::Path::new(&format!("/proc/{pid}")).exists()
        {
            return Err(format!("no process has the ID {pid}"));
        }
        let (host, base) = (host.to_owned(), format!("/{path}"));
        let origin = Origin::Foreign(ForeignServer { address, host, base, pid });
        Ok(Contender::new(name, ContenderKind::Foreign, url, origin, usize::MAX))
    }

    fn new(
        name: &str,
        kind: ContenderKind,
        description: &str,
        origin: Origin,
        concurrency: usize,
    ) -> Contender {
        let command = match &origin {
            Origin::Strategy(arguments) => format!("miniweb {}", arguments.join(" ")),
            Origin::ReferenceLoop => "miniweb reference-loop".to_owned(),
            Origin::Foreign(server) => match server.pid {
                Some(pid) => format!("{}, process {pid}", server.url()),
                None => server.url(),
            },
        };
        let info = ContenderInfo {
            name: name.to_owned(),
            kind,
            description: description.to_owned(),
            command,
            connections_max: (concurrency < usize::MAX).then_some(concurrency as u32),
            without_tls: None,
        };
        Contender { info, origin, concurrency }
    }
}

fn micros(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("us").and_then(|number| number.parse().ok());
    number.ok_or_else(|| "expected microseconds after '+slow:', such as '+slow:5us'".to_owned())
}

/// The set-ups that can be compared, in the order of the reports.
fn setups() -> impl Iterator<Item = &'static Setup> {
    strategies::setups().filter(|setup| setup.comparison != Comparison::None)
}
