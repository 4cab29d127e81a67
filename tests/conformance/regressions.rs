//! Regression tests for the known faults of the tutorial servers from which this one descends.
//! Other files test most of them in more detail.

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get, patterned};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        a_recv_of_1024_bytes_is_not_taken_for_a_complete_request,
        one_send_is_not_taken_for_the_complete_response,
        an_empty_read_does_not_crash_the_parser,
        a_path_is_not_appended_to_the_name_of_a_directory,
        the_port_can_be_bound_again_after_a_restart,
    ];
    let at_once =
        cases![if |setup| setup.serves_concurrently(); one_slow_client_does_not_stop_the_others];
    [everywhere, at_once].concat()
}

fn a_recv_of_1024_bytes_is_not_taken_for_a_complete_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    // The method, the end of the head and the deciding header are in three different kilobytes.
    let filler = format!("X: {}\r\n", "x".repeat(1500));
    let request =
        format!("GET /page.html HTTP/1.1\r\nHost: h\r\n{filler}Connection: close\r\n{filler}\r\n");
    for piece in [request.len(), 1024, 512, 1023] {
        let mut peer = server.connect();
        peer.send_in_pieces(&request, piece);
        let answers = peer.responses_to_the_end();
        let seen: Vec<_> =
            answers.iter().map(|answer| (answer.status, answer.says_close())).collect();
        assert_eq!(seen, [(200, true)], "in pieces of {piece}");
    }
}

fn one_send_is_not_taken_for_the_complete_response(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(16 << 20);
    site.write("large.bin", &content);
    site.write("small.bin", &content[..60_000]);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // Far more than both socket buffers hold, so that every kind of send is partial at some point.
    peer.send(get("/small.bin").repeat(300) + &get("/large.bin"));
    for _ in 0..300 {
        assert!(peer.response().body == content[..60_000]);
    }
    assert!(peer.response().body == content);
}

fn an_empty_read_does_not_crash_the_parser(setup: &'static Setup) {
    let site = Site::new();
    let mut server = Server::start(setup, site.root(), &[]);
    for _ in 0..5 {
        let mut peer = server.connect();
        peer.finish_sending();
        peer.expect_end();
        drop(server.connect());
        server.connect().reset();
        // Also after a request.
        let mut peer = server.connect();
        assert_eq!(peer.get("/").status, 200);
        peer.finish_sending();
        peer.expect_end();
    }
    assert_eq!(server.get("/").status, 200);
    assert!(!server.has_ended());
}

fn a_path_is_not_appended_to_the_name_of_a_directory(setup: &'static Setup) {
    let site = Site::new();
    site.write_beside("secret.txt", "secret");
    let server = Server::start(setup, site.root(), &[]);
    for path in [
        "/../secret.txt",
        "/docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/../../../../etc/passwd",
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 400, "{path}");
        assert!(!String::from_utf8_lossy(&response.body).contains("secret"), "{path}");
    }
}

fn one_slow_client_does_not_stop_the_others(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &[]);
    let (_silent, mut halfway, mut reading) =
        (server.connect(), server.connect(), server.connect());
    halfway.send("GET / HTTP/1.1\r\nHost:");
    reading.send(get("/huge.bin"));
    assert_eq!(server.get("/page.html").status, 200);
}

fn the_port_can_be_bound_again_after_a_restart(setup: &'static Setup) {
    let site = Site::new();
    let mut server = Server::start(setup, site.root(), &[]);
    // The server closes first, so the connection stays in TIME_WAIT on its side for a minute.
    let mut peer = server.connect();
    assert_eq!(peer.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
    peer.expect_end();
    let open = server.connect();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let again = Server::start(setup, site.root(), &["--port", &server.address.port().to_string()]);
    assert_eq!(again.address, server.address);
    drop(open);
    assert_eq!(again.get("/").status, 200);
}
