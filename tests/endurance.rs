//! Many slow clients, and one ordinary client beside them.
//!
//! A client that sends a head a byte at a time (slowloris) gets a 408 when the head timeout has
//! passed; a client that reads slowly, but faster than the minimum rate, is served. Neither delays
//! the ordinary client. The short form runs with the other tests; the long form prints what a full
//! crowd costs:
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

/// The pause between two actions of a slow client.
const PERIOD: Duration = Duration::from_secs(1);
/// What a slow reader reads per period: four times the minimum rate.
const PIECE_BYTES: usize = 4096;

/// The slow clients.
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
    /// Sends a head a byte at a time and never completes it.
    Sender,
    /// Reads its response a piece at a time.
    Reader,
}

/// Counts of what happened to the slow clients.
#[derive(Default)]
struct Counts {
    /// Slow senders that got a 408.
    timed_out: AtomicUsize,
    /// Slow readers whose connection was closed.
    closed: AtomicUsize,
    /// Actions of all slow clients.
    actions: AtomicUsize,
}

impl Crowd {
    fn gather(address: SocketAddr, senders: usize, readers: usize) -> Crowd {
        let roles = (0..senders).map(|_| Role::Sender).chain((0..readers).map(|_| Role::Reader));
        Crowd { address, members: roles.map(|role| Member::join(address, role)).collect() }
    }

    /// Lets each client act once per period until the test is over.
    fn run(&mut self, is_over: &AtomicBool, counts: &Counts) {
        const SLICES: usize = 20;
        let slice_length = self.members.len().div_ceil(SLICES);
        while !is_over.load(Ordering::Acquire) {
            for slice in self.members.chunks_mut(slice_length) {
                let start = Instant::now();
                for member in slice {
                    counts.actions.fetch_add(1, Ordering::AcqRel);
                    if !member.act(counts) {
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
            Role::Sender => "GET / HTTP/1.1\r\nHost: h\r\nX: ",
            Role::Reader => &get("/huge.bin"),
        };
        stream.write_all(start.as_bytes()).expect("the socket has room");
        stream.set_nonblocking(true).expect("a socket can be");
        Member { stream, role }
    }

    /// Acts once. Returns false if the server has closed the connection.
    fn act(&mut self, counts: &Counts) -> bool {
        let mut piece = [0; PIECE_BYTES];
        let received = match self.stream.read(&mut piece) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            received => Some(received.unwrap_or(0)),
        };
        match (self.role, received) {
            (Role::Sender, None) => self.stream.write_all(b"x").is_ok(),
            (Role::Sender, Some(length)) => {
                assert!(
                    piece[..length].starts_with(b"HTTP/1.1 408 "),
                    "{}",
                    support::shown(&piece[..length])
                );
                counts.timed_out.fetch_add(1, Ordering::AcqRel);
                false
            }
            (Role::Reader, Some(0)) => {
                counts.closed.fetch_add(1, Ordering::AcqRel);
                false
            }
            (Role::Reader, _) => true,
        }
    }
}

#[test]
fn slow_clients_do_not_delay_an_ordinary_one() {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let (senders, readers) = match setup {
            setup if setup.forks => (20, 5),
            setup if setup.concurrency < usize::MAX => (setup.concurrency / 2, 5),
            setup if setup.event_loops == 0 => (100, 20),
            _ => (300, 60),
        };
        let server = Server::start(setup, site.root(), &["--header-timeout", "1"]);
        assert_eq!(server.get("/page.html").status, 200);
        let before = server.descriptors();
        let (is_over, counts) = (AtomicBool::new(false), Counts::default());
        let mut crowd = Crowd::gather(server.address, senders, readers);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| crowd.run(&is_over, &counts));
            let mut ordinary = server.connect();
            wait_until("every slow sender has got a 408", || {
                assert_eq!(ordinary.get("/page.html").status, 200, "{setup:?}");
                assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
                let is_done =
                    counts.timed_out.load(Ordering::Acquire) >= senders || running.is_finished();
                is_done.then_some(())
            });
            is_over.store(true, Ordering::Release);
            running.join().expect("the slow clients were treated as expected");
        });
        assert_eq!(counts.closed.into_inner(), 0, "{setup:?}: readers above the minimum rate");
        drop(crowd);
        wait_until("the connections of the crowd are closed", || {
            (server.descriptors() <= before).then_some(())
        });
    }
}

#[test]
#[ignore = "long: 5,000 slow senders and 1,000 slow readers for a minute"]
fn the_cost_of_5000_slow_senders_and_1000_slow_readers() {
    const HELD: Duration = Duration::from_secs(45);
    let site = Site::new();
    site.sparse("huge.bin", 8 << 30);
    let server = Server::start(any_setup(), site.root(), &[]);
    let alone = Latencies::of_ordinary_client(server.address, Duration::from_secs(10));
    let memory_alone = server.resident_bytes();
    println!("alone                  {alone}");
    let (is_over, counts) = (AtomicBool::new(false), Counts::default());
    let mut crowd = Crowd::gather(server.address, 5_000, 1_000);
    let beside = std::thread::scope(|scope| {
        let running = scope.spawn(|| crowd.run(&is_over, &counts));
        let beside = Latencies::of_ordinary_client(server.address, HELD);
        println!("beside the crowd       {beside}");
        println!("connections held       {} descriptors of the server", server.descriptors());
        println!(
            "memory                 {} KiB, {} KiB alone",
            server.resident_bytes() >> 10,
            memory_alone >> 10
        );
        is_over.store(true, Ordering::Release);
        running.join().expect("the slow clients were treated as expected");
        beside
    });
    let (timed_out, closed, actions) =
        (counts.timed_out.into_inner(), counts.closed.into_inner(), counts.actions.into_inner());
    println!("actions of the crowd     {actions}; 408: {timed_out}; readers closed: {closed}");
    drop(crowd);
    wait_until("the connections of the crowd are closed", || {
        (server.descriptors() < 100).then_some(())
    });
    let after = Latencies::of_ordinary_client(server.address, Duration::from_secs(10));
    println!("alone again            {after}");
    println!("p99 beside / alone     {:.2}", beside.at(0.99) / alone.at(0.99).min(after.at(0.99)));
    assert!(timed_out >= 5_000, "each slow sender got at least one 408");
}

/// The latencies in microseconds, in ascending order.
struct Latencies(Vec<f64>);

impl Latencies {
    /// The latencies of one client that sends its next request when a response has arrived.
    fn of_ordinary_client(address: SocketAddr, time: Duration) -> Latencies {
        let (mut peer, start, mut latencies) = (Peer::connect(address), Instant::now(), Vec::new());
        while start.elapsed() < time {
            // A connection has a maximum number of requests.
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
