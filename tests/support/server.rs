//! Runs the real binary.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use miniweb::server::strategies::{self, Setup};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use rustls::ClientConfig;

use super::authority::client_config;
use super::certificate::tls_options;
use super::peer::Peer;
use super::response::Response;
use super::wait::{TIMEOUT, wait_until};

/// The set-ups of the registry that the tests run.
pub fn setups() -> impl Iterator<Item = &'static Setup> {
    strategies::setups().filter(|setup| setup.is_tested)
}

/// The first tested set-up with a property.
#[track_caller]
pub fn setup_with(property: impl Fn(&Setup) -> bool) -> &'static Setup {
    setups().find(|setup| property(setup)).expect("a tested set-up has the property")
}

/// A set-up for tests whose subject does not depend on the strategy: the default strategy's first.
pub fn any_setup() -> &'static Setup {
    &strategies::DEFAULT.setups[0]
}

/// `setup` with TLS: its servers have a certificate, and its clients trust it.
pub fn encrypted(setup: &'static Setup, files: &[PathBuf; 2]) -> &'static Setup {
    let leak = |text: String| &*Box::leak(text.into_boxed_str());
    let options = tls_options(files).map(leak);
    Box::leak(Box::new(Setup {
        strategy: setup.strategy,
        name: leak(format!("{}+tls", setup.name)),
        arguments: Vec::leak([setup.arguments, &options].concat()),
        ..*setup
    }))
}

/// Whether the clients of a set-up have to use TLS.
pub fn is_encrypted(setup: &Setup) -> bool {
    setup.arguments.iter().any(|argument| argument.starts_with("--tls-cert="))
}

/// A command that runs the binary without arguments and with empty input. The environment variable
/// `TESTED_BINARY` may name another binary, such as one that was built for musl.
pub fn miniweb() -> Command {
    let binary = std::env::var_os("TESTED_BINARY");
    let mut command = Command::new(binary.unwrap_or(env!("CARGO_BIN_EXE_miniweb").into()));
    command.stdin(Stdio::null());
    command
}

/// Wraps a command so that it receives sockets as systemd passes them (sd_listen_fds(3)): from
/// descriptor 3 on, with `LISTEN_PID` set to the process ID of the program. A shell sets that and
/// then becomes the program with `exec`.
pub fn with_sockets(command: &Command, sockets: &[impl AsFd]) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("LISTEN_PID=$$ exec \"$0\" \"$@\"");
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null()).env("LISTEN_FDS", sockets.len().to_string());
    let passed = sockets.iter().zip(3..).map(|(socket, child_fd)| FdMapping {
        parent_fd: socket.as_fd().try_clone_to_owned().expect("the test has free descriptors"),
        child_fd,
    });
    shell.fd_mappings(passed.collect()).expect("each number is used once");
    shell
}

/// A running server. Dropping it kills and reaps it and its children, and fails the test if the
/// server leaked a descriptor or wrote to stderr.
pub struct Server {
    /// The first line of its output.
    pub greeting: String,
    pub address: SocketAddr,
    /// With what its clients use TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Its output after the first line.
    pub output: Lines,
    /// Its stderr, which stays empty unless `may_print_errors`.
    pub errors: Lines,
    /// Whether the test expects output on stderr. Tracing and `--auth` set it.
    pub may_print_errors: bool,
    process: Child,
    /// Descriptors that were open before the first client connected.
    descriptors_at_start: usize,
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
        // The command line rejects repeated options.
        for (option, value) in [("--port", "0"), ("--log", "none")] {
            if !options.contains(&option) {
                command.args([option, value]);
            }
        }
        command
    }

    /// Runs a command that starts a server, and waits for the line with its address.
    #[track_caller]
    pub fn run(mut command: Command) -> Server {
        command.stdout(Stdio::piped());
        Server::spawn(command, |process| Lines::of(process.stdout.take().expect("stdout is piped")))
    }

    /// Runs a command that starts a server whose stdout is a stream socket, as systemd gives its
    /// services one for the journal.
    #[track_caller]
    pub fn run_on_socket(mut command: Command) -> Server {
        let (output, stdout) = UnixStream::pair().expect("the test has free descriptors");
        command.stdout(OwnedFd::from(stdout));
        Server::spawn(command, |_| Lines::of(output))
    }

    #[track_caller]
    fn spawn(mut command: Command, output: impl FnOnce(&mut Child) -> Lines) -> Server {
        // With --auth, a warning.
        let prints_errors = |argument| argument == "--trace" || argument == "--auth";
        let may_print_errors = command.get_args().any(prints_errors);
        // A process group of its own, so that `drop` can kill children whose parent has ended.
        command.process_group(0).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary exists");
        let output = output(&mut process);
        let errors = Lines::of(process.stderr.take().expect("stderr is piped"));
        let greeting = output
            .next()
            .unwrap_or_else(|| panic!("{command:?} wrote {:?} and ended", errors.rest()));
        let address = address_in(&greeting).unwrap_or_else(|| panic!("no address in {greeting:?}"));
        let is_encrypted =
            greeting.split_once("://").is_some_and(|(before, _)| before.ends_with("https"));
        let mut server = Server {
            greeting,
            address,
            tls: is_encrypted.then(client_config),
            output,
            errors,
            may_print_errors,
            process,
            descriptors_at_start: 0,
        };
        server.descriptors_at_start = server.descriptors_but_files();
        server
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    /// Closes the reading end of its stdout, so that its next write fails with EPIPE.
    pub fn close_output(&mut self) {
        self.output = Lines::none();
    }

    /// The address of its site, for other clients.
    pub fn url(&self, path: &str) -> String {
        self.url_at(self.address, path)
    }

    /// The address of its site at another of its addresses.
    pub fn url_at(&self, address: SocketAddr, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{address}{path}")
    }

    #[track_caller]
    pub fn connect(&self) -> Peer {
        self.connect_to(self.address)
    }

    /// Connects to another of its addresses.
    #[track_caller]
    pub fn connect_to(&self, address: SocketAddr) -> Peer {
        Peer::connect(address).with_tls(self.tls.as_ref())
    }

    /// Connects without TLS, also to a server with TLS.
    #[track_caller]
    pub fn connect_plainly(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Connects from another address of the loopback network.
    #[track_caller]
    pub fn connect_from(&self, source: Ipv4Addr) -> Peer {
        Peer::connect_from(source, self.address).with_tls(self.tls.as_ref())
    }

    /// Connects to its Unix socket at `path`.
    #[track_caller]
    pub fn connect_to_unix(&self, path: &Path) -> Peer {
        Peer::connect_to_unix(path, self.address).with_tls(self.tls.as_ref())
    }

    /// Connects as a proxy does that begins with `header`, sent in pieces of this size.
    #[track_caller]
    pub fn connect_behind(&self, header: &[u8], piece_bytes: usize) -> Peer {
        let mut peer = self.connect_plainly();
        peer.send_in_pieces(header, piece_bytes);
        peer.with_tls(self.tls.as_ref())
    }

    /// Sends a GET request for `path` on a new connection and reads its response.
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
        kill_process(self.pid(), signal).expect("the server is running");
    }

    /// Sends a signal to the server and its children.
    pub fn signal_all(&self, signal: Signal) {
        kill_process_group(self.pid(), signal).expect("the server is running");
    }

    /// Waits until the server exits.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of {:?}", self.greeting);
        wait_until(&what, || self.process.try_wait().expect("the server is a child of the test"))
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("the server is a child of the test").is_some()
    }

    /// The ID and state of the server's process and of its children, including zombies.
    pub fn processes(&self) -> Vec<(i32, char)> {
        let ids = fs::read_dir("/proc")
            .expect("/proc is mounted")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let of_group = ids.filter_map(|id| {
            // The file is gone if the process has ended since.
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            // The second field is the program's name in parentheses, which may contain any byte.
            let mut fields = stat.rsplit_once(") ")?.1.split(' ');
            let (state, group) = (fields.next()?.chars().next()?, fields.nth(1)?);
            (group == self.pid().as_raw_pid().to_string()).then_some((id, state))
        });
        of_group.collect()
    }

    /// The sum of the resident set sizes of its processes. Shared pages count once per process.
    pub fn resident_bytes(&self) -> u64 {
        self.processes().into_iter().map(|(id, _)| status_bytes(id, "VmRSS:")).sum()
    }

    /// The peak resident memory of its processes, plus the memory of the anonymous files
    /// (memfd_create(2)) that they have open now.
    pub fn memory_bytes(&self) -> u64 {
        let files = self.processes().into_iter().flat_map(|(id, _)| anonymous_files(id));
        // Several processes may have the same file open.
        let files: BTreeMap<u64, u64> = files.collect();
        let peaks = self.processes().into_iter().map(|(id, _)| status_bytes(id, "VmHWM:"));
        peaks.sum::<u64>() + files.into_values().sum::<u64>()
    }

    /// The number of descriptors that its processes have open.
    pub fn descriptors(&self) -> usize {
        self.processes().into_iter().map(|(id, _)| open_descriptors(id).count()).sum()
    }

    /// The same without regular files, which the server keeps open for a second.
    fn descriptors_but_files(&self) -> usize {
        let is_file = |entry: &fs::DirEntry| fs::metadata(entry.path()).is_ok_and(|m| m.is_file());
        let of_one = |id| open_descriptors(id).filter(|entry| !is_file(entry)).count();
        self.processes().into_iter().map(|(id, _)| of_one(id)).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let has_closed_all = || self.descriptors_but_files() <= self.descriptors_at_start;
        let is_checked = !std::thread::panicking() && Peer::count(self.address) == 0;
        let give_up = Instant::now() + TIMEOUT;
        let mut has_leaked = is_checked && !has_closed_all();
        while has_leaked && Instant::now() < give_up {
            std::thread::sleep(Duration::from_millis(10));
            has_leaked = !has_closed_all();
        }
        // Even a server that has exited may have left children in its group.
        if !self.processes().is_empty() {
            // These fail only if every process of the group has ended since.
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.process.wait();
        }
        assert!(!has_leaked, "the server leaked descriptors of closed connections");
        if !std::thread::panicking() && !self.may_print_errors {
            assert_eq!(self.errors.rest(), [""; 0], "the server wrote to stderr");
        }
    }
}

/// A size in /proc/PID/status; 0 if the process has ended.
fn status_bytes(id: i32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a size is a number of kB") * 1024
}

/// The descriptors of a process; none if it has ended.
fn open_descriptors(id: i32) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten()
}

/// The inode and the allocated bytes of each anonymous file that a process has open.
fn anonymous_files(id: i32) -> Vec<(u64, u64)> {
    let file = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        // The link shows the name; the metadata is that of the open file.
        let metadata = fs::metadata(entry.path()).ok()?;
        let is_anonymous = target.to_str()?.starts_with("/memfd:");
        is_anonymous.then_some((metadata.ino(), metadata.blocks() * 512))
    };
    open_descriptors(id).filter_map(file).collect()
}

/// The address in the first line of a server's output.
pub fn address_in(greeting: &str) -> Option<SocketAddr> {
    let (authority, _) = greeting.split_once("://")?.1.split_once('/')?;
    authority.replace("localhost", "127.0.0.1").parse().ok()
}

/// The lines of a stream. A thread reads them continuously, so that the writer never blocks.
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

    fn none() -> Lines {
        Lines(channel().1)
    }

    /// The next line, if it has been written.
    pub fn try_next(&self) -> Option<String> {
        self.0.try_recv().ok()
    }

    /// The next line, or `None` at the end of the stream.
    #[track_caller]
    pub fn next(&self) -> Option<String> {
        match self.0.recv_timeout(TIMEOUT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {TIMEOUT:?}"),
        }
    }

    /// All lines up to and including the first that satisfies `is_last`. Fails if there is none.
    #[track_caller]
    pub fn until(&self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| is_last(line)) {
            lines.push(self.next().unwrap_or_else(|| panic!("the stream ended after {lines:#?}")));
        }
        lines
    }

    /// All lines up to the end of the stream, which comes when the last process that holds its
    /// writing end exits.
    #[track_caller]
    pub fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }
}
