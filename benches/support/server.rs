//! A server that a bench has started: a child process on the core of the servers.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use miniweb::compare::measure::cores::Cores;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

/// Stopped when dropped, and so after a panic as well. Fields are dropped in order: the process
/// stops before the directory of its files is removed.
pub struct Server {
    pub address: SocketAddr,
    process: Process,
    /// Kept open, so that the server can write to it.
    _stdout: Option<BufReader<ChildStdout>>,
    _files: Option<TempDir>,
}

struct Process(Child);

impl Server {
    /// Starts miniweb on a free port and waits until it accepts connections.
    pub fn miniweb(arguments: &[&str], root: &Path, cores: &Cores) -> io::Result<Server> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
        command
            .args(arguments)
            .args(["--port", "0", "--log", "none", "--shutdown-timeout", "1"])
            .arg(root);
        Server::announcing(command, cores)
    }

    /// Starts `command`, whose first line of output has the address that it listens on.
    pub fn announcing(mut command: Command, cores: &Cores) -> io::Result<Server> {
        command.stdout(Stdio::piped());
        let mut process = Process(cores.on_server_core(|| command.spawn())?);
        let mut stdout = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address =
            line.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
        let address = address.ok_or_else(|| io::Error::other("the server did not start"))?;
        Ok(Server { address, process, _stdout: Some(stdout), _files: None })
    }

    /// Starts `command`, which inherits a listener at `address`. The kernel queues connections
    /// until the server accepts them, so there is nothing to wait for.
    pub fn foreign(
        mut command: Command,
        address: SocketAddr,
        files: TempDir,
        cores: &Cores,
    ) -> io::Result<Server> {
        let process = Process(cores.on_server_core(|| command.spawn())?);
        Ok(Server { address, process, _stdout: None, _files: Some(files) })
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// Lets this process and its servers open as many descriptors as they may: each connection needs
/// one at both ends. Returns that number; None if there is no limit.
pub fn raise_descriptor_limit() -> io::Result<Option<u64>> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Half a second more than the `--shutdown-timeout`.
        const STOP_TIMEOUT: Duration = Duration::from_millis(1500);
        const POLL_INTERVAL: Duration = Duration::from_millis(1);
        // Once its exit has been collected, the ID may belong to another process.
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        // SIGTERM rather than SIGKILL, because the server also ends its own processes.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let give_up = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < give_up {
            if let Ok(Some(_)) = self.0.try_wait() {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
