//! A reader of answers that knows nothing of how they were made (RFC 9112 sections 4, 5 and 6.3).

/// One answer, or the start of one.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub is_complete: bool,
}

impl Answer {
    /// The values of a field, which is named in lower case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|field| field.0 == name).map(|field| field.1.as_str()).collect()
    }

    pub fn says_close(&self) -> bool {
        self.values("connection") == ["close"]
    }
}

/// Takes `received` apart. `is_head` tells of the n-th answer whether it answers a HEAD. An answer that is not well-formed
/// panics; of the last one something may be missing.
pub fn read(received: &[u8], is_head: impl Fn(usize) -> bool) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut rest = received;
    while !rest.is_empty() {
        let (answer, bytes) = read_one(rest, is_head(answers.len()));
        answers.push(answer);
        rest = &rest[bytes..];
    }
    answers
}

/// The answer at the start of `bytes`, which are some, and its length.
fn read_one(bytes: &[u8], is_head: bool) -> (Answer, usize) {
    let Some(head_bytes) =
        bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
    else {
        let start = b"HTTP/1.1 ";
        assert!(
            bytes.iter().zip(start).all(|(a, b)| a == b),
            "no answer starts like this: {:?}",
            bytes.escape_ascii().to_string()
        );
        return (
            Answer { status: 0, headers: Vec::new(), body: Vec::new(), is_complete: false },
            bytes.len(),
        );
    };
    let head =
        std::str::from_utf8(&bytes[..head_bytes - 4]).expect("every field of this site is ASCII");
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..4))
        .and_then(|code| code.strip_suffix(' '));
    let status: u16 = status
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("a status line: {status_line:?}"));
    let headers: Vec<(String, String)> = lines.map(field).collect();
    let mut answer = Answer { status, headers, body: Vec::new(), is_complete: true };
    for name in ["date", "server"] {
        assert_eq!(answer.values(name).len(), 1, "one {name} in {head:?}");
    }
    assert!(
        answer.values("connection").len() <= 1 && answer.values("transfer-encoding").is_empty()
    );
    assert!((200..600).contains(&status), "a final status: {status}");

    let announced = match answer.values("content-length")[..] {
        [] if matches!(status, 204 | 304) => 0,
        [length] if status != 204 => {
            length.parse::<usize>().unwrap_or_else(|_| panic!("a length: {length:?}"))
        }
        ref lengths => panic!("{lengths:?} in {head:?}"),
    };
    let expected = if is_head || status == 304 { 0 } else { announced };
    let body = &bytes[head_bytes..];
    answer.is_complete = body.len() >= expected;
    answer.body = body[..expected.min(body.len())].to_vec();
    let length = head_bytes + answer.body.len();
    (answer, length)
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("a field line: {line:?}"));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    assert!(!name.is_empty() && name.bytes().all(is_token), "{line:?}");
    assert!(value.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte)), "{line:?}");
    (name.to_ascii_lowercase(), value.to_owned())
}
