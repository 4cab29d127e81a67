//! Content codings: which one a client gets, and with which headers.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::case::{Case, cases};
use crate::support::{Response, Server, Setup, Site, get_with, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    let everywhere = cases![
        the_preferred_acceptable_coding_is_sent,
        a_sidecar_has_the_media_type_of_the_original,
        a_sidecar_older_than_the_original_is_ignored,
        vary_is_sent_only_if_there_is_a_choice_of_codings,
        a_sidecar_requested_by_name_is_an_ordinary_file,
        a_sidecar_must_be_a_regular_file_or_a_link_to_one,
        text_is_compressed_and_decodes_to_the_same_bytes,
        the_client_chooses_between_the_codings_that_are_made,
        a_sidecar_is_preferred_to_making_a_coding_of_equal_weight,
        a_sidecar_and_the_same_coding_made_have_different_etags,
        incompressible_and_huge_files_are_not_compressed,
        the_compress_option_selects_the_offered_codings,
        a_304_applies_to_one_coding_only,
        a_range_applies_to_the_encoded_bytes,
        head_and_get_of_a_coding_have_equal_headers,
        a_compressed_file_follows_a_change,
    ];
    // With a thread or process per connection this holds by construction.
    let in_a_loop = cases![if |setup| setup.event_loops == 1;
        other_clients_are_served_while_a_file_is_compressed,
    ];
    // A process that ends with its connection shares nothing, and makes no brotli.
    let in_one_process = cases![if |setup| !setup.forks;
        each_coding_is_made_once_for_all_connections,
    ];
    [everywhere, in_a_loop, in_one_process].concat()
}

const LONG_AGO: SystemTime = SystemTime::UNIX_EPOCH;

/// A page with a sidecar for each coding. The server does not look at their content.
fn coded_site() -> Site {
    let site = Site::new();
    site.write("page.html", "<p>plain</p>".repeat(200));
    for (name, content) in
        [("page.html.br", "in br"), ("page.html.zst", "in zstd"), ("page.html.gz", "in gzip")]
    {
        site.write(name, content);
    }
    for (age, name) in
        [(2, "page.html"), (1, "page.html.br"), (1, "page.html.zst"), (1, "page.html.gz")]
    {
        site.set_modified(name, LONG_AGO + Duration::from_secs(1_000_000 - age));
    }
    site
}

fn ask(server: &Server, path: &str, accept: &str) -> Response {
    server.ask(format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\n\r\n"))
}

fn coding(response: &Response) -> Option<&str> {
    response.field("Content-Encoding")
}

/// The content of a response that has a coding.
fn decoded(response: &Response) -> Vec<u8> {
    let (mut decoded, encoded) = (Vec::new(), &response.body[..]);
    match coding(response) {
        Some("br") => brotli::Decompressor::new(encoded, 4096).read_to_end(&mut decoded),
        Some("gzip") => flate2::read::GzDecoder::new(encoded).read_to_end(&mut decoded),
        other => panic!("the coding is {other:?}"),
    }
    .expect("it was encoded");
    decoded
}

/// The coding that this server makes for clients that accept all: a process that ends with its
/// connection makes no brotli.
fn made(setup: &Setup) -> &'static str {
    if setup.forks { "gzip" } else { "br" }
}

fn the_preferred_acceptable_coding_is_sent(setup: &'static Setup) {
    let site = coded_site();
    let server = Server::start(setup, site.root(), &[]);
    for (accept, expected) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("zstd, gzip", Some("zstd")),
        ("gzip", Some("gzip")),
        ("br;q=0.5, gzip;q=0.8", Some("gzip")),
        ("*", Some("br")),
        ("br;q=0, *;q=0.5", Some("zstd")),
        ("identity;q=0, gzip", Some("gzip")),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0", None),
        ("gzip;q=0", None),
        ("deflate", None),
        ("", None),
    ] {
        let response = ask(&server, "/page.html", accept);
        assert_eq!((response.status, coding(&response)), (200, expected), "{accept:?}");
        let content = expected.map_or("<p>plain</p>".repeat(200), |coding| format!("in {coding}"));
        assert_eq!(response.body, content.as_bytes(), "{accept:?}");
    }
    assert_eq!(coding(&server.get("/page.html")), None);
}

fn a_sidecar_has_the_media_type_of_the_original(setup: &'static Setup) {
    let site = coded_site();
    let response = ask(&Server::start(setup, site.root(), &[]), "/page.html", "br");
    assert_eq!(response.required("Content-Type"), "text/html; charset=utf-8");
}

fn a_sidecar_older_than_the_original_is_ignored(setup: &'static Setup) {
    let site = coded_site();
    site.set_modified("page.html.br", LONG_AGO + Duration::from_secs(10));
    let server = Server::start(setup, site.root(), &["--compress", "sidecar"]);
    assert_eq!(coding(&ask(&server, "/page.html", "br, zstd;q=0.5")), Some("zstd"));
    // The sidecars are of the previous version of the page now.
    site.write("page.html", "<p>changed</p>".repeat(200));
    crate::support::wait_until("the change becomes visible", || {
        let response = ask(&server, "/page.html", "br, zstd");
        coding(&response)
            .is_none()
            .then(|| assert_eq!(response.body, "<p>changed</p>".repeat(200).as_bytes()))
    });
}

fn vary_is_sent_only_if_there_is_a_choice_of_codings(setup: &'static Setup) {
    let site = coded_site();
    site.write("image.png", patterned(5000));
    site.write("short.txt", "short");
    let server = Server::start(setup, site.root(), &[]);
    let plain = server.get("/page.html");
    assert_eq!(plain.required("Vary"), "Accept-Encoding");
    assert_eq!(ask(&server, "/page.html", "br").required("Vary"), "Accept-Encoding");
    let part = server.ask("GET /page.html HTTP/1.1\r\nHost: h\r\nRange: bytes=0-3\r\n\r\n");
    assert_eq!((part.status, part.required("Vary")), (206, "Accept-Encoding"));
    let tag = plain.required("ETag");
    let same =
        server.ask(format!("GET /page.html HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tag}\r\n\r\n"));
    assert_eq!((same.status, same.required("Vary")), (304, "Accept-Encoding"));
    for path in ["/image.png", "/short.txt"] {
        assert_eq!(ask(&server, path, "gzip").field("Vary"), None, "{path}");
    }
}

fn a_sidecar_requested_by_name_is_an_ordinary_file(setup: &'static Setup) {
    let site = coded_site();
    let response = ask(&Server::start(setup, site.root(), &[]), "/page.html.gz", "gzip");
    assert_eq!(response.required("Content-Type"), "application/gzip");
    assert_eq!((coding(&response), &response.body[..]), (None, &b"in gzip"[..]));
}

fn a_sidecar_must_be_a_regular_file_or_a_link_to_one(setup: &'static Setup) {
    let site = coded_site();
    let outside = site.beside("outside.br");
    std::fs::write(&outside, "not of this site").expect("it can be written");
    for (name, target) in
        [("near.html", "page.html"), ("far.html", "page.html"), ("odd.html", "page.html")]
    {
        std::fs::copy(site.path(target), site.path(name)).expect("both are ours");
        site.set_modified(name, LONG_AGO);
    }
    site.link("near.html.br", "page.html.br");
    site.link("far.html.br", &outside);
    mknodat(CWD, site.path("odd.html.br"), FileType::Fifo, Mode::RWXU, 0)
        .expect("a FIFO can be created");
    site.directory("odd.html.zst");
    let server = Server::start(setup, site.root(), &["--compress", "sidecar"]);
    let found = ["/near.html", "/far.html", "/odd.html"]
        .map(|path| coding(&ask(&server, path, "br, zstd")).is_some());
    assert_eq!(found, [true, false, false]);
}

fn text_is_compressed_and_decodes_to_the_same_bytes(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    // The last two are larger than a cached file, so they are compressed from the disk. A process
    // that ends with its connection makes only what it has the memory for.
    let largest = if setup.forks { 256 * 1024 } else { 8 * 1024 * 1024 };
    for (name, bytes) in
        [("small.css", 1024), ("page.svg", 20_000), ("large.js", 200_000), ("huge.js", largest)]
    {
        let content = "a line of text that repeats itself\n".repeat(bytes / 35 + 1).as_bytes()
            [..bytes]
            .to_vec();
        site.write(name, &content);
        for (accept, expected) in [("gzip, br, zstd", made(setup)), ("gzip", "gzip")] {
            let response = ask(&server, &format!("/{name}"), accept);
            assert_eq!(coding(&response), Some(expected), "{name}");
            assert!(decoded(&response) == content, "{name}");
            assert!(response.body.len() < content.len(), "{name}");
        }
        assert!(ask(&server, &format!("/{name}"), "zstd").body == content, "{name}");
    }
}

fn the_client_chooses_between_the_codings_that_are_made(setup: &'static Setup) {
    let (site, content) = (Site::new(), "a { b: c }\n".repeat(500));
    site.write("made.css", &content);
    let server = Server::start(setup, site.root(), &[]);
    let brotli = (!setup.forks).then_some("br");
    for (accept, expected) in [
        ("gzip, deflate, br, zstd", Some(made(setup))),
        ("gzip, br", Some(made(setup))),
        ("br", brotli),
        ("BR;q=0.1", brotli),
        ("*", Some(made(setup))),
        ("gzip", Some("gzip")),
        ("br;q=0, gzip", Some("gzip")),
        ("br;q=0, *", Some("gzip")),
        ("gzip;q=0, *", brotli),
        ("br;q=0.5, gzip;q=0.8", Some("gzip")),
        ("br;q=0.8, gzip;q=0.5", Some(made(setup))),
        ("identity;q=0, br, gzip;q=0.9", Some(made(setup))),
        ("identity;q=0, *", Some(made(setup))),
        ("identity, br;q=0.9, gzip;q=0.9", None),
        // There is nothing else, and a file is more useful than a 406.
        ("identity;q=0", None),
        ("br;q=0, gzip;q=0", None),
        ("br;q=2", None),
    ] {
        let response = ask(&server, "/made.css", accept);
        assert_eq!((response.status, coding(&response)), (200, expected), "{accept:?}");
        assert_eq!(response.required("Vary"), "Accept-Encoding", "{accept:?}");
        let body = if expected.is_some() { decoded(&response) } else { response.body.clone() };
        assert!(body == content.as_bytes(), "{accept:?}");
        let head = server.ask(format!(
            "HEAD /made.css HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\n\r\n"
        ));
        assert_eq!(head.headers_except_date(), response.headers_except_date(), "{accept:?}");
    }
}

fn a_sidecar_is_preferred_to_making_a_coding_of_equal_weight(setup: &'static Setup) {
    let site = coded_site();
    let server = |missing: &str| {
        std::fs::remove_file(site.path(format!("page.html.{missing}"))).expect("it is ours");
        Server::start(setup, site.root(), &[])
    };
    let is = |response: &Response, body: &str| response.body == body.as_bytes();
    let without_zstd = server("zst");
    assert!(is(&ask(&without_zstd, "/page.html", "gzip, br, zstd"), "in br"));
    assert!(is(&ask(&without_zstd, "/page.html", "gzip, br;q=0.9"), "in gzip"));
    let gzip_only = server("br");
    assert!(is(&ask(&gzip_only, "/page.html", "gzip, br, zstd"), "in gzip"));
    // Unless the client prefers the coding that has to be made.
    let preferred = ask(&gzip_only, "/page.html", "gzip;q=0.9, br");
    if setup.forks {
        assert!(is(&preferred, "in gzip"));
    } else {
        assert_eq!(coding(&preferred), Some("br"));
        assert!(decoded(&preferred) == "<p>plain</p>".repeat(200).as_bytes());
    }
}

/// Even if their bytes are the same.
fn a_sidecar_and_the_same_coding_made_have_different_etags(setup: &'static Setup) {
    let site = Site::new();
    let content = "<p>much of the same</p>\n".repeat(100);
    for name in ["a.html", "b.html"] {
        site.write(name, &content);
    }
    let server = Server::start(setup, site.root(), &[]);
    let compressed = ask(&server, "/a.html", made(setup));
    let extension = if setup.forks { "gz" } else { "br" };
    site.write(format!("b.html.{extension}"), &compressed.body);
    let sidecar = wait_until("the sidecar is found", || {
        let response = ask(&server, "/b.html", made(setup));
        (response.required("ETag") != compressed.required("ETag")).then_some(response)
    });
    assert_eq!(coding(&sidecar), Some(made(setup)));
    assert!(sidecar.body == compressed.body);
}

/// The responses have equal bytes in any case, so this measures the time: a file of digits takes a
/// while to compress, and no time once that is done.
fn each_coding_is_made_once_for_all_connections(setup: &'static Setup) {
    let site = Site::new();
    let text: String = (0..62_500).map(|n: u64| format!("{:08}", n * n % 99_999_989)).collect();
    site.write("digits.txt", &text);
    // While a file may still be changing, each worker loads and compresses its own.
    site.set_modified("digits.txt", LONG_AGO + Duration::from_secs(1_000_000));
    let server = Server::start(setup, site.root(), &[]);
    for accept in ["br", "gzip"] {
        let timed = || {
            let start = Instant::now();
            let mut peer = server.connect();
            let head = format!("Accept-Encoding: {accept}\r\nRange: bytes=0-9");
            let response = peer.get_with("/digits.txt", &[&head]);
            assert_eq!((response.status, coding(&response)), (206, Some(accept)));
            start.elapsed()
        };
        let first = timed();
        // One of several, because a busy machine may delay any of them.
        let later = (0..5).map(|_| timed()).min().expect("there are five");
        assert!(later < first / 2, "{accept}: {first:?}, then {later:?}");
    }
}

fn incompressible_and_huge_files_are_not_compressed(setup: &'static Setup) {
    let site = Site::new();
    site.write("short.txt", "x".repeat(1023));
    site.write("photo.jpg", "x".repeat(5000));
    site.write("huge.txt", "x".repeat(8 * 1024 * 1024 + 1));
    // A text file by its name, with incompressible content.
    let mut state = 1u32;
    let noise: Vec<u8> = (0..5000)
        .map(|_| {
            (state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223), (state >> 24) as u8)
                .1
        })
        .collect();
    site.write("noise.txt", noise);
    let server = Server::start(setup, site.root(), &[]);
    for path in ["/short.txt", "/photo.jpg", "/huge.txt", "/noise.txt"] {
        for accept in ["gzip", "br", "gzip, br"] {
            assert_eq!(coding(&ask(&server, path, accept)), None, "{path}");
        }
    }
}

fn the_compress_option_selects_the_offered_codings(setup: &'static Setup) {
    let site = coded_site();
    site.write("made.css", "a { b: c }\n".repeat(500));
    for (option, sidecar, compressed) in
        [("off", None, None), ("sidecar", Some("br"), None), ("on", Some("br"), Some(made(setup)))]
    {
        let server = Server::start(setup, site.root(), &["--compress", option]);
        assert_eq!(coding(&ask(&server, "/page.html", "br, gzip")), sidecar, "{option}");
        assert_eq!(coding(&ask(&server, "/made.css", "br, gzip")), compressed, "{option}");
    }
}

fn a_304_applies_to_one_coding_only(setup: &'static Setup) {
    let site = coded_site();
    site.write("made.css", "a { b: c }\n".repeat(500));
    let server = Server::start(setup, site.root(), &[]);
    let tag = |path: &str, accept: &str| {
        ask(&server, path, accept).required("ETag").trim_start_matches("W/").to_owned()
    };
    let mut tags: Vec<_> =
        ["identity", "br", "zstd", "gzip"].iter().map(|accept| tag("/page.html", accept)).collect();
    tags.extend([tag("/made.css", "identity"), tag("/made.css", "gzip")]);
    if !setup.forks {
        tags.push(tag("/made.css", "br"));
    }
    let distinct: std::collections::BTreeSet<_> = tags.iter().collect();
    assert_eq!(distinct.len(), tags.len(), "{tags:?}");
    // The ETag of one coding does not match another.
    for (accept, status) in [("br", 304), ("gzip", 200)] {
        let request = format!(
            "GET /page.html HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {accept}\r\nIf-None-Match: {}\r\n\r\n",
            tags[1]
        );
        assert_eq!(server.ask(request).status, status, "{accept}");
    }
}

fn a_range_applies_to_the_encoded_bytes(setup: &'static Setup) {
    let site = Site::new();
    site.write("made.css", "a { b: c }\n".repeat(500));
    let server = Server::start(setup, site.root(), &[]);
    for accept in [made(setup), "gzip"] {
        let whole = ask(&server, "/made.css", accept);
        let part = server.ask(get_with(
            "/made.css",
            &[&format!("Accept-Encoding: {accept}"), "Range: bytes=10-19"],
        ));
        assert_eq!((part.status, coding(&part)), (206, Some(accept)));
        assert_eq!(part.required("Content-Range"), format!("bytes 10-19/{}", whole.body.len()));
        assert_eq!(part.body, whole.body[10..20]);
    }
}

fn head_and_get_of_a_coding_have_equal_headers(setup: &'static Setup) {
    let site = coded_site();
    let server = Server::start(setup, site.root(), &[]);
    let got = ask(&server, "/page.html", "zstd");
    let head = server.ask("HEAD /page.html HTTP/1.1\r\nHost: h\r\nAccept-Encoding: zstd\r\n\r\n");
    assert_eq!(head.headers_except_date(), got.headers_except_date());
    assert!(head.body.is_empty());
}

/// The compressed file is shared by all workers and outlives the entries of their caches.
fn a_compressed_file_follows_a_change(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for bytes in [20_000, 200_000] {
        let (path, name) = (format!("/{bytes}.txt"), format!("{bytes}.txt"));
        // Shortly after the change, a worker that does not see it yet can't compress what was there
        // before, and sends the file as it is.
        let is = |letter: &str| {
            [made(setup), "gzip"].iter().all(|accept| {
                let response = ask(&server, &path, accept);
                coding(&response) == Some(*accept)
                    && decoded(&response) == letter.repeat(bytes).as_bytes()
            })
        };
        site.write(&name, "a".repeat(bytes));
        assert!(is("a"));
        site.write(&name, "b".repeat(bytes));
        wait_until("the change is visible", || is("b").then_some(()));
    }
}

fn other_clients_are_served_while_a_file_is_compressed(setup: &'static Setup) {
    let site = Site::new();
    // A million digits take a while to compress.
    let text: String = (0..125_000).map(|n: u64| format!("{:08}", n * n % 99_999_989)).collect();
    let server = Server::start(setup, site.root(), &[]);
    let (mut reader, mut other) = (server.connect(), server.connect());
    assert_eq!((reader.get("/page.html").status, other.get("/page.html").status), (200, 200));
    let is_answered = (0..10).any(|n| {
        site.write(format!("{n}.txt"), &text);
        reader.send(get_with(&format!("/{n}.txt"), &["Accept-Encoding: gzip, br"]));
        // A loop that compresses the file itself may answer the first of these requests before it
        // starts, but not the third. A busy machine may be done with the file: then try again.
        let meanwhile =
            (0..3).all(|_| other.get("/page.html").status == 200 && reader.is_waiting());
        assert_eq!(coding(&reader.response()), Some("br"));
        meanwhile
    });
    assert!(is_answered, "other clients waited for the compression every time");
}
