//! Limits how many wrong passwords a client may try.
//!
//! Each address may fail [`FAILURES_MAX`] times in a row, and then once every [`INTERVAL`]: a token
//! bucket, stored as the time at which it will be full again (the generic cell rate algorithm).
//!
//! All forked children count in one [`SharedTable`], which also bounds the number of addresses that
//! are remembered.

// The address type of std::net, without its sockets.
use core::net::IpAddr;
use std::time::Duration;

use rustix::io::Result;

use super::secret_key::{Purpose, SecretKey};
use super::shared_table::{SharedTable, TableKey};
use crate::http::Moment;

/// How often an address may fail before it has to wait.
const FAILURES_MAX: u32 = 5;
/// How long it then waits between attempts: at most 8,640 a day.
const INTERVAL: Duration = Duration::from_secs(10);

/// The network that a client connects from. Failures from one network count together, and so do
/// connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientNetwork {
    /// The kernel has reported no address.
    #[default]
    Unknown,
    /// One IPv4 address.
    V4([u8; 4]),
    /// The first 64 bits of an IPv6 address. One client usually has all addresses that begin with
    /// them (RFC 6177 section 2).
    V6([u8; 8]),
}

impl From<IpAddr> for ClientNetwork {
    fn from(address: IpAddr) -> ClientNetwork {
        match address.to_canonical() {
            IpAddr::V4(address) => ClientNetwork::V4(address.octets()),
            IpAddr::V6(address) => {
                let prefix = address.octets().first_chunk().copied();
                ClientNetwork::V6(prefix.expect("an IPv6 address has 16 bytes"))
            }
        }
    }
}

impl ClientNetwork {
    /// Different for each network.
    pub fn bytes(&self) -> &[u8] {
        match self {
            ClientNetwork::Unknown => &[],
            ClientNetwork::V4(address) => address,
            ClientNetwork::V6(prefix) => prefix,
        }
    }
}

/// For each network with failures, the time at which its token bucket is full again.
#[derive(Debug)]
pub struct Throttle {
    table: SharedTable,
    key: SecretKey,
}

impl Throttle {
    /// # Errors
    /// No descriptor or memory is left.
    pub fn new(key: SecretKey) -> Result<Throttle> {
        Ok(Throttle { table: SharedTable::new()?, key })
    }

    /// How long a client must wait before its next password is checked; None if it need not.
    pub fn wait(&self, client: ClientNetwork, now: Moment) -> Option<Duration> {
        let until = self.table.until(self.table_key(client))?;
        let next_attempt = until - INTERVAL * (FAILURES_MAX - 1);
        Some(next_attempt.since(now)).filter(|wait| !wait.is_zero())
    }

    /// Records a wrong password.
    pub fn record_failure(&self, client: ClientNetwork, now: Moment) {
        let one_more = |until: Option<Moment>| until.map_or(now, |until| until.max(now)) + INTERVAL;
        self.table.set_until(self.table_key(client), one_more);
    }

    fn table_key(&self, client: ClientNetwork) -> TableKey {
        self.key.hash(Purpose::ClientNetwork, &[client.bytes()]).table_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(1_000 + seconds))
    }

    fn throttle() -> Throttle {
        Throttle::new(SecretKey::random().expect("random bytes")).expect("a descriptor is free")
    }

    #[test]
    fn an_address_may_fail_five_times_and_then_once_per_interval() {
        let throttle = throttle();
        let [one, another] = [7, 8].map(|last| ClientNetwork::V4([10, 0, 0, last]));
        for _ in 0..FAILURES_MAX {
            assert_eq!(throttle.wait(one, at(0)), None);
            throttle.record_failure(one, at(0));
        }
        assert_eq!(throttle.wait(one, at(0)), Some(INTERVAL));
        assert_eq!(throttle.wait(another, at(0)), None);
        assert_eq!(throttle.wait(one, at(4)), Some(Duration::from_secs(6)));
        assert_eq!(throttle.wait(one, at(10)), None);
        throttle.record_failure(one, at(10));
        assert_eq!(throttle.wait(one, at(10)), Some(INTERVAL));
        // After a pause, all of them are free again, and no more.
        for _ in 0..FAILURES_MAX {
            assert_eq!(throttle.wait(one, at(1_000)), None);
            throttle.record_failure(one, at(1_000));
        }
        assert_eq!(throttle.wait(one, at(1_000)), Some(INTERVAL));
    }

    #[test]
    fn failures_are_counted_per_network() {
        let throttle = throttle();
        for network in [
            ClientNetwork::Unknown,
            ClientNetwork::V4([10, 0, 0, 1]),
            ClientNetwork::V4([10, 0, 0, 2]),
            ClientNetwork::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]),
        ] {
            assert_eq!(throttle.wait(network, at(0)), None, "{network:?}");
            (0..FAILURES_MAX).for_each(|_| throttle.record_failure(network, at(0)));
            assert_eq!(throttle.wait(network, at(0)), Some(INTERVAL), "{network:?}");
        }
    }
}
