//! A running contender: a child process on a free port, or a foreign server that runs already.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{Pid, Signal, kill_process};

use crate::compare::contender::{Contender, ForeignServer, Origin};
use crate::compare::measure::certificate::TestCertificate;
use crate::compare::measure::control_socket::ControlSocket;
use crate::compare::measure::cores::Cores;
use crate::compare::measure::pinning::PinnedServer;
use crate::compare::measure::process::ResourceUsage;
use crate::compare::test_site::TestSite;
use crate::option_values::VARIABLE_PREFIX;
use crate::syscall_stats::{Counters, PAGE_BYTES};
use crate::trace_recording::{RECORDING_BYTES, Recording};

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// None for a foreign server whose process is not known.
    pub(crate) pid: Option<u32>,
    /// None for foreign servers and the reference loop.
    pub(crate) syscall_counters: Option<&'static Counters>,
    /// The steps of a strategy that was started with [`Tracing::Recorded`].
    pub(crate) recording: Option<&'static Recording>,
    child: Option<OwnChild>,
    pinned: Option<PinnedServer>,
}

/// A server that this process started. Its stdout is kept open, so that writing to it does not
/// fail.
#[derive(Debug)]
struct OwnChild {
    process: Child,
    control_socket: ControlSocket,
    _stdout: BufReader<ChildStdout>,
}

/// Whether a server records its steps, which takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracing {
    Off,
    Recorded,
}

/// Limits that no workload reaches.
const LIMITS: [&str; 6] =
    ["--idle-timeout", "3600", "--write-timeout", "3600", "--max-connections", "20000"];

impl Server {
    /// Starts the server, unless it is foreign. With a certificate, it speaks TLS.
    pub(crate) fn start(
        contender: &Contender,
        site: &TestSite,
        cores: &Cores,
        program: &Path,
        certificate: Option<&TestCertificate>,
        tracing: Tracing,
    ) -> io::Result<Server> {
        let (arguments, page) = match &contender.origin {
            Origin::Foreign(foreign) => return Ok(Server::of_foreign(foreign, cores)),
            Origin::ReferenceLoop => (vec!["reference-loop".to_owned()], None),
            Origin::Strategy(arguments) => {
                (arguments.clone(), Some(shared_file("stats", PAGE_BYTES)?))
            }
        };
        let mut command = Command::new(program);
        let (control_socket, stdin) = ControlSocket::pair()?;
        command
            .args(arguments)
            .arg(&site.directory)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // What the environment sets for a server of the user does not apply to a measured one.
        let prefix = VARIABLE_PREFIX.as_bytes();
        let is_option = |name: &OsString| name.as_encoded_bytes().starts_with(prefix);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_option(name)) {
            command.env_remove(name);
        }
        match &page {
            Some(page) => {
                command
                    .args(["--port", "0", "--log", "none", "--shutdown-timeout", "1"])
                    .args(LIMITS);
                command.args(["--counters-file", &inherited(page)]);
            }
            None => {
                command.args(site.files().iter().map(|file| &file.path));
            }
        }
        if let Some(certificate) = certificate {
            command.arg("--tls-cert").arg(certificate.file());
            command.arg("--tls-key").arg(certificate.key_file());
        }
        let recorded = match (tracing, &page) {
            (Tracing::Recorded, Some(_)) => Some(shared_file("trace", RECORDING_BYTES)?),
            _ => None,
        };
        if let Some(file) = &recorded {
            command.args(["--recording-file", &inherited(file)]);
        }
        // A process group of its own: Ctrl-C reaches only the comparison, which then stops its
        // children in order.
        let mut child = cores.on_server_core(|| command.process_group(0).spawn())?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address =
            line.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        let Some(address) = address else {
            // No `Server` exists yet whose drop would do this.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(io::Error::other("the server did not start"));
        };
        let pid = child.id();
        let syscall_counters =
            page.map(|page| crate::server::map_shared_counters(File::from(page))).transpose()?;
        let recording =
            recorded.map(|file| crate::server::map_recording(File::from(file))).transpose()?;
        // The descriptors meant for the child are closed here when the command is dropped.
        Ok(Server {
            address,
            pid: Some(pid),
            syscall_counters,
            recording,
            child: Some(OwnChild { process: child, control_socket, _stdout: stdout }),
            pinned: None,
        })
    }

    /// A foreign server, pinned if that is possible. The plan of the comparison has reported if it
    /// is not.
    fn of_foreign(foreign: &ForeignServer, cores: &Cores) -> Server {
        let pinned = foreign.pid.zip(cores.pinned);
        Server {
            address: foreign.address,
            pid: foreign.pid,
            syscall_counters: None,
            recording: None,
            child: None,
            pinned: pinned.and_then(|(pid, (core, _))| PinnedServer::pin(pid, core).ok()),
        }
    }

    /// None if its process is not known.
    pub(crate) fn resource_usage(&self) -> io::Result<Option<ResourceUsage>> {
        let reported = self.child.as_ref().map(|child| child.control_socket.usage()).transpose()?;
        Ok(self.pid.map(|pid| ResourceUsage::of(pid, reported)))
    }

    /// Whether it runs on the server's core only, if servers are pinned.
    pub(crate) fn is_on_its_core(&self) -> bool {
        self.child.is_some() || self.pinned.is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Half a second more than its `--shutdown-timeout`.
        const STOP_TIMEOUT: Duration = Duration::from_millis(1500);
        let Some(OwnChild { process: child, .. }) = &mut self.child else {
            return;
        };
        // A graceful shutdown: the server also ends its own children, which would otherwise take
        // CPU time from the next measurement.
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let give_up = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < give_up {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill().and_then(|()| child.wait());
    }
}

/// Memory for the counters or the steps. Only this process and the child that inherits it can reach
/// it.
fn shared_file(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, bytes)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

/// The path of a file in the child, which inherits the descriptor under the same number.
fn inherited(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
