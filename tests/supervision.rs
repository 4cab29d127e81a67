//! The server under a supervisor: passed sockets, readiness, signals, privileges, child processes.

#[path = "support/mod.rs"]
mod support;

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use support::{
    Peer, Server, Site, TIMEOUT, any_setup, get, setup_with, setups, wait_until, with_sockets,
};

#[test]
fn every_strategy_serves_a_passed_socket() {
    let site = Site::new();
    for setup in setups() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let mut server =
            Server::run(with_sockets(&Server::command(setup, site.root(), &[]), &[&socket]));
        assert_eq!(server.address, address, "{setup:?}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        server.signal(Signal::TERM);
        server.wait();
        // The server does not shut down a passed socket, so new clients wait in its backlog for the
        // next server.
        let mut waiting = Peer::connect(address);
        waiting.send(get("/page.html"));
        let _next =
            Server::run(with_sockets(&Server::command(setup, site.root(), &[]), &[&socket]));
        assert_eq!(waiting.response().status, 200, "{setup:?}");
    }
}

/// A pair as systemd passes it for an IPv4 and an IPv6 address.
#[test]
fn every_strategy_serves_all_passed_sockets_and_shuts_down_in_order() {
    let site = Site::new();
    for setup in setups() {
        let sockets = ["127.0.0.1:0", "[::1]:0"].map(|address| {
            TcpListener::bind(address).expect("the loopback device has both addresses")
        });
        let addresses = sockets.each_ref().map(|socket| socket.local_addr().expect("it is bound"));
        let mut server =
            Server::run(with_sockets(&Server::command(setup, site.root(), &[]), &sockets));
        for address in [addresses, addresses].concat() {
            let mut peer = Peer::connect(address);
            assert_eq!(peer.get("/page.html").status, 200, "{setup:?}, {address}");
        }
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        // Neither socket was shut down.
        let mut waiting = addresses.map(Peer::connect);
        let next = Server::run(with_sockets(&Server::command(setup, site.root(), &[]), &sockets));
        for peer in &mut waiting {
            peer.send("GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            assert_eq!(peer.response().status, 200, "{setup:?}");
        }
        drop(next);
    }
}

#[test]
fn a_passed_descriptor_that_is_not_a_listening_tcp_socket_is_an_error() {
    let site = Site::new();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let connected = TcpStream::connect(address).expect("the socket listens");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let path = site.beside("unix");
    let unix = UnixListener::bind(&path).expect("the path is free");
    for wrong in [connected.as_fd(), datagrams.as_fd(), unix.as_fd()] {
        let command = Server::command(any_setup(), site.root(), &[]);
        let output = with_sockets(&command, &[socket.as_fd(), wrong]).output();
        let output = output.expect("the shell and the binary exist");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "error: LISTEN_FDS: descriptor 2 of 2 is not a listening TCP socket\n"
        );
    }
}

/// Starts a new server and stops the old one, three times, while clients send requests without
/// pause.
#[test]
fn replacing_the_server_under_load_fails_no_request() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.concurrency == usize::MAX) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let start =
            || Server::run(with_sockets(&Server::command(setup, site.root(), &[]), &[&socket]));
        let (is_over, responses) = (AtomicBool::new(false), AtomicUsize::new(0));
        let mut server = start();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Acquire) {
                        let mut peer = Peer::connect(address);
                        peer.send(
                            "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                        );
                        assert_eq!(peer.response().status, 200, "{setup:?}");
                        responses.fetch_add(1, Ordering::AcqRel);
                    }
                });
            }
            for _ in 0..3 {
                let before = responses.load(Ordering::Acquire);
                wait_until(&format!("{}: 20 more responses", setup.name), || {
                    (responses.load(Ordering::Acquire) > before + 20).then_some(())
                });
                let next = start();
                server.signal(Signal::TERM);
                server.wait();
                server = next;
            }
            is_over.store(true, Ordering::Release);
        });
    }
}

#[test]
fn the_server_notifies_its_supervisor_when_it_is_ready() {
    let site = Site::new();
    let path = site.beside("notify");
    let socket = UnixDatagram::bind(&path).expect("the path is free");
    socket.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
    let mut command = Server::command(any_setup(), site.root(), &[]);
    command.env("NOTIFY_SOCKET", &path);
    let server = Server::run(command);
    let mut message = [0; 100];
    let length = socket.recv(&mut message).expect("the server sends a message");
    assert!(
        message[..length].starts_with(b"READY=1"),
        "{:?}",
        String::from_utf8_lossy(&message[..length])
    );
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn sighup_does_not_end_the_server() {
    let site = Site::new();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &[]);
        server.signal(Signal::HUP);
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        assert!(!server.has_ended(), "{setup:?}");
    }
}

/// Regression test: under churn, a child forked while the parent handled a signal once looped
/// forever.
#[test]
fn a_child_per_connection_under_churn_is_served_and_reaped() {
    serve_from_children(600);
}

#[test]
#[ignore = "the long form: 10,000 connections, a process each"]
fn ten_thousand_children_are_served_and_reaped() {
    serve_from_children(10_000);
}

fn serve_from_children(connections: usize) {
    const CLIENTS: usize = 8;
    let site = Site::new();
    let server = Server::start(setup_with(|setup| setup.forks), site.root(), &[]);
    let address = server.address;
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                (0..connections / CLIENTS)
                    .for_each(|_| assert_eq!(Peer::connect(address).get("/page.html").status, 200));
            });
        }
    });
    wait_until("every child is reaped", || (server.processes().len() == 1).then_some(()));
}

/// A full pipe blocks the log's writer. It must not block shutdown.
#[test]
fn shutdown_is_bounded_while_the_log_is_not_read() {
    let site = Site::new();
    for setup in setups().filter(|setup| !setup.forks) {
        let mut command =
            Server::command(setup, site.root(), &["--log", "json", "--shutdown-timeout", "0.2"]);
        let mut child =
            command.stdout(std::process::Stdio::piped()).spawn().expect("the binary exists");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let mut greeting = Vec::new();
        while !greeting.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).expect("the server writes a first line");
            greeting.push(byte[0]);
        }
        let greeting = String::from_utf8(greeting).expect("output is UTF-8");
        let mut words = greeting.split(['/', ' ']);
        let address = words.find(|word| word.starts_with("127.")).expect("the line has an address");
        let mut peer = Peer::connect(address.parse().expect("the address has a port"));
        let line = format!("/page.html?{}", "x".repeat(2000));
        for _ in 0..200 {
            assert_eq!(peer.get(&line).status, 200);
        }
        // The log is longer than the 64 KiB that a pipe holds, so its writer blocks.
        kill_process(Pid::from_child(&child), Signal::TERM).expect("the server is running");
        let status = wait_until("the end of the server", || {
            child.try_wait().expect("the server is a child of the test")
        });
        assert!(status.success(), "{setup:?}: {status}");
    }
}

#[test]
fn the_server_drops_privileges_on_request() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    let site = Site::new();
    // The user "nobody" must be able to read the site.
    Command::new("chmod").args(["-R", "a+rX"]).arg(site.beside("")).status().expect("chmod runs");
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--user", "nobody"]);
        assert!(server.greeting.contains("as nobody"), "{}", server.greeting);
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()))
                .expect("the server is running");
        let ids = |name: &str| {
            status.lines().find(|line| line.starts_with(name)).expect("proc(5) lists it").to_owned()
        };
        assert!(!ids("Uid:").contains("\t0") && !ids("Gid:").contains("\t0"), "{status}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
    }
    // A server that cannot read its root must not start, rather than respond 403 to every request.
    for (root, mode) in [(site.root(), "a-rx"), (site.path("page.html"), "a-r")] {
        Command::new("chmod").arg(mode).arg(&root).status().expect("chmod runs");
        let output = Server::command(any_setup(), &root, &["--user", "nobody"])
            .output()
            .expect("the binary exists");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(
            stderr,
            format!("error: --user nobody: {}: permission denied\n", root.display())
        );
        Command::new("chmod").arg("a+rX").arg(&root).status().expect("chmod runs");
    }
}

/// Landlock confines the server to the directory that was the root at its start, not to the path.
#[test]
fn a_confined_server_reads_only_its_root() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--confine"]);
        assert!(server.greeting.contains("confined"), "{}", server.greeting);
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        std::fs::rename(site.root(), site.beside("moved")).expect("the test owns the directory");
        site.write("other.html", "outside the confined root");
        assert_eq!(server.get("/other.html").status, 404, "{setup:?}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        drop(server);
        std::fs::remove_dir_all(site.root()).expect("the test owns the directory");
        std::fs::rename(site.beside("moved"), site.root()).expect("the test owns the directory");
    }
}

/// A parent shuts its forked children down with these signals, and must not act on them itself.
#[test]
fn user_signals_do_not_affect_a_server_without_an_event_loop() {
    let site = Site::new();
    for setup in setups().filter(|setup| !setup.strategy.is_event_loop) {
        let server = Server::start(setup, site.root(), &[]);
        for signal in [Signal::USR1, Signal::USR2] {
            server.signal(signal);
            let mut peer = server.connect();
            for _ in 0..3 {
                assert_eq!(peer.get("/page.html").status, 200, "{setup:?}, {signal:?}");
            }
        }
    }
}
