//! docs/deploy/haproxy.cfg: three replicas that are replaced one at a time.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use crate::proxy::{Proxy, program, replaced, under_load};
use crate::support::{Peer, Server, Setup, Site, get, setups};

const CONFIGURATION: &str = include_str!("../../docs/deploy/haproxy.cfg");

/// The options of the replicas in the head of the configuration.
const OPTIONS: [&str; 6] =
    ["--health", "/healthz", "--trusted-proxy", "127.0.0.1", "--idle-timeout", "60"];

/// The sites of three machines: the same files, with equal modification times.
fn sites() -> [Site; 3] {
    [(); 3].map(|()| {
        let site = Site::new();
        site.set_modified("page.html", SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        site
    })
}

fn replica(setup: &'static Setup, site: &Site, port: u16, log: &str) -> Server {
    let port = port.to_string();
    let options = [&OPTIONS[..], &["--port", &port, "--log", log]].concat();
    Server::start(setup, site.root(), &options)
}

fn start(replicas: [SocketAddr; 3]) -> Option<Proxy> {
    let program = program("haproxy")?;
    let mut proxy = Proxy::start(&program, &["-db", "-f"], |_, _| {
        let [a, b, c] = replicas.map(|address| address.to_string());
        replaced(
            CONFIGURATION,
            &[
                ("bind :80", "bind fd@3"),
                ("127.0.0.1:8081", &a),
                ("127.0.0.1:8082", &b),
                ("127.0.0.1:8083", &c),
            ],
        )
    });
    proxy.wait_until_ready("/page.html");
    Some(proxy)
}

#[test]
fn replacing_three_replicas_one_at_a_time_loses_no_request() {
    let sites = sites();
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let mut replicas = sites.each_ref().map(|site| replica(setup, site, 0, "common"));
        let Some(proxy) = start(replicas.each_ref().map(|replica| replica.address)) else { return };
        under_load(proxy.address, &sites[0], setup, |load| {
            for (replica, site) in replicas.iter_mut().zip(&sites) {
                load.wait();
                replica.signal(Signal::TERM);
                assert!(replica.wait().success(), "{}", setup.name);
                *replica = self::replica(setup, site, replica.address.port(), "common");
                let first = replica.output.next();
                assert!(first.is_some(), "{}: HAProxy uses the new replica", setup.name);
            }
            load.wait();
        });
    }
}

#[test]
fn the_log_has_the_addresses_of_clients_of_haproxy() {
    let sites = sites();
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let replicas = sites.each_ref().map(|site| replica(setup, site, 0, "common"));
        let Some(proxy) = start(replicas.each_ref().map(|replica| replica.address)) else { return };
        let client = Ipv4Addr::new(127, 0, 7, 7);
        for _ in &replicas {
            let mut peer = Peer::connect_from(client, proxy.address);
            let forged = "X-Forwarded-For: 203.0.113.1\r\n\r\n";
            peer.send(get("/page.html").replace("\r\n\r\n", &format!("\r\n{forged}")));
            assert_eq!(peer.response().status, 200);
        }
        for replica in &replicas {
            let lines = replica.output.until(|line| !line.starts_with("127.0.0.1 "));
            let line = lines.last().expect("each replica got a request of the client");
            assert!(line.starts_with(&format!("{client} ")), "{}: {line}", setup.name);
        }
    }
}
