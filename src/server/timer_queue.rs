//! The next timeout of each client of an event loop.
//!
//! A client's deadline moves with almost every request, almost always to a later moment. So the
//! queue is not updated each time: when an entry comes up, the client's deadline is compared, and
//! the entry is queued again if the deadline has moved. A request costs one comparison, whatever
//! the number of connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::http::Moment;

/// A queue of slab keys, ordered by the moment at which each has to be checked.
#[derive(Debug, Default)]
pub struct TimerQueue {
    entries: BinaryHeap<Reverse<(Moment, usize)>>,
    /// For each slab key, its earliest entry. It belongs to the key and not to the client: a
    /// thousand short connections in a row leave one entry.
    earliest: Vec<Option<Moment>>,
}

impl TimerQueue {
    /// Ensures that `key` comes up no later than at `deadline`.
    #[inline]
    pub fn schedule(&mut self, key: usize, deadline: Moment) {
        let earliest = self.earliest.get(key).copied().flatten();
        if earliest.is_none_or(|earliest| earliest > deadline) {
            self.push(key, deadline);
        }
    }

    #[cold]
    fn push(&mut self, key: usize, deadline: Moment) {
        if self.earliest.len() <= key {
            self.earliest.resize(key + 1, None);
        }
        self.earliest[key] = Some(deadline);
        self.entries.push(Reverse((deadline, key)));
    }

    /// When the first entry comes up.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.entries.peek().map(|Reverse((moment, _))| *moment)
    }

    /// Takes a key whose deadline, as given by `deadline_of`, has passed. A key whose deadline has
    /// moved is queued again; a key without a deadline is dropped.
    pub fn pop_due(
        &mut self,
        now: Moment,
        deadline_of: impl Fn(usize) -> Option<Moment>,
    ) -> Option<usize> {
        let is_due = |Reverse((moment, _)): &Reverse<(Moment, usize)>| *moment <= now;
        while let Some(Reverse((moment, key))) = self.entries.peek().copied().filter(is_due) {
            self.entries.pop();
            // Otherwise an earlier entry has replaced this one.
            if self.earliest[key] == Some(moment) {
                self.earliest[key] = None;
                match deadline_of(key) {
                    Some(deadline) if deadline > now => self.schedule(key, deadline),
                    Some(_) => return Some(key),
                    None => {}
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_key_comes_up_once_at_its_earliest_deadline() {
        let start = Moment::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer_queue = TimerQueue::default();
        for (key, seconds) in [(3, 10), (3, 20), (3, 5), (1, 7)] {
            timer_queue.schedule(key, at(seconds));
        }
        let due = |_| Some(start);
        assert_eq!(timer_queue.next_timeout(), Some(at(5)));
        assert_eq!(timer_queue.pop_due(at(4), due), None);
        assert_eq!(timer_queue.pop_due(at(30), due), Some(3));
        assert_eq!(timer_queue.pop_due(at(30), due), Some(1));
        assert_eq!(timer_queue.pop_due(at(30), due), None);
        timer_queue.schedule(3, at(40));
        assert_eq!(timer_queue.pop_due(at(40), due), Some(3));
    }

    #[test]
    fn a_moved_deadline_comes_up_at_its_new_time_and_a_removed_one_never() {
        let start = Moment::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer_queue = TimerQueue::default();
        timer_queue.schedule(0, at(10));
        timer_queue.schedule(1, at(10));
        let moved = |key| (key == 0).then_some(at(15));
        assert_eq!(timer_queue.pop_due(at(11), moved), None);
        assert_eq!(timer_queue.next_timeout(), Some(at(15)));
        assert_eq!(timer_queue.pop_due(at(16), moved), Some(0));
        assert_eq!(timer_queue.next_timeout(), None);
    }
}
