//! What waits to be sent to one peer, in order.
//!
//! Small things (heads, small bodies) are copied one behind the other into one buffer, so that a whole
//! pipeline of answers leaves in one write. Larger bodies in memory are shared with the cache and
//! gathered into the same write; files are left for sendfile, or filled in bit by bit by
//! somebody who may wait for them. Between the bytes stand the ends of the
//! exchanges they belong to, so that an answer is logged when the socket has taken its last byte.
//!
//! Laws:
//! 1. The segments name every unsent byte exactly once, in the order of the wire.
//! 2. An output that is empty owns nothing but for a turn: [`Output::part`] gives its room to the next.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use arrayvec::ArrayVec;
use bytes::Bytes;

use super::exchange::Exchange;
use super::response::Body;

/// Bodies up to this many bytes are copied: cheaper than a second entry in a gathered write.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// More segments than a gathered write takes at once would only be bookkeeping.
const SEGMENTS_MAX: usize = 64;

/// The queue of one connection; None where nothing waits and no room for it is lent. A pointer, because most connections
/// are idle, and lending is done in every turn.
#[derive(Debug)]
pub struct Output<F>(Option<Box<Queue<F>>>);

#[derive(Debug)]
struct Queue<F> {
    inline: Vec<u8>,
    inline_sent: usize,
    segments: VecDeque<Segment<F>>,
    /// Unsent bytes in memory, inline and shared.
    memory_bytes: usize,
    /// Files that are not wholly sent. Each holds a descriptor.
    files: usize,
}

#[derive(Debug)]
enum Segment<F> {
    Inline(usize),
    Shared(Bytes),
    File { file: F, range: Range<u64> },
    End(Box<Exchange>),
}

/// What the socket is to be given next.
#[derive(Debug)]
pub enum Chunk<'a, F> {
    /// Nothing is queued.
    Empty,
    /// The caller's slices.
    Memory {
        /// A file follows, which can share the last packet.
        more: bool,
    },
    /// A part of a file.
    File {
        /// The file.
        file: &'a F,
        /// What of it, in bytes from its start.
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
    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.segments.is_empty())
    }

    pub(super) fn is_full(&self, queue_bytes_max: usize) -> bool {
        // What stands behind a file can wait until it is sent; a pipeline of files would hold a descriptor each.
        self.0.as_ref().is_some_and(|queue| {
            queue.memory_bytes >= queue_bytes_max
                || queue.segments.len() >= SEGMENTS_MAX
                || queue.files > 0
        })
    }

    /// Queues a head, written by `write`, and the body behind it.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>), body: Body<F>) {
        let queue = self.0.get_or_insert_default();
        queue.push_inline(write);
        queue.push_body(body);
        queue.invariants();
    }

    /// Marks the end of an answer: `exchange` is handed out when everything before it is sent.
    pub(super) fn push_end(&mut self, exchange: Exchange) {
        self.0.get_or_insert_default().segments.push_back(Segment::End(Box::new(exchange)));
    }

    /// What to send next; as much memory as there is room for is gathered into `slices`, which are empty.
    pub fn chunk<'a, const N: usize>(
        &'a self,
        slices: &mut ArrayVec<IoSlice<'a>, N>,
    ) -> Chunk<'a, F> {
        let Some(queue) = &self.0 else {
            return Chunk::Empty;
        };
        let mut inline_at = queue.inline_sent;
        for segment in &queue.segments {
            let bytes = match segment {
                Segment::End(_) => continue,
                Segment::File { file, range } if slices.is_empty() => {
                    return Chunk::File { file, range: range.clone() };
                }
                Segment::File { .. } => return Chunk::Memory { more: true },
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
        if slices.is_empty() { Chunk::Empty } else { Chunk::Memory { more: false } }
    }

    /// The file that is to be sent next, if nothing in memory is, and what of it, in bytes from its start.
    pub fn next_file(&self) -> Option<(&F, Range<u64>)> {
        match self.chunk(&mut ArrayVec::<_, 1>::new()) {
            Chunk::File { file, range } => Some((file, range)),
            Chunk::Memory { .. } | Chunk::Empty => None,
        }
    }

    /// Puts `bytes` in the place of the next ones of the first file.
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
        // What is empty would promise that more follows at once.
        if range.is_empty() {
            queue.segments.remove(at);
            queue.files -= 1;
        }
        queue.memory_bytes += bytes.len();
        queue.segments.insert(at, Segment::Shared(bytes));
        queue.invariants();
    }

    /// Takes note that `sent` bytes of what [`Output::chunk`] gave were taken by the socket.
    pub(super) fn advance(&mut self, mut sent: u64, mut ended: impl FnMut(Exchange)) {
        let Some(queue) = &mut self.0 else {
            assert_eq!(sent, 0, "the socket was given nothing");
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
                Some(Segment::End(exchange)) => ended(*exchange),
                Some(Segment::File { .. }) => queue.files -= 1,
                _ => {}
            }
        }
        assert_eq!(sent, 0, "the socket took more than it was given");
        if queue.segments.is_empty() {
            queue.inline.clear();
            queue.inline_sent = 0;
        }
        queue.invariants();
    }

    /// Gives up: every answer that is not wholly sent ends with the bytes that were.
    pub(super) fn abandon(&mut self, mut ended: impl FnMut(Exchange)) {
        // The room of an empty one is lent, and goes back with the next [`Output::part`].
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
                    exchange.complete = unsent == 0;
                    exchange.body_bytes = exchange.body_bytes.saturating_sub(unsent);
                    unsent = 0;
                    ended(*exchange);
                }
            }
        }
    }

    /// Before a connection is served: an empty output takes the room of `spare`.
    pub(super) fn lend_buffers(&mut self, spare: &mut Output<F>) {
        if self.is_empty() {
            std::mem::swap(self, spare);
        }
    }

    /// After it was served: the room goes back to `spare`; a remainder keeps just what it needs.
    pub(super) fn reclaim_buffers(&mut self, spare: &mut Output<F>) {
        if spare.0.is_some() {
            // It had a remainder, and so room of its own: the spare one was not lent.
            if self.is_empty() {
                *self = Output::default();
            }
            return;
        }
        std::mem::swap(self, spare);
        if let Some(queue) = &mut spare.0
            && !queue.segments.is_empty()
        {
            // What waits moves out, into a queue that is no larger than it has to be.
            let rest = queue.inline[queue.inline_sent..].to_vec();
            let inline = std::mem::replace(&mut queue.inline, rest);
            queue.inline_sent = 0;
            queue.invariants();
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

    fn invariants(&self) {
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
                "the segments name every inline byte"
            );
            assert_eq!(self.memory_bytes, inline + shared);
        }
    }
}
