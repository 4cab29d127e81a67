//! The loads of a comparison.

use super::results::{Pacing, Workload, WorkloadKind};
use super::run::Request;
use super::site::{TestFile, TestSite};

/// How fast a slow reader reads: a phone at the edge of a network.
const SLOW_BYTES_PER_SECOND: u64 = 256 * 1024;

/// All of them, in the order in which they are told.
pub(super) fn all(request: &Request, site: &TestSite) -> Vec<Workload> {
    let connections = request.connections;
    let counts: &[u32] = if request.is_quick { &[] } else { &[1, 8, 256] };
    let mut workloads: Vec<Workload> = vec![keep_alive(connections, &site.small)];
    workloads.extend(counts.iter().filter(|count| **count != connections).map(|count| keep_alive(*count, &site.small)));
    workloads.push(Workload {
        name: format!("pipelined-{}", request.depth),
        kind: WorkloadKind::Pipelined,
        title: format!("pipelined, {} small files at once on each of {connections} connections", request.depth),
        pipeline_depth: request.depth,
        ..keep_alive(connections, &site.small)
    });
    workloads.push(Workload {
        name: "connection-per-request".to_owned(),
        kind: WorkloadKind::ConnectionPerRequest,
        title: "a connection for each request, small file, 16 at a time".to_owned(),
        requests_per_connection: Some(1),
        ..keep_alive(16, &site.small)
    });
    if site.has_large() {
        workloads.push(large_file(site));
        workloads.push(slow_readers(request.slow, site));
    }
    workloads.push(Workload {
        name: format!("mostly-idle-{}", request.idle),
        kind: WorkloadKind::MostlyIdle,
        title: format!("mostly idle: {} silent connections, small file on 8 more", request.idle),
        idle_connections: request.idle,
        ..keep_alive(request.idle + 8, &site.small)
    });
    workloads.push(Workload {
        name: format!("open-{}", request.rate),
        title: format!("keep-alive at a fixed {} requests/s, small file, {connections} connections", request.rate),
        pacing: Pacing::Open { requests_per_second: f64::from(request.rate) },
        ..keep_alive(connections, &site.small)
    });
    workloads
}

fn keep_alive(connections: u32, file: &TestFile) -> Workload {
    Workload {
        name: format!("keep-alive-{connections}"),
        kind: WorkloadKind::KeepAlive,
        title: format!("keep-alive, small file, {connections} connections"),
        pacing: Pacing::Closed,
        connections,
        idle_connections: 0,
        pipeline_depth: 1,
        requests_per_connection: None,
        path: format!("/{}", file.path),
        body_bytes: file.bytes,
        reader_bytes_per_second: None,
    }
}

fn large_file(site: &TestSite) -> Workload {
    Workload {
        name: "large-file".to_owned(),
        kind: WorkloadKind::LargeFile,
        title: format!("large file ({}), 8 connections", crate::human::bytes(site.large.bytes)),
        ..keep_alive(8, &site.large)
    }
}

fn slow_readers(count: u32, site: &TestSite) -> Workload {
    Workload {
        name: format!("slow-readers-{}", count),
        kind: WorkloadKind::SlowReaders,
        title: format!("slow readers: {} that take a large file slowly, small file on 8 more", count),
        idle_connections: count,
        reader_bytes_per_second: Some(SLOW_BYTES_PER_SECOND),
        ..keep_alive(count + 8, &site.small)
    }
}
