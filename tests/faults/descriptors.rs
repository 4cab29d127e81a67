//! Descriptor exhaustion (EMFILE).

use std::fs;
use std::time::{Duration, Instant};

use miniweb::syscall_stats::Call;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::support::{Server, get, patterned, setups, wait_until};
use crate::{LARGE_BYTES, settled_descriptors, site};

/// A request that the server can serve without opening a file.
const NEEDS_NO_FILE: &str = "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn without_descriptors_the_server_keeps_serving_does_not_spin_and_recovers() {
    let (site, large) = (site(), patterned(LARGE_BYTES));
    for setup in setups() {
        let server = Server::start(setup, site.root(), &[]);
        // A download that began before the shortage, and an idle keep-alive connection.
        let mut download = server.connect();
        download.send(get("/large.bin"));
        assert_eq!(download.response_to_head().content_length(), LARGE_BYTES as u64);
        let mut kept = setup.serves_concurrently().then(|| server.connect());
        if let Some(kept) = &mut kept {
            assert_eq!(kept.get("/page.html").status, 200);
        }
        let shortage = DescriptorLimit::exhausted(&server);
        let mut new_client = server.connect();
        new_client.send(NEEDS_NO_FILE);
        if let Some(kept) = &mut kept {
            let refused = kept.get("/1.txt");
            assert_eq!(
                (refused.status, refused.field("Retry-After")),
                (503, Some("1")),
                "{setup:?}"
            );
            assert_eq!(kept.ask(NEEDS_NO_FILE).status, 204, "{setup:?}");
        }
        // An event loop that sleeps between its passes uses the processor all the time by design.
        if !setup.strategy.waits_with.contains(&Call::Sleep) {
            let (before, start) = (cpu_time(&server), Instant::now());
            std::thread::sleep(Duration::from_millis(500));
            let (spent, passed) = (cpu_time(&server) - before, start.elapsed());
            assert!(spent < passed / 5, "{setup:?} spun: {spent:?} of CPU time in {passed:?}");
        }
        assert!(download.take(LARGE_BYTES) == large, "{setup:?}");
        drop(shortage);
        drop(download);
        assert_eq!(new_client.response().status, 204, "{setup:?}");
        if let Some(kept) = &mut kept {
            wait_until("the server opens files again", || {
                (kept.get("/1.txt").status == 200).then_some(())
            });
        }
    }
}

#[test]
fn a_listing_without_a_descriptor_is_a_503_with_the_configured_headers() {
    let site = site();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--list", "--header", "X-Site: mine"]);
        let mut peer = server.connect();
        assert_eq!(peer.get("/bare/").status, 200, "{setup:?}");
        // The server can open the directory, but reading its entries needs a second descriptor.
        let shortage = DescriptorLimit::with_spare(&server, 1);
        let refused = peer.get("/bare/");
        assert_eq!((refused.status, refused.field("X-Site")), (503, Some("mine")), "{setup:?}");
        drop(shortage);
        assert_eq!(peer.get("/bare/").status, 200, "{setup:?}");
    }
}

#[test]
fn a_fallback_page_without_a_descriptor_is_a_503_and_not_a_404() {
    let site = site();
    // Too large for the cache.
    site.write("app.html", patterned(100_000));
    for setup in setups() {
        let server =
            Server::start(setup, site.root(), &["--fallback", "app.html", "--header", "X-Site: a"]);
        let mut peer = server.connect();
        let navigation = "GET /nowhere HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n";
        // Not the fallback page: then it would still be open.
        assert_eq!(peer.get("/page.html").status, 200, "{setup:?}");
        settled_descriptors(&server);
        let shortage = DescriptorLimit::exhausted(&server);
        let refused = peer.ask(navigation);
        assert_eq!((refused.status, refused.field("X-Site")), (503, Some("a")), "{setup:?}");
        // The same file under its own path.
        let refused = peer.get("/app.html");
        assert_eq!((refused.status, refused.field("X-Site")), (503, Some("a")), "{setup:?}");
        drop(shortage);
        assert_eq!(peer.ask(navigation).status, 200, "{setup:?}");
    }
}

/// Lowers RLIMIT_NOFILE of every process of the server until it is dropped.
struct DescriptorLimit<'a> {
    server: &'a Server,
    limits: Vec<(i32, Rlimit)>,
}

impl DescriptorLimit<'_> {
    /// No process of the server can open a descriptor.
    fn exhausted(server: &Server) -> DescriptorLimit<'_> {
        DescriptorLimit::with_spare(server, 0)
    }

    /// Each process of the server can open `spare` more descriptors.
    fn with_spare(server: &Server, spare: u64) -> DescriptorLimit<'_> {
        let lower = |(id, _): (i32, char)| {
            let is_open =
                |n: &u64| fs::exists(format!("/proc/{id}/fd/{n}")).expect("/proc is mounted");
            let first_free = (0..).find(|n| !is_open(n)).expect("a process has a descriptor limit");
            // The server inherited the hard limit of the test, which must stay the same.
            let limit = Rlimit { current: Some(first_free + spare), ..getrlimit(Resource::Nofile) };
            (id, set_limit(id, limit))
        };
        DescriptorLimit { server, limits: server.processes().into_iter().map(lower).collect() }
    }
}

impl Drop for DescriptorLimit<'_> {
    fn drop(&mut self) {
        let live = self.server.processes();
        for (id, before) in
            self.limits.drain(..).filter(|(id, _)| live.iter().any(|(live, _)| live == id))
        {
            set_limit(id, before);
        }
    }
}

/// Sets the limit and returns the previous one.
fn set_limit(id: i32, limit: Rlimit) -> Rlimit {
    prlimit(Pid::from_raw(id), Resource::Nofile, limit)
        .expect("the process runs as the user of the test")
}

/// The user and system time of all processes of the server.
fn cpu_time(server: &Server) -> Duration {
    let ticks = |(id, _): (i32, char)| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        let times = fields.skip(11).take(2); // utime and stime
        times.map(|ticks| ticks.parse::<u64>().expect("times are numbers")).sum::<u64>()
    };
    Duration::from_secs_f64(server.processes().into_iter().map(ticks).sum::<u64>() as f64 / 100.0)
}
