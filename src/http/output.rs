//! The unsent output of one connection, in order.
//!
//! Heads and small bodies are copied into one buffer, `inline`. Larger bodies in memory are shared
//! with the cache. Both are sent in gathered writes, so that a pipeline of responses needs few
//! system calls. Files are sent with sendfile, or replaced piece by piece by bytes that another
//! thread has read (`fill`). The exchange of each response is queued behind its last byte
//! and is handed out when the socket has accepted that byte.
//!
//! Invariants:
//! 1. The segments name every unsent byte exactly once, in the order of the wire.
//! 2. Between two turns of a connection, an empty output owns no memory: `reclaim_buffers` has
//!    returned its buffers to the worker.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use arrayvec::ArrayVec;
use bytes::Bytes;

use super::exchange::Exchange;
use super::response::Body;

/// Bodies up to this length are copied, which costs less than another entry in a gathered write.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// The number of segments at which the output is full, whatever their size. It bounds the length
/// of the queue when many small responses are recorded for the access log.
const SEGMENTS_MAX: usize = 64;

/// The queue of one connection, or None if nothing is queued and no buffers are lent. The queue is
/// boxed because most connections are idle, and because buffers are lent in every turn, which then
/// moves one pointer.
#[derive(Debug)]
pub struct Output<F>(Option<Box<Queue<F>>>);

#[derive(Debug)]
struct Queue<F> {
    /// The bytes of all inline segments, including those already sent.
    inline: Vec<u8>,
    inline_sent: usize,
    segments: VecDeque<Segment<F>>,
    /// The number of unsent bytes in memory, inline and shared.
    memory_bytes: usize,
    /// The number of files that are not sent completely. Each holds a descriptor.
    files: usize,
}

#[derive(Debug)]
enum Segment<F> {
    /// The next unsent bytes of `inline`; this many.
    Inline(usize),
    Shared(Bytes),
    File {
        file: F,
        range: Range<u64>,
    },
    /// The end of the response that this exchange describes.
    End(Box<Exchange>),
}

/// What to send next.
#[derive(Debug)]
pub enum Transmit<'a, F> {
    /// Nothing is queued.
    Empty,
    /// The slices that were passed to [`Output::next_transmit`].
    Memory {
        /// Whether a file follows, so that the kernel should wait for it before it sends a partial
        /// packet (MSG_MORE).
        more: bool,
    },
    /// A part of a file.
    File {
        /// The open file.
        file: &'a F,
        /// The range to send, in bytes from the start of the file.
        range: Range<u64>,
    },
}

impl<F> Default for Output<F> {
    fn default() -> Output<F> {
        Output(None)
    }
}

impl<F> Default for Queue<F> {
    fn default() -> Queue<F> {
        Queue {
            inline: Vec::new(),
            inline_sent: 0,
            segments: VecDeque::new(),
            memory_bytes: 0,
            files: 0,
        }
    }
}

impl<F> Output<F> {
    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.segments.is_empty())
    }

    /// Whether no further request should be processed. One file is enough: a pipeline of file
    /// requests would otherwise hold one descriptor per request.
    pub(super) fn is_full(&self, queue_bytes_max: usize) -> bool {
        self.0.as_ref().is_some_and(|queue| {
            queue.memory_bytes >= queue_bytes_max
                || queue.segments.len() >= SEGMENTS_MAX
                || queue.files > 0
        })
    }

    /// Queues a head, written by `write_head`, and a body.
    pub(super) fn push_response(&mut self, write_head: impl FnOnce(&mut Vec<u8>), body: Body<F>) {
        let queue = self.0.get_or_insert_default();
        queue.push_inline(write_head);
        queue.push_body(body);
        queue.check_invariants();
    }

    /// Marks the end of a response: `exchange` is handed out when everything before it is sent.
    pub(super) fn push_end(&mut self, exchange: Exchange) {
        self.0.get_or_insert_default().segments.push_back(Segment::End(Box::new(exchange)));
    }

    /// What to send next. Bytes in memory are gathered into `slices`, which must be empty, up to
    /// its capacity or the next file.
    pub fn next_transmit<'a, const N: usize>(
        &'a self,
        slices: &mut ArrayVec<IoSlice<'a>, N>,
    ) -> Transmit<'a, F> {
        let Some(queue) = &self.0 else {
            return Transmit::Empty;
        };
        let mut inline_at = queue.inline_sent;
        for segment in &queue.segments {
            let bytes = match segment {
                Segment::End(_) => continue,
                Segment::File { file, range } if slices.is_empty() => {
                    return Transmit::File { file, range: range.clone() };
                }
                Segment::File { .. } => return Transmit::Memory { more: true },
                Segment::Inline(length) => {
                    inline_at += length;
                    &queue.inline[inline_at - length..inline_at]
                }
                Segment::Shared(bytes) => bytes,
            };
            if slices.try_push(IoSlice::new(bytes)).is_err() {
                break;
            }
        }
        if slices.is_empty() { Transmit::Empty } else { Transmit::Memory { more: false } }
    }

    /// The file to send next, and its unsent range. None if bytes in memory come first.
    pub fn next_file(&self) -> Option<(&F, Range<u64>)> {
        match self.next_transmit(&mut ArrayVec::<_, 1>::new()) {
            Transmit::File { file, range } => Some((file, range)),
            Transmit::Memory { .. } | Transmit::Empty => None,
        }
    }

    /// Replaces the next bytes of the first queued file with `bytes`, read from it by the caller.
    pub(super) fn fill(&mut self, bytes: Bytes) {
        let is_file = |segment: &Segment<F>| matches!(segment, Segment::File { .. });
        let Some(queue) = &mut self.0 else { return };
        let Some(at) = queue.segments.iter().position(is_file) else {
            return;
        };
        let Some(Segment::File { range, .. }) = queue.segments.get_mut(at) else {
            return;
        };
        range.start += bytes.len() as u64;
        // An empty file segment would make `next_transmit` announce more bytes behind the last one.
        if range.is_empty() {
            queue.segments.remove(at);
            queue.files -= 1;
        }
        queue.memory_bytes += bytes.len();
        queue.segments.insert(at, Segment::Shared(bytes));
        queue.check_invariants();
    }

    /// Removes `sent` bytes, which the socket has accepted, from the front of the queue. Passes the
    /// exchange of every response that this completes to `on_end`.
    pub(super) fn advance(&mut self, mut sent: u64, mut on_end: impl FnMut(Exchange)) {
        let Some(queue) = &mut self.0 else {
            assert_eq!(sent, 0, "nothing was queued, so the socket cannot have accepted anything");
            return;
        };
        while let Some(segment) = queue.segments.front_mut() {
            let length = match segment {
                Segment::Inline(length) => *length as u64,
                Segment::Shared(bytes) => bytes.len() as u64,
                Segment::File { range, .. } => range.end - range.start,
                Segment::End(_) => 0,
            };
            let taken = sent.min(length);
            sent -= taken;
            match segment {
                Segment::Inline(length) => {
                    *length -= taken as usize;
                    queue.inline_sent += taken as usize;
                    queue.memory_bytes -= taken as usize;
                }
                Segment::Shared(bytes) => {
                    bytes::Buf::advance(bytes, taken as usize);
                    queue.memory_bytes -= taken as usize;
                }
                Segment::File { range, .. } => range.start += taken,
                Segment::End(_) => {}
            }
            if taken < length {
                break;
            }
            match queue.segments.pop_front() {
                Some(Segment::End(exchange)) => on_end(*exchange),
                Some(Segment::File { .. }) => queue.files -= 1,
                _ => {}
            }
        }
        assert_eq!(sent, 0, "the socket cannot accept more than was queued");
        if queue.segments.is_empty() {
            queue.inline.clear();
            queue.inline_sent = 0;
        }
        queue.check_invariants();
    }

    /// Drops the queue. Passes the exchange of every response in it to `on_end`, with the number of
    /// body bytes that were sent.
    pub(super) fn abandon(&mut self, mut on_end: impl FnMut(Exchange)) {
        // The buffers of an empty queue are lent, and `reclaim_buffers` returns them.
        let Some(queue) = self.0.take_if(|queue| !queue.segments.is_empty()) else {
            return;
        };
        let mut unsent = 0;
        for segment in queue.segments {
            match segment {
                Segment::Inline(length) => unsent += length as u64,
                Segment::Shared(bytes) => unsent += bytes.len() as u64,
                Segment::File { range, .. } => unsent += range.end - range.start,
                Segment::End(mut exchange) => {
                    exchange.complete &= unsent == 0;
                    // More bytes than the body has are unsent if the head is unsent, too.
                    exchange.body_bytes = exchange.body_bytes.saturating_sub(unsent);
                    unsent = 0;
                    on_end(*exchange);
                }
            }
        }
    }

    /// Before a connection is driven: an output that is empty takes the buffers of `spare`.
    pub(super) fn lend_buffers(&mut self, spare: &mut Output<F>) {
        if self.is_empty() {
            std::mem::swap(self, spare);
        }
    }

    /// After a connection was driven: the buffers return to `spare`. An unsent remainder moves to a
    /// queue of its own, no larger than it has to be.
    pub(super) fn reclaim_buffers(&mut self, spare: &mut Output<F>) {
        if spare.0.is_some() {
            // Nothing was lent: the connection began this turn with a queue of its own.
            if self.is_empty() {
                *self = Output::default();
            }
            return;
        }
        std::mem::swap(self, spare);
        if let Some(queue) = &mut spare.0
            && !queue.segments.is_empty()
        {
            let rest = queue.inline[queue.inline_sent..].to_vec();
            let inline = std::mem::replace(&mut queue.inline, rest);
            queue.inline_sent = 0;
            queue.check_invariants();
            *self = Output(Some(Box::new(std::mem::take(queue))));
            queue.inline = inline;
            queue.inline.clear();
        }
    }
}

impl<F> Queue<F> {
    fn push_body(&mut self, body: Body<F>) {
        match body {
            Body::Empty => {}
            Body::Bytes(bytes) if bytes.len() <= INLINE_BYTES_MAX => {
                self.push_inline(|out| out.extend_from_slice(&bytes))
            }
            Body::Bytes(bytes) => {
                self.memory_bytes += bytes.len();
                self.segments.push_back(Segment::Shared(bytes));
            }
            Body::File { file, range } => {
                self.files += 1;
                self.segments.push_back(Segment::File { file, range });
            }
            Body::Parts(parts) => parts.into_iter().for_each(|part| self.push_body(part)),
        }
    }

    /// Appends what `write` writes to `inline`. Adjacent inline bytes share one segment.
    fn push_inline(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.inline.len();
        write(&mut self.inline);
        let added = self.inline.len() - before;
        self.memory_bytes += added;
        match self.segments.back_mut() {
            Some(Segment::Inline(length)) => *length += added,
            _ => self.segments.push_back(Segment::Inline(added)),
        }
    }

    fn check_invariants(&self) {
        if cfg!(debug_assertions) {
            let (mut inline, mut shared) = (0, 0);
            for segment in &self.segments {
                match segment {
                    Segment::Inline(length) => inline += length,
                    Segment::Shared(bytes) => shared += bytes.len(),
                    Segment::File { range, .. } => assert!(range.start <= range.end),
                    Segment::End(_) => {}
                }
            }
            assert_eq!(
                self.inline.len() - self.inline_sent,
                inline,
                "the segments name every unsent inline byte"
            );
            assert_eq!(self.memory_bytes, inline + shared, "`memory_bytes` is up to date");
        }
    }
}
