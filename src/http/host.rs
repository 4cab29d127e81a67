//! Validates `host[:port]`, as it occurs in Host and in absolute-form targets.
//!
//! Only the syntax is checked (RFC 3986 section 3.2.2). This server has one site, and never builds
//! a path or a redirect from the host that a client names. Which hosts it serves is up to the site.

use super::characters::is_host;

/// Whether `authority` is a valid `host[:port]`: a registered name (which may be empty), an IPv4
/// address, or an IPv6 address in brackets. User information (`user@host`) is invalid (RFC 9110
/// section 4.2.4).
pub(crate) fn is_valid(authority: &[u8]) -> bool {
    let after_host = match authority {
        [b'[', inside @ ..] => memchr::memchr(b']', inside)
            .filter(|end| is_ip_literal(&inside[..*end]))
            .map(|end| &inside[end + 1..]),
        _ => after_registered_name(authority),
    };
    match after_host {
        Some([]) => true,
        Some([b':', port @ ..]) => is_port(port),
        Some(_) | None => false,
    }
}

/// The host of a valid `host[:port]`.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', authority) {
        // The colons of an IPv6 address are in brackets.
        Some(colon) if !authority[colon..].contains(&b']') => &authority[..colon],
        Some(_) | None => authority,
    }
}

/// Whether the text between brackets is an IPv6 address or an `IPvFuture` (RFC 3986 section 3.2.2).
fn is_ip_literal(inside: &[u8]) -> bool {
    match inside {
        [b'v' | b'V', future @ ..] => {
            let Some(dot) = memchr::memchr(b'.', future) else {
                return false;
            };
            let (version, address) = (&future[..dot], &future[dot + 1..]);
            let is_address_byte = |b: &u8| is_host(*b) || *b == b':';
            !version.is_empty()
                && version.iter().all(u8::is_ascii_hexdigit)
                && !address.is_empty()
                && address.iter().all(is_address_byte)
        }
        address => std::str::from_utf8(address)
            .is_ok_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok()),
    }
}

/// Whether `port` is empty, which means the default port, or a number of 16 bits. RFC 3986 section
/// 3.2.3 allows any number of digits; a greater number names no TCP port.
fn is_port(port: &[u8]) -> bool {
    let fits = || std::str::from_utf8(port).is_ok_and(|text| text.parse::<u16>().is_ok());
    // `u16::from_str` accepts a plus sign. Four digits always fit.
    port.iter().all(u8::is_ascii_digit) && (port.len() <= 4 || fits())
}

/// The rest of `text` after a registered name or an IPv4 address. None if a percent sign is not
/// followed by two hexadecimal digits.
fn after_registered_name(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let end = rest.iter().position(|byte| !is_host(*byte)).unwrap_or(rest.len());
        rest = match &rest[end..] {
            [b'%', a, b, after @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => after,
            [b'%', ..] => return None,
            after => return Some(after),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn registered_names_and_ip_addresses_are_valid_with_or_without_a_port() {
        for host in [
            "",
            "localhost",
            "a.example:80",
            "127.0.0.1:7890",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "[v1.a:b]",
            "a%41b",
            "h:",
            "h:0",
            "h:65535",
            "h:000080",
            "[::1]:65535",
            "x_y",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn invalid_hosts_and_ports_are_refused() {
        for host in [
            "a b",
            "user@host",
            "a/b",
            "[::1",
            "[]",
            "[a]",
            "[::12345]",
            "[1:2]",
            "[::1%25eth0]",
            "[v1]",
            "[v.a]",
            "[::1]x",
            "h:80x",
            "h:65536",
            "h:98777",
            "h:123456",
            "h:18446744073709551696",
            "h:+80",
            "[::1]:65536",
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
