//! Who takes part, by the names that the command line gives them.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::compare::results::{ContenderInfo, ContenderKind, Workload, WorkloadKind};

/// An contender, and how it is come by.
#[derive(Clone, Debug)]
pub struct Contender {
    /// As the reports know it.
    pub info: ContenderInfo,
    pub(crate) origin: Origin,
    /// How many kept connections are served at once; more would wait for ever.
    pub(crate) concurrency: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// This program under a strategy, with these arguments.
    Strategy(Vec<String>),
    Floor,
    Foreign {
        address: SocketAddr,
        path: String,
        pid: u32,
    },
}

/// As many as the largest workload has active connections: fewer would leave it out of half of the comparison.
const POOL_THREADS: usize = 64;

impl Contender {
    /// `mio`, `poll-list`, `blocking:thread`, …, and for tests `mio+slow:5us`.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn strategy(name: &str) -> Result<Contender, String> {
        let (strategy, handicap) = match name.split_once("+slow:") {
            Some((strategy, handicap)) => {
                let number =
                    handicap.strip_suffix("us").and_then(|number| number.parse::<u32>().ok());
                (
                    strategy,
                    Some(number.ok_or(
                        "behind +slow: comes a number of microseconds, as in mio+slow:5us",
                    )?),
                )
            }
            None => (name, None),
        };
        let pool_threads = POOL_THREADS.to_string();
        let (arguments, description, concurrency): (&[&str], _, _) = match strategy {
            "mio" => (&["mio", "--workers", "1"], "mio, one reactor", usize::MAX),
            "poll-list" => (&["poll-list"], "poll-list, never resting", usize::MAX),
            "blocking" | "blocking:thread" => {
                (&["blocking", "--model", "thread"], "blocking, a thread a connection", usize::MAX)
            }
            "blocking:process" => (
                &["blocking", "--model", "process"],
                "blocking, a process a connection",
                usize::MAX,
            ),
            "blocking:pool" => (
                &["blocking", "--model", "pool", "--threads", &pool_threads],
                "blocking, a pool",
                POOL_THREADS,
            ),
            "blocking:iterative" => {
                (&["blocking", "--model", "iterative"], "blocking, one connection at a time", 1)
            }
            _ => {
                return Err(format!(
                    "{name}: it is mio, poll-list, blocking:thread, blocking:process, blocking:pool or blocking:iterative"
                ));
            }
        };
        let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut description = description.to_owned();
        if let Some(handicap) = handicap {
            arguments.extend(["--handicap".to_owned(), handicap.to_string()]);
            description += &format!(", {handicap} µs slower on purpose");
        }
        let name = if name == "blocking" { "blocking:thread" } else { name };
        Ok(Contender::new(
            name,
            ContenderKind::Strategy,
            &description,
            Origin::Strategy(arguments),
            concurrency,
        ))
    }

    /// The bare loop.
    pub fn floor() -> Contender {
        let description = "a bare loop with answers made beforehand";
        Contender::new("floor", ContenderKind::Floor, description, Origin::Floor, usize::MAX)
    }

    /// The same strategy once more.
    pub fn twin(&self) -> Contender {
        let mut twin = self.clone();
        twin.info.name = format!("{} again", self.info.name);
        twin.info.kind = ContenderKind::Twin { of: self.info.name.clone() };
        twin.info.description = format!("{}, the same once more", self.info.description);
        twin
    }

    /// Whether it can serve a workload at all: kept connections beyond what it serves at once would wait for ever, and what a
    /// foreign server serves is one file.
    pub fn supports(&self, workload: &Workload) -> bool {
        let is_kept = workload.requests_per_connection.is_none();
        let is_foreign = self.info.kind == ContenderKind::Foreign;
        let needs_large =
            matches!(workload.kind, WorkloadKind::LargeFile | WorkloadKind::SlowReaders);
        let would_wait = is_kept && workload.connections as usize > self.concurrency;
        let lacks_file = is_foreign && needs_large;
        !(would_wait || lacks_file)
    }

    /// `name=http://host:port/path,PID`
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn foreign(text: &str) -> Result<Contender, String> {
        const FORM: &str = "it has the form name=http://127.0.0.1:8080/page.html,PID";
        let (name, rest) = text.split_once('=').ok_or(FORM)?;
        let (url, pid) = rest.rsplit_once(',').ok_or(FORM)?;
        let pid = pid.parse().map_err(|_| FORM)?;
        let (host, path) = url
            .strip_prefix("http://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .ok_or(FORM)?;
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{host}: it has no address"))?;
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            return Err(format!("there is no process {pid}"));
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
            Origin::Floor => "miniweb floor".to_owned(),
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
