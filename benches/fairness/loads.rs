//! The loads beside which the client is measured.

use std::io;
use std::net::SocketAddr;

use miniweb::load::{ClientTls, Handshake, LoadResult, Plan, RequestTemplate, Reuse, SlowReaders};

use crate::certificate::{KeyKind, TestCertificate};
use crate::servers::Contender;
use crate::site::{LARGE_PATH, LISTED_PATH, SMALL_BYTES, SMALL_PATH, Site};

/// What other clients do while the client is measured.
#[derive(Debug)]
pub struct BesideLoad {
    pub name: &'static str,
    pub description: &'static str,
    /// How many connections it has open at the same time.
    connections: usize,
    pub unit: Unit,
    requests: Requests,
}

/// The unit in which the achieved rate of a load is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Megabytes,
    Responses,
}

#[derive(Clone, Copy, Debug)]
enum Requests {
    None,
    Downloads,
    NewConnections,
    CompressedPages,
    Listings,
    SlowDownloads {
        bytes_per_second: u64,
    },
    Pipelined {
        depth: usize,
    },
    /// The measured client has TLS, too.
    Handshakes(KeyKind),
}

pub static ALL: [BesideLoad; 11] = [
    load("alone", "no load", 0, Requests::None),
    load("downloads-1", "1 fast download of 100 MB", 1, Requests::Downloads),
    load("downloads-8", "8 fast downloads of 100 MB", 8, Requests::Downloads),
    load("downloads-64", "64 fast downloads of 100 MB", 64, Requests::Downloads),
    load("connections", "8 clients, a connection per request", 8, Requests::NewConnections),
    load("gzip", "8 clients, a connection and gzip per request", 8, Requests::CompressedPages),
    load("listings", "4 clients that list a large directory", 4, Requests::Listings),
    load(
        "slow-readers",
        "64 downloads at 256 KiB/s each",
        64,
        Requests::SlowDownloads { bytes_per_second: 256 << 10 },
    ),
    load(
        "pipelined",
        "16 clients that pipeline 16 requests",
        16,
        Requests::Pipelined { depth: 16 },
    ),
    load(
        "handshakes",
        "10 clients, a TLS handshake (P-256) per request",
        10,
        Requests::Handshakes(KeyKind::P256),
    ),
    load(
        "handshakes-rsa",
        "10 clients, a TLS handshake (RSA-2048) per request",
        10,
        Requests::Handshakes(KeyKind::Rsa2048),
    ),
];

const fn load(
    name: &'static str,
    description: &'static str,
    connections: usize,
    requests: Requests,
) -> BesideLoad {
    let unit = match requests {
        Requests::Downloads | Requests::SlowDownloads { .. } => Unit::Megabytes,
        _ => Unit::Responses,
    };
    BesideLoad { name, description, connections, unit, requests }
}

impl BesideLoad {
    /// Whether a server can serve the client under this load. If it cannot, the client would wait
    /// until a connection of the load ends.
    pub fn is_served_by(&self, server: &Contender) -> bool {
        self.connections < server.concurrency()
    }

    /// The certificate that the server needs.
    pub fn certificate<'a>(&self, site: &'a Site) -> Option<&'a TestCertificate> {
        match self.requests {
            Requests::Handshakes(KeyKind::P256) => Some(&site.p256),
            Requests::Handshakes(KeyKind::Rsa2048) => Some(&site.rsa),
            _ => None,
        }
    }

    /// How clients speak TLS. None without TLS.
    pub fn client_tls(&self, site: &Site) -> io::Result<Option<ClientTls>> {
        let trusting = |made: &TestCertificate| ClientTls::trusting(&made.der, Handshake::Full);
        self.certificate(site).map(trusting).transpose()
    }

    /// How to put the load on the server at `address`. None for `alone`.
    pub fn plan(&self, site: &Site, address: SocketAddr) -> io::Result<Option<Plan>> {
        let host = address.to_string();
        let get =
            |path, body_bytes| RequestTemplate::get(&host, path, Reuse::KeepAlive, body_bytes);
        let small = get(SMALL_PATH, SMALL_BYTES);
        let large = get(LARGE_PATH, site.large_bytes);
        let closed = |template| Plan::closed_loop(address, template, self.connections);
        let plan = match self.requests {
            Requests::None => return Ok(None),
            Requests::Downloads => closed(large),
            Requests::NewConnections | Requests::Handshakes(_) => {
                closed(RequestTemplate::get(&host, SMALL_PATH, Reuse::Never, SMALL_BYTES))
            }
            Requests::CompressedPages => closed(
                RequestTemplate::get_each(&host, &site.pages, Reuse::Never, 0)
                    .with_any_length()
                    .with_header("Accept-Encoding", "gzip"),
            ),
            Requests::Listings => closed(get(LISTED_PATH, 0).with_any_length()),
            Requests::SlowDownloads { bytes_per_second } => {
                let connections = self.connections;
                let slow = SlowReaders { connections, bytes_per_second, template: large };
                Plan { active: 0, slow: Some(slow), ..closed(small) }
            }
            Requests::Pipelined { depth } => Plan { depth, ..closed(small) },
        };
        Ok(Some(Plan { tls: self.client_tls(site)?, ..plan }))
    }

    /// What the load achieved, in its unit per second.
    pub fn rate(&self, result: &LoadResult) -> f64 {
        match self.unit {
            Unit::Megabytes => result.received_bytes as f64 / 1e6 / result.duration.as_secs_f64(),
            Unit::Responses => result.per_second(),
        }
    }
}
