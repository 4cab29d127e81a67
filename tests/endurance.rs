//! A crowd of clients that take their time, and one honest client beside them.
//!
//! Whoever asks a byte at a time (slowloris) is told so when the time for a head has passed, and
//! may come again; whoever reads slowly, but faster than the least rate, is let to. Neither is in
//! the honest client's way. The quick form runs with the other tests; the long one prints what a
//! full crowd costs:
//!
//! ```text
//! cargo test --release --test endurance -- --ignored --nocapture
//! ```

#[path = "support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{PATIENCE, Peer, Server, Site, any_setup, get, setups, wait_until};

/// How long a member of the crowd waits before it does anything again.
const PERIOD: Duration = Duration::from_secs(1);
/// What a slow reader takes in one period: four times the least rate.
const PIECE_BYTES: usize = 4096;

/// Clients that take their time.
struct Crowd {
    address: SocketAddr,
    members: Vec<Member>,
}

struct Member {
    stream: TcpStream,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Sends its request a byte at a time and never ends.
    Asker,
    /// Reads its answer a piece at a time.
    Reader,
}

/// What became of the crowd.
#[derive(Default)]
struct Fates {
    /// Askers that were told that their time is over.
    told: AtomicUsize,
    /// Readers that were cut.
    cut: AtomicUsize,
    /// Times each member was seen to, in all.
    turns: AtomicUsize,
}

impl Crowd {
    fn gather(address: SocketAddr, askers: usize, readers: usize) -> Crowd {
        let roles = (0..askers).map(|_| Role::Asker).chain((0..readers).map(|_| Role::Reader));
        Crowd { address, members: roles.map(|role| Member::join(address, role)).collect() }
    }

    /// Goes round until it is over, each member once in a period.
    fn dawdle(&mut self, is_over: &AtomicBool, fates: &Fates) {
        const SLICES: usize = 20;
        let slice_length = self.members.len().div_ceil(SLICES);
        while !is_over.load(Ordering::Acquire) {
            for slice in self.members.chunks_mut(slice_length) {
                let start = Instant::now();
                for member in slice {
                    fates.turns.fetch_add(1, Ordering::AcqRel);
                    if !member.goes_on(fates) {
                        *member = Member::join(self.address, member.role);
                    }
                }
                std::thread::sleep((PERIOD / SLICES as u32).saturating_sub(start.elapsed()));
            }
        }
    }
}

impl Member {
    fn join(address: SocketAddr, role: Role) -> Member {
        let mut stream =
            TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
        let start = match role {
            Role::Asker => "GET / HTTP/1.1\r\nHost: h\r\nX: ",
            Role::Reader => &get("/huge.bin"),
        };
        stream.write_all(start.as_bytes()).expect("the socket has room");
        stream.set_nonblocking(true).expect("a socket can be");
        Member { stream, role }
    }

    /// Takes its turn. False if the server has ended the connection.
    fn goes_on(&mut self, fates: &Fates) -> bool {
        let mut piece = [0; PIECE_BYTES];
        let received = match self.stream.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            received => Some(received.unwrap_or(0)),
        };
        match (self.role, received) {
            (Role::Asker, None) => self.stream.write_all(b"x").is_ok(),
            (Role::Asker, Some(length)) => {
                assert!(
                    piece[..length].starts_with(b"HTTP/1.1 408 "),
                    "{}",
                    support::shown(&piece[..length])
                );
                fates.told.fetch_add(1, Ordering::AcqRel);
                false
            }
            (Role::Reader, Some(0)) => {
                fates.cut.fetch_add(1, Ordering::AcqRel);
                false
            }
            (Role::Reader, _) => true,
        }
    }
}

#[test]
fn a_crowd_that_takes_its_time_is_in_nobodys_way() {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let (askers, readers) = match setup {
            setup if setup.forks => (20, 5),
            setup if setup.concurrency < usize::MAX => (setup.concurrency / 2, 5),
            setup if setup.event_loops == 0 => (100, 20),
            _ => (300, 60),
        };
        let server = Server::start(setup, site.root(), &["--header-timeout", "1"]);
        assert_eq!(server.get("/page.html").status, 200);
        let before = server.descriptors();
        let (is_over, fates) = (AtomicBool::new(false), Fates::default());
        let mut crowd = Crowd::gather(server.address, askers, readers);
        std::thread::scope(|scope| {
            let dawdling = scope.spawn(|| crowd.dawdle(&is_over, &fates));
            let mut honest = server.connect();
            wait_until("every asker has been told", || {
                assert_eq!(honest.get("/page.html").status, 200, "{setup:?}");
                assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
                let is_done =
                    fates.told.load(Ordering::Acquire) >= askers || dawdling.is_finished();
                is_done.then_some(())
            });
            is_over.store(true, Ordering::Release);
            dawdling.join().expect("the crowd got what it was due");
        });
        assert_eq!(fates.cut.into_inner(), 0, "{setup:?}: readers that kept to the least rate");
        drop(crowd);
        wait_until("the crowd is forgotten", || (server.descriptors() <= before).then_some(()));
    }
}

#[test]
#[ignore = "the long form: 5,000 slow askers and 1,000 slow readers for a minute"]
fn what_5000_slow_askers_and_1000_slow_readers_cost() {
    const HELD: Duration = Duration::from_secs(45);
    let site = Site::new();
    site.sparse("huge.bin", 8 << 30);
    let server = Server::start(any_setup(), site.root(), &[]);
    let alone = Latencies::of_honest(server.address, Duration::from_secs(10));
    let memory_alone = server.resident_bytes();
    println!("alone                  {alone}");
    let (is_over, fates) = (AtomicBool::new(false), Fates::default());
    let mut crowd = Crowd::gather(server.address, 5_000, 1_000);
    let beside = std::thread::scope(|scope| {
        let dawdling = scope.spawn(|| crowd.dawdle(&is_over, &fates));
        let beside = Latencies::of_honest(server.address, HELD);
        println!("beside the crowd       {beside}");
        println!("connections held       {} descriptors of the server", server.descriptors());
        println!(
            "memory                 {} KiB, {} KiB alone",
            server.resident_bytes() >> 10,
            memory_alone >> 10
        );
        is_over.store(true, Ordering::Release);
        dawdling.join().expect("the crowd got what it was due");
        beside
    });
    let (told, cut, turns) =
        (fates.told.into_inner(), fates.cut.into_inner(), fates.turns.into_inner());
    println!("turns of the crowd     {turns}; 408: {told}; readers cut: {cut}");
    drop(crowd);
    wait_until("the crowd is forgotten", || (server.descriptors() < 100).then_some(()));
    let after = Latencies::of_honest(server.address, Duration::from_secs(10));
    println!("alone again            {after}");
    println!("p99 beside / alone     {:.2}", beside.at(0.99) / alone.at(0.99).min(after.at(0.99)));
    assert!(told >= 5_000, "each asker was told at least once");
}

/// How long the answers took, in microseconds, from the shortest to the longest.
struct Latencies(Vec<f64>);

impl Latencies {
    /// Of one client that asks, waits for its answer, and asks again.
    fn of_honest(address: SocketAddr, time: Duration) -> Latencies {
        let (mut peer, start, mut latencies) = (Peer::connect(address), Instant::now(), Vec::new());
        while start.elapsed() < time {
            // A connection has a last request.
            if latencies.len() % 9_000 == 8_999 {
                peer = Peer::connect(address);
            }
            let asked = Instant::now();
            assert_eq!(peer.get("/page.html").status, 200);
            latencies.push(asked.elapsed().as_secs_f64() * 1e6);
        }
        latencies.sort_unstable_by(f64::total_cmp);
        Latencies(latencies)
    }

    fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.0.len();
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| self.at(share));
        write!(
            f,
            "{count} requests, 0 lost; p50 {p50:.0} µs, p99 {p99:.0}, p99.9 {p999:.0}, most {max:.0}"
        )
    }
}
