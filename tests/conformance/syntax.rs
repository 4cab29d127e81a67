//! The syntax of requests (RFC 9112 sections 2 to 5). The server rejects an invalid request however
//! it arrives: it responds with an error and `Connection: close`, and closes without a reset.

use crate::case::{Case, cases};
use crate::framing::{expect_answered, expect_refused};
use crate::support::{Server, Setup, Site, get};

pub fn cases() -> Vec<Case> {
    cases![
        empty_lines_before_a_request_are_ignored,
        a_bare_line_feed_is_rejected,
        a_bare_carriage_return_is_rejected,
        single_spaces_separate_the_parts_of_a_request_line,
        a_request_line_has_three_parts,
        white_space_before_the_first_header_is_rejected,
        white_space_before_a_colon_is_rejected,
        line_folding_is_rejected,
        control_characters_in_a_value_are_rejected,
        tabs_and_non_ascii_bytes_in_a_value_are_accepted,
        a_header_has_a_name_and_a_colon,
        http_1_1_requires_exactly_one_host,
        host_must_be_a_valid_host,
        http_1_0_does_not_require_host,
        the_authority_of_a_target_overrides_host_but_both_must_be_valid,
        a_target_is_a_path_or_an_http_uri,
        control_characters_in_a_target_are_rejected,
        a_target_beyond_ascii_must_be_utf_8,
        other_major_versions_are_not_supported,
        later_minor_versions_are_treated_as_1_1,
        a_version_is_http_and_two_digits,
        a_method_is_a_token,
        header_names_are_case_insensitive,
        other_protocols_are_rejected,
    ]
}

/// Expects a 400 for each of `requests`.
#[track_caller]
fn expect_bad<B: AsRef<[u8]>>(setup: &'static Setup, requests: impl IntoIterator<Item = B>) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    requests.into_iter().for_each(|request| expect_refused(&server, request, 400));
}

/// A request with one more header line.
fn with_header(line: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: h\r\n", line.as_ref(), b"\r\n\r\n"].concat()
}

fn empty_lines_before_a_request_are_ignored(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "\r\n".to_owned() + &get("/"), 200);
    expect_answered(&server, "\r\n\r\n\r\n\r\n".to_owned() + &get("/"), 200);
    expect_answered(&server, get("/") + "\r\n", 200);
}

fn a_bare_line_feed_is_rejected(setup: &'static Setup) {
    expect_bad(
        setup,
        [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: y\nZ: w\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\nHost: h\n\n",
            "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ],
    );
}

fn a_bare_carriage_return_is_rejected(setup: &'static Setup) {
    expect_bad(
        setup,
        [
            "GET / HTTP/1.1\rHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: y\rZ: w\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n\r\n",
            "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n",
            "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ],
    );
}

fn single_spaces_separate_the_parts_of_a_request_line(setup: &'static Setup) {
    expect_bad(
        setup,
        [
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /\tHTTP/1.1",
            "GET \t/ HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.1\t",
            "GET /a b HTTP/1.1",
            "GET\u{b}/ HTTP/1.1",
            "GET\u{a0}/ HTTP/1.1",
        ]
        .map(|line| format!("{line}\r\nHost: h\r\n\r\n")),
    );
}

fn a_request_line_has_three_parts(setup: &'static Setup) {
    let lines = [
        "GET /",
        "GET",
        "GET ",
        "GET  HTTP/1.1",
        "/ HTTP/1.1",
        " / HTTP/1.1",
        "HTTP/1.1",
        "GET / ",
        "G/HTTP/1.1",
    ];
    expect_bad(setup, lines.map(|line| format!("{line}\r\nHost: h\r\n\r\n")));
}

fn white_space_before_the_first_header_is_rejected(setup: &'static Setup) {
    expect_bad(
        setup,
        [
            "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\tHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n",
        ],
    );
}

fn white_space_before_a_colon_is_rejected(setup: &'static Setup) {
    expect_bad(
        setup,
        ["X : y", "X\t: y", "Content-Length : 5", "Transfer-Encoding : chunked"].map(with_header),
    );
    expect_bad(setup, ["GET / HTTP/1.1\r\nHost : h\r\n\r\n"]);
}

fn line_folding_is_rejected(setup: &'static Setup) {
    let folds = [
        "X: y\r\n z",
        "X: y\r\n\tz",
        "X:\r\n z",
        "X: y\r\n ",
        "X: y\r\n \r\nZ: w",
        "Transfer-Encoding:\r\n chunked",
    ];
    expect_bad(setup, folds.map(with_header));
}

fn control_characters_in_a_value_are_rejected(setup: &'static Setup) {
    let controls = (0..0x20).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte));
    expect_bad(setup, controls.map(|byte: u8| with_header([b"X: a", &[byte][..], b"b"].concat())));
    expect_bad(
        setup,
        ["GET / HTTP/1.1\r\nHost: h\0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \x01\r\n\r\n"],
    );
}

fn tabs_and_non_ascii_bytes_in_a_value_are_accepted(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for line in [
        &b"X: a\tb"[..],
        b"X:\ta\t",
        b"X:",
        b"X: ",
        b"X: gr\xc3\xbc\xc3\x9fe",
        b"X: \xff\x80",
        b"X: \"a:b\";c, d",
    ] {
        expect_answered(&server, with_header(line), 200);
    }
}

fn a_header_has_a_name_and_a_colon(setup: &'static Setup) {
    let lines = [
        "no colon",
        "nocolon",
        ": y",
        ":",
        "a b: y",
        "a(b): y",
        "a\"b: y",
        "a\0b: y",
        "gr\u{fc}n: y",
        "[]: y",
        "a/b: y",
    ];
    expect_bad(setup, lines.map(with_header));
}

fn http_1_1_requires_exactly_one_host(setup: &'static Setup) {
    expect_bad(
        setup,
        [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHosts: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\nhost: i\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n",
        ],
    );
}

fn host_must_be_a_valid_host(setup: &'static Setup) {
    let invalid = [
        "a b",
        "user@h",
        "a/b",
        "h:80x",
        "h:-1",
        "h:65536",
        "h:98777",
        "h:123456",
        "[::1]:98777",
        "[::1",
        "[::1]x",
        "[]",
        "http://h",
        "h?",
        "h#",
        "h\\",
        "h,i:80:81",
        "h%zz",
    ];
    expect_bad(setup, invalid.map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for host in [
        "localhost",
        "h:80",
        "h:",
        "h:0",
        "h:65535",
        "h:000080",
        "",
        "127.0.0.1:7890",
        "[::1]",
        "[::1]:80",
        "a-b.c_d~e",
        "gr%C3%BCn.example",
    ] {
        expect_answered(&server, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 200);
    }
}

fn http_1_0_does_not_require_host(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200);
}

fn the_authority_of_a_target_overrides_host_but_both_must_be_valid(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "GET http://other:80/page.html HTTP/1.1\r\nHost: h\r\n\r\n", 200);
    expect_answered(&server, "GET http://[::1]:80/page.html HTTP/1.1\r\nHost: h\r\n\r\n", 200);
    expect_answered(&server, "GET http://other:/page.html HTTP/1.1\r\nHost: h:\r\n\r\n", 200);
    for (target, host) in [
        ("http://other/", "a b"),
        ("http://other/", "user@h"),
        ("http://user@other/", "h"),
        ("http://user:password@other/", "h"),
        ("http://other:80x/", "h"),
        ("http://other:98777/", "h"),
        ("http://other/", "h:98777"),
        ("http://[::1/", "h"),
        ("http:///page.html", "h"),
        ("http://?", "h"),
    ] {
        expect_refused(&server, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400);
    }
}

fn a_target_is_a_path_or_an_http_uri(setup: &'static Setup) {
    let targets = [
        "*",
        "page.html",
        "?x",
        "./",
        "../",
        "h:80",
        "http:/page.html",
        "http",
        "ftp://h/",
        "file:///etc/passwd",
        "/#fragment",
        "/page.html#",
        "http://h/#x",
    ];
    expect_bad(setup, targets.map(|target| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")));
}

fn control_characters_in_a_target_are_rejected(setup: &'static Setup) {
    let controls = (0..0x20).chain([0x7f]).filter(|byte| !b"\r\n".contains(byte));
    let request = |byte: u8| [b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    expect_bad(setup, controls.map(request));
}

fn a_target_beyond_ascii_must_be_utf_8(setup: &'static Setup) {
    let request = |target: &[u8]| [b"GET /", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let invalid = [
        &b"\xff"[..],
        b"caf\xe9",
        b"\x80",
        // Overlong forms of a slash and a NUL, a surrogate, and a character cut in two.
        b"a\xc0\xafb",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf0\x9f\xa6",
        b"?q=\xff",
        b"gr\xc3\xbcn\xff",
        b"gr\xc3\xbcn\x01",
        b"gr\xc3\xbcn#x",
    ];
    expect_bad(setup, invalid.map(request));
    let site = Site::new();
    site.write("gr\u{fc}n \u{1f980}.html", "in UTF-8");
    let server = Server::start(setup, site.root(), &[]);
    for target in ["gr\u{fc}n%20\u{1f980}.html", "gr%C3%BCn%20%F0%9F%A6%80.html?\u{1f980}"] {
        expect_answered(&server, request(target.as_bytes()), 200);
        assert_eq!(server.ask(request(target.as_bytes())).body, b"in UTF-8", "{target}");
    }
}

fn other_major_versions_are_not_supported(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        expect_refused(&server, format!("GET / {version}\r\nHost: h\r\n\r\n"), 505);
    }
}

fn later_minor_versions_are_treated_as_1_1(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 200);
    expect_answered(&server, "GET / HTTP/1.9\r\nHost: h\r\n\r\n", 200);
    expect_refused(&server, "GET / HTTP/1.2\r\n\r\n", 400);
}

fn a_version_is_http_and_two_digits(setup: &'static Setup) {
    let versions = [
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.1x",
        "HTTP/1,1",
        "HTTP/a.b",
        "HTTP 1.1",
        "http/1.1",
        "Http/1.1",
        "FTP/1.1",
        "HTTPS/1.1",
        "x",
        "1.1",
        "HTTP/-1.1",
        "HTTP/1.+1",
    ];
    expect_bad(setup, versions.map(|version| format!("GET / {version}\r\nHost: h\r\n\r\n")));
}

fn a_method_is_a_token(setup: &'static Setup) {
    let methods = ["G@T", "GET:", "\"GET\"", "G/T", "(GET)", "G,T", "G\0T", "G\u{fc}T", "[]"];
    expect_bad(setup, methods.map(|method| format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")));
}

fn header_names_are_case_insensitive(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "GET / HTTP/1.1\r\nhOSt: h\r\ncONTENT-lENGTH: 5\r\n\r\nhello", 200);
}

fn other_protocols_are_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_refused(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    expect_refused(
        &server,
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        400,
    );
    expect_refused(&server, "SSH-2.0-OpenSSH_9.6\r\n\r\n", 400);
    expect_refused(&server, "EHLO mail.example\r\n\r\n", 400);
    // The beginning of a TLS ClientHello, which has no line end.
    let mut peer = server.connect();
    peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x0a\x0a\x00");
    peer.finish_sending();
    let responses = peer.responses_to_the_end();
    assert!(responses.iter().all(|response| response.status == 400), "{responses:?}");
}
