//! The order in which an event loop serves its clients.
//!
//! ```text
//!   a client that waits for input is ready, ─────> awaiting input: all get a turn in this pass
//!   or its offloaded job is complete
//!
//!   a client is ready for more of a response, ───> continuing: in order of arrival, as long as the
//!   or its turn was over before it was done        pass has moved few bytes
//!
//!   a client has to make its TLS handshake, ─────> handshaking: in order of arrival, one step of a
//!   and is ready or new                            handshake in each pass
//! ```
//!
//! So a short response does not wait behind many long ones: after each megabyte of those, the loop
//! looks for new requests.
//!
//! Invariants:
//! 1. A client for which [`Client::is_queued`] is set is not queued again, however many events it
//!    gets.
//! 2. A key whose client is gone, or has `is_queued` unset because it was served in another way, is
//!    stale. The event loop skips it.

use std::collections::VecDeque;

use super::client::Client;
use crate::http::Step;

/// The keys of the clients that can continue.
#[derive(Debug, Default)]
pub struct TurnQueue {
    awaiting_input: VecDeque<usize>,
    continuing: VecDeque<usize>,
    handshaking: VecDeque<usize>,
}

impl TurnQueue {
    /// Adds a client whose socket is ready.
    pub fn add_woken(&mut self, client: &mut Client) {
        match client.connection.step() {
            _ if client.transport.awaits_handshake() => add(&mut self.handshaking, client),
            Step::Send => add(&mut self.continuing, client),
            _ => add(&mut self.awaiting_input, client),
        }
    }

    /// Adds a client that has the result of its offloaded job.
    pub fn add_completed(&mut self, client: &mut Client) {
        add(&mut self.awaiting_input, client);
    }

    /// Adds a client whose turn ended although it could continue.
    pub fn add_yielded(&mut self, client: &mut Client) {
        match client.transport.awaits_handshake() {
            true => add(&mut self.handshaking, client),
            false => add(&mut self.continuing, client),
        }
    }

    /// Takes the next client that waits for input.
    pub fn next_awaiting_input(&mut self) -> Option<usize> {
        self.awaiting_input.pop_front()
    }

    /// Takes the next client that continues a response.
    pub fn next_continuing(&mut self) -> Option<usize> {
        self.continuing.pop_front()
    }

    /// How many clients continue a response.
    pub fn continuing(&self) -> usize {
        self.continuing.len()
    }

    /// Takes the next client whose handshake is not complete.
    pub fn next_handshaking(&mut self) -> Option<usize> {
        self.handshaking.pop_front()
    }

    /// How many queued clients have not completed their handshakes.
    pub fn handshaking(&self) -> usize {
        self.handshaking.len()
    }

    pub fn is_empty(&self) -> bool {
        self.awaiting_input.is_empty() && self.continuing.is_empty() && self.handshaking.is_empty()
    }

    /// Removes all clients except those that are handshaking, for a caller that gives each of
    /// the others a turn.
    pub fn clear(&mut self) {
        self.awaiting_input.clear();
        self.continuing.clear();
    }
}

fn add(queue: &mut VecDeque<usize>, client: &mut Client) {
    if !client.is_queued {
        client.is_queued = true;
        queue.push_back(client.slab_key);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::http::{Connection, Moment, Now};
    use crate::server::client::{PendingJob, ReadState, Transport};
    use crate::server::connection_limit::ConnectionLimit;
    use crate::server::cork::Cork;
    use crate::server::proxy_header::ProxyHeader;
    use crate::server::tracer::ConnectionId;
    use crate::site::Service;

    fn client(slab_key: usize) -> Client {
        let (socket, _) = UnixStream::pair().expect("descriptors are free");
        Client {
            id: ConnectionId(1),
            slab_key,
            read_state: ReadState::Drained,
            connection: Connection::new(Arc::default(), &Now::new(Moment::default(), UNIX_EPOCH)),
            socket: Arc::new(socket.into()),
            address: None,
            transport: Transport::Plain(Service::Site),
            proxy_header: ProxyHeader::NotExpected,
            permit: ConnectionLimit::new(1, None).try_acquire().expect("it is the first"),
            pending_job: PendingJob::None,
            is_queued: false,
            cork: Cork::default(),
        }
    }

    #[test]
    fn a_client_is_queued_once_however_many_events_it_gets() {
        let (mut long, mut short) = (client(7), client(8));
        let mut turns = TurnQueue::default();
        turns.add_yielded(&mut long);
        turns.add_woken(&mut long);
        turns.add_woken(&mut short);
        turns.add_completed(&mut short);
        assert_eq!(turns.next_awaiting_input(), Some(8));
        assert_eq!(turns.next_awaiting_input(), None);
        assert_eq!((turns.continuing(), turns.next_continuing()), (1, Some(7)));
        assert!(turns.is_empty());
        // It had its turn.
        long.is_queued = false;
        turns.add_yielded(&mut long);
        assert_eq!(turns.next_continuing(), Some(7));
    }
}
