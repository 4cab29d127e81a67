//! Servers as a part of another program.

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread::JoinHandle;

use miniweb::server::{ListenAddress, Server, Settings, StopHandle};
use miniweb::site::Root;
use support::{Peer, Setup, Site, get, patterned, setups, wait_until};

/// Held by the test that runs, because the tests observe the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// A server on a thread of this process.
struct Running {
    address: SocketAddr,
    stop: StopHandle,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(setup: &Setup, site: &Site) -> Running {
        let server = Server::open(settings(setup, site)).expect("a free port");
        let ListenAddress::Tcp(address) = server.addresses()[0] else {
            panic!("it is the address of the settings")
        };
        let stop = server.stop_handle();
        Running { address, stop, thread: std::thread::spawn(move || server.run(|_| ())) }
    }

    fn wait(self) {
        self.thread.join().expect("the server does not panic").expect("nothing is missing");
    }
}

fn settings(setup: &Setup, site: &Site) -> Settings {
    // The first argument is the command.
    let strategy = (setup.strategy.configure)(&setup.arguments[1..]);
    let root = Root::open(&site.root()).expect("the directory exists");
    Settings { strategy: strategy.expect("the arguments are valid"), ..Settings::new(root) }
}

/// A line of /proc/self/status.
fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = status.lines().find(|line| line.starts_with(field));
    line.expect("the kernel reports it").to_owned()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

#[test]
fn a_stopped_server_finishes_its_responses_and_leaves_nothing_behind() {
    let _alone = ALONE.lock();
    let site = Site::new();
    let content = patterned(8 << 20);
    site.write("large.bin", &content);
    site.write("text.txt", "a line of text\n".repeat(10_000));
    let handled = status("SigCgt:");
    for setup in setups().filter(|setup| !setup.forks) {
        let (threads, open) = (status("Threads:"), descriptors());
        let running = Running::start(setup, &site);
        let mut peer = Peer::connect(running.address);
        // Compressed on another thread, and cached.
        assert_eq!(peer.get_with("/text.txt", &["Accept-Encoding: br"]).status, 200);
        peer.send(get("/large.bin"));
        let head = peer.response_to_head();
        assert_eq!(head.status, 200, "{}", setup.name);
        running.stop.stop();
        running.stop.stop();
        wait_until(&format!("{} to close its port", setup.name), || {
            TcpStream::connect(running.address).is_err().then_some(())
        });
        assert!(peer.take(content.len()) == content, "{}", setup.name);
        peer.expect_end();
        running.wait();
        drop(peer);
        assert_eq!(status("SigCgt:"), handled, "{} handles signals", setup.name);
        wait_until(&format!("the threads of {} to end", setup.name), || {
            (status("Threads:") == threads && descriptors() == open).then_some(())
        });
    }
}

#[test]
fn two_servers_of_a_process_are_independent() {
    let _alone = ALONE.lock();
    let site = Site::new();
    for setup in setups().filter(|setup| !setup.forks) {
        let [first, second] = [(); 2].map(|()| Running::start(setup, &site));
        first.stop.stop();
        first.wait();
        assert_eq!(Peer::connect(second.address).get("/page.html").status, 200, "{}", setup.name);
        second.stop.stop();
        second.wait();
    }
}

#[test]
fn a_strategy_that_forks_requires_a_process_of_its_own() {
    let _alone = ALONE.lock();
    let site = Site::new();
    for setup in setups().filter(|setup| setup.forks) {
        let error = Server::open(settings(setup, &site)).map(drop).expect_err("it forks");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{}", setup.name);
    }
}
