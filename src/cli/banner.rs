//! What a server prints when it is ready.

use std::net::SocketAddr;

use super::qr_code::qr_code;
use crate::format::{json_string, listed, printable};
use crate::server::{ListenAddress, LogFormat, network_addresses};

/// What the first lines of the output say about a server.
#[derive(Debug)]
pub struct Banner {
    /// `https`, or `http` without TLS.
    pub(super) scheme: &'static str,
    pub(super) served: String,
    /// `--route-prefix`, or an empty string.
    pub(super) route_prefix: &'static str,
    pub(super) description: String,
    pub(super) log: LogFormat,
    /// What a person at a terminal may want to know next.
    pub(super) hint: Option<String>,
    pub(super) has_qr_code: bool,
    /// Whether a browser opens the site.
    pub opens_browser: bool,
}

/// What is known about a server once it is open.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Where it listens, with the real ports.
    pub addresses: &'a [ListenAddress],
    /// The address of the admin listener.
    pub admin: Option<&'a ListenAddress>,
    /// Where plain HTTP is redirected to HTTPS.
    pub redirect: Option<&'a ListenAddress>,
    /// The SHA-256 fingerprint of a self-signed certificate.
    pub fingerprint: Option<&'a str>,
}

impl Banner {
    /// The text for a running server. The first line names its addresses. The fingerprint of a
    /// self-signed certificate follows and, `at_terminal`, the URLs for other machines and a hint.
    /// With `--log json` there is one line of JSON, because the log follows on the same stream.
    pub fn text(&self, running: &Running<'_>, at_terminal: bool) -> String {
        let Running { addresses, admin, redirect, fingerprint } = *running;
        if self.log == LogFormat::Json {
            return self.json_line(running);
        }
        let urls: Vec<String> = addresses.iter().map(|address| self.url(address)).collect();
        let Banner { scheme, served, route_prefix, description, .. } = self;
        let admin = admin.map(|it| format!("; admin on {}", url("http", it))).unwrap_or_default();
        let redirect = redirect.map(|it| format!("; redirecting {} to it", url("http", it)));
        let redirect = redirect.unwrap_or_default();
        let line =
            format!("Serving {served} on {} ({description}){redirect}{admin}", listed(&urls));
        let mut lines = format!("{}\n", printable(&line));
        lines.extend(fingerprint.map(fingerprint_lines));
        if !at_terminal && !self.has_qr_code {
            return lines;
        }
        let networks = network_addresses(addresses);
        if at_terminal {
            for address in networks.iter().filter(|address| !is_named(addresses, **address)) {
                let url = format!("{scheme}://{address}{route_prefix}/");
                lines.push_str(&format!("For other machines: {url}\n"));
            }
        }
        if let (true, Some(address)) = (self.has_qr_code, networks.first()) {
            let url = format!("{scheme}://{address}{route_prefix}/");
            lines.push_str(&qr_code(&url, at_terminal));
        }
        if let (true, Some(hint)) = (at_terminal, &self.hint) {
            lines.push_str(&format!("{hint}\n"));
        }
        lines
    }

    fn json_line(&self, running: &Running<'_>) -> String {
        let Running { addresses, admin, redirect, fingerprint } = *running;
        let urls: Vec<String> = addresses.iter().map(|address| self.url(address)).collect();
        let [first, served, strategy] = [&urls[0], &self.served, &self.description].map(json);
        let urls: Vec<String> = urls.iter().map(json).collect();
        let urls = urls.join(",");
        let admin = admin.map(|admin| format!(",\"admin\":{}", json(&url("http", admin))));
        let fingerprint = fingerprint.map(|it| format!(",\"certificate_sha256\":\"{it}\""));
        let redirect = redirect.map(|it| format!(",\"redirecting\":{}", json(&url("http", it))));
        let [admin, redirect, fingerprint] =
            [admin, redirect, fingerprint].map(Option::unwrap_or_default);
        format!(
            "{{\"event\":\"listening\",\"url\":{first},\"urls\":[{urls}],\"serving\":{served},\
             \"strategy\":{strategy}{redirect}{admin}{fingerprint}}}\n"
        )
    }

    /// The first URL of the site that a browser can open.
    pub fn browser_url(&self, addresses: &[ListenAddress]) -> Option<String> {
        let tcp = addresses.iter().find(|address| address.tcp().is_some());
        tcp.map(|address| self.url(address))
    }

    /// The URL of the site.
    fn url(&self, address: &ListenAddress) -> String {
        match address {
            ListenAddress::Tcp(_) if !self.route_prefix.is_empty() => {
                let url = url(self.scheme, address);
                format!("{}{}/", url.trim_end_matches('/'), self.route_prefix)
            }
            ListenAddress::Tcp(_) | ListenAddress::Unix(_) => url(self.scheme, address),
        }
    }
}

fn json(text: &String) -> String {
    let mut out = Vec::new();
    json_string(&mut out, text.as_bytes());
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// A fingerprint of 32 bytes in two lines, which fit a terminal of 80 columns.
fn fingerprint_lines(fingerprint: &str) -> String {
    const HALF: usize = "00:".len() * 16;
    let (first, second) = fingerprint.split_at_checked(HALF).unwrap_or((fingerprint, ""));
    format!(
        "The certificate is self-signed. Its SHA-256 fingerprint, which browsers show:\n  \
         {first}\n  {second}\n"
    )
}

/// The URL that a browser on this machine opens for `address`. A Unix socket has none, so its
/// address is returned.
pub fn url(scheme: &str, address: &ListenAddress) -> String {
    match address {
        // Not every browser opens 0.0.0.0 or [::].
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            format!("{scheme}://localhost:{}/", address.port())
        }
        ListenAddress::Tcp(address) => format!("{scheme}://{address}/"),
        ListenAddress::Unix(_) => address.to_string(),
    }
}

fn is_named(addresses: &[ListenAddress], address: SocketAddr) -> bool {
    addresses.contains(&ListenAddress::Tcp(address))
}
