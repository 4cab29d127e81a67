//! Why a request is refused, and the response that says so.

use std::time::Duration;

use crate::http::{Response, Status, error_response};

/// Why a request may not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It carries no name and password of a user.
    Unauthorized,
    /// Too many wrong passwords have come from its address. This one has not been checked.
    TooManyFailures { wait: Duration },
    /// Too many passwords are being checked.
    Busy,
}

impl Denial {
    pub fn response<F>(self) -> Response<F> {
        match self {
            Denial::Unauthorized => {
                let mut response =
                    error_response(Status::Unauthorized, "A name and a password are needed here.");
                let challenge = "Basic realm=\"miniweb\", charset=\"UTF-8\"";
                response.headers.push("WWW-Authenticate", challenge);
                response
            }
            Denial::TooManyFailures { wait } => {
                let mut response = error_response(
                    Status::TooManyRequests,
                    "Too many wrong passwords came from your address. Please wait and try again.",
                );
                // Rounded up, so that a client that waits exactly this long is not too early.
                let wait_s = wait.as_millis().div_ceil(1000) as u64;
                response.headers.push_number("Retry-After", wait_s);
                response
            }
            Denial::Busy => error_response(
                Status::ServiceUnavailable,
                "This server is busy checking other passwords. Please try again in a moment.",
            ),
        }
    }
}
