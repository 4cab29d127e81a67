//! The known faults of the tutorial servers that this one descends from, each by its name. Most are
//! held in more detail elsewhere; here they stand together, so that nobody brings one back
//! unawares.

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get, patterned};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        a_recv_of_1024_bytes_is_not_taken_for_a_whole_request,
        a_send_is_not_taken_for_a_whole_response,
        an_empty_read_does_not_crash_the_parser,
        a_path_is_not_pasted_to_the_name_of_a_folder,
        the_port_can_be_bound_again_after_a_restart,
    ];
    let at_once =
        cases![if |setup| setup.serves_concurrently(); one_slow_client_does_not_stop_everybody];
    [everywhere, at_once].concat()
}

fn a_recv_of_1024_bytes_is_not_taken_for_a_whole_request(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    // Its method, its end and the field that decides are in three different kilobytes.
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

fn a_send_is_not_taken_for_a_whole_response(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(16 << 20);
    site.write("large.bin", &content);
    site.write("small.bin", &content[..60_000]);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // Far more than both sockets hold, so that sends of either kind are cut somewhere.
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
        // After a request, too.
        let mut peer = server.connect();
        assert_eq!(peer.get("/").status, 200);
        peer.finish_sending();
        peer.expect_end();
    }
    assert_eq!(server.get("/").status, 200);
    assert!(!server.has_ended());
}

fn a_path_is_not_pasted_to_the_name_of_a_folder(setup: &'static Setup) {
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

fn one_slow_client_does_not_stop_everybody(setup: &'static Setup) {
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
    // The server closes first: the connection's remains stay on its side for a minute.
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
