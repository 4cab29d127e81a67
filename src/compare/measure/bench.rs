//! One measurement: start a server, load it, read its counters.
//!
//! Used by the comparison and by the benches of the strategies.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::compare::budget::WindowLengths;
use crate::compare::contender::{Contender, Origin};
use crate::compare::measure::certificate::TestCertificate;
use crate::compare::measure::cores::Cores;
use crate::compare::measure::process::{Machine, ResourceUsage};
use crate::compare::measure::server::{Server, Tracing};
use crate::compare::results::{Cpu, ErrorKind, Handshakes, Histogram, Pacing, Round, Workload};
use crate::compare::test_site::TestSite;
use crate::compare::workloads::{self, WorkloadParameters};
use crate::format::counted;
use crate::load::{
    self, ClientTls, Load, LoadError, LoadResult, Pace, Plan, RequestTemplate, Reuse, SlowReaders,
};
use crate::syscall_stats::{Call, Counters};

/// What all measurements share.
#[derive(Debug)]
pub struct Bench {
    pub(crate) site: TestSite,
    pub(crate) cores: Cores,
    program: PathBuf,
    /// Made for the first contender that speaks TLS.
    certificate: OnceLock<TestCertificate>,
}

/// A server with open connections. Fields are dropped in order: the connections close before the
/// server stops.
#[derive(Debug)]
pub struct LoadedServer {
    /// The connections.
    pub load: Load,
    _server: Server,
}

const TIMEOUT: Duration = Duration::from_secs(2);
/// With fewer connections, the growth of memory is dominated by other allocations.
const CONNECTIONS_MIN_FOR_MEMORY: u32 = 32;

impl Bench {
    /// Prepares measurements of `program`, a miniweb, serving the directory `root` or the sample
    /// site. Pins the calling thread to the core of the load.
    ///
    /// # Errors
    /// From a system call.
    pub fn open(root: Option<&Path>, program: PathBuf) -> io::Result<Bench> {
        let (site, cores) = (TestSite::open(root)?, Cores::divide());
        Ok(Bench { site, cores, program, certificate: OnceLock::new() })
    }

    /// The workloads for which the site has files.
    pub fn workloads(&self, parameters: &WorkloadParameters) -> Vec<Workload> {
        workloads::all(parameters, &self.site)
    }

    /// Starts a server and opens all connections of `workload`.
    ///
    /// # Errors
    /// From a system call, or because a response is missing or wrong.
    pub fn load(&self, contender: &Contender, workload: &Workload) -> io::Result<LoadedServer> {
        let server = self.start(contender)?;
        Ok(LoadedServer {
            load: Load::open(self.plan(contender, workload, &server)?)?,
            _server: server,
        })
    }

    pub(crate) fn start(&self, contender: &Contender) -> io::Result<Server> {
        self.start_with(contender, Tracing::Off)
    }

    pub(crate) fn start_with(&self, contender: &Contender, tracing: Tracing) -> io::Result<Server> {
        let certificate = self.certificate_for(contender)?;
        Server::start(contender, &self.site, &self.cores, &self.program, certificate, tracing)
    }

    /// The certificate of a contender that speaks TLS. All of a comparison have the same.
    fn certificate_for(&self, contender: &Contender) -> io::Result<Option<&TestCertificate>> {
        if contender.info.without_tls.is_none() {
            return Ok(None);
        }
        if let Some(made) = self.certificate.get() {
            return Ok(Some(made));
        }
        let made = TestCertificate::make()?;
        Ok(Some(self.certificate.get_or_init(|| made)))
    }

    /// What a client of the contender has to speak; None for plain HTTP.
    pub(crate) fn client_tls(
        &self,
        contender: &Contender,
        handshake: load::Handshake,
    ) -> io::Result<Option<ClientTls>> {
        let certificate = self.certificate_for(contender)?;
        certificate.map(|it| ClientTls::trusting(it.der(), handshake)).transpose()
    }

    /// Start, connect, warm up, measure, observe the idle server.
    pub(crate) fn measure(
        &self,
        contender: &Contender,
        workload: &Workload,
        number: u32,
        windows: &WindowLengths,
    ) -> io::Result<Round> {
        let server = self.start(contender)?;
        let before_connections = server.resource_usage()?;
        let mut load = Load::open(self.plan(contender, workload, &server)?)?;
        let with_connections = server.resource_usage()?;
        let memory_bytes = with_connections
            .zip(before_connections)
            .map(|(with, before)| with.anonymous_bytes as f64 - before.anonymous_bytes as f64);
        load.run(windows.warm_up)?;

        let (usage_before, machine_before) = (server.resource_usage()?, Machine::now());
        let calls_before = server.syscall_counters.map(Calls::of);
        let result = load.run(windows.measured)?;
        let calls = server.syscall_counters.map(Calls::of);
        let (usage, machine) = (server.resource_usage()?, Machine::now());
        let usage = usage_before.zip(usage);
        let cpu = usage.as_ref().map(|(before, now)| now.cpu_since(before));
        let idle_cpu_share = server.pid.map(|pid| idle_cpu_share(pid, windows.idle));
        if let (Some(pid), Some(0)) = (server.pid, cpu.map(Cpu::total_us))
            && result.responses > 0
        {
            return Err(io::Error::other(format!(
                "process {pid} used no CPU time for {}: expected the process ID of the server",
                counted(result.responses, "response")
            )));
        }

        // What other programs used of a core is known only if the server used no other.
        let pinned = self.cores.pinned.filter(|_| server.is_on_its_core());
        let used = pinned.zip(cpu).map(|((server, client), cpu)| {
            [(server, Duration::from_micros(cpu.total_us())), (client, result.client_cpu)]
        });
        if let Some(panics @ 1..) = server.syscall_counters.map(Counters::panics) {
            return Err(io::Error::other(format!(
                "the server panicked {}",
                counted(panics, "time")
            )));
        }
        check_handshakes(contender, workload, &result)?;
        let calls = calls_before.zip(calls);
        Ok(Round {
            number,
            duration_us: result.duration.as_micros() as u64,
            requests: result.responses,
            bytes: result.received_bytes,
            errors: errors(&result),
            cpu,
            latency: Histogram::of(&result.latency_ns),
            service_time: result.service_time_ns.as_ref().map(Histogram::of),
            syscalls: calls.as_ref().map(|(before, now)| now.since(before)),
            would_blocks: calls.map(|(before, now)| now.would_block - before.would_block),
            context_switches: usage.map(|(before, now)| now.switches_since(&before)),
            memory_bytes_per_connection: memory_bytes
                .filter(|_| workload.connections >= CONNECTIONS_MIN_FOR_MEMORY)
                .map(|bytes| bytes / f64::from(workload.connections)),
            idle_cpu_share,
            client_cpu_share: result.client_cpu.as_secs_f64() / result.duration.as_secs_f64(),
            in_flight_average: result.in_flight_average,
            handshakes: contender.info.without_tls.as_ref().map(|_| Handshakes {
                full: result.handshakes.full,
                resumed: result.handshakes.resumed,
            }),
            noise: machine.noise_since(&machine_before, used.as_ref().map_or(&[], |used| used)),
        })
    }

    fn plan(
        &self,
        contender: &Contender,
        workload: &Workload,
        server: &Server,
    ) -> io::Result<Plan> {
        let reuse = if workload.requests_per_connection == Some(1) {
            Reuse::Never
        } else {
            Reuse::KeepAlive
        };
        let foreign = match &contender.origin {
            Origin::Foreign(foreign) => Some(foreign),
            Origin::Strategy(_) | Origin::ReferenceLoop => None,
        };
        let host =
            foreign.map_or_else(|| server.address.to_string(), |foreign| foreign.host.clone());
        let target =
            |path: &str| foreign.map_or_else(|| path.to_owned(), |foreign| foreign.target(path));
        let template =
            RequestTemplate::get(&host, &target(&workload.path), reuse, workload.body_bytes);
        let silent = workload.idle_connections as usize;
        let slow = workload.reader_bytes_per_second.map(|bytes_per_second| SlowReaders {
            connections: silent,
            bytes_per_second,
            template: RequestTemplate::get(
                &host,
                &target(&format!("/{}", self.site.large.path)),
                Reuse::KeepAlive,
                self.site.large.bytes,
            ),
        });
        Ok(Plan {
            address: server.address,
            template,
            active: workload.active_connections() as usize,
            idle: if slow.is_some() { 0 } else { silent },
            depth: workload.pipeline_depth as usize,
            pace: match workload.pacing {
                Pacing::Closed => Pace::Closed,
                Pacing::Open { requests_per_second } => {
                    Pace::Open { per_second: requests_per_second }
                }
            },
            slow,
            tls: self.client_tls(contender, handshake_of(workload))?,
            timeout: TIMEOUT,
        })
    }
}

fn handshake_of(workload: &Workload) -> load::Handshake {
    match workload.resumes_sessions {
        true => load::Handshake::Resumed,
        false => load::Handshake::Full,
    }
}

/// A few connections may miss a ticket: a server that is slow, or one that rotates its keys.
const OTHER_HANDSHAKES_MAX: f64 = 0.01;

/// Checks that the handshakes were those that the workload states.
fn check_handshakes(
    contender: &Contender,
    workload: &Workload,
    result: &LoadResult,
) -> io::Result<()> {
    if contender.info.without_tls.is_none() || workload.requests_per_connection.is_none() {
        return Ok(());
    }
    let load::HandshakeCounts { full, resumed } = result.handshakes;
    let (others, what) = match handshake_of(workload) {
        load::Handshake::Full => (resumed, "resumed a session"),
        load::Handshake::Resumed => (full, "resumed no session"),
    };
    let all = full + resumed;
    if all == 0 || others as f64 > OTHER_HANDSHAKES_MAX * all as f64 {
        return Err(io::Error::other(format!("{others} of {} {what}", counted(all, "handshake"))));
    }
    Ok(())
}

/// CPU time over wall time of a process with open connections and no requests.
///
/// It is read from /proc and not through the control socket, because in an idle window a response
/// on it would be most of the CPU time. No task starts or exits now, so /proc is complete.
fn idle_cpu_share(pid: u32, window: Duration) -> f64 {
    let (before, began) = (ResourceUsage::of(pid, None), Instant::now());
    std::thread::sleep(window);
    let used = ResourceUsage::of(pid, None).cpu_since(&before);
    used.total_us() as f64 / 1e6 / began.elapsed().as_secs_f64()
}

/// The system call counters at one time.
struct Calls {
    made: [u64; Call::ALL.len()],
    would_block: u64,
}

impl Calls {
    fn of(counters: &'static Counters) -> Calls {
        Calls {
            made: Call::ALL.map(|call| counters.made(call)),
            would_block: counters.would_block(),
        }
    }

    fn since(&self, before: &Calls) -> BTreeMap<String, u64> {
        let made = Call::ALL.iter().zip(self.made.iter().zip(before.made));
        let made = made.map(|(call, (now, then))| (call.name().to_owned(), now - then));
        made.filter(|(_, made)| *made > 0).collect()
    }
}

fn errors(result: &LoadResult) -> BTreeMap<ErrorKind, u64> {
    let kind = |fault: &LoadError| match fault {
        LoadError::Connect => ErrorKind::Connect,
        LoadError::ClosedEarly => ErrorKind::Closed,
        LoadError::WrongStatus => ErrorKind::Status,
        LoadError::WrongLength => ErrorKind::Response,
        LoadError::Timeout => ErrorKind::Timeout,
    };
    result.errors.iter().map(|(fault, count)| (kind(fault), *count)).collect()
}
