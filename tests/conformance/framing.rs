//! Where a request begins and ends. If two programs disagree about that, one client can get the
//! response to another client's request (RFC 9112 section 11.2). So the content of a body is never
//! parsed as a request.

use crate::case::{Case, cases};
use crate::support::{Peer, Response, Server, Setup, Site, get, shown};

pub fn cases() -> Vec<Case> {
    cases![
        a_head_that_arrives_a_byte_at_a_time_is_the_same_request,
        a_head_that_is_split_anywhere_is_the_same_request,
        a_head_with_the_next_request_attached_is_the_same_request,
        a_body_of_a_given_length_is_not_a_request,
        without_a_length_there_is_no_body,
        the_body_of_a_method_that_is_not_allowed_is_not_a_request,
        the_body_of_an_unknown_method_is_not_a_request,
        two_different_lengths_are_refused,
        equal_lengths_count_as_one,
        a_length_that_is_not_a_number_is_refused,
        an_announced_body_that_is_too_long_is_refused,
        a_truncated_body_is_not_a_request,
        expect_100_continue_does_not_wait_for_the_body,
        expect_100_continue_in_http_1_0_is_ignored,
    ]
}

/// Expects that a request is refused with `status`, whether it arrives whole or in pieces: the
/// response reaches the client, says that the connection closes, and is the last.
#[track_caller]
pub fn expect_refused(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let with_next = [request, get("/page.html").as_bytes()].concat();
    let ways: [(&str, &[u8], usize); 3] = [
        ("whole", request, request.len()),
        ("a byte at a time", request, 1),
        ("with the next request attached", &with_next, with_next.len()),
    ];
    for (way, bytes, piece) in ways {
        let mut peer = server.connect();
        peer.send_in_pieces(bytes, piece);
        let answers = peer.responses_to_the_end();
        let seen: Vec<_> =
            answers.iter().map(|answer| (answer.status, answer.says_close())).collect();
        assert_eq!(seen, [(status, true)], "{way}: {}", shown(request));
    }
}

/// Expects that a request gets `status`, whether it arrives whole or in pieces, and that the
/// connection persists.
#[track_caller]
pub fn expect_answered(server: &Server, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let with_next = [request, get("/page.html").as_bytes()].concat();
    let mut peer = server.connect();
    for (way, piece) in [("whole", request.len()), ("a byte at a time", 1)] {
        peer.send_in_pieces(request, piece);
        assert_eq!(peer.response().status, status, "{way}: {}", shown(request));
    }
    peer.send(with_next);
    assert_eq!(
        peer.response().status,
        status,
        "with the next request attached: {}",
        shown(request)
    );
    assert_eq!(peer.response().status, 200, "the next request after {}", shown(request));
}

fn a_head_that_arrives_a_byte_at_a_time_is_the_same_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, get("/page.html"), 200);
    expect_answered(&server, get("/missing"), 404);
}

fn a_head_that_is_split_anywhere_is_the_same_request(setup: &'static Setup) {
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

fn a_head_with_the_next_request_attached_is_the_same_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let two = get("/page.html") + &get("/missing");
    // Each time, a part of the second request arrives with the first.
    for at in get("/page.html").len()..two.len() {
        peer.send(&two[..at]);
        assert_eq!(peer.response().status, 200, "split at {at}");
        peer.send(&two[at..]);
        assert_eq!(peer.response().status, 404, "split at {at}");
    }
}

/// A request that would get a 301 if a body were parsed as a request.
pub const SMUGGLED: &str = "GET /docs HTTP/1.1\r\nHost: h\r\n\r\n";

/// Sends a request with `body`, then another request: either the body is consumed or the connection
/// closes, as the response says. The body is never answered.
#[track_caller]
pub fn expect_body_unanswered(server: &Server, head: &str, body: &str, status: u16) {
    let last = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let request = format!("{head}{body}{last}");
    for piece in [request.len(), 1, 10, head.len()] {
        let mut peer = server.connect();
        peer.send_in_pieces(&request, piece);
        let answers = peer.responses_to_the_end();
        let seen: Vec<_> =
            answers.iter().map(|answer| (answer.status, answer.says_close())).collect();
        assert!(
            seen == [(status, true)] || seen == [(status, false), (200, true)],
            "{seen:?} in pieces of {piece}: {}",
            shown(request.as_bytes())
        );
    }
}

fn length(bytes: &str) -> String {
    format!("Content-Length: {}\r\n\r\n", bytes.len())
}

pub const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";

pub fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

fn a_body_of_a_given_length_is_not_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for method in ["GET", "HEAD"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: h\r\n{}", length(SMUGGLED));
        if method == "GET" {
            expect_body_unanswered(&server, &head, SMUGGLED, 200);
        } else {
            let mut peer = server.connect();
            peer.send(format!("{head}{SMUGGLED}"));
            assert_eq!(peer.response_to_head().status, 200);
            peer.finish_sending();
            peer.expect_end();
        }
    }
    let large = SMUGGLED.repeat(200);
    expect_body_unanswered(
        &server,
        &format!("GET / HTTP/1.1\r\nHost: h\r\n{}", length(&large)),
        &large,
        200,
    );
    let with_zeros =
        format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 000{}\r\n\r\n", SMUGGLED.len());
    expect_body_unanswered(&server, &with_zeros, SMUGGLED, 200);
    expect_body_unanswered(
        &server,
        &format!("GET /missing HTTP/1.1\r\nHost: h\r\n{}", length(SMUGGLED)),
        SMUGGLED,
        404,
    );
}

fn without_a_length_there_is_no_body(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_answered(&server, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 200);
    expect_answered(&server, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 000\r\n\r\n", 200);
}

fn the_body_of_a_method_that_is_not_allowed_is_not_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let head = format!("{method} / HTTP/1.1\r\nHost: h\r\n");
        for (framing, body) in
            [(length(SMUGGLED), SMUGGLED), (CHUNKED.to_owned(), &(chunk(SMUGGLED) + "0\r\n\r\n"))]
        {
            let mut peer = server.connect();
            peer.send(format!("{head}{framing}{body}{}", get("/page.html")));
            let seen: Vec<_> =
                peer.responses_to_the_end().iter().map(|r| (r.status, r.says_close())).collect();
            assert_eq!(
                seen,
                [(405, true)],
                "{method}: the connection closes instead of reading an unwanted body"
            );
        }
    }
}

fn the_body_of_an_unknown_method_is_not_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_refused(
        &server,
        format!("BREW / HTTP/1.1\r\nHost: h\r\n{}{SMUGGLED}", length(SMUGGLED)),
        501,
    );
    expect_refused(
        &server,
        format!("BREW / HTTP/1.1\r\nHost: h\r\n{CHUNKED}{}0\r\n\r\n", chunk(SMUGGLED)),
        501,
    );
}

fn two_different_lengths_are_refused(setup: &'static Setup) {
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

fn equal_lengths_count_as_one(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let size = SMUGGLED.len();
    for fields in [
        format!("Content-Length: {size}, {size}"),
        format!("Content-Length: {size}\r\nContent-Length: {size}"),
    ] {
        expect_body_unanswered(
            &server,
            &format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"),
            SMUGGLED,
            200,
        );
    }
}

fn a_length_that_is_not_a_number_is_refused(setup: &'static Setup) {
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

fn an_announced_body_that_is_too_long_is_refused(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for length in [64 * 1024 + 1, 1 << 40, u64::MAX] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}");
        expect_refused(&server, request, 413);
    }
    // The body is sent nevertheless: the response must not be lost to a reset.
    let body = "x".repeat(4 << 20);
    let mut peer = server.connect();
    peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{}{body}", length(&body)));
    assert_eq!(peer.response().status, 413);
    peer.expect_end();
}

fn a_truncated_body_is_not_a_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for framing in ["Content-Length: 1000\r\n\r\n".to_owned(), CHUNKED.to_owned() + "3e8\r\n"] {
        let mut peer = server.connect();
        peer.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{framing}{SMUGGLED}"));
        peer.finish_sending();
        let seen: Vec<_> = peer.responses_to_the_end().iter().map(|r| r.status).collect();
        assert!(seen == [200] || seen == [400], "{seen:?}");
    }
    assert_eq!(server.get("/").status, 200);
}

fn expect_100_continue_does_not_wait_for_the_body(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let ask = |peer: &mut Peer, method: &str, framing: &str| -> Response {
        let response = peer
            .ask(format!("{method} / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n{framing}"));
        if response.status == 100 { peer.response() } else { response }
    };
    for framing in [length(SMUGGLED), CHUNKED.to_owned()] {
        for (method, status) in [("GET", 200), ("POST", 405)] {
            let mut peer = server.connect();
            let response = ask(&mut peer, method, &framing);
            assert_eq!(response.status, status, "{method} {framing}");
            // A client that was refused may hold the body back. What follows is then either a
            // request or a body, and the server cannot tell which, so the connection must close.
            assert!(response.says_close(), "{method} {framing}");
            peer.send(SMUGGLED);
            peer.expect_end();
        }
    }
    let mut peer = server.connect();
    assert_eq!(
        ask(&mut peer, "GET", "\r\n").status,
        200,
        "without a body there is nothing to expect"
    );
    assert_eq!(peer.get("/").status, 200);
}

fn expect_100_continue_in_http_1_0_is_ignored(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let head = "GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n";
    expect_body_unanswered(&server, &format!("{head}{}", length(SMUGGLED)), SMUGGLED, 200);
}
