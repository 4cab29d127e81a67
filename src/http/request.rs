//! Bytes → [`Request`]. The only user of httparse.
//!
//! What lives here: finding the end of a head, the request line, the fields, and what follows from them
//! for the connection (does it persist, does a body follow). What does not: what the target means, and
//! reading the body.
//!
//! The reading is strict where two programs could otherwise read two things (RFC 9112 section 11.2):
//! exactly one space between the parts of the request line, CRLF and nothing else at the end of a line,
//! one Host, one way to tell the length of a body. Every refusal carries its status.

use arrayvec::ArrayVec;
use httparse::Header;

use super::characters::is_token;
use super::host;
use super::{Limits, Status};

/// A request whose head is complete and well-formed. It borrows the bytes it was read from.
#[derive(Debug)]
pub struct Request<'a> {
    /// A method that this server knows, offered or not.
    pub method: Method,
    /// What is asked for.
    pub target: Target<'a>,
    /// 1.0 or 1.1; a later minor version counts as 1.1 (RFC 9110 section 2.5).
    pub version: Version,
    /// The field lines.
    pub headers: Headers<'a>,
    /// Whether the peer lets the connection persist after this request (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// How the end of the request's body is found.
    pub framing: Framing,
    /// `Expect: 100-continue`: whether the body will follow is not known (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// The head as it came, for the log and for whoever must answer later.
    pub head: Head<'a>,
}

/// The methods of RFC 9110 section 9 and PATCH. Any other token is a 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
}

/// The request target of RFC 9112 section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Origin-form, or absolute-form without its scheme and authority. The path is still encoded and
    /// starts with a slash; the query is what follows the first `?`.
    Path {
        /// Still percent-encoded.
        path: &'a [u8],
        /// None where there is no `?`.
        query: Option<&'a [u8]>,
    },
    /// `*`, with OPTIONS only: the server itself.
    Server,
    /// `host:port`, with CONNECT only.
    Authority,
}

/// The versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    Http10,
    Http11,
}

/// How the end of a request's body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body follows.
    None,
    /// So many bytes follow; never zero.
    Length(u64),
    /// Chunks follow.
    Chunked,
}

/// Why a request is refused, and the status that says so. The connection can't go on after one: where the
/// next request would begin is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// What it is answered with.
    pub status: Status,
    /// A sentence for the error page and the log.
    pub reason: &'static str,
}

impl RequestError {
    pub(super) const fn bad(reason: &'static str) -> RequestError {
        RequestError { status: Status::BadRequest, reason }
    }

    const fn new(status: Status, reason: &'static str) -> RequestError {
        RequestError { status, reason }
    }
}

const FIELDS_TOO_LARGE: RequestError = RequestError::new(
    Status::RequestHeaderFieldsTooLarge,
    "The request's head is larger than this server reads.",
);
const TARGET_TOO_LONG: RequestError =
    RequestError::new(Status::UriTooLong, "The request target is longer than this server reads.");

/// A complete head as a [`HeadScan`] found it: its lines end in CRLF, and the last of them is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    bytes: &'a [u8],
    /// Of the request line, without its end.
    line_bytes: usize,
    /// The lines between that one and the empty one.
    field_lines: usize,
}

impl<'a> Head<'a> {
    /// As it came, the empty line included.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Its request line.
    pub fn line(self) -> &'a [u8] {
        &self.bytes[..self.line_bytes]
    }

    /// Its field lines and the empty one.
    fn headers(self) -> &'a [u8] {
        &self.bytes[self.line_bytes + b"\r\n".len()..]
    }
}

/// Finds the end of a head in bytes that may arrive in any pieces, looking at each byte once. What it says depends
/// on the bytes alone, not on where they were cut: of two faults the first counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Everything before this was looked at.
    scanned: usize,
    /// The lines that have ended.
    lines: usize,
    /// Of the first of them, without its end.
    line_bytes: usize,
}

impl HeadScan {
    /// The head at the start of `bytes`, or None while it is incomplete. Called again with more bytes it goes on where
    /// it stopped.
    ///
    /// # Errors
    /// 400 at a line feed without its carriage return, 414 or 431 as soon as a bound is passed, whether
    /// or not the head is complete.
    pub fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Head<'a>>, RequestError> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.scanned..]) {
            let line_feed = self.scanned + offset;
            self.scanned = line_feed + 1;
            self.check_bounds(limits)?;
            if line_feed == 0 || bytes[line_feed - 1] != b'\r' {
                return Err(RequestError::bad("A line ends without a carriage return."));
            }
            if line_feed >= 3 && bytes[line_feed - 3..line_feed - 1] == *b"\r\n" {
                // The line before the empty one was counted when it ended.
                let (bytes, field_lines) = (&bytes[..self.scanned], self.lines - 1);
                return Ok(Some(Head { bytes, line_bytes: self.line_bytes, field_lines }));
            }
            if self.lines == 0 {
                self.line_bytes = line_feed - 1;
            }
            self.lines += 1;
        }
        self.scanned = bytes.len();
        self.check_bounds(limits)?;
        Ok(None)
    }

    fn check_bounds(&self, limits: &Limits) -> Result<(), RequestError> {
        // A line whose target is within its bound has room to spare for the longest method and the version.
        const METHOD_AND_VERSION_BYTES_MAX: usize = 64;
        match self.lines {
            0 if self.scanned > limits.target_bytes_max + METHOD_AND_VERSION_BYTES_MAX => {
                Err(TARGET_TOO_LONG)
            }
            _ if self.scanned > limits.head_bytes_max => Err(FIELDS_TOO_LARGE),
            _ => Ok(()),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads the head at the start of `bytes`, where it is known to be complete.
    ///
    /// # Errors
    /// Those of [`HeadScan::head`] and [`Request::parse_head`], and 400 if it is not complete.
    pub fn parse<'h>(
        bytes: &'a [u8],
        storage: &'h mut HeaderStorage<'a>,
        limits: &Limits,
    ) -> Result<Request<'h>, RequestError> {
        let head = HeadScan::default()
            .head(bytes, limits)?
            .ok_or(RequestError::bad("The head is not complete."))?;
        Request::parse_head(head, storage, limits)
    }

    /// Reads a complete head.
    ///
    /// # Errors
    /// 400, 414, 431, 501 or 505: see HTTP's own rules at each step.
    pub fn parse_head<'h>(
        head: Head<'a>,
        storage: &'h mut HeaderStorage<'a>,
        limits: &Limits,
    ) -> Result<Request<'h>, RequestError> {
        let [method, target, version] = split_line(head.line())?;
        // The target before the method: a token of any length may be unknown, a long target is too long.
        if target.len() > limits.target_bytes_max {
            return Err(TARGET_TOO_LONG);
        }
        let version = Version::parse(version)?;
        let method = Method::parse(method)?;
        let headers = Headers::parse(head, storage)?;
        let (target, authority) = Target::parse(target, method)?;
        check_host(&headers, authority, version)?;
        let keep_alive = !headers.has_member("connection", "close")
            && (version == Version::Http11 || headers.has_member("connection", "keep-alive"));
        let framing = Framing::parse(&headers, version)?;
        Ok(Request {
            method,
            target,
            version,
            keep_alive,
            framing,
            expects_continue: version == Version::Http11
                && headers.has_member("expect", "100-continue"),
            headers,
            head,
        })
    }

    /// Whether the answer is to have no body, whatever it is.
    pub fn is_head(&self) -> bool {
        self.method == Method::Head
    }
}

/// Method, target and version, with exactly one space between them (RFC 9112 section 3).
fn split_line(line: &[u8]) -> Result<[&[u8]; 3], RequestError> {
    const MALFORMED: RequestError =
        RequestError::bad("The request line is not a method, a target and a version.");
    let is_space = |b: &u8| *b == b' ';
    let first = line.iter().position(is_space).ok_or(MALFORMED)?;
    let last = line.iter().rposition(is_space).ok_or(MALFORMED)?;
    if first == last {
        return Err(MALFORMED);
    }
    let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(RequestError::bad("The method is not a token."));
    }
    // A space in here is a doubled one, or one that the client forgot to encode.
    if target.is_empty() || target.iter().any(|b| *b <= b' ' || *b == 0x7f || *b == b'#') {
        return Err(RequestError::bad(
            "The request target has a character that must be percent-encoded.",
        ));
    }
    Ok([method, target, version])
}

impl Version {
    fn parse(text: &[u8]) -> Result<Version, RequestError> {
        match text {
            b"HTTP/1.0" => Ok(Version::Http10),
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
                Ok(Version::Http11)
            }
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Err(RequestError::new(Status::VersionNotSupported, "This server speaks HTTP/1.1."))
            }
            _ => Err(RequestError::bad("The request line does not end in an HTTP version.")),
        }
    }
}

impl Method {
    fn parse(token: &[u8]) -> Result<Method, RequestError> {
        Ok(match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => {
                return Err(RequestError::new(
                    Status::NotImplemented,
                    "This server does not know the method.",
                ));
            }
        })
    }
}

impl<'a> Target<'a> {
    /// The target, and the authority if it is in absolute-form.
    fn parse(
        target: &'a [u8],
        method: Method,
    ) -> Result<(Target<'a>, Option<&'a [u8]>), RequestError> {
        let (path_and_query, authority) = match target {
            _ if method == Method::Connect => return Ok((Target::Authority, None)),
            [b'/', ..] => (target, None),
            b"*" if method == Method::Options => return Ok((Target::Server, None)),
            _ => {
                let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
                    let (start, rest) = target.split_at_checked(scheme.len())?;
                    start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
                });
                let rest = after_scheme.ok_or(RequestError::bad(
                    "The request target is neither a path nor an http address.",
                ))?;
                let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
                (&rest[end..], Some(&rest[..end]))
            }
        };
        let (path, query) = match path_and_query.iter().position(|b| *b == b'?') {
            Some(mark) => (&path_and_query[..mark], Some(&path_and_query[mark + 1..])),
            None => (path_and_query, None),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok((Target::Path { path, query }, authority))
    }
}

/// Exactly one Host in HTTP/1.1, at most one in 1.0, and valid beside an absolute-form target too, whose
/// authority wins (RFC 9112 sections 3.2 and 3.2.2).
fn check_host(
    headers: &Headers<'_>,
    authority: Option<&[u8]>,
    version: Version,
) -> Result<(), RequestError> {
    let mut hosts = headers.values("host");
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host::is_valid(host) => {}
        (Some(_), None) => return Err(RequestError::bad("The Host field is not a host.")),
        (Some(_), Some(_)) => return Err(RequestError::bad("There is more than one Host field.")),
        (None, _) if version == Version::Http10 => {}
        (None, _) => return Err(RequestError::bad("There is no Host field.")),
    }
    match authority {
        // An http address without a host is none, with or without a port (RFC 9110 section 4.2.1).
        Some(authority) if matches!(authority, [] | [b':', ..]) || !host::is_valid(authority) => {
            Err(RequestError::bad("The request target does not name a host."))
        }
        _ => Ok(()),
    }
}

/// Most field lines in one head (hyper and h2o: 100). Past it: 431.
const FIELDS_MAX: usize = 100;

/// Room for the fields of one head after the other. What is not used is not written: room for the most that may come is three
/// kilobytes, and filling them in every turn would be a good part of what a request without a neighbour costs.
#[derive(Default)]
pub struct HeaderStorage<'a>(ArrayVec<Header<'a>, FIELDS_MAX>);

/// The field lines of one head.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    lines: &'a [Header<'a>],
    /// A bit for each name, by [`mark`]. Most requests have none of the fields that are looked for, and that shows here.
    marks: u64,
}

impl<'a> Headers<'a> {
    fn parse<'h>(
        head: Head<'a>,
        storage: &'h mut HeaderStorage<'a>,
    ) -> Result<Headers<'h>, RequestError> {
        let HeaderStorage(storage) = storage;
        if head.field_lines > FIELDS_MAX {
            return Err(FIELDS_TOO_LARGE);
        }
        storage.clear();
        storage.extend(std::iter::repeat_n(httparse::EMPTY_HEADER, head.field_lines));
        match httparse::parse_headers(head.headers(), storage) {
            Ok(httparse::Status::Complete((_, lines))) => Ok(Headers {
                lines,
                marks: lines.iter().fold(0, |marks, line| marks | mark(line.name)),
            }),
            Ok(httparse::Status::Partial) => Err(RequestError::bad("The head is malformed.")),
            Err(httparse::Error::HeaderName) => {
                Err(RequestError::bad("A field's name is malformed."))
            }
            Err(httparse::Error::HeaderValue) => {
                Err(RequestError::bad("A field's value has a forbidden character."))
            }
            Err(_) => Err(RequestError::bad("A field line is malformed.")),
        }
    }

    /// The values of the fields called `name` (in lower case), in their order, without the white space around them.
    pub fn values(self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let lines = if self.might_contain(name) { self.lines } else { &[] };
        let same = move |line: &&Header<'a>| line.name.eq_ignore_ascii_case(name);
        lines.iter().filter(same).map(|line| line.value.trim_ascii())
    }

    /// The value of the field called `name`, if it is there once.
    #[inline(always)]
    pub fn only(self, name: &'static str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The members of the comma-separated lists called `name`, over all their lines.
    pub fn list(self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(members)
    }

    /// Whether `member`, in any case, is one of the list called `name`.
    #[inline(always)]
    pub fn has_member(self, name: &'static str, member: &str) -> bool {
        self.might_contain(name)
            && self.list(name).any(|other| other.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Whether Accept names `media_type` itself, whatever its parameters. A star does not.
    pub fn accepts(self, media_type: &str) -> bool {
        let essence =
            |range: &'a [u8]| range.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        self.list("accept").any(|range| essence(range).eq_ignore_ascii_case(media_type.as_bytes()))
    }

    /// False where none is called `name`, which is known before any line is looked at. Always inlined, as is what begins with it:
    /// where the name stands in the program it is one bit.
    #[inline(always)]
    pub fn might_contain(self, name: &'static str) -> bool {
        self.marks & mark(name) != 0
    }
}

/// The members of a comma-separated list; empty ones are passed over (RFC 9110 section 5.6.1).
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// One of 64 bits, by the length and the first letter. What browsers always send has no bit in common with what is looked for
/// and rarely there.
const fn mark(name: &str) -> u64 {
    match name.as_bytes() {
        [] => 0,
        [first, ..] => 1 << ((name.len() * 11 + first.to_ascii_lowercase() as usize) % 64),
    }
}

impl Framing {
    fn parse(headers: &Headers<'_>, version: Version) -> Result<Framing, RequestError> {
        if !headers.might_contain("transfer-encoding") && !headers.might_contain("content-length") {
            return Ok(Framing::None);
        }
        let has_coding = headers.values("transfer-encoding").next().is_some();
        let length = content_length(headers)?;
        match (has_coding, length) {
            (false, None | Some(0)) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (true, _) if version == Version::Http10 => {
                Err(RequestError::bad("Transfer-Encoding has no place in HTTP/1.0."))
            }
            (true, Some(_)) => Err(RequestError::bad(
                "Content-Length and Transfer-Encoding contradict each other.",
            )),
            (true, None) => transfer_coding(headers),
        }
    }
}

/// Digits only, no sign, no overflow; several are one if they are equal (RFC 9110 section 8.6).
fn content_length(headers: &Headers<'_>) -> Result<Option<u64>, RequestError> {
    let mut length = None;
    for value in headers.values("content-length") {
        for value in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            // An empty value is no digits, and from_str would take a sign.
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let one = std::str::from_utf8(value)
                .ok()
                .filter(|_| digits)
                .and_then(|text| text.parse::<u64>().ok());
            let one = one.ok_or(RequestError::bad("The Content-Length is not a number."))?;
            if length.is_some_and(|length| length != one) {
                return Err(RequestError::bad("There are two different Content-Lengths."));
            }
            length = Some(one);
        }
    }
    Ok(length)
}

/// `chunked`, once and last, is the only coding that is read (RFC 9112 sections 6.1 and 7).
fn transfer_coding(headers: &Headers<'_>) -> Result<Framing, RequestError> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let count = headers.list("transfer-encoding").filter(|c| is_chunked(c)).count();
    let last = headers.list("transfer-encoding").last();
    match (count, last) {
        (1, Some(last)) if is_chunked(last) => match headers.list("transfer-encoding").count() {
            1 => Ok(Framing::Chunked),
            _ => Err(RequestError::new(
                Status::NotImplemented,
                "This server knows no transfer coding but chunked.",
            )),
        },
        (0, Some(_)) => Err(RequestError::new(
            Status::NotImplemented,
            "This server knows no transfer coding but chunked.",
        )),
        _ => Err(RequestError::bad("The transfer coding chunked must come once, and last.")),
    }
}

#[cfg(test)]
mod tests {
    use super::mark;

    #[test]
    fn what_browsers_always_send_does_not_look_like_what_is_rarely_there() {
        let sent = "host connection cache-control pragma sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform user-agent accept \
                    upgrade-insecure-requests sec-fetch-site sec-fetch-mode sec-fetch-user sec-fetch-dest accept-encoding \
                    accept-language referer cookie origin dnt priority te";
        let rare = "content-length transfer-encoding expect authorization if-match if-none-match if-modified-since \
                    if-unmodified-since range if-range";
        for (sent, rare) in
            sent.split(' ').flat_map(|sent| rare.split(' ').map(move |rare| (sent, rare)))
        {
            assert_ne!(mark(sent), mark(rare), "{sent} and {rare}");
        }
    }
}
