//! The servers that take part in a comparison, and how each is started.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::compare::results::{ContenderInfo, ContenderKind, Workload, WorkloadKind};
use crate::server::strategies::{self, Comparison, Setup};

/// A server that takes part, and how it is started.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What the reports show of it.
    pub info: ContenderInfo,
    pub(crate) origin: Origin,
    /// Keep-alive connections that are served at the same time. Any further one waits until another
    /// closes, which in a comparison never happens.
    pub(crate) concurrency: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// This program with these arguments.
    Strategy(Vec<String>),
    ReferenceLoop,
    Foreign {
        address: SocketAddr,
        path: String,
        pid: u32,
    },
}

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
    /// tests use as a known difference; a strategy with several models may be named without one.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn strategy(name: &str) -> Result<Contender, String> {
        let (strategy, handicap_us) = match name.split_once("+slow:") {
            None => (name, None),
            Some((strategy, handicap)) => {
                let number = handicap.strip_suffix("us").and_then(|number| number.parse().ok());
                let number: u32 = number.ok_or_else(|| {
                    "expected microseconds after '+slow:', such as '+slow:5us'".to_owned()
                })?;
                (strategy, Some(number))
            }
        };
        let is_named = |setup: &&Setup| {
            setup.name == strategy
                || setup.name.split_once(':').is_some_and(|(group, _)| group == strategy)
        };
        let setup = setups().find(is_named).ok_or_else(|| {
            let names: Vec<&str> = setups().map(|setup| setup.name).collect();
            format!("expected one of {}", names.join(", "))
        })?;
        Ok(Contender::of(setup, handicap_us))
    }

    fn of(setup: &Setup, handicap_us: Option<u32>) -> Contender {
        let mut arguments: Vec<String> = setup.arguments.iter().map(ToString::to_string).collect();
        let (mut name, mut description) = (setup.name.to_owned(), setup.description());
        if let Some(handicap_us) = handicap_us {
            arguments.extend(["--handicap".to_owned(), handicap_us.to_string()]);
            name += &format!("+slow:{handicap_us}us");
            description += &format!(", {handicap_us} µs slower on purpose");
        }
        let origin = Origin::Strategy(arguments);
        Contender::new(&name, ContenderKind::Strategy, &description, origin, setup.concurrency)
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
    /// open than it serves at the same time, or needs a second file from a foreign server, of which
    /// only one file is known.
    pub fn supports(&self, workload: &Workload) -> bool {
        let is_kept = workload.requests_per_connection.is_none();
        let is_foreign = self.info.kind == ContenderKind::Foreign;
        let needs_large =
            matches!(workload.kind, WorkloadKind::LargeFile | WorkloadKind::SlowReaders);
        let would_wait = is_kept && workload.connections as usize > self.concurrency;
        let lacks_file = is_foreign && needs_large;
        !(would_wait || lacks_file)
    }

    /// Parses `name=http://host:port/path,PID`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn foreign(text: &str) -> Result<Contender, String> {
        const FORM: &str =
            "expected name=URL,PID, such as nginx=http://127.0.0.1:8080/page.html,1234";
        let (name, rest) = text.split_once('=').ok_or(FORM)?;
        let (url, pid) = rest.rsplit_once(',').ok_or(FORM)?;
        let pid = pid.parse().map_err(|_| FORM)?;
        let (host, path) = url
            .strip_prefix("http://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .ok_or(FORM)?;
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{host}: no address found"))?;
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            return Err(format!("no process has the ID {pid}"));
        }
        let origin = Origin::Foreign { address, path: format!("/{path}"), pid };
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
            Origin::Foreign { address, path, pid } => {
                format!("http://{address}{path}, process {pid}")
            }
        };
        let info = ContenderInfo {
            name: name.to_owned(),
            kind,
            description: description.to_owned(),
            command,
        };
        Contender { info, origin, concurrency }
    }
}

/// The set-ups that can be compared, in the order of the reports.
fn setups() -> impl Iterator<Item = &'static Setup> {
    strategies::setups().filter(|setup| setup.comparison != Comparison::None)
}
