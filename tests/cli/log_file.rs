//! The access log in a file, and its rotation.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Signal, geteuid};

use crate::support::{Peer, Server, Setup, Site, any_setup, get, setups, wait_until};

/// Starts a server whose log is the file `path`.
#[track_caller]
fn logging_to(setup: &'static Setup, site: &Site, path: &Path, options: &[&str]) -> Server {
    let path = path.to_str().expect("a UTF-8 path");
    let options = [&["--log", "json", "--log-file", path], options].concat();
    Server::start(setup, site.root(), &options)
}

/// The requests that a file has a line for; none if there is no file.
fn requests_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    let request = |line: &str| {
        let object: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        object["request"].as_str().expect("a request is a string").to_owned()
    };
    text.lines().map(request).collect()
}

#[track_caller]
fn wait_for_request(path: &Path, request: &str) {
    wait_until(&format!("{request} in {}", path.display()), || {
        let is_logged = requests_in(path).iter().any(|line| line.contains(request));
        is_logged.then_some(())
    });
}

/// Renames the file, has the server open it again, and waits until it has.
fn rotate(server: &Server, path: &Path, rotated: &Path) {
    fs::rename(path, rotated).expect("the file exists");
    server.signal(Signal::HUP);
    wait_until("a new log file", || path.exists().then_some(()));
}

#[test]
fn a_log_file_has_the_lines_and_stdout_has_the_first() {
    let site = Site::new();
    for (number, setup) in setups().enumerate() {
        let path = site.beside(&format!("access-{number}.log"));
        for start in ["/first", "/second"] {
            let mut server = logging_to(setup, &site, &path, &[]);
            assert!(server.greeting.contains("\"event\":\"listening\""), "{}", server.greeting);
            assert_eq!(server.get(start).status, 404);
            wait_for_request(&path, start);
            server.signal(Signal::TERM);
            assert!(server.wait().success(), "{setup:?}");
            assert_eq!(server.output.rest(), [""; 0], "{setup:?}");
        }
        let requests = requests_in(&path);
        assert_eq!(requests, ["GET /first HTTP/1.1", "GET /second HTTP/1.1"], "{setup:?}");
        let mode = fs::metadata(&path).expect("the file exists").mode() & 0o777;
        assert_eq!(mode & !0o640, 0, "{mode:o}");
    }
}

#[test]
fn rotation_under_load_loses_no_line_and_splits_none() {
    const CLIENTS: usize = 4;
    const ROTATIONS: usize = 5;
    let site = Site::new();
    for (number, setup) in setups().enumerate() {
        let directory = site.beside(&format!("logs-{number}"));
        fs::create_dir(&directory).expect("it is new");
        let path = directory.join("access.log");
        let mut server = logging_to(setup, &site, &path, &[]);
        let (address, is_over) = (server.address, &AtomicBool::new(false));
        let clients = CLIENTS.min(setup.concurrency);
        let sent: usize = std::thread::scope(|scope| {
            let load = |client| {
                move || {
                    let mut peer = Peer::connect(address);
                    let mut sent = 0;
                    while !is_over.load(Ordering::Acquire) {
                        let target = format!("/{client}/{sent}/{}", "x".repeat(500));
                        assert_eq!(peer.ask(get(&target)).status, 404);
                        sent += 1;
                    }
                    sent
                }
            };
            let threads: Vec<_> = (0..clients).map(|client| scope.spawn(load(client))).collect();
            for rotation in 0..ROTATIONS {
                rotate(&server, &path, &directory.join(format!("access.log.{rotation}")));
                wait_until("a line in the new file", || {
                    fs::metadata(&path).is_ok_and(|file| file.len() > 0).then_some(())
                });
            }
            is_over.store(true, Ordering::Release);
            threads.into_iter().map(|thread| thread.join().expect("the client is served")).sum()
        });
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        let files: Vec<PathBuf> = fs::read_dir(&directory)
            .expect("it exists")
            .map(|entry| entry.expect("it is readable").path())
            .collect();
        assert_eq!(files.len(), ROTATIONS + 1, "{setup:?}");
        let mut requests: Vec<String> = files.iter().flat_map(|file| requests_in(file)).collect();
        assert_eq!(requests.len(), sent, "{setup:?}");
        requests.sort();
        requests.dedup();
        assert_eq!(requests.len(), sent, "{setup:?}");
    }
}

#[test]
fn an_idle_server_opens_its_log_file_again_at_once() {
    let site = Site::new();
    let path = site.beside("access.log");
    let server = logging_to(any_setup(), &site, &path, &[]);
    for rotation in ["access.log.1", "access.log.2"] {
        rotate(&server, &path, &site.beside(rotation));
        assert_eq!(requests_in(&path), [""; 0]);
    }
    assert_eq!(server.get("/after").status, 404);
    wait_for_request(&path, "/after");
}

#[test]
fn a_log_file_that_cannot_be_opened_again_stays_open_with_one_warning() {
    let site = Site::new();
    for (number, setup) in setups().enumerate() {
        let path = site.beside(&format!("access-{number}.log"));
        let rotated = path.with_extension("1");
        let mut server = logging_to(setup, &site, &path, &[]);
        server.may_print_errors = true;
        fs::rename(&path, &rotated).expect("the file exists");
        fs::create_dir(&path).expect("the file has gone");
        for target in ["/once", "/twice"] {
            server.signal(Signal::HUP);
            assert_eq!(server.get(target).status, 404);
            wait_for_request(&rotated, target);
        }
        fs::remove_dir(&path).expect("it is empty");
        server.signal(Signal::HUP);
        wait_until("a new log file", || path.exists().then_some(()));
        assert_eq!(server.get("/again").status, 404);
        wait_for_request(&path, "/again");
        server.signal(Signal::TERM);
        assert!(server.wait().success(), "{setup:?}");
        let warning = format!(
            "warning: --log-file {}: it is a folder; keeping the file that is open",
            path.display()
        );
        assert_eq!(server.errors.rest(), [warning], "{setup:?}");
    }
}

#[test]
fn a_log_file_that_cannot_be_used_is_an_error_of_one_line() {
    let site = Site::new();
    let fifo = site.beside("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).expect("the name is free");
    for (path, status, error) in [
        (site.beside("missing/access.log"), 1, "no such file or folder"),
        (site.beside(""), 1, "it is a folder"),
        (fifo, 1, "not a regular file"),
        (PathBuf::from("/dev/null"), 1, "not a regular file"),
        (site.path("access.log"), 1, "expected a file that is not served, outside ROOT"),
        (site.path("docs/../page.html"), 1, "expected a file that is not served, outside ROOT"),
    ] {
        let text = path.to_str().expect("a UTF-8 path");
        let command =
            Server::command(any_setup(), site.root(), &["--log", "common", "--log-file", text])
                .output();
        let output = command.expect("the binary exists");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(
            stderr.starts_with("error: ") && stderr.lines().count() == 1 && stderr.contains(error),
            "{text}: {stderr}"
        );
    }
    let output = Server::command(any_setup(), site.root(), &["--log-file", "x"]).output();
    assert_eq!(output.expect("the binary exists").status.code(), Some(2), "with --log none");
}

/// Otherwise clients could read the log.
#[test]
fn a_log_file_that_would_be_served_is_refused_wherever_its_path_leads() {
    let site = Site::new();
    for (name, target) in [("dangling.log", "site/new.log"), ("twice.log", "dangling.log")] {
        symlink(target, site.beside(name)).expect("the name is free");
    }
    symlink("site/docs", site.beside("docs")).expect("the name is free");
    for path in [
        site.beside("dangling.log"),
        site.beside("twice.log"),
        site.beside("docs/new.log"),
        site.path("%2enew.log"),
        site.path("%"),
        site.path("docs/../new.log"),
    ] {
        for option in ["--log-file", "--auth-file"] {
            let text = path.to_str().expect("a UTF-8 path");
            let options = [&["--log", "common"][..], &[option, text]].concat();
            let output = Server::command(any_setup(), site.root(), &options).output();
            let output = output.expect("the binary exists");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            let expected = "expected a file that is not served, outside ROOT";
            assert!(stderr.lines().count() == 1 && stderr.contains(expected), "{text}: {stderr}");
        }
    }
    for name in ["new.log", "docs/new.log", "%2enew.log", "%"] {
        assert!(!site.path(name).exists(), "{name} was created");
    }
}

/// The sidecars of a root that is a file are served, too.
#[test]
fn a_sidecar_of_the_root_file_is_refused() {
    let site = Site::new();
    for coding in ["br", "zst", "gz"] {
        for option in ["--log-file", "--auth-file"] {
            let path = site.write_beside(&format!("page.html.{coding}"), "");
            let root = site.write_beside("page.html", "page");
            let text = path.to_str().expect("a UTF-8 path");
            let options = ["--log", "common", option, text];
            let output = Server::command(any_setup(), &root, &options).output();
            let output = output.expect("the binary exists");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(stderr.contains("expected a file that is not served"), "{text}: {stderr}");
        }
    }
}

/// While nothing has the path of the root, the open directory is still served.
#[test]
fn a_log_file_in_a_root_that_was_renamed_is_not_reopened() {
    let site = Site::new();
    let path = site.beside("access.log");
    let mut server = logging_to(any_setup(), &site, &path, &[]);
    server.may_print_errors = true;
    fs::rename(site.root(), site.beside("renamed")).expect("it is ours");
    let rotated = path.with_extension("1");
    fs::rename(&path, &rotated).expect("the file exists");
    symlink("renamed/page.html", &path).expect("the name is free");
    server.signal(Signal::HUP);
    assert_eq!(server.get("/after").status, 404);
    wait_for_request(&rotated, "/after");
    assert!(server.get("/page.html").status == 200);
    let warning = server.errors.next().expect("a warning");
    assert!(warning.ends_with("keeping the file that is open"), "{warning}");
}

#[test]
fn a_log_file_may_be_a_link_to_one_that_a_rotation_has_renamed() {
    let site = Site::new();
    fs::create_dir(site.beside("logs")).expect("it is new");
    let (path, target) = (site.beside("access.log"), site.beside("logs/access.log"));
    symlink("logs/access.log", &path).expect("the name is free");
    let server = logging_to(any_setup(), &site, &path, &[]);
    rotate(&server, &target, &site.beside("logs/access.log.1"));
    assert_eq!(server.get("/after").status, 404);
    wait_for_request(&target, "/after");
    // A hidden name is not served.
    let _server = logging_to(any_setup(), &site, &site.path(".access.log"), &[]);
}

/// The path leads into ROOT only after the start. The server may write there: ROOT is beneath the
/// directory of the log and belongs to the user.
#[test]
fn a_log_file_whose_path_leads_into_the_site_is_not_reopened() {
    let site = Site::new();
    let is_root = geteuid().is_root();
    if is_root {
        run("chown", &["-R", "nobody"], &site.beside(""));
    }
    let privileges: &[&[&str]] = match is_root {
        true => &[&[], &["--confine"], &["--user", "nobody"], &["--confine", "--user", "nobody"]],
        false => &[&[], &["--confine"]],
    };
    for (number, setup) in setups().enumerate() {
        for (kind, privileges) in privileges.iter().enumerate() {
            let path = site.beside(&format!("access-{number}-{kind}.log"));
            let mut server = logging_to(setup, &site, &path, privileges);
            server.may_print_errors = true;
            let rotated = path.with_extension("1");
            fs::rename(&path, &rotated).expect("the file exists");
            // One that exists, and one that would have to be created.
            for target in ["page.html", "new.log"] {
                symlink(site.path(target), &path).expect("the name is free");
                server.signal(Signal::HUP);
                assert_eq!(server.get(&format!("/{target}/x")).status, 404);
                wait_for_request(&rotated, target);
                fs::remove_file(&path).expect("it is a link");
            }
            assert!(!site.path("new.log").exists());
            let page = fs::read_to_string(site.path("page.html")).expect("it exists");
            assert!(!page.contains("GET"), "{page}");
            server.signal(Signal::TERM);
            assert!(server.wait().success(), "{setup:?}");
            let warnings = server.errors.rest();
            let [warning] = &warnings[..] else { panic!("{setup:?}: {warnings:?}") };
            let expected = "expected a file that is not served, outside ROOT; \
                            keeping the file that is open";
            assert!(warning.ends_with(expected), "{privileges:?}: {warning}");
        }
    }
}

/// What the server may do after it has dropped its privileges suffices for a rotation.
#[test]
fn a_server_without_privileges_opens_its_log_file_again() {
    let site = Site::new();
    let is_root = geteuid().is_root();
    let privileges = if is_root { &["--confine", "--user", "nobody"][..] } else { &["--confine"] };
    make_readable(&site);
    for (number, setup) in setups().enumerate() {
        let directory = site.beside(&format!("logs-{number}"));
        fs::create_dir(&directory).expect("it is new");
        let path = directory.join("access.log");
        if is_root {
            run("chmod", &["a+rx"], &directory);
        }
        // Root creates the first file in its own directory.
        let server = logging_to(setup, &site, &path, privileges);
        assert_eq!(server.get("/first").status, 404);
        wait_for_request(&path, "/first");
        // As logrotate does it by default ("create"), and then in a directory of the user.
        if is_root {
            fs::rename(&path, path.with_extension("1")).expect("the file exists");
            fs::write(&path, "").expect("the test owns the directory");
            run("chown", &["nobody"], &path);
            server.signal(Signal::HUP);
            // Until it has opened the new file, it logs to the old one.
            wait_until("a request in the new file", || {
                assert_eq!(server.get("/second").status, 404);
                (!requests_in(&path).is_empty()).then_some(())
            });
            run("chown", &["nobody"], &directory);
        }
        rotate(&server, &path, &path.with_extension("2"));
        assert_eq!(server.get("/third").status, 404);
        wait_for_request(&path, "/third");
    }
}

/// The user may own the directory, and could put a link to any file there.
#[test]
fn root_opens_no_file_that_the_user_may_not_write() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can change its user");
        return;
    }
    let site = Site::new();
    make_readable(&site);
    let (secret, path) = (site.write_beside("secret", "text"), site.beside("access.log"));
    symlink(&secret, &path).expect("the name is free");
    let text = path.to_str().expect("a UTF-8 path");
    let options = ["--log", "common", "--user", "nobody", "--log-file", text];
    let output = Server::command(any_setup(), site.root(), &options).output();
    let output = output.expect("the binary exists");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("error: --user nobody: --log-file {text}: permission denied\n")
    );
    assert_eq!(fs::read(&secret).expect("it exists"), b"text");
    assert_eq!(fs::metadata(&secret).expect("it exists").uid(), 0);
}

/// The user "nobody" must be able to read the site.
fn make_readable(site: &Site) {
    run("chmod", &["-R", "a+rX"], &site.beside(""));
}

fn run(program: &str, arguments: &[&str], path: &Path) {
    let status = std::process::Command::new(program).args(arguments).arg(path).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {}", path.display());
}
