//! Which connections are closed to make room for new ones, once the server is at its limit.
//!
//! A client that reconnects loses a round trip, a client that is not admitted loses the site. So
//! keep-alive connections go first, then those that keep the server waiting: that have sent nothing
//! yet, or a part of a request, or that do not close after their last response. A connection with a
//! response in progress is never closed. One that has just become idle is closed after one more
//! response: its next request may be on its way, and would be lost.

use std::time::Duration;

use crate::http::{Awaits, EvictionCandidate, Moment};

/// The most connections that are closed at once. One search serves several new connections.
const EVICTIONS_MAX: usize = 32;

/// How long a client may keep the server waiting before it can be evicted. A client that sends its
/// request at once needs less, unless a packet of it is lost.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a keep-alive connection has been idle before it is closed at once. A client that sends
/// one request after the other takes less, unless its machine is busy.
const IDLE_TIME_MIN: Duration = Duration::from_millis(50);

/// Whether a connection is closed at once if it is chosen, and not after one more response.
pub fn is_closed_at_once(candidate: &EvictionCandidate, now: Moment) -> bool {
    match candidate.awaits {
        Awaits::NextRequest => now.since(candidate.since) >= IDLE_TIME_MIN,
        Awaits::Rest => now.since(candidate.since) > WAIT_MAX,
    }
}

/// The keys of the connections to close: of those that can be closed, the sixteenth that has waited
/// for longest.
pub fn choose<Key>(
    connections: impl Iterator<Item = (Key, Option<EvictionCandidate>)>,
    now: Moment,
) -> Vec<Key> {
    let is_evictable = |candidate: &EvictionCandidate| match candidate.awaits {
        Awaits::NextRequest => true,
        Awaits::Rest => is_closed_at_once(candidate, now),
    };
    let mut candidates: Vec<_> = connections
        .filter_map(|(key, candidate)| Some((candidate.filter(is_evictable)?, key)))
        .collect();
    candidates.sort_unstable_by_key(|(candidate, _)| *candidate);
    let count = candidates.len().div_ceil(16).min(EVICTIONS_MAX);
    candidates.into_iter().take(count).map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_connections_go_before_those_that_keep_the_server_waiting() {
        let start = Moment::default();
        let since = |awaits, seconds| {
            Some(EvictionCandidate { awaits, since: start + Duration::from_secs(seconds) })
        };
        let mut connections = vec![
            ("old head", since(Awaits::Rest, 1)),
            ("busy", None),
            ("idle", since(Awaits::NextRequest, 5)),
            ("longer idle", since(Awaits::NextRequest, 4)),
            ("new head", since(Awaits::Rest, 9)),
        ];
        let mut order = Vec::new();
        while let [key] = choose(connections.iter().copied(), start + Duration::from_secs(10))[..] {
            order.push(key);
            connections.retain(|(other, _)| *other != key);
        }
        assert_eq!(order, ["longer idle", "idle", "old head"]);
    }

    #[test]
    fn a_connection_that_has_just_become_idle_is_not_closed_at_once() {
        let since = Moment::default() + Duration::from_secs(1);
        let now = since + IDLE_TIME_MIN / 2;
        for (awaits, now, expected) in [
            (Awaits::NextRequest, now, false),
            (Awaits::NextRequest, since + IDLE_TIME_MIN, true),
            (Awaits::Rest, since + WAIT_MAX, false),
            (Awaits::Rest, since + WAIT_MAX * 2, true),
        ] {
            let candidate = EvictionCandidate { awaits, since };
            assert_eq!(is_closed_at_once(&candidate, now), expected, "{candidate:?}");
        }
    }

    #[test]
    fn one_search_finds_a_sixteenth_and_at_most_32() {
        let candidate =
            Some(EvictionCandidate { awaits: Awaits::NextRequest, since: Moment::default() });
        for (connections, chosen) in [(0, 0), (1, 1), (16, 1), (17, 2), (512, 32), (10_000, 32)] {
            let keys = choose((0..connections).map(|key| (key, candidate)), Moment::default());
            assert_eq!(keys.len(), chosen, "of {connections}");
        }
    }
}
