//! Slow and failing disks: the response to the client, and the effect on other clients.

#[path = "../support/mod.rs"]
mod support;

mod disk;
mod measure;

use std::io::ErrorKind;

use disk::{Disk, LARGE_BYTES, LATE_BYTES, SMALL_BYTES};
use support::{End, Peer, Response, Server, Site, get, get_with, patterned, setups};

/// A site on the slow file system.
fn slow_site() -> Option<(Site, Disk)> {
    let site = Site::new();
    std::fs::create_dir(site.beside("disk")).expect("a directory can be created");
    let disk = Disk::mount(&site.beside("disk"))?;
    Some((site, disk))
}

/// An ordinary site with one directory on the slow file system.
fn site_with_slow_directory() -> Option<(Site, Disk)> {
    let site = Site::new();
    let disk = Disk::mount(&site.path("bare"))?;
    Some((site, disk))
}

#[track_caller]
fn expect_it_serves(server: &Server, path: &str) {
    expect_page(&server.get(path), &server.greeting);
}

#[track_caller]
fn expect_page(response: &Response, what: &str) {
    assert_eq!(response.status, 200, "{what}");
    assert!(response.body == patterned(SMALL_BYTES), "{what}: another body");
}

#[test]
fn a_file_that_cannot_be_opened_is_a_500_and_the_connection_persists() {
    let Some((site, _disk)) = slow_site() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &["--list"]);
        let mut peer = server.connect();
        for path in ["/eio-open-0.html", "/eio-open-0.bin", "/eio-open-0.html"] {
            assert_eq!(peer.get(path).status, 500, "{setup:?} {path}");
        }
        // A directory that can be opened and not read.
        assert_eq!(peer.get("/").status, 500, "{setup:?}");
        expect_page(&peer.get("/fast-0.html"), setup.name);
        assert_eq!(peer.get("/missing.html").status, 404, "{setup:?}");
    }
}

#[test]
fn a_read_error_before_the_head_is_sent_is_a_500() {
    let Some((site, _disk)) = slow_site() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut peer = server.connect();
        for _ in 0..2 {
            assert_eq!(peer.get("/eio-read-0.html").status, 500, "{setup:?}");
        }
        expect_page(&peer.get("/fast-0.html"), setup.name);
        // The sidecar of the page cannot be read; the page itself can.
        expect_page(&peer.get_with("/fast-0.html", &["Accept-Encoding: gzip"]), setup.name);
    }
}

/// A failure after the head closes the connection: the next response must not begin within the
/// promised length.
#[test]
fn a_read_error_in_a_body_closes_the_connection() {
    let Some((site, _disk)) = slow_site() else {
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
            // The request that follows gets no response.
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
        // A range that can be read is sent.
        let part = server.ask(get_with("/eio-late-0.bin", &["Range: bytes=1000-69999"]));
        assert_eq!(part.status, 206, "{setup:?}");
        assert!(part.body == patterned(LARGE_BYTES)[1000..70_000], "{setup:?}: other bytes");
        if let Some(bystander) = &mut bystander {
            expect_page(&bystander.get("/fast-0.html"), setup.name);
        }
        drop(bystander);
        expect_it_serves(&server, "/fast-1.html");
    }
}

#[track_caller]
fn expect_nothing_yet(peer: &mut Peer, name: &str) {
    peer.stream.set_nonblocking(true).expect("a socket");
    let peeked = peer.stream.peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(peeked, Err(ErrorKind::WouldBlock), "{name}: no call was held");
    peer.stream.set_nonblocking(false).expect("a socket");
}

/// Requests `path` several times without waiting for the responses, and then a fast file.
#[track_caller]
fn expect_others_are_served(
    server: &Server,
    held: &Disk,
    path: impl Fn(usize) -> String,
    others: &str,
    name: &str,
) {
    const HELD: usize = 8;
    let hold = held.hold();
    let mut waiting: Vec<Peer> = (0..HELD)
        .map(|number| {
            let mut peer = server.connect();
            peer.send(get(&path(number)));
            peer
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(server.get(others).status, 200, "{name}");
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
fn a_slow_file_delays_no_other_client() {
    let Some((site, disk)) = slow_site() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.beside("disk"), &[]);
        // An offload thread that has worked before must not be counted as two.
        expect_it_serves(&server, "/fast-0.html");
        for kind in ["open", "lookup", "read"] {
            let (path, name) = (|n| format!("/held-{kind}-{n}.html"), format!("{setup:?}, {kind}"));
            expect_others_are_served(&server, &disk, path, "/fast-0.html", &name);
        }
    }
}

/// A body larger than the cache's limit is read while it is sent.
#[test]
fn a_large_file_that_is_slow_to_read_delays_no_other_client() {
    const HELD: usize = 8;
    let Some((site, disk)) = slow_site() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let hold = disk.hold();
        let mut waiting: Vec<Peer> = (0..HELD).map(|_| server.connect()).collect();
        for (number, peer) in waiting.iter_mut().enumerate() {
            peer.send(get(&format!("/held-read-{number}.bin")));
        }
        // The head waits for the first bytes of the body, a fifth of a second at most.
        for peer in &mut waiting {
            assert_eq!(peer.response_to_head().content_length(), LARGE_BYTES as u64, "{setup:?}");
        }
        (0..5).for_each(|number| expect_it_serves(&server, &format!("/fast-{number}.html")));
        waiting.iter_mut().for_each(|peer| expect_nothing_yet(peer, setup.name));
        drop(hold);
        for peer in &mut waiting {
            assert!(peer.take(LARGE_BYTES) == patterned(LARGE_BYTES), "{setup:?}: other bytes");
            // The connection persists.
            expect_page(&peer.get("/fast-0.html"), setup.name);
        }
    }
}

/// A thread that waits for a disk cannot be woken, so the signal must reach another thread.
#[test]
fn a_shutdown_begins_while_a_thread_waits_for_the_disk() {
    let Some((site, disk)) = slow_site() else {
        return;
    };
    for (number, setup) in setups().enumerate() {
        let mut server = Server::start(setup, site.beside("disk"), &["--shutdown-timeout", "0.2"]);
        let hold = disk.hold();
        let mut peer = server.connect();
        peer.send(get(&format!("/held-open-{}.html", 100 + number)));
        hold.wait_for_one();
        server.signal(rustix::process::Signal::TERM);
        support::wait_until("the port is closed", || {
            std::net::TcpStream::connect(server.address).is_err().then_some(())
        });
        drop(hold);
        server.wait();
    }
}

#[test]
fn ranges_of_a_large_file_are_identical_under_every_strategy() {
    let Some((site, _disk)) = slow_site() else {
        return;
    };
    let bodies = setups().map(|setup| {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut peer = server.connect();
        // Pipelined, so that files and cached bodies alternate in the output queue.
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
    assert!(bodies.iter().all(|body| *body == bodies[0]), "they differ");
}

#[test]
fn a_slow_mount_beneath_the_root_delays_no_other_client() {
    let Some((site, disk)) = site_with_slow_directory() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.root(), &[]);
        // Files beyond a mount point are served like others.
        expect_it_serves(&server, "/bare/fast-0.html");
        let (path, name) = (|n| format!("/bare/held-open-{n}.html"), format!("{setup:?}"));
        expect_others_are_served(&server, &disk, path, "/page.html", &name);
    }
}
