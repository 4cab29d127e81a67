//! `host[:port]`, the value of a Host field and the authority of an absolute-form target.
//!
//! Only its form is checked (RFC 3986 section 3.2.2): this server has one site, and no path or
//! redirect is ever made from what a client says its host is.

/// Whether `authority` is a valid `host[:port]`: a registered name (which may be empty), an IPv4 address,
/// or an IPv6 address in brackets. User information (`user@host`) is refused, as RFC 9110 section 4.2.4 asks.
pub(super) fn is_valid(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [b'[', ..] => {
            let Some(end) = memchr::memchr(b']', authority) else { return false };
            let (host, rest) = authority.split_at(end + 1);
            let inside = &host[1..end];
            if inside.is_empty() || !inside.iter().all(|b| is_unreserved(*b) || is_sub_delim(*b) || *b == b':') {
                return false;
            }
            match rest {
                [] => return true,
                [b':', port @ ..] => return is_port(port),
                _ => return false,
            }
        }
        _ => match memchr::memchr(b':', authority) {
            Some(colon) => (&authority[..colon], &authority[colon + 1..]),
            None => (authority, &b""[..]),
        },
    };
    is_registered_name(host) && is_port(port)
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

fn is_registered_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [a, b, after @ ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
            (other, after) if is_unreserved(*other) || is_sub_delim(*other) => after,
            _ => return false,
        };
    }
    true
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_sub_delim(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn names_and_addresses_with_and_without_a_port_are_valid() {
        for host in ["", "localhost", "a.example:80", "127.0.0.1:7890", "[::1]", "[::1]:80", "a%41b", "h:", "x_y"] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for host in [
            "a b",
            "user@host",
            "a/b",
            "[::1",
            "[]",
            "[::1]x",
            "h:80x",
            "h:123456",
            "a,b:1:2",
            "%4",
            "h\u{e9}",
            "a?b",
            "a#b",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
