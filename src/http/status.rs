//! The status codes that this server sends.

/// A status code of RFC 9110 section 15, or of RFC 6585 (429 and 431).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Status {
    Ok = 200,
    NoContent = 204,
    PartialContent = 206,
    MovedPermanently = 301,
    Found = 302,
    SeeOther = 303,
    NotModified = 304,
    TemporaryRedirect = 307,
    PermanentRedirect = 308,
    BadRequest = 400,
    Unauthorized = 401,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    PreconditionFailed = 412,
    ContentTooLarge = 413,
    UriTooLong = 414,
    RangeNotSatisfiable = 416,
    MisdirectedRequest = 421,
    TooManyRequests = 429,
    RequestHeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    VersionNotSupported = 505,
}

impl Status {
    /// The status code as a number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Whether the failure is the server's (5xx).
    pub fn is_server_error(self) -> bool {
        self.code() >= 500
    }

    /// The status code as text.
    pub(super) fn digits(self) -> &'static str {
        self.status_line().get(9..12).unwrap_or_default()
    }

    /// The reason phrase of the RFC.
    pub fn reason(self) -> &'static str {
        // The reason phrase ends the status line: "HTTP/1.1 200 OK".
        self.status_line().get(13..).unwrap_or_default()
    }

    /// The status line, without its CRLF. The version is the highest that the server supports, not
    /// that of the request (RFC 9110 section 6.2).
    pub fn status_line(self) -> &'static str {
        match self {
            Status::Ok => "HTTP/1.1 200 OK",
            Status::NoContent => "HTTP/1.1 204 No Content",
            Status::PartialContent => "HTTP/1.1 206 Partial Content",
            Status::MovedPermanently => "HTTP/1.1 301 Moved Permanently",
            Status::Found => "HTTP/1.1 302 Found",
            Status::SeeOther => "HTTP/1.1 303 See Other",
            Status::NotModified => "HTTP/1.1 304 Not Modified",
            Status::TemporaryRedirect => "HTTP/1.1 307 Temporary Redirect",
            Status::PermanentRedirect => "HTTP/1.1 308 Permanent Redirect",
            Status::BadRequest => "HTTP/1.1 400 Bad Request",
            Status::Unauthorized => "HTTP/1.1 401 Unauthorized",
            Status::Forbidden => "HTTP/1.1 403 Forbidden",
            Status::NotFound => "HTTP/1.1 404 Not Found",
            Status::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed",
            Status::RequestTimeout => "HTTP/1.1 408 Request Timeout",
            Status::PreconditionFailed => "HTTP/1.1 412 Precondition Failed",
            Status::ContentTooLarge => "HTTP/1.1 413 Content Too Large",
            Status::UriTooLong => "HTTP/1.1 414 URI Too Long",
            Status::RangeNotSatisfiable => "HTTP/1.1 416 Range Not Satisfiable",
            Status::MisdirectedRequest => "HTTP/1.1 421 Misdirected Request",
            Status::TooManyRequests => "HTTP/1.1 429 Too Many Requests",
            Status::RequestHeaderFieldsTooLarge => "HTTP/1.1 431 Request Header Fields Too Large",
            Status::InternalServerError => "HTTP/1.1 500 Internal Server Error",
            Status::NotImplemented => "HTTP/1.1 501 Not Implemented",
            Status::ServiceUnavailable => "HTTP/1.1 503 Service Unavailable",
            Status::VersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_has_the_code_and_the_reason_phrase() {
        for (status, line) in [
            (Status::Ok, "HTTP/1.1 200 OK"),
            (Status::UriTooLong, "HTTP/1.1 414 URI Too Long"),
            (Status::RequestHeaderFieldsTooLarge, "HTTP/1.1 431 Request Header Fields Too Large"),
        ] {
            assert_eq!(status.status_line(), line);
            assert_eq!(format!("HTTP/1.1 {} {}", status.digits(), status.reason()), line);
            assert_eq!(status.code().to_string(), status.digits());
        }
    }
}
