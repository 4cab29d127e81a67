//! Slow and failing disks: the response to the affected request, and the effect on other clients.

#[path = "../support/mod.rs"]
mod support;

mod disk;
mod measure;

use std::io::ErrorKind;
use std::time::Duration;

use disk::{Disk, LARGE_BYTES, LATE_BYTES, SMALL_BYTES, TORN};
use support::{End, Peer, Response, Server, Site, get, get_with, patterned, setups, wait_until};

/// A site and, next to it, a slow disk mounted at `disk`.
fn site_and_slow_disk() -> Option<(Site, Disk)> {
    let site = Site::new();
    std::fs::create_dir(site.beside("disk")).expect("the test owns the directory");
    let disk = Disk::mount(&site.beside("disk"))?;
    Some((site, disk))
}

/// A site whose directory `bare` is on a slow disk.
fn site_with_slow_directory() -> Option<(Site, Disk)> {
    let site = Site::new();
    let disk = Disk::mount(&site.path("bare"))?;
    Some((site, disk))
}

#[track_caller]
fn expect_served(server: &Server, path: &str) {
    expect_page(&server.get(path), &server.greeting);
}

#[track_caller]
fn expect_page(response: &Response, what: &str) {
    assert_eq!(response.status, 200, "{what}");
    assert!(response.body == patterned(SMALL_BYTES), "{what}: wrong body");
}

#[test]
fn a_failed_open_is_a_500_and_the_connection_stays_open() {
    let Some((site, _disk)) = site_and_slow_disk() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &["--list"]);
        let mut peer = server.connect();
        for path in ["/eio-open-0.html", "/eio-open-0.bin", "/eio-open-0.html"] {
            assert_eq!(peer.get(path).status, 500, "{setup:?} {path}");
        }
        // Opening this directory succeeds, reading its entries fails.
        assert_eq!(peer.get("/").status, 500, "{setup:?}");
        expect_page(&peer.get("/fast-0.html"), setup.name);
        assert_eq!(peer.get("/missing.html").status, 404, "{setup:?}");
    }
}

#[test]
fn a_failed_read_before_the_head_is_sent_is_a_500() {
    let Some((site, _disk)) = site_and_slow_disk() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut peer = server.connect();
        for _ in 0..2 {
            assert_eq!(peer.get("/eio-read-0.html").status, 500, "{setup:?}");
        }
        expect_page(&peer.get("/fast-0.html"), setup.name);
        // Reading the compressed form fails, so the server sends the plain one.
        expect_page(&peer.get_with("/fast-0.html", &["Accept-Encoding: gzip"]), setup.name);
    }
}

/// A failed read after the head closes the connection. Otherwise the client would take the next
/// response for the rest of the body.
#[test]
fn a_failed_read_after_the_head_is_sent_truncates_the_body_and_closes_the_connection() {
    let Some((site, _disk)) = site_and_slow_disk() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut bystander = setup.serves_concurrently().then(|| server.connect());
        if let Some(bystander) = &mut bystander {
            assert_eq!(bystander.get("/fast-0.html").status, 200, "{setup:?}");
        }
        for (path, bytes_max) in [("/eio-read-0.bin", 0), ("/eio-late-0.bin", LATE_BYTES)] {
            let mut peer = server.connect();
            // The pipelined second request gets no response.
            peer.send(get(path) + &get("/fast-0.html"));
            let response = peer.response_to_head();
            assert_eq!(
                (response.status, response.content_length()),
                (200, LARGE_BYTES as u64),
                "{setup:?} {path}"
            );
            let (body, end) = peer.rest();
            assert_eq!(end, End::Clean, "{setup:?} {path}");
            assert!(body.len() <= bytes_max, "{setup:?} {path}: {} bytes", body.len());
            assert!(patterned(LARGE_BYTES).starts_with(&body), "{setup:?} {path}: other bytes");
            assert!(bytes_max == 0 || !body.is_empty(), "{setup:?} {path}");
        }
        // A readable range of the same file is served.
        let part = server.ask(get_with("/eio-late-0.bin", &["Range: bytes=1000-69999"]));
        assert_eq!(part.status, 206, "{setup:?}");
        assert!(part.body == patterned(LARGE_BYTES)[1000..70_000], "{setup:?}: other bytes");
        if let Some(bystander) = &mut bystander {
            expect_page(&bystander.get("/fast-0.html"), setup.name);
        }
        drop(bystander);
        expect_served(&server, "/fast-1.html");
    }
}

/// A file that is overwritten in place, within one tick of the clock, may be read half-way: its
/// version is the same before and after. The client must get the whole content later.
#[test]
fn a_body_that_was_read_while_the_file_was_written_is_never_confirmed() {
    let Some((site, _disk)) = site_and_slow_disk() else {
        return;
    };
    for (number, setup) in setups().enumerate() {
        let server = Server::start(setup, site.beside("disk"), &["--compress", "off"]);
        let path = format!("/torn-{number}.html");
        let torn = server.get(&path);
        assert!(torn.body.starts_with(TORN), "{setup:?}");
        let tag = torn.required("ETag").trim_start_matches("W/").to_owned();
        for tag in [format!("W/{tag}"), tag] {
            let whole = wait_until("the whole content", || {
                let response = server.ask(get_with(&path, &[&format!("If-None-Match: {tag}")]));
                // The server may still have the torn content in memory.
                (response.status == 200).then_some(response)
            });
            assert!(whole.body == patterned(SMALL_BYTES), "{setup:?}");
            assert_ne!(whole.required("ETag"), torn.required("ETag"), "{setup:?}");
        }
        assert_eq!(torn.field("Last-Modified"), None, "{setup:?}");
    }
}

#[track_caller]
fn expect_nothing_yet(peer: &mut Peer, name: &str) {
    peer.stream.set_nonblocking(true).expect("sockets support non-blocking mode");
    let peeked = peer.stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(peeked, Err(ErrorKind::WouldBlock), "{name}: the request was not held");
    peer.stream.set_nonblocking(false).expect("sockets support blocking mode");
}

/// Sends requests for several files that the disk holds, and expects that `other` is served while
/// they wait.
#[track_caller]
fn expect_others_served(
    server: &Server,
    disk: &Disk,
    path: impl Fn(usize) -> String,
    other: &str,
    name: &str,
) {
    const HELD: usize = 8;
    let hold = disk.hold();
    let mut waiting: Vec<Peer> = (0..HELD)
        .map(|number| {
            let mut peer = server.connect();
            peer.send(get(&path(number)));
            peer
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(server.get(other).status, 200, "{name}");
    }
    for peer in &mut waiting {
        expect_nothing_yet(peer, name);
    }
    drop(hold);
    for peer in &mut waiting {
        assert_eq!(peer.response().status, 200, "{name}");
    }
}

#[test]
fn a_slow_file_does_not_delay_other_requests() {
    let Some((site, disk)) = site_and_slow_disk() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.beside("disk"), &[]);
        // An offload thread that has finished a job must count as one idle thread, not as two.
        expect_served(&server, "/fast-0.html");
        for kind in ["open", "lookup", "read"] {
            let (path, name) = (|n| format!("/held-{kind}-{n}.html"), format!("{setup:?}, {kind}"));
            expect_others_served(&server, &disk, path, "/fast-0.html", &name);
        }
    }
}

/// The server reads the body of a file that is too large for its cache while it sends it.
#[test]
fn a_slow_read_of_a_large_file_does_not_delay_other_requests() {
    const HELD: usize = 8;
    let Some((site, disk)) = site_and_slow_disk() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let hold = disk.hold();
        let mut waiting: Vec<Peer> = (0..HELD).map(|_| server.connect()).collect();
        for (number, peer) in waiting.iter_mut().enumerate() {
            peer.send(get(&format!("/held-read-{number}.bin")));
        }
        // The server sends the head after at most 200 ms, even if no byte of the body is read.
        for peer in &mut waiting {
            assert_eq!(peer.response_to_head().content_length(), LARGE_BYTES as u64, "{setup:?}");
        }
        (0..5).for_each(|number| expect_served(&server, &format!("/fast-{number}.html")));
        waiting.iter_mut().for_each(|peer| expect_nothing_yet(peer, setup.name));
        drop(hold);
        for peer in &mut waiting {
            assert!(peer.take(LARGE_BYTES) == patterned(LARGE_BYTES), "{setup:?}: other bytes");
            // The connection stays open.
            expect_page(&peer.get("/fast-0.html"), setup.name);
        }
    }
}

#[test]
fn a_full_offload_pool_is_a_503_with_the_headers_of_its_path() {
    // The limits of the pool that docs/RELIABILITY.md names.
    const THREADS_MAX: usize = 64;
    const QUEUED_JOBS_MAX: usize = 1024;
    let Some((site, disk)) = site_and_slow_disk() else {
        return;
    };
    const ORIGIN: &str = "https://app.example";
    let options = [
        "--cors-origin",
        ORIGIN,
        "--header=X-A: b",
        "--header=/held-* X-B: c",
        "--header=/fast-* X-D: e",
    ];
    for setup in setups().filter(|setup| setup.event_loops > 0) {
        let server = Server::start(setup, site.beside("disk"), &options);
        let hold = disk.hold();
        let send = |number| {
            let mut peer = server.connect();
            let path = format!("/held-open-{number}.html");
            peer.send(get_with(&path, &[&format!("Origin: {ORIGIN}")]));
            peer
        };
        let mut waiting: Vec<Peer> = (0..THREADS_MAX + QUEUED_JOBS_MAX).map(send).collect();
        // The last of these requests may not have reached the pool yet.
        let refusal = support::wait_until("a refusal", || {
            let mut peer = send(waiting.len());
            let set_timeout = |peer: &Peer, timeout| {
                peer.stream.set_read_timeout(Some(timeout)).expect("the timeout is not zero")
            };
            set_timeout(&peer, Duration::from_millis(100));
            let is_refused = peer.stream.peek(&mut [0]).is_ok();
            set_timeout(&peer, support::TIMEOUT);
            if is_refused {
                return Some(peer.response());
            }
            waiting.push(peer);
            None
        });
        assert_eq!((refusal.status, refusal.field("Retry-After")), (503, Some("1")), "{setup:?}");
        assert_eq!(refusal.field("Access-Control-Allow-Origin"), Some(ORIGIN), "{setup:?}");
        assert_eq!(refusal.list("Vary"), ["Origin"], "{setup:?}");
        let found = ["X-A", "X-B", "X-D"].map(|name| refusal.field(name));
        assert_eq!(found, [Some("b"), Some("c"), None], "{setup:?}");
        drop(hold);
        // Several loops submit in any order, and a thread may be slow to take its first job.
        let statuses = waiting.iter_mut().map(|peer| peer.response().status);
        let (accepted, refused): (Vec<u16>, _) = statuses.partition(|status| *status == 200);
        assert!(refused.iter().all(|status| *status == 503), "{setup:?}: {refused:?}");
        let expected = QUEUED_JOBS_MAX..=THREADS_MAX + QUEUED_JOBS_MAX;
        assert!(expected.contains(&accepted.len()), "{setup:?}: {} jobs", accepted.len());
    }
}

/// More panics than the offload pool has threads. A response to the last requests needs one.
#[test]
fn a_panic_while_a_large_file_is_read_costs_one_connection() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: release builds have no trigger for a panic");
        return;
    }
    let Some((site, _disk)) = site_and_slow_disk() else {
        return;
    };
    // The others send it by sendfile.
    for setup in setups().filter(|setup| setup.event_loops > 0) {
        let mut command = Server::command(setup, site.beside("disk"), &["--log", "json"]);
        command.env("MINIWEB_PANIC_AT", "file chunk");
        let mut server = Server::run(command);
        server.may_print_errors = true;
        for _ in 0..70 {
            let mut peer = server.connect();
            peer.send(get("/fast-0.bin"));
            assert!(peer.rest().0.len() < LARGE_BYTES, "{setup:?}");
        }
        let line = server.output.next().expect("the request is logged");
        assert!(line.contains("/fast-0.bin") && line.contains("\"complete\":false"), "{line}");
        expect_served(&server, "/fast-0.html");
        server.errors.until(|line| line.starts_with("error: bug: panicked at src/"));
    }
}

/// A signal cannot interrupt a thread that waits for a disk, so another thread must handle it.
#[test]
fn shutdown_begins_while_a_serving_thread_waits_for_a_disk() {
    let Some((site, disk)) = site_and_slow_disk() else {
        return;
    };
    for (number, setup) in setups().enumerate() {
        let mut server = Server::start(setup, site.beside("disk"), &["--shutdown-timeout", "0.2"]);
        let hold = disk.hold();
        let mut peer = server.connect();
        peer.send(get(&format!("/held-open-{}.html", 100 + number)));
        hold.wait_for_one();
        server.signal(rustix::process::Signal::TERM);
        wait_until("the port is closed", || {
            std::net::TcpStream::connect(server.address).is_err().then_some(())
        });
        drop(hold);
        server.wait();
    }
}

#[test]
fn ranges_of_a_large_file_are_the_same_under_every_strategy() {
    let Some((site, _disk)) = site_and_slow_disk() else {
        return;
    };
    let bodies = setups().map(|setup| {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut peer = server.connect();
        // Pipelined, so that file ranges and cached bodies alternate in the output queue.
        let several = get_with("/fast-1.bin", &["Range: bytes=0-99999,500000-700000,-3"]);
        peer.send(several + &get("/fast-0.html") + &get("/fast-2.bin") + &get("/fast-1.html"));
        let parts = peer.response();
        assert_eq!(parts.status, 206, "{setup:?}");
        expect_page(&peer.response(), setup.name);
        assert!(peer.response().body == patterned(LARGE_BYTES), "{setup:?}: other bytes");
        expect_page(&peer.response(), setup.name);
        parts.body
    });
    let bodies: Vec<_> = bodies.collect();
    assert!(memchr::memmem::find(&bodies[0], &patterned(LARGE_BYTES)[500_000..=700_000]).is_some());
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the bodies differ between strategies");
}

#[test]
fn a_slow_disk_mounted_below_the_root_does_not_delay_other_requests() {
    let Some((site, disk)) = site_with_slow_directory() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.root(), &[]);
        // The server serves files of a mounted file system.
        expect_served(&server, "/bare/fast-0.html");
        let (path, name) = (|n| format!("/bare/held-open-{n}.html"), format!("{setup:?}"));
        expect_others_served(&server, &disk, path, "/page.html", &name);
    }
}

/// To find out that it leads out of the root, the server must not follow a link: event loops would
/// wait for what is there.
#[test]
fn a_link_to_a_slow_disk_outside_the_root_delays_nobody() {
    let Some((site, disk)) = site_and_slow_disk() else {
        return;
    };
    site.link("page", site.beside("disk/held-lookup-0.html"));
    site.link("directory", site.beside("disk/held-lookup-1.html"));
    site.link("bare/listed", site.beside("disk/held-lookup-2.html"));
    site.link("chain", site.path("page"));
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--list"]);
        let hold = disk.hold();
        for path in ["/page", "/directory/", "/directory/page.html", "/chain"] {
            assert_eq!(server.get(path).status, 404, "{setup:?} {path}");
        }
        assert_eq!(server.get("/bare/").status, 200, "{setup:?}");
        drop(hold);
    }
}
