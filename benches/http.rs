//! The time of a request without a network: parsing, responding, and a whole connection turn.
//!
//! No socket is used; see `support/cycle.rs`.

#[path = "support/cycle.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod cycle;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cycle::{BROWSER, Cycle, SMALL, TURNS, now, sample_site};
use miniweb::http::{HeaderStorage, Limits, Request, Respond};

fn parse(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("parse");
    for (name, head) in [("small", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let head = black_box(head);
                let mut storage = HeaderStorage::default();
                let request = Request::parse(head, &mut storage, &limits)
                    .expect("the request is well-formed");
                black_box(request.keep_alive)
            });
        });
    }
}

fn respond(criterion: &mut Criterion) {
    let (mut site, now) = (sample_site(), now());
    let mut storage = HeaderStorage::default();
    let request = Request::parse(SMALL, &mut storage, &Limits::default())
        .expect("the request is well-formed");
    let mut group = criterion.benchmark_group("respond");
    group.throughput(Throughput::Elements(1));
    group.bench_function("cached file", |bencher| {
        bencher.iter(|| site.respond(black_box(&request), &now));
    });
}

fn cycle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cycle");
    for (name, request, requests) in TURNS {
        let mut cycle = Cycle::new(request, requests);
        group.throughput(Throughput::Elements(requests as u64));
        group.bench_function(name, |bencher| bencher.iter(|| cycle.turn()));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = parse, respond, cycle
}
criterion_main!(benches);
