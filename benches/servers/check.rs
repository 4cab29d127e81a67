//! The check before a measurement: each server sends the bytes of the file.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use miniweb::load::ClientTls;

use crate::loads::{RANGE_BYTES, RANGE_FIRST, Target, Workload, range_header};
use crate::site::Site;

/// Requests the first and the last file of `workload` and compares the status and every byte.
///
/// # Errors
/// If a response is not the expected one.
pub fn check(address: SocketAddr, workload: &Workload, site: &Site) -> io::Result<()> {
    let paths = site.paths(workload.target);
    let tls = workload.client_tls(site)?;
    for path in [paths.first(), paths.last()].into_iter().flatten() {
        let file = fs::read(site.root().join(&path[1..]))?;
        let (status, header, expected) = match workload.target {
            Target::File { .. } | Target::Files { .. } => ("200", String::new(), &file[..]),
            Target::Range { .. } => {
                let header = format!("Range: {}\r\n", range_header());
                ("206", header, &file[RANGE_FIRST..][..RANGE_BYTES])
            }
        };
        let response = response(address, path, &header, tls.as_ref())?;
        let start = format!("HTTP/1.1 {status} ");
        let body = memchr::memmem::find(&response, b"\r\n\r\n").map(|end| &response[end + 4..]);
        if !response.starts_with(start.as_bytes()) || body != Some(expected) {
            let line = response.split(|byte| *byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(format!(
                "the response to GET {path} is not the file: expected {status} with {} bytes, got \
                 '{}' with {} bytes",
                expected.len(),
                String::from_utf8_lossy(line),
                body.map_or(0, <[u8]>::len),
            )));
        }
    }
    Ok(())
}

fn response(
    address: SocketAddr,
    path: &str,
    header: &str,
    tls: Option<&ClientTls>,
) -> io::Result<Vec<u8>> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{header}Connection: close\r\n\r\n");
    if let Some(tls) = tls {
        return tls.exchange(&mut socket, request.as_bytes());
    }
    socket.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    socket.read_to_end(&mut response)?;
    Ok(response)
}
