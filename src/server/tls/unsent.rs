//! Encrypted bytes that the socket has not accepted yet.
//!
//! Invariants:
//! 1. At most one batch is unsent. The next one is encrypted once the socket has accepted all of
//!    it, so a client that does not read holds no more than one batch.
//! 2. Between two turns, a connection without unsent bytes owns no buffer.

use std::convert::Infallible;

/// One batch of records, and how many bytes of a response are in it.
#[derive(Debug, Default)]
pub struct Unsent {
    /// May be longer than the batch, so that it need not be zeroed for each one.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The length of the batch in bytes, as it was encrypted.
    total: u64,
    response_bytes: u64,
    /// How many response bytes have been reported to the connection as sent.
    reported: u64,
}

impl Unsent {
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the batch has a part of a response, and not only messages of TLS.
    pub fn has_response(&self) -> bool {
        self.response_bytes > 0
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Appends records of at most `bytes_max`, which contain `response_bytes`. `write` writes them
    /// and returns their length.
    pub fn append<E>(
        &mut self,
        bytes_max: usize,
        response_bytes: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let needed = self.end + bytes_max;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        let written = write(&mut self.buffer[self.end..])?;
        self.end += written;
        self.total += written as u64;
        self.response_bytes += response_bytes as u64;
        Ok(())
    }

    /// Appends a message of TLS.
    pub fn push_message(&mut self, message: &[u8]) {
        let Ok(()) = self.append(message.len(), 0, |out| {
            out[..message.len()].copy_from_slice(message);
            Ok::<_, Infallible>(message.len())
        });
    }

    /// Removes `sent` bytes, which the socket has accepted. Returns how many more response bytes
    /// count as sent: in proportion to the batch, so that a slow reader makes visible progress, but
    /// the last one only with the last byte of the batch.
    pub fn advance(&mut self, sent: usize) -> u64 {
        self.start += sent;
        let left = (self.end - self.start) as u64;
        let due = match left {
            0 => self.response_bytes,
            left => self.response_bytes * (self.total - left) / self.total,
        };
        let newly_due = due - self.reported;
        self.reported = due;
        if left == 0 {
            *self = Unsent { buffer: std::mem::take(&mut self.buffer), ..Unsent::default() };
        }
        newly_due
    }

    /// Before a turn: takes the buffer `spare`, unless there is a batch.
    pub fn lend_buffer(&mut self, spare: &mut Vec<u8>) {
        if self.is_empty() {
            std::mem::swap(&mut self.buffer, spare);
        }
    }

    /// After a turn: returns the buffer to `spare`. What is unsent is copied.
    pub fn reclaim_buffer(&mut self, spare: &mut Vec<u8>) {
        let rest = self.bytes().to_vec();
        if spare.is_empty() {
            *spare = std::mem::take(&mut self.buffer);
        }
        (self.start, self.end) = (0, rest.len());
        self.buffer = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(unsent: &mut Unsent, bytes: &[u8], response_bytes: usize) {
        let write = |out: &mut [u8]| {
            out[..bytes.len()].copy_from_slice(bytes);
            Ok::<_, ()>(bytes.len())
        };
        unsent.append(bytes.len() + 7, response_bytes, write).expect("it fits");
    }

    #[test]
    fn response_bytes_count_in_proportion_and_the_last_one_with_the_last_byte() {
        let mut unsent = Unsent::default();
        append(&mut unsent, &[1; 10], 0);
        append(&mut unsent, &[2; 30], 20);
        assert!(unsent.has_response());
        let mut reported = 0;
        for _ in 0..39 {
            reported += unsent.advance(1);
            assert!(reported < 20);
        }
        assert_eq!(reported, 19);
        assert_eq!(unsent.advance(1), 1);
        assert!(unsent.is_empty() && !unsent.has_response());
    }

    #[test]
    fn a_connection_without_unsent_bytes_owns_no_buffer_between_turns() {
        let (mut unsent, mut spare) = (Unsent::default(), Vec::new());
        unsent.lend_buffer(&mut spare);
        append(&mut unsent, b"first", 5);
        assert_eq!(unsent.advance(5), 5);
        unsent.reclaim_buffer(&mut spare);
        assert_eq!((unsent.buffer.capacity(), spare.len()), (0, 12));
    }

    #[test]
    fn what_is_unsent_after_a_turn_is_sent_in_the_next() {
        let (mut unsent, mut spare) = (Unsent::default(), vec![0; 100]);
        unsent.lend_buffer(&mut spare);
        append(&mut unsent, b"0123456789", 10);
        assert_eq!(unsent.advance(4), 4);
        unsent.reclaim_buffer(&mut spare);
        assert_eq!((unsent.bytes(), spare.len()), (&b"456789"[..], 100));
        unsent.lend_buffer(&mut spare);
        assert_eq!((unsent.bytes(), spare.len()), (&b"456789"[..], 100));
        assert_eq!(unsent.advance(6), 6);
        unsent.reclaim_buffer(&mut spare);
        assert_eq!((unsent.buffer.capacity(), spare.len()), (0, 100));
    }
}
