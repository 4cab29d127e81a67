//! Chunked request bodies: the next request begins where the grammar says the body ends.

use super::connection::check_input;
use super::grammar::{self, Stop};
use super::simulation::{Mode, limits, simulate};

const HEAD: &[u8] = b"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// `input` is a chunked body, possibly incomplete or malformed. It also serves as the schedule.
pub fn check(input: &[u8]) {
    let wire = [HEAD, input, NEXT].concat();
    check_input(&wire, input);
    // The server refuses chunk sizes of more than sixteen digits, and bodies beyond its limit.
    let is_within_bounds = input.len() as u64 <= limits().body_bytes_max && !has_long_size(input);
    match grammar::chunked_body(&[input, NEXT].concat()) {
        Ok(length) if length == input.len() && is_within_bounds => {
            let requests = simulate(&wire, &[], Mode::Whole).requests;
            assert!(
                requests.iter().any(|request| request.line.starts_with(b"GET /next ")),
                "a complete body is not read to its end"
            );
        }
        Err(Stop::Malformed(_)) => {
            let requests = simulate(&wire, &[], Mode::Whole).requests;
            assert_eq!(requests.len(), 1, "a request is parsed behind a malformed body");
        }
        Ok(_) | Err(Stop::Incomplete) => {}
    }
}

fn has_long_size(input: &[u8]) -> bool {
    input.split(|byte| !byte.is_ascii_hexdigit()).any(|digits| digits.len() > 16)
}
