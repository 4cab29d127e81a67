//! When a connection persists, when it closes, and in which order its requests are answered.

use crate::case::{Case, cases};
use crate::support::{Peer, Server, Setup, Site, get, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        http_1_1_persists_unless_told_to_close,
        close_is_echoed_and_the_connection_closes,
        close_is_parsed_in_any_case_and_any_list,
        http_1_0_closes_without_keep_alive,
        http_1_0_persists_with_keep_alive_which_is_echoed,
        pipelined_requests_are_answered_in_order,
        pipelined_requests_in_odd_pieces_are_answered_in_order,
        a_long_pipeline_that_is_read_late_is_answered_completely,
        nothing_is_answered_after_close,
        input_after_close_does_not_truncate_the_response,
        nothing_is_answered_after_an_error,
        a_request_followed_by_the_end_of_input_is_answered,
        a_pipeline_followed_by_the_end_of_input_is_answered,
        an_incomplete_request_followed_by_the_end_of_input_closes_the_connection,
        the_server_survives_a_reset_within_a_request,
        the_server_survives_a_reset_within_a_response,
        the_response_to_request_10000_says_close,
    ]
}

fn http_1_1_persists_unless_told_to_close(setup: &'static Setup) {
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
    assert_eq!(peer.get("/page.html").status, 200, "an answer of 404 is no reason to end");
}

fn close_is_echoed_and_the_connection_closes(setup: &'static Setup) {
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

fn close_is_parsed_in_any_case_and_any_list(setup: &'static Setup) {
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
    // A token that only resembles it.
    let mut peer = server.connect();
    let response = peer.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: closed, enclose\r\n\r\n");
    assert!(!response.says_close());
    assert_eq!(peer.get("/").status, 200);
}

fn http_1_0_closes_without_keep_alive(setup: &'static Setup) {
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

fn http_1_0_persists_with_keep_alive_which_is_echoed(setup: &'static Setup) {
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

/// A file for each way in which a body is kept and sent, and one that does not exist.
fn site_of_all_sizes() -> (Site, Vec<(String, u16, Vec<u8>)>) {
    let site = Site::new();
    let sizes = [0, 10, 20_000, 65_536, 65_537, 500_000];
    let mut answers: Vec<_> =
        sizes.iter().map(|size| (format!("/{size}.bin"), 200, patterned(*size))).collect();
    for (path, _, content) in &answers {
        site.write(&path[1..], content);
    }
    answers.push(("/missing".to_owned(), 404, Vec::new()));
    // Each file follows each of the others.
    let count = answers.len();
    let order = (1..count).flat_map(|step| (0..count).map(move |n| n * step % count));
    let answers = order.map(|n| answers[n].clone()).collect();
    (site, answers)
}

fn expect_in_order(peer: &mut Peer, answers: &[(String, u16, Vec<u8>)]) {
    for (path, status, content) in answers {
        let response = peer.response();
        assert_eq!(response.status, *status, "{path}");
        assert!(*status != 200 || response.body == *content, "{path} has another content");
    }
}

fn pipeline(answers: &[(String, u16, Vec<u8>)]) -> String {
    answers.iter().map(|(path, ..)| get(path)).collect()
}

fn pipelined_requests_are_answered_in_order(setup: &'static Setup) {
    let (site, answers) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(pipeline(&answers));
    expect_in_order(&mut peer, &answers);
}

fn pipelined_requests_in_odd_pieces_are_answered_in_order(setup: &'static Setup) {
    let (site, answers) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send_in_pieces(pipeline(&answers), 7);
    expect_in_order(&mut peer, &answers);
    peer.send_in_pieces(pipeline(&answers), 41);
    expect_in_order(&mut peer, &answers);
}

fn a_long_pipeline_that_is_read_late_is_answered_completely(setup: &'static Setup) {
    let site = Site::new();
    site.write("4k.bin", patterned(4096));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // The responses are far larger than the socket buffers, so the server must stop and continue
    // later.
    const REQUESTS: usize = 3000;
    peer.send(get("/4k.bin").repeat(REQUESTS));
    peer.send("GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    for n in 0..REQUESTS {
        assert_eq!(peer.response().content_length(), 4096, "answer {n}");
    }
    assert!(peer.response().says_close());
    peer.expect_end();
}

fn nothing_is_answered_after_close(setup: &'static Setup) {
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
    // Larger than the socket buffers, so it is still being sent when the rest arrives.
    site.sparse("large.bin", BYTES as u64);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send("GET /large.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(peer.response_to_head().status, 200);
    peer.send(get("/page.html"));
    assert_eq!(peer.take(BYTES).len(), BYTES);
    peer.expect_end();
}

fn nothing_is_answered_after_an_error(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get("/") + "GET / HTTP/1.1\r\nno colon\r\n\r\n" + &get("/") + &get("/missing"));
    let statuses: Vec<_> =
        peer.responses_to_the_end().iter().map(|r| (r.status, r.says_close())).collect();
    assert_eq!(statuses, [(200, false), (400, true)]);
}

fn a_request_followed_by_the_end_of_input_is_answered(setup: &'static Setup) {
    let (site, answers) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    for answer in &answers[..7] {
        let mut peer = server.connect();
        peer.send(get(&answer.0));
        peer.finish_sending();
        expect_in_order(&mut peer, std::slice::from_ref(answer));
        peer.expect_end();
    }
}

fn a_pipeline_followed_by_the_end_of_input_is_answered(setup: &'static Setup) {
    let (site, answers) = site_of_all_sizes();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(pipeline(&answers));
    peer.finish_sending();
    expect_in_order(&mut peer, &answers);
    peer.expect_end();
}

fn an_incomplete_request_followed_by_the_end_of_input_closes_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for half in
        ["", "\r\n", "G", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"]
    {
        let mut peer = server.connect();
        peer.send(half);
        peer.finish_sending();
        // There was no complete request: an error is possible, but no content of the site.
        let answers = peer.responses_to_the_end();
        assert!(answers.iter().all(|answer| answer.status == 400), "{half:?}: {answers:?}");
    }
    assert_eq!(server.get("/").status, 200);
}

fn the_server_survives_a_reset_within_a_request(setup: &'static Setup) {
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

fn the_server_survives_a_reset_within_a_response(setup: &'static Setup) {
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
    // No work continues for a disconnected client.
    wait_until("the dead peers are forgotten", || {
        (server.descriptors() <= descriptors).then_some(())
    });
}

fn the_response_to_request_10000_says_close(setup: &'static Setup) {
    const REQUESTS_MAX: usize = 10_000;
    const AT_ONCE: usize = 100;
    let site = Site::new();
    site.write("x", "");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let request = "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n";
    for batch in 1..REQUESTS_MAX / AT_ONCE {
        peer.send(request.repeat(AT_ONCE));
        for _ in 0..AT_ONCE {
            assert!(!peer.response_to_head().says_close(), "in batch {batch}");
        }
    }
    // One more than the maximum, so that the close is not due to the end of input.
    peer.send(request.repeat(AT_ONCE + 1));
    for _ in 1..AT_ONCE {
        assert!(!peer.response_to_head().says_close());
    }
    assert!(peer.response_to_head().says_close());
    peer.expect_end();
}
