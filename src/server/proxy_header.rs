//! The PROXY protocol, versions 1 and 2: a header before the first request, in which a proxy names
//! the address of its client.
//!
//! It is expected from trusted proxies only, so that no other peer can choose its address.

use std::net::IpAddr;

use proxy_header::{Error, ParseConfig, ProxyHeader as Header};

/// The longest header, with the extensions of version 2. Beyond it, the header is invalid.
const BYTES_MAX: usize = 4096;
/// The longest header of version 1, which the specification says.
const VERSION_1_BYTES_MAX: usize = 107;

/// Whether a connection still has to begin with a PROXY header.
#[derive(Debug)]
pub enum ProxyHeader {
    NotExpected,
    /// The bytes of the header that have arrived.
    Expected(Vec<u8>),
}

/// What the header has come to with the latest input.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyHeaderProgress<'a> {
    Incomplete,
    Invalid,
    /// The address of the client, unless the proxy speaks for itself or knows none; and the input
    /// behind the header.
    Complete(Option<IpAddr>, &'a [u8]),
}

impl ProxyHeader {
    /// Processes input. What follows the header is input of the connection.
    pub fn receive<'a>(&mut self, input: &'a [u8]) -> ProxyHeaderProgress<'a> {
        const CONFIG: ParseConfig =
            ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
        let ProxyHeader::Expected(received) = self else {
            return ProxyHeaderProgress::Complete(None, input);
        };
        let before = received.len();
        let room = BYTES_MAX - before;
        received.extend_from_slice(&input[..input.len().min(room)]);
        match Header::parse(received, CONFIG) {
            // The parser finds this only if the header arrives in pieces.
            Ok((_, used)) if received[0] == b'P' && used > VERSION_1_BYTES_MAX => {
                ProxyHeaderProgress::Invalid
            }
            Ok((header, used)) => {
                let client = header.proxied_address().map(|address| address.source.ip());
                // The header was incomplete without this input, so it ends in it.
                let rest = &input[used - before..];
                *self = ProxyHeader::NotExpected;
                ProxyHeaderProgress::Complete(client.map(|client| client.to_canonical()), rest)
            }
            Err(Error::BufferTooShort) if received.len() < BYTES_MAX => {
                ProxyHeaderProgress::Incomplete
            }
            Err(_) => ProxyHeaderProgress::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of version 2 with this command, address family and content.
    fn version_2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("the content is short").to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, family], &length, content].concat()
    }

    /// The client and what follows the header, which arrives in pieces of `size` bytes; None if it
    /// is invalid.
    fn receive(bytes: &[u8], size: usize) -> Option<(Option<IpAddr>, Vec<u8>)> {
        let mut header = ProxyHeader::Expected(Vec::new());
        let mut pieces = bytes.chunks(size);
        while let Some(piece) = pieces.next() {
            match header.receive(piece) {
                ProxyHeaderProgress::Incomplete => {}
                ProxyHeaderProgress::Invalid => return None,
                ProxyHeaderProgress::Complete(client, rest) => {
                    return Some((client, [rest, &pieces.collect::<Vec<_>>().concat()].concat()));
                }
            }
        }
        None
    }

    #[test]
    fn a_header_names_the_client_however_it_is_split() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
        let with_extension = [&v4[..], &[4, 0, 1, 0]].concat();
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[1, 1, 0, 80]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n".to_vec(), Some("203.0.113.7")),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 80\r\n".to_vec(), Some("2001:db8::7")),
            (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 12345 80\r\n".to_vec(), Some("203.0.113.7")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN a b 1 2\r\n".to_vec(), None),
            (version_2(1, 0x11, &v4), Some("203.0.113.7")),
            (version_2(1, 0x11, &with_extension), Some("203.0.113.7")),
            (version_2(1, 0x21, &v6), Some("2001:db8::7")),
            // Commands and families without an address: a health check, a Unix socket.
            (version_2(0, 0x11, &v4), None),
            (version_2(0, 0, &[]), None),
            (version_2(1, 0, &[]), None),
            (version_2(1, 0x31, &[b'x'; 216]), None),
        ] {
            let input = [&header, &b"GET / HTTP/1.1\r\n"[..]].concat();
            let expected = expected.map(|text| text.parse().expect("the address is valid"));
            for size in [1, 2, 7, input.len()] {
                let received = receive(&input, size);
                let expected = Some((expected, b"GET / HTTP/1.1\r\n".to_vec()));
                assert_eq!(received, expected, "{:?}", header.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn what_is_no_header_or_has_no_end_is_invalid() {
        for invalid in [
            &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
            b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 65536\r\n",
            b"PROXY TCP4 2001:db8::7 ::1 12345 80\r\n",
            b"PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n",
            &[&b"PROXY TCP4 "[..], &[b'1'; 200]].concat(),
            &[&b"PROXY UNKNOWN "[..], &[b'1'; 100], b"\r\n"].concat(),
            &version_2(2, 0x11, &[0; 12]),
            &version_2(1, 0x11, &[0; 11]),
            &version_2(1, 0, &[0; BYTES_MAX]),
        ] {
            for size in [1, invalid.len()] {
                assert_eq!(
                    receive(invalid, size),
                    None,
                    "{:?}",
                    invalid.escape_ascii().to_string()
                );
            }
        }
    }

    proptest! {
        #[test]
        fn splitting_a_header_changes_nothing(
            input in prop_oneof![
                "PROXY (TCP4|TCP6|UNKNOWN|x) [0-9a-f.: ]{0,50}\r\n[a-z]{0,20}".prop_map(String::into_bytes),
                (any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80))
                    .prop_map(|(command, family, content)| version_2(command & 1, family, &content)),
                proptest::collection::vec(any::<u8>(), 1..60),
            ],
            size in 1..9usize,
        ) {
            prop_assert_eq!(receive(&input, size), receive(&input, input.len()));
        }
    }
}
