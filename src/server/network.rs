//! The addresses at which other machines can reach a server.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::sockets::ListenAddress;

/// The addresses at which other machines can reach the server, the most likely one first.
pub fn network_addresses(addresses: &[ListenAddress]) -> Vec<SocketAddr> {
    let tcp = addresses.iter().filter_map(ListenAddress::tcp);
    let mut networks: Vec<SocketAddr> = tcp.flat_map(reachable_at).collect();
    let primary = primary_address();
    networks.sort_by_key(|address| Some(address.ip()) != primary);
    networks
}

/// The addresses at which other machines can reach a socket that listens at `listening`. If that is
/// the unspecified address, they are those of all network interfaces.
fn reachable_at(listening: SocketAddr) -> Vec<SocketAddr> {
    match listening.ip() {
        ip if ip.is_loopback() => Vec::new(),
        ip if ip.is_unspecified() => {
            let is_served = |address: &IpAddr| address.is_ipv4() || listening.is_ipv6();
            let with_port = |address| SocketAddr::new(address, listening.port());
            machine_addresses().filter(is_served).map(with_port).collect()
        }
        _ => vec![listening],
    }
}

/// The addresses of this machine's network interfaces, without those of loopback and IPv6
/// link-local ones.
fn machine_addresses() -> impl Iterator<Item = IpAddr> {
    let address_of = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
    };
    let is_reachable = |address: &IpAddr| match address {
        IpAddr::V4(_) => true,
        // A link-local address needs a zone (fe80::1%eth0), which browsers do not accept.
        IpAddr::V6(address) => !address.is_unicast_link_local(),
    };
    let is_network = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    // Without the list of interfaces, a person still knows the address of the machine.
    let interfaces = getifaddrs().into_iter().flatten();
    let networks = interfaces.filter(move |interface| is_network(interface.flags));
    networks.filter_map(move |interface| address_of(interface.address?)).filter(is_reachable)
}

/// The source address for packets to other networks. Containers and virtual machines may add
/// interfaces that other machines cannot reach. Connecting a UDP socket sends nothing.
fn primary_address() -> Option<IpAddr> {
    /// An address of TEST-NET-1 (RFC 5737), which the routing table treats like any other.
    const ELSEWHERE: &str = "192.0.2.1:9";
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(ELSEWHERE).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
