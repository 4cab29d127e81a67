//! Regression tests for the known bugs of the tutorial servers on which this server is based. Other
//! files test most of these topics in more detail.

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get, patterned};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        a_request_may_arrive_in_several_reads,
        a_response_may_need_several_writes,
        an_empty_read_does_not_crash_the_parser,
        a_target_cannot_escape_the_root,
        the_port_can_be_bound_again_after_a_restart,
    ];
    let concurrent =
        cases![if |setup| setup.serves_concurrently(); slow_clients_do_not_block_other_clients];
    [everywhere, concurrent].concat()
}

fn a_request_may_arrive_in_several_reads(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    // The method, the Connection header and the end of the head lie more than 1024 bytes apart.
    let filler = format!("X: {}\r\n", "x".repeat(1500));
    let request =
        format!("GET /page.html HTTP/1.1\r\nHost: h\r\n{filler}Connection: close\r\n{filler}\r\n");
    for piece in [request.len(), 1024, 512, 1023] {
        let mut peer = server.connect();
        peer.send_in_pieces(&request, piece);
        let responses: Vec<_> =
            peer.responses_to_the_end().iter().map(|r| (r.status, r.says_close())).collect();
        assert_eq!(responses, [(200, true)], "in pieces of {piece}");
    }
}

fn a_response_may_need_several_writes(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(16 << 20);
    site.write("large.bin", &content);
    site.write("small.bin", &content[..60_000]);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // Far more than the socket buffers hold, so that the server's writes from memory and from files
    // are partial.
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
        // The same after a request.
        let mut peer = server.connect();
        assert_eq!(peer.get("/").status, 200);
        peer.finish_sending();
        peer.expect_end();
    }
    assert_eq!(server.get("/").status, 200);
    assert!(!server.has_ended());
}

fn a_target_cannot_escape_the_root(setup: &'static Setup) {
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

fn slow_clients_do_not_block_other_clients(setup: &'static Setup) {
    let site = Site::new();
    site.sparse("huge.bin", 1 << 30);
    let server = Server::start(setup, site.root(), &[]);
    let (_silent, mut sender, mut reader) = (server.connect(), server.connect(), server.connect());
    sender.send("GET / HTTP/1.1\r\nHost:");
    reader.send(get("/huge.bin"));
    assert_eq!(server.get("/page.html").status, 200);
}

fn the_port_can_be_bound_again_after_a_restart(setup: &'static Setup) {
    let site = Site::new();
    let mut server = Server::start(setup, site.root(), &[]);
    // The server closes first, so its side stays in TIME_WAIT for a minute.
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
