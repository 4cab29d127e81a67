//! A disk that is slow or fails: what that does to the answer, and to everybody else.

#[path = "../support/mod.rs"]
mod support;

mod disk;
mod measure;

use std::io::ErrorKind;

use disk::{Disk, LARGE_BYTES, LATE_BYTES, SMALL_BYTES};
use support::{End, Peer, Response, Server, Site, get, get_with, patterned, setups};

/// A site on a disk of that kind.
fn site_on_it() -> Option<(Site, Disk)> {
    let site = Site::new();
    std::fs::create_dir(site.beside("disk")).expect("a folder can be made");
    let disk = Disk::mount(&site.beside("disk"))?;
    Some((site, disk))
}

/// An ordinary site, and a folder of it on a disk of that kind.
fn site_with_a_folder_on_it() -> Option<(Site, Disk)> {
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
fn what_cannot_be_opened_is_a_500_and_the_connection_goes_on() {
    let Some((site, _disk)) = site_on_it() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &["--list"]);
        let mut peer = server.connect();
        for path in ["/eio-open-0.html", "/eio-open-0.bin", "/eio-open-0.html"] {
            assert_eq!(peer.get(path).status, 500, "{setup:?} {path}");
        }
        // A folder that can be opened and not be read.
        assert_eq!(peer.get("/").status, 500, "{setup:?}");
        expect_page(&peer.get("/fast-0.html"), setup.name);
        assert_eq!(peer.get("/missing.html").status, 404, "{setup:?}");
    }
}

#[test]
fn what_cannot_be_read_is_a_500_while_the_head_is_not_out() {
    let Some((site, _disk)) = site_on_it() else {
        return;
    };
    for setup in setups() {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut peer = server.connect();
        for _ in 0..2 {
            assert_eq!(peer.get("/eio-read-0.html").status, 500, "{setup:?}");
        }
        expect_page(&peer.get("/fast-0.html"), setup.name);
        // The compressed form that lies beside the page can't be read; the page can.
        expect_page(&peer.get_with("/fast-0.html", &["Accept-Encoding: gzip"]), setup.name);
    }
}

/// What fails behind the head ends the connection: the next answer must not land inside of the
/// promised length.
#[test]
fn a_body_that_fails_on_its_way_ends_short_with_its_connection() {
    let Some((site, _disk)) = site_on_it() else {
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
            // What is asked for behind it is not answered.
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
        // A part of it that can be read is sent.
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
    assert_eq!(peeked, Err(ErrorKind::WouldBlock), "{name}: nobody was held");
    peer.stream.set_nonblocking(false).expect("a socket");
}

/// Asks for `path` as often as that, without waiting for the answers, and then for what is at hand.
#[track_caller]
fn expect_no_one_else_waits(
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
fn a_file_that_takes_its_time_holds_up_nobody_else() {
    let Some((site, disk)) = site_on_it() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.beside("disk"), &[]);
        // A helper that has had work before must not be taken for two.
        expect_it_serves(&server, "/fast-0.html");
        for kind in ["open", "lookup", "read"] {
            let (path, name) = (|n| format!("/held-{kind}-{n}.html"), format!("{setup:?}, {kind}"));
            expect_no_one_else_waits(&server, &disk, path, "/fast-0.html", &name);
        }
    }
}

/// A body that is larger than what is kept in memory is read while it is sent.
#[test]
fn a_large_file_that_takes_its_time_to_read_holds_up_nobody_else() {
    const HELD: usize = 8;
    let Some((site, disk)) = site_on_it() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let hold = disk.hold();
        let mut waiting: Vec<Peer> = (0..HELD).map(|_| server.connect()).collect();
        for (number, peer) in waiting.iter_mut().enumerate() {
            peer.send(get(&format!("/held-read-{number}.bin")));
        }
        // A head waits for the first of its body, a fifth of a second at most.
        for peer in &mut waiting {
            assert_eq!(peer.response_to_head().content_length(), LARGE_BYTES as u64, "{setup:?}");
        }
        (0..5).for_each(|number| expect_it_serves(&server, &format!("/fast-{number}.html")));
        waiting.iter_mut().for_each(|peer| expect_nothing_yet(peer, setup.name));
        drop(hold);
        for peer in &mut waiting {
            assert!(peer.take(LARGE_BYTES) == patterned(LARGE_BYTES), "{setup:?}: other bytes");
            // And the connection goes on.
            expect_page(&peer.get("/fast-0.html"), setup.name);
        }
    }
}

/// A thread that waits for a disk can't be woken. The signal must reach another.
#[test]
fn a_stop_is_begun_while_a_disk_holds_the_thread_that_serves() {
    let Some((site, disk)) = site_on_it() else {
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
fn parts_of_a_large_file_are_the_same_under_every_strategy() {
    let Some((site, _disk)) = site_on_it() else {
        return;
    };
    let bodies = setups().map(|setup| {
        let server = Server::start(setup, site.beside("disk"), &[]);
        let mut peer = server.connect();
        // Behind each other: files and what is in memory take turns in the queue.
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
fn a_slow_disk_further_down_holds_up_nobody_else() {
    let Some((site, disk)) = site_with_a_folder_on_it() else {
        return;
    };
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let server = Server::start(setup, site.root(), &[]);
        // What lies beyond a mount is served like the rest.
        expect_it_serves(&server, "/bare/fast-0.html");
        let (path, name) = (|n| format!("/bare/held-open-{n}.html"), format!("{setup:?}"));
        expect_no_one_else_waits(&server, &disk, path, "/page.html", &name);
    }
}
