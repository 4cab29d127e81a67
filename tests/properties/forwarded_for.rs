//! The client that X-Forwarded-For names is the one that a naive implementation finds, and nothing
//! that a client sends before what a trusted proxy appends changes it.

use std::net::{IpAddr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use miniweb::http::{HeaderStorage, Limits, Request, TrustedProxies};

/// The networks that are trusted; [`is_trusted`] has them a second time.
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"];

/// Each line of `input` is the value of one X-Forwarded-For header.
pub fn check(input: &[u8]) {
    let networks = TRUSTED.iter().map(|text| text.parse().expect("the network is valid"));
    let proxies = TrustedProxies::from(networks.collect::<Vec<_>>());
    let Some(client) = client_of(&proxies, input) else { return };
    assert_eq!(client, naive_client(input));
    if client.is_some_and(|client| !is_trusted(client)) {
        for sent in [&b"10.0.0.9,"[..], b"198.51.100.1\n", b"unknown,", b",\n"] {
            let forged = client_of(&proxies, &[sent, input].concat());
            assert!(forged.is_none_or(|forged| forged == client), "{sent:?} changes {client:?}");
        }
    }
}

/// The client of a request with these headers. None if the request is refused.
fn client_of(proxies: &TrustedProxies, values: &[u8]) -> Option<Option<IpAddr>> {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
    for value in values.split(|byte| *byte == b'\n') {
        head.extend_from_slice(b"X-Forwarded-For: ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let mut storage = HeaderStorage::default();
    let request = Request::parse(&head, &mut storage, &Limits::default()).ok()?;
    // A CR LF in a value has begun a header of another name.
    let lines = values.split(|byte| *byte == b'\n').count();
    let is_as_meant = request.headers.values("x-forwarded-for").count() == lines;
    (is_as_meant && !values.contains(&b'\r')).then(|| proxies.client_of(request.headers))
}

fn naive_client(values: &[u8]) -> Option<IpAddr> {
    let text = String::from_utf8_lossy(values).replace('\n', ",");
    let mut members: Vec<&str> =
        text.split(',').map(|member| member.trim_matches([' ', '\t', '\x0c'])).collect();
    members.retain(|member| !member.is_empty());
    let mut client = None;
    while let Some(address) = members.pop().and_then(naive_address) {
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

fn naive_address(text: &str) -> Option<IpAddr> {
    let v6 = |address: Ipv6Addr| match address.to_ipv4_mapped() {
        Some(mapped) => IpAddr::V4(mapped),
        None => IpAddr::V6(address),
    };
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(v6(address));
    }
    if text.starts_with('[') {
        let with_port = if text.ends_with(']') { format!("{text}:1") } else { text.to_owned() };
        // Without a port, the form has no number of a scope.
        let has_scope = text.ends_with(']') && text.contains('%');
        let address = with_port.parse::<SocketAddrV6>().ok().filter(|_| !has_scope);
        return address.map(|address| v6(*address.ip()));
    }
    let with_port = if text.contains(':') { text.to_owned() } else { format!("{text}:1") };
    with_port.parse::<SocketAddrV4>().ok().map(|address| IpAddr::V4(*address.ip()))
}

fn is_trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10 || address.octets() == [192, 0, 2, 1],
        IpAddr::V6(address) => address.segments()[..2] == [0x2001, 0xdb8],
    }
}
