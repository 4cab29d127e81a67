//! The load generator against servers that do as they are told: slow, stalling, wrong, closing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use miniweb::load::{Load, LoadError, Pace, Plan, RequestTemplate, Reuse, SlowReaders};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const LAST_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

/// What a scripted server does with the how-manieth request of a connection.
type Script = dyn Fn(&mut TcpStream, u64) -> Then + Send + Sync;

#[derive(PartialEq)]
enum Then {
    GoOn,
    Close,
}

/// Serves on threads of its own; they end with the test's process.
fn serve(script: impl Fn(&mut TcpStream, u64) -> Then + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let script: Arc<Script> = Arc::new(script);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let script = script.clone();
            std::thread::spawn(move || talk(socket, &*script));
        }
    });
    address
}

fn talk(mut socket: TcpStream, script: &Script) {
    let _ = socket.set_nodelay(true);
    let (mut received, mut piece, mut requests) = (Vec::new(), [0; 4096], 0);
    while let Ok(length @ 1..) = socket.read(&mut piece) {
        received.extend_from_slice(&piece[..length]);
        while let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            received.drain(..end + 4);
            requests += 1;
            if script(&mut socket, requests) == Then::Close {
                let _ = socket.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}

fn answer(socket: &mut TcpStream, bytes: &[u8]) -> Then {
    match socket.write_all(bytes) {
        Ok(()) => Then::GoOn,
        Err(_) => Then::Close,
    }
}

fn plan(address: SocketAddr) -> Plan {
    Plan {
        address,
        template: RequestTemplate::get("test", "/", Reuse::KeepAlive, 5),
        active: 4,
        idle: 0,
        depth: 1,
        pace: Pace::Closed,
        slow: None,
        timeout: Duration::from_secs(5),
    }
}

fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1_000_000
}

#[test]
fn every_answer_of_a_good_server_is_counted_once() {
    let made = Arc::new(AtomicU64::new(0));
    let counter = made.clone();
    let address = serve(move |socket, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        answer(socket, ANSWER)
    });
    for (depth, idle) in [(1, 0), (8, 3)] {
        made.store(0, Ordering::SeqCst);
        let mut load =
            Load::open(Plan { depth, idle, ..plan(address) }).expect("the server answers");
        let before = made.load(Ordering::SeqCst);
        assert_eq!(before, 4 + idle as u64, "one request for each connection");
        let result = load.run(Duration::from_millis(200)).expect("it runs");
        assert!(result.responses > 100, "{result:?}");
        assert_eq!(result.responses, made.load(Ordering::SeqCst) - before);
        assert_eq!(result.responses, result.latency_ns.len());
        assert_eq!(result.responses % depth as u64, 0, "only whole batches");
        assert_eq!(result.received_bytes, result.responses * ANSWER.len() as u64);
        assert_eq!(result.errors_total(), 0);
    }
}

#[test]
fn connections_for_one_request_and_announced_ends_are_no_faults() {
    let once = serve(|socket, _| {
        answer(socket, LAST_ANSWER);
        Then::Close
    });
    let template = RequestTemplate::get("test", "/", Reuse::Never, 5);
    let mut load = Load::open(Plan { template, ..plan(once) }).expect("nothing is opened yet");
    let result = load.run(Duration::from_millis(200)).expect("it runs");
    assert!(result.responses > 20 && result.errors_total() == 0, "{result:?}");

    // In the middle of a batch of eight: what is not answered has to be asked again.
    let tenth = serve(|socket, n| {
        answer(socket, if n % 10 == 0 { LAST_ANSWER } else { ANSWER });
        if n % 10 == 0 { Then::Close } else { Then::GoOn }
    });
    let mut load = Load::open(Plan { depth: 8, ..plan(tenth) }).expect("the server answers");
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
        answer(socket, ANSWER)
    });
    let mut load = Load::open(plan(address)).expect("the server answers");
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
fn a_stall_of_a_second_shows_in_the_latency_and_hides_from_the_service_time() {
    // Nobody is answered in the second that begins half a second after the first measured request.
    let begin: Arc<Mutex<Option<Instant>>> = Arc::default();
    let armed = Arc::new(AtomicBool::new(false));
    let script = {
        let (begin, armed) = (begin.clone(), armed.clone());
        move |socket: &mut TcpStream, _| {
            if armed.load(Ordering::SeqCst) {
                let begin = *begin.lock().expect("nobody panics").get_or_insert_with(Instant::now);
                let (stalls, goes_on) = (Duration::from_millis(500), Duration::from_millis(1500));
                if (stalls..goes_on).contains(&begin.elapsed()) {
                    std::thread::sleep(goes_on.saturating_sub(begin.elapsed()));
                }
            }
            answer(socket, ANSWER)
        }
    };
    let pace = Pace::Open { per_second: 500.0 };
    let mut load = Load::open(Plan { pace, ..plan(serve(script)) }).expect("the server answers");
    load.run(Duration::from_millis(100)).expect("it warms up");
    armed.store(true, Ordering::SeqCst);
    let result = load.run(Duration::from_secs(4)).expect("it runs");
    assert_eq!((result.responses, result.errors_total()), (2000, 0), "nothing was left out");
    // 500 of 2,000 were due in the stall, and waited for the rest of it: a quarter of all, spread evenly from 1 s to 0.
    // So the p99 is what 20 waited for longer, 1 s - 20/500 s; the p90 is 1 s - 200/500 s.
    let service_time_ns = result.service_time_ns.as_ref().expect("it was paced");
    let at = |quantile| milliseconds(result.latency_ns.value_at_quantile(quantile));
    assert!((900..=1020).contains(&at(0.99)), "p99 {} ms", at(0.99));
    assert!((540..=680).contains(&at(0.90)), "p90 {} ms", at(0.90));
    assert!(at(0.70) < 50, "p70 {} ms", at(0.70));
    // Only the four that were under way noticed.
    let p99_service = milliseconds(service_time_ns.value_at_quantile(0.99));
    assert!(p99_service < 100, "p99 of the service time {p99_service} ms");
    assert!(milliseconds(service_time_ns.max()) > 900);
}

#[test]
fn faults_are_told_by_kind() {
    let status: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nhello";
    let length: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell";
    let cut: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    for (bad, then_closes, fault) in [
        (status, false, LoadError::WrongStatus),
        (length, false, LoadError::WrongLength),
        (b"nonsense\r\n\r\n", false, LoadError::WrongLength),
        (cut, true, LoadError::ClosedEarly),
        (b"", true, LoadError::ClosedEarly),
        (b"", false, LoadError::Timeout),
    ] {
        // The first is right, for the connection to be opened; then every second is not.
        let address = serve(move |socket, n| match n % 2 {
            1 => answer(socket, ANSWER),
            _ => {
                answer(socket, bad);
                if then_closes { Then::Close } else { Then::GoOn }
            }
        });
        let timeout = Duration::from_millis(60);
        let mut load =
            Load::open(Plan { timeout, ..plan(address) }).expect("the first is answered");
        let result = load.run(Duration::from_millis(300)).expect("it runs");
        let kinds: Vec<_> = result.errors.keys().copied().collect();
        assert_eq!(kinds, [fault], "{}", String::from_utf8_lossy(bad));
        assert!(result.errors_total() >= 4, "{result:?}");
    }
}

#[test]
fn a_server_that_is_gone_ends_the_connections_but_not_the_load() {
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
fn a_server_that_says_nothing_is_waited_for_no_longer_than_the_timeout() {
    let address = serve(|socket, n| if n == 1 { answer(socket, ANSWER) } else { Then::GoOn });
    let timeout = Duration::from_millis(200);
    for pace in [Pace::Closed, Pace::Open { per_second: 100.0 }] {
        let mut load =
            Load::open(Plan { pace, timeout, ..plan(address) }).expect("the first is answered");
        let start = Instant::now();
        let result = load.run(Duration::from_millis(300)).expect("it runs");
        assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
        assert!(result.errors.contains_key(&LoadError::Timeout), "{result:?}");
        if let Pace::Open { .. } = pace {
            assert_eq!(
                result.responses + result.errors_total(),
                30,
                "each intended request is accounted for"
            );
        }
    }
}

#[test]
fn slow_readers_read_at_their_rate_beside_the_measured() {
    const LARGE_BYTES: usize = 4 << 20;
    let address = serve(|socket, n| {
        // Only slow readers ask a second time before they were told to: the first is small for everyone.
        match n {
            1 => answer(socket, ANSWER),
            _ => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE_BYTES}\r\n\r\n");
                let body = vec![b'x'; LARGE_BYTES];
                answer(socket, head.as_bytes());
                answer(socket, &body)
            }
        }
    });
    let slow = SlowReaders {
        connections: 2,
        bytes_per_second: 500_000,
        template: RequestTemplate::get("test", "/large", Reuse::KeepAlive, LARGE_BYTES as u64),
    };
    let mut load = Load::open(Plan { active: 0, slow: Some(slow), ..plan(address) })
        .expect("the server answers");
    let result = load.run(Duration::from_secs(1)).expect("it runs");
    assert_eq!(result.errors, BTreeMap::new());
    assert!((600_000..=1_100_000).contains(&result.received_bytes), "{}", result.received_bytes);
}
