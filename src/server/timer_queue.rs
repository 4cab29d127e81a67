//! Which connection is to be looked at when.
//!
//! A deadline moves with nearly every request, nearly always to a later moment. So a connection is not moved
//! in here each time: it is looked at when its entry comes up, and entered again if its deadline has moved.
//! A request costs one comparison, whatever the number of connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::http::Moment;

/// The next look at each place of a slab.
#[derive(Debug, Default)]
pub struct TimerQueue {
    looks: BinaryHeap<Reverse<(Moment, usize)>>,
    /// For each place, its earliest entry in `looks`. It belongs to the place, not to the connection in it:
    /// a thousand short connections after each other leave one entry.
    scheduled: Vec<Option<Moment>>,
}

impl TimerQueue {
    /// Sees to it that `key` is looked at no later than at `deadline`.
    #[inline]
    pub fn schedule(&mut self, key: usize, deadline: Moment) {
        let look = self.scheduled.get(key).copied().flatten();
        if look.is_none_or(|look| look > deadline) {
            self.enter(key, deadline);
        }
    }

    #[cold]
    fn enter(&mut self, key: usize, deadline: Moment) {
        if self.scheduled.len() <= key {
            self.scheduled.resize(key + 1, None);
        }
        self.scheduled[key] = Some(deadline);
        self.looks.push(Reverse((deadline, key)));
    }

    /// When the next look is due.
    pub fn next(&self) -> Option<Moment> {
        self.looks.peek().map(|Reverse((look, _))| *look)
    }

    /// A key whose deadline, as `deadline_of` says it, has come. Those whose deadline has moved are entered
    /// again; those that have none any more are forgotten.
    pub fn pop_due(
        &mut self,
        now: Moment,
        deadline_of: impl Fn(usize) -> Option<Moment>,
    ) -> Option<usize> {
        while let Some(Reverse((look, key))) =
            self.looks.peek().copied().filter(|Reverse((look, _))| *look <= now)
        {
            self.looks.pop();
            // Otherwise an earlier look took its place; this one is left over.
            if self.scheduled[key] == Some(look) {
                self.scheduled[key] = None;
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
    fn each_key_comes_up_once_at_its_earliest_deadline() {
        let start = Moment::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer_queue = TimerQueue::default();
        for (key, seconds) in [(3, 10), (3, 20), (3, 5), (1, 7)] {
            timer_queue.schedule(key, at(seconds));
        }
        let due = |_| Some(start);
        assert_eq!(timer_queue.next(), Some(at(5)));
        assert_eq!(timer_queue.pop_due(at(4), due), None);
        assert_eq!(timer_queue.pop_due(at(30), due), Some(3));
        assert_eq!(timer_queue.pop_due(at(30), due), Some(1));
        assert_eq!(timer_queue.pop_due(at(30), due), None);
        timer_queue.schedule(3, at(40));
        assert_eq!(timer_queue.pop_due(at(40), due), Some(3));
    }

    #[test]
    fn a_deadline_that_has_moved_is_met_when_it_comes_and_one_that_is_gone_never() {
        let start = Moment::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer_queue = TimerQueue::default();
        timer_queue.schedule(0, at(10));
        timer_queue.schedule(1, at(10));
        let moved = |key| (key == 0).then_some(at(15));
        assert_eq!(timer_queue.pop_due(at(11), moved), None);
        assert_eq!(timer_queue.next(), Some(at(15)));
        assert_eq!(timer_queue.pop_due(at(16), moved), Some(0));
        assert_eq!(timer_queue.next(), None);
    }
}
