//! What a server prints when it is ready.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::format::{json_string, printable};
use crate::server::LogFormat;

/// What the first line of the output says about a server.
#[derive(Debug)]
pub struct Banner {
    pub(super) served: String,
    pub(super) description: String,
    pub(super) log: LogFormat,
    /// What a person at a terminal may want to know next.
    pub(super) hint: Option<String>,
}

impl Banner {
    /// The lines for a person at a terminal: the first one, where other machines reach the server,
    /// and a hint.
    pub fn lines(&self, address: SocketAddr) -> String {
        let mut lines = self.line(address);
        if self.log == LogFormat::Json {
            return lines;
        }
        for address in reachable_addresses(address) {
            lines.push_str(&format!("For other machines: http://{address}/\n"));
        }
        if let Some(hint) = &self.hint {
            lines.push_str(&format!("{hint}\n"));
        }
        lines
    }

    /// The line for a server that listens at `address`: JSON if the lines of the access log, which
    /// follow on the same stream, are.
    pub fn line(&self, address: SocketAddr) -> String {
        let Banner { served, description, log, .. } = self;
        let url = url(address);
        match log {
            LogFormat::Json => {
                let [url, served, description] = [&url, served, description].map(|text| json(text));
                format!(
                    "{{\"event\":\"listening\",\"url\":{url},\"serving\":{served},\
                     \"strategy\":{description}}}\n"
                )
            }
            LogFormat::None | LogFormat::Short | LogFormat::Common | LogFormat::Combined => {
                format!("{}\n", printable(&format!("Serving {served} on {url} ({description})")))
            }
        }
    }
}

fn json(text: &str) -> String {
    let mut out = Vec::new();
    json_string(&mut out, text.as_bytes());
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// The URL at which a person on this machine opens what listens at `address`.
pub fn url(address: SocketAddr) -> String {
    // Not every browser opens 0.0.0.0 or [::].
    match address {
        address if address.ip().is_unspecified() => format!("http://localhost:{}/", address.port()),
        address => format!("http://{address}/"),
    }
}

/// The addresses of this machine on its networks, if the server listens on all.
fn reachable_addresses(listening: SocketAddr) -> Vec<SocketAddr> {
    if !listening.ip().is_unspecified() {
        return Vec::new();
    }
    let address_of = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    };
    let is_reachable = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        // A link-local address needs a zone (fe80::1%eth0), which browsers do not accept.
        IpAddr::V6(address) => listening.is_ipv6() && !address.is_unicast_link_local(),
    };
    let is_network = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    // Without the list of interfaces, a person still knows the address of the machine.
    let interfaces = getifaddrs().into_iter().flatten();
    let networks = interfaces.filter(|interface| is_network(interface.flags));
    let addresses = networks.filter_map(|interface| address_of(interface.address?));
    let reachable = addresses.filter(is_reachable);
    reachable.map(|address| SocketAddr::new(address, listening.port())).collect()
}
