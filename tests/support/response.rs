//! An answer, taken apart and held to what every answer has to keep.

use std::time::SystemTime;

use super::shown;

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The three digits.
    pub status: u16,
    /// Name and value of each field line, in order.
    pub fields: Vec<(String, String)>,
    /// What followed the head; nothing in the answer to a HEAD.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a whole head, its empty line included, and fails if it is not what RFC 9112 and this server's
    /// promises make it. So every answer of every case is held to them, whatever the case is about.
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
            .unwrap_or_else(|| panic!("no status line: {}", shown(head)));
        assert!(code.len() == 3 && !reason.is_empty(), "no status line: {status_line}");
        let status = code.parse().expect("a status is a number");
        let fields = lines.map(|line| {
            let (name, value) =
                line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
            assert!(
                !name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-'),
                "a strange name: {line:?}"
            );
            assert_eq!(value.trim(), value, "white space around a value: {line:?}");
            (name.to_owned(), value.to_owned())
        });
        let response = Response { status, fields: fields.collect(), body: Vec::new() };
        response.hold_to_promises();
        response
    }

    /// The value of the field called `name`, which may stand there once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands there twice");
        value
    }

    /// The lines that two answers to the same request have in common.
    pub fn headers_except_date(&self) -> Vec<&(String, String)> {
        self.fields.iter().filter(|(name, _)| name != "Date").collect()
    }

    /// The members of a list, in all the lines that it is spread over.
    pub fn list(&self, name: &str) -> Vec<&str> {
        let values = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.flat_map(|(_, value)| value.split(',').map(str::trim)).collect()
    }

    /// The value of a field that has to be there.
    #[track_caller]
    pub fn required(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The moment that a field names.
    #[track_caller]
    pub fn time(&self, name: &str) -> Option<SystemTime> {
        self.field(name).map(|value| {
            let time = httpdate::parse_http_date(value)
                .unwrap_or_else(|_| panic!("{name}: {value} is no date"));
            assert_eq!(httpdate::fmt_http_date(time), value, "{name} is not an IMF-fixdate");
            time
        })
    }

    /// Bytes that the head promises.
    #[track_caller]
    pub fn content_length(&self) -> u64 {
        self.required("Content-Length").parse().expect("a length is a number")
    }

    /// Whether the answer says that it is the last.
    #[track_caller]
    pub fn says_close(&self) -> bool {
        self.field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The fields but for what the clock changes: the Date, and whether the tag of a file that was written a
    /// moment ago is weak still.
    pub fn stable_headers(&self) -> Vec<(&str, &str)> {
        let fields =
            self.fields.iter().map(|(name, value)| (&**name, value.trim_start_matches("W/")));
        fields.filter(|(name, _)| *name != "Date").collect()
    }

    /// Whether a body follows this head if the request's method is not HEAD.
    pub fn may_have_body(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }

    /// Fails unless it says that the site can be read.
    #[track_caller]
    pub fn expect_allow(&self) {
        let allow = self.required("Allow");
        assert!(
            ["GET", "HEAD"].iter().all(|method| allow.split(", ").any(|word| word == *method)),
            "Allow: {allow}"
        );
    }

    #[track_caller]
    fn hold_to_promises(&self) {
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
            assert!(
                location.starts_with('/') && !location.starts_with("//"),
                "to another host: {location}"
            );
            assert!(!location.contains(['\\', ' ', '"', '<', '>']), "not escaped: {location}");
        }
        match self.status {
            // In one part it is told here which; in several, beside each of them (RFC 9110 section 15.3.7.2).
            206 => assert_eq!(
                self.field("Content-Range").is_some(),
                !self.required("Content-Type").starts_with("multipart/byteranges"),
                "{self:?}"
            ),
            301 => drop(self.required("Location")),
            304 => {
                for name in ["Content-Length", "Content-Type", "Content-Encoding", "Content-Range"]
                {
                    assert_eq!(
                        self.field(name),
                        None,
                        "{name} tells of a body that does not come: {self:?}"
                    );
                }
            }
            401 => drop(self.required("WWW-Authenticate")),
            405 => self.expect_allow(),
            416 => assert!(self.required("Content-Range").starts_with("bytes */"), "{self:?}"),
            // The connection can't go on after these: where the next request would begin is not known.
            408 | 413 | 414 | 431 | 505 => {
                assert!(self.says_close(), "no Connection: close in {self:?}")
            }
            _ => {}
        }
    }
}
