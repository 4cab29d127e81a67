//! The workloads of a comparison.

use crate::compare::results::{Pacing, Workload, WorkloadKind};
use crate::compare::test_site::{TestFile, TestSite};
use crate::format::counted;

/// The names of the groups; the name of a workload begins with one of them.
pub const NAMES: [&str; 7] = [
    "keep-alive",
    "pipelined",
    "connection-per-request",
    "large-file",
    "slow-readers",
    "mostly-idle",
    "open",
];

/// The options that determine the workloads.
#[derive(Clone, Debug)]
pub struct WorkloadParameters {
    /// Leaves out some workloads.
    pub is_quick: bool,
    /// Connections of the keep-alive, pipelined and paced workloads.
    pub connections: u32,
    /// Pipeline depth of the pipelined workload.
    pub depth: u32,
    /// Idle connections of the mostly idle workload.
    pub idle: u32,
    /// Connections of the slow-readers workload.
    pub slow: u32,
    /// Rate of the paced workload, per second.
    pub rate: u32,
    /// Adds the workload that resumes TLS sessions.
    pub has_tls: bool,
}

/// The connections that request something beside idle or slow ones, and those that request large
/// files.
pub(crate) const ACTIVE_CONNECTIONS: u32 = 8;
/// A weak mobile connection.
const SLOW_BYTES_PER_SECOND: u64 = 256 * 1024;

/// All workloads, in the order of the reports.
pub(crate) fn all(parameters: &WorkloadParameters, site: &TestSite) -> Vec<Workload> {
    let connections = parameters.connections;
    let counts: &[u32] = if parameters.is_quick { &[] } else { &[1, 8, 256] };
    let mut workloads: Vec<Workload> = vec![keep_alive(connections, &site.small)];
    workloads.extend(
        counts
            .iter()
            .filter(|count| **count != connections)
            .map(|count| keep_alive(*count, &site.small)),
    );
    workloads.push(Workload {
        name: format!("pipelined-{}", parameters.depth),
        kind: WorkloadKind::Pipelined,
        title: format!(
            "pipelined, {} small files per batch on each of {}",
            parameters.depth,
            counted(connections, "connection")
        ),
        pipeline_depth: parameters.depth,
        ..keep_alive(connections, &site.small)
    });
    let new_connections = connection_per_request(site);
    let resumed = parameters.has_tls.then(|| resumed(&new_connections));
    workloads.push(new_connections);
    workloads.extend(resumed);
    if site.has_large() {
        workloads.push(large_file(site));
        workloads.push(slow_readers(parameters.slow, site));
    }
    workloads.push(mostly_idle(parameters.idle, &site.small));
    workloads.push(open_loop(parameters.rate, connections, &site.small));
    workloads
}

/// A small file, or the one of a sweep, again and again on keep-alive connections.
pub(crate) fn keep_alive(connections: u32, file: &TestFile) -> Workload {
    Workload {
        name: format!("keep-alive-{connections}"),
        kind: WorkloadKind::KeepAlive,
        title: format!("keep-alive, small file, {}", counted(connections, "connection")),
        pacing: Pacing::Closed,
        connections,
        idle_connections: 0,
        pipeline_depth: 1,
        requests_per_connection: None,
        path: format!("/{}", file.path),
        body_bytes: file.bytes,
        reader_bytes_per_second: None,
        resumes_sessions: false,
        sweep: None,
    }
}

/// Idle connections beside [`ACTIVE_CONNECTIONS`] that request a file.
pub(crate) fn mostly_idle(idle_connections: u32, file: &TestFile) -> Workload {
    Workload {
        name: format!("mostly-idle-{idle_connections}"),
        kind: WorkloadKind::MostlyIdle,
        title: format!(
            "mostly idle: {}, small file on {ACTIVE_CONNECTIONS} active connections",
            counted(idle_connections, "idle connection")
        ),
        idle_connections,
        ..keep_alive(idle_connections + ACTIVE_CONNECTIONS, file)
    }
}

/// Requests at a fixed rate, whatever the server does.
pub(crate) fn open_loop(rate: u32, connections: u32, file: &TestFile) -> Workload {
    Workload {
        name: format!("open-{rate}"),
        title: format!(
            "keep-alive at a fixed {rate} requests/s, small file, {}",
            counted(connections, "connection")
        ),
        pacing: Pacing::Open { requests_per_second: f64::from(rate) },
        ..keep_alive(connections, file)
    }
}

fn connection_per_request(site: &TestSite) -> Workload {
    Workload {
        name: "connection-per-request".to_owned(),
        kind: WorkloadKind::ConnectionPerRequest,
        title: "a connection for each request, small file, 16 at a time".to_owned(),
        requests_per_connection: Some(1),
        ..keep_alive(16, &site.small)
    }
}

/// Contenders without TLS take part, too: what TLS adds is measured within a round.
fn resumed(new_connections: &Workload) -> Workload {
    Workload {
        name: format!("{}-resumed", new_connections.name),
        title: format!("{}; TLS sessions are resumed", new_connections.title),
        resumes_sessions: true,
        ..new_connections.clone()
    }
}

fn large_file(site: &TestSite) -> Workload {
    Workload {
        name: "large-file".to_owned(),
        kind: WorkloadKind::LargeFile,
        title: format!("large file ({}), 8 connections", crate::format::bytes(site.large.bytes)),
        ..keep_alive(ACTIVE_CONNECTIONS, &site.large)
    }
}

fn slow_readers(count: u32, site: &TestSite) -> Workload {
    Workload {
        name: format!("slow-readers-{count}"),
        kind: WorkloadKind::SlowReaders,
        title: format!(
            "slow readers: {count} that read a large file slowly, small file on {ACTIVE_CONNECTIONS} \
             active connections"
        ),
        idle_connections: count,
        reader_bytes_per_second: Some(SLOW_BYTES_PER_SECOND),
        ..keep_alive(count + ACTIVE_CONNECTIONS, &site.small)
    }
}
