//! The status codes that this server says, and no others.

/// A status code of RFC 9110 section 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// 200
    Ok = 200,
    /// 204
    NoContent = 204,
    /// 206
    PartialContent = 206,
    /// 301
    MovedPermanently = 301,
    /// 304
    NotModified = 304,
    /// 400
    BadRequest = 400,
    /// 401
    Unauthorized = 401,
    /// 403
    Forbidden = 403,
    /// 404
    NotFound = 404,
    /// 405
    MethodNotAllowed = 405,
    /// 408
    RequestTimeout = 408,
    /// 412
    PreconditionFailed = 412,
    /// 413
    ContentTooLarge = 413,
    /// 414
    UriTooLong = 414,
    /// 416
    RangeNotSatisfiable = 416,
    /// 431
    RequestHeaderFieldsTooLarge = 431,
    /// 500
    InternalServerError = 500,
    /// 501
    NotImplemented = 501,
    /// 503
    ServiceUnavailable = 503,
    /// 505
    VersionNotSupported = 505,
}

impl Status {
    /// The three digits.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The three digits.
    pub(super) fn digits(self) -> &'static str {
        self.line().get(9..12).unwrap_or_default()
    }

    /// The words of RFC 9110 that follow the code.
    pub fn reason(self) -> &'static str {
        // The status line ends with them: "HTTP/1.1 200 OK".
        self.line().get(13..).unwrap_or_default()
    }

    /// The status line without its line end. The version is the server's own highest, whatever the
    /// request's was (RFC 9110 section 6.2).
    pub fn line(self) -> &'static str {
        match self {
            Status::Ok => "HTTP/1.1 200 OK",
            Status::NoContent => "HTTP/1.1 204 No Content",
            Status::PartialContent => "HTTP/1.1 206 Partial Content",
            Status::MovedPermanently => "HTTP/1.1 301 Moved Permanently",
            Status::NotModified => "HTTP/1.1 304 Not Modified",
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
            Status::RequestHeaderFieldsTooLarge => "HTTP/1.1 431 Request Header Fields Too Large",
            Status::InternalServerError => "HTTP/1.1 500 Internal Server Error",
            Status::NotImplemented => "HTTP/1.1 501 Not Implemented",
            Status::ServiceUnavailable => "HTTP/1.1 503 Service Unavailable",
            Status::VersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported",
        }
    }
}
