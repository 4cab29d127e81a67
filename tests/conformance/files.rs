//! The content of a file: complete, and current after every kind of change on the disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::case::{Case, cases};
use crate::support::{Admin, Peer, Server, Setup, Site, get, is_encrypted, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    // The other strategies call setsockopt to wait.
    let in_a_loop = cases![if |setup| setup.event_loops > 0 && !is_encrypted(setup);
        a_long_response_is_corked_until_its_end];
    let everywhere = cases![
        content_of_any_size_is_sent_unchanged,
        a_file_of_20_mib_is_sent_unchanged,
        content_length_exceeds_4_gib,
        an_overwritten_file_is_reloaded,
        a_replaced_file_is_reloaded,
        a_replaced_file_of_equal_size_and_mtime_is_reloaded,
        a_file_that_grows_and_shrinks_is_reloaded,
        created_and_deleted_files_become_visible,
        a_directory_that_replaces_a_file_becomes_visible,
        a_file_replaced_during_a_transfer_is_sent_to_its_end,
        a_file_deleted_during_a_transfer_is_sent_to_its_end,
        a_file_that_grows_during_a_transfer_is_sent_up_to_its_content_length,
        a_file_that_shrinks_during_a_transfer_closes_the_connection,
        a_change_of_permissions_takes_effect,
        a_truncated_file_does_not_hang_a_connection,
        files_with_extreme_mtimes_are_served,
        a_root_that_is_a_file_is_served_under_its_own_name,
        a_directory_that_replaces_the_root_file_is_not_found,
        a_large_file_is_closed_soon_after_its_last_response,
    ];
    [everywhere, in_a_loop].concat()
}

fn content_of_any_size_is_sent_unchanged(setup: &'static Setup) {
    let site = Site::new();
    let around = |size: usize| [size - 1, size, size + 1];
    let sizes = [
        [0, 1, 2],
        around(4096),
        around(16 << 10),
        around(64 << 10),
        around(128 << 10),
        around(1 << 20),
    ]
    .concat();
    for size in &sizes {
        site.write(size.to_string(), patterned(*size));
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // Twice: the first response is read from the disk, the second may come from the cache.
    for size in sizes.iter().chain(&sizes) {
        assert!(peer.get(&format!("/{size}")).body == patterned(*size), "{size} bytes differ");
    }
}

fn a_file_of_20_mib_is_sent_unchanged(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned((20 << 20) + 7);
    site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get("/large.bin") + &get("/page.html"));
    assert!(peer.response().body == content);
    assert_eq!(
        peer.response().content_length(),
        35,
        "the next response starts where the file ends"
    );
}

fn content_length_exceeds_4_gib(setup: &'static Setup) {
    let site = Site::new();
    let size = (5 << 30) + 3;
    site.sparse("huge.bin", size);
    let server = Server::start(setup, site.root(), &[]);
    let response = server.ask(get("/huge.bin").replace("GET", "HEAD"));
    assert_eq!((response.status, response.content_length()), (200, size));
}

/// Repeats the request until the response has the new content. Until then it must have the old one.
#[track_caller]
fn expect_change(peer: &mut Peer, path: &str, old: &[u8], new: &[u8]) {
    wait_until("the change becomes visible", || {
        let response = peer.get(path);
        let is_new = response.status == 200 && response.body == new;
        assert!(
            is_new || response.body == old,
            "neither the old nor the new content: {response:?}"
        );
        is_new.then_some(())
    });
    assert!(peer.get(path).body == new, "the new content stays visible");
}

fn an_overwritten_file_is_reloaded(setup: &'static Setup) {
    let site = Site::new();
    site.write("page.html", "before");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").body, b"before");
    // One write(2), so that the file never has a state in between.
    let file =
        fs::File::options().write(true).open(site.path("page.html")).expect("the file exists");
    (&file).write_all(b"after!").expect("the test owns the file");
    expect_change(&mut peer, "/page.html", b"before", b"after!");
}

fn a_replaced_file_is_reloaded(setup: &'static Setup) {
    let site = Site::new();
    site.write("page.html", "before");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let mut old = "before".to_owned();
    for version in 0..2 {
        assert_eq!(peer.get("/page.html").body, old.as_bytes());
        let new = format!("version {version} is longer");
        fs::rename(site.write("new", &new), site.path("page.html"))
            .expect("the test owns the file");
        expect_change(&mut peer, "/page.html", old.as_bytes(), new.as_bytes());
        old = new;
    }
}

fn a_replaced_file_of_equal_size_and_mtime_is_reloaded(setup: &'static Setup) {
    let site = Site::new();
    let time = SystemTime::now() - Duration::from_secs(3600);
    let write = |content: &str| {
        let file = fs::File::create(site.path("new")).expect("a file can be created");
        (&file).write_all(content.as_bytes()).expect("the test owns the file");
        file.set_modified(time).expect("the test owns the file");
        fs::rename(site.path("new"), site.path("page.html")).expect("the test owns the file");
    };
    write("before");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").body, b"before");
    write("after!");
    expect_change(&mut peer, "/page.html", b"before", b"after!");
}

fn a_file_that_grows_and_shrinks_is_reloaded(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // Sizes on both sides of the cache's limit, so that the source changes between memory and disk.
    let contents =
        [patterned(100), patterned(500_000), patterned(60_000), Vec::new(), patterned(7)];
    fs::rename(site.write("new", &contents[0]), site.path("page.html"))
        .expect("the test owns the file");
    assert!(peer.get("/page.html").body == contents[0]);
    for change in contents.windows(2) {
        fs::rename(site.write("new", &change[1]), site.path("page.html"))
            .expect("the test owns the file");
        expect_change(&mut peer, "/page.html", &change[0], &change[1]);
    }
}

fn created_and_deleted_files_become_visible(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let mut expect = |path: &str, status: u16| {
        wait_until("the change becomes visible", || {
            (peer.get(path).status == status).then_some(())
        });
    };
    expect("/new.html", 404);
    expect("/new/", 404);
    site.write("new.html", "new");
    site.write("new/index.html", "new");
    expect("/new.html", 200);
    expect("/new/", 200);
    fs::remove_file(site.path("new.html")).expect("the test owns the file");
    fs::remove_dir_all(site.path("new")).expect("the test owns the file");
    expect("/new.html", 404);
    expect("/new/", 404);
}

fn a_directory_that_replaces_a_file_becomes_visible(setup: &'static Setup) {
    let site = Site::new();
    site.write("thing", "a file");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/thing").status, 200);
    fs::remove_file(site.path("thing")).expect("the test owns the file");
    site.write("thing/index.html", "a directory");
    wait_until("the directory becomes visible", || {
        (peer.get("/thing").status == 301).then_some(())
    });
    wait_until("its index page becomes visible", || {
        (peer.get("/thing/").status == 200).then_some(())
    });
    fs::remove_dir_all(site.path("thing")).expect("the test owns the file");
    site.write("thing", "a file");
    wait_until("the file becomes visible", || (peer.get("/thing").status == 200).then_some(()));
}

fn a_file_replaced_during_a_transfer_is_sent_to_its_end(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(30 << 20);
    site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get("/large.bin"));
    peer.await_response();
    fs::rename(site.write("new", vec![0; 30 << 20]), site.path("large.bin"))
        .expect("the test owns the file");
    assert!(peer.response().body == content);
}

fn a_file_deleted_during_a_transfer_is_sent_to_its_end(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(12 << 20);
    site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get("/large.bin"));
    peer.await_response();
    fs::remove_file(site.path("large.bin")).expect("the test owns the file");
    assert!(peer.response().body == content);
    wait_until("the deletion becomes visible", || {
        (peer.get("/large.bin").status == 404).then_some(())
    });
}

fn a_file_that_grows_during_a_transfer_is_sent_up_to_its_content_length(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(12 << 20);
    let path = site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.send(get("/large.bin") + &get("/page.html"));
    peer.await_response();
    let mut file = fs::File::options().append(true).open(path).expect("the file exists");
    file.write_all(b"and more").expect("the test owns the file");
    assert!(peer.response().body == content);
    assert_eq!(
        peer.response().content_length(),
        35,
        "the next response starts after Content-Length bytes"
    );
    let grown = content.len() as u64 + 8;
    wait_until("the new length becomes visible", || {
        (peer.ask(get("/large.bin").replace("GET", "HEAD")).content_length() == grown).then_some(())
    });
}

fn a_change_of_permissions_takes_effect(setup: &'static Setup) {
    let site = Site::new();
    let allow =
        |mode| fs::set_permissions(site.path("page.html"), fs::Permissions::from_mode(mode));
    // Permissions do not apply to root, so root runs the server as another user.
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &["--user", "nobody"] } else { &[] };
    for directory in [site.root(), site.beside("")] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
            .expect("the test owns the file");
    }
    let server = Server::start(setup, site.root(), user);
    let mut peer = server.connect();
    for (mode, status) in [(0o644, 200), (0o000, 403), (0o644, 200)] {
        allow(mode).expect("the test owns the file");
        wait_until("the permissions take effect", || {
            (peer.get("/page.html").status == status).then_some(())
        });
    }
}

fn a_file_that_shrinks_during_a_transfer_closes_the_connection(setup: &'static Setup) {
    let site = Site::new();
    let file = site.sparse("huge.bin", 256 << 20);
    let server = Server::start(setup, site.root(), &[]);
    for size in [0, 1 << 20] {
        file.set_len(256 << 20).expect("the test owns the file");
        let mut peer = server.connect();
        wait_until("the original length becomes visible", || {
            let response = peer.ask(get("/huge.bin").replace("GET", "HEAD"));
            (response.content_length() == 256 << 20).then_some(())
        });
        peer.send(get("/huge.bin") + &get("/page.html"));
        assert_eq!(peer.response_to_head().content_length(), 256 << 20);
        file.set_len(size).expect("the test owns the file");
        let (received, _) = peer.rest();
        assert!(received.len() < 256 << 20, "the file was sent before it could shrink");
        // The file consists of zeros: no byte of the next response came within Content-Length.
        assert!(
            received.iter().all(|byte| *byte == 0),
            "other bytes were sent within Content-Length"
        );
    }
    assert_eq!(server.get("/page.html").status, 200);
}

fn a_truncated_file_does_not_hang_a_connection(setup: &'static Setup) {
    let site = Site::new();
    site.write("log.txt", patterned(200_000));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/log.txt").content_length(), 200_000);
    site.write("log.txt", "");
    // A cached size may be a second old; then the body ends early and the connection closes.
    wait_until("the truncation becomes visible", || {
        let mut peer = server.connect();
        peer.send(get("/log.txt"));
        let content_length = peer.response_to_head().content_length();
        if content_length > 0 {
            assert!(peer.rest().0.len() < 200_000);
        }
        (content_length == 0).then_some(())
    });
}

fn files_with_extreme_mtimes_are_served(setup: &'static Setup) {
    // tmpfs stores times that disk file systems clamp.
    let memory = std::path::Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let directory = directory.expect("a temporary directory");
    let day = Duration::from_secs(86_400);
    let times = [
        ("epoch", UNIX_EPOCH),
        ("before-1970", UNIX_EPOCH - day),
        ("half-a-second-before-1970", UNIX_EPOCH - Duration::from_millis(500)),
        ("long-before", UNIX_EPOCH - day * 366 * 1000),
        ("tomorrow", SystemTime::now() + day),
        ("in-a-century", SystemTime::now() + day * 36_525),
        ("year-10000", UNIX_EPOCH + Duration::from_secs(253_402_300_800)),
        ("year-300000", UNIX_EPOCH + day * 366 * 300_000),
    ];
    for (name, time) in times {
        let path = directory.path().join(name);
        fs::write(&path, "x").expect("a file can be written");
        let file = fs::File::options().write(true).open(&path).expect("the file exists");
        file.set_modified(time).expect("the test owns the file");
    }
    let server = Server::start(setup, directory.path(), &[]);
    let mut peer = server.connect();
    for (name, _) in times {
        let response = peer.get(&format!("/{name}"));
        assert_eq!((response.status, &*response.body), (200, &b"x"[..]), "{name}");
        assert_eq!(response.field("Last-Modified"), None, "{name} is no date of a content");
    }
}

fn a_root_that_is_a_file_is_served_under_its_own_name(setup: &'static Setup) {
    const IMMUTABLE: &str = "max-age=31536000, immutable";
    let site = Site::new();
    site.write("app.3f2a9c1b.js", "a script");
    let paths = ["/", "/page.html", "/app.3f2a9c1b.js", "/a/b/style.0a1b2c3d.css", "/dir/", "/.x"];
    for (name, media_type, cache_control) in [
        ("page.html", "text/html; charset=utf-8", "no-cache"),
        ("app.3f2a9c1b.js", "text/javascript; charset=utf-8", IMMUTABLE),
    ] {
        let header = format!("/{name} X-Own: 1");
        let server = Server::start(setup, site.path(name), &["--header", &header]);
        let mut peer = server.connect();
        for path in paths {
            let response = peer.get(path);
            assert_eq!(response.required("Content-Type"), media_type, "{name} at {path}");
            assert_eq!(response.required("Cache-Control"), cache_control, "{name} at {path}");
            assert_eq!(response.field("X-Own"), Some("1"), "{name} at {path}");
        }
        assert_eq!(peer.get("/%zz").status, 400);
    }
}

fn a_directory_that_replaces_the_root_file_is_not_found(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.path("page.html"), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/x").status, 200);
    fs::remove_file(site.path("page.html")).expect("the test owns the file");
    site.directory("page.html");
    wait_until("the change becomes visible", || {
        let status = peer.get("/x").status;
        assert!([200, 404].contains(&status), "{status}");
        (status == 404).then_some(())
    });
}

fn a_long_response_is_corked_until_its_end(setup: &'static Setup) {
    const LONG_BYTES: usize = 5 << 20;
    let site = Site::new();
    site.write("long.bin", patterned(LONG_BYTES));
    let server = Server::start(setup, site.root(), &[Admin::OPTION]);
    let calls = || Admin::of(&server).metrics().get("miniweb_syscalls_total{call=\"setsockopt\"}");
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").status, 200);
    let before = calls();
    let each_scrape = calls() - before;
    for n in 1..=3 {
        assert_eq!(peer.get("/long.bin").body.len(), LONG_BYTES);
        // It is answered once the long response is counted as sent.
        assert_eq!(peer.get("/page.html").status, 200);
        let expected = before + f64::from(n) * (2.0 + each_scrape) + each_scrape;
        assert_eq!(calls(), expected, "after {n} long responses");
    }
}

/// So that a deleted file gives up its blocks, and a file system can be unmounted.
fn a_large_file_is_closed_soon_after_its_last_response(setup: &'static Setup) {
    let site = Site::new();
    site.write("large.bin", patterned(1 << 20));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    assert_eq!(peer.get("/page.html").status, 200);
    let before = server.descriptors();
    for _ in 0..3 {
        assert_eq!(peer.get("/large.bin").status, 200);
        let part = peer.ask("GET /large.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=5-9\r\n\r\n");
        assert_eq!(part.body, patterned(1 << 20)[5..10]);
    }
    if setup.forks {
        // A child keeps its files open until its connection ends.
        drop(peer);
    }
    wait_until("the file is closed", || (server.descriptors() <= before).then_some(()));
}
