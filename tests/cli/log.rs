//! The access log.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::command::any_command;
use crate::support::{
    Peer, Server, Setup, Site, address_in, any_setup, get, get_with, miniweb, setups,
};

/// More than the sockets hold, so that the response is in progress until it is read.
const HUGE: u64 = 64 << 20;

/// The longest line, including its line feed.
const LINE_BYTES_MAX: usize = 4096;

/// Starts a server with an access log.
fn logging(setup: &'static Setup, site: &Site, format: &str) -> Server {
    Server::start(setup, site.root(), &["--log", format])
}

#[test]
fn log_none_prints_nothing() {
    let site = Site::new();
    let mut server = logging(any_setup(), &site, "none");
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::TERM);
    server.wait();
    assert_eq!(server.output.rest(), [""; 0]);
}

#[test]
fn a_common_log_has_the_common_format() {
    let site = Site::new();
    for setup in setups() {
        let server = logging(setup, &site, "common");
        server.get("/page.html?x");
        let line = server.output.next().expect("the request is logged");
        let (date, rest) = line
            .strip_prefix("127.0.0.1 - - [")
            .and_then(|rest| rest.split_once("] "))
            .unwrap_or_else(|| panic!("{setup:?}: {line}"));
        assert_eq!(rest, "\"GET /page.html?x HTTP/1.1\" 200 35", "{setup:?}");
        // 10/Oct/2000:13:55:36 +0000
        let shape: String =
            date.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
        assert!(
            shape.starts_with("00/")
                && shape.ends_with("/0000:00:00:00 +0000")
                && shape.len() == 26,
            "{date}"
        );
    }
}

#[test]
fn a_combined_log_adds_referer_and_user_agent_to_the_common_format() {
    let site = Site::new();
    for setup in setups() {
        let server = logging(setup, &site, "combined");
        let page = get_with("/page.html", &["Referer: /\"x\"", "User-Agent: a \\ b"]);
        let malformed = "GET /a b HTTP/1.1\r\nUser-Agent: c\r\n\r\n".to_owned();
        for (request, expected) in [
            (page, r#"] "GET /page.html HTTP/1.1" 200 35 "/\x22x\x22" "a \x5C b""#),
            (get("/missing"), r#""-" "-""#),
            (malformed, r#""-" "-""#),
        ] {
            // The lines of several connections may be written in any order.
            server.ask(request);
            let line = server.output.next().expect("the request is logged");
            assert!(line.starts_with("127.0.0.1 - - [") && line.ends_with(expected), "{line}");
        }
    }
}

#[test]
fn without_a_terminal_the_log_format_is_common() {
    let site = Site::new();
    let mut command = miniweb();
    command.args([any_command(), "--port", "0"]).arg(site.root());
    let server = Server::run(command);
    server.get("/missing");
    let line = server.output.next().expect("the request is logged");
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.contains("\"GET /missing HTTP/1.1\" 404 "),
        "{line}"
    );
}

#[test]
fn the_short_log_has_status_request_size_and_time() {
    let site = Site::new();
    let server = logging(any_setup(), &site, "short");
    server.get("/page.html");
    let line = server.output.next().expect("the request is logged");
    assert!(
        ["200", "GET /page.html", "35 B", "ms"].iter().all(|part| line.contains(part)),
        "{line}"
    );
    server.ask("GET /missing HTTP/1.1\r\nHost: h\r\n\r\n");
    let line = server.output.next().expect("the request is logged");
    assert!(["404", "GET /missing"].iter().all(|part| line.contains(part)), "{line}");
}

#[test]
fn the_json_log_has_one_object_per_line() {
    let site = Site::new();
    for setup in setups() {
        let server = logging(setup, &site, "json");
        server.ask("GET /page.html HTTP/1.1\r\nHost: h\r\nUser-Agent: a \"b\" \\ \t\r\nReferer: /x\r\n\r\n");
        let line = server.output.next().expect("the request is logged");
        let object: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(object["status"], 200);
        assert_eq!(object["request"], "GET /page.html HTTP/1.1");
        assert_eq!((&object["body_bytes"], &object["complete"]), (&35.into(), &true.into()));
        assert_eq!(
            (&object["user_agent"], &object["referer"]),
            (&"a \"b\" \\".into(), &"/x".into())
        );
        assert_eq!(object["peer"], "127.0.0.1");
        assert!(object["time"].is_u64() && object["duration_us"].is_u64(), "{line}");
    }
}

#[test]
fn the_duration_includes_the_work_for_the_response() {
    const WORK_US: u64 = 3000;
    let site = Site::new();
    for setup in setups() {
        let options = ["--log", "json", "--handicap", &WORK_US.to_string()];
        let server = Server::start(setup, site.root(), &options);
        server.get("/page.html");
        let line = server.output.next().expect("the request is logged");
        let duration_us = logged(&line)["duration_us"].as_u64();
        assert!(duration_us.is_some_and(|us| us >= WORK_US), "{setup:?}: {line}");
    }
}

/// Controls of ASCII (which no valid request contains), of Unicode (C1), line and paragraph
/// separators, and characters that change the direction of text or are invisible.
const ASCII_CONTROLS: &str = "\x01\x08\t\x0b\x0c\x1b[2J\x7f";
const UNPRINTABLE: &str = "\u{80}\u{85}\u{9b}31m\u{9f}\u{2028}\u{2029}\u{61c}\u{200b}\u{200e}\
    \u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}\u{e0041}";

#[test]
fn whatever_a_client_sends_fills_one_line_of_the_log_and_is_escaped_in_the_trace() {
    let site = Site::new();
    let is_hidden = |char: char| char.is_control() || UNPRINTABLE.contains(char) && char > '~';
    let unprintable = get_with(
        &format!("/{UNPRINTABLE}"),
        &[&format!("User-Agent: {UNPRINTABLE}"), &format!("Referer: {UNPRINTABLE}")],
    );
    let refused = format!("GET /{ASCII_CONTROLS}{UNPRINTABLE} HTTP/1.1\r\nHost: h\r\n\r\n");
    let nasty: [&[u8]; 7] = [
        b"GET /\"quoted\"\\ HTTP/1.1\r\nHost: h\r\nUser-Agent: \xff\xfe \"\\\r\n\r\n",
        b"GET /\x1b[31mred\x07 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /\xff\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x00\x00 \n\r\n",
        b"GET /\r127.0.0.1 - - forged HTTP/1.1\r\n\r\n",
        refused.as_bytes(),
        unprintable.as_bytes(),
    ];
    for setup in setups() {
        for format in ["short", "common", "combined", "json"] {
            let options = ["--log", format, "--trace"];
            let mut server = Server::start(setup, site.root(), &options);
            nasty.iter().for_each(|request| drop(server.ask(request)));
            server.signal(Signal::TERM);
            server.wait();
            for line in server.errors.rest() {
                assert!(!line.contains(is_hidden), "{setup:?}: {line:?}");
            }
            let lines = server.output.rest();
            assert_eq!(lines.len(), nasty.len(), "{setup:?}, {format}: {lines:#?}");
            for line in &lines {
                if format == "json" {
                    assert!(!line.contains(is_hidden), "{setup:?}: {line:?}");
                    logged(line);
                } else {
                    assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
                }
                let quotes = match format {
                    "common" => 2,
                    "combined" => 6,
                    _ => line.matches('"').count(),
                };
                assert_eq!(line.matches('"').count(), quotes, "{setup:?}: {line}");
            }
            if format == "json" {
                let whole = |entry: &serde_json::Value| {
                    entry["request"] == format!("GET /{UNPRINTABLE} HTTP/1.1")
                        && entry["user_agent"] == UNPRINTABLE
                        && entry["referer"] == UNPRINTABLE
                };
                let is_logged = lines.iter().any(|line| whole(&logged(line)));
                assert!(is_logged, "{setup:?}: an escape loses nothing: {lines:#?}");
            }
        }
    }
}

#[test]
fn lines_of_many_connections_are_not_torn() {
    const CLIENTS: usize = 16;
    const REQUESTS: usize = 20;
    let site = Site::new();
    // Longer than a write to a pipe that the kernel does not divide, and more than a pipe holds.
    let target = "t".repeat(7_900);
    let headers = ["Referer", "User-Agent"].map(|name| format!("{name}: {}", "x".repeat(11_000)));
    for setup in setups() {
        // An idle connection is closed if more clients connect than are served at the same time.
        let clients = CLIENTS.min(setup.concurrency);
        for run in [Server::run, Server::run_on_socket] {
            let mut server = run(Server::command(setup, site.root(), &["--log", "json"]));
            let (address, target, headers) = (server.address, &target, &headers);
            std::thread::scope(|scope| {
                for client in 0..clients {
                    scope.spawn(move || {
                        let mut peer = Peer::connect(address);
                        for request in 0..REQUESTS {
                            let path = format!("/{client}/{request}/{target}");
                            peer.send(get_with(&path, &headers.each_ref().map(String::as_str)));
                        }
                        (0..REQUESTS).for_each(|_| assert_eq!(peer.response().status, 404));
                    });
                }
            });
            server.signal(Signal::TERM);
            assert!(server.wait().success(), "{setup:?}");
            let lines = server.output.rest();
            let mut requests: Vec<String> =
                lines.iter().map(|line| logged(line)["request"].to_string()).collect();
            requests.sort();
            requests.dedup();
            assert_eq!(requests.len(), clients * REQUESTS, "{setup:?}");
            assert_eq!(lines.len(), clients * REQUESTS, "{setup:?}");
        }
    }
}

#[test]
fn lines_of_two_servers_with_one_stdout_are_not_torn() {
    const REQUESTS: usize = 200;
    let site = Site::new();
    let path = format!("/{}", "t".repeat(3000));
    for setup in setups() {
        let server = Server::command(setup, site.root(), &["--log", "json"]);
        let mut both = Command::new("sh");
        both.args(["-c", "\"$0\" \"$@\" & \"$0\" \"$@\" & wait"]);
        both.arg(server.get_program()).args(server.get_args()).stdin(Stdio::null());
        let mut first = Server::run(both);
        let second = address_in(&first.output.next().expect("the second server starts"));
        let addresses = [first.address, second.expect("the line has an address")];
        std::thread::scope(|scope| {
            for address in addresses {
                let path = &path;
                scope.spawn(move || {
                    let mut peer = Peer::connect(address);
                    peer.send(get(path).repeat(REQUESTS));
                    (0..REQUESTS).for_each(|_| assert_eq!(peer.response().status, 404));
                });
            }
        });
        first.signal_all(Signal::TERM);
        first.wait();
        let lines = first.output.rest();
        lines.iter().for_each(|line| drop(logged(line)));
        assert_eq!(lines.len(), 2 * REQUESTS, "{setup:?}");
    }
}

/// The line of a JSON log.
#[track_caller]
fn logged(line: &str) -> serde_json::Value {
    assert!(line.len() < LINE_BYTES_MAX, "{} bytes: {line}", line.len());
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn every_response_is_logged_once() {
    let site = Site::new();
    for setup in setups() {
        let mut server = logging(setup, &site, "common");
        for n in 0..20 {
            let mut peer = server.connect();
            peer.send(get(&format!("/{n}?a")) + &get(&format!("/{n}?b")));
            assert_eq!((peer.response().status, peer.response().status), (404, 404));
        }
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        let lines = server.output.rest();
        assert_eq!(lines.len(), 40, "{setup:?}: {lines:#?}");
        for request in (0..20).flat_map(|n| [format!("GET /{n}?a "), format!("GET /{n}?b ")]) {
            assert_eq!(
                lines.iter().filter(|line| line.contains(&request)).count(),
                1,
                "{setup:?}: {request}"
            );
        }
    }
}

#[test]
fn a_truncated_response_is_logged_as_incomplete() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let server = logging(setup, &site, "json");
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        peer.response_to_head();
        peer.reset();
        let line = server.output.next().expect("the request is logged");
        let object: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let bytes = object["body_bytes"].as_u64().expect("body_bytes is a number");
        assert!(object["complete"] == false && bytes < HUGE, "{setup:?}: {line}");
    }
}

#[test]
fn a_response_truncated_by_a_shutdown_is_logged_as_incomplete() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let mut server =
            Server::start(setup, site.root(), &["--log", "json", "--shutdown-timeout", "0.3"]);
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        peer.response_to_head();
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        let lines = server.output.rest();
        assert!(
            lines.len() == 1 && lines[0].contains("\"complete\":false"),
            "{setup:?}: {lines:?}"
        );
    }
}

#[test]
fn a_closed_stdout_does_not_stop_the_server() {
    let site = Site::new();
    for setup in setups() {
        let mut server = logging(setup, &site, "common");
        // Whatever serves this client has started when stdout closes.
        let mut peer = server.connect();
        peer.get("/");
        server.close_output();
        // More lines than the buffers of the kernel take.
        (0..1000).for_each(|_| assert_eq!(peer.get("/").status, 200, "{setup:?}"));
        drop(peer);
        for _ in 0..5 {
            assert_eq!(server.get("/").status, 200, "{setup:?}");
        }
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
    }
}
