//! The load generator against scripted servers: slow, stalling, incorrect, closing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use miniweb::load::{Load, LoadError, Pace, Plan, RequestTemplate, Reuse, SlowReaders};

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const LAST_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

/// Handles the n-th request of a connection, counted from 1.
type Script = dyn Fn(&mut TcpStream, u64) -> Next + Send + Sync;

#[derive(PartialEq)]
enum Next {
    Continue,
    Close,
}

/// Serves on threads of its own, which end with the test process.
fn serve(script: impl Fn(&mut TcpStream, u64) -> Next + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let script: Arc<Script> = Arc::new(script);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let script = script.clone();
            std::thread::spawn(move || serve_connection(socket, &*script));
        }
    });
    address
}

fn serve_connection(mut socket: TcpStream, script: &Script) {
    let _ = socket.set_nodelay(true);
    let (mut received, mut buffer, mut requests) = (Vec::new(), [0; 4096], 0);
    while let Ok(length @ 1..) = socket.read(&mut buffer) {
        received.extend_from_slice(&buffer[..length]);
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            received.drain(..end + 4);
            requests += 1;
            if script(&mut socket, requests) == Next::Close {
                let _ = socket.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}

fn respond(socket: &mut TcpStream, bytes: &[u8]) -> Next {
    match socket.write_all(bytes) {
        Ok(()) => Next::Continue,
        Err(_) => Next::Close,
    }
}

fn plan(address: SocketAddr) -> Plan {
    let template = RequestTemplate::get("test", "/", Reuse::KeepAlive, 5);
    Plan { timeout: Duration::from_secs(5), ..Plan::closed_loop(address, template, 4) }
}

fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000
}

#[test]
fn every_correct_response_is_counted_once() {
    let made = Arc::new(AtomicU64::new(0));
    let counter = made.clone();
    let address = serve(move |socket, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        respond(socket, RESPONSE)
    });
    for (depth, idle) in [(1, 0), (8, 3)] {
        made.store(0, Ordering::SeqCst);
        let mut load =
            Load::open(Plan { depth, idle, ..plan(address) }).expect("the server responds");
        let before = made.load(Ordering::SeqCst);
        assert_eq!(before, 4 + idle as u64, "one request for each connection");
        let result = load.run(Duration::from_millis(200)).expect("it runs");
        assert!(result.responses > 100, "{result:?}");
        assert_eq!(result.responses, made.load(Ordering::SeqCst) - before);
        assert_eq!(result.responses, result.latency_ns.len());
        assert_eq!(result.responses % depth as u64, 0, "only whole batches");
        assert_eq!(result.received_bytes, result.responses * RESPONSE.len() as u64);
        assert_eq!(result.errors_total(), 0);
    }
}

#[test]
fn a_long_response_is_read_to_its_end() {
    const BODY_BYTES: usize = 16 << 20;
    for reuse in [Reuse::KeepAlive, Reuse::Never] {
        let connection = if reuse == Reuse::Never { "close" } else { "keep-alive" };
        let mut response = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\nConnection: {connection}\r\n\r\n"
        )
        .into_bytes();
        response.resize(response.len() + BODY_BYTES, b'x');
        let response_bytes = response.len() as u64;
        let address = serve(move |socket, _| match respond(socket, &response) {
            Next::Continue if reuse == Reuse::KeepAlive => Next::Continue,
            _ => Next::Close,
        });
        let template = RequestTemplate::get("test", "/", reuse, BODY_BYTES as u64);
        let mut load = Load::open(Plan { template, ..plan(address) }).expect("the server responds");
        let result = load.run(Duration::from_millis(300)).expect("it runs");
        assert!(result.responses >= 4, "{result:?}");
        assert_eq!(result.received_bytes, result.responses * response_bytes);
        assert_eq!(result.errors_total(), 0, "{result:?}");
    }
}

#[test]
fn announced_closes_are_not_errors() {
    let once = serve(|socket, _| {
        respond(socket, LAST_RESPONSE);
        Next::Close
    });
    let template = RequestTemplate::get("test", "/", Reuse::Never, 5);
    let mut load = Load::open(Plan { template, ..plan(once) }).expect("nothing is opened yet");
    let result = load.run(Duration::from_millis(200)).expect("it runs");
    assert!(result.responses > 20 && result.errors_total() == 0, "{result:?}");

    // The server closes in the middle of a batch of eight; the requests without a response must be
    // sent again.
    let tenth = serve(|socket, n| {
        respond(socket, if n % 10 == 0 { LAST_RESPONSE } else { RESPONSE });
        if n % 10 == 0 { Next::Close } else { Next::Continue }
    });
    let mut load = Load::open(Plan { depth: 8, ..plan(tenth) }).expect("the server responds");
    let result = load.run(Duration::from_millis(200)).expect("it runs");
    assert!(result.responses > 20 && result.responses.is_multiple_of(8), "{result:?}");
    assert!(
        result.errors.keys().all(|fault| *fault == LoadError::ClosedEarly),
        "only resets by the scripted close: {result:?}"
    );
}

#[test]
fn littles_law_holds_for_a_slow_server() {
    let address = serve(|socket, _| {
        std::thread::sleep(Duration::from_millis(10));
        respond(socket, RESPONSE)
    });
    let mut load = Load::open(plan(address)).expect("the server responds");
    let result = load.run(Duration::from_millis(500)).expect("it runs");
    let median = milliseconds(result.latency_ns.value_at_quantile(0.5));
    assert!((10..20).contains(&median), "{median} ms");
    let by_law = result.per_second() * result.latency_ns.mean() / 1e9;
    assert!(
        (result.in_flight_average - by_law).abs() < 0.1 * by_law,
        "{} {by_law}",
        result.in_flight_average
    );
}

#[test]
fn latency_includes_a_stall_that_service_time_hides() {
    // No response is sent in the second that begins half a second after the first measured request.
    let begin: Arc<Mutex<Option<Instant>>> = Arc::default();
    let is_armed = Arc::new(AtomicBool::new(false));
    let script = {
        let (begin, is_armed) = (begin.clone(), is_armed.clone());
        move |socket: &mut TcpStream, _| {
            if is_armed.load(Ordering::SeqCst) {
                let begin =
                    *begin.lock().expect("no thread panics").get_or_insert_with(Instant::now);
                let (stalls, goes_on) = (Duration::from_millis(500), Duration::from_millis(1500));
                if (stalls..goes_on).contains(&begin.elapsed()) {
                    std::thread::sleep(goes_on.saturating_sub(begin.elapsed()));
                }
            }
            respond(socket, RESPONSE)
        }
    };
    let pace = Pace::Open { per_second: 500.0 };
    let mut load = Load::open(Plan { pace, ..plan(serve(script)) }).expect("the server responds");
    load.run(Duration::from_millis(100)).expect("it warms up");
    is_armed.store(true, Ordering::SeqCst);
    let result = load.run(Duration::from_secs(4)).expect("it runs");
    assert_eq!(
        (result.responses, result.errors_total()),
        (2000, 0),
        "every scheduled request was sent"
    );
    // 500 of the 2,000 requests were scheduled during the stall, a quarter of all, and waited
    // between 1 s and 0 s, evenly distributed. So the p99, which 20 requests exceed, is 1 s -
    // 20/500 s, and the p90 is 1 s - 200/500 s.
    let service_time_ns = result.service_time_ns.as_ref().expect("it was paced");
    let at = |quantile| milliseconds(result.latency_ns.value_at_quantile(quantile));
    assert!((900..=1020).contains(&at(0.99)), "p99 {} ms", at(0.99));
    assert!((540..=680).contains(&at(0.90)), "p90 {} ms", at(0.90));
    assert!(at(0.70) < 50, "p70 {} ms", at(0.70));
    // Only the four requests in flight measured the stall.
    let p99_service = milliseconds(service_time_ns.value_at_quantile(0.99));
    assert!(p99_service < 100, "p99 of the service time {p99_service} ms");
    assert!(milliseconds(service_time_ns.max()) > 900);
}

#[test]
fn errors_are_counted_by_kind() {
    let status: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nhello";
    let length: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell";
    let cut: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    for (bad, then_closes, expected) in [
        (status, false, LoadError::WrongStatus),
        (length, false, LoadError::WrongLength),
        (b"nonsense\r\n\r\n", false, LoadError::WrongLength),
        (cut, true, LoadError::ClosedEarly),
        (b"", true, LoadError::ClosedEarly),
        (b"", false, LoadError::Timeout),
    ] {
        // Every first response is correct, so that the connection opens; every second is not.
        let address = serve(move |socket, n| match n % 2 {
            1 => respond(socket, RESPONSE),
            _ => {
                respond(socket, bad);
                if then_closes { Next::Close } else { Next::Continue }
            }
        });
        let timeout = Duration::from_millis(60);
        let mut load =
            Load::open(Plan { timeout, ..plan(address) }).expect("the first response is correct");
        let result = load.run(Duration::from_millis(300)).expect("it runs");
        let kinds: Vec<_> = result.errors.keys().copied().collect();
        assert_eq!(kinds, [expected], "{}", String::from_utf8_lossy(bad));
        assert!(result.errors_total() >= 4, "{result:?}");
    }
}

#[test]
fn connection_errors_do_not_abort_the_load() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    assert!(Load::open(plan(address)).is_err());
    let template = RequestTemplate::get("test", "/", Reuse::Never, 5);
    let mut load = Load::open(Plan { template, ..plan(address) }).expect("nothing is opened yet");
    let start = Instant::now();
    let result = load.run(Duration::from_millis(100)).expect("it runs");
    assert_eq!(result.responses, 0);
    assert_eq!(result.errors.keys().copied().collect::<Vec<_>>(), [LoadError::Connect]);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_silent_server_is_given_up_after_the_timeout() {
    let address =
        serve(|socket, n| if n == 1 { respond(socket, RESPONSE) } else { Next::Continue });
    let timeout = Duration::from_millis(200);
    for pace in [Pace::Closed, Pace::Open { per_second: 100.0 }] {
        let mut load = Load::open(Plan { pace, timeout, ..plan(address) })
            .expect("the first response is correct");
        let start = Instant::now();
        let result = load.run(Duration::from_millis(300)).expect("it runs");
        assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
        assert!(result.errors.contains_key(&LoadError::Timeout), "{result:?}");
        if let Pace::Open { .. } = pace {
            assert_eq!(
                result.responses + result.errors_total(),
                30,
                "each intended request is counted"
            );
        }
    }
}

#[test]
fn slow_readers_read_at_their_rate() {
    const LARGE_BYTES: usize = 4 << 20;
    let address = serve(|socket, n| {
        // Only slow readers send a second request; the first response is always small.
        match n {
            1 => respond(socket, RESPONSE),
            _ => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
                let body = vec![b'x'; LARGE_BYTES];
                respond(socket, head.as_bytes());
                respond(socket, &body)
            }
        }
    });
    let slow = SlowReaders {
        connections: 2,
        bytes_per_second: 500_000,
        template: RequestTemplate::get("test", "/large", Reuse::KeepAlive, LARGE_BYTES as u64),
    };
    let mut load = Load::open(Plan { active: 0, slow: Some(slow), ..plan(address) })
        .expect("the server responds");
    let result = load.run(Duration::from_secs(1)).expect("it runs");
    assert_eq!(result.errors, BTreeMap::new());
    assert!((600_000..=1_100_000).contains(&result.received_bytes), "{}", result.received_bytes);
}

#[test]
fn connections_can_be_opened_when_needed_and_closed_with_requests_outstanding() {
    const NEVER: Duration = Duration::from_secs(60);
    let made = Arc::new(AtomicU64::new(0));
    let counter = made.clone();
    // The second response on each connection never comes.
    let address = serve(move |socket, n| {
        counter.fetch_add(1, Ordering::SeqCst);
        if n == 2 {
            std::thread::sleep(NEVER);
        }
        respond(socket, RESPONSE)
    });
    let template = RequestTemplate::get("test", "/", Reuse::KeepAlive, 1000).with_any_length();
    let load = Load::open_when_needed(Plan { template, ..plan(address) }).expect("it is a plan");
    assert_eq!(made.load(Ordering::SeqCst), 0, "nothing is opened yet");
    let began = Instant::now();
    let result = load.run_and_close(Duration::from_millis(300)).expect("it runs");
    assert!(began.elapsed() < Duration::from_secs(4), "it does not wait for the timeout");
    assert_eq!((result.responses, result.errors_total()), (4, 0), "one on each connection");
}

#[test]
fn a_header_is_part_of_every_request() {
    // A request without the header would end at the first empty line, and count twice.
    let address = serve(|socket, _| respond(socket, RESPONSE));
    let paths = ["/1".to_owned(), "/2".to_owned()];
    let template = RequestTemplate::get_each("test", &paths, Reuse::KeepAlive, 5)
        .with_header("Accept-Encoding", "gzip");
    let mut load = Load::open(Plan { template, ..plan(address) }).expect("the server responds");
    let result = load.run(Duration::from_millis(100)).expect("it runs");
    assert!(result.responses > 20 && result.errors_total() == 0, "{result:?}");
}
