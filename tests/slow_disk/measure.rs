//! Measures how files that take 300 ms to open delay requests for other files.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::support::{Peer, Server, Setup, Site, setups};

/// The duration of one measurement.
const SPAN: Duration = Duration::from_secs(3);

#[test]
#[ignore = "a measurement of five minutes, for its printed result"]
fn the_effect_of_slow_files_on_other_requests() {
    let site = Site::new();
    std::fs::create_dir(site.beside("disk")).expect("the test owns the directory");
    let Some(_disk) = Disk::mount(&site.beside("disk")) else {
        return;
    };
    println!("\nthe root is the slow file system:");
    table(|setup| (Server::start(setup, site.beside("disk"), &[]), None), "/fast-", "/slow-open-");
    println!("\na directory below the root is, mounted before the server starts:");
    let started = |setup| {
        let disk = Disk::mount(&site.path("bare"));
        (Server::start(setup, site.root(), &[]), disk)
    };
    (0..10).for_each(|n| drop(site.write(format!("fast-{n}.html"), "fast")));
    table(started, "/fast-", "/bare/slow-open-");
    println!("\na directory below the root is, mounted while the server runs:");
    let started = |setup| {
        let server = Server::start(setup, site.root(), &[]);
        (server, Disk::mount(&site.path("bare")))
    };
    table(started, "/fast-", "/bare/slow-open-");
}

/// Prints one row per set-up. Every request uses a new connection, because a keep-alive connection
/// would occupy a thread of a thread pool whatever the disk does.
fn table(start: impl Fn(&'static Setup) -> (Server, Option<Disk>), fast: &str, slow: &str) {
    println!("| set-up | alone | beside 8 slow | beside 32 slow | slow responses/s of 8, of 32 |");
    println!("|---|---|---|---|---|");
    for setup in setups() {
        let (server, disk) = start(setup);
        let [alone, few, many] = [0, 8, 32].map(|clients| measure(&server, clients, fast, slow));
        println!(
            "| {} | {} | {} | {} | {:.0}, {:.0} |",
            setup.name, alone.0, few.0, many.0, few.1, many.1
        );
        drop(server);
        drop(disk);
    }
}

/// Returns the p50, p99 and maximum response time of the fast files in milliseconds, and the slow
/// responses per second.
fn measure(server: &Server, slow_clients: usize, fast: &str, slow: &str) -> (String, f64) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let (is_over, responses) = (AtomicBool::new(false), AtomicUsize::new(0));
    let address = server.address;
    let request = |path: String| {
        let mut peer = Peer::connect(address);
        peer.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        assert_eq!(peer.response().status, 200, "{path}");
    };
    let started = Instant::now();
    let (times, rate) = std::thread::scope(|scope| {
        for _ in 0..slow_clients {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // A new file each time, so that no response comes from the cache.
                    request(format!("{slow}{}.html", NUMBER.fetch_add(1, Ordering::Relaxed)));
                    responses.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Wait until the slow requests are in progress.
        std::thread::sleep(if slow_clients > 0 {
            Duration::from_millis(200)
        } else {
            Duration::ZERO
        });
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < SPAN {
            let sent = Instant::now();
            request(format!("{fast}{}.html", times.len() % 10));
            times.push(sent.elapsed());
            std::thread::sleep(Duration::from_millis(2));
        }
        is_over.store(true, Ordering::Relaxed);
        let rate = responses.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        (times, rate)
    });
    (summary(times), rate)
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    format!("{:.1} / {:.1} / {:.1}", at(50), at(99), at(100))
}
