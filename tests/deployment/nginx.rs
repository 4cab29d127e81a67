//! docs/deploy/nginx.conf: nginx in front of a Unix socket.

use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::Signal;

use crate::proxy::{Proxy, program, replaced, under_load};
use crate::support::{Peer, Server, Setup, Site, setups, with_sockets};

const CONFIGURATION: &str = include_str!("../../docs/deploy/nginx.conf");

/// The options in the head of the configuration, without the address.
const OPTIONS: [&str; 4] = ["--trusted-proxy", "unix:", "--idle-timeout", "90"];

/// The file in a complete configuration: one worker process, and no path outside `directory`.
fn whole_configuration(site: &str, directory: &Path) -> String {
    let directory = directory.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {directory}/{name};\n"))
        .concat();
    format!(
        "daemon off;\n{user}\npid {directory}/pid;\nerror_log stderr;\nworker_processes 1;\n\
         events {{}}\nhttp {{\naccess_log off;\n{paths}{site}\n}}\n"
    )
}

fn start(socket: &Path) -> Option<Proxy> {
    let program = program("nginx")?;
    let mut proxy = Proxy::start(&program, &["-e", "stderr", "-c"], |address, directory| {
        let socket = format!("unix:{};", socket.display());
        let site = replaced(
            CONFIGURATION,
            &[
                ("unix:/run/miniweb/socket;", &socket),
                ("listen 80;", &format!("listen {address};")),
            ],
        );
        whole_configuration(&site, directory)
    });
    proxy.wait_until_ready("/page.html");
    Some(proxy)
}

/// A server with a Unix socket that a supervisor has passed, as with miniweb.socket.
fn server(setup: &'static Setup, site: &Site, socket: &UnixListener, options: &[&str]) -> Server {
    // The tests talk to it by TCP, too.
    let options = [&OPTIONS[..], options].concat();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let sockets = [std::os::fd::AsFd::as_fd(socket), std::os::fd::AsFd::as_fd(&tcp)];
    Server::run(with_sockets(&Server::command(setup, site.root(), &options), &sockets))
}

#[test]
fn reloading_nginx_or_restarting_the_server_loses_no_request() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let path = site.beside(&format!("{}.socket", setup.name));
        let socket = UnixListener::bind(&path).expect("the path is free");
        let mut running = server(setup, &site, &socket, &[]);
        let Some(proxy) = start(&path) else { return };
        under_load(proxy.address, &site, setup, |load| {
            for _ in 0..3 {
                load.wait();
                proxy.signal(Signal::HUP);
                load.wait();
                running.signal(Signal::TERM);
                assert!(running.wait().success(), "{}", setup.name);
                running = server(setup, &site, &socket, &[]);
            }
            load.wait();
        });
    }
}

#[test]
fn connections_of_nginx_are_kept_open_and_carry_the_addresses_of_clients() {
    const REQUESTS: usize = 50;
    let site = Site::new();
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let path = site.beside(&format!("{}.socket", setup.name));
        let socket = UnixListener::bind(&path).expect("the path is free");
        let mut server = server(setup, &site, &socket, &["--trace", "--log", "common"]);
        let Some(proxy) = start(&path) else { return };
        let client = Ipv4Addr::new(127, 0, 7, 7);
        for _ in 0..REQUESTS {
            let mut peer = Peer::connect_from(client, proxy.address);
            let fields = "Connection: close\r\nX-Forwarded-For: 203.0.113.1\r\n";
            peer.send(format!("GET /page.html HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
            assert_eq!(peer.response().status, 200);
        }
        drop(proxy);
        server.signal(Signal::TERM);
        server.wait();
        let is_accept = |line: &&String| line.contains(" #") && line.contains(" accept");
        let accepted = server.errors.rest().iter().filter(is_accept).count();
        assert!((1..5).contains(&accepted), "{}: {accepted} connections", setup.name);
        let lines = server.output.rest();
        let of_client = lines.iter().filter(|line| line.starts_with(&format!("{client} - ")));
        assert_eq!(of_client.count(), REQUESTS, "{}: {lines:#?}", setup.name);
    }
}
