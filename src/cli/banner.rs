//! What a server prints when it is ready.

use std::net::SocketAddr;

use super::qr_code::qr_code;
use crate::format::{json_string, listed, printable};
use crate::server::{ListenAddress, LogFormat, network_addresses};

/// What the first line of the output says about a server.
#[derive(Debug)]
pub struct Banner {
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

impl Banner {
    /// The text for a server that listens at `addresses`, with its admin listener at `admin`. The
    /// first line names them. `at_terminal`, the URLs for other machines and a hint follow. With
    /// `--log json` there is one line of JSON, because the log follows on the same stream.
    pub fn text(
        &self,
        addresses: &[ListenAddress],
        admin: Option<&ListenAddress>,
        at_terminal: bool,
    ) -> String {
        if self.log == LogFormat::Json {
            return self.json_line(addresses, admin);
        }
        let urls: Vec<String> = addresses.iter().map(|address| self.url(address)).collect();
        let Banner { served, route_prefix, description, .. } = self;
        let admin = admin.map(|admin| format!("; admin on {}", url(admin))).unwrap_or_default();
        let line = format!("Serving {served} on {} ({description}){admin}", listed(&urls));
        let mut lines = format!("{}\n", printable(&line));
        if !at_terminal && !self.has_qr_code {
            return lines;
        }
        let networks = network_addresses(addresses);
        if at_terminal {
            for address in networks.iter().filter(|address| !is_named(addresses, **address)) {
                lines.push_str(&format!("For other machines: http://{address}{route_prefix}/\n"));
            }
        }
        if let (true, Some(address)) = (self.has_qr_code, networks.first()) {
            lines.push_str(&qr_code(&format!("http://{address}{route_prefix}/"), at_terminal));
        }
        if let (true, Some(hint)) = (at_terminal, &self.hint) {
            lines.push_str(&format!("{hint}\n"));
        }
        lines
    }

    fn json_line(&self, addresses: &[ListenAddress], admin: Option<&ListenAddress>) -> String {
        let urls: Vec<String> = addresses.iter().map(|address| self.url(address)).collect();
        let [first, served, strategy] = [&urls[0], &self.served, &self.description].map(json);
        let urls: Vec<String> = urls.iter().map(json).collect();
        let urls = urls.join(",");
        let admin = admin.map(|admin| format!(",\"admin\":{}", json(&url(admin))));
        let admin = admin.unwrap_or_default();
        format!(
            "{{\"event\":\"listening\",\"url\":{first},\"urls\":[{urls}],\"serving\":{served},\
             \"strategy\":{strategy}{admin}}}\n"
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
                format!("{}{}/", url(address).trim_end_matches('/'), self.route_prefix)
            }
            ListenAddress::Tcp(_) | ListenAddress::Unix(_) => url(address),
        }
    }
}

fn json(text: &String) -> String {
    let mut out = Vec::new();
    json_string(&mut out, text.as_bytes());
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// The URL that a browser on this machine opens for `address`. A Unix socket has none, so its
/// address is returned.
pub fn url(address: &ListenAddress) -> String {
    match address {
        // Not every browser opens 0.0.0.0 or [::].
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            format!("http://localhost:{}/", address.port())
        }
        ListenAddress::Tcp(address) => format!("http://{address}/"),
        ListenAddress::Unix(_) => address.to_string(),
    }
}

fn is_named(addresses: &[ListenAddress], address: SocketAddr) -> bool {
    addresses.contains(&ListenAddress::Tcp(address))
}
