//! Starts and ends the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use miniweb::server::strategies::{self, Setup};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::peer::Peer;
use super::response::Response;
use super::wait::{PATIENCE, wait_until};

/// The set-ups of the registry that the suites run.
pub fn setups() -> impl Iterator<Item = &'static Setup> {
    strategies::setups().filter(|setup| setup.is_tested)
}

/// The first tested set-up with a property. A test whose subject does not depend on the strategy
/// takes any.
#[track_caller]
pub fn setup_with(property: impl Fn(&Setup) -> bool) -> &'static Setup {
    setups().find(|setup| property(setup)).expect("some strategy has the property")
}

/// A set-up for tests whose subject does not depend on the strategy: that for production.
pub fn any_setup() -> &'static Setup {
    &strategies::DEFAULT.setups[0]
}

/// The binary, without arguments and with an empty standard input.
pub fn miniweb() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
    command.stdin(Stdio::null());
    command
}

/// The command as a supervisor starts it that passes a socket (sd_listen_fds(3)): the socket is
/// descriptor 3, and LISTEN_PID is the process of the program and not of the shell. The shell gets
/// the socket as its standard input, because some shells (dash) cannot name descriptors of two
/// digits.
pub fn with_socket(command: &Command, socket: &TcpListener) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 0</dev/null");
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(OwnedFd::from(socket.try_clone().expect("a descriptor is free")));
    shell
}

/// A running server; killed and reaped when it is dropped.
pub struct Server {
    /// The first line of its output.
    pub greeting: String,
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Its output after the first line.
    pub output: Lines,
    /// What it prints on stderr: nothing, unless it traces.
    pub errors: Lines,
    /// Whether output on stderr is expected.
    pub may_print_errors: bool,
    process: Child,
    ended: Option<ExitStatus>,
    /// Its open descriptors before the first connection.
    descriptors_at_first: usize,
}

impl Server {
    /// Serves `root` on a free port, without an access log.
    #[track_caller]
    pub fn start(setup: &'static Setup, root: impl AsRef<Path>, options: &[&str]) -> Server {
        Server::run(Server::command(setup, root, options))
    }

    /// The command that [`Server::start`] runs.
    pub fn command(setup: &'static Setup, root: impl AsRef<Path>, options: &[&str]) -> Command {
        let mut command = miniweb();
        command.args(setup.arguments).arg(root.as_ref()).args(options);
        // An option may be given once.
        for (option, value) in [("--port", "0"), ("--log", "none")] {
            if !options.contains(&option) {
                command.args([option, value]);
            }
        }
        command
    }

    /// Runs a command that serves, and waits until it prints its address.
    #[track_caller]
    pub fn run(mut command: Command) -> Server {
        let may_print_errors = command.get_args().any(|argument| argument == "--trace");
        // A process group of its own, so that children end with the server even if their parent has
        // ended.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary can be run");
        let output = Lines::of(process.stdout.take().expect("it is piped"));
        let errors = Lines::of(process.stderr.take().expect("it is piped"));
        let greeting = output
            .next()
            .unwrap_or_else(|| panic!("{command:?} said {:?} and ended", errors.rest()));
        let address = address_in(&greeting).unwrap_or_else(|| panic!("no address in {greeting:?}"));
        let mut server = Server {
            greeting,
            address,
            output,
            errors,
            may_print_errors,
            process,
            ended: None,
            descriptors_at_first: 0,
        };
        server.descriptors_at_first = server.descriptors();
        server
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Stops reading its output: it gets a broken pipe.
    pub fn close_output(&mut self) {
        self.output = Lines::none();
    }

    #[track_caller]
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Requests a path on a new connection.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.connect().get(path)
    }

    /// Sends a request on a new connection and reads its response.
    #[track_caller]
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        self.connect().ask(request)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server runs");
    }

    /// Sends a signal to the server and its children.
    pub fn signal_all(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).expect("the server runs");
    }

    /// Waits until the server has ended for another reason.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of {:?}", self.greeting);
        let status = wait_until(&what, || self.process.try_wait().expect("it is ours"));
        self.ended = Some(status);
        status
    }

    /// Whether the server has ended without being killed by the test.
    pub fn has_ended(&mut self) -> bool {
        self.ended = self.process.try_wait().expect("it is ours");
        self.ended.is_some()
    }

    /// The ids and states of its processes, including children and zombies.
    pub fn processes(&self) -> Vec<(i32, char)> {
        let ids = fs::read_dir("/proc")
            .expect("there is a /proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let of_group = ids.filter_map(|id| {
            // A process that has ended has no such file.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // The name before these fields may contain anything, also parentheses.
            let mut facts = stat.rsplit_once(") ")?.1.split(' ');
            let (state, group) = (facts.next()?.chars().next()?, facts.nth(1)?);
            (group == self.pid().as_raw_pid().to_string()).then_some((id, state))
        });
        of_group.collect()
    }

    /// The resident memory of its processes in bytes; shared pages count for each process.
    pub fn resident_bytes(&self) -> u64 {
        let of_one = |id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
        };
        self.processes().into_iter().map(|(id, _)| of_one(id)).sum()
    }

    /// The number of open descriptors of its processes.
    pub fn descriptors(&self) -> usize {
        let of_one = |id| fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        self.processes().into_iter().map(|(id, _)| of_one(id)).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let is_done = || self.descriptors() <= self.descriptors_at_first;
        let is_judged = !std::thread::panicking() && Peer::count(self.address) == 0;
        let give_up = Instant::now() + PATIENCE;
        while is_judged && !is_done() && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(10));
        }
        let has_leaked = is_judged && !is_done();
        // A server that has ended may have left children; a running one is in the group itself.
        if !self.processes().is_empty() {
            // It fails only if all of them have ended.
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.process.wait();
        }
        assert!(!has_leaked, "a server without clients had something open");
        if !std::thread::panicking() && !self.may_print_errors {
            assert_eq!(self.errors.rest(), [""; 0], "what the server printed on stderr");
        }
    }
}

fn address_in(greeting: &str) -> Option<SocketAddr> {
    let url = greeting.split_whitespace().find_map(|word| word.strip_prefix("http://"))?;
    url.strip_suffix('/')?.replace("localhost", "127.0.0.1").parse().ok()
}

/// The lines of a stream, read on a thread, so that the writer never blocks.
pub struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Lines(lines)
    }

    /// A stream at its end.
    fn none() -> Lines {
        Lines(channel().1)
    }

    /// The next line, or None at the end.
    #[track_caller]
    pub fn next(&self) -> Option<String> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// All lines up to the first that `is_last` accepts.
    #[track_caller]
    pub fn until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| is_last(line)) {
            lines.push(self.next().unwrap_or_else(|| panic!("it ended after {lines:#?}")));
        }
        lines
    }

    /// All lines up to the end, which comes when the last process that has the stream open ends.
    #[track_caller]
    pub fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }
}
