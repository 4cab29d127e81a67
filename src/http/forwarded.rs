//! The address of a client whose requests come through trusted proxies, from X-Forwarded-For.
//!
//! A proxy appends the address that it was connected from to the list of the request. So the list
//! is read from its end: the last address was written by the peer, and each one before it is as
//! trustworthy as the proxy whose address follows it. What the client itself has sent stands before
//! the address that the first trusted proxy appended, and is never reached.

// The address types of std::net, without its sockets.
use core::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use super::headers::Headers;

/// The addresses of proxies whose X-Forwarded-For is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<TrustedProxy>);

/// Proxies whose X-Forwarded-For is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// A network, or one host.
    Network(IpNet),
    /// Every client of a Unix socket.
    UnixSocket,
}

impl From<Vec<TrustedProxy>> for TrustedProxies {
    fn from(proxies: Vec<TrustedProxy>) -> TrustedProxies {
        TrustedProxies(proxies)
    }
}

impl TrustedProxies {
    /// Whether `address` is that of a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let contains = |proxy: &TrustedProxy| match proxy {
            TrustedProxy::Network(network) => network.contains(&address),
            TrustedProxy::UnixSocket => false,
        };
        self.0.iter().any(contains)
    }

    /// Whether a peer is a trusted proxy. `address` is None if it is connected to a Unix socket.
    pub fn contains_peer(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self.contains(address),
            None => self.0.contains(&TrustedProxy::UnixSocket),
        }
    }

    /// The address of the client of a request that a trusted proxy has sent: the last one in the
    /// list that is not a trusted proxy's, or the first, if all are. An invalid member ends the
    /// search, because nothing tells who has written what stands before it. None if the list has no
    /// address, or ends in an invalid member.
    pub fn client_of(&self, headers: Headers<'_>) -> Option<IpAddr> {
        let mut client = None;
        for member in headers.list("x-forwarded-for").rev() {
            let Some(address) = parse_address(member) else { break };
            client = Some(address);
            if !self.contains(address) {
                break;
            }
        }
        client
    }
}

/// An address, perhaps with a port or in brackets, as Azure and IIS append it.
fn parse_address(member: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(member).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    };
    let address = address.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address| address.to_canonical())
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<TrustedProxy, String> {
        const EXPECTED: &str =
            "expected an address or a network, such as 10.0.0.0/8 or 2001:db8::1, or unix:";
        if text == "unix:" {
            return Ok(TrustedProxy::UnixSocket);
        }
        let network = match text.parse() {
            Ok(address) => IpNet::from(IpAddr::to_canonical(&address)),
            Err(_) => text.parse().map_err(|_| EXPECTED)?,
        };
        Ok(TrustedProxy::Network(canonical(network)))
    }
}

/// Addresses are compared in canonical form, so ::ffff:10.0.0.0/104 has to become 10.0.0.0/8.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_PREFIX_BITS: u8 = 96;
    let bits = network.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
    match (network.addr().to_canonical(), bits) {
        (address @ IpAddr::V4(_), Some(bits)) => {
            IpNet::new(address, bits).expect("a prefix of 128 bits without 96 has at most 32")
        }
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::http::{HeaderStorage, Limits, Request};

    fn proxies(networks: &[&str]) -> TrustedProxies {
        let parse = |network: &&str| network.parse().expect("the network is valid");
        networks.iter().map(parse).collect::<Vec<_>>().into()
    }

    /// The client according to header lines with these values.
    fn client(proxies: &TrustedProxies, values: &[&str]) -> Option<String> {
        let lines = values.iter().map(|value| format!("X-Forwarded-For: {value}\r\n"));
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines.collect::<String>());
        let mut storage = HeaderStorage::default();
        let request = Request::parse(head.as_bytes(), &mut storage, &Limits::default());
        let headers = request.expect("the request is valid").headers;
        proxies.client_of(headers).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_trusted_proxy() {
        let proxies =
            proxies(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::ffff:172.16.0.0/108"]);
        for (values, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["203.0.113.7"], Some("203.0.113.7")),
            (&["198.51.100.9, 203.0.113.7"], Some("203.0.113.7")),
            (&["198.51.100.9, 203.0.113.7, 10.1.2.3,192.0.2.1"], Some("203.0.113.7")),
            (&["198.51.100.9", "203.0.113.7", "10.1.2.3"], Some("203.0.113.7")),
            (&["203.0.113.7, 172.17.0.1, 2001:db8::5, ::ffff:10.0.0.1"], Some("203.0.113.7")),
            (&["203.0.113.7,, ,10.0.0.1,"], Some("203.0.113.7")),
            (&["10.0.0.2, 10.0.0.1"], Some("10.0.0.2")),
            (&["192.0.2.2, 10.0.0.1"], Some("192.0.2.2")),
            // The form.
            (&["203.0.113.7:4711"], Some("203.0.113.7")),
            (&["[2001:db9::7]:443"], Some("2001:db9::7")),
            (&["[2001:db9::7]"], Some("2001:db9::7")),
            (&["::ffff:203.0.113.7"], Some("203.0.113.7")),
            // What is no address.
            (&["203.0.113.7, unknown"], None),
            (&["203.0.113.7, unknown, 10.0.0.1"], Some("10.0.0.1")),
            (&["203.0.113.7, _hidden, 10.0.0.2, 10.0.0.1"], Some("10.0.0.2")),
            (&["203.0.113.07"], None),
            (&["203.0.113"], None),
            (&["203.0.113.7:"], None),
            (&["203.0.113.7:65536"], None),
            (&["[203.0.113.7]"], None),
            (&["fe80::1%eth0"], None),
            (&["2001:db9::7]"], None),
            (&["\"203.0.113.7\""], None),
            (&["203.0.113.7 10.0.0.1"], None),
        ] {
            assert_eq!(client(&proxies, values).as_deref(), expected, "{values:?}");
        }
    }

    #[test]
    fn a_network_has_a_mask_and_a_host_has_none() {
        for (network, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.0"),
            ("10.9.9.9/8", "10.0.0.0", "11.0.0.0"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::1", "::1", "::2"),
            ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::ffff:10.0.0.0/104", "10.255.0.0", "11.0.0.0"),
        ] {
            let proxies = proxies(&[network]);
            for (address, expected) in [(inside, true), (outside, false)] {
                let address = address.parse().expect("the address is valid");
                assert_eq!(proxies.contains(address), expected, "{network}: {address}");
            }
        }
        for invalid in
            ["", "unix", "10.0.0.0/33", "10.0.0/8", "::/129", "h", "[::1]", "10.0.0.1:80"]
        {
            assert!(invalid.parse::<TrustedProxy>().is_err(), "{invalid}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_changes_its_address(
            sent in "([0-9a-f:.\\[\\], ]|10\\.0\\.0\\.1,|unknown|[!-~]){0,60}",
            client_bits: u32,
            hops in vec(prop_oneof!["10\\.0\\.0\\.[1-9]", Just("192.0.2.1:80".to_owned())], 0..4),
            is_one_line: bool,
        ) {
            let proxies = proxies(&["10.0.0.0/8", "192.0.2.1"]);
            let address = IpAddr::V4(client_bits.into());
            prop_assume!(!proxies.contains(address));
            let appended = [&[address.to_string()], &hops[..]].concat().join(", ");
            let found = match is_one_line {
                true => client(&proxies, &[&format!("{sent},{appended}")]),
                false => client(&proxies, &[&sent, &appended]),
            };
            prop_assert_eq!(found, Some(address.to_string()));
        }

        #[test]
        fn what_is_found_is_an_address(value in ".{0,60}|([0-9a-f:.%\\[\\],]|10\\.0\\.0\\.1,){0,40}") {
            let value: String = value.chars().filter(|char| !char.is_control()).collect();
            if let Some(found) = client(&proxies(&["10.0.0.0/8"]), &[&value]) {
                prop_assert!(found.parse::<IpAddr>().is_ok(), "{}", found);
            }
        }
    }
}
