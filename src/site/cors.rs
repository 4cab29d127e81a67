//! Which pages of other origins may read the site (`--cors`, `--cors-origin`).
//!
//! Access-Control-Allow-Credentials is never sent: with it, a listed page could read the site with
//! the password that its visitor has entered.

use core::net::Ipv6Addr;
use std::str::FromStr;

use crate::http::{HeaderBlock, Method, Request, is_authority};

/// The origins whose pages may read the site (Fetch standard, section 3.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// No other origin.
    #[default]
    Off,
    /// Every origin.
    AllOrigins,
    /// The listed ones.
    Origins(Vec<Origin>),
}

/// An origin as browsers serialize it: scheme and host in lower case, without the default port. The
/// text is leaked, because options live as long as the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(&'static str);

const EXPOSED_HEADERS: &str = "Accept-Ranges, Content-Encoding, Content-Range, ETag";

impl Cors {
    /// Adds the headers of a response that do not depend on the request.
    pub(super) fn push_headers(&self, headers: &mut HeaderBlock) {
        match self {
            Cors::Off => {}
            Cors::AllOrigins => {
                headers.push("Access-Control-Allow-Origin", "*");
                headers.push("Access-Control-Expose-Headers", EXPOSED_HEADERS);
            }
            // Also on a response to a request without Origin: a cache would otherwise give that
            // response to a page of one of the origins.
            Cors::Origins(_) => headers.push("Vary", "Origin"),
        }
    }

    /// The headers of the response to `request` that depend on its origin.
    pub(super) fn headers_for(
        &self,
        request: &Request<'_>,
    ) -> Option<[(&'static str, &'static str); 2]> {
        let origin = self.listed_origin(request)?;
        Some([
            ("Access-Control-Allow-Origin", origin.0),
            ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
        ])
    }

    /// Whether `request` is a preflight for a page that may read the site. A preflight never
    /// carries credentials (Fetch standard, section 3.2.2).
    pub(super) fn grants_preflight(&self, request: &Request<'_>) -> bool {
        request.method == Method::Options
            && match self {
                Cors::Off => false,
                Cors::AllOrigins => true,
                Cors::Origins(_) => {
                    request.headers.values("access-control-request-method").next().is_some()
                        && self.listed_origin(request).is_some()
                }
            }
    }

    fn listed_origin(&self, request: &Request<'_>) -> Option<Origin> {
        let Cors::Origins(origins) = self else { return None };
        let origin = request.headers.only("origin")?;
        origins.iter().find(|listed| listed.0.as_bytes() == origin).copied()
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Origin, String> {
        const EXPECTED: &str = "expected scheme://host or scheme://host:port without a path, such \
                                as https://app.example.org";
        match text {
            // Browsers send it for sandboxed frames and local files, whoever wrote them.
            "null" => {
                return Err("expected an origin: 'null' would match unrelated pages".to_owned());
            }
            "*" => return Err("expected one origin: --cors allows every origin".to_owned()),
            _ => {}
        }
        let (scheme, authority) = text.split_once("://").ok_or(EXPECTED)?;
        let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let is_host_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let is_valid = is_authority(authority.as_bytes()) && authority.bytes().all(is_host_byte);
        // The origin of a file is serialized as `null`.
        if !is_scheme || !is_valid || scheme == "file" {
            return Err(EXPECTED.to_owned());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()),
            _ => (&*authority, None),
        };
        let default_port = match &*scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match address.map(str::parse::<Ipv6Addr>) {
            Some(Ok(address)) => format!("[{address}]"),
            Some(Err(_)) => return Err(EXPECTED.to_owned()),
            None if host.is_empty() => return Err(EXPECTED.to_owned()),
            None => host.to_owned(),
        };
        let port = port.filter(|port| Some(*port) != default_port);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Origin(format!("{scheme}://{host}{port}").leak()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_normalised_to_what_browsers_send() {
        for (text, serialized) in [
            ("https://app.example.org", "https://app.example.org"),
            ("HTTPS://App.Example.ORG:443", "https://app.example.org"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:", "http://localhost"),
            ("https://localhost:80", "https://localhost:80"),
            ("http://127.0.0.1:05173", "http://127.0.0.1:5173"),
            ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(text.parse::<Origin>().expect(text).0, serialized);
        }
        for text in [
            "",
            "null",
            "*",
            "example.org",
            "https://",
            "https://:443",
            "https://example.org/",
            "https://example.org/a",
            "https://example.org?a",
            "https://me@example.org",
            "https://*.example.org",
            "https://a b",
            "https://example.org:x",
            "https://example.org:65536",
            "https://a, https://b",
            "https://[::1",
            "https://[v1.a]",
            "https://é.example",
            "https://%61.example",
            "https://a\r\nX: y",
            "file://host",
            "1a://host",
            "://host",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }
}
