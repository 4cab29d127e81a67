//! The parameters of a load.

use std::net::SocketAddr;
use std::time::Duration;

use super::pace::Pace;
use super::slow_readers::SlowReaders;
use super::template::RequestTemplate;
use super::tls::ClientTls;

/// What to send to which server, over how many connections.
#[derive(Clone, Debug)]
pub struct Plan {
    pub address: SocketAddr,
    /// The request of every active connection.
    pub template: RequestTemplate,
    /// Connections that send requests during the run.
    pub active: usize,
    /// Connections that send one request when they are opened and then stay idle.
    pub idle: usize,
    /// The pipeline depth: requests that are sent in one batch, the next batch when all have a
    /// response. 1 at a fixed rate.
    pub depth: usize,
    pub pace: Pace,
    /// Connections that read slowly, in addition to the measured ones.
    pub slow: Option<SlowReaders>,
    /// None for plain HTTP.
    pub tls: Option<ClientTls>,
    /// The longest wait for a response.
    pub timeout: Duration,
}

impl Plan {
    /// Each of `active` connections sends its next request when it has a response. A wait for that
    /// may last a minute.
    pub fn closed_loop(address: SocketAddr, template: RequestTemplate, active: usize) -> Plan {
        Plan {
            address,
            template,
            active,
            idle: 0,
            depth: 1,
            pace: Pace::Closed,
            slow: None,
            tls: None,
            timeout: Duration::from_secs(60),
        }
    }
}
