//! Every set-up responds with the same bytes to generated conversations of valid and invalid
//! requests.
//!
//! The conformance tests define which response is correct. This test finds differences between
//! strategies in cases that they do not cover. The generator has a fixed seed, so failures are
//! reproducible.

mod support;

use std::collections::BTreeSet;

use support::{End, Peer, Server, Setup, Site, patterned, setups, shown};

const CONVERSATIONS: usize = 400;

#[test]
fn every_strategy_responds_to_generated_conversations_with_the_same_bytes() {
    let site = site();
    let servers: Vec<_> =
        setups().map(|setup| (setup, Server::start(setup, site.root(), &[]))).collect();
    wait_until_settled(&servers);
    let mut random = Random(0x6d69_6e69_7765_6221);
    let mut statuses = BTreeSet::new();
    for n in 0..CONVERSATIONS {
        let conversation = conversation(&mut random);
        let piece = random.pick(&[conversation.len(), conversation.len(), 1 + n % 50]);
        let exchange = |(setup, server): &(&'static Setup, Server)| {
            (*setup, exchange(server, &conversation, piece))
        };
        let outputs: Vec<_> = servers.iter().map(exchange).collect();
        let (first, (bytes, end)) = &outputs[0];
        statuses.extend(statuses_in(bytes));
        for (setup, (other_bytes, other_end)) in &outputs[1..] {
            assert!(
                (other_bytes, other_end) == (bytes, end),
                "conversation {n}, in pieces of {piece}:\n    {}\n\
                 output of {} ({end:?}):\n    {}\n\
                 output of {} ({other_end:?}):\n    {}",
                shown(&conversation),
                first.name,
                shown(bytes),
                setup.name,
                shown(other_bytes),
            );
        }
    }
    // The test means little unless the generator provokes each kind of response.
    let expected = [200, 301, 400, 404, 405, 413, 414, 431, 501, 505];
    assert!(expected.iter().all(|status| statuses.contains(status)), "only {statuses:?}");
}

const FILES: [&str; 7] =
    ["/", "/page.html", "/docs/", "/empty.txt", "/60k.bin", "/200k.bin", "/gr%C3%BC%C3%9Fe.txt"];

/// Waits until every file has its validators. A recently modified one lacks some, and each server
/// checks the file at a different time.
fn wait_until_settled(servers: &[(&'static Setup, Server)]) {
    for (_, server) in servers {
        for file in FILES {
            server.connect().settled(file, &[]);
        }
    }
}

fn site() -> Site {
    let site = Site::new();
    site.write("empty.txt", "");
    site.write("60k.bin", patterned(60_000));
    site.write("200k.bin", patterned(200_000));
    site.write("grüße.txt", "grüße");
    site.write(".hidden", "hidden");
    site.write_beside("secret.txt", "secret");
    site.link("out", "../secret.txt");
    site
}

/// Sends a conversation and FIN. Returns the server's whole output with the values of Date blanked.
fn exchange(server: &Server, conversation: &[u8], piece: usize) -> (Vec<u8>, End) {
    let mut peer: Peer = server.connect();
    peer.send_in_pieces(conversation, piece);
    peer.finish_sending();
    let (mut bytes, end) = peer.rest();
    const DATE: &[u8] = b"\r\nDate: ";
    const DATE_BYTES: usize = 29;
    let dates: Vec<usize> =
        memchr::memmem::find_iter(&bytes, DATE).map(|at| at + DATE.len()).collect();
    dates.into_iter().for_each(|at| bytes[at..at + DATE_BYTES].fill(b'.'));
    (bytes, end)
}

fn statuses_in(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let starts = memchr::memmem::find_iter(bytes, b"HTTP/1.1 ");
    starts.filter_map(|at| std::str::from_utf8(bytes.get(at + 9..at + 12)?).ok()?.parse().ok())
}

/// A deterministic pseudorandom generator (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

/// One to four requests. Most are valid, because an invalid one ends the connection.
fn conversation(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + random.below(4) {
        let mut request = request(random);
        if random.one_in(6) {
            mutate(&mut request, random);
        }
        bytes.extend(request);
    }
    bytes
}

fn request(random: &mut Random) -> Vec<u8> {
    let method = match random.below(8) {
        0 => random.pick(&["POST", "OPTIONS", "DELETE", "BREW", "get", "TRACE", "CONNECT"]),
        1 | 2 => "HEAD",
        _ => "GET",
    };
    let version = match random.below(12) {
        0 => random.pick(&[
            "HTTP/1.0",
            "HTTP/1.2",
            "HTTP/2.0",
            "HTTP/0.9",
            "HTTP/1.10",
            "http/1.1",
            "",
        ]),
        _ => "HTTP/1.1",
    };
    let mut lines = vec!["Host: h".to_owned()];
    if random.one_in(12) {
        lines[0] = random
            .pick(&[
                "Host: a b",
                "Host:",
                "Host: [::1]:80",
                "Host : h",
                "X: y",
                "Host: h\r\nHost: h",
            ])
            .to_owned();
    }
    if random.one_in(3) {
        lines.push(field(random));
    }
    let mut body = Vec::new();
    if random.one_in(5) {
        let (line, bytes) = framing(random);
        lines.push(line);
        body = bytes;
    }
    let lines = lines.join("\r\n");
    [format!("{method} {} {version}\r\n{lines}\r\n\r\n", target(random)).into_bytes(), body]
        .concat()
}

fn target(random: &mut Random) -> String {
    let path = random.pick(&[
        "/",
        "/page.html",
        "/docs",
        "/docs/",
        "/bare",
        "/bare/",
        "/empty.txt",
        "/60k.bin",
        "/200k.bin",
        "/gr%C3%BC%C3%9Fe.txt",
        "/missing",
        "/.hidden",
        "/out",
        "/../secret.txt",
        "/docs/../page.html",
        "/%2e%2e/secret.txt",
        "/%2fx",
        "/%zz",
        "//docs",
        "/docs/..",
        "http://other.example/page.html",
        "http://user@h/",
        "*",
        "h:443",
        "page.html",
    ]);
    match random.below(12) {
        0 => format!("{path}?a=b&c={}", random.below(1000)),
        1 if random.one_in(4) => path.to_owned() + &"/x".repeat(4_500),
        _ => path.to_owned(),
    }
}

fn field(random: &mut Random) -> String {
    let fields = [
        "Connection: close",
        "Connection: keep-alive",
        "Connection: TE,,Close",
        "Accept: */*",
        "User-Agent: \"quoted\"",
        "Expect: 100-continue",
        "X:",
        "X: y\r\n folded",
        "X: y\nZ: w",
        "no colon",
        ": no name",
        "X: gr\u{fc}n",
        "X: \0",
        "Range: bytes=0-9",
        "If-None-Match: *",
        "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT",
        "Accept-Encoding: gzip",
    ];
    match random.below(14) {
        0 => "X: y\r\n".repeat(120) + "X: y",
        1 => "X: ".to_owned() + &"x".repeat(33_000),
        _ => random.pick(&fields).to_owned(),
    }
}

fn framing(random: &mut Random) -> (String, Vec<u8>) {
    let body = b"GET /docs HTTP/1.1\r\nHost: h\r\n\r\n";
    let (length, chunked) =
        (format!("Content-Length: {}", body.len()), "Transfer-Encoding: chunked".to_owned());
    let chunks = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
    match random.below(10) {
        0..=2 => (length, body.to_vec()),
        3..=5 => (chunked, chunks),
        6 => (format!("{length}\r\n{chunked}"), chunks),
        7 => (
            format!(
                "Content-Length: {}",
                random.pick(&["+5", "-1", "5, 6", "", "99999", "18446744073709551616"])
            ),
            body.to_vec(),
        ),
        8 => (
            format!(
                "Transfer-Encoding: {}",
                random.pick(&["gzip", "chunked, chunked", "gzip, chunked", ""])
            ),
            chunks,
        ),
        _ => (chunked, b"zz\r\n".to_vec()),
    }
}

/// Changes, removes, repeats or inserts a byte.
fn mutate(request: &mut Vec<u8>, random: &mut Random) {
    // The first bytes hold the request line and Host, where a change matters most.
    let at = random.below(request.len().min(120));
    let byte = random
        .pick(&[0, b'\r', b'\n', b' ', b'\t', b':', b'/', b'%', b'.', b'G', b'0', 0x7f, 0xff]);
    match random.below(4) {
        0 => request[at] = byte,
        1 => drop(request.remove(at)),
        2 => request.insert(at, request[at]),
        _ => request.insert(at, byte),
    }
}
