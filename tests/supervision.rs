//! The server under a supervisor: passed sockets, readiness, signals, privileges, child processes.

#[path = "support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use miniweb::syscall_stats::PAGE_BYTES;
use rustix::fs::fchown;
use rustix::process::{Pid, Signal, Uid, geteuid, kill_process};
use socket2::{Domain, Socket, Type};
use support::{
    Peer, Server, Site, TIMEOUT, any_setup, get, miniweb, setup_with, setups, shown, wait_until,
    with_sockets,
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
fn every_strategy_serves_a_passed_unix_socket_beside_a_tcp_socket() {
    let site = Site::new();
    for setup in setups() {
        let path = site.beside(&format!("{}.socket", setup.name));
        let unix = UnixListener::bind(&path).expect("the path is free");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let command = Server::command(setup, site.root(), &[]);
        let mut server = Server::run(with_sockets(&command, &[unix.as_fd(), tcp.as_fd()]));
        assert!(
            server.greeting.contains(&format!("on unix:{} and http://", path.display())),
            "{}",
            server.greeting
        );
        for _ in 0..2 {
            assert_eq!(server.connect_to_unix(&path).get("/page.html").status, 200, "{setup:?}");
            assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        }
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        // The file belongs to the supervisor, so the server must not remove it.
        assert!(path.exists(), "{setup:?}");
        UnixStream::connect(&path).expect("the supervisor's socket still listens");
    }
}

#[test]
fn a_passed_descriptor_that_is_not_a_listening_socket_is_an_error() {
    let site = Site::new();
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    let connected = TcpStream::connect(address).expect("the socket listens");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (unix, _other_end) = UnixStream::pair().expect("the test has free descriptors");
    for wrong in [connected.as_fd(), datagrams.as_fd(), unix.as_fd()] {
        let command = Server::command(any_setup(), site.root(), &[]);
        let output = with_sockets(&command, &[socket.as_fd(), wrong]).output();
        let output = output.expect("the shell and the binary exist");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "error: LISTEN_FDS: descriptor 2 of 2 is not a listening TCP or Unix socket\n"
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
    let (path, name) = (site.beside("notify"), format!("miniweb test {}", std::process::id()));
    let abstract_name = SocketAddr::from_abstract_name(&name).expect("the name is short");
    let sockets = [
        (path.display().to_string(), UnixDatagram::bind(&path).expect("the path is free")),
        (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name).expect("the name is free")),
    ];
    for (name, socket) in sockets {
        socket.set_read_timeout(Some(TIMEOUT)).expect("the timeout is not zero");
        for options in [&[][..], &["--confine"]] {
            let mut command = Server::command(any_setup(), site.root(), options);
            command.env("NOTIFY_SOCKET", &name);
            let server = Server::run(command);
            let mut message = [0; 100];
            let length = socket.recv(&mut message).expect("the server sends a message");
            assert!(message[..length].starts_with(b"READY=1"), "{:?}", shown(&message[..length]));
            assert_eq!(server.get("/").status, 200);
        }
    }
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
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()))
            .expect("the server is running");
        let ids = |name: &str| {
            status.lines().find(|line| line.starts_with(name)).expect("proc(5) lists it").to_owned()
        };
        assert!(!ids("Uid:").contains("\t0") && !ids("Gid:").contains("\t0"), "{status}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
    }
    // In a container there may be no database of users.
    for (user, ids) in [("65534", ["65534"; 2]), ("12345", ["12345"; 2]), ("5:6", ["5", "6"])] {
        let server = Server::start(any_setup(), site.root(), &["--user", user]);
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero()))
            .expect("the server is running");
        for (name, id) in ["Uid:", "Gid:"].into_iter().zip(ids) {
            let expected = format!("{name}\t{id}\t{id}\t{id}\t{id}");
            assert!(status.lines().any(|line| line == expected), "{user}: {status}");
        }
        assert_eq!(server.get("/page.html").status, 200, "{user}");
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

/// Sockets share a port by SO_REUSEPORT only if the same user has opened them.
#[test]
fn a_server_started_by_root_does_not_share_its_port_with_the_user_that_it_becomes() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    let site = Site::new();
    Command::new("chmod").args(["-R", "a+rX"]).arg(site.beside("")).status().expect("chmod runs");
    for setup in setups().filter(|setup| setup.event_loops > 1) {
        let server = Server::start(setup, site.root(), &["--user", "nobody"]);
        let status = fs::metadata(format!("/proc/{}", server.pid().as_raw_nonzero()));
        let nobody = status.expect("the server is running").uid();
        let bind_as = |user| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            // The owner of a socket is the user that counts.
            fchown(&socket, Some(Uid::from_raw(user)), None)?;
            socket.set_reuse_port(true)?;
            socket.bind(&server.address.into())
        };
        let refused = bind_as(nobody).expect_err("the port is in use");
        assert_eq!(refused.kind(), ErrorKind::AddrInUse, "{setup:?}");
        bind_as(0).expect("the server was started by root");
    }
}

/// Such a server could serve the directory that it has open, but not the one that replaces it.
#[test]
fn a_user_who_cannot_reach_the_root_by_its_path_is_refused() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    let site = Site::new();
    Command::new("chmod").args(["-R", "a+rX"]).arg(site.beside("")).status().expect("chmod runs");
    site.write("closed/inner/site/page.html", "inner");
    Command::new("chmod").arg("go-x").arg(site.path("closed")).status().expect("chmod runs");
    site.link("link", "closed/inner/site");
    for setup in setups() {
        for (root, named) in [
            ("closed/inner/site", "closed"),
            ("closed/inner/site/page.html", "closed"),
            // What the link leads through is not a parent in the text of the path.
            ("link", "link"),
        ] {
            let command = Server::command(setup, site.path(root), &["--user", "nobody"]);
            // A server that starts after all must not hold up the test.
            let mut bounded = Command::new("timeout");
            bounded.arg(TIMEOUT.as_secs().to_string()).arg(command.get_program());
            let output =
                bounded.args(command.get_args()).output().expect("timeout(1) is installed");
            let stderr = String::from_utf8_lossy(&output.stderr);
            let named = site.path(named);
            assert_eq!(
                stderr,
                format!("error: --user nobody: {}: permission denied\n", named.display())
            );
            assert_eq!(output.status.code(), Some(1), "{setup:?} {root}");
        }
    }
    Command::new("chmod").arg("go+x").arg(site.path("closed")).status().expect("chmod runs");
    let root = site.path("closed/inner/site");
    for setup in setups() {
        let server = Server::start(setup, &root, &["--user", "nobody"]);
        std::fs::rename(&root, site.path("old")).expect("the test owns the directory");
        site.write("closed/inner/site/page.html", "rebuilt");
        wait_until("the replaced root is served", || {
            (server.get("/page.html").body == b"rebuilt").then_some(())
        });
        drop(server);
        std::fs::remove_dir_all(site.path("old")).expect("the test owns the directory");
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
        fs::rename(site.root(), site.beside("moved")).expect("the test owns the directory");
        site.write("other.html", "outside the confined root");
        assert_eq!(server.get("/other.html").status, 404, "{setup:?}");
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        drop(server);
        fs::remove_dir_all(site.root()).expect("the test owns the directory");
        fs::rename(site.beside("moved"), site.root()).expect("the test owns the directory");
    }
}

#[test]
fn a_server_that_cannot_be_confined_does_not_start() {
    let site = Site::new();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=landlock_create_ruleset"]);
    strace.args(["-e", "inject=landlock_create_ruleset:error=ENOSYS"]);
    strace.arg(miniweb().get_program());
    strace.args(Server::command(any_setup(), site.root(), &["--confine"]).get_args());
    let Ok(output) = strace.output() else {
        eprintln!("skipped: strace is not installed");
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: --confine: this kernel does not support Landlock\n"
    );
}

/// no_new_privs, without which Landlock cannot be used, is inherited by a thread or process from
/// the thread that starts it, as the Landlock domain is. Only the former shows in /proc.
#[test]
fn every_thread_and_child_of_a_confined_server_is_confined() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--confine"]);
        let mut peer = server.connect();
        assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
        let processes = server.processes();
        assert!(!setup.forks || processes.len() > 1, "{setup:?}: {processes:?}");
        for (id, _) in processes {
            let threads = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
            for thread in threads {
                let path = thread.expect("/proc is readable").path().join("status");
                let status = fs::read_to_string(path).expect("the thread runs");
                assert!(status.contains("NoNewPrivs:\t1"), "{setup:?}: {status}");
            }
        }
    }
}

/// Also if it is measured, and so has a thread that reports its resource usage.
#[test]
fn a_confined_server_starts_every_thread_and_child_after_its_confinement() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let site = Site::new();
    let (calls_path, counters_path) = (site.beside("calls"), site.beside("counters"));
    let counters_file = File::create(&counters_path).expect("the directory is writable");
    counters_file.set_len(PAGE_BYTES).expect("the disk has space");
    let counters_path = counters_path.to_str().expect("the path is ASCII");
    for setup in setups() {
        let (_input, server_input) = UnixStream::pair().expect("the test has free descriptors");
        let options = ["--confine", "--counters-file", counters_path];
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=landlock_restrict_self,clone,clone3,fork,vfork"]);
        strace.arg("-o").arg(&calls_path).arg(miniweb().get_program());
        strace.args(Server::command(setup, site.root(), &options).get_args());
        strace.stdin(OwnedFd::from(server_input));
        let server = Server::run(strace);
        assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
        let calls = fs::read_to_string(&calls_path).expect("strace writes its output");
        let first = |name| calls.lines().position(|line| line.contains(name));
        let (confined, started) = (first("landlock_restrict_self("), first("clone"));
        assert!(confined.is_some() && started.is_some(), "{setup:?}: {calls}");
        assert!(confined < started, "{setup:?}: {calls}");
    }
}

/// The kernel refuses signals to processes outside the server, and not to its own children.
#[test]
fn a_confined_server_shuts_down_in_order_and_leaves_no_child() {
    let site = Site::new();
    for setup in setups() {
        for (signal, is_success) in [(Signal::TERM, true), (Signal::KILL, false)] {
            let mut server = Server::start(setup, site.root(), &["--confine"]);
            let mut peer = server.connect();
            assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
            server.signal(signal);
            assert_eq!(server.wait().success(), is_success, "{setup:?}, {signal:?}");
            wait_until("the end of the children", || server.processes().is_empty().then_some(()));
        }
    }
}

#[test]
fn a_confined_server_keeps_serving_the_directory_that_its_root_led_to() {
    let site = Site::new();
    let link = site.beside("current");
    for release in ["first", "second"] {
        let directory = site.beside(release);
        fs::create_dir(&directory).expect("the test owns the directory");
        fs::write(directory.join("page.html"), release).expect("the test owns the directory");
    }
    symlink("first", &link).expect("the name is free");
    let servers: Vec<Server> =
        setups().map(|setup| Server::start(setup, &link, &["--confine"])).collect();
    symlink("second", site.beside("next")).expect("the name is free");
    fs::rename(site.beside("next"), &link).expect("the test owns the directory");
    // A server that is not confined follows the link on a lookup that goes to the disk, at the
    // latest 0.9 s after the one before.
    for pause in [Duration::ZERO, Duration::from_millis(1200)] {
        std::thread::sleep(pause);
        for server in &servers {
            assert_eq!(server.get("/page.html").body, b"first", "{}", server.greeting);
        }
    }
}

/// A password file is opened again while the server runs, by the user and under the restrictions
/// that it has then. If that fails, the server must not start.
#[test]
fn a_server_without_privileges_reads_a_new_password_file() {
    // The password is "secret" in the first and "newpass" in the second.
    const OLD: &str = "me:$2y$04$h2coi55OT.9TlfBcNBVxQejBeebapL1zWi24SFL18ySDOla7aQNXS\n";
    const NEW: &str = "me:$2y$04$dA0b5IneTDTjt7/V4cSFruegP1PV3IkuxyQuPO1T4qqibCN5GHNza\n";
    const OLD_CREDENTIALS: &str = "Authorization: Basic bWU6c2VjcmV0";
    const NEW_CREDENTIALS: &str = "Authorization: Basic bWU6bmV3cGFzcw==";
    let is_root = geteuid().is_root();
    let privileges = if is_root { &["--confine", "--user", "nobody"][..] } else { &["--confine"] };
    for setup in setups() {
        let site = Site::new();
        // The file is reached through a link, as a Kubernetes secret is.
        let file = site.write_beside("versions/passwords", OLD);
        std::os::unix::fs::symlink("versions/passwords", site.beside("passwords"))
            .expect("a link can be created");
        Command::new("chmod")
            .args(["-R", "a+rX,o-w"])
            .arg(site.beside(""))
            .status()
            .expect("chmod");
        let link = site.beside("passwords").display().to_string();
        let options = [privileges, &["--auth-file", &link]].concat();
        let mut server = Server::start(setup, site.root(), &options);
        // Everybody can read the file, so that "nobody" can.
        server.may_print_errors = true;
        let mut peer = server.connect();
        assert_eq!(peer.get_with("/page.html", &[OLD_CREDENTIALS]).status, 200, "{setup:?}");
        std::fs::rename(site.write_beside("versions/new", NEW), &file).expect("the test owns both");
        wait_until("the old password is refused", || {
            let status = peer.get_with("/page.html", &[OLD_CREDENTIALS]).status;
            (status == 401).then_some(())
        });
        assert_eq!(peer.get_with("/page.html", &[NEW_CREDENTIALS]).status, 200, "{setup:?}");
        drop((peer, server));
        if is_root {
            Command::new("chmod").arg("0600").arg(&file).status().expect("chmod runs");
            let output = Server::command(setup, site.root(), &options).output();
            let output = output.expect("the binary exists");
            let stderr = String::from_utf8_lossy(&output.stderr);
            let error = format!("error: --user nobody: --auth-file {link}: permission denied\n");
            assert_eq!((output.status.code(), &*stderr), (Some(1), &*error), "{setup:?}");
        }
    }
}

/// A parent shuts its forked children down with these signals, and must not act on them itself.
#[test]
fn user_signals_do_not_affect_a_server() {
    let site = Site::new();
    for setup in setups() {
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
