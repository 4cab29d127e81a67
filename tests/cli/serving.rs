//! What is served, where, and what the first line says about it.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use crate::command::{any_command, commands, expect_failure};
use crate::support::{Peer, Server, Setup, Site, any_setup, miniweb, setups};

#[test]
fn a_root_that_cannot_be_served_is_named() {
    let site = Site::new();
    let missing = site.beside("no-such-directory").display().to_string();
    let fifo = site.beside("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("the directory is writable");
    for command in commands() {
        expect_failure(&[command, &missing], 1, &[&missing]);
        expect_failure(&[command, "/dev/null"], 1, &["/dev/null"]);
        expect_failure(&[command, &fifo.display().to_string()], 1, &["fifo"]);
    }
}

#[test]
fn an_address_of_another_machine_is_named() {
    // TEST-NET-1 (RFC 5737) belongs to no machine.
    for command in commands() {
        expect_failure(&[command, "--host", "192.0.2.1", "--port", "0"], 1, &["192.0.2.1"]);
        expect_failure(&[command, "--host=192.0.2.1"], 1, &["192.0.2.1:7890"]);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let site = Site::new();
    let root = site.root().display().to_string();
    for first in setups() {
        let server = Server::start(first, site.root(), &[]);
        let port = server.address.port().to_string();
        for second in setups() {
            let arguments = [second.arguments, &[&root, "--port", &port]].concat();
            expect_failure(&arguments, 1, &[&port, "in use"]);
        }
        assert_eq!(server.get("/").status, 200, "{first:?} still serves");
    }
}

#[test]
fn after_two_dashes_a_root_may_look_like_an_option() {
    let site = Site::new();
    site.write("--port=0/index.html", "an odd directory");
    let mut command = miniweb();
    command.args([any_command(), "--port", "0", "--", "--port=0"]).current_dir(site.root());
    assert_eq!(Server::run(command).get("/").body, b"an odd directory");
}

#[test]
fn the_first_line_names_the_root_the_url_and_the_strategy() {
    let site = Site::new();
    for setup in setups() {
        let how = setup.description();
        let server = Server::start(setup, site.root(), &[]);
        let (root, url) = (
            site.root().display().to_string(),
            format!("http://127.0.0.1:{}/", server.address.port()),
        );
        assert_ne!(server.address.port(), 0);
        assert!(
            [&*root, &url, &how].iter().all(|part| server.greeting.contains(part)),
            "{}",
            server.greeting
        );
    }
    let file = Server::start(any_setup(), site.path("page.html"), &[]);
    assert!(file.greeting.contains("page.html for every path"), "{}", file.greeting);
}

#[test]
fn the_first_line_of_a_json_log_is_json() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--log", "json"]);
        let line: serde_json::Value = serde_json::from_str(&server.greeting)
            .unwrap_or_else(|error| panic!("{error}: {}", server.greeting));
        assert_eq!(line["event"], "listening");
        assert_eq!(line["url"], format!("http://{}/", server.address));
        assert_eq!(line["serving"], site.root().display().to_string());
        assert_eq!(line["strategy"], setup.description());
    }
}

#[test]
fn the_first_line_escapes_the_name_of_the_root() {
    let site = Site::new();
    let name = "\x1b[2J\n\u{9b}\u{2028}\u{202e}";
    site.directory(name);
    for log in ["none", "json"] {
        let server = Server::start(any_setup(), site.path(name), &["--log", log]);
        let hidden = |char: char| char.is_control() || name.contains(char) && !char.is_ascii();
        assert!(!server.greeting.contains(hidden), "{:?}", server.greeting);
    }
}

/// Runs a server in `directory` without a ROOT.
fn server_in(directory: &Path, setup: &'static Setup) -> Server {
    let mut command = miniweb();
    command.args(setup.arguments).args(["--port", "0", "--log=none"]).current_dir(directory);
    Server::run(command)
}

#[test]
fn without_a_root_the_directory_html_is_served() {
    let site = Site::new();
    site.write("html/index.html", "the directory html");
    for setup in setups() {
        let server = server_in(&site.root(), setup);
        assert!(server.greeting.contains("html"), "{}", server.greeting);
        assert_eq!(server.get("/").body, b"the directory html");
        assert_eq!(server.get("/page.html").status, 404, "a file next to the root is not served");
    }
}

#[test]
fn without_a_root_and_a_directory_html_the_sample_site_is_served() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    for setup in setups() {
        let server = server_in(empty.path(), setup);
        assert!(server.greeting.contains("sample site"), "{}", server.greeting);
        let front = server.get("/");
        assert_eq!(
            (front.status, front.required("Content-Type")),
            (200, "text/html; charset=utf-8")
        );
        assert!(front.required("ETag").starts_with('"'), "its content never changes");
        let page = String::from_utf8(front.body).expect("a page is UTF-8");
        let links =
            page.split(['"', '\'']).filter(|link| link.ends_with(".css") || link.ends_with(".js"));
        let count = links
            .inspect(|link| assert_eq!(server.get(&format!("/{link}")).status, 200, "{link}"))
            .count();
        assert!(count > 0, "the front page has a style or a script");
        assert_eq!(server.get("/missing").status, 404);
        assert_eq!(server.get("/../Cargo.toml").status, 400);
        assert_eq!(server.get("/index.html/").status, 404);
    }
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        eprintln!("skipped: this machine has no IPv6");
    }
    has
}

#[test]
fn an_ipv6_address_is_served_in_brackets() {
    if !has_ipv6() {
        return;
    }
    let site = Site::new();
    for setup in setups() {
        for host in ["::1", "[::1]"] {
            let server = Server::start(setup, site.root(), &["--host", host]);
            let url = format!("http://[::1]:{}/", server.address.port());
            assert!(server.greeting.contains(&url), "{}", server.greeting);
            assert_eq!(server.get("/").status, 200);
        }
    }
}

#[test]
fn two_colons_listen_on_every_ipv4_and_ipv6_address() {
    if !has_ipv6() {
        return;
    }
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--host=::"]);
        let port = server.address.port();
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            let mut peer = Peer::connect(address.parse().expect("an address"));
            assert_eq!(peer.get("/").status, 200, "{setup:?} at {address}");
        }
    }
}

#[test]
fn connections_beyond_the_descriptor_limit_wait_and_are_all_served() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let serving = Server::command(setup, site.root(), &[]);
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n 72 && exec \"$0\" \"$@\""])
            .arg(serving.get_program())
            .args(serving.get_args());
        let server = Server::run(command);
        let send_request = |_| {
            let mut peer = server.connect();
            peer.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            peer
        };
        let peers: Vec<_> = (0..60).map(send_request).collect();
        // Each permit passes on when its connection closes, in any order.
        for mut peer in peers {
            assert_eq!(peer.response().status, 200, "{setup:?}");
        }
    }
}

#[test]
fn a_root_with_a_relative_path_is_served() {
    let site = Site::new();
    fs::create_dir(site.beside("here")).expect("a directory can be created");
    let mut command = miniweb();
    command
        .args([any_command(), "../site/docs/..", "--port=0", "--log=none"])
        .current_dir(site.beside("here"));
    assert_eq!(Server::run(command).get("/page.html").status, 200);
    let mut command = miniweb();
    command
        .args([any_command(), "../site/page.html", "--port=0", "--log=none"])
        .current_dir(site.beside("here"));
    assert_eq!(Server::run(command).get("/x").status, 200);
}

#[test]
fn a_root_whose_name_is_not_utf_8_is_served() {
    let site = Site::new();
    let root = site.beside("r").with_file_name(OsStr::from_bytes(b"r\xff"));
    fs::create_dir(&root).expect("a directory can be created");
    fs::write(root.join("page.html"), "not UTF-8").expect("a file can be written");
    for command in commands() {
        let mut server = miniweb();
        server.arg(command).arg(&root).args(["--port", "0", "--log", "none"]);
        assert_eq!(Server::run(server).get("/page.html").body, b"not UTF-8", "{command}");
    }
}
