//! Message framing: where a request begins and ends. The server never parses bytes of a body as a
//! request, because an intermediary that disagrees about the framing could then be made to send the
//! response for one client to another (request smuggling, RFC 9112 section 11.2).

use crate::case::{Case, cases};
use crate::support::{Peer, Response, Server, Setup, Site, get, shown};

pub fn cases() -> Vec<Case> {
    cases![
        a_head_that_arrives_a_byte_at_a_time_is_one_request,
        a_head_that_is_split_anywhere_is_one_request,
        a_head_that_arrives_with_the_next_request_is_one_request,
        a_body_with_content_length_is_not_parsed_as_a_request,
        content_length_0_means_no_body,
        the_body_of_an_unsupported_method_is_not_parsed_as_a_request,
        the_body_of_an_unknown_method_is_not_parsed_as_a_request,
        different_content_lengths_are_rejected,
        equal_content_lengths_count_as_one,
        an_invalid_content_length_is_rejected,
        a_body_beyond_the_limit_is_rejected,
        a_truncated_body_is_not_parsed_as_a_request,
        expect_100_continue_does_not_wait_for_a_body,
        expect_100_continue_in_http_1_0_is_ignored,
    ]
}

/// Expects that the server rejects a request with `status` and closes the connection, however the
/// request arrives: whole, a byte at a time, or with the next request.
#[track_caller]
pub fn expect_refused(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let with_next = [request, get("/page.html").as_bytes()].concat();
    let arrivals: [(&str, &[u8], usize); 3] = [
        ("whole", request, request.len()),
        ("a byte at a time", request, 1),
        ("with the next request", &with_next, with_next.len()),
    ];
    for (arrival, bytes, piece) in arrivals {
        let mut peer = server.connect();
        peer.send_in_pieces(bytes, piece);
        let responses = statuses_and_closes(&mut peer);
        assert_eq!(responses, [(status, true)], "{arrival}: {}", shown(request));
    }
}

/// Expects that the server responds to a request with `status` and keeps the connection open,
/// however the request arrives.
#[track_caller]
pub fn expect_answered(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let with_next = [request, get("/page.html").as_bytes()].concat();
    let mut peer = server.connect();
    for (arrival, piece) in [("whole", request.len()), ("a byte at a time", 1)] {
        peer.send_in_pieces(request, piece);
        assert_eq!(peer.response().status, status, "{arrival}: {}", shown(request));
    }
    peer.send(with_next);
    assert_eq!(peer.response().status, status, "with the next request: {}", shown(request));
    assert_eq!(peer.response().status, 200, "the next request after {}", shown(request));
}

/// The status of each response up to the end of the connection, and whether it says `close`.
fn statuses_and_closes(peer: &mut Peer) -> Vec<(u16, bool)> {
    peer.responses_to_the_end().iter().map(|r| (r.status, r.says_close())).collect()
}

fn a_head_that_arrives_a_byte_at_a_time_is_one_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, get("/page.html"), 200);
    expect_answered(&server, get("/missing"), 404);
}

fn a_head_that_is_split_anywhere_is_one_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let request = "GET /docs/?a=b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n";
    for at in 1..request.len() {
        peer.send(&request[..at]);
        let response = peer.ask(&request[at..]);
        assert_eq!((response.status, response.content_length()), (200, 35), "split at {at}");
    }
}

fn a_head_that_arrives_with_the_next_request_is_one_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let two = get("/page.html") + &get("/missing");
    // A part of the second request arrives together with the first.
    for at in get("/page.html").len()..two.len() {
        peer.send(&two[..at]);
        assert_eq!(peer.response().status, 200, "split at {at}");
        peer.send(&two[at..]);
        assert_eq!(peer.response().status, 404, "split at {at}");
    }
}

/// A body that gets a 301 if the server parses it as a request.
pub const SMUGGLED: &str = "GET /docs HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends a request with `body`, then another request. Expects that the server either skips the body
/// or responds with `close`, and does not parse the body as a request.
#[track_caller]
pub fn expect_body_not_parsed(server: &Server, head: &str, body: &str, status: u16) {
    let last = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let request = format!("{head}{body}{last}");
    for piece in [request.len(), 1, 10, head.len()] {
        let mut peer = server.connect();
        peer.send_in_pieces(&request, piece);
        let responses = statuses_and_closes(&mut peer);
        assert!(
            responses == [(status, true)] || responses == [(status, false), (200, true)],
            "{responses:?} in pieces of {piece}: {}",
            shown(request.as_bytes())
        );
    }
}

fn content_length(body: &str) -> String {
    format!("Content-Length: {}\r\n\r\n", body.len())
}

pub const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";

pub fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

fn a_body_with_content_length_is_not_parsed_as_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for method in ["GET", "HEAD"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: h\r\n{}", content_length(SMUGGLED));
        if method == "GET" {
            expect_body_not_parsed(&server, &head, SMUGGLED, 200);
        } else {
            let mut peer = server.connect();
            peer.send(format!("{head}{SMUGGLED}"));
            assert_eq!(peer.response_to_head().status, 200);
            peer.finish_sending();
            peer.expect_end();
        }
    }
    let large = SMUGGLED.repeat(200);
    expect_body_not_parsed(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: h\r\n{}", content_length(&large)),
        &large,
        200,
    );
    let with_zeros =
        format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 000{}\r\n\r\n", SMUGGLED.len());
    expect_body_not_parsed(&server, &with_zeros, SMUGGLED, 200);
    expect_body_not_parsed(
        &server,
        &format!("GET /missing HTTP/1.1\r\nHost: h\r\n{}", content_length(SMUGGLED)),
        SMUGGLED,
        404,
    );
}

fn content_length_0_means_no_body(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 200);
    expect_answered(&server, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 000\r\n\r\n", 200);
}

fn the_body_of_an_unsupported_method_is_not_parsed_as_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: h\r\n");
        for (framing, body) in [
            (content_length(SMUGGLED), SMUGGLED),
            (CHUNKED.to_owned(), &(chunk(SMUGGLED) + "0\r\n\r\n")),
        ] {
            let mut peer = server.connect();
            peer.send(format!("{head}{framing}{body}{}", get("/page.html")));
            // The server closes the connection rather than read an unwanted body.
            assert_eq!(statuses_and_closes(&mut peer), [(405, true)], "{method}");
        }
    }
}

fn the_body_of_an_unknown_method_is_not_parsed_as_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_refused(
        &server,
        format!("BREW / HTTP/1.1\r\nHost: h\r\n{}{SMUGGLED}", content_length(SMUGGLED)),
        501,
    );
    expect_refused(
        &server,
        format!("BREW / HTTP/1.1\r\nHost: h\r\n{CHUNKED}{}0\r\n\r\n", chunk(SMUGGLED)),
        501,
    );
}

fn different_content_lengths_are_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 0\r\nX: y\r\ncontent-length: 5",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5\r\nContent-Length: 6",
    ] {
        expect_refused(&server, format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nhello"), 400);
    }
}

fn equal_content_lengths_count_as_one(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let size = SMUGGLED.len();
    for fields in [
        format!("Content-Length: {size}, {size}"),
        format!("Content-Length: {size}\r\nContent-Length: {size}"),
    ] {
        expect_body_not_parsed(
            &server,
            &format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"),
            SMUGGLED,
            200,
        );
    }
}

fn an_invalid_content_length_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for length in [
        "",
        "+5",
        "-1",
        "-0",
        "5a",
        "a",
        "0x5",
        "5.0",
        "1e3",
        "1 0",
        "5;",
        "\"5\"",
        "5,a",
        "18446744073709551616",
        "100000000000000000000000000000005",
        "\u{665}",
    ] {
        expect_refused(
            &server,
            format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nhello"),
            400,
        );
    }
}

fn a_body_beyond_the_limit_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for length in [64 * 1024 + 1, 1 << 40, u64::MAX] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}");
        expect_refused(&server, request, 413);
    }
    // A client that sends the body anyway must get the response, which a reset would destroy.
    let body = "x".repeat(4 << 20);
    let mut peer = server.connect();
    peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{}{body}", content_length(&body)));
    assert_eq!(peer.response().status, 413);
    peer.expect_end();
}

fn a_truncated_body_is_not_parsed_as_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for framing in ["Content-Length: 1000\r\n\r\n".to_owned(), CHUNKED.to_owned() + "3e8\r\n"] {
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{framing}{SMUGGLED}"));
        peer.finish_sending();
        let statuses: Vec<_> = peer.responses_to_the_end().iter().map(|r| r.status).collect();
        assert!(statuses == [200] || statuses == [400], "{statuses:?}");
    }
    assert_eq!(server.get("/").status, 200);
}

fn expect_100_continue_does_not_wait_for_a_body(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let expect = |peer: &mut Peer, method: &str, framing: &str| -> Response {
        let response = peer
            .ask(format!("{method} / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n{framing}"));
        if response.status == 100 { peer.response() } else { response }
    };
    for framing in [content_length(SMUGGLED), CHUNKED.to_owned()] {
        for (method, status) in [("GET", 200), ("POST", 405)] {
            let mut peer = server.connect();
            let response = expect(&mut peer, method, &framing);
            assert_eq!(response.status, status, "{method} {framing}");
            // The client may send the body or, because the response is final, omit it. The server
            // cannot tell a body from the next request, so it must close the connection.
            assert!(response.says_close(), "{method} {framing}");
            peer.send(SMUGGLED);
            peer.expect_end();
        }
    }
    let mut peer = server.connect();
    assert_eq!(expect(&mut peer, "GET", "\r\n").status, 200, "Expect without a body");
    assert_eq!(peer.get("/").status, 200);
}

fn expect_100_continue_in_http_1_0_is_ignored(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let head = "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n";
    expect_body_not_parsed(&server, &format!("{head}{}", content_length(SMUGGLED)), SMUGGLED, 200);
}
