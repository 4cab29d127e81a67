//! The response check: equal requests get equal responses from every contender.
//!
//! Servers that do different work cannot be compared. Only the Date header may differ.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::compare::test_site::TestSite;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The requests, each with a description.
pub(crate) fn requests(site: &TestSite) -> Vec<(String, Vec<u8>)> {
    let request = |detail: &str, method: &str, path: &str, header: &str| {
        let bytes = format!(
            "{method} /{path} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n"
        )
        .into_bytes();
        (format!("{method} /{path}{detail}"), bytes)
    };
    let (small, large) = (&site.small.path, &site.large.path);
    vec![
        request("", "GET", small, ""),
        request("", "HEAD", small, ""),
        request("", "GET", large, ""),
        request(", bytes 10 to 99", "GET", large, "Range: bytes=10-99\r\n"),
        request(
            ", if changed since now",
            "GET",
            small,
            "If-Modified-Since: Fri, 31 Dec 2100 23:59:59 GMT\r\n",
        ),
        request("", "GET", "nothing-of-this-name", ""),
        request("", "POST", small, "Content-Length: 0\r\n"),
    ]
}

/// The length of the file that a foreign server serves at `path`.
///
/// # Errors
/// From a system call, or if the response is not a 200.
pub(crate) fn content_bytes(address: SocketAddr, path: &str) -> io::Result<u64> {
    let response = response(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let no_response = || io::Error::other(format!("no response to GET {path}"));
    let head_end = memchr::memmem::find(&response, b"\r\n\r\n").ok_or_else(no_response)?;
    let status = response.split(|byte| *byte == b' ').nth(1).ok_or_else(no_response)?;
    match status {
        b"200" => Ok((response.len() - head_end - 4) as u64),
        other => Err(io::Error::other(format!(
            "status {} for GET {path}",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// The response without its Date header.
///
/// # Errors
/// From a system call; also if the response does not end in time.
pub(crate) fn response(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.write_all(request)?;
    let mut response = Vec::new();
    socket.read_to_end(&mut response)?;
    let head_end = memchr::memmem::find(&response, b"\r\n\r\n").unwrap_or(response.len());
    if let Some(start) = memchr::memmem::find(&response[..head_end], b"\r\nDate: ") {
        let end = memchr::memmem::find(&response[start + 2..], b"\r\n")
            .map_or(response.len(), |end| start + 2 + end);
        response.drain(start..end);
    }
    Ok(response)
}
