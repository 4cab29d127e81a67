//! The admin listener: health, readiness, and metrics that agree with what clients have seen.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::case::{Case, cases};
use crate::support::{
    Admin, Metrics, Peer, Server, Setup, Site, get, get_with, head, is_encrypted, shown, wait_until,
};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        it_serves_health_readiness_and_metrics_only,
        the_public_port_does_not_serve_its_paths,
        promtool_accepts_the_metrics,
        every_response_is_counted_once_with_its_status_and_bytes,
        the_counters_agree_with_the_log,
        connections_evictions_and_timeouts_are_counted,
        the_cache_is_counted,
        the_cache_stays_within_its_size,
        a_root_that_is_a_file_is_one_entry,
        readiness_ends_with_the_first_signal_and_health_with_the_process,
        it_responds_while_the_site_is_at_its_connection_limit,
        stalled_clients_do_not_keep_others_out,
        a_unix_socket_is_for_its_group_and_is_removed_at_the_end,
        only_a_stale_socket_is_replaced,
        it_works_without_privileges,
    ];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        rejected_connections_are_counted,
        all_workers_and_children_count_together_while_it_answers,
    ];
    let forking = cases![if |setup| setup.forks;
        a_killed_child_does_not_count_as_an_open_connection];
    let per_connection = cases![if |setup| serves_each_connection_separately(setup);
        the_caches_of_threads_and_children_are_freed_after_a_peak];
    [everywhere, concurrent, forking, per_connection].concat()
}

/// Whether each connection has a thread or a process of its own.
fn serves_each_connection_separately(setup: &Setup) -> bool {
    setup.event_loops == 0 && setup.concurrency == usize::MAX
}

fn start(setup: &'static Setup, site: &Site, options: &[&str]) -> (Server, Admin) {
    let server = Server::start(setup, site.root(), &[&[Admin::OPTION], options].concat());
    let admin = Admin::of(&server);
    (server, admin)
}

fn it_serves_health_readiness_and_metrics_only(setup: &'static Setup) {
    let site = Site::new();
    let name = ["--server-name=example.org", "--auth-file"];
    let hash = "user:$2y$04$abcdefghijklmnopqrstuuQ4r1bGr0oJ8b7zq6yPzqzWbN1pQJQ5S";
    let users = site.write_beside("users", hash);
    std::fs::set_permissions(&users, Permissions::from_mode(0o600)).expect("it is the test's");
    let users = users.to_str().expect("the path is UTF-8");
    // The options that protect the site do not apply to it.
    let (_server, admin) = start(setup, &site, &[&name[..], &[users]].concat());
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n"), ("/readyz?x", "ready\n")] {
        let response = admin.get(path);
        assert_eq!((response.status, shown(&response.body)), (200, shown(body.as_bytes())));
        assert_eq!(response.required("Content-Type"), "text/plain; charset=utf-8");
        assert_eq!(response.required("Cache-Control"), "no-store");
    }
    let metrics = admin.get("/metrics");
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!((metrics.status, metrics.required("Content-Type")), (200, media_type));
    assert_eq!(admin.ask(head(&get("/healthz"))).required("Content-Length"), "3");
    for path in ["/", "/page.html", "/metrics/", "/healthz/x", "/%68ealthz"] {
        assert_eq!(admin.get(path).status, 404, "{path}");
    }
    for method in ["POST", "OPTIONS", "DELETE"] {
        let response = admin.ask(get("/metrics").replacen("GET", method, 1));
        assert_eq!((response.status, response.required("Allow")), (405, "GET, HEAD"));
    }
    for (request, status) in [
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET healthz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /healthz HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ] {
        assert_eq!(admin.ask(request).status, status, "{request:?}");
    }
    let long = format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(admin.ask(long).status, 431);
    let metrics = admin.metrics();
    assert_eq!(metrics.get("miniweb_connections_accepted_total"), 0.0);
    let info = metrics.beginning_with("miniweb_build_info");
    let label = format!("version=\"{}\",strategy=\"", env!("CARGO_PKG_VERSION"));
    assert!(info.len() == 1 && info.keys().all(|info| info.contains(&label)), "{info:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    let started = metrics.get("process_start_time_seconds");
    assert!((0.0..60.0).contains(&(now.as_secs_f64() - started)), "{started}");
}

fn the_public_port_does_not_serve_its_paths(setup: &'static Setup) {
    let site = Site::new();
    let (server, _) = start(setup, &site, &[]);
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

fn promtool_accepts_the_metrics(setup: &'static Setup) {
    let site = Site::new();
    let (server, admin) = start(setup, &site, &[]);
    assert_eq!(server.get("/page.html").status, 200);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.stdout(Stdio::piped()).spawn() else {
        return eprintln!("skipped: promtool is not installed");
    };
    let mut input = promtool.stdin.take().expect("stdin is piped");
    std::io::Write::write_all(&mut input, &admin.get("/metrics").body).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let complaints = [output.stdout, output.stderr].concat();
    assert_eq!((output.status.success(), shown(&complaints)), (true, String::new()));
}

/// The samples of responses by status code.
fn responses(counts: &[(u16, u64)]) -> BTreeMap<String, u64> {
    let sample = |code| format!("miniweb_responses_total{{code=\"{code}\"}}");
    counts.iter().map(|(code, count)| (sample(code), *count)).collect()
}

#[track_caller]
fn expect_responses(admin: Admin, counts: &[(u16, u64)]) -> Metrics {
    let expected = responses(counts);
    let counted = |metrics: &Metrics| {
        let samples = metrics.beginning_with("miniweb_responses_total");
        samples
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect::<BTreeMap<_, _>>()
    };
    let started = std::time::Instant::now();
    loop {
        let metrics = admin.metrics();
        if counted(&metrics) == expected {
            return metrics;
        }
        assert!(started.elapsed() < crate::support::TIMEOUT, "{:?}", counted(&metrics));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn every_response_is_counted_once_with_its_status_and_bytes(setup: &'static Setup) {
    let site = Site::new();
    site.write("large.bin", vec![7; 300_000]);
    let (server, admin) = start(setup, &site, &["--header-timeout=0.5"]);
    expect_responses(admin, &[(200, 0)]);
    let mut received = 0;
    let mut exchange = |request: &str| {
        let mut peer = server.connect();
        peer.send(request);
        received += peer.rest().0.len();
    };
    let close = |request: String| request.replace("Host: h", "Host: h\r\nConnection: close");
    let tag = server.get("/page.html").required("ETag").to_owned();
    let (mut not_modified, mut ok) = (0, 1);
    for _ in 0..5 {
        exchange(&close(get("/page.html")));
        exchange(&close(get("/large.bin")));
        exchange(&close(head(&get("/large.bin"))));
        // Pipelined on one connection.
        exchange(&[get("/page.html"), get("/docs/"), close(get("/page.html"))].concat());
        ok += 6;
        exchange(&close(get_with("/page.html", &[&format!("If-None-Match: {tag}")])));
        not_modified += 1;
        exchange(&close(get("/missing")));
        exchange(&close(get("/page.html")).replace("Host: h\r\n", ""));
        // This one times out.
        exchange("GET /page.html HTTP/1.1\r\nHo");
    }
    let counts = [(200, ok), (304, not_modified), (400, 5), (404, 5), (408, 5)];
    let metrics = expect_responses(admin, &counts);
    assert_eq!(metrics.get("miniweb_timeouts_total{kind=\"header\"}"), 5.0);
    assert_eq!(metrics.get("miniweb_panics_total"), 0.0);
    admin.wait_for("miniweb_connections_accepted_total", 41);
    admin.wait_for("miniweb_connections_closed_total", 41);
    admin.wait_for("miniweb_connections_open", 0);
    // The first response was read with its ETag only.
    let first = admin.metrics().get("miniweb_sent_bytes_total") as usize - received;
    // Over TLS, handshakes and records count, too.
    let bytes_max = if is_encrypted(setup) { 100_000 } else { 1000 };
    assert!((100..bytes_max).contains(&first), "{first} bytes beside the other responses");
    assert!(admin.metrics().get("miniweb_syscalls_total{call=\"accept4\"}") >= 41.0);
}

fn the_counters_agree_with_the_log(setup: &'static Setup) {
    let site = Site::new();
    let mut server = {
        let options = [Admin::OPTION, "--log", "json"];
        Server::start(setup, site.root(), &options)
    };
    let greeting: serde_json::Value = serde_json::from_str(&server.greeting).expect("JSON");
    let url = greeting["admin"].as_str().expect("the admin listener is announced");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let admin = Admin(address.parse().expect("the address is numeric"));
    for path in ["/page.html", "/missing", "/page.html"] {
        server.get(path);
    }
    expect_responses(admin, &[(200, 2), (404, 1)]);
    assert_eq!(admin.get("/healthz").status, 200);
    server.signal(Signal::TERM);
    server.wait();
    let lines = server.output.rest();
    assert_eq!(lines.len(), 3, "{lines:?}");
}

fn connections_evictions_and_timeouts_are_counted(setup: &'static Setup) {
    let site = Site::new();
    let options = ["--max-connections=1", "--idle-timeout=3600", "--header-timeout=1"];
    let (server, admin) = start(setup, &site, &options);
    let mut idle = server.connect();
    assert_eq!(idle.get("/page.html").status, 200);
    admin.wait_for("miniweb_connections_open", 1);
    for evicted in 1..=3 {
        let mut next = server.connect();
        assert_eq!(next.get("/page.html").status, 200);
        std::mem::replace(&mut idle, next).expect_end();
        admin.wait_for("miniweb_connections_evicted_total", evicted);
    }
    admin.wait_for("miniweb_connections_open", 1);
    // A connection counts until it is closed, or its child reaped: the next one would evict it.
    drop(idle);
    admin.wait_for("miniweb_connections_open", 0);
    let mut silent = server.connect();
    silent.expect_end();
    admin.wait_for("miniweb_timeouts_total{kind=\"idle\"}", 1);
    admin.wait_for("miniweb_connections_open", 0);
    let mut slow = server.connect();
    slow.send("GET /page.html HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1");
    assert_eq!(slow.response().status, 200);
    slow.expect_end();
    admin.wait_for("miniweb_timeouts_total{kind=\"body\"}", 1);
    let metrics = admin.metrics();
    assert_eq!(metrics.get("miniweb_connections_evicted_total"), 3.0);
    assert_eq!(metrics.get("miniweb_timeouts_total{kind=\"header\"}"), 0.0);
    assert_eq!(metrics.get("miniweb_timeouts_total{kind=\"write\"}"), 0.0);
}

fn the_cache_is_counted(setup: &'static Setup) {
    let site = Site::new();
    let (server, admin) = start(setup, &site, &[]);
    let mut peer = server.connect();
    for _ in 0..5 {
        assert_eq!(peer.get("/page.html").status, 200);
    }
    admin.wait_for("miniweb_responses_total{code=\"200\"}", 5);
    let metrics = admin.metrics();
    let [hits, misses] = ["miniweb_cache_hits_total", "miniweb_cache_misses_total"];
    assert_eq!(metrics.get(hits) + metrics.get(misses), 5.0);
    assert!(metrics.get(misses) >= 1.0 && metrics.get("miniweb_cache_bytes") > 0.0);
    assert_eq!(metrics.get("miniweb_cache_evictions_total"), 0.0);
}

fn the_cache_stays_within_its_size(setup: &'static Setup) {
    const FILE_BYTES: usize = 7_000;
    let site = Site::new();
    let paths: Vec<String> = (0..200).map(|number| format!("/{number}.bin")).collect();
    for path in &paths {
        site.write(&path[1..], "x".repeat(FILE_BYTES));
    }
    for (size, mebibytes) in [("0", 0), ("1M", 1), ("3MiB", 3)] {
        let (server, admin) = start(setup, &site, &["--cache-size", size]);
        let mut peer = server.connect();
        for path in paths.iter().chain(&paths) {
            assert_eq!(peer.get(path).body.len(), FILE_BYTES);
        }
        // Under `process`, the child that has the cache lives as long as this connection.
        let metrics = admin.metrics();
        let cache_bytes = metrics.get("miniweb_cache_bytes");
        assert!(cache_bytes <= f64::from(mebibytes * 1024 * 1024), "{size}: {cache_bytes}");
        assert_eq!(cache_bytes == 0.0, size == "0", "{size}: {cache_bytes}");
        if size == "0" {
            assert_eq!(metrics.get("miniweb_cache_hits_total"), 0.0);
        }
    }
}

/// So a server that has had many connections does not keep the memory of their threads.
fn the_caches_of_threads_and_children_are_freed_after_a_peak(setup: &'static Setup) {
    const CONNECTIONS: usize = 40;
    let site = Site::new();
    let (server, admin) = start(setup, &site, &[]);
    let mut peers: Vec<Peer> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    peers.iter_mut().for_each(|peer| assert_eq!(peer.get("/page.html").status, 200));
    assert!(admin.metrics().get("miniweb_cache_bytes") > 0.0);
    drop(peers);
    admin.wait_for("miniweb_cache_bytes", 0);
    assert_eq!(server.get("/page.html").status, 200);
    admin.wait_for("miniweb_cache_bytes", 0);
}

/// Whichever paths are requested. Otherwise each would be loaded and compressed anew.
fn a_root_that_is_a_file_is_one_entry(setup: &'static Setup) {
    let site = Site::new();
    let file = site.write("only.html", "much of the same\n".repeat(100));
    let server = Server::start(setup, file, &[Admin::OPTION]);
    let admin = Admin::of(&server);
    let mut peer = server.connect();
    let mut cache_bytes = Vec::new();
    for paths in [0..1, 1..30] {
        for number in paths {
            assert_eq!(peer.get(&format!("/{number}/path.html")).status, 200);
        }
        cache_bytes.push(admin.metrics().get("miniweb_cache_bytes"));
    }
    assert!(cache_bytes[0] > 0.0 && cache_bytes[0] == cache_bytes[1], "{cache_bytes:?}");
}

fn rejected_connections_are_counted(setup: &'static Setup) {
    let site = Site::new();
    let (server, admin) = start(setup, &site, &["--max-connections-per-client=1"]);
    let mut open = server.connect();
    assert_eq!(open.get("/page.html").status, 200);
    for _ in 0..3 {
        let mut rejected = server.connect();
        rejected.send(get("/page.html"));
        assert_eq!(rejected.rest().0, b"");
    }
    let mut other = server.connect_from(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(other.get("/page.html").status, 200);
    admin.wait_for("miniweb_connections_rejected_total", 3);
    admin.wait_for("miniweb_connections_accepted_total", 2);
    admin.wait_for("miniweb_connections_open", 2);
}

fn all_workers_and_children_count_together_while_it_answers(setup: &'static Setup) {
    let site = Site::new();
    let (server, admin) = start(setup, &site, &[]);
    let (address, tls) = (server.address, server.tls.clone());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut peer = Peer::connect(address).with_tls(tls.as_ref());
                    assert_eq!(peer.get("/page.html").status, 200);
                    assert_eq!(peer.get("/missing").status, 404);
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(admin.get("/readyz").status, 200);
            admin.metrics();
        }
    });
    expect_responses(admin, &[(200, 200), (404, 200)]);
    admin.wait_for("miniweb_connections_accepted_total", 200);
    admin.wait_for("miniweb_connections_open", 0);
}

fn a_killed_child_does_not_count_as_an_open_connection(setup: &'static Setup) {
    let site = Site::new();
    let (server, admin) = start(setup, &site, &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").status, 200);
    admin.wait_for("miniweb_connections_open", 1);
    let children = server.processes().into_iter().map(|(id, _)| id);
    let child = children.filter(|id| *id != server.pid().as_raw_pid()).max();
    let child = child.and_then(Pid::from_raw).expect("the connection has a child");
    kill_process(child, Signal::KILL).expect("the child is running");
    peer.rest();
    admin.wait_for("miniweb_connections_open", 0);
    admin.wait_for("miniweb_connections_closed_total", 1);
    assert_eq!(admin.metrics().get("miniweb_responses_total{code=\"200\"}"), 1.0);
}

fn readiness_ends_with_the_first_signal_and_health_with_the_process(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let (mut server, admin) = start(setup, &site, &["--shutdown-timeout=60"]);
    let mut download = server.connect();
    download.send(get("/huge.bin"));
    assert_eq!(download.response_to_head().status, 200);
    assert_eq!(admin.get("/readyz").status, 200);
    server.signal(Signal::TERM);
    wait_until("the server is not ready", || {
        let response = admin.get("/readyz");
        (response.status == 503 && response.body == b"draining\n").then_some(())
    });
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.metrics().get("miniweb_connections_open"), 1.0);
    assert!(!server.has_ended());
    drop(download);
    assert!(server.wait().success());
    assert!(std::net::TcpStream::connect(admin.0).is_err());
}

fn it_responds_while_the_site_is_at_its_connection_limit(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let (server, admin) = start(setup, &site, &["--max-connections=1"]);
    let mut download = server.connect();
    download.send(get("/huge.bin"));
    assert_eq!(download.response_to_head().status, 200);
    let mut waiting = server.connect();
    waiting.send(get("/page.html"));
    for _ in 0..20 {
        assert_eq!(admin.get("/readyz").status, 200);
    }
    assert_eq!(admin.metrics().get("miniweb_connections_open"), 1.0);
    assert!(waiting.is_waiting());
}

fn stalled_clients_do_not_keep_others_out(setup: &'static Setup) {
    let site = Site::new();
    let (_server, admin) = start(setup, &site, &[]);
    let slow: Vec<Peer> = (0..40)
        .map(|number| {
            let mut peer = Peer::connect(admin.0);
            peer.send(&get("/metrics")[..number % 30]);
            peer
        })
        .collect();
    assert_eq!(admin.get("/healthz").status, 200);
    // The connections that were not closed to make room time out.
    for mut peer in slow {
        let (bytes, _) = peer.rest();
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 408 "), "{}", shown(&bytes));
    }
}

fn unix_admin(path: &Path) -> String {
    format!("--admin=unix:{}", path.display())
}

fn a_unix_socket_is_for_its_group_and_is_removed_at_the_end(setup: &'static Setup) {
    let site = Site::new();
    let path = site.beside("admin");
    let mut server = Server::start(setup, site.root(), &[&unix_admin(&path)]);
    let announced = format!("; admin on unix:{}", path.display());
    assert!(server.greeting.ends_with(&announced), "{}", server.greeting);
    let metadata = std::fs::metadata(&path).expect("the socket exists");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
    let mut peer = Peer::connect_to_unix(&path, server.address);
    assert_eq!(peer.get("/readyz").body, b"ready\n");
    peer.expect_end();
    drop(peer);
    let second = Server::command(setup, site.root(), &[&unix_admin(&path)]).output();
    let second = second.expect("the binary exists");
    let error = format!("error: --admin unix:{}: another server listens on it\n", path.display());
    assert_eq!((second.status.code(), shown(&second.stderr)), (Some(1), shown(error.as_bytes())));
    assert_eq!(Peer::connect_to_unix(&path, server.address).get("/healthz").body, b"ok\n");
    server.signal(Signal::TERM);
    server.wait();
    assert!(!path.exists());
}

fn only_a_stale_socket_is_replaced(setup: &'static Setup) {
    let site = Site::new();
    let path = site.beside("admin");
    let mut server = Server::start(setup, site.root(), &[&unix_admin(&path)]);
    server.signal_all(Signal::KILL);
    server.wait();
    wait_until("the socket refuses", || UnixStream::connect(&path).is_err().then_some(()));
    assert!(path.exists());
    let server = Server::start(setup, site.root(), &[&unix_admin(&path)]);
    assert_eq!(Peer::connect_to_unix(&path, server.address).get("/healthz").body, b"ok\n");
    let file = site.write_beside("file", "text");
    let output = Server::command(setup, site.root(), &[&unix_admin(&file)]).output();
    let output = output.expect("the binary exists");
    let error = format!("error: --admin unix:{}: expected a socket, or no file\n", file.display());
    assert_eq!((output.status.code(), shown(&output.stderr)), (Some(1), shown(error.as_bytes())));
    assert_eq!(std::fs::read(&file).expect("it still exists"), b"text");
}

fn it_works_without_privileges(setup: &'static Setup) {
    let site = Site::new();
    Command::new("chmod").args(["-R", "a+rX"]).arg(site.beside("")).status().expect("chmod runs");
    let mut options = vec!["--confine"];
    if geteuid().is_root() {
        options.extend(["--user", "nobody"]);
    } else {
        eprintln!("skipped: only root can change its user");
    }
    let (server, admin) = start(setup, &site, &options);
    assert_eq!(server.get("/page.html").status, 200);
    assert_eq!(admin.get("/readyz").status, 200);
    admin.wait_for("miniweb_responses_total{code=\"200\"}", 1);
    let path = site.beside("admin");
    let unix = unix_admin(&path);
    let options = [&options[..], &[&unix]].concat();
    let mut server = Server::start(setup, site.root(), &options);
    assert_eq!(Peer::connect_to_unix(&path, server.address).get("/healthz").body, b"ok\n");
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    // The process may not remove the socket; the next server replaces it.
    assert!(path.exists());
    let server = Server::start(setup, site.root(), &[&unix_admin(&path)]);
    assert_eq!(Peer::connect_to_unix(&path, server.address).get("/healthz").body, b"ok\n");
}
