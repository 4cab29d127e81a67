//! The server as a process under supervision: passed sockets, restarts, signals, children, and
//! dropped privileges.

#[path = "support/mod.rs"]
mod support;

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Signal, geteuid};
use support::{
    PATIENCE, Peer, Server, Site, any_setup, get, setup_with, setups, wait_until, with_socket,
};

#[test]
fn a_passed_socket_is_served_under_every_strategy() {
    let site = Site::new();
    for setup in setups() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let mut server =
            Server::run(with_socket(&Server::command(setup, site.root(), &[]), &socket));
        assert_eq!(server.address, address, "{setup:?}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        server.signal(Signal::TERM);
        server.wait();
        // The socket is not shut down with the server: a client that connects now waits for the
        // next server.
        let mut early = Peer::connect(address);
        early.send(get("/page.html"));
        let _next = Server::run(with_socket(&Server::command(setup, site.root(), &[]), &socket));
        assert_eq!(early.response().status, 200, "{setup:?}");
    }
}

/// The next server starts and the old one shuts down, repeatedly, while clients send requests
/// without a pause.
#[test]
fn a_server_is_replaced_under_load_without_one_failed_request() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.concurrency == usize::MAX) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let start = || Server::run(with_socket(&Server::command(setup, site.root(), &[]), &socket));
        eprintln!("{setup:?}");
        let (is_over, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
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
                        answers.fetch_add(1, Ordering::AcqRel);
                    }
                });
            }
            for _ in 0..3 {
                let before = answers.load(Ordering::Acquire);
                wait_until("the load goes on", || {
                    (answers.load(Ordering::Acquire) > before + 20).then_some(())
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
fn the_supervisor_is_notified_when_the_server_is_ready() {
    let site = Site::new();
    let beside = site.beside("notify");
    let notified = UnixDatagram::bind(&beside).expect("a socket beside the site");
    notified.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let mut command = Server::command(any_setup(), site.root(), &[]);
    command.env("NOTIFY_SOCKET", &beside);
    let server = Server::run(command);
    let mut message = [0; 100];
    let length = notified.recv(&mut message).expect("a message");
    assert!(
        message[..length].starts_with(b"READY=1"),
        "{:?}",
        String::from_utf8_lossy(&message[..length])
    );
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_service_survives_sighup() {
    let site = Site::new();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &[]);
        server.signal(Signal::HUP);
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        assert!(!server.has_ended(), "{setup:?}");
    }
}

/// A regression test: a child forked while a signal was being handled once looped for ever. Under
/// churn, SIGCHLD arrives all the time.
#[test]
fn every_child_serves_its_client_and_leaves_nothing_behind() {
    serve_in_children(600);
}

#[test]
#[ignore = "long: 10,000 connections with a process each"]
fn ten_thousand_children_leave_nothing_behind() {
    serve_in_children(10_000);
}

fn serve_in_children(connections: usize) {
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

/// A log that is not read blocks the threads that log, but must not block the shutdown.
#[test]
fn a_shutdown_is_bounded_even_if_the_log_is_not_read() {
    let site = Site::new();
    for setup in setups().filter(|setup| !setup.forks) {
        let mut command =
            Server::command(setup, site.root(), &["--log", "json", "--shutdown-timeout", "0.2"]);
        let mut child =
            command.stdout(std::process::Stdio::piped()).spawn().expect("the binary runs");
        let mut stdout = child.stdout.take().expect("it is piped");
        let mut greeting = Vec::new();
        while !greeting.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).expect("the first line");
            greeting.push(byte[0]);
        }
        let greeting = String::from_utf8(greeting).expect("text");
        let address =
            greeting.split(['/', ' ']).find(|word| word.starts_with("127.")).expect("an address");
        let mut peer = Peer::connect(address.parse().expect("an address"));
        let line = format!("/page.html?{}", "x".repeat(2000));
        for _ in 0..200 {
            assert_eq!(peer.get(&line).status, 200);
        }
        // The pipe holds 64 KiB and the log is longer, so the log thread is blocked.
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM)
            .expect("it lives");
        let end = wait_until("the end", || child.try_wait().expect("it is ours"));
        assert!(end.success(), "{setup:?}: {end}");
    }
}

#[test]
fn privileges_are_dropped_on_request() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let site = Site::new();
    // Readable for all, because the server runs as nobody.
    Command::new("chmod").args(["-R", "a+rX"]).arg(site.beside("")).status().expect("chmod runs");
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--user", "nobody"]);
        assert!(server.greeting.contains("as nobody"), "{}", server.greeting);
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()))
                .expect("it lives");
        let ids = |name: &str| {
            status.lines().find(|line| line.starts_with(name)).expect("a line").to_owned()
        };
        assert!(!ids("Uid:").contains("\t0") && !ids("Gid:").contains("\t0"), "{status}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
    }
    // The user nobody may not read it; a server that started would answer every request with 403.
    for (root, mode) in [(site.root(), "a-rx"), (site.path("page.html"), "a-r")] {
        Command::new("chmod").arg(mode).arg(&root).status().expect("chmod runs");
        let output = Server::command(any_setup(), &root, &["--user", "nobody"])
            .output()
            .expect("it can be run");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert_eq!(error, format!("error: --user nobody: {}: permission denied\n", root.display()));
        Command::new("chmod").arg("a+rX").arg(&root).status().expect("chmod runs");
    }
}

/// After --confine the process can read nothing but the root, not even a directory that replaces
/// it.
#[test]
fn a_confined_server_reads_its_root_and_nothing_else() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--confine"]);
        assert!(server.greeting.contains("confined"), "{}", server.greeting);
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        std::fs::rename(site.root(), site.beside("moved")).expect("it is ours");
        site.write("other.html", "outside of what was allowed");
        assert_eq!(server.get("/other.html").status, 404, "{setup:?}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        drop(server);
        std::fs::remove_dir_all(site.root()).expect("it is ours");
        std::fs::rename(site.beside("moved"), site.root()).expect("it is ours");
    }
}
