//! The command line, the output, the signals: what a person or a script at a terminal has to do with.

mod support;

use std::fs;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use rustix::process::Signal;
use support::{End, Server, Setup, Site, any_setup, get, miniweb, setup_with, setups, wait_until};

/// Runs it with arguments that make it end by itself.
#[track_caller]
fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    let mut process = miniweb()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    // It is to end at once. If it serves instead, it must not be left behind.
    let give_up = std::time::Instant::now() + support::PATIENCE;
    while process.try_wait().expect("it is ours").is_none() {
        if std::time::Instant::now() > give_up {
            process.kill().expect("it is ours");
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    process.wait_with_output().expect("it is ours")
}

/// Holds arguments to be refused with `status` and one line on stderr that has all of `words` in it.
#[track_caller]
fn expect_failure(arguments: &[&str], status: i32, words: &[&str]) {
    let output = run(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    assert_eq!(told.lines().count(), 1, "{arguments:?}: {told}");
    for word in words {
        assert!(told.contains(word), "{arguments:?} does not name {word}: {told}");
    }
}

#[track_caller]
fn expect_print(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

const STRATEGIES: [&str; 3] = ["mio", "poll-list", "blocking"];

#[test]
fn help_names_every_strategy() {
    for arguments in [["--help"], ["-h"]] {
        let help = expect_print(&arguments);
        assert!(STRATEGIES.iter().all(|setup| help.contains(setup)), "{help}");
        assert!(help.contains("--version"), "{help}");
    }
}

#[test]
fn help_of_a_strategy_names_every_option() {
    let common = [
        "ROOT",
        "--host",
        "--port",
        "--max-connections",
        "--header-timeout",
        "--idle-timeout",
        "--write-timeout",
        "--shutdown-timeout",
        "--log",
        "--trace",
    ];
    let own = [&["--workers"][..], &["--pause"], &["--model", "--threads"]];
    for (setup, own) in STRATEGIES.iter().zip(own) {
        for flag in ["--help", "-h"] {
            let help = expect_print(&[setup, flag]);
            for option in common.iter().chain(own) {
                assert!(help.contains(option), "{setup} {flag} says nothing of {option}: {help}");
            }
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(expect_print(&["--version"]), format!("miniweb {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_into_a_closed_pipe_is_no_failure() {
    for arguments in [&["--help"][..], &["mio", "--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let process = miniweb()
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be run");
        let output = process.wait_with_output().expect("it is ours");
        assert_eq!(
            (output.status.code(), &*String::from_utf8_lossy(&output.stderr)),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_usage_error_is_one_line_that_names_it() {
    for (arguments, words) in [
        (&[][..], &["mio", "poll-list", "blocking"][..]),
        (&["no-such-setup"], &["no-such-setup"]),
        (&["--no-such-option"], &["--no-such-option"]),
        (&["mio", "--no-such-option"], &["--no-such-option"]),
        (&["mio", "--no-such-option=1"], &["--no-such-option"]),
        (&["mio", ".", "surplus"], &["surplus"]),
        (&["mio", "--port"], &["--port"]),
        (&["mio", "--port", "x"], &["port", "x"]),
        (&["mio", "--port="], &["port"]),
        (&["mio", "--port", "65536"], &["port", "65536"]),
        (&["mio", "--port", "-1"], &["port", "-1"]),
        (&["mio", "--port", "1", "--port", "2"], &["--port"]),
        (&["mio", "--workers", "0"], &["workers"]),
        (&["mio", "--workers", "100000000"], &["workers"]),
        (&["mio", "--pause", "1"], &["--pause"]),
        (&["mio", "--model", "thread"], &["--model"]),
        (&["mio", "--max-connections", "0"], &["max-connections"]),
        (&["mio", "--header-timeout", "0"], &["header-timeout"]),
        (&["mio", "--header-timeout", "-1"], &["header-timeout"]),
        (&["mio", "--idle-timeout", "nan"], &["idle-timeout"]),
        (&["mio", "--write-timeout", "inf"], &["write-timeout"]),
        (&["mio", "--shutdown-timeout", "1e300"], &["shutdown-timeout"]),
        (&["mio", "--header-timeout=soon"], &["header-timeout"]),
        (&["mio", "--log", "loud"], &["log", "none, short, common, json"]),
        (&["mio", "--host", ""], &["--host"]),
        (&["poll-list", "--workers", "1"], &["--workers"]),
        (&["poll-list", "--pause", "x"], &["pause"]),
        (&["blocking", "--model", "fiber"], &["model", "iterative, process, thread, pool"]),
        (&["blocking", "--threads", "4"], &["--threads", "pool"]),
        (&["blocking", "--model", "pool", "--threads", "0"], &["threads"]),
        (&["blocking", "--model", "pool", "--threads", "100000000"], &["threads"]),
    ] {
        expect_failure(arguments, 2, words);
    }
}

#[test]
fn a_wish_that_cannot_be_understood_is_a_usage_error_that_names_its_option() {
    let no_hash = format!("me:{}", "x".repeat(64));
    let long_hash = format!("me:{}", "0".repeat(65));
    for (option, values) in [
        ("--compress", &["", "gzip", "ON"][..]),
        (
            "--header",
            &[
                "",
                "no colon",
                ": x",
                "X Y: z",
                "X-A: a\r\nX-B: b",
                "X-A: a\nb",
                "/docs/**",
                "/[ X-A: b",
                // What the server says itself would stand there twice.
                "Content-Length: 3",
                "date: now",
                "Transfer-Encoding: chunked",
                // These have options of their own.
                "Cache-Control: no-store",
                "content-type: text/html",
            ],
        ),
        (
            "--cache-control",
            &["", " ", "/docs/**", "/docs/** ", "/[ no-store", "no-store\r\nX-A: b"],
        ),
        ("--auth", &["", "me", "me:", "me:secret", &no_hash, &long_hash]),
        (
            "--media-type",
            &[
                "",
                "glb",
                "glb=",
                "glb=model",
                "=a/b",
                "glb=/b",
                "glb=a/",
                "glb=a/b\r\nX-A: b",
                ".=a/b",
            ],
        ),
    ] {
        for value in values {
            expect_failure(&["mio", option, value, "--port", "0"], 2, &[option]);
        }
        expect_failure(&["mio", option], 2, &[option]);
    }
    for switch in ["--list", "--cors"] {
        expect_failure(&["mio", &format!("{switch}=yes")], 2, &[switch]);
    }
}

#[test]
fn a_fallback_that_is_not_there_is_named() {
    let site = Site::new();
    let root = site.root().display().to_string();
    site.write_beside("outside.html", "not beneath the root");
    site.link("out.html", "../outside.html");
    for setup in STRATEGIES {
        for file in
            ["no-such-page.html", "docs", "", "../outside.html", "out.html", "/no/such.html"]
        {
            expect_failure(
                &[setup, &root, "--port", "0", "--fallback", file],
                1,
                &["--fallback", file],
            );
        }
    }
}

#[test]
fn what_goes_with_a_folder_is_refused_beside_a_file() {
    let site = Site::new();
    let file = site.path("page.html").display().to_string();
    for setup in STRATEGIES {
        for option in [&["--list"][..], &["--fallback", "page.html"]] {
            let arguments = [&[setup, &file, "--port", "0"], option].concat();
            expect_failure(&arguments, 2, &[option[0], "folder", "file"]);
        }
    }
}

#[test]
fn a_fallback_that_would_not_be_served_by_its_name_is_none() {
    let site = Site::new();
    site.write(".hidden.html", "hidden");
    site.write(".drafts/page.html", "hidden");
    let root = site.root().display().to_string();
    for file in [".hidden.html", "/.hidden.html", ".drafts/page.html"] {
        expect_failure(
            &["mio", &root, "--port", "0", "--fallback", file],
            1,
            &["--fallback", file, "dot"],
        );
    }
}

#[test]
fn a_usage_error_leads_to_the_help_that_has_the_option() {
    for (arguments, help) in [
        (&["--prot"][..], "(see miniweb --help)"),
        (&["mio", "--prot"], "(see miniweb mio --help)"),
        (&["compare", "--prot"], "(see miniweb compare --help)"),
    ] {
        expect_failure(arguments, 2, &[help]);
    }
}

#[test]
fn a_switch_takes_no_value() {
    for arguments in [
        &["mio", "--trace=yes"][..],
        &["mio", "--trace=no", "."],
        &["--version=1"],
        &["--help=mio"],
    ] {
        expect_failure(
            arguments,
            2,
            &[arguments.iter().find_map(|word| word.split_once('=')).expect("one has").0],
        );
    }
}

#[test]
fn an_argument_that_is_no_text_is_a_usage_error_and_no_crash() {
    let output = run([b"mio".to_vec(), b"--port=\xff".to_vec()].map(std::ffi::OsString::from_vec));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
}

#[test]
fn a_root_that_cannot_be_served_is_named() {
    let site = Site::new();
    let missing = site.beside("no-such-folder").display().to_string();
    let fifo = site.beside("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a fifo");
    for setup in STRATEGIES {
        expect_failure(&[setup, &missing], 1, &[&missing]);
        expect_failure(&[setup, "/dev/null"], 1, &["/dev/null"]);
        expect_failure(&[setup, &fifo.display().to_string()], 1, &["fifo"]);
    }
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    // TEST-NET-1 (RFC 5737) is nobody's.
    expect_failure(&["mio", "--host", "192.0.2.1", "--port", "0"], 1, &["192.0.2.1"]);
    expect_failure(&["blocking", "--host=192.0.2.1"], 1, &["192.0.2.1:7890"]);
}

#[test]
fn a_port_in_use_is_named_whoever_uses_it() {
    let site = Site::new();
    let root = site.root().display().to_string();
    for first in setups() {
        let server = Server::start(first, site.root(), &[]);
        let port = server.address.port().to_string();
        for second in setups() {
            let arguments = [second.arguments, &[&root, "--port", &port]].concat();
            expect_failure(&arguments, 1, &[&port, "in use"]);
        }
        assert_eq!(server.get("/").status, 200, "{first:?} goes on");
    }
}

#[test]
fn a_value_follows_its_option_or_an_equals_sign() {
    let site = Site::new();
    let root = site.root().display().to_string();
    let ways = [
        &["mio", &root, "--host", "127.0.0.1", "--port", "0", "--log", "none", "--workers", "1"][..],
        &["mio", "--host=127.0.0.1", "--port=0", "--log=none", "--workers=1", &root],
        &["poll-list", "--pause=200", &root, "--port=0", "--idle-timeout=1.5"],
        &["blocking", "--model=pool", "--port", "0", &root, "--threads=2", "--max-connections=9"],
    ];
    for arguments in ways {
        let mut command = miniweb();
        command.args(arguments);
        assert_eq!(Server::run(command).get("/page.html").status, 200, "{arguments:?}");
    }
}

#[test]
fn a_root_may_look_like_an_option_behind_two_dashes() {
    let site = Site::new();
    site.write("--port=0/index.html", "an odd folder");
    let mut command = miniweb();
    command.args(["mio", "--port", "0", "--", "--port=0"]).current_dir(site.root());
    assert_eq!(Server::run(command).get("/").body, b"an odd folder");
}

#[test]
fn the_first_line_says_what_is_served_where_and_how() {
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

/// Runs a server of `setup` in `folder` without a ROOT.
fn server_in(folder: &Path, setup: &'static Setup) -> Server {
    let mut command = miniweb();
    command.args(setup.arguments).args(["--port", "0", "--log=none"]).current_dir(folder);
    Server::run(command)
}

#[test]
fn without_a_root_the_folder_html_is_served() {
    let site = Site::new();
    site.write("html/index.html", "the folder html");
    for setup in setups() {
        let server = server_in(&site.root(), setup);
        assert!(server.greeting.contains("html"), "{}", server.greeting);
        assert_eq!(server.get("/").body, b"the folder html");
        assert_eq!(server.get("/page.html").status, 404, "what stands beside it is not served");
    }
}

#[test]
fn without_a_root_and_a_folder_html_the_sample_site_is_served() {
    let empty = tempfile::tempdir().expect("a temporary folder");
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
fn two_colons_are_every_address_of_both_kinds() {
    if !has_ipv6() {
        return;
    }
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--host=::"]);
        let port = server.address.port();
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            let mut peer = support::Peer::connect(address.parse().expect("an address"));
            assert_eq!(peer.get("/").status, 200, "{setup:?} at {address}");
        }
    }
}

/// Options with which nothing ends for want of patience of the server.
const PATIENT: [&str; 8] = [
    "--idle-timeout=3600",
    "--header-timeout=3600",
    "--write-timeout=3600",
    "--shutdown-timeout=3600",
    "--max-connections=100",
    "--log=none",
    "--port=0",
    "--host=127.0.0.1",
];

fn patient(setup: &'static Setup, site: &Site) -> Server {
    let mut command = miniweb();
    command.args(setup.arguments).arg(site.root()).args(PATIENT);
    Server::run(command)
}

#[test]
fn a_signal_ends_the_server_and_closes_idle_connections() {
    let site = Site::new();
    for setup in setups() {
        for signal in [Signal::TERM, Signal::INT] {
            let mut server = patient(setup, &site);
            let mut idle = server.connect();
            assert_eq!(idle.get("/").status, 200);
            server.signal(signal);
            assert!(server.wait().success(), "{setup:?} {signal:?}");
            idle.expect_end();
        }
    }
}

#[test]
fn a_signal_ends_a_server_that_nobody_has_asked_anything() {
    let site = Site::new();
    for setup in setups() {
        let mut server = patient(setup, &site);
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        let mut server = patient(setup, &site);
        let _silent = server.connect();
        server.signal(Signal::INT);
        assert!(server.wait().success(), "{setup:?} with a connection that says nothing");
    }
}

/// More than the sockets hold, so that its answer is under way until it is read.
const HUGE: u64 = 64 << 20;

#[test]
fn a_signal_lets_an_answer_under_way_be_finished() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let mut server = patient(setup, &site);
        let mut reading = server.connect();
        reading.send(get("/huge.bin"));
        assert_eq!(reading.response_to_head().content_length(), HUGE);
        server.signal(Signal::TERM);
        wait_until_it_accepts_no_more(&server);
        assert!(!server.has_ended(), "{setup:?} has ended before it was read");
        let (body, end) = reading.rest();
        assert_eq!((body.len() as u64, end), (HUGE, End::Clean), "{setup:?}");
        assert!(server.wait().success(), "{setup:?}");
    }
}

#[track_caller]
fn wait_until_it_accepts_no_more(server: &Server) {
    wait_until("the door is closed", || TcpStream::connect(server.address).is_err().then_some(()));
}

#[test]
fn a_stop_waits_no_longer_than_it_is_told() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let mut server = Server::start(
            setup,
            site.root(),
            &["--shutdown-timeout", "0.3", "--write-timeout=3600"],
        );
        let mut paused = server.connect();
        paused.send(get("/huge.bin"));
        paused.response_to_head();
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        wait_until("all its processes are gone", || server.processes().is_empty().then_some(()));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let mut server = patient(setup, &site);
            let mut paused = server.connect();
            paused.send(get("/huge.bin"));
            paused.response_to_head();
            server.signal(Signal::TERM);
            wait_until_it_accepts_no_more(&server);
            assert!(!server.has_ended(), "{setup:?} waits for what is under way");
            server.signal(signal);
            assert_eq!(shell_status(server.wait()), status, "{setup:?}");
        }
    }
}

/// As `$?` says it.
fn shell_status(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .expect("it ended in one of two ways")
}

#[test]
fn a_second_signal_leaves_no_child_behind() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    let mut server = patient(setup_with(|setup| setup.forks), &site);
    let mut paused = server.connect();
    paused.send(get("/huge.bin"));
    paused.response_to_head();
    server.signal(Signal::TERM);
    wait_until_it_accepts_no_more(&server);
    server.signal(Signal::TERM);
    server.wait();
    wait_until("its child is gone", || server.processes().is_empty().then_some(()));
}

#[test]
fn a_server_that_is_killed_leaves_no_child_behind() {
    let site = Site::new();
    let mut server = patient(setup_with(|setup| setup.forks), &site);
    let mut idle = server.connect();
    assert_eq!(idle.get("/").status, 200);
    assert_eq!(server.processes().len(), 2);
    server.signal(Signal::KILL);
    server.wait();
    idle.expect_end();
    wait_until("its child is gone", || server.processes().is_empty().then_some(()));
}

#[test]
fn connections_beyond_the_descriptors_wait_and_nobody_is_turned_away() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.serves_concurrently()) {
        let serving = Server::command(setup, site.root(), &[]);
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n 72 && exec \"$0\" \"$@\""])
            .arg(serving.get_program())
            .args(serving.get_args());
        let server = Server::run(command);
        let ask = |_| {
            let mut peer = server.connect();
            peer.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            peer
        };
        let peers: Vec<_> = (0..60).map(ask).collect();
        // Each place is given on when its owner leaves, in whatever order they got it.
        for mut peer in peers {
            assert_eq!(peer.response().status, 200, "{setup:?}");
        }
    }
}

/// Starts a server with an access log.
fn logging(setup: &'static Setup, site: &Site, format: &str) -> Server {
    Server::start(setup, site.root(), &["--log", format])
}

#[test]
fn a_log_of_none_is_nothing() {
    let site = Site::new();
    let mut server = logging(any_setup(), &site, "none");
    assert_eq!(server.get("/").status, 200);
    server.signal(Signal::TERM);
    server.wait();
    assert_eq!(server.output.rest(), [""; 0]);
}

#[test]
fn a_common_log_has_the_common_format() {
    let site = Site::new();
    for setup in setups() {
        let server = logging(setup, &site, "common");
        server.get("/page.html?x");
        let line = server.output.next().expect("a line");
        let (date, rest) = line
            .strip_prefix("127.0.0.1 - - [")
            .and_then(|rest| rest.split_once("] "))
            .unwrap_or_else(|| panic!("{setup:?}: {line}"));
        assert_eq!(rest, "\"GET /page.html?x HTTP/1.1\" 200 35", "{setup:?}");
        // 10/Oct/2000:13:55:36 +0000
        let shape: String =
            date.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
        assert!(
            shape.starts_with("00/")
                && shape.ends_with("/0000:00:00:00 +0000")
                && shape.len() == 26,
            "{date}"
        );
    }
}

#[test]
fn without_a_terminal_the_log_is_the_common_one() {
    let site = Site::new();
    let mut command = miniweb();
    command.args(["mio", "--port", "0"]).arg(site.root());
    let server = Server::run(command);
    server.get("/missing");
    let line = server.output.next().expect("a line");
    assert!(
        line.starts_with("127.0.0.1 - - [") && line.contains("\"GET /missing HTTP/1.1\" 404 "),
        "{line}"
    );
}

#[test]
fn a_short_log_is_for_a_person() {
    let site = Site::new();
    let server = logging(any_setup(), &site, "short");
    server.get("/page.html");
    let line = server.output.next().expect("a line");
    assert!(
        ["200", "GET /page.html", "35 B", "ms"].iter().all(|part| line.contains(part)),
        "{line}"
    );
    server.ask("GET /missing HTTP/1.1\r\nHost: h\r\n\r\n");
    let line = server.output.next().expect("a line");
    assert!(["404", "GET /missing"].iter().all(|part| line.contains(part)), "{line}");
}

#[test]
fn a_json_log_has_an_object_a_line() {
    let site = Site::new();
    for setup in setups() {
        let server = logging(setup, &site, "json");
        server.ask("GET /page.html HTTP/1.1\r\nHost: h\r\nUser-Agent: a \"b\" \\ \t\r\nReferer: /x\r\n\r\n");
        let line = server.output.next().expect("a line");
        let object: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(object["status"], 200);
        assert_eq!(object["request"], "GET /page.html HTTP/1.1");
        assert_eq!((&object["body_bytes"], &object["complete"]), (&35.into(), &true.into()));
        assert_eq!(
            (&object["user_agent"], &object["referer"]),
            (&"a \"b\" \\".into(), &"/x".into())
        );
        assert_eq!(object["peer"], "127.0.0.1");
        assert!(object["time"].is_u64() && object["duration_us"].is_u64(), "{line}");
    }
}

#[test]
fn whatever_a_client_sends_is_one_line_of_the_log() {
    let site = Site::new();
    let nasty: [&[u8]; 5] = [
        b"GET /\"quoted\"\\ HTTP/1.1\r\nHost: h\r\nUser-Agent: \xff\xfe \"\\\r\n\r\n",
        b"GET /\x1b[31mred\x07 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /\xff\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n",
        b"\x16\x03\x01\x00\x00 \n\r\n",
        b"GET /\r127.0.0.1 - - forged HTTP/1.1\r\n\r\n",
    ];
    for format in ["short", "common", "json"] {
        let mut server = logging(any_setup(), &site, format);
        nasty.iter().for_each(|request| drop(server.ask(request)));
        server.signal(Signal::TERM);
        server.wait();
        let lines = server.output.rest();
        assert_eq!(lines.len(), nasty.len(), "{format}: {lines:#?}");
        for line in &lines {
            if format == "json" {
                serde_json::from_str::<serde_json::Value>(line)
                    .unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(!line.contains(char::is_control), "{line:?}");
            } else {
                assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
            }
            assert_eq!(line.matches("\" ").count(), usize::from(format == "common"), "{line}");
        }
    }
}

#[test]
fn every_answer_is_logged_once_under_every_strategy() {
    let site = Site::new();
    for setup in setups() {
        let mut server = logging(setup, &site, "common");
        for n in 0..20 {
            let mut peer = server.connect();
            peer.send(get(&format!("/{n}?a")) + &get(&format!("/{n}?b")));
            assert_eq!((peer.response().status, peer.response().status), (404, 404));
        }
        server.signal(Signal::TERM);
        assert!(server.wait().success());
        let lines = server.output.rest();
        assert_eq!(lines.len(), 40, "{setup:?}: {lines:#?}");
        for request in (0..20).flat_map(|n| [format!("GET /{n}?a "), format!("GET /{n}?b ")]) {
            assert_eq!(
                lines.iter().filter(|line| line.contains(&request)).count(),
                1,
                "{setup:?}: {request}"
            );
        }
    }
}

#[test]
fn an_answer_that_is_cut_short_is_logged_as_that() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let server = logging(setup, &site, "json");
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        peer.response_to_head();
        peer.reset();
        let line = server.output.next().expect("a line");
        let object: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let bytes = object["body_bytes"].as_u64().expect("a number");
        assert!(object["complete"] == false && bytes < HUGE, "{setup:?}: {line}");
    }
}

#[test]
fn an_answer_that_a_stop_cuts_short_is_logged_as_that() {
    let site = Site::new();
    site.sparse("huge.bin", HUGE);
    for setup in setups() {
        let mut server =
            Server::start(setup, site.root(), &["--log", "json", "--shutdown-timeout", "0.3"]);
        let mut peer = server.connect();
        peer.send(get("/huge.bin"));
        peer.response_to_head();
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        let lines = server.output.rest();
        assert!(
            lines.len() == 1 && lines[0].contains("\"complete\":false"),
            "{setup:?}: {lines:?}"
        );
    }
}

#[test]
fn nobody_reading_the_log_is_no_reason_to_stop() {
    let site = Site::new();
    for setup in setups() {
        let mut server = logging(setup, &site, "common");
        server.close_output();
        for _ in 0..5 {
            assert_eq!(server.get("/").status, 200, "{setup:?}");
        }
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
    }
}

#[test]
fn a_trace_tells_each_step_and_why_a_connection_ends() {
    let site = Site::new();
    for setup in setups() {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let request = "GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let mut peer = server.connect();
        peer.ask(request);
        peer.expect_end();
        drop(peer);
        let told = server.errors.until(|line| line.contains("close")).join("\n");
        let steps =
            ["accept", &format!("recv {} bytes", request.len()), "send ", " bytes", "close: "];
        let mut rest = &*told;
        for step in steps {
            // In this order.
            rest = rest
                .split_once(step)
                .unwrap_or_else(|| panic!("{setup:?} has no {step:?}: {told}"))
                .1;
        }
        assert!(!rest.trim().is_empty(), "{setup:?} gives no reason: {told}");
    }
}

#[test]
fn a_trace_tells_how_a_strategy_waits() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.strategy.is_event_loop) {
        let wait = setup.strategy.waits_with[0].name();
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peer = server.connect();
        assert_eq!(peer.get("/").status, 200);
        server.errors.until(|line| line.contains(wait));
    }
}

#[test]
fn a_trace_of_a_loop_that_does_not_block_tells_what_would_have() {
    let site = Site::new();
    for setup in setups().filter(|setup| setup.strategy.is_event_loop) {
        let server = Server::start(setup, site.root(), &["--trace"]);
        let mut peer = server.connect();
        // Each connection is looked at as soon as it is accepted; this one has nothing to say yet.
        server.errors.until(|line| line.contains("recv: would block"));
        assert_eq!(peer.get("/").status, 200);
    }
}

#[test]
fn a_restart_with_a_fixed_port_is_possible_at_once_under_every_strategy() {
    let site = Site::new();
    for setup in setups() {
        let mut server = Server::start(setup, site.root(), &[]);
        let port = server.address.port().to_string();
        // The remains of this connection stay on the server's side.
        let mut peer = server.connect();
        assert_eq!(peer.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
        peer.expect_end();
        for next in setups() {
            server.signal(Signal::TERM);
            assert!(server.wait().success());
            server = Server::start(next, site.root(), &["--port", &port]);
            assert_eq!(server.get("/").status, 200, "{next:?} after {setup:?}");
        }
    }
}

#[test]
fn a_file_in_a_folder_that_is_given_by_a_relative_name_is_served() {
    let site = Site::new();
    fs::create_dir(site.beside("here")).expect("a folder can be made");
    let mut command = miniweb();
    command
        .args(["mio", "../site/docs/..", "--port=0", "--log=none"])
        .current_dir(site.beside("here"));
    assert_eq!(Server::run(command).get("/page.html").status, 200);
    let mut command = miniweb();
    command
        .args(["mio", "../site/page.html", "--port=0", "--log=none"])
        .current_dir(site.beside("here"));
    assert_eq!(Server::run(command).get("/x").status, 200);
}
