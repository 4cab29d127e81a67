//! The hosts that the site is served for (`--server-name`).
//!
//! A page of another site can make a browser request any address, also one on its own machine or
//! network, and read the response if the name of that page's host resolves to this server (DNS
//! rebinding). The browser then names the host of the page, which is none of these.

use std::str::FromStr;

/// A name in lower case, or with `*.` before it every name beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName(Box<str>);

impl ServerName {
    /// Whether it is the name of `host`, in any case and with or without a dot at its end.
    pub(super) fn matches(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        match self.0.strip_prefix('*') {
            Some(parent) => host.len().checked_sub(parent.len()).is_some_and(|end| {
                let (labels, rest) = host.split_at(end);
                rest.eq_ignore_ascii_case(parent.as_bytes())
                    && labels.split(|b| *b == b'.').all(is_label)
            }),
            None => host.eq_ignore_ascii_case(self.0.as_bytes()),
        }
    }
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerName, String> {
        let expected = || "expected a name without a port, such as www.example.org".to_owned();
        let name = text.strip_prefix("*.").unwrap_or(text);
        let is_address = || {
            let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            bare.is_some_and(|bare| bare.parse::<core::net::Ipv6Addr>().is_ok())
        };
        match name.split('.').all(|label| is_label(label.as_bytes())) || is_address() {
            true => Ok(ServerName(text.to_ascii_lowercase().into())),
            false => Err(expected()),
        }
    }
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty() && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_a_host_in_any_case_and_a_wildcard_every_name_beneath() {
        for (name, matching, others) in [
            (
                "example.org",
                &["example.org", "EXAMPLE.org", "example.org."][..],
                &["a.example.org", "example.or", ""][..],
            ),
            (
                "*.Example.org",
                &["a.example.org", "a.b.EXAMPLE.ORG."],
                &[
                    "example.org",
                    ".example.org",
                    "..example.org",
                    "a..example.org",
                    ".a.example.org",
                    "%61.example.org",
                    "a b.example.org",
                    "a.example.org..",
                    ".example.org2",
                    "badexample.org",
                ],
            ),
            ("127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]),
            ("[::1]", &["[::1]"], &["::1"]),
        ] {
            let parsed: ServerName = name.parse().expect("the name is valid");
            assert!(matching.iter().all(|host| parsed.matches(host.as_bytes())), "{name}");
            assert!(!others.iter().any(|host| parsed.matches(host.as_bytes())), "{name}");
        }
        for name in ["", "*", "*.", "a..b", "example.org:80", "http://a", "a b", "[::1", "é.org"] {
            assert!(name.parse::<ServerName>().is_err(), "{name}");
        }
    }
}
