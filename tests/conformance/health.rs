//! The path of `--health`, on the public port.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::case::{Case, cases};
use crate::support::{Admin, Server, Setup, Site, get, head, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        it_is_answered_before_host_and_password_are_checked,
        it_hides_a_file_of_that_name_and_no_other,
        it_is_neither_logged_nor_counted,
        it_reports_that_the_server_is_draining,
    ]
}

fn it_is_answered_before_host_and_password_are_checked(setup: &'static Setup) {
    let site = Site::new();
    let hash = "user:$2y$04$abcdefghijklmnopqrstuuQ4r1bGr0oJ8b7zq6yPzqzWbN1pQJQ5S";
    let users = site.write_beside("users", hash);
    std::fs::set_permissions(&users, Permissions::from_mode(0o600)).expect("it is the test's");
    let users = users.to_str().expect("the path is UTF-8");
    let options = ["--health", "/health", "--server-name", "example.org", "--auth-file", users];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for request in [get("/health"), get("/health?probe=1"), get("/%68ealth"), get("//health")] {
        let response = peer.ask(&request);
        assert_eq!((response.status, &response.body[..]), (200, &b"ok\n"[..]), "{request}");
        assert_eq!(response.required("Content-Type"), "text/plain; charset=utf-8");
        assert_eq!(response.required("Cache-Control"), "no-store");
        assert_eq!(response.field("WWW-Authenticate"), None);
    }
    assert_eq!(peer.ask(head(&get("/health"))).required("Content-Length"), "3");
    for path in ["/health/", "/healthy", "/page.html"] {
        assert_eq!(server.get(path).status, 421, "{path}");
    }
    assert_eq!(server.ask(get("/health").replacen("GET", "POST", 1)).status, 421);
}

fn it_hides_a_file_of_that_name_and_no_other(setup: &'static Setup) {
    let site = Site::new();
    site.write("a/health", "a file");
    site.write("health", "a file");
    let server = Server::start(setup, site.root(), &["--health=/health"]);
    assert_eq!(server.get("/health").body, b"ok\n");
    assert_eq!(server.get("/a/health").body, b"a file");
    // It does not read the disk.
    std::fs::remove_dir_all(site.root()).expect("the test owns the directory");
    assert_eq!(server.get("/health").body, b"ok\n");
}

fn it_is_neither_logged_nor_counted(setup: &'static Setup) {
    let site = Site::new();
    let options = ["--health=/health", "--log", "common", Admin::OPTION];
    let mut server = Server::start(setup, site.root(), &options);
    let admin = Admin::of(&server);
    for path in ["/health", "/page.html", "/health"] {
        assert_eq!(server.get(path).status, 200);
    }
    admin.wait_for("miniweb_connections_closed_total", 3);
    assert_eq!(admin.metrics().get("miniweb_responses_total{code=\"200\"}"), 1.0);
    server.signal(Signal::TERM);
    server.wait();
    let lines = server.output.rest();
    assert!(matches!(&lines[..], [line] if line.contains("/page.html")), "{lines:?}");
}

/// A draining server accepts no connection. But a load balancer may have sent its probe on one that
/// is still busy.
fn it_reports_that_the_server_is_draining(setup: &'static Setup) {
    const HUGE_BYTES: usize = 64 << 20;
    let site = Site::new();
    site.sparse("huge.bin", HUGE_BYTES as u64);
    let options = ["--health=/health", "--shutdown-timeout=60", Admin::OPTION];
    let mut server = Server::start(setup, site.root(), &options);
    let admin = Admin::of(&server);
    let mut peer = server.connect();
    peer.send([get("/huge.bin"), get("/health")].concat());
    assert_eq!(peer.response_to_head().status, 200);
    server.signal(Signal::TERM);
    wait_until("the server drains", || (admin.get("/readyz").status == 503).then_some(()));
    // A child is notified by its parent.
    std::thread::sleep(std::time::Duration::from_millis(500));
    peer.take(HUGE_BYTES);
    let response = peer.response();
    assert_eq!((response.status, &response.body[..]), (503, &b"draining\n"[..]));
    assert_eq!(response.required("Connection"), "close");
    peer.expect_end();
    drop(peer);
    assert!(server.wait().success());
}
