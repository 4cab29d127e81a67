//! Before anything is timed: the same requests get the same answers from every contender.
//!
//! Two servers that do different things can't be compared. The Date may differ, for it tells when, not what.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::compare::test_site::TestSite;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The requests, each in words and in bytes.
pub(crate) fn requests(site: &TestSite) -> Vec<(String, Vec<u8>)> {
    let request = |words: &str, method: &str, path: &str, field: &str| {
        let bytes = format!(
            "{method} /{path} HTTP/1.1\r\nHost: response_check\r\n{field}Connection: close\r\n\r\n"
        )
        .into_bytes();
        (format!("{method} /{path}{words}"), bytes)
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

/// How long the file is that a server of another make has at `path`.
///
/// # Errors
/// The system's; an answer that is none, or says that there is no such file.
pub(crate) fn content_bytes(address: SocketAddr, path: &str) -> io::Result<u64> {
    let answer = answer(
        address,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let no_answer = || io::Error::other(format!("it gives no answer to GET {path}"));
    let head_end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or_else(no_answer)?;
    let status = answer.split(|byte| *byte == b' ').nth(1).ok_or_else(no_answer)?;
    match status {
        b"200" => Ok((answer.len() - head_end - 4) as u64),
        other => Err(io::Error::other(format!(
            "it answers {} to GET {path}",
            String::from_utf8_lossy(other)
        ))),
    }
}

/// The answer to one of them but for its date.
///
/// # Errors
/// The system's; a server that does not answer in time.
pub(crate) fn answer(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let head_end = memchr::memmem::find(&answer, b"\r\n\r\n").unwrap_or(answer.len());
    if let Some(start) = memchr::memmem::find(&answer[..head_end], b"\r\nDate: ") {
        let end = memchr::memmem::find(&answer[start + 2..], b"\r\n")
            .map_or(answer.len(), |end| start + 2 + end);
        answer.drain(start..end);
    }
    Ok(answer)
}
