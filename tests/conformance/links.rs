//! Absolute symbolic links: followed into the root, refused out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get_with, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        an_absolute_link_into_the_root_is_followed,
        an_absolute_link_out_of_the_root_is_not_followed,
        absolute_links_in_a_circle_are_not_found,
        an_absolute_link_to_a_fifo_is_not_found_and_does_not_open_it,
        links_name_the_root_with_and_without_its_own_links,
        an_absolute_link_into_the_root_is_listed,
    ]
}

/// Expects that each path is served with the content.
#[track_caller]
fn expect_content(server: &Server, paths: &[&str], content: &str) {
    for path in paths {
        let response = server.get(path);
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(String::from_utf8_lossy(&response.body), content, "{path}");
    }
}

fn an_absolute_link_into_the_root_is_followed(setup: &'static Setup) {
    let site = Site::new();
    site.write("docs/deep/page.html", "deep");
    site.write("docs/index.html", "index");
    site.link("absolute.html", site.path("docs/deep/page.html"));
    site.link("directory", site.path("docs"));
    site.link("to-root", site.root());
    // Absolute and relative links in one chain, in the middle of a path and at its end.
    site.link("docs/back", "../directory/deep");
    site.link("docs/deep/chain.html", site.path("docs/back/page.html"));
    site.link("docs/deep/up", "..");
    site.link("odd.html", format!("{}/./docs/../docs//deep/page.html", site.root().display()));
    site.write("plain.html", "plain");
    // Not older than the original.
    site.write("page.html.gz", "in gzip");
    site.link("plain.html.gz", site.path("page.html.gz"));
    for options in [&[][..], &["--confine"]] {
        let server = Server::start(setup, site.root(), options);
        expect_content(
            &server,
            &[
                "/absolute.html",
                "/directory/deep/page.html",
                "/to-root/directory/deep/page.html",
                "/directory/back/page.html",
                "/docs/deep/chain.html",
                "/directory/deep/up/deep/chain.html",
                "/odd.html",
            ],
            "deep",
        );
        expect_content(&server, &["/directory/", "/to-root/docs/"], "index");
        assert_eq!(server.get("/directory").required("Location"), "/directory/");
        let sidecar = server.ask(get_with("/plain.html", &["Accept-Encoding: gzip"]));
        assert_eq!(sidecar.body, b"in gzip");
        assert_eq!(server.get("/to-root/missing.html").status, 404);
        assert_eq!(server.get("/absolute.html/").status, 404);
    }
}

fn an_absolute_link_out_of_the_root_is_not_followed(setup: &'static Setup) {
    let site = Site::new();
    let secret = site.write_beside("secret.txt", "secret");
    site.write_beside("site-evil/page.html", "secret");
    let root = site.root().display().to_string();
    site.link("secret.txt", &secret);
    site.link("evil", format!("{root}-evil"));
    site.link("over", format!("{root}/../secret.txt"));
    site.link("around.html", format!("{root}/../site/page.html"));
    site.link("parent", site.beside(""));
    site.link("slash", "/");
    // Each of these begins with an absolute link into the root.
    site.link("in", &root);
    site.link("chain", format!("{root}/secret.txt"));
    site.link("relative", "../secret.txt");
    site.link("by-relative", format!("{root}/relative"));
    site.link("self", "/proc/self/cwd");
    site.link("by-self", format!("{root}/self"));
    let server = Server::start(setup, site.root(), &[]);
    for path in [
        "/secret.txt",
        "/evil/page.html",
        "/over",
        "/around.html",
        "/parent/secret.txt",
        "/slash/etc/passwd",
        "/in/secret.txt",
        "/in/evil/page.html",
        "/in/in/parent/secret.txt",
        "/chain",
        "/by-relative",
        "/by-self/page.html",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(server.get("/in/in/page.html").status, 200);
}

fn absolute_links_in_a_circle_are_not_found(setup: &'static Setup) {
    let site = Site::new();
    site.link("itself", site.path("itself"));
    site.link("a", site.path("b"));
    site.link("b", site.path("a"));
    site.link("longer", site.path("longer/x"));
    // Each link is a few thousand bytes long: resolving them all would take seconds.
    let long = format!("{}{}", site.root().display(), "/docs/..".repeat(400));
    (0..9).for_each(|n| site.link(&format!("long-{n}"), format!("{long}/long-{}", n + 1)));
    site.link("long-9", site.path("page.html"));
    site.link("missing", site.path("no-such-file"));
    let server = Server::start(setup, site.root(), &[]);
    for path in ["/itself", "/a", "/a/", "/b/page.html", "/longer", "/long-0", "/missing"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

fn an_absolute_link_to_a_fifo_is_not_found_and_does_not_open_it(setup: &'static Setup) {
    let site = Site::new();
    mknodat(CWD, site.path("fifo"), FileType::Fifo, Mode::RWXU, 0).expect("a FIFO can be created");
    site.link("link", site.path("fifo"));
    let server = Server::start(setup, site.root(), &[]);
    // An open for reading would let the writer continue.
    let path = site.path("fifo");
    let writer = std::thread::spawn(move || fs::File::options().write(true).open(path));
    for _ in 0..3 {
        assert_eq!(server.get("/link").status, 404);
    }
    assert!(!writer.is_finished(), "the server has opened the FIFO");
    let _reader = fs::File::open(site.path("fifo")).expect("the FIFO has a writer");
    writer.join().expect("it does not panic").expect("the FIFO has a reader");
}

/// The root is reached by a link that is switched to each new release.
fn links_name_the_root_with_and_without_its_own_links(setup: &'static Setup) {
    let site = Site::new();
    let (current, next) = (site.beside("current"), site.beside("next"));
    let release = |number: u32| site.beside(&format!("release-{number}"));
    for number in [7, 8] {
        site.write_beside(&format!("release-{number}/page.html"), &number.to_string());
        let link = |name: &str, target: &Path| {
            symlink(target, release(number).join(name)).expect("a link can be created");
        };
        link("by-current.html", &current.join("page.html"));
        link("by-release.html", &release(number).join("page.html"));
        link("of-the-other.html", &release(15 - number).join("page.html"));
    }
    symlink("release-7", &current).expect("a link can be created");
    let server = Server::start(setup, &current, &[]);
    let links = ["/by-current.html", "/by-release.html"];
    expect_content(&server, &links, "7");
    assert_eq!(server.get("/of-the-other.html").status, 404);
    symlink("release-8", &next).expect("a link can be created");
    fs::rename(&next, &current).expect("the test owns the link");
    for path in links {
        wait_until("the new release becomes visible", || {
            let response = server.get(path);
            assert_eq!(response.status, 200, "{path}");
            (response.body == b"8").then_some(())
        });
    }
    assert_eq!(server.get("/of-the-other.html").status, 404);
}

fn an_absolute_link_into_the_root_is_listed(setup: &'static Setup) {
    let site = Site::new();
    let secret = site.write_beside("secret.txt", "secret");
    site.link("bare/page.html", site.path("page.html"));
    site.link("bare/docs", site.path("docs"));
    site.link("bare/secret.txt", secret);
    site.link("listed", site.path("bare"));
    let server = Server::start(setup, site.root(), &["--list"]);
    for path in ["/bare/", "/listed/"] {
        let response = server.ask(get_with(path, &["Accept: application/json"]));
        let listing = String::from_utf8(response.body).expect("JSON is UTF-8");
        for name in ["page.html", "docs"] {
            assert!(listing.contains(&format!("\"{name}\"")), "{path}: no {name} in {listing}");
        }
        assert!(!listing.contains("secret"), "{path}: {listing}");
    }
}
