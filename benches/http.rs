//! What a request costs without a network: parsing it, finding its answer, one whole turn of a connection.
//!
//! No socket is touched. The one file is read before anything is timed and comes from memory after that, as
//! in a server whose files fit there; the moment is made up and stands still, so that nothing is asked of the
//! disk again.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use miniweb::http::{Chunk, Connection, FieldStorage, HeadScan, Limits, Now, Output, Request, Respond, Step};
use miniweb::ledger::Ledger;
use miniweb::site::{Root, Site};

/// What a load generator sends.
const SMALL: &[u8] = b"GET /1k.html HTTP/1.1\r\nHost: 127.0.0.1:7890\r\n\r\n";

/// What a browser sends.
const BROWSER: &[u8] = b"GET /1k.html HTTP/1.1\r\n\
    Host: 127.0.0.1:7890\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\r\n";

fn parse(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("parse");
    for (name, head) in [("small", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let head = black_box(head);
                assert_eq!(HeadScan::default().end(head, &limits), Ok(Some(head.len())));
                let mut storage = FieldStorage::new();
                let request = Request::parse(head, &mut storage, &limits).expect("it is well-formed");
                black_box(request.keep_alive)
            });
        });
    }
}

fn respond(criterion: &mut Criterion) {
    let (mut site, now) = (KiloByteSite::new(), now());
    let mut storage = FieldStorage::new();
    let request = Request::parse(SMALL, &mut storage, &Limits::default()).expect("it is well-formed");
    let mut group = criterion.benchmark_group("respond");
    group.throughput(Throughput::Elements(1));
    group.bench_function("cached file", |bencher| {
        bencher.iter(|| site.0.respond(black_box(&request), &now));
    });
}

fn cycle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cycle");
    for (name, head, requests) in [("one", SMALL, 1), ("one from a browser", BROWSER, 1), ("pipelined 16", SMALL, 16)] {
        let (mut site, now) = (KiloByteSite::new(), now());
        let limits = Limits { requests_max: u32::MAX, ..Limits::default() };
        let mut connection = Connection::new(Arc::new(limits), &now);
        let mut spare = Output::default();
        let input = head.repeat(requests);
        group.throughput(Throughput::Elements(requests as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                connection.join(&mut spare);
                let deferred = connection.receive(black_box(&input), &now, &mut site.0);
                let sent_bytes = send_all(&mut connection, &now);
                connection.part(&mut spare);
                assert!(deferred.is_none() && sent_bytes > 0 && connection.step() == Step::Receive);
            });
        });
    }
}

/// A socket that takes whatever it is given.
fn send_all(connection: &mut Connection<miniweb::site::File>, now: &Now) -> usize {
    let mut sent_bytes = 0;
    while connection.step() == Step::Send {
        let mut slices = [IoSlice::new(&[]); 16];
        let offered: usize = match connection.output().chunk(&mut slices) {
            Chunk::Memory { slices: count, .. } => black_box(&slices[..count]).iter().map(|slice| slice.len()).sum(),
            Chunk::File { .. } | Chunk::Empty => unreachable!("a small file is answered from memory"),
        };
        connection.sent(offered as u64, now, |_| ());
        sent_bytes += offered;
    }
    sent_bytes
}

/// A folder with one file of 1 KiB, and the site that is made of it.
struct KiloByteSite(Site, #[allow(dead_code, reason = "the folder lives as long as its site")] tempfile::TempDir);

impl KiloByteSite {
    fn new() -> KiloByteSite {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        std::fs::write(folder.path().join("1k.html"), [b'x'; 1024]).expect("a new folder can be written to");
        let root = Root::open(folder.path()).expect("it was just made");
        KiloByteSite(
            Site::new(Arc::new(root), Arc::default(), Arc::new(Ledger::new("bench", false)), 1024 * 1024),
            folder,
        )
    }
}

fn now() -> Now {
    Now::new(Instant::now(), SystemTime::now())
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = parse, respond, cycle
}
criterion_main!(benches);
