//! A server as a child process, on a free port, ended and reaped when it is dropped.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::floor;

/// A child that listens.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Kept open: a server may not like to find its stdout closed.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// The program itself, serving `folder`. Nothing is logged, and nobody is sent away for being idle: both
    /// would be timed.
    pub fn start_miniweb(arguments: &[&str], folder: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
        command.args(arguments).arg(folder);
        command.args(["--port=0", "--log=none", "--header-timeout=3600", "--idle-timeout=3600"]);
        Server::start(command)
    }

    /// The floor, answering with `file`: this very program once more.
    pub fn start_floor(file: &Path) -> Server {
        let mut command = Command::new(std::env::current_exe().expect("a running program has a name"));
        command.args([OsStr::new(floor::ARGUMENT), file.as_os_str()]);
        Server::start(command)
    }

    fn start(mut command: Command) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program was built together with this one");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a pipe can be read");
        let Some(address) = address_in(&line) else {
            // There is no Server yet whose drop would do it.
            let _ = child.kill();
            panic!("{command:?} said {:?} instead of where it listens ({:?})", line, child.wait());
        };
        Server { child, address, _stdout: stdout }
    }

    /// What it has cost so far: user and system time of all its threads and processes.
    pub fn cpu_time(&self) -> Duration {
        let pid = self.child.id().to_string();
        let family = children_of(&pid).into_iter().chain([pid]);
        // Who has gone in the meantime is in the account of its parent.
        family.filter_map(|pid| cpu_time_of(&pid)).sum()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The CPU time of a process, and of those of its children that have ended and were reaped.
fn cpu_time_of(pid: &str) -> Option<Duration> {
    // The unit of the times in proc(5): a hundredth of a second on every common architecture.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, a name in parentheses, may hold anything; utime, stime, cutime and cstime are 14 to 17.
    let (_, after_name) = stat.rsplit_once(") ")?;
    let times = after_name.split(' ').skip(14 - 3).take(4);
    times.map(|ticks| Some(TICK * ticks.parse().ok()?)).sum()
}

/// The children of any thread of a process.
fn children_of(pid: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The address in the first line that a server prints.
fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    rest.split('/').next()?.parse().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        // In order, so that the children of a server end with it and take no core from the next.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        eprintln!("the server at {} did not end in {PATIENCE:?}: killed", self.address);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
