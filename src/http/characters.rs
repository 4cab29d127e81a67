//! Character classes of the HTTP and URI grammars.
//!
//! They are lookup tables, because every byte of every target and host is tested.

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    const TOKEN: Table = alphanumeric_and(b"!#$%&'*+-.^_`|~");
    TOKEN[byte as usize]
}

/// `unreserved` and `sub-delims` of RFC 3986 section 2.
pub(super) fn is_host(byte: u8) -> bool {
    const HOST: Table = alphanumeric_and(b"-._~!$&'()*+,;=");
    HOST[byte as usize]
}

/// What a request target may contain: visible ASCII but `#`, as a target has no fragment. A space
/// is either a doubled separator or one that the client failed to encode.
pub(super) fn is_target(byte: u8) -> bool {
    const TARGET: Table = alphanumeric_and(b"!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~");
    TARGET[byte as usize]
}

/// What a field value or a quoted string may contain: a tab, a space, visible ASCII, and bytes
/// beyond ASCII (RFC 9110 sections 5.5 and 5.6.4).
pub(super) fn is_field_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

type Table = [bool; 256];

const fn alphanumeric_and(others: &[u8]) -> Table {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{is_host, is_target, is_token};

    #[test]
    fn delimiters_are_neither_token_nor_host_characters() {
        let is_delimiter = |byte: u8| !is_token(byte) && !is_host(byte);
        assert!((0..=b' ').chain(0x7f..=0xff).chain(*b"\"/:<>?@[\\]{}").all(is_delimiter));
        assert!(
            (b'0'..=b'9')
                .chain(b'a'..=b'z')
                .chain(b'A'..=b'Z')
                .all(|byte| is_token(byte) && is_host(byte))
        );
        assert!(is_token(b'#') && !is_host(b'#') && is_host(b'(') && !is_token(b'('));
    }

    #[test]
    fn a_target_is_visible_ascii_without_a_fragment() {
        for byte in 0..=0xff {
            assert_eq!(is_target(byte), byte.is_ascii_graphic() && byte != b'#', "{byte}");
        }
    }
}
