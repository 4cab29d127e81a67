//! The output: every byte is sent once and in order, however little the socket accepts, and memory
//! is bounded.

use std::sync::Arc;

use arrayvec::ArrayVec;
use miniweb::http::{Connection, Limits, Output, Step, Transmit};

use super::peer::{FILE_BYTES, FakeFile, LARGE_BYTES, PART, Peer, get};

/// The size of the receive buffer of a strategy.
const SCRATCH_BYTES: usize = 64 * 1024;

#[test]
fn short_writes_change_nothing() {
    let paths = [
        "/small",
        "/large",
        "/parts",
        "/empty",
        "/file",
        "/missing",
        "/large",
        "/deferred",
        "/small",
    ];
    let pipeline: String = paths.map(get).concat();
    let received = |write_bytes_max: usize| {
        let mut peer = Peer::new(Limits::default());
        peer.send(&pipeline);
        peer.settle_in_writes_of(write_bytes_max);
        peer.received
    };
    let expected = received(usize::MAX);
    assert!(expected.len() > 2 * LARGE_BYTES);
    for write_bytes_max in [1, 2, 3, 7, 100, 4096, LARGE_BYTES, LARGE_BYTES + 1] {
        assert!(received(write_bytes_max) == expected, "writes of {write_bytes_max} bytes");
    }
}

#[test]
fn a_first_write_of_any_length_changes_nothing() {
    let pipeline = ["/small", "/parts", "/empty", "/small"].map(get).concat();
    let received = |first_write: usize| {
        let mut peer = Peer::new(Limits { record_exchanges: true, ..Limits::default() });
        peer.send(&pipeline);
        peer.read(first_write);
        peer.settle();
        assert_eq!(peer.exchanges.len(), 4);
        peer.received
    };
    let expected = received(usize::MAX);
    for first_write in 0..expected.len() {
        assert!(received(first_write) == expected, "a first write of {first_write} bytes");
    }
}

#[test]
fn responses_leave_in_the_order_of_their_requests() {
    let paths: Vec<String> = (0..500).map(|n| format!("/small{n}")).collect();
    let mut peer = Peer::new(Limits::default());
    peer.send(paths.iter().map(|path| get(path)).collect::<String>());
    peer.settle();
    let answered: Vec<String> =
        peer.responses().into_iter().filter_map(|response| response.path).collect();
    assert_eq!(answered, paths);
}

#[test]
fn a_file_follows_its_head_with_its_unsent_range() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/part") + &get("/small"));
    {
        let mut slices = ArrayVec::<_, 4>::new();
        let transmit = peer.connection.output().next_transmit(&mut slices);
        assert!(
            matches!(transmit, Transmit::Memory { more: true }),
            "the head, and that more follows, but: {transmit:?}"
        );
        assert!(slices.len() == 1 && slices[0].ends_with(b"\r\n\r\n"));
    }
    peer.read(usize::MAX);
    for (taken, range) in [(1, PART), (9, 101..PART.end), (200, 110..PART.end), (90, 310..PART.end)]
    {
        assert_eq!(peer.connection.output().next_file().map(|(_, left)| left), Some(range));
        assert_eq!(peer.read(taken), taken);
    }
    peer.settle();
    let [part, small] = &peer.responses()[..] else { panic!("two responses") };
    assert_eq!(part.body, FakeFile.read(PART).collect::<Vec<u8>>());
    assert_eq!(small.body, b"small");
}

#[test]
fn a_file_that_the_caller_reads_is_sent_like_one_sent_by_sendfile() {
    let pipeline = ["/part", "/parts", "/small", "/file", "/part"].map(get).concat();
    let mut peer = Peer::new(Limits::default());
    peer.send(&pipeline);
    peer.settle();
    let expected = peer.received;
    for (read_bytes_max, write_bytes_max) in
        [(7, usize::MAX), (100, 3), (usize::MAX, usize::MAX), (usize::MAX, 64)]
    {
        let mut peer = Peer::new(Limits { record_exchanges: true, ..Limits::default() });
        peer.send(&pipeline);
        loop {
            let next_file = peer.connection.output().next_file();
            let read = next_file
                .map(|(file, range)| file.read(range).take(read_bytes_max).collect::<Vec<u8>>());
            read.into_iter().for_each(|bytes| peer.connection.fill(bytes.into()));
            match peer.connection.step() {
                Step::Send => drop(peer.read(write_bytes_max)),
                Step::Resume => peer.send_unrequested(&[]),
                _ => break,
            }
        }
        assert!(
            peer.received == expected,
            "reads of {read_bytes_max}, writes of {write_bytes_max}"
        );
        assert_eq!(peer.exchanges.len(), 5);
    }
}

#[test]
fn the_parts_of_a_body_are_sent_in_order() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/parts"));
    peer.settle_in_writes_of(7);
    let file: Vec<u8> = FakeFile.read(PART).collect();
    assert_eq!(peer.responses()[0].body, [b"before", &file[..], b"after"].concat());
}

#[test]
fn a_response_to_head_has_no_body_of_any_kind() {
    let mut peer = Peer::new(Limits::default());
    for path in ["/small", "/large", "/file", "/missing", "/parts"] {
        peer.send(get(path).replace("GET", "HEAD"));
        peer.settle();
    }
    let responses = peer.responses();
    assert_eq!(responses.len(), 5);
    assert!(responses.iter().all(|response| response.body.is_empty()));
    let head = String::from_utf8_lossy(&peer.received);
    assert!(head.contains(&format!("Content-Length: {LARGE_BYTES}\r\n")));
    assert!(head.contains(&format!("Content-Length: {FILE_BYTES}\r\n")));
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    // More bytes than fit into the receive buffer.
    const REQUESTS: usize = 2_500;
    for path in ["/small", "/large", "/file", "/missing"] {
        let pipeline = get(path).repeat(REQUESTS).into_bytes();
        let mut pieces = pipeline.chunks(SCRATCH_BYTES);
        let mut peer = Peer::new(Limits::default());
        peer.send(pieces.next().expect("the pipeline is longer than one piece"));
        let requests = peer.site.requests;
        assert!((1..1_000).contains(&requests), "{path}: {requests} responses are queued");
        // While output is unsent, no input is requested and no request is processed.
        for _ in 0..100 {
            peer.read(1);
            assert_eq!(
                (peer.connection.step(), peer.site.requests),
                (Step::Send, requests),
                "{path}"
            );
        }
        while peer.connection.step() == Step::Send {
            peer.read(usize::MAX);
        }
        assert_eq!(
            (peer.connection.step(), peer.site.requests),
            (Step::Resume, requests),
            "{path}"
        );
        for piece in pieces {
            assert_eq!(peer.settle(), Step::Receive);
            peer.send(piece);
        }
        peer.settle();
        assert_eq!(peer.site.requests, REQUESTS, "{path}");
        assert_eq!(peer.responses().len(), REQUESTS, "{path}");
    }
}

#[test]
fn a_client_that_does_not_read_occupies_bounded_memory() {
    let limits = Limits::default();
    for (record_exchanges, path) in
        [(false, "/small"), (false, "/file"), (false, "/large"), (true, "/small")]
    {
        let pipeline = get(path).repeat(5_000).into_bytes();
        let mut peer = Peer::new(Limits { record_exchanges, ..limits.clone() });
        let allocated = allocation_counter::measure(|| peer.send(&pipeline[..SCRATCH_BYTES]));
        // The unprocessed input, a queue whose capacity has just doubled, and the exchanges.
        let bound = SCRATCH_BYTES + 2 * limits.queue_bytes_max + 32 * 1024;
        assert!(allocated.bytes_current < bound as i64, "{path}: {allocated:?}");
        assert!(
            memory_offered(&peer.connection) <= limits.queue_bytes_max + LARGE_BYTES + 512,
            "{path}"
        );
    }
}

#[test]
fn an_idle_connection_owns_no_buffer() {
    let (limits, mut spare) = (Arc::default(), Output::default());
    let mut idle: Vec<Peer> = (0..100).map(|_| Peer::of_server(&limits)).collect();
    for peer in &mut idle {
        peer.connection.lend_buffers(&mut spare);
        peer.send(get("/small"));
        peer.settle();
        peer.connection.reclaim_buffers(&mut spare);
    }
    assert_eq!(bytes_freed_with(idle), 0);
}

#[test]
fn an_idle_connection_that_once_had_unsent_output_owns_no_buffer() {
    let (limits, mut spare) = (Arc::default(), Output::default());
    let mut idle: Vec<Peer> = (0..100).map(|_| Peer::of_server(&limits)).collect();
    for peer in &mut idle {
        peer.connection.lend_buffers(&mut spare);
        peer.send(get("/small"));
        peer.read(10);
        peer.connection.reclaim_buffers(&mut spare);
        // The socket accepts the rest.
        peer.connection.lend_buffers(&mut spare);
        peer.settle();
        peer.connection.reclaim_buffers(&mut spare);
    }
    assert_eq!(bytes_freed_with(idle), 0);
}

#[test]
fn an_unsent_remainder_occupies_only_its_own_size() {
    let (limits, mut spare) = (Arc::default(), Output::default());
    let mut waiting: Vec<Peer> = (0..100).map(|_| Peer::of_server(&limits)).collect();
    for peer in &mut waiting {
        peer.connection.lend_buffers(&mut spare);
        peer.send(get("/small").repeat(200));
        let offered = memory_offered(&peer.connection);
        peer.read(offered - 10);
        peer.connection.reclaim_buffers(&mut spare);
        assert_eq!(memory_offered(&peer.connection), 10);
    }
    // Ten bytes and the list of segments.
    assert!(bytes_freed_with(waiting) < 100 * 512);
}

/// The number of unsent bytes in memory before the next file.
fn memory_offered(connection: &Connection<FakeFile>) -> usize {
    let mut slices = ArrayVec::<_, 64>::new();
    match connection.output().next_transmit(&mut slices) {
        Transmit::Memory { .. } => slices.iter().map(|slice| slice.len()).sum(),
        Transmit::File { .. } | Transmit::Empty => 0,
    }
}

/// The number of heap bytes that the connections of `peers` own, measured by dropping them. The
/// shared limits must outlive them.
fn bytes_freed_with(peers: Vec<Peer>) -> i64 {
    let mut connections: Vec<Connection<FakeFile>> = Vec::with_capacity(peers.len());
    connections.extend(peers.into_iter().map(|peer| peer.connection));
    -allocation_counter::measure(|| connections.clear()).bytes_current
}

#[test]
fn a_pipeline_of_files_holds_one_descriptor_at_a_time() {
    let mut peer = Peer::new(Limits::default());
    peer.send(get("/file").repeat(20));
    assert_eq!(peer.site.requests, 1);
    peer.settle();
    assert_eq!(peer.site.requests, 20);
}
