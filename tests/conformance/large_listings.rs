//! Listings of directories with thousands of names: their memory, and the clients they delay.

use std::fs;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, get_with, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![a_change_of_a_large_directory_becomes_visible];
    let concurrent = cases![if |setup| setup.serves_concurrently();
        other_directories_are_listed_while_a_large_one_is_made_in_every_form,
        a_large_listing_is_made_although_the_client_that_asked_first_is_gone,
        requests_for_one_directory_share_a_page,
        clients_that_do_not_read_hold_bounded_memory_and_others_get_their_listings,
    ];
    let in_processes = cases![if |setup| setup.forks;
        the_memory_of_a_child_that_is_killed_is_released,
    ];
    // With a thread or process per connection this holds by construction.
    let in_a_loop = cases![if |setup| setup.event_loops == 1;
        other_clients_are_served_while_a_large_directory_is_read,
    ];
    [everywhere, concurrent, in_processes, in_a_loop].concat()
}

const MIB: u64 = 1024 * 1024;
/// Long timeouts, so that no client is disconnected because it waits or does not read.
const UNREAD_OPTIONS: [&str; 5] = ["--list", "--write-timeout", "3600", "--idle-timeout", "3600"];
/// The limits of the server for one page and for all.
const PAGE_BYTES_MAX: u64 = 32 * MIB;
const PAGES_BYTES_MAX: u64 = 128 * MIB;

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

/// Creates a directory whose listing is as large as one may be, and returns its number of files.
fn create_largest(site: &Site) -> usize {
    const FILES: usize = 15_000;
    // Each of these bytes takes six in the text of a page, and three in a link: 35 MB of HTML.
    let long = "\"".repeat(245);
    (0..FILES).for_each(|n| drop(site.write(format!("large/{n}{long}"), "")));
    FILES
}

/// Connects clients and has each served once, so that its thread or process exists.
fn connect(server: &Server, clients: usize) -> Vec<Peer> {
    let mut peers: Vec<Peer> = (0..clients).map(|_| server.connect()).collect();
    peers.iter_mut().for_each(|peer| assert_eq!(peer.get("/page.html").status, 200));
    peers
}

/// Requests `/large/` in the order of `query`, but reads only the head of the response.
fn leave_unread(peer: &mut Peer, query: &str) -> u64 {
    peer.send(get_with(&format!("/large/{query}"), &["Accept: text/html"]));
    let response = peer.response_to_head();
    assert_eq!(response.status, 200, "{query}");
    response.content_length()
}

/// The number of entries of a page.
fn rows(page: &[u8]) -> usize {
    memchr::memmem::find_iter(page, b"href=\"./").count()
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
    const FILES: usize = 5_000;
    // Children share no memory, so each makes a page of its own: only as many as there may be.
    let clients = if setup.forks { 16 } else { 32 };
    let site = Site::new();
    // 3 MB of HTML.
    let long = "x".repeat(240);
    (0..FILES).for_each(|n| drop(site.write(format!("large/{n}{long}"), "")));
    let server = Server::start(setup, site.root(), &UNREAD_OPTIONS);
    let at_start = server.memory_bytes();
    let mut peers = connect(&server, clients);
    let before = server.memory_bytes();
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
    if setup.forks {
        // Beside the pages: the names that each child has read.
        assert!(taken < PAGES_BYTES_MAX + clients as u64 * 3 * MIB, "{taken} bytes");
    } else {
        assert!(taken < 5 * page && taken < all / 4, "{taken} bytes for pages of {page}");
    }
    for (peer, length) in peers.iter_mut().zip(lengths) {
        assert_eq!(rows(&peer.take(length as usize)), FILES);
    }
    drop(peers);
    wait_until("the memory has been released", || {
        let files = server.memory_bytes().saturating_sub(before.max(at_start));
        (server.resident_bytes() < before + 16 * MIB && files < page + 16 * MIB).then_some(())
    });
}

fn clients_that_do_not_read_hold_bounded_memory_and_others_get_their_listings(
    setup: &'static Setup,
) {
    const ORDERS: [&str; 5] =
        ["", "?order=desc", "?sort=size", "?sort=size&order=desc", "?sort=date"];
    let site = Site::new();
    let files = create_largest(&site);
    create_files(&site, "other", 1_000);
    let server = Server::start(setup, site.root(), &UNREAD_OPTIONS);
    let mut peers = connect(&server, ORDERS.len());
    let before = server.memory_bytes();
    let unread: Vec<u64> =
        peers.iter_mut().zip(ORDERS).map(|(peer, order)| leave_unread(peer, order)).collect();
    assert!(unread.iter().all(|bytes| *bytes <= PAGE_BYTES_MAX), "{unread:?}");
    let bytes = unread.iter().sum::<u64>();
    assert!(bytes > PAGES_BYTES_MAX, "the pages are too small to need memory that is in use");
    let taken = server.memory_bytes() - before;
    // Beside the pages: the names that a builder reads.
    assert!(taken < PAGES_BYTES_MAX + 48 * MIB, "{taken} bytes");
    assert_eq!(rows(&server.get("/other/").body), 1_000);
    assert_eq!(server.get("/bare/").status, 200);
    let page = server.get("/large/").body;
    assert!(rows(&page) < files, "entries are left out of a page that would be too large");
    assert!(memchr::memmem::find(&page, b"and more that are not listed").is_some());
    // The oldest page was reclaimed. What its client has received of it is correct.
    let (body, _) = peers[0].rest();
    assert!((body.len() as u64) < unread[0], "the page was not reclaimed");
    assert!(page.starts_with(&body), "other bytes");
}

fn the_memory_of_a_child_that_is_killed_is_released(setup: &'static Setup) {
    let site = Site::new();
    create_largest(&site);
    let server = Server::start(setup, site.root(), &UNREAD_OPTIONS);
    let mut peers = connect(&server, (PAGES_BYTES_MAX / PAGE_BYTES_MAX) as usize);
    peers.iter_mut().for_each(|peer| assert!(leave_unread(peer, "") > 0));
    // A child that is stopped cannot reclaim its page, and one that is killed ends all the same.
    let processes = server.processes().into_iter().map(|(id, _)| id);
    for child in processes.filter(|id| *id != server.pid().as_raw_pid()) {
        let child = Pid::from_raw(child).expect("the ID of a process is positive");
        kill_process(child, Signal::STOP).expect("the child lives");
        kill_process(child, Signal::KILL).expect("the child lives");
    }
    let (started, response) = (Instant::now(), server.get("/large/"));
    assert_eq!(response.status, 200, "after {:?}", started.elapsed());
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
        let meanwhile = waiting.iter_mut().any(Peer::is_waiting);
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
            (0..3).all(|_| other.get("/page.html").status == 200 && reader.is_waiting());
        assert_eq!(rows(&reader.response().body), FILES);
        meanwhile
    });
    assert!(is_answered, "other clients waited for the listing every time");
}
