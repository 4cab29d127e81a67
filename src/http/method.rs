//! Request methods (RFC 9110 section 9).

use super::request_error::RequestError;
use super::status::Status;

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

impl Method {
    pub(super) fn parse(token: &[u8]) -> Result<Method, RequestError> {
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
