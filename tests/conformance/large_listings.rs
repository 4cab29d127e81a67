//! Listings of directories with thousands of names: what they cost, and whom they delay.

use std::fs;
use std::io::ErrorKind;

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, get_with, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![a_change_of_a_large_directory_becomes_visible];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        other_directories_are_listed_while_a_large_one_is_made_in_every_form,
        a_large_listing_is_made_although_the_client_that_asked_first_is_gone,
    ];
    // Children share no memory, so each makes its own page.
    let in_one_process = cases![if |setup| setup.serves_concurrently() && !setup.forks;
        requests_for_one_directory_share_a_page,
        clients_that_do_not_read_hold_bounded_memory_and_keep_nobody_from_a_listing,
    ];
    // With a thread or process per connection this holds by construction.
    let in_a_loop = cases![if |setup| setup.event_loops == 1;
        other_clients_are_served_while_a_large_directory_is_read,
    ];
    [everywhere, concurrent, in_one_process, in_a_loop].concat()
}

const MIB: u64 = 1024 * 1024;

/// Every order and form of a listing.
fn forms() -> impl Iterator<Item = (String, &'static str)> {
    let orders = ["", "?order=desc", "?sort=size", "?sort=size&order=desc", "?sort=date"];
    let accepted = ["Accept: text/html", "Accept: application/json"];
    orders.into_iter().flat_map(move |order| accepted.map(|accept| (order.to_owned(), accept)))
}

fn create_files(site: &Site, directory: &str, files: usize) {
    site.directory(directory);
    for n in 0..files {
        fs::File::create(site.path(format!("{directory}/{n}"))).expect("a file can be created");
    }
}

/// The number of entries of a page.
fn rows(page: &[u8]) -> usize {
    memchr::memmem::find_iter(page, b"href=\"./").count()
}

/// Whether no byte of a response has arrived yet.
fn is_waiting(peer: &Peer) -> bool {
    peer.stream.set_nonblocking(true).expect("a socket has modes");
    let nothing =
        peer.stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    peer.stream.set_nonblocking(false).expect("a socket has modes");
    nothing
}

fn a_change_of_a_large_directory_becomes_visible(setup: &'static Setup) {
    const FILES: usize = 3_000;
    let site = Site::new();
    create_files(&site, "large", FILES);
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    assert_eq!(rows(&peer.get("/large/").body), FILES);
    site.write("large/new.txt", "x");
    wait_until("the new file is listed", || {
        (rows(&peer.get("/large/").body) == FILES + 1).then_some(())
    });
    fs::remove_dir_all(site.path("large")).expect("the test owns the directory");
    create_files(&site, "large", FILES / 2);
    wait_until("the directory that has taken its place is listed", || {
        (rows(&peer.get("/large/").body) == FILES / 2).then_some(())
    });
}

fn requests_for_one_directory_share_a_page(setup: &'static Setup) {
    const CLIENTS: usize = 32;
    const FILES: usize = 5_000;
    let site = Site::new();
    // 3 MB of HTML.
    let long = "x".repeat(240);
    (0..FILES).for_each(|n| drop(site.write(format!("large/{n}{long}"), "")));
    let server = Server::start(setup, site.root(), &["--list", "--write-timeout", "3600"]);
    let before = server.memory_bytes();
    let mut peers: Vec<Peer> = (0..CLIENTS).map(|_| server.connect()).collect();
    peers.iter_mut().for_each(|peer| peer.send(get("/large/")));
    let lengths: Vec<u64> = peers
        .iter_mut()
        .map(|peer| {
            let response = peer.response_to_head();
            assert_eq!(response.status, 200);
            response.content_length()
        })
        .collect();
    // A slow machine may accept the last clients when the first page is too old for them.
    let taken = server.memory_bytes() - before;
    let (page, all) = (lengths[0], lengths.iter().sum::<u64>());
    assert!(taken < 5 * page && taken < all / 4, "{taken} bytes for pages of {page}");
    for (peer, length) in peers.iter_mut().zip(lengths) {
        assert_eq!(rows(&peer.take(length as usize)), FILES);
    }
    drop(peers);
    wait_until("the memory has been released", || {
        let files = server.memory_bytes() - before;
        (server.resident_bytes() < before + 16 * MIB && files < page + 16 * MIB).then_some(())
    });
}

fn clients_that_do_not_read_hold_bounded_memory_and_keep_nobody_from_a_listing(
    setup: &'static Setup,
) {
    /// The limits of the server for one page and for all.
    const PAGE_BYTES_MAX: u64 = 32 * MIB;
    const PAGES_BYTES_MAX: u64 = 128 * MIB;
    const FILES: usize = 15_000;
    let site = Site::new();
    // Each of these bytes takes six in the text of a page, and three in a link: 35 MB of HTML.
    let long = "\"".repeat(245);
    (0..FILES).for_each(|n| drop(site.write(format!("large/{n}{long}"), "")));
    create_files(&site, "other", 1_000);
    // A long timeout, so that no client is disconnected for not reading.
    let server = Server::start(setup, site.root(), &["--list", "--write-timeout", "3600"]);
    let before = server.memory_bytes();
    let mut unread: Vec<(Peer, u64)> = Vec::new();
    for (order, accept) in forms().filter(|(_, accept)| accept.ends_with("html")) {
        let mut peer = server.connect();
        peer.send(get_with(&format!("/large/{order}"), &[accept]));
        let response = peer.response_to_head();
        assert_eq!(response.status, 200, "{order} {accept}, after {} others", unread.len());
        assert!(response.content_length() <= PAGE_BYTES_MAX);
        unread.push((peer, response.content_length()));
    }
    let bytes: u64 = unread.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes > PAGES_BYTES_MAX, "the pages are too small to need memory that is in use");
    let taken = server.memory_bytes() - before;
    // Beside the pages: the names that a builder reads.
    assert!(taken < PAGES_BYTES_MAX + 48 * MIB, "{taken} bytes");
    assert_eq!(rows(&server.get("/other/").body), 1_000);
    assert_eq!(server.get("/bare/").status, 200);
    let page = server.get("/large/").body;
    assert!(rows(&page) < FILES, "entries are left out of a page that would be too large");
    assert!(memchr::memmem::find(&page, b"and more that are not listed").is_some());
    // The oldest page was given up for others. What has arrived of it is right.
    let (mut first, bytes) = unread.swap_remove(0);
    let (body, _) = first.rest();
    assert!((body.len() as u64) < bytes, "the page was not given up");
    assert!(page.starts_with(&body), "other bytes");
}

fn other_directories_are_listed_while_a_large_one_is_made_in_every_form(setup: &'static Setup) {
    let site = Site::new();
    create_files(&site, "large", 5_000);
    create_files(&site, "other", 1_000);
    create_files(&site, "small", 20);
    let server = Server::start(setup, site.root(), &["--list"]);
    let is_answered = (0..10).any(|_| {
        let mut waiting: Vec<Peer> = forms()
            .map(|(order, accept)| {
                let mut peer = server.connect();
                peer.send(get_with(&format!("/large/{order}"), &[accept]));
                peer
            })
            .collect();
        assert_eq!(rows(&server.get("/small/").body), 20);
        assert_eq!(rows(&server.get("/other/").body), 1_000);
        // A busy machine may finish all pages first: then try again.
        let meanwhile = waiting.iter().any(is_waiting);
        waiting.iter_mut().for_each(|peer| assert_eq!(peer.response().status, 200));
        meanwhile
    });
    assert!(is_answered, "the other directories waited for every page each time");
}

fn a_large_listing_is_made_although_the_client_that_asked_first_is_gone(setup: &'static Setup) {
    const FILES: usize = 3_000;
    let site = Site::new();
    create_files(&site, "large", FILES);
    let server = Server::start(setup, site.root(), &["--list"]);
    for _ in 0..5 {
        let mut first = server.connect();
        let mut second = server.connect();
        first.send(get("/large/"));
        second.send(get("/large/"));
        first.reset();
        assert_eq!(rows(&second.response().body), FILES);
    }
}

fn other_clients_are_served_while_a_large_directory_is_read(setup: &'static Setup) {
    const FILES: usize = 20_000;
    let site = Site::new();
    create_files(&site, "bare", FILES);
    let server = Server::start(setup, site.root(), &["--list"]);
    let (mut reader, mut other) = (server.connect(), server.connect());
    assert_eq!((reader.get("/page.html").status, other.get("/page.html").status), (200, 200));
    let is_answered = (0..10).any(|_| {
        reader.send(get("/bare/"));
        // A loop that reads the directory itself may answer the first of these requests before it
        // starts, but not the third. With offloading, a busy machine may finish the listing first:
        // then try again.
        let meanwhile =
            (0..3).all(|_| other.get("/page.html").status == 200 && is_waiting(&reader));
        assert_eq!(rows(&reader.response().body), FILES);
        meanwhile
    });
    assert!(is_answered, "other clients waited for the listing every time");
}
