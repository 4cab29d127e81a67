//! The number of connections that a server may have open at once: in all, over all its workers, and
//! for each client address.
//!
//! Invariants:
//! 1. Each open connection has one permit, and as many permits exist as connections are open or
//!    about to be accepted.
//! 2. A count of a client exists as long as one of its connections is open, so there are no more
//!    counts than connections.
//! 3. A forked child drops the permit that it inherits. No other thread may hold a lock of this
//!    module during a fork; see `Children::fork`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::offload::CompletionQueue;
use crate::site::ClientNetwork;
use crate::sync::{lock, wait_timeout_while};
use crate::syscall_stats::{Event, SyscallStats};

/// The connections that a server may still accept.
#[derive(Debug)]
pub struct ConnectionLimit {
    available: AtomicUsize,
    /// Notified when a permit is returned after all were taken.
    returned: Condvar,
    /// Orders the notifications against the checks of the threads that wait.
    returning: Mutex<()>,
    /// How many threads wait. Without one, to return a permit costs no system call.
    waiting: AtomicUsize,
    /// Whether an event loop waits. Without one, a permit wakes none.
    is_awaited: AtomicBool,
    per_client: Option<PerClient>,
    /// One queue for each event loop that shares the limit.
    event_loops: Mutex<Vec<Arc<CompletionQueue>>>,
}

#[derive(Debug)]
struct PerClient {
    connections_max: NonZeroUsize,
    open: Mutex<HashMap<ClientNetwork, NonZeroUsize>>,
}

/// Permission to have one connection open; returned to the limit when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    /// The client that the connection is counted for.
    client: Option<ClientNetwork>,
    /// Where the connection is counted as open, once it was accepted.
    stats: Option<Arc<SyscallStats>>,
}

impl ConnectionLimit {
    /// A limit of `connections_max` connections, and of `per_client_max` for each client.
    pub fn new(
        connections_max: usize,
        per_client_max: Option<NonZeroUsize>,
    ) -> Arc<ConnectionLimit> {
        let per_client = per_client_max
            .map(|connections_max| PerClient { connections_max, open: Mutex::default() });
        Arc::new(ConnectionLimit {
            available: AtomicUsize::new(connections_max),
            returned: Condvar::new(),
            returning: Mutex::default(),
            waiting: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            per_client,
            event_loops: Mutex::default(),
        })
    }

    /// Takes a permit if one is available.
    pub fn try_acquire(self: &Arc<ConnectionLimit>) -> Option<ConnectionPermit> {
        let take_one = |available: usize| available.checked_sub(1);
        self.available.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_one).ok()?;
        Some(ConnectionPermit { limit: self.clone(), client: None, stats: None })
    }

    /// The number of connections that may still be accepted.
    pub fn available(&self) -> usize {
        self.available.load(Ordering::SeqCst)
    }

    /// Whether every permit is taken.
    pub fn is_exhausted(&self) -> bool {
        self.available() == 0
    }

    /// Waits until a permit is available, at most for `timeout`.
    pub fn wait_until_available(&self, timeout: Duration) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let is_exhausted = |_: &mut ()| self.is_exhausted();
        drop(wait_timeout_while(&self.returned, lock(&self.returning), timeout, is_exhausted));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// A limit of its own that is no higher, in all and for each client.
    pub fn narrowed_to(&self, connections_max: usize) -> Arc<ConnectionLimit> {
        let per_client_max = self.per_client.as_ref().map(|client| client.connections_max);
        ConnectionLimit::new(self.available().min(connections_max), per_client_max)
    }

    /// Adds an event loop to those that share the limit.
    pub fn share_with(&self, event_loop: Arc<CompletionQueue>) {
        lock(&self.event_loops).push(event_loop);
    }

    /// For an event loop that has found no permit and no connection of its own to close: asks all
    /// event loops that share the limit to close some, and has them woken once a permit is
    /// returned. If one has been returned meanwhile, it asks none and returns false, and the event
    /// loop must not wait.
    pub fn await_permit(&self) -> bool {
        let event_loops = lock(&self.event_loops);
        // Only this event loop returns permits, and it knows when.
        if event_loops.len() < 2 {
            return self.is_exhausted();
        }
        // Before the check: a permit returned after the check finds that it is awaited.
        let was_awaited = self.is_awaited.swap(true, Ordering::SeqCst);
        let is_exhausted = self.is_exhausted();
        if is_exhausted {
            event_loops.iter().for_each(|event_loop| event_loop.request_eviction());
        } else if !was_awaited {
            // The lock is held, so no other event loop has begun to wait.
            self.is_awaited.store(false, Ordering::SeqCst);
        }
        is_exhausted
    }

    /// Whether an event loop waits for a permit. If none does, an eviction request is out of date:
    /// closing a connection would admit no client.
    pub fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::SeqCst)
    }
}

impl ConnectionPermit {
    /// Counts the connection for the client at `address`. False if that client has as many
    /// connections as a client may have; then close this one.
    pub fn assign_to(&mut self, address: IpAddr) -> bool {
        let Some(per_client) = &self.limit.per_client else { return true };
        let client = ClientNetwork::from(address);
        match lock(&per_client.open).entry(client) {
            Entry::Occupied(open) if *open.get() >= per_client.connections_max => return false,
            Entry::Occupied(mut open) => *open.get_mut() = open.get().saturating_add(1),
            Entry::Vacant(none) => drop(none.insert(NonZeroUsize::MIN)),
        }
        self.client = Some(client);
        true
    }
}

impl ConnectionPermit {
    /// Counts the connection as accepted, and as closed when the permit is dropped. So every
    /// accepted connection is also counted as closed, even if the child that serves it is killed.
    pub fn count_in(&mut self, stats: &Arc<SyscallStats>) {
        stats.count_event(Event::Accepted);
        self.stats = Some(stats.clone());
    }

    /// Marks the permit as the copy that a forked child inherits. The parent counts the connection
    /// as closed when it has reaped the child.
    pub fn disown(&mut self) {
        self.stats = None;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(stats) = &self.stats {
            stats.count_event(Event::Closed);
        }
        if let (Some(client), Some(per_client)) = (self.client, &self.limit.per_client)
            && let Entry::Occupied(mut open) = lock(&per_client.open).entry(client)
        {
            match NonZeroUsize::new(open.get().get() - 1) {
                Some(left) => *open.get_mut() = left,
                None => drop(open.remove()),
            }
        }
        let was_exhausted = self.limit.available.fetch_add(1, Ordering::SeqCst) == 0;
        if was_exhausted && self.limit.waiting.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.limit.returning));
            self.limit.returned.notify_all();
        }
        // A plain load first: most permits are returned while no event loop waits.
        if self.limit.is_awaited.load(Ordering::SeqCst)
            && self.limit.is_awaited.swap(false, Ordering::SeqCst)
        {
            lock(&self.limit.event_loops).iter().for_each(|event_loop| event_loop.offer_permit());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::waker::Waker;

    #[test]
    fn the_connections_of_each_client_are_counted_until_they_close() {
        let limit = ConnectionLimit::new(10, NonZeroUsize::new(2));
        let connect = |address: &str| {
            let mut permit = limit.try_acquire().expect("ten connections are allowed");
            permit.assign_to(address.parse().expect("the address is valid")).then_some(permit)
        };
        let first = connect("192.0.2.1").expect("it is the first");
        // The same client, on a listener for both families.
        let second = connect("::ffff:192.0.2.1").expect("two are allowed");
        assert!(connect("192.0.2.1").is_none());
        assert!(connect("192.0.2.2").is_some());
        let same_network = ["2001:db8::1", "2001:db8::2"].map(connect);
        assert!(same_network.iter().all(Option::is_some));
        assert!(connect("2001:db8::3").is_none());
        assert!(connect("2001:db8:0:1::3").is_some());
        drop(first);
        assert!(connect("192.0.2.1").is_some());
        drop((second, same_network));
        let per_client = limit.per_client.as_ref().expect("there is a limit for each client");
        assert!(lock(&per_client.open).is_empty());
        assert_eq!(limit.available.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn an_eviction_request_counts_only_while_an_event_loop_waits() {
        let limit = ConnectionLimit::new(1, None);
        let event_loops = [(); 2].map(|()| {
            let waker = Waker::new().expect("a descriptor is free");
            Arc::new(CompletionQueue::new(waker))
        });
        event_loops.iter().for_each(|event_loop| limit.share_with(event_loop.clone()));
        let requests = || event_loops.each_ref().map(|queue| queue.take_eviction_request());

        // A permit has been returned since the event loop found none.
        assert!(!limit.await_permit() && !limit.is_awaited());
        assert_eq!(requests(), [false, false]);

        let permit = limit.try_acquire().expect("one connection is allowed");
        assert!(limit.await_permit() && limit.is_awaited());
        assert_eq!(requests(), [true, true]);
        drop(permit);
        assert!(!limit.is_awaited(), "a late request would evict the connection accepted next");
        assert!(event_loops.iter().all(|event_loop| event_loop.take_permit_offer()));
    }
}
