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
//! 2. An output that is empty keeps no allocation of its own: [`Output::part`] gives it to the next.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;

use super::{Body, Exchange};

/// Bodies up to this many bytes are copied: cheaper than a second entry in a gathered write.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// More segments than a gathered write takes at once would only be bookkeeping.
const SEGMENTS_MAX: usize = 64;

/// The queue of one connection.
#[derive(Debug)]
pub struct Output<F> {
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
    /// The first `slices` of the caller's array were filled. `more` tells that a file follows, which
    /// can share the last packet.
    Memory {
        /// How many slices.
        slices: usize,
        /// A file follows.
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
        Output { inline: Vec::new(), inline_sent: 0, segments: VecDeque::new(), memory_bytes: 0, files: 0 }
    }
}

impl<F> Output<F> {
    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn is_full(&self, queue_bytes_max: usize) -> bool {
        // What stands behind a file can wait until it is sent; a pipeline of files would hold a descriptor each.
        self.memory_bytes >= queue_bytes_max || self.segments.len() >= SEGMENTS_MAX || self.files > 0
    }

    /// Queues a head, written by `write`, and the body behind it.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>), body: Body<F>) {
        self.push_inline(write);
        self.push_body(body);
        self.invariants();
    }

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

    /// Marks the end of an answer: `exchange` is handed out when everything before it is sent.
    pub(super) fn push_end(&mut self, exchange: Exchange) {
        self.segments.push_back(Segment::End(Box::new(exchange)));
    }

    /// What to send next; memory is gathered into `slices`.
    pub fn chunk<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> Chunk<'a, F> {
        let (mut count, mut inline_at) = (0, self.inline_sent);
        for segment in &self.segments {
            let bytes = match segment {
                Segment::End(_) => continue,
                Segment::File { file, range } if count == 0 => return Chunk::File { file, range: range.clone() },
                Segment::File { .. } => return Chunk::Memory { slices: count, more: true },
                Segment::Inline(length) => {
                    inline_at += length;
                    &self.inline[inline_at - length..inline_at]
                }
                Segment::Shared(bytes) => bytes,
            };
            match slices.get_mut(count) {
                Some(slice) => *slice = IoSlice::new(bytes),
                None => break,
            }
            count += 1;
        }
        if count == 0 { Chunk::Empty } else { Chunk::Memory { slices: count, more: false } }
    }

    /// Puts `bytes` in the place of the next ones of the first file.
    pub(super) fn fill(&mut self, bytes: Bytes) {
        let is_file = |segment: &Segment<F>| matches!(segment, Segment::File { .. });
        let Some(at) = self.segments.iter().position(is_file) else { return };
        let Some(Segment::File { range, .. }) = self.segments.get_mut(at) else { return };
        range.start += bytes.len() as u64;
        // What is empty would promise that more follows at once.
        if range.is_empty() {
            self.segments.remove(at);
            self.files -= 1;
        }
        self.memory_bytes += bytes.len();
        self.segments.insert(at, Segment::Shared(bytes));
        self.invariants();
    }

    /// Takes note that `sent` bytes of what [`Output::chunk`] gave were taken by the socket.
    pub(super) fn advance(&mut self, mut sent: u64, mut ended: impl FnMut(Exchange)) {
        while let Some(segment) = self.segments.front_mut() {
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
                    self.inline_sent += taken as usize;
                    self.memory_bytes -= taken as usize;
                }
                Segment::Shared(bytes) => {
                    bytes::Buf::advance(bytes, taken as usize);
                    self.memory_bytes -= taken as usize;
                }
                Segment::File { range, .. } => range.start += taken,
                Segment::End(_) => {}
            }
            if taken < length {
                break;
            }
            match self.segments.pop_front() {
                Some(Segment::End(exchange)) => ended(*exchange),
                Some(Segment::File { .. }) => self.files -= 1,
                _ => {}
            }
        }
        assert_eq!(sent, 0, "the socket took more than it was given");
        if self.segments.is_empty() {
            self.inline.clear();
            self.inline_sent = 0;
        }
        self.invariants();
    }

    /// Gives up: every answer that is not wholly sent ends with the bytes that were.
    pub(super) fn abandon(&mut self, mut ended: impl FnMut(Exchange)) {
        let mut unsent = 0;
        for segment in self.segments.drain(..) {
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
        *self = Output::default();
    }

    /// Before a connection is served: an empty output takes the allocations of `spare`.
    pub(super) fn join(&mut self, spare: &mut Output<F>) {
        if self.is_empty() {
            std::mem::swap(self, spare);
        }
    }

    /// After it was served: the allocations go back to `spare`; a remainder keeps just what it needs.
    pub(super) fn part(&mut self, spare: &mut Output<F>) {
        if self.is_empty() && spare.inline.capacity() == 0 {
            std::mem::swap(self, spare);
        } else if self.is_empty() {
            // It had a remainder, and so buffers of its own: the spare ones were not lent.
            *self = Output::default();
        } else if spare.inline.capacity() == 0 {
            let rest = self.inline[self.inline_sent..].to_vec();
            spare.inline = std::mem::replace(&mut self.inline, rest);
            spare.inline.clear();
            self.inline_sent = 0;
        }
        self.invariants();
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
            assert_eq!(self.inline.len() - self.inline_sent, inline, "the segments name every inline byte");
            assert_eq!(self.memory_bytes, inline + shared);
        }
    }
}
