//! The loads that each server is put under.

use std::io;
use std::net::SocketAddr;

use miniweb::load::{ClientTls, Handshake, Plan, RequestTemplate, Reuse};

use crate::site::Site;

/// Requests of several connections, each of which sends the next when it has its response.
#[derive(Debug)]
pub struct Workload {
    pub name: &'static str,
    pub description: &'static str,
    pub target: Target,
    connections: usize,
    reuse: Reuse,
    /// Requests that a connection sends at once.
    depth: usize,
    /// How connections begin if they are encrypted.
    pub tls: Option<Handshake>,
}

/// What is requested.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    File {
        bytes: usize,
    },
    /// [`RANGE_BYTES`] bytes of a file.
    Range {
        file_bytes: usize,
    },
    /// One after the other of the files of [`MANY_BYTES`] bytes.
    Files {
        count: usize,
    },
}

/// Where the range begins: not at the start of a page.
pub const RANGE_FIRST: usize = 1000;
pub const RANGE_BYTES: usize = 1024;
pub const MANY_BYTES: usize = 4096;

const KIBIBYTE: Target = Target::File { bytes: 1024 };
const BASE: Workload = Workload {
    name: "1k",
    description: "1 KiB, 64 connections",
    target: KIBIBYTE,
    connections: 64,
    reuse: Reuse::KeepAlive,
    depth: 1,
    tls: None,
};

pub static ALL: [Workload; 15] = [
    BASE,
    Workload {
        name: "512-connections",
        description: "1 KiB, 512 connections",
        connections: 512,
        ..BASE
    },
    Workload {
        name: "pipelined",
        description: "1 KiB, 64 connections that pipeline 16 requests",
        depth: 16,
        ..BASE
    },
    Workload {
        name: "connections",
        description: "1 KiB, 64 clients, a connection for each request",
        reuse: Reuse::Never,
        ..BASE
    },
    Workload {
        name: "range",
        description: "1 KiB out of 100 KB, 64 connections",
        target: Target::Range { file_bytes: 100_000 },
        ..BASE
    },
    Workload {
        name: "100-kb",
        description: "100 KB, 32 connections",
        target: Target::File { bytes: 100_000 },
        connections: 32,
        ..BASE
    },
    Workload {
        name: "10-mb",
        description: "10 MB, 8 connections",
        target: Target::File { bytes: 10_000_000 },
        connections: 8,
        ..BASE
    },
    Workload {
        name: "10000-files",
        description: "10,000 files of 4 KiB, 64 connections",
        target: Target::Files { count: 10_000 },
        ..BASE
    },
    Workload {
        name: "100000-files",
        description: "100,000 files of 4 KiB, 64 connections",
        target: Target::Files { count: 100_000 },
        ..BASE
    },
    Workload {
        name: "tls",
        description: "1 KiB, 64 connections, TLS",
        tls: Some(Handshake::Full),
        ..BASE
    },
    Workload {
        name: "tls-512",
        description: "1 KiB, 512 connections, TLS",
        connections: 512,
        tls: Some(Handshake::Full),
        ..BASE
    },
    Workload {
        name: "tls-handshakes",
        description: "1 KiB, 16 clients, a connection with a full TLS handshake for each request",
        connections: 16,
        reuse: Reuse::Never,
        tls: Some(Handshake::Full),
        ..BASE
    },
    Workload {
        name: "tls-resumed",
        description: "1 KiB, 16 clients, a connection that resumes a TLS session for each request",
        connections: 16,
        reuse: Reuse::Never,
        tls: Some(Handshake::Resumed),
        ..BASE
    },
    Workload {
        name: "tls-100-kb",
        description: "100 KB, 32 connections, TLS",
        target: Target::File { bytes: 100_000 },
        connections: 32,
        tls: Some(Handshake::Full),
        ..BASE
    },
    Workload {
        name: "tls-10-mb",
        description: "10 MB, 8 connections, TLS",
        target: Target::File { bytes: 10_000_000 },
        connections: 8,
        tls: Some(Handshake::Full),
        ..BASE
    },
];

impl Workload {
    pub fn plan(&self, site: &Site, address: SocketAddr) -> io::Result<Plan> {
        let host = address.to_string();
        let get = |body_bytes: usize| {
            let paths = site.paths(self.target);
            RequestTemplate::get_each(&host, paths, self.reuse, body_bytes as u64)
        };
        let template = match self.target {
            Target::File { bytes } => get(bytes),
            Target::Files { .. } => get(MANY_BYTES),
            Target::Range { .. } => {
                get(RANGE_BYTES).with_header("Range", &range_header()).expecting(206)
            }
        };
        let tls = self.client_tls(site)?;
        let closed_loop = Plan::closed_loop(address, template, self.connections);
        Ok(Plan { depth: self.depth, tls, ..closed_loop })
    }

    /// How clients speak TLS. None without TLS.
    pub fn client_tls(&self, site: &Site) -> io::Result<Option<ClientTls>> {
        let trusting = |handshake| ClientTls::trusting(&site.certificate.der, handshake);
        self.tls.map(trusting).transpose()
    }
}

pub fn range_header() -> String {
    format!("bytes={RANGE_FIRST}-{}", RANGE_FIRST + RANGE_BYTES - 1)
}
