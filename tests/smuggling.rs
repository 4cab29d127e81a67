//! Request smuggling: ambiguous requests, sent to the server directly and through HAProxy.
//!
//! The server must never parse as a request what the proxy considers part of another request. The
//! proxy tags each request that it forwards with `?via=` and a number. A request that reaches the
//! server without a tag, or with a tag that is not in the log of the proxy, was smuggled. Other
//! clients check that they receive the responses to their own requests.

#[path = "support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use support::{End, Peer, Server, Site, setups, shown, with_sockets};

/// The request that an attacker tries to smuggle.
const MARKER: &str = "GET /smuggled-marker.html HTTP/1.1\r\nHost: h\r\n\r\n";

/// How the server must parse an input that reaches it unchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// One error response, after which the connection closes.
    Refused,
    /// One request; the marker is part of its body.
    One,
    /// One request with a malformed body; the connection closes after the response.
    OneThenClose,
}

/// An ambiguous input, and how the server must parse it.
struct Input {
    name: String,
    bytes: Vec<u8>,
    expected: Expected,
}

/// A GET and a POST with the given headers and body, and with the same target and Host.
fn input(name: &str, fields: &[u8], body: impl AsRef<[u8]>, expected: Expected) -> [Input; 2] {
    ["GET", "POST"].map(|method| {
        let start = format!("{method} /page.html HTTP/1.1\r\nHost: h\r\n");
        let bytes = [start.as_bytes(), fields, b"\r\n", body.as_ref()].concat();
        Input { name: format!("{method}, {name}"), bytes, expected }
    })
}

/// Inputs with `coding`, a spelling of Transfer-Encoding, and a Content-Length, in both orders. In
/// some, the length covers the marker and the chunks do not; in others, the opposite.
fn with_content_length(name: &str, coding: &[u8], expected: Expected) -> Vec<Input> {
    let behind = format!("0\r\n\r\n{MARKER}");
    let inside = format!("{:x}\r\n{MARKER}\r\n0\r\n\r\n", MARKER.len());
    let short = format!("{:x}\r\n", MARKER.len()).len();
    let inputs = [("CL covers it", behind.len(), behind), ("TE covers it", short, inside)].map(
        |(which, length, body)| {
            let length = format!("Content-Length: {length}\r\n");
            let orders = [[length.as_bytes(), coding], [coding, length.as_bytes()]];
            orders
                .map(|fields| input(&format!("{name}, {which}"), &fields.concat(), &body, expected))
        },
    );
    inputs.into_iter().flatten().flatten().collect()
}

fn inputs() -> Vec<Input> {
    use Expected::{One, OneThenClose, Refused};
    let mut inputs = Vec::new();
    let codings: &[(&str, &[u8])] = &[
        ("chunked", b"Transfer-Encoding: chunked\r\n"),
        ("another case", b"tRANSFER-eNCODING: ChUnKeD\r\n"),
        ("xchunked", b"Transfer-Encoding: xchunked\r\n"),
        ("two spaces", b"Transfer-Encoding:  chunked\r\n"),
        ("no space", b"Transfer-Encoding:chunked\r\n"),
        ("a tab", b"Transfer-Encoding:\tchunked\r\n"),
        ("a tab behind", b"Transfer-Encoding: chunked\t\r\n"),
        ("a vertical tab", b"Transfer-Encoding: \x0bchunked\r\n"),
        ("a form feed behind", b"Transfer-Encoding: chunked\x0c\r\n"),
        ("a space before the colon", b"Transfer-Encoding : chunked\r\n"),
        ("a tab before the colon", b"Transfer-Encoding\t: chunked\r\n"),
        ("a space before the name", b" Transfer-Encoding: chunked\r\n"),
        ("quoted", b"Transfer-Encoding: \"chunked\"\r\n"),
        ("a parameter", b"Transfer-Encoding: chunked;q=1\r\n"),
        ("chunked, identity", b"Transfer-Encoding: chunked, identity\r\n"),
        ("identity, chunked", b"Transfer-Encoding: identity, chunked\r\n"),
        ("an empty member", b"Transfer-Encoding: ,chunked\r\n"),
        ("empty", b"Transfer-Encoding:\r\n"),
        ("two lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("two lines, unlike", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
        (
            "two lines, unlike, the other way",
            b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("folded", b"Transfer-Encoding:\r\n chunked\r\n"),
        ("folded into another", b"X: y\r\n Transfer-Encoding: chunked\r\n"),
        ("behind a bare LF", b"X: y\nTransfer-Encoding: chunked\r\n"),
        ("behind a bare CR", b"X: y\rTransfer-Encoding: chunked\r\n"),
        ("before a bare LF", b"Transfer-Encoding: chunked\nX: y\r\n"),
        ("a NUL behind", b"Transfer-Encoding: chunked\0\r\n"),
        ("a NUL in the name", b"Transfer\0-Encoding: chunked\r\n"),
        ("a control character", b"Transfer-Encoding: \x01chunked\r\n"),
        ("a byte above ASCII", b"Transfer-Encoding: \xa0chunked\r\n"),
        ("a NUL elsewhere", b"X: a\0b\r\nTransfer-Encoding: chunked\r\n"),
    ];
    for (name, coding) in codings {
        inputs.extend(with_content_length(name, coding, Refused));
    }
    // CGI-style servers may read this name as Transfer-Encoding; this server must not.
    inputs.extend(input(
        "an underscore",
        format!("Transfer_Encoding: chunked\r\nContent-Length: {}\r\n", MARKER.len() + 5)
            .as_bytes(),
        format!("0\r\n\r\n{MARKER}"),
        One,
    ));
    let length = MARKER.len();
    let lengths = [
        (format!("{length}"), One),
        (format!("+{length}"), Refused),
        (format!("-{length}"), Refused),
        ("-1".to_owned(), Refused),
        (format!("{length}, {length}"), One),
        (format!("{length},{}", length + 1), Refused),
        (format!("0, {length}"), Refused),
        (format!("00{length}"), One),
        (String::new(), Refused),
        (format!("{length} 0"), Refused),
        (format!("0x{length:x}"), Refused),
        (format!("{length}.0"), Refused),
        (format!("{length}e0"), Refused),
        ("18446744073709551616".to_owned(), Refused),
        (format!("{}", (1_u128 << 64) + length as u128), Refused),
        (format!("\x0b{length}"), Refused),
        (format!("{length}\r\nContent-Length: {length}"), One),
        (format!("{length}\r\nContent-Length: 0"), Refused),
        (format!("0\r\nContent-Length: {length}"), Refused),
        (format!("{length}\r\nContent-Length : 0"), Refused),
        (format!("0\r\n {length}"), Refused),
        (format!("0\nContent-Length: {length}"), Refused),
    ];
    for (value, expected) in lengths {
        let name = format!("Content-Length {value:?}");
        inputs.extend(input(
            &name,
            format!("Content-Length: {value}\r\n").as_bytes(),
            MARKER,
            expected,
        ));
    }
    let chunks = [
        ("plain", format!("{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), One),
        ("capitals", format!("{length:X}\r\n{MARKER}\r\n0\r\n\r\n"), One),
        ("leading zeros", format!("0000{length:x}\r\n{MARKER}\r\n000\r\n\r\n"), One),
        ("an extension", format!("{length:x};a=b\r\n{MARKER}\r\n0;c\r\n\r\n"), One),
        ("a quoted extension", format!("{length:x};a=\"b;c\"\r\n{MARKER}\r\n0\r\n\r\n"), One),
        ("a trailer", format!("{length:x}\r\n{MARKER}\r\n0\r\nX: y\r\n\r\n"), One),
        (
            "an extension with a bare LF",
            format!("{length:x};\n{MARKER}\r\n0\r\n\r\n"),
            OneThenClose,
        ),
        ("an extension with a bare CR", format!("0;\r{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("0x", format!("0x{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("a sign", format!("+{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("a minus", format!("-{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("a space before", format!(" {length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("huge", format!("ffffffffffffffff1\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("2^64 and some", format!("1{length:016x}\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("no digits", format!("\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("no hexadecimal digit", format!("g\r\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("a bare LF behind the size", format!("{length:x}\n{MARKER}\r\n0\r\n\r\n"), OneThenClose),
        ("a bare LF behind the data", format!("1\r\nx\n0\r\n\r\n{MARKER}"), OneThenClose),
        ("nothing behind the data", format!("1\r\nx0\r\n\r\n{MARKER}"), OneThenClose),
        ("two bytes for the CRLF", format!("1\r\nxyz0\r\n\r\n{MARKER}"), OneThenClose),
        ("a bare LF ends the last", format!("0\n\n{MARKER}"), OneThenClose),
        ("a trailer without its end", format!("0\r\n{MARKER}"), OneThenClose),
    ];
    for (name, body, expected) in chunks {
        inputs.extend(input(
            &format!("chunks: {name}"),
            b"Transfer-Encoding: chunked\r\n",
            body,
            expected,
        ));
    }
    let inside = format!("{length:x}\r\n{MARKER}\r\n0\r\n\r\n");
    let whole: [(&str, String, Expected); 11] = [
        (
            "1.0 with a coding",
            format!(
                "GET /page.html HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{inside}"
            ),
            Refused,
        ),
        (
            "1.0 with a coding, kept",
            format!(
                "GET /page.html HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\
                 Content-Length: 5\r\n\r\n0\r\n\r\n{MARKER}"
            ),
            Refused,
        ),
        ("two hosts", "GET /page.html HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n".to_owned(), Refused),
        (
            "two equal hosts",
            "GET /page.html HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n".to_owned(),
            Refused,
        ),
        ("no host", "GET /page.html HTTP/1.1\r\n\r\n".to_owned(), Refused),
        (
            "an absolute target and another host",
            "GET http://g/page.html HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
            One,
        ),
        (
            "a host with a path",
            "GET /page.html HTTP/1.1\r\nHost: h/smuggled-marker.html\r\n\r\n".to_owned(),
            Refused,
        ),
        ("a head of bare LFs", format!("GET /page.html HTTP/1.1\nHost: h\n\n{MARKER}"), Refused),
        (
            "a bare LF ends the head",
            format!("GET /page.html HTTP/1.1\r\nHost: h\r\n\n{MARKER}"),
            Refused,
        ),
        (
            "a CR in the target",
            format!("GET /page.html\r HTTP/1.1\r\nHost: h\r\n\r\n{MARKER}"),
            Refused,
        ),
        (
            "a request line twice",
            format!("GET /page.html HTTP/1.1 HTTP/1.1\r\nHost: h\r\n\r\n{MARKER}"),
            Refused,
        ),
    ];
    inputs.extend(whole.map(|(name, text, expected)| Input {
        name: name.to_owned(),
        bytes: text.into_bytes(),
        expected,
    }));
    inputs
}

/// The number of status lines in `received`, and the first status.
fn responses(received: &[u8]) -> (usize, u16) {
    let status = received
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .unwrap_or(0);
    (memchr::memmem::find_iter(received, b"HTTP/1.1 ").count(), status)
}

/// Stops the server and returns the request lines in its JSON access log.
fn logged(server: &mut Server) -> Vec<String> {
    server.signal(Signal::TERM);
    server.wait();
    let request = |line: String| {
        let line: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        line["request"].as_str().expect("each entry has a request line").to_owned()
    };
    server.output.rest().into_iter().filter(|line| line.starts_with('{')).map(request).collect()
}

#[test]
fn the_server_parses_each_ambiguous_request_in_one_way() {
    let site = Site::new();
    site.write("smuggled-marker.html", "the response to the marker");
    let inputs = inputs();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &["--log", "json"]);
        for Input { name, bytes, expected } in &inputs {
            let mut peer = server.connect();
            peer.send(bytes);
            peer.finish_sending();
            let (received, end) = peer.rest();
            let what = format!("{setup:?}: {name}: {}", shown(&received));
            assert_eq!(end, End::Clean, "{what}");
            let (count, status) = responses(&received);
            assert_eq!(count, 1, "{what}");
            // The remaining statuses are 200 for GET and 405 for POST.
            let is_error = matches!(status, 400 | 413 | 501);
            assert_eq!(is_error, *expected == Expected::Refused, "{what}");
        }
        // A request behind the input on the same connection gets the next response.
        for Input { name, bytes, expected } in
            inputs.iter().filter(|input| input.name.starts_with("GET"))
        {
            let mut peer = server.connect();
            peer.send(bytes);
            peer.send("GET /docs/ HTTP/1.1\r\nHost: h\r\n\r\n");
            peer.finish_sending();
            let (received, _) = peer.rest();
            let expected_count = if *expected == Expected::One { 2 } else { 1 };
            assert_eq!(
                responses(&received).0,
                expected_count,
                "{setup:?}: {name}: {}",
                shown(&received)
            );
        }
        let smuggled: Vec<_> =
            logged(&mut server).into_iter().filter(|line| line.contains("marker")).collect();
        // The request line of a refused request may contain the marker, but not start with it.
        assert!(
            smuggled.iter().all(|line| !line.starts_with("GET /smuggled")),
            "{setup:?}: {smuggled:?}"
        );
    }
}

/// HAProxy on a free port, in front of a server. Dropping it stops and reaps the process.
struct Proxy {
    address: SocketAddr,
    process: Child,
    /// A thread that reads the log continuously, because the proxy drops entries when the pipe is
    /// full.
    log: Option<JoinHandle<String>>,
    _directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts a proxy that shares one connection to `server` between all clients. Returns None, and
    /// prints a note, if HAProxy is not installed.
    fn start(server: SocketAddr) -> Option<Proxy> {
        let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];
        let Some(program) = program.into_iter().find(|path| std::path::Path::new(path).exists())
        else {
            eprintln!("skipped: haproxy is not installed");
            return None;
        };
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("the socket is bound");
        let directory = tempfile::Builder::new()
            .prefix("miniweb-")
            .tempdir()
            .expect("a temporary directory can be created");
        let configuration = directory.path().join("haproxy.cfg");
        // The log contains, for each request, its number, the server, the port of the connection to
        // the server, and the status.
        let text = format!(
            "global\n nbthread 1\n log stdout format raw local0\n\
             defaults\n mode http\n log global\n retries 0\n http-reuse always\n timeout connect 5s\n timeout client 2s\n \
             timeout server 2s\n timeout queue 5s\n timeout http-keep-alive 2s\n\
             frontend front\n bind fd@3\n log-format \"via=%rt server=%s port=%bp status=%ST %{{+Q}}r\"\n \
             http-request set-query via=%rt\n default_backend back\n\
             backend back\n server miniweb {server} maxconn 1\n"
        );
        std::fs::write(&configuration, text).expect("the temporary directory is writable");
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&configuration);
        let mut command = with_sockets(&command, &[&socket]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().expect("a shell can be started");
        let output = process.stdout.take().expect("stdout is piped");
        let log =
            std::thread::spawn(move || std::io::read_to_string(output).expect("the log is UTF-8"));
        Some(Proxy { address, process, log: Some(log), _directory: directory })
    }

    /// Stops the proxy and returns its log.
    fn finish(mut self) -> Vec<String> {
        self.stop();
        let log = self
            .log
            .take()
            .expect("the log is taken only here")
            .join()
            .expect("the thread does not panic");
        log.lines().filter(|line| line.starts_with("via=")).map(str::to_owned).collect()
    }

    fn stop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            // This fails only if the process has ended in the meantime.
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
            let _ = self.process.wait();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Requests a page through the proxy on a separate connection, and checks that it is the right one.
fn check_other_client(proxy: &Proxy, number: usize, after: &str) {
    let mut peer = Peer::connect(proxy.address);
    let path = format!("/other-client-{}.html", number % 10);
    let response = peer.get(&path);
    let expected = format!("the other client's page {}", number % 10);
    assert!(
        response.status == 200 && response.body == expected.as_bytes(),
        "{after}: another client requested {path} and received {} {}",
        response.status,
        shown(&response.body)
    );
}

#[test]
fn no_request_is_smuggled_past_a_proxy() {
    let site = Site::new();
    site.write("smuggled-marker.html", "the response to the marker");
    (0..10).for_each(|n| {
        drop(site.write(format!("other-client-{n}.html"), format!("the other client's page {n}")))
    });
    let inputs = inputs();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &["--log", "json"]);
        let Some(proxy) = Proxy::start(server.address) else {
            return;
        };
        let mut number = 0;
        for input in &inputs {
            let name = format!("{setup:?}: {}", input.name);
            let mut peer = Peer::connect(proxy.address);
            peer.send(&input.bytes);
            peer.finish_sending();
            let (received, _) = peer.rest();
            assert!(!received.is_empty(), "{name}: no response from the proxy");
            for _ in 0..2 {
                number += 1;
                check_other_client(&proxy, number, &name);
            }
        }
        let forwarded = proxy.finish();
        let word = |line: &str, name: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name}: {line}"))
                .to_owned()
        };
        let forwarded: Vec<_> =
            forwarded.iter().filter(|line| word(line, "server=") == "miniweb").collect();
        let known: HashSet<String> = forwarded.iter().map(|line| word(line, "via=")).collect();
        let ports: HashSet<String> = forwarded.iter().map(|line| word(line, "port=")).collect();
        let mut seen = HashSet::new();
        for line in logged(&mut server) {
            let tag = line
                .split(' ')
                .nth(1)
                .and_then(|target| target.split_once("?via="))
                .map(|(_, tag)| tag);
            let tag =
                tag.unwrap_or_else(|| panic!("{setup:?}: never forwarded as a request: {line:?}"));
            assert!(known.contains(tag), "{setup:?}: not in the log of the proxy: {line:?}");
            assert!(seen.insert(tag.to_owned()), "{setup:?}: logged twice: {line:?}");
        }
        println!(
            "{setup:?}: {} inputs, {} requests forwarded on {} connections, {} seen by the server",
            inputs.len(),
            known.len(),
            ports.len(),
            seen.len()
        );
        assert!(
            ports.len() * 2 < known.len(),
            "{setup:?}: the proxy does not reuse connections: {ports:?}"
        );
        assert!(seen.len() > inputs.len(), "{setup:?}: requests of other clients are missing");
    }
}
