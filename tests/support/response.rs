//! A parsed response, checked against the rules that hold for every response.

use std::time::SystemTime;

use super::wait::shown;

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// The name and value of each header line, in order.
    pub fields: Vec<(String, String)>,
    /// Empty in the response to a HEAD request.
    pub body: Vec<u8>,
}

impl Response {
    /// Parses a complete head, and fails if it violates RFC 9112 or a rule of this server. So every
    /// case checks every response, whatever the case is about.
    #[track_caller]
    pub fn parse(head: &[u8]) -> Response {
        assert!(head.is_ascii(), "not ASCII: {}", shown(head));
        let text = std::str::from_utf8(head).expect("ASCII");
        let text = text.strip_suffix("\r\n\r\n").expect("a head ends with an empty line");
        assert!(
            !text.replace("\r\n", "").contains(['\r', '\n']),
            "a bare CR or LF: {}",
            shown(head)
        );
        let mut lines = text.split("\r\n");
        let status_line = lines.next().expect("split has at least one part");
        let (code, reason) = status_line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.split_once(' '))
            .unwrap_or_else(|| panic!("not a status line: {}", shown(head)));
        assert!(code.len() == 3 && !reason.is_empty(), "not a status line: {status_line}");
        let status = code.parse().expect("a status is a number");
        let fields = lines.map(|line| {
            let (name, value) =
                line.split_once(": ").unwrap_or_else(|| panic!("not a header line: {line:?}"));
            assert!(
                !name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-'),
                "invalid header name: {line:?}"
            );
            assert_eq!(value.trim(), value, "white space around a header value: {line:?}");
            (name.to_owned(), value.to_owned())
        });
        let response = Response { status, fields: fields.collect(), body: Vec::new() };
        response.check_rules();
        response
    }

    /// The value of the header `name`, which must not occur twice.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} occurs twice");
        value
    }

    /// The headers that are equal in two responses to the same request.
    pub fn headers_except_date(&self) -> Vec<&(String, String)> {
        self.fields.iter().filter(|(name, _)| name != "Date").collect()
    }

    /// The members of the list `name`, in all its lines.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.flat_map(|(_, value)| value.split(',').map(str::trim)).collect()
    }

    /// The value of the header `name`, which must exist.
    #[track_caller]
    pub fn required(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The date in the header `name`.
    #[track_caller]
    pub fn time(&self, name: &str) -> Option<SystemTime> {
        self.field(name).map(|value| {
            let time = httpdate::parse_http_date(value)
                .unwrap_or_else(|_| panic!("{name}: {value} is not a date"));
            assert_eq!(httpdate::fmt_http_date(time), value, "{name} is not an IMF-fixdate");
            time
        })
    }

    #[track_caller]
    pub fn content_length(&self) -> u64 {
        self.required("Content-Length").parse().expect("Content-Length is a number")
    }

    /// Whether the response has `Connection: close`.
    #[track_caller]
    pub fn says_close(&self) -> bool {
        self.field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Whether it has both validators, ETag and Last-Modified.
    pub fn has_validators(&self) -> bool {
        self.field("ETag").is_some() && self.field("Last-Modified").is_some()
    }

    /// Whether a body follows this head, unless the request was a HEAD.
    pub fn may_have_body(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Fails unless Allow lists GET and HEAD.
    #[track_caller]
    pub fn expect_allow(&self) {
        let allow = self.required("Allow");
        assert!(
            ["GET", "HEAD"].iter().all(|method| allow.split(", ").any(|word| word == *method)),
            "Allow: {allow}"
        );
    }

    #[track_caller]
    fn check_rules(&self) {
        for name in ["Content-Type", "Location", "Allow", "ETag"] {
            self.field(name);
        }
        if self.status < 200 {
            return;
        }
        self.required("Server");
        let date = self.time("Date").unwrap_or_else(|| panic!("no Date in {self:?}"));
        if let Some(modified) = self.time("Last-Modified") {
            assert!(modified <= date, "Last-Modified later than Date in {self:?}");
        }
        if let Some(location) = self.field("Location") {
            // Tests of redirects configure this host.
            let is_configured = location.starts_with("https://redirect.example");
            let is_path = location.starts_with('/') && !location.starts_with("//");
            assert!(is_path || is_configured, "the Location names another host: {location}");
            assert!(
                !location.contains(['\\', ' ', '"', '<', '>']),
                "the Location is not escaped: {location}"
            );
        }
        match self.status {
            // In a multipart response each part has its own (RFC 9110 section 15.3.7.2).
            206 => assert_eq!(
                self.field("Content-Range").is_some(),
                !self.required("Content-Type").starts_with("multipart/byteranges"),
                "{self:?}"
            ),
            301 | 302 | 303 | 307 | 308 => drop(self.required("Location")),
            304 => {
                for name in ["Content-Length", "Content-Type", "Content-Encoding", "Content-Range"]
                {
                    assert_eq!(
                        self.field(name),
                        None,
                        "{name} describes a body, which a 304 does not have: {self:?}"
                    );
                }
            }
            401 => drop(self.required("WWW-Authenticate")),
            405 => self.expect_allow(),
            429 | 503 => drop(self.required("Retry-After")),
            416 => assert!(self.required("Content-Range").starts_with("bytes */"), "{self:?}"),
            // These close the connection, because the start of the next request is unknown.
            408 | 413 | 414 | 431 | 505 => {
                assert!(self.says_close(), "no Connection: close in {self:?}")
            }
            _ => {}
        }
    }
}
