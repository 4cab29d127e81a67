//! Runs a proxy in front of servers, under a load that detects every lost request.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Peer, Setup, Site, wait_until, with_sockets};

/// A proxy that is stopped and reaped when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    process: Child,
    errors: Option<JoinHandle<String>>,
    _directory: TempDir,
}

/// The path of a program, or None if it is not installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let directories = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = directories.iter().map(|directory| Path::new(directory).join(name));
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// `text` with each of `parts` replaced. All of them must occur.
pub fn replaced(text: &str, parts: &[(&str, &str)]) -> String {
    parts.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the configuration has no {from:?}");
        text.replace(from, to)
    })
}

impl Proxy {
    /// Runs `program` with a configuration that `configure` makes of its address, in a directory
    /// for its files. It inherits a listening socket as descriptor 3.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        configure: impl FnOnce(SocketAddr, &Path) -> String,
    ) -> Proxy {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // nginx expects an inherited socket to be non-blocking: two of its processes may poll it.
        socket.set_nonblocking(true).expect("it is a socket");
        let address = socket.local_addr().expect("it is bound");
        let directory = tempfile::Builder::new().prefix("miniweb-").tempdir();
        let directory = directory.expect("the temporary directory is writable");
        let configuration = directory.path().join("configuration");
        let text = configure(address, directory.path());
        fs::write(&configuration, text).expect("the directory is writable");
        let mut command = Command::new(program);
        command.args(arguments).arg(&configuration);
        let mut command = with_sockets(&command, &[&socket]);
        // The variable in which nginx finds inherited sockets.
        command.env("NGINX", "3;").stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("a shell can be started");
        let errors = process.stderr.take().expect("stderr is piped");
        let errors =
            std::thread::spawn(move || std::io::read_to_string(errors).unwrap_or_default());
        Proxy { address, process, errors: Some(errors), _directory: directory }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the proxy is running");
    }

    /// Waits until requests for `path` get a 200.
    pub fn wait_until_ready(&mut self, path: &str) {
        wait_until("the proxy to have a server", || {
            if let Ok(Some(status)) = self.process.try_wait() {
                let errors = self.errors.take().map(JoinHandle::join);
                panic!("the proxy ended, {status}: {errors:?}");
            }
            (Peer::connect(self.address).get(path).status == 200).then_some(())
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // These fail only if the proxy has ended.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Runs `work` while clients send one request after another, each on a connection of its own. Each
/// response must be the file, always with the same ETag.
pub fn under_load(address: SocketAddr, site: &Site, setup: &Setup, work: impl FnOnce(&Load)) {
    const CLIENTS: usize = 3;
    let content = fs::read(site.path("page.html")).expect("every site has that page");
    let etag = Peer::connect(address).get("/page.html").field("etag").map(str::to_owned);
    assert!(etag.is_some());
    let load = Load { responses: AtomicUsize::new(0), is_over: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        let clients = [(); CLIENTS].map(|()| {
            scope.spawn(|| {
                while !load.is_over.load(Ordering::Acquire) {
                    let mut peer = Peer::connect(address);
                    peer.send("GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
                    let response = peer.response();
                    assert_eq!(response.status, 200);
                    assert_eq!(response.field("etag").map(str::to_owned), etag);
                    assert_eq!(response.body, content);
                    load.responses.fetch_add(1, Ordering::AcqRel);
                }
            })
        });
        work(&load);
        load.is_over.store(true, Ordering::Release);
        for client in clients {
            assert!(client.join().is_ok(), "{}: a request is lost", setup.name);
        }
    });
}

/// The progress of a load.
pub struct Load {
    responses: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// Waits until more responses have arrived.
    pub fn wait(&self) {
        let before = self.responses.load(Ordering::Acquire);
        wait_until("more responses", || {
            (self.responses.load(Ordering::Acquire) > before + 30).then_some(())
        });
    }
}
