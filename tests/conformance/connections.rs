//! Persistence, pipelining, and the end of connections (RFC 9112 section 9).

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        http_1_1_connections_persist_by_default,
        the_close_option_closes_the_connection_and_is_echoed,
        the_close_option_is_recognized_in_any_case_and_list,
        http_1_0_connections_close_by_default,
        http_1_0_connections_with_keep_alive_persist_and_get_keep_alive,
        pipelined_responses_are_in_order,
        pipelined_responses_are_in_order_when_requests_arrive_in_pieces,
        a_long_pipeline_is_served_completely_to_a_late_reader,
        requests_after_close_get_no_response,
        input_after_close_does_not_truncate_the_response,
        requests_after_an_error_get_no_response,
        a_request_followed_by_fin_gets_its_response,
        a_pipeline_followed_by_fin_gets_its_responses,
        an_incomplete_request_followed_by_fin_closes_the_connection,
        the_server_survives_a_reset_during_a_request,
        the_server_survives_a_reset_during_a_response,
        the_response_to_request_10000_says_close,
    ]
}

fn http_1_1_connections_persist_by_default(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for connection in
        ["", "Connection: keep-alive\r\n", "Connection: TE,,Keep-Alive\r\n", "Connection:\r\n"]
    {
        let response = peer.ask(format!("GET / HTTP/1.1\r\nHost: h\r\n{connection}\r\n"));
        assert_eq!((response.status, response.says_close()), (200, false), "{connection:?}");
    }
    assert_eq!(peer.get("/missing").status, 404);
    assert_eq!(peer.get("/page.html").status, 200, "a 404 closed the connection");
}

fn the_close_option_closes_the_connection_and_is_echoed(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for path in ["/", "/missing", "/docs"] {
        let mut peer = server.connect();
        let response =
            peer.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        assert_eq!(response.field("Connection"), Some("close"), "{path}");
        peer.expect_end();
    }
}

fn the_close_option_is_recognized_in_any_case_and_list(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for connection in [
        "Connection: CLOSE",
        "connection:close",
        "Connection: close,,TE",
        "Connection: ,\t, Close ,,",
        "Connection: keep-alive, close",
        "Connection: close, keep-alive",
        "Connection: TE\r\nConnection: close",
    ] {
        let mut peer = server.connect();
        let response = peer.ask(format!("GET / HTTP/1.1\r\nHost: h\r\n{connection}\r\n\r\n"));
        assert!(response.status == 200 && response.says_close(), "{connection:?}");
        peer.expect_end();
    }
    // These options only contain the word.
    let mut peer = server.connect();
    let response = peer.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: closed, enclose\r\n\r\n");
    assert!(!response.says_close());
    assert_eq!(peer.get("/").status, 200);
}

fn http_1_0_connections_close_by_default(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for fields in ["", "Host: h\r\n", "Connection: close\r\n", "Connection: keep-alive, close\r\n"]
    {
        let mut peer = server.connect();
        let response = peer.ask(format!("GET /page.html HTTP/1.0\r\n{fields}\r\n"));
        assert!(response.status == 200 && response.says_close(), "{fields:?}");
        peer.expect_end();
    }
}

fn http_1_0_connections_with_keep_alive_persist_and_get_keep_alive(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for connection in ["keep-alive", "Keep-Alive", "TE, KEEP-ALIVE"] {
        let response = peer.ask(format!("GET / HTTP/1.0\r\nConnection: {connection}\r\n\r\n"));
        assert_eq!(
            response.required("Connection").to_ascii_lowercase(),
            "keep-alive",
            "{connection}"
        );
    }
    assert!(peer.ask("GET / HTTP/1.0\r\n\r\n").says_close());
    peer.expect_end();
}

/// A request path with the status and, for a 200, the body of its response.
#[derive(Clone)]
struct Expected {
    path: String,
    status: u16,
    body: Vec<u8>,
}

/// A site with a file for each way to store and send a body, and requests for these files and for a
/// missing one in such an order that each response follows each other one.
fn site_of_all_sizes() -> (Site, Vec<Expected>) {
    let site = Site::new();
    let mut distinct = Vec::new();
    for size in [0, 10, 20_000, 65_536, 65_537, 500_000] {
        let (name, body) = (format!("{size}.bin"), patterned(size));
        site.write(&name, &body);
        distinct.push(Expected { path: format!("/{name}"), status: 200, body });
    }
    distinct.push(Expected { path: "/missing".to_owned(), status: 404, body: Vec::new() });
    // The count is prime, so each step visits all.
    let count = distinct.len();
    let order = (1..count).flat_map(|step| (0..count).map(move |n| n * step % count));
    let expected = order.map(|n| distinct[n].clone()).collect();
    (site, expected)
}

fn expect_in_order(peer: &mut Peer, expected: &[Expected]) {
    for Expected { path, status, body } in expected {
        let response = peer.response();
        assert_eq!(response.status, *status, "{path}");
        assert!(*status != 200 || response.body == *body, "wrong body for {path}");
    }
}

fn pipeline(expected: &[Expected]) -> String {
    expected.iter().map(|each| get(&each.path)).collect()
}

fn pipelined_responses_are_in_order(setup: &'static Setup) {
    let (site, expected) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(pipeline(&expected));
    expect_in_order(&mut peer, &expected);
}

fn pipelined_responses_are_in_order_when_requests_arrive_in_pieces(setup: &'static Setup) {
    let (site, expected) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send_in_pieces(pipeline(&expected), 7);
    expect_in_order(&mut peer, &expected);
    peer.send_in_pieces(pipeline(&expected), 41);
    expect_in_order(&mut peer, &expected);
}

fn a_long_pipeline_is_served_completely_to_a_late_reader(setup: &'static Setup) {
    let site = Site::new();
    site.write("4k.bin", patterned(4096));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // The responses are far larger than the socket buffers, so the server must pause and resume.
    const REQUESTS: usize = 3000;
    peer.send(get("/4k.bin").repeat(REQUESTS));
    peer.send("GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    for n in 0..REQUESTS {
        assert_eq!(peer.response().content_length(), 4096, "response {n}");
    }
    assert!(peer.response().says_close());
    peer.expect_end();
}

fn requests_after_close_get_no_response(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let last = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    peer.send(get("/") + last + &get("/") + &get("/missing"));
    let statuses: Vec<_> =
        peer.responses_to_the_end().iter().map(|r| (r.status, r.says_close())).collect();
    assert_eq!(statuses, [(200, false), (200, true)]);
}

fn input_after_close_does_not_truncate_the_response(setup: &'static Setup) {
    const BYTES: usize = 48 << 20;
    let site = Site::new();
    // Larger than the socket buffers, so the server is still sending it when the input arrives.
    site.sparse("large.bin", BYTES as u64);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(peer.response_to_head().status, 200);
    peer.send(get("/page.html"));
    assert_eq!(peer.take(BYTES).len(), BYTES);
    peer.expect_end();
}

fn requests_after_an_error_get_no_response(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get("/") + "GET / HTTP/1.1\r\nno colon\r\n\r\n" + &get("/") + &get("/missing"));
    let statuses: Vec<_> =
        peer.responses_to_the_end().iter().map(|r| (r.status, r.says_close())).collect();
    assert_eq!(statuses, [(200, false), (400, true)]);
}

fn a_request_followed_by_fin_gets_its_response(setup: &'static Setup) {
    let (site, expected) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    for each in &expected[..7] {
        let mut peer = server.connect();
        peer.send(get(&each.path));
        peer.finish_sending();
        expect_in_order(&mut peer, std::slice::from_ref(each));
        peer.expect_end();
    }
}

fn a_pipeline_followed_by_fin_gets_its_responses(setup: &'static Setup) {
    let (site, expected) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(pipeline(&expected));
    peer.finish_sending();
    expect_in_order(&mut peer, &expected);
    peer.expect_end();
}

fn an_incomplete_request_followed_by_fin_closes_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for start in
        ["", "\r\n", "G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"]
    {
        let mut peer = server.connect();
        peer.send(start);
        peer.finish_sending();
        // A 400 is allowed, but no content.
        let responses = peer.responses_to_the_end();
        assert!(
            responses.iter().all(|response| response.status == 400),
            "{start:?}: {responses:?}"
        );
    }
    assert_eq!(server.get("/").status, 200);
}

fn the_server_survives_a_reset_during_a_request(setup: &'static Setup) {
    let site = Site::new();
    let mut server = Server::start(setup, site.root(), &[]);
    for start in [
        "",
        "GET",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
    ] {
        let mut peer = server.connect();
        peer.send(start);
        peer.reset();
        assert_eq!(server.get("/").status, 200, "after {start:?}");
    }
    assert!(!server.has_ended());
}

fn the_server_survives_a_reset_during_a_response(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let mut server = Server::start(setup, site.root(), &[]);
    assert_eq!(server.get("/").status, 200);
    let descriptors = server.descriptors();
    let starts = [get("/huge.bin"), get("/page.html").repeat(20) + &get("/huge.bin")];
    for requests in starts.iter().cycle().take(10) {
        let mut peer = server.connect();
        peer.send(requests);
        peer.response_to_head();
        peer.reset();
        assert_eq!(server.get("/").status, 200);
    }
    assert!(!server.has_ended());
    wait_until("the descriptors are closed", || {
        (server.descriptors() <= descriptors).then_some(())
    });
}

fn the_response_to_request_10000_says_close(setup: &'static Setup) {
    const REQUESTS_MAX: usize = 10_000;
    const BATCH: usize = 100;
    let site = Site::new();
    site.write("x", "");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let request = "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n";
    for batch in 1..REQUESTS_MAX / BATCH {
        peer.send(request.repeat(BATCH));
        for _ in 0..BATCH {
            assert!(!peer.response_to_head().says_close(), "in batch {batch}");
        }
    }
    // One request more than the limit, so that the connection does not end for lack of input.
    peer.send(request.repeat(BATCH + 1));
    for _ in 1..BATCH {
        assert!(!peer.response_to_head().says_close());
    }
    assert!(peer.response_to_head().says_close());
    peer.expect_end();
}
