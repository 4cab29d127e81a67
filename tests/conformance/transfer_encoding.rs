//! Transfer codings (RFC 9112 sections 6.1 and 7).

use crate::case::{Case, cases};
use crate::framing::{CHUNKED, SMUGGLED, chunk, expect_body_not_parsed, expect_refused};
use crate::support::{Server, Setup, Site};

pub fn cases() -> Vec<Case> {
    cases![
        a_chunked_body_is_not_parsed_as_a_request,
        malformed_chunks_close_the_connection,
        content_length_with_transfer_encoding_is_rejected,
        transfer_encoding_in_http_1_0_is_rejected,
        an_unknown_transfer_coding_is_not_implemented,
        chunked_must_occur_once_and_last,
        chunked_is_recognized_in_any_case_and_list,
        a_chunked_body_beyond_the_limit_closes_the_connection,
    ]
}

fn a_chunked_body_is_not_parsed_as_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let size = SMUGGLED.len();
    for body in [
        "0\r\n\r\n".to_owned(),
        chunk(SMUGGLED) + "0\r\n\r\n",
        chunk(SMUGGLED) + &chunk(SMUGGLED) + "0\r\n\r\n",
        format!("{size:X};name=\"value\"\r\n{SMUGGLED}\r\n000\r\n\r\n"),
        format!("{size:x} ; a\t= \"b;\\\"\" ;c;d = e\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("0000{size:x}\r\n{SMUGGLED}\r\n0;last\r\nTrailer: x\r\nAnother: y\r\n\r\n"),
        format!("{}0\r\nGET: /docs HTTP/1.1\r\nHost: h\r\n\r\n", chunk("x")),
        SMUGGLED.chars().map(|byte| chunk(&byte.to_string())).collect::<String>() + "0\r\n\r\n",
    ] {
        expect_body_not_parsed(
            &server,
            &format!("GET / HTTP/1.1\r\nHost: h\r\n{CHUNKED}"),
            &body,
            200,
        );
    }
}

fn malformed_chunks_close_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for body in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\nx\r\n",
        "0x1\r\nx\r\n",
        " 1\r\nx\r\n",
        "1\nx\n",
        "1\rx\r\n",
        "1\r\nxx\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx0\r\n\r\n",
        ";x\r\n",
        "10000000000000001\r\nx\r\n",
        "ffffffffffffffffff\r\nx\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\n\n",
        "1;x\ny\r\nx\r\n0\r\n\r\n",
        "1;\r\nx\r\n0\r\n\r\n",
        "1;x;\r\nx\r\n0\r\n\r\n",
        "1;x=\r\nx\r\n0\r\n\r\n",
        "1;bad[=x\r\nx\r\n0\r\n\r\n",
        "1;x y\r\nx\r\n0\r\n\r\n",
        "1;x \r\nx\r\n0\r\n\r\n",
        "1 \r\nx\r\n0\r\n\r\n",
        "1;x=\"y\r\nx\r\n0\r\n\r\n",
        "1;x=\"y\"z\r\nx\r\n0\r\n\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{CHUNKED}{body}{SMUGGLED}{SMUGGLED}");
        for piece in [request.len(), 1] {
            let mut peer = server.connect();
            peer.send_in_pieces(&request, piece);
            // The server may respond before it parses the body.
            let statuses: Vec<_> = peer.responses_to_the_end().iter().map(|r| r.status).collect();
            assert!(
                statuses == [200] || statuses == [400],
                "{statuses:?} in pieces of {piece}: {body:?}"
            );
        }
    }
}

fn content_length_with_transfer_encoding_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding: CHUNKED\r\nX: y\r\ncontent-length: 0",
    ] {
        expect_refused(
            &server,
            format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n0\r\n\r\n"),
            400,
        );
    }
}

fn transfer_encoding_in_http_1_0_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for fields in ["", "Connection: keep-alive\r\n"] {
        expect_refused(&server, format!("GET / HTTP/1.0\r\n{fields}{CHUNKED}0\r\n\r\n"), 400);
    }
}

fn an_unknown_transfer_coding_is_not_implemented(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for coding in [
        "gzip",
        "identity",
        "xchunked",
        "chunkedx",
        "gzip, chunked",
        "chunke\u{212a}d",
        "\"chunked\"",
    ] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        expect_refused(&server, request, 501);
    }
}

fn chunked_must_occur_once_and_last(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for fields in [
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, gzip, chunked",
    ] {
        expect_refused(
            &server,
            format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n0\r\n\r\n"),
            400,
        );
    }
    // Bytes that lenient parsers take for white space (RFC 9112 section 11.2).
    for coding in ["\u{b}chunked", "chunked\0", "\rchunked"] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        expect_refused(&server, request, 400);
    }
}

fn chunked_is_recognized_in_any_case_and_list(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for fields in [
        "Transfer-Encoding: Chunked",
        "TRANSFER-ENCODING:CHUNKED",
        "Transfer-Encoding: ,\tchunked,,",
    ] {
        let body = chunk(SMUGGLED) + "0\r\n\r\n";
        expect_body_not_parsed(
            &server,
            &format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"),
            &body,
            200,
        );
    }
}

fn a_chunked_body_beyond_the_limit_closes_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let endless = [
        chunk(&"x".repeat(1000)).repeat(2000),
        chunk("x").repeat(100_000),
        format!("1;{}\r\nx\r\n", "x".repeat(1_000_000)),
        format!("0\r\n{}", "X: y\r\n".repeat(100_000)),
        "100000000\r\n".to_owned() + &"x".repeat(1_000_000),
    ];
    for body in endless {
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{CHUNKED}{body}"));
        let statuses: Vec<_> = peer.responses_to_the_end().iter().map(|r| r.status).collect();
        assert!(statuses == [200] || statuses == [413], "{statuses:?}");
    }
}
