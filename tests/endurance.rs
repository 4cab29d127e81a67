//! One normal client beside hundreds or thousands of slow ones.
//!
//! A slow sender sends its request head a byte at a time (slowloris) and gets a 408 at the header
//! timeout; it then reconnects. A slow reader reads faster than the minimum rate, so the server
//! keeps its connection open. Neither may delay the normal client. The short test runs by default;
//! the long one prints the cost of 6,000 slow clients:
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

use support::{Peer, Server, Site, TIMEOUT, any_setup, get, setups, wait_until};

/// The time between two actions of a slow client.
const PERIOD: Duration = Duration::from_secs(1);
/// The bytes that a slow reader reads per period: four times the minimum rate.
const PIECE_BYTES: usize = 4096;

struct SlowClients {
    address: SocketAddr,
    clients: Vec<SlowClient>,
}

struct SlowClient {
    stream: TcpStream,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Sends its request a byte at a time and never completes it.
    Sender,
    /// Reads its response a piece at a time.
    Reader,
}

/// Totals over all slow clients.
#[derive(Default)]
struct Totals {
    /// Senders that received a 408.
    timeouts: AtomicUsize,
    /// Readers whose connection the server closed.
    closed_readers: AtomicUsize,
    /// Actions of clients.
    actions: AtomicUsize,
}

impl SlowClients {
    fn connect(address: SocketAddr, senders: usize, readers: usize) -> SlowClients {
        let roles = (0..senders).map(|_| Role::Sender).chain((0..readers).map(|_| Role::Reader));
        let clients = roles.map(|role| SlowClient::connect(address, role)).collect();
        SlowClients { address, clients }
    }

    /// Lets each client act once per period, and reconnects those whose connection has ended.
    fn run(&mut self, is_over: &AtomicBool, totals: &Totals) {
        const SLICES: usize = 20;
        let slice_length = self.clients.len().div_ceil(SLICES);
        while !is_over.load(Ordering::Acquire) {
            for slice in self.clients.chunks_mut(slice_length) {
                let start = Instant::now();
                for client in slice {
                    totals.actions.fetch_add(1, Ordering::AcqRel);
                    if !client.act(totals) {
                        *client = SlowClient::connect(self.address, client.role);
                    }
                }
                std::thread::sleep((PERIOD / SLICES as u32).saturating_sub(start.elapsed()));
            }
        }
    }
}

impl SlowClient {
    fn connect(address: SocketAddr, role: Role) -> SlowClient {
        let mut stream =
            TcpStream::connect_timeout(&address, TIMEOUT).expect("the server is listening");
        let start = match role {
            Role::Sender => "GET / HTTP/1.1\r\nHost: h\r\nX: ",
            Role::Reader => &get("/huge.bin"),
        };
        stream.write_all(start.as_bytes()).expect("the request fits into the socket buffer");
        stream.set_nonblocking(true).expect("sockets support non-blocking mode");
        SlowClient { stream, role }
    }

    /// Sends or reads once. Returns false if the server has closed the connection.
    fn act(&mut self, totals: &Totals) -> bool {
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
                totals.timeouts.fetch_add(1, Ordering::AcqRel);
                false
            }
            (Role::Reader, Some(0)) => {
                totals.closed_readers.fetch_add(1, Ordering::AcqRel);
                false
            }
            (Role::Reader, _) => true,
        }
    }
}

#[test]
fn slow_clients_do_not_delay_a_normal_client() {
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
        let (is_over, totals) = (AtomicBool::new(false), Totals::default());
        let mut slow_clients = SlowClients::connect(server.address, senders, readers);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| slow_clients.run(&is_over, &totals));
            let mut normal = server.connect();
            wait_until("a 408 for every sender", || {
                assert_eq!(normal.get("/page.html").status, 200, "{setup:?}");
                assert_eq!(server.get("/page.html").status, 200, "{setup:?}");
                let is_done =
                    totals.timeouts.load(Ordering::Acquire) >= senders || running.is_finished();
                is_done.then_some(())
            });
            is_over.store(true, Ordering::Release);
            running.join().expect("senders receive nothing but a 408");
        });
        assert_eq!(
            totals.closed_readers.into_inner(),
            0,
            "{setup:?}: closed readers that were above the minimum rate"
        );
        drop(slow_clients);
        wait_until("the descriptors are closed", || (server.descriptors() <= before).then_some(()));
    }
}

#[test]
#[ignore = "the long form: 5,000 slow senders and 1,000 slow readers for a minute"]
fn the_cost_of_5000_slow_senders_and_1000_slow_readers() {
    const HELD: Duration = Duration::from_secs(45);
    let site = Site::new();
    site.sparse("huge.bin", 8 << 30);
    let server = Server::start(any_setup(), site.root(), &[]);
    let alone = Latencies::of_normal_client(server.address, Duration::from_secs(10));
    let memory_alone = server.resident_bytes();
    println!("alone                  {alone}");
    let (is_over, totals) = (AtomicBool::new(false), Totals::default());
    let mut slow_clients = SlowClients::connect(server.address, 5_000, 1_000);
    let beside = std::thread::scope(|scope| {
        let running = scope.spawn(|| slow_clients.run(&is_over, &totals));
        let beside = Latencies::of_normal_client(server.address, HELD);
        println!("beside slow clients    {beside}");
        println!("connections held       {} descriptors of the server", server.descriptors());
        println!(
            "memory                 {} KiB, {} KiB alone",
            server.resident_bytes() >> 10,
            memory_alone >> 10
        );
        is_over.store(true, Ordering::Release);
        running.join().expect("senders receive nothing but a 408");
        beside
    });
    let (timeouts, closed_readers, actions) = (
        totals.timeouts.into_inner(),
        totals.closed_readers.into_inner(),
        totals.actions.into_inner(),
    );
    println!(
        "slow clients           {actions} actions, {timeouts} timeouts (408), \
         {closed_readers} readers closed"
    );
    drop(slow_clients);
    wait_until("the descriptors are closed", || (server.descriptors() < 100).then_some(()));
    let after = Latencies::of_normal_client(server.address, Duration::from_secs(10));
    println!("alone again            {after}");
    println!("p99 beside / alone     {:.2}", beside.at(0.99) / alone.at(0.99).min(after.at(0.99)));
    assert!(timeouts >= 5_000, "not every sender received a 408");
}

/// Response times in microseconds, sorted.
struct Latencies(Vec<f64>);

impl Latencies {
    /// Measures one client that sends each request after the response to the one before.
    fn of_normal_client(address: SocketAddr, time: Duration) -> Latencies {
        let (mut peer, start, mut latencies) = (Peer::connect(address), Instant::now(), Vec::new());
        while start.elapsed() < time {
            // The server closes a connection after 10,000 requests.
            if latencies.len() % 9_000 == 8_999 {
                peer = Peer::connect(address);
            }
            let sent = Instant::now();
            assert_eq!(peer.get("/page.html").status, 200);
            latencies.push(sent.elapsed().as_secs_f64() * 1e6);
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
            "{count} requests, 0 lost; p50 {p50:.0} µs, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0}"
        )
    }
}
