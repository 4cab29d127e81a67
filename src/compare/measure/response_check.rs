//! The response check: equal requests get equal responses from every contender.
//!
//! Servers that do different work cannot be compared. Between strategies, only the Date header may
//! differ. A foreign server has headers of its own and need not know ranges; what it sends of a
//! file has to be the same.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::compare::contender::ForeignServer;
use crate::compare::test_site::TestSite;
use crate::format::{counted, printable, reason};
use crate::load::ClientTls;

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

/// What a foreign server sends besides the files.
#[derive(Debug)]
pub(crate) struct ForeignHeaders {
    /// The length of the head of the response to `GET` of the small file, without Date.
    pub(crate) head_bytes: usize,
    /// The value of its Server header.
    pub(crate) version: Option<String>,
}

/// Checks that a foreign server sends the files of the site: status 200, and the same bytes.
///
/// # Errors
/// What differs, and how to make it equal.
pub(crate) fn check_foreign(
    server: &ForeignServer,
    site: &TestSite,
) -> Result<ForeignHeaders, String> {
    let mut of_small = None;
    for file in site.files() {
        let target = server.target(&file.path);
        let differs = |what: String| {
            let (root, url) = (site.directory.display(), server.url());
            format!("{what} for GET {target}: it has to serve the files of {root} at {url}")
        };
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.host);
        let response = response(server.address, None, request.as_bytes())
            .map_err(|error| format!("{} for GET {target}", reason(&error)))?;
        let head_end = memchr::memmem::find(&response, b"\r\n\r\n")
            .ok_or_else(|| differs("no response".to_owned()))?;
        let (head, body) =
            (String::from_utf8_lossy(&response[..head_end]), &response[head_end + 4..]);
        let status = head.split(' ').nth(1).unwrap_or_default();
        let status = status.split("\r\n").next().unwrap_or_default();
        if status != "200" {
            return Err(differs(format!("status {status}")));
        }
        if header(&head, "transfer-encoding").is_some() {
            return Err(format!("a Transfer-Encoding for GET {target}: expected a Content-Length"));
        }
        let content = std::fs::read(site.directory.join(&file.path))
            .map_err(|error| format!("{}: {}", file.path, reason(&error)))?;
        if body.len() != content.len() {
            let (sent, expected) = (counted(body.len(), "byte"), content.len());
            return Err(differs(format!("{sent} instead of {expected}")));
        }
        if body != content {
            return Err(differs("other content than the file has".to_owned()));
        }
        of_small.get_or_insert_with(|| ForeignHeaders {
            head_bytes: head_end + 4,
            version: header(&head, "server").map(printable),
        });
    }
    of_small.ok_or_else(|| "there are no files to request".to_owned())
}

/// The value of a header in the head of a response. `name` is in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(own, _)| own.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}

/// The length of the head of a response.
pub(crate) fn head_bytes(response: &[u8]) -> usize {
    memchr::memmem::find(response, b"\r\n\r\n").map_or(response.len(), |end| end + 4)
}

/// The response without its Date header.
///
/// # Errors
/// From a system call; also if the response does not end in time.
pub(crate) fn response(
    address: SocketAddr,
    tls: Option<&ClientTls>,
    request: &[u8],
) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let mut response = match tls {
        Some(tls) => tls.exchange(&mut socket, request)?,
        None => {
            let mut response = Vec::new();
            socket.write_all(request)?;
            socket.read_to_end(&mut response)?;
            response
        }
    };
    let head_end = memchr::memmem::find(&response, b"\r\n\r\n").unwrap_or(response.len());
    if let Some(start) = memchr::memmem::find(&response[..head_end], b"\r\nDate: ") {
        let end = memchr::memmem::find(&response[start + 2..], b"\r\n")
            .map_or(response.len(), |end| start + 2 + end);
        response.drain(start..end);
    }
    Ok(response)
}
