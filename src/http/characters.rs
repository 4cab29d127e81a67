//! Which bytes may stand where, as the grammars of the RFCs have it.
//!
//! Looked up in tables, not compared: every byte of a method and a host is asked about in every request.

/// RFC 9110 section 5.6.2: `tchar`.
pub(super) fn is_token(byte: u8) -> bool {
    const TOKEN: Table = alphanumeric_and(b"!#$%&'*+-.^_`|~");
    TOKEN[byte as usize]
}

/// RFC 3986 section 2: `unreserved` or one of the `sub-delims`.
pub(super) fn is_host(byte: u8) -> bool {
    const HOST: Table = alphanumeric_and(b"-._~!$&'()*+,;=");
    HOST[byte as usize]
}

type Table = [bool; 256];

const fn alphanumeric_and(marks: &[u8]) -> Table {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{is_host, is_token};

    #[test]
    fn what_ends_a_token_or_a_host_is_in_neither() {
        let is_in_neither = |byte: u8| !is_token(byte) && !is_host(byte);
        assert!((0..=b' ').chain(0x7f..=0xff).chain(*b"\"/:<>?@[\\]{}").all(is_in_neither));
        assert!(
            (b'0'..=b'9')
                .chain(b'a'..=b'z')
                .chain(b'A'..=b'Z')
                .all(|byte| is_token(byte) && is_host(byte))
        );
        assert!(is_token(b'#') && !is_host(b'#') && is_host(b'(') && !is_token(b'('));
    }
}
