//! The loads that each server is put under.

use std::net::SocketAddr;

use miniweb::load::{Plan, RequestTemplate, Reuse};

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
};

pub static ALL: [Workload; 9] = [
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
];

impl Workload {
    pub fn plan(&self, site: &Site, address: SocketAddr) -> Plan {
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
        Plan { depth: self.depth, ..Plan::closed_loop(address, template, self.connections) }
    }
}

pub fn range_header() -> String {
    format!("bytes={RANGE_FIRST}-{}", RANGE_FIRST + RANGE_BYTES - 1)
}
