//! Requests that two programs could read in two ways, sent to the server alone and through a real HAProxy in front of it.
//!
//! What must not happen: that the server takes for a request what the proxy took for a part of another. The proxy marks each
//! request that it forwards (`?via=` and a number), so one that reaches the server without a mark, or with a mark that the
//! proxy's log doesn't know, was smuggled; and a client that gets another's answer would see it.

#[path = "support/mod.rs"]
mod support;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use support::{End, Peer, Server, Site, setups, shown, with_socket};

/// What an attacker wants to have answered.
const MARKER: &str = "GET /smuggled-marker.html HTTP/1.1\r\nHost: h\r\n\r\n";

/// What the server makes of a form that reaches it as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reading {
    /// It is an error, the only answer, and the end of the connection.
    Refused,
    /// It is one request, and what looks like another is its body.
    One,
    /// It is one request; its body is not well-formed, and the connection ends behind the answer.
    OneAndEnd,
}

/// One form.
struct Form {
    name: String,
    bytes: Vec<u8>,
    reading: Reading,
}

/// Fields and what follows the head. The request line and the Host are the same for all.
fn form(name: &str, fields: &[u8], body: impl AsRef<[u8]>, reading: Reading) -> [Form; 2] {
    ["GET", "POST"].map(|method| {
        let start = format!("{method} /page.html HTTP/1.1\r\nHost: h\r\n");
        let bytes = [start.as_bytes(), fields, b"\r\n", body.as_ref()].concat();
        Form { name: format!("{method}, {name}"), bytes, reading }
    })
}

/// Where Transfer-Encoding, in whatever spelling, stands beside a Content-Length: once the length covers the marker and
/// the chunks don't, once the other way round.
fn disguised(name: &str, coding: &[u8], reading: Reading) -> Vec<Form> {
    let behind = format!("0\r\n\r\n{MARKER}");
    let inside = format!("{:x}\r\n{MARKER}\r\n0\r\n\r\n", MARKER.len());
    let short = format!("{:x}\r\n", MARKER.len()).len();
    let forms = [("CL covers it", behind.len(), behind), ("TE covers it", short, inside)].map(
        |(which, length, body)| {
            let length = format!("Content-Length: {length}\r\n");
            let orders = [[length.as_bytes(), coding], [coding, length.as_bytes()]];
            orders.map(|fields| form(&format!("{name}, {which}"), &fields.concat(), &body, reading))
        },
    );
    forms.into_iter().flatten().flatten().collect()
}

fn forms() -> Vec<Form> {
    use Reading::{One, OneAndEnd, Refused};
    let mut forms = Vec::new();
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
        forms.extend(disguised(name, coding, Refused));
    }
    // A name that another program may take for it, and this one must not.
    forms.extend(form(
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
    for (value, reading) in lengths {
        let name = format!("Content-Length {value:?}");
        forms.extend(form(
            &name,
            format!("Content-Length: {value}\r\n").as_bytes(),
            MARKER,
            reading,
        ));
    }
    let chunks = [
        ("plain", format!("{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), One),
        ("capitals", format!("{length:X}\r\n{MARKER}\r\n0\r\n\r\n"), One),
        ("leading zeros", format!("0000{length:x}\r\n{MARKER}\r\n000\r\n\r\n"), One),
        ("an extension", format!("{length:x};a=b\r\n{MARKER}\r\n0;c\r\n\r\n"), One),
        ("a quoted extension", format!("{length:x};a=\"b;c\"\r\n{MARKER}\r\n0\r\n\r\n"), One),
        ("a trailer", format!("{length:x}\r\n{MARKER}\r\n0\r\nX: y\r\n\r\n"), One),
        ("an extension with a bare LF", format!("{length:x};\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("an extension with a bare CR", format!("0;\r{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("0x", format!("0x{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("a sign", format!("+{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("a minus", format!("-{length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("a space before", format!(" {length:x}\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("huge", format!("ffffffffffffffff1\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("2^64 and some", format!("1{length:016x}\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("no digits", format!("\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("no hexadecimal digit", format!("g\r\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("a bare LF behind the size", format!("{length:x}\n{MARKER}\r\n0\r\n\r\n"), OneAndEnd),
        ("a bare LF behind the data", format!("1\r\nx\n0\r\n\r\n{MARKER}"), OneAndEnd),
        ("nothing behind the data", format!("1\r\nx0\r\n\r\n{MARKER}"), OneAndEnd),
        ("two bytes for the CRLF", format!("1\r\nxyz0\r\n\r\n{MARKER}"), OneAndEnd),
        ("a bare LF ends the last", format!("0\n\n{MARKER}"), OneAndEnd),
        ("a trailer without its end", format!("0\r\n{MARKER}"), OneAndEnd),
    ];
    for (name, body, reading) in chunks {
        forms.extend(form(
            &format!("chunks: {name}"),
            b"Transfer-Encoding: chunked\r\n",
            body,
            reading,
        ));
    }
    let inside = format!("{length:x}\r\n{MARKER}\r\n0\r\n\r\n");
    let whole: [(&str, String, Reading); 11] = [
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
    forms.extend(whole.map(|(name, text, reading)| Form {
        name: name.to_owned(),
        bytes: text.into_bytes(),
        reading,
    }));
    forms
}

/// How many of the answers in `received` begin where an answer can begin, and the status of the first.
fn answers(received: &[u8]) -> (usize, u16) {
    let status = received
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .unwrap_or(0);
    (memchr::memmem::find_iter(received, b"HTTP/1.1 ").count(), status)
}

/// The request lines of a server whose log is JSON, from now to its end.
fn logged(server: &mut Server) -> Vec<String> {
    server.signal(Signal::TERM);
    server.wait();
    let request = |line: String| {
        let line: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        line["request"].as_str().expect("a request line").to_owned()
    };
    server.output.rest().into_iter().filter(|line| line.starts_with('{')).map(request).collect()
}

#[test]
fn the_server_alone_reads_each_form_in_one_way() {
    let site = Site::new();
    site.write("smuggled-marker.html", "the marker's answer");
    let forms = forms();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &["--log", "json"]);
        for Form { name, bytes, reading } in &forms {
            let mut peer = server.connect();
            peer.send(bytes);
            peer.finish_sending();
            let (received, end) = peer.rest();
            let what = format!("{setup:?}: {name}: {}", shown(&received));
            assert_eq!(end, End::Clean, "{what}");
            let (count, status) = answers(&received);
            assert_eq!(count, 1, "{what}");
            // What a POST is answered with, and the GET behind which the connection ends.
            let is_error = matches!(status, 400 | 413 | 501);
            assert_eq!(is_error, *reading == Reading::Refused, "{what}");
        }
        // A client that keeps its connection gets what it asked for, and nothing in between.
        for Form { name, bytes, reading } in
            forms.iter().filter(|form| form.name.starts_with("GET"))
        {
            let mut peer = server.connect();
            peer.send(bytes);
            peer.send("GET /docs/ HTTP/1.1\r\nHost: h\r\n\r\n");
            peer.finish_sending();
            let (received, _) = peer.rest();
            let expected = if *reading == Reading::One { 2 } else { 1 };
            assert_eq!(answers(&received).0, expected, "{setup:?}: {name}: {}", shown(&received));
        }
        let smuggled: Vec<_> =
            logged(&mut server).into_iter().filter(|line| line.contains("marker")).collect();
        // Refused before anything was read of it, its line may hold what it likes.
        assert!(
            smuggled.iter().all(|line| !line.starts_with("GET /smuggled")),
            "{setup:?}: {smuggled:?}"
        );
    }
}

/// HAProxy on a free port, in front of a server; ended and reaped when it is dropped.
struct Proxy {
    address: SocketAddr,
    process: Child,
    /// Reads the log all the time: what does not fit into the pipe the proxy would leave out.
    log: Option<JoinHandle<String>>,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// In front of `server`, with one connection to it for all clients. Where there is no HAProxy it says so.
    fn start(server: SocketAddr) -> Option<Proxy> {
        let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"];
        let Some(program) = program.into_iter().find(|path| std::path::Path::new(path).exists())
        else {
            eprintln!("skipped: there is no haproxy");
            return None;
        };
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let folder =
            tempfile::Builder::new().prefix("miniweb-").tempdir().expect("a temporary folder");
        let configuration = folder.path().join("haproxy.cfg");
        // The log says of each request its number, the server it went to, the port of that connection, and the status.
        let text = format!(
            "global\n nbthread 1\n log stdout format raw local0\n\
             defaults\n mode http\n log global\n retries 0\n http-reuse always\n timeout connect 5s\n timeout client 2s\n \
             timeout server 2s\n timeout queue 5s\n timeout http-keep-alive 2s\n\
             frontend front\n bind fd@3\n log-format \"via=%rt server=%s port=%bp status=%ST %{{+Q}}r\"\n \
             http-request set-query via=%rt\n default_backend back\n\
             backend back\n server miniweb {server} maxconn 1\n"
        );
        std::fs::write(&configuration, text).expect("a file can be written");
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&configuration);
        let mut command = with_socket(&command, &socket);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut process = command.spawn().expect("a shell can be run");
        let output = process.stdout.take().expect("it is piped");
        let log =
            std::thread::spawn(move || std::io::read_to_string(output).expect("a log is text"));
        Some(Proxy { address, process, log: Some(log), _folder: folder })
    }

    /// Ends it and returns its log.
    fn finish(mut self) -> Vec<String> {
        self.end();
        let log = self.log.take().expect("it is taken once").join().expect("it only reads");
        log.lines().filter(|line| line.starts_with("via=")).map(str::to_owned).collect()
    }

    fn end(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            // It can only fail if it has ended meanwhile.
            let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
            let _ = self.process.wait();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks through the proxy for a page of one's own, on a connection of one's own.
fn innocent(proxy: &Proxy, number: usize, after: &str) {
    let mut peer = Peer::connect(proxy.address);
    let path = format!("/innocent-{}.html", number % 10);
    let response = peer.get(&path);
    let expected = format!("the innocent's own page {}", number % 10);
    assert!(
        response.status == 200 && response.body == expected.as_bytes(),
        "{after}: an innocent who asked for {path} got {} {}",
        response.status,
        shown(&response.body)
    );
}

#[test]
fn nothing_is_smuggled_past_a_proxy() {
    let site = Site::new();
    site.write("smuggled-marker.html", "the marker's answer");
    (0..10).for_each(|n| {
        drop(site.write(format!("innocent-{n}.html"), format!("the innocent's own page {n}")))
    });
    let forms = forms();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &["--log", "json"]);
        let Some(proxy) = Proxy::start(server.address) else {
            return;
        };
        let mut number = 0;
        for form in &forms {
            let name = format!("{setup:?}: {}", form.name);
            let mut peer = Peer::connect(proxy.address);
            peer.send(&form.bytes);
            peer.finish_sending();
            let (received, _) = peer.rest();
            assert!(!received.is_empty(), "{name}: the proxy answers something");
            for _ in 0..2 {
                number += 1;
                innocent(&proxy, number, &name);
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
            let mark = line
                .split(' ')
                .nth(1)
                .and_then(|target| target.split_once("?via="))
                .map(|(_, mark)| mark);
            let mark =
                mark.unwrap_or_else(|| panic!("{setup:?}: never forwarded as a request: {line:?}"));
            assert!(known.contains(mark), "{setup:?}: the proxy knows nothing of {line:?}");
            assert!(seen.insert(mark.to_owned()), "{setup:?}: twice: {line:?}");
        }
        println!(
            "{setup:?}: {} forms, {} requests forwarded on {} connections, {} seen by the server",
            forms.len(),
            known.len(),
            ports.len(),
            seen.len()
        );
        assert!(
            ports.len() * 2 < known.len(),
            "{setup:?}: the proxy shares its connections: {ports:?}"
        );
        assert!(seen.len() > forms.len(), "{setup:?}: the innocents at least");
    }
}
