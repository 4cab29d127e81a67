//! An independent parser for responses (RFC 9112 sections 4, 5 and 6.3).

/// A response, possibly incomplete.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub is_complete: bool,
}

impl Response {
    /// The values of the headers called `name`, in lower case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|header| header.0 == name)
            .map(|header| header.1.as_str())
            .collect()
    }

    pub fn says_close(&self) -> bool {
        self.values("connection") == ["close"]
    }
}

/// Splits `received` into responses; the last may be incomplete. `is_head` says whether the n-th
/// request was a HEAD.
///
/// # Panics
/// If a response is malformed.
pub fn read(received: &[u8], is_head: impl Fn(usize) -> bool) -> Vec<Response> {
    let mut responses = Vec::new();
    let mut rest = received;
    while !rest.is_empty() {
        let (response, bytes) = read_one(rest, is_head(responses.len()));
        responses.push(response);
        rest = &rest[bytes..];
    }
    responses
}

/// Parses the response at the start of `bytes`, which must not be empty, and returns its length.
fn read_one(bytes: &[u8], is_head: bool) -> (Response, usize) {
    let Some(head_bytes) =
        bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
    else {
        let start = b"HTTP/1.1 ";
        assert!(
            bytes.iter().zip(start).all(|(a, b)| a == b),
            "not the start of a response: {:?}",
            bytes.escape_ascii().to_string()
        );
        return (
            Response { status: 0, headers: Vec::new(), body: Vec::new(), is_complete: false },
            bytes.len(),
        );
    };
    let head = std::str::from_utf8(&bytes[..head_bytes - 4])
        .expect("every header of the fake site is ASCII");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..4))
        .and_then(|code| code.strip_suffix(' '));
    let status: u16 = status
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("malformed status line: {status_line:?}"));
    let headers: Vec<(String, String)> = lines.map(field).collect();
    let mut response = Response { status, headers, body: Vec::new(), is_complete: true };
    for name in ["date", "server"] {
        assert_eq!(response.values(name).len(), 1, "number of {name} headers in {head:?}");
    }
    assert!(
        response.values("connection").len() <= 1 && response.values("transfer-encoding").is_empty()
    );
    assert!((200..600).contains(&status), "not a final status: {status}");

    let content_length = match response.values("content-length")[..] {
        [] if matches!(status, 204 | 304) => 0,
        [length] if status != 204 => length
            .parse::<usize>()
            .unwrap_or_else(|_| panic!("malformed Content-Length: {length:?}")),
        ref lengths => panic!("unexpected Content-Length {lengths:?} in {head:?}"),
    };
    let expected = if is_head || status == 304 { 0 } else { content_length };
    let body = &bytes[head_bytes..];
    response.is_complete = body.len() >= expected;
    response.body = body[..expected.min(body.len())].to_vec();
    let length = head_bytes + response.body.len();
    (response, length)
}

fn field(line: &str) -> (String, String) {
    let (name, value) =
        line.split_once(": ").unwrap_or_else(|| panic!("malformed header line: {line:?}"));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
    assert!(value.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte)), "{line:?}");
    (name.to_ascii_lowercase(), value.to_owned())
}
