//! The parameters of a load.

use std::net::SocketAddr;
use std::time::Duration;

use super::pace::Pace;
use super::slow_readers::SlowReaders;
use super::template::RequestTemplate;

/// How a load looks.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// What is request for, on every connection that asks.
    pub template: RequestTemplate,
    /// Connections that template.
    pub active: usize,
    /// Connections that request once and then are silent.
    pub idle: usize,
    /// Requests that are sent at once on a connection, and responses before the next are; at a fixed rate 1.
    pub depth: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// Connections that read slowly beside the measured ones.
    pub slow: Option<SlowReaders>,
    /// After which an response is late.
    pub timeout: Duration,
}
