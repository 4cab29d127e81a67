//! What is sent: every byte once, in order, whatever the socket takes; and what is held meanwhile: little.

use std::sync::Arc;

use arrayvec::ArrayVec;
use miniweb::http::{Connection, Limits, Output, Step, Transmit};

use super::peer::{FILE_BYTES, LARGE_BYTES, PART, PaperFile, Peer, get};

/// What a strategy reads at once.
const SCRATCH_BYTES: usize = 64 * 1024;

#[test]
fn short_writes_change_nothing() {
    let paths =
        ["/small", "/large", "/parts", "/empty", "/file", "/nothing", "/large", "/late", "/small"];
    let pipeline: String = paths.map(get).concat();
    let received = |write_bytes_max: usize| {
        let mut peer = Peer::new(Limits::default());
        peer.give(&pipeline);
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
fn writes_that_end_anywhere_change_nothing() {
    let pipeline = ["/small", "/parts", "/empty", "/small"].map(get).concat();
    let received = |first_write: usize| {
        let mut peer = Peer::new(Limits { record_exchanges: true, ..Limits::default() });
        peer.give(&pipeline);
        peer.take(first_write);
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
fn answers_leave_in_the_order_of_their_requests() {
    let paths: Vec<String> = (0..500).map(|n| format!("/small{n}")).collect();
    let mut peer = Peer::new(Limits::default());
    peer.give(paths.iter().map(|path| get(path)).collect::<String>());
    peer.settle();
    let asked: Vec<String> = peer.answers().into_iter().filter_map(|answer| answer.asked).collect();
    assert_eq!(asked, paths);
}

#[test]
fn a_file_is_handed_out_behind_its_head_with_what_is_left_of_its_range() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/part") + &get("/small"));
    {
        let mut slices = ArrayVec::<_, 4>::new();
        let chunk = peer.connection.output().next_transmit(&mut slices);
        assert!(
            matches!(chunk, Transmit::Memory { more: true }),
            "the head, and that more follows, but it was {chunk:?}"
        );
        assert!(slices.len() == 1 && slices[0].ends_with(b"\r\n\r\n"));
    }
    peer.take(usize::MAX);
    for (taken, range) in [(1, PART), (9, 101..PART.end), (200, 110..PART.end), (90, 310..PART.end)]
    {
        assert_eq!(peer.connection.output().next_file().map(|(_, left)| left), Some(range));
        assert_eq!(peer.take(taken), taken);
    }
    peer.settle();
    let [part, small] = &peer.answers()[..] else { panic!("two answers") };
    assert_eq!(part.body, PaperFile.read(PART).collect::<Vec<u8>>());
    assert_eq!(small.body, b"small");
}

#[test]
fn a_file_that_another_reads_is_sent_like_the_rest() {
    let pipeline = ["/part", "/parts", "/small", "/file", "/part"].map(get).concat();
    let mut peer = Peer::new(Limits::default());
    peer.give(&pipeline);
    peer.settle();
    let expected = peer.received;
    for (read_bytes_max, write_bytes_max) in
        [(7, usize::MAX), (100, 3), (usize::MAX, usize::MAX), (usize::MAX, 64)]
    {
        let mut peer = Peer::new(Limits { record_exchanges: true, ..Limits::default() });
        peer.give(&pipeline);
        loop {
            let next_file = peer.connection.output().next_file();
            let read = next_file
                .map(|(file, range)| file.read(range).take(read_bytes_max).collect::<Vec<u8>>());
            read.into_iter().for_each(|bytes| peer.connection.fill(bytes.into()));
            match peer.connection.step() {
                Step::Send => drop(peer.take(write_bytes_max)),
                Step::Resume => peer.receive(&[]),
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
fn a_body_of_several_parts_is_sent_one_behind_the_other() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/parts"));
    peer.settle_in_writes_of(7);
    let file: Vec<u8> = PaperFile.read(PART).collect();
    assert_eq!(peer.answers()[0].body, [b"before", &file[..], b"after"].concat());
}

#[test]
fn a_head_request_is_answered_without_a_body_whatever_its_kind() {
    let mut peer = Peer::new(Limits::default());
    for path in ["/small", "/large", "/file", "/nothing", "/parts"] {
        peer.give(get(path).replace("GET", "HEAD"));
        peer.settle();
    }
    let answers = peer.answers();
    assert_eq!(answers.len(), 5);
    assert!(answers.iter().all(|answer| answer.body.is_empty()));
    let head = String::from_utf8_lossy(&peer.received);
    assert!(head.contains(&format!("Content-Length: {LARGE_BYTES}\r\n")));
    assert!(head.contains(&format!("Content-Length: {FILE_BYTES}\r\n")));
}

#[test]
fn a_peer_that_never_reads_is_not_read_from() {
    // More than is read at once.
    const REQUESTS: usize = 2_500;
    for path in ["/small", "/large", "/file", "/nothing"] {
        let pipeline = get(path).repeat(REQUESTS).into_bytes();
        let mut pieces = pipeline.chunks(SCRATCH_BYTES);
        let mut peer = Peer::new(Limits::default());
        peer.give(pieces.next().expect("a pipeline of some pieces"));
        let answered = peer.site.answered;
        assert!((1..1_000).contains(&answered), "{path}: {answered} answers are queued");
        // As long as anything is left, nothing more is asked for and nothing more is understood.
        for _ in 0..100 {
            peer.take(1);
            assert_eq!(
                (peer.connection.step(), peer.site.answered),
                (Step::Send, answered),
                "{path}"
            );
        }
        while peer.connection.step() == Step::Send {
            peer.take(usize::MAX);
        }
        assert_eq!(
            (peer.connection.step(), peer.site.answered),
            (Step::Resume, answered),
            "{path}"
        );
        for piece in pieces {
            assert_eq!(peer.settle(), Step::Receive);
            peer.give(piece);
        }
        peer.settle();
        assert_eq!(peer.site.answered, REQUESTS, "{path}");
        assert_eq!(peer.answers().len(), REQUESTS, "{path}");
    }
}

#[test]
fn a_peer_that_never_reads_costs_a_bounded_amount_of_memory() {
    let limits = Limits::default();
    for (record_exchanges, path) in
        [(false, "/small"), (false, "/file"), (false, "/large"), (true, "/small")]
    {
        let pipeline = get(path).repeat(5_000).into_bytes();
        let mut peer = Peer::new(Limits { record_exchanges, ..limits.clone() });
        let held = allocation_counter::measure(|| peer.give(&pipeline[..SCRATCH_BYTES]));
        // The rest of what was read; a queue that has doubled once too often; what is kept for the log.
        let bound = SCRATCH_BYTES + 2 * limits.queue_bytes_max + 32 * 1024;
        assert!(held.bytes_current < bound as i64, "{path}: {held:?}");
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
        peer.give(get("/small"));
        peer.settle();
        peer.connection.reclaim_buffers(&mut spare);
    }
    assert_eq!(bytes_freed_with(idle), 0);
}

#[test]
fn an_idle_connection_that_once_waited_for_its_reader_owns_no_buffer() {
    let (limits, mut spare) = (Arc::default(), Output::default());
    let mut idle: Vec<Peer> = (0..100).map(|_| Peer::of_server(&limits)).collect();
    for peer in &mut idle {
        peer.connection.lend_buffers(&mut spare);
        peer.give(get("/small"));
        peer.take(10);
        peer.connection.reclaim_buffers(&mut spare);
        // The socket can take the rest.
        peer.connection.lend_buffers(&mut spare);
        peer.settle();
        peer.connection.reclaim_buffers(&mut spare);
    }
    assert_eq!(bytes_freed_with(idle), 0);
}

#[test]
fn an_unsent_remainder_takes_no_more_than_itself() {
    let (limits, mut spare) = (Arc::default(), Output::default());
    let mut waiting: Vec<Peer> = (0..100).map(|_| Peer::of_server(&limits)).collect();
    for peer in &mut waiting {
        peer.connection.lend_buffers(&mut spare);
        peer.give(get("/small").repeat(200));
        let offered = memory_offered(&peer.connection);
        peer.take(offered - 10);
        peer.connection.reclaim_buffers(&mut spare);
        assert_eq!(memory_offered(&peer.connection), 10);
    }
    // Ten bytes, and the list of segments that names them.
    assert!(bytes_freed_with(waiting) < 100 * 512);
}

/// Bytes in memory that wait to be sent before the next file.
fn memory_offered(connection: &Connection<PaperFile>) -> usize {
    let mut slices = ArrayVec::<_, 64>::new();
    match connection.output().next_transmit(&mut slices) {
        Transmit::Memory { .. } => slices.iter().map(|slice| slice.len()).sum(),
        Transmit::File { .. } | Transmit::Empty => 0,
    }
}

/// What the connections of `peers` own on the heap, in bytes: what is freed with them. The limits, which all of
/// a server share, must outlive them.
fn bytes_freed_with(peers: Vec<Peer>) -> i64 {
    let mut connections: Vec<Connection<PaperFile>> = Vec::with_capacity(peers.len());
    connections.extend(peers.into_iter().map(|peer| peer.connection));
    -allocation_counter::measure(|| connections.clear()).bytes_current
}

/// Each file holds a descriptor until it is sent.
#[test]
fn a_pipeline_of_files_holds_one_file_at_a_time() {
    let mut peer = Peer::new(Limits::default());
    peer.give(get("/file").repeat(20));
    assert_eq!(peer.site.answered, 1);
    peer.settle();
    assert_eq!(peer.site.answered, 20);
}
