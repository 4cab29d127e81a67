//! Reading past a body in chunks: the next request begins where the grammar says it does.

use super::connection::check_talk;
use super::grammar::{self, Stop};
use super::talk::{Manner, limits, talk};

const HEAD: &[u8] = b"POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// `input` is a body, whole or not, well-formed or not. Each byte of it is also the size of a piece in which it is sent.
pub fn check(input: &[u8]) {
    let wire = [HEAD, input, NEXT].concat();
    check_talk(&wire, input);
    // A size of seventeen digits is more than is read, and so is a body beyond the bound.
    let is_within_bounds = input.len() as u64 <= limits().body_bytes_max && !has_long_size(input);
    match grammar::chunked_body(&[input, NEXT].concat()) {
        Ok(length) if length == input.len() && is_within_bounds => {
            let asked = talk(&wire, &[], Manner::Whole).asked;
            assert!(
                asked.iter().any(|asked| asked.line.starts_with(b"GET /next ")),
                "a whole body is read past"
            );
        }
        Err(Stop::Malformed(_)) => {
            let asked = talk(&wire, &[], Manner::Whole).asked;
            assert_eq!(asked.len(), 1, "after a malformed body nothing is known to be a request");
        }
        Ok(_) | Err(Stop::Incomplete) => {}
    }
}

fn has_long_size(input: &[u8]) -> bool {
    input.split(|byte| !byte.is_ascii_hexdigit()).any(|digits| digits.len() > 16)
}
