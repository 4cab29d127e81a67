//! Preconditions (RFC 9110 section 13).

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use crate::case::{Case, cases};
use crate::support::{Peer, Response, Server, Setup, Site, get_with, head, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        if_none_match_with_the_current_etag_is_a_304,
        if_none_match_with_another_etag_is_a_200,
        conditional_dates_are_parsed_in_all_three_formats,
        malformed_dates_are_ignored,
        if_match_uses_the_strong_comparison,
        preconditions_fail_once_the_file_has_changed,
        a_304_repeats_the_headers_that_a_cache_needs,
        a_failed_precondition_is_a_412_with_an_error_page,
        preconditions_are_ignored_without_a_file,
        an_asterisk_matches_whatever_exists,
        no_etag_matches_a_listing,
        preconditions_are_evaluated_in_the_order_of_the_rfc,
    ]
}

/// The mtime of the file in most cases, with dates on both sides of it.
const TIME: Duration = Duration::from_secs(784_111_777);
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// A site whose `page.html` was modified at [`TIME`].
fn old_site() -> Site {
    let site = Site::new();
    site.set_modified("page.html", UNIX_EPOCH + TIME);
    site
}

/// Requests the page with each of `fields`, and another path afterwards: a body that a response
/// must not have would appear as the start of the next response.
#[track_caller]
fn expect_each(peer: &mut Peer, status: u16, fields: &[&str]) {
    for field in fields {
        let lines: Vec<&str> = field.split("\r\n").collect();
        assert_eq!(peer.get_with("/page.html", &lines).status, status, "{field}");
    }
    assert_eq!(peer.get("/missing").status, 404);
}

fn if_none_match_with_the_current_etag_is_a_304(setup: &'static Setup) {
    let site = old_site();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let expect_matches = |peer: &mut Peer, tag: &str| {
        let fields = [
            "If-None-Match: *".to_owned(),
            format!("If-None-Match: {tag}"),
            format!("if-none-match:{tag}"),
            format!("If-None-Match: \"other\", {tag}"),
            format!("If-None-Match: {tag},\"other\""),
            format!("If-None-Match: ,, \"a,b\" ,\t{tag} ,"),
            format!("If-None-Match: \"\", W/\"other\", {tag}"),
            format!("If-None-Match: \"other\"\r\nIf-None-Match: {tag}"),
            // If-Modified-Since is ignored, though it would not match.
            format!("If-None-Match: {tag}\r\nIf-Modified-Since: {BEFORE}"),
        ];
        expect_each(peer, 304, &fields.each_ref().map(String::as_str));
    };
    // The comparison is weak.
    let tag = peer.get("/page.html").required("ETag").to_owned();
    expect_matches(&mut peer, &format!("W/{tag}"));
    expect_matches(&mut peer, &tag);
}

fn if_none_match_with_another_etag_is_a_200(setup: &'static Setup) {
    let site = old_site();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let tag = peer.get("/page.html").required("ETag").to_owned();
    let bare = tag.trim_matches('"');
    let fields = [
        "If-None-Match: \"other\"".to_owned(),
        "If-None-Match: \"*\"".to_owned(),
        format!("If-None-Match: {bare}"),
        format!("If-None-Match: w/{tag}"),
        format!("If-None-Match: \"{bare}x\""),
        format!("If-None-Match: \"x{bare}\""),
        format!("If-None-Match: \"{}\"", &bare[1..]),
        format!("If-None-Match: \"{bare}"),
        "If-None-Match:".to_owned(),
        // A comma inside the quotes is part of the tag.
        format!("If-None-Match: \"a,{bare},b\""),
        // If-Modified-Since would match, but is ignored next to If-None-Match (section 13.1.3).
        format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {SAME}"),
        format!("If-None-Match:\r\nIf-Modified-Since: {SAME}"),
    ];
    expect_each(&mut peer, 200, &fields.each_ref().map(String::as_str));
}

fn conditional_dates_are_parsed_in_all_three_formats(setup: &'static Setup) {
    let site = old_site();
    // Last-Modified omits the fraction, so the comparison must ignore it too.
    site.set_modified("page.html", UNIX_EPOCH + TIME + Duration::from_millis(900));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.settled("/page.html", &[]);
    let formats = |time: &str| {
        [
            format!("Sun, 06 Nov 1994 {time} GMT"),
            format!("Sunday, 06-Nov-94 {time} GMT"),
            format!("Sun Nov  6 {time} 1994"),
        ]
    };
    for date in [formats("08:49:37"), formats("08:49:38")].concat() {
        expect_each(&mut peer, 304, &[&format!("If-Modified-Since: {date}")]);
        expect_each(&mut peer, 200, &[&format!("If-Unmodified-Since: {date}")]);
    }
    for date in formats("08:49:36") {
        expect_each(&mut peer, 200, &[&format!("If-Modified-Since: {date}")]);
        expect_each(&mut peer, 412, &[&format!("If-Unmodified-Since: {date}")]);
    }
}

fn malformed_dates_are_ignored(setup: &'static Setup) {
    let site = old_site();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    peer.settled("/page.html", &[]);
    // A lenient parser would read these as dates after the mtime, and the next as dates before it.
    for date in [
        "",
        "tomorrow",
        "1",
        "2524608000",
        "Sun, 06 Nov 2044 08:49:37",
        "Sun, 06 Nov 2044 08:49:37 +0000",
        "Sun, 06 Nov 2044 08:49:37 CET",
        "Sun, 06 Nov 2044 08:49 GMT",
        "Sun, 06 Nov 2044 25:49:37 GMT",
        "Sun, 32 Nov 2044 08:49:37 GMT",
        "Sun, 06 Non 2044 08:49:37 GMT",
        "2044-11-06T08:49:37Z",
        "Sun, 06 Nov 2044 08:49:37 GMT, Sun, 06 Nov 2044 08:49:37 GMT",
    ] {
        expect_each(&mut peer, 200, &[&format!("If-Modified-Since: {date}")]);
    }
    for date in [
        "",
        "yesterday",
        "0",
        "Sun, 06 Nov 1984 08:49:37",
        "Sun, 06 Nov 1984 08:49:37 +0000",
        "1984-11-06",
    ] {
        expect_each(&mut peer, 200, &[&format!("If-Unmodified-Since: {date}")]);
    }
    // A header that occurs twice is ambiguous, and ignored.
    let twice = |name: &str, date: &str| format!("{name}: {date}\r\n{name}: {date}");
    expect_each(
        &mut peer,
        200,
        &[&twice("If-Modified-Since", AFTER), &twice("If-Unmodified-Since", BEFORE)],
    );
}

fn if_match_uses_the_strong_comparison(setup: &'static Setup) {
    let site = old_site();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let tag = peer.settled("/page.html", &[]).required("ETag").to_owned();
    let holds = [
        "If-Match: *".to_owned(),
        format!("If-Match: {tag}"),
        format!("If-Match: \"other\", {tag}"),
        format!("If-Match: W/{tag}, {tag}"),
        format!("If-Match: \"other\"\r\nIf-Match: {tag}"),
        // If-Unmodified-Since is ignored, though it would fail (section 13.1.4).
        format!("If-Match: {tag}\r\nIf-Unmodified-Since: {BEFORE}"),
    ];
    expect_each(&mut peer, 200, &holds.each_ref().map(String::as_str));
    let fails = [
        "If-Match: \"other\"".to_owned(),
        format!("If-Match: W/{tag}"),
        "If-Match: \"*\"".to_owned(),
        "If-Match:".to_owned(),
        format!("If-Match: \"other\"\r\nIf-Unmodified-Since: {AFTER}"),
    ];
    expect_each(&mut peer, 412, &fails.each_ref().map(String::as_str));
}

fn preconditions_fail_once_the_file_has_changed(setup: &'static Setup) {
    let site = old_site();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let tag = peer.settled("/page.html", &[]).required("ETag").to_owned();
    let fields = [format!("If-None-Match: {tag}"), format!("If-Match: {tag}")];
    expect_each(&mut peer, 304, &[&fields[0]]);
    expect_each(&mut peer, 200, &[&fields[1]]);
    site.write("page.html", "another page");
    wait_until("the change is seen", || {
        (peer.get("/page.html").body == b"another page").then_some(())
    });
    expect_each(&mut peer, 200, &[&fields[0], &format!("If-Modified-Since: {SAME}")]);
    expect_each(&mut peer, 412, &[&fields[1], &format!("If-Unmodified-Since: {SAME}")]);
}

fn a_304_repeats_the_headers_that_a_cache_needs(setup: &'static Setup) {
    let site = Site::new();
    // Large enough to be compressed, and so to have a Vary.
    site.write("text.html", "<p>much of the same</p>\n".repeat(100));
    site.write("large.bin", vec![7; 300_000]);
    let server = Server::start(setup, site.root(), &["--header", "X-Own: 1"]);
    let mut peer = server.connect();
    for (path, varies) in [("/page.html", false), ("/text.html", true), ("/large.bin", false)] {
        let whole = peer.settled(path, &[]);
        let request = get_with(path, &[&format!("If-None-Match: {}", whole.required("ETag"))]);
        // `Response::parse` checks that a 304 has no headers of a body.
        for request in [head(&request), request] {
            let not_modified = peer.ask(request);
            assert_eq!(not_modified.status, 304, "{path}");
            for name in ["ETag", "Last-Modified", "Cache-Control", "Vary", "X-Own"] {
                assert_eq!(not_modified.field(name), whole.field(name), "{path}: {name}");
            }
            assert_eq!(
                not_modified.list("Vary"),
                if varies { vec!["Accept-Encoding"] } else { vec![] },
                "{path}"
            );
        }
    }
    assert_eq!(peer.get("/missing").status, 404, "the next response starts right after the 304");
}

fn a_failed_precondition_is_a_412_with_an_error_page(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let request = get_with("/page.html", &["If-Match: \"other\"", "Range: bytes=0-1"]);
    let failed = peer.ask(&request);
    assert_eq!(failed.status, 412);
    assert!(String::from_utf8_lossy(&failed.body).contains("412"), "{failed:?}");
    assert_eq!(failed.field("ETag"), None, "the body of a 412 is not the file");
    let by_head = peer.ask(head(&request));
    assert_eq!(
        (by_head.status, by_head.headers_except_date()),
        (412, failed.headers_except_date())
    );
    assert_eq!(peer.get("/page.html").status, 200);
}

fn preconditions_are_ignored_without_a_file(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let conditions = [
        "If-Match: \"x\"",
        "If-None-Match: *",
        &format!("If-Unmodified-Since: {BEFORE}"),
        "Range: bytes=0-1",
    ];
    // RFC 9110 section 13.2.1: they apply only if the response would be a success without them.
    for (path, status) in [("/missing", 404), ("/docs", 301), ("/%zz", 400), ("/.git/config", 404)]
    {
        for condition in conditions {
            assert_eq!(
                server.ask(get_with(path, &[condition])).status,
                status,
                "{path} {condition}"
            );
        }
        assert_eq!(server.ask(get_with(path, &conditions)).status, status, "{path}");
    }
    let post = format!("POST /page.html HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n", conditions[0]);
    assert_eq!(server.ask(post).status, 405);
}

fn an_asterisk_matches_whatever_exists(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let options = ["--list", "--fallback", "page.html", "--header", "X-Own: 1", "--cors"];
    let server = Server::start(setup, site.root(), &options);
    let mut peer = server.connect();
    for (path, accept) in [
        ("/page.html", "Accept: */*"),
        ("/docs/", "Accept: */*"),
        ("/settings", "Accept: text/html"),
        ("/bare/", "Accept: text/html"),
        ("/bare/?sort=size", "Accept: application/json"),
    ] {
        let request = get_with(path, &[accept, "If-None-Match: *"]);
        let whole = peer.get_with(path, &[accept]);
        // `Response::parse` checks that a 304 has no headers of a body.
        for request in [head(&request), request] {
            let not_modified = peer.ask(request);
            assert_eq!(not_modified.status, 304, "{path}");
            for name in ["Cache-Control", "Vary", "X-Own", "Access-Control-Allow-Origin"] {
                assert_eq!(not_modified.field(name), whole.field(name), "{path}: {name}");
            }
        }
        let existing = peer.get_with(path, &[accept, "If-Match: *"]);
        assert_eq!((existing.status, existing.body), (200, whole.body), "{path}");
    }
    assert_eq!(peer.get("/page.html").status, 200, "the next response starts right after the 304");
}

fn no_etag_matches_a_listing(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    // A listing has no validators: no tag matches it, and conditions on its date are ignored.
    for (condition, status) in [
        ("If-None-Match: \"x\"", 200),
        ("If-None-Match: W/\"x\", \"\"", 200),
        ("If-Match: \"x\"", 412),
        ("If-Match: \"\"", 412),
        ("If-Match:", 412),
        (&format!("If-Modified-Since: {AFTER}"), 200),
        (&format!("If-Unmodified-Since: {BEFORE}"), 200),
    ] {
        let request = get_with("/bare/", &[condition]);
        assert_eq!(peer.ask(head(&request)).status, status, "{condition}");
        assert_eq!(peer.ask(request).status, status, "{condition}");
    }
}

/// The preconditions of one request: None if absent, else whether it holds.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    is_head: bool,
    match_: Option<bool>,
    unmodified_since: Option<bool>,
    none_match: Option<bool>,
    modified_since: Option<bool>,
    has_range: bool,
    range: Option<bool>,
}

impl Conditions {
    /// Every combination.
    fn all() -> Vec<Conditions> {
        const THREE: [Option<bool>; 3] = [None, Some(true), Some(false)];
        let mut all = Vec::new();
        for n in 0..2 * 2 * 3usize.pow(5) {
            let digit = |power: u32| THREE[n / 4 / 3usize.pow(power) % 3];
            all.push(Conditions {
                is_head: n % 2 == 1,
                has_range: n / 2 % 2 == 1,
                match_: digit(0),
                unmodified_since: digit(1),
                none_match: digit(2),
                modified_since: digit(3),
                range: digit(4),
            });
        }
        all
    }

    fn request(&self, tag: &str) -> String {
        let field = |name: &str, holds: Option<bool>, yes: &str, no: &str| {
            holds.map_or(String::new(), |holds| {
                format!("{name}: {}\r\n", if holds { yes } else { no })
            })
        };
        let lines = [
            // Not in the order in which they are evaluated.
            field("If-Range", self.range, tag, "\"other\""),
            field("Range", self.has_range.then_some(true), "bytes=2-5", ""),
            field("If-Modified-Since", self.modified_since, BEFORE, SAME),
            field("If-None-Match", self.none_match, "\"other\"", tag),
            field("If-Unmodified-Since", self.unmodified_since, SAME, BEFORE),
            field("If-Match", self.match_, tag, "\"other\""),
        ];
        let method = if self.is_head { "HEAD" } else { "GET" };
        format!("{method} /page.html HTTP/1.1\r\nHost: h\r\n{}\r\n", lines.concat())
    }

    /// RFC 9110 section 13.2.2, step by step.
    fn status_by_the_rfc(&self) -> u16 {
        // 1. and 2.
        match (self.match_, self.unmodified_since) {
            (Some(false), _) | (None, Some(false)) => return 412,
            (Some(true), _) | (None, Some(true) | None) => {}
        }
        // 3. and 4. The method is GET or HEAD.
        match (self.none_match, self.modified_since) {
            (Some(false), _) | (None, Some(false)) => return 304,
            (Some(true), _) | (None, Some(true) | None) => {}
        }
        // 5. "When the method is GET and both Range and If-Range are present"; section 14.2 for
        //    Range alone.
        match (self.is_head, self.has_range, self.range) {
            (false, true, Some(true) | None) => 206,
            _ => 200,
        }
    }
}

fn preconditions_are_evaluated_in_the_order_of_the_rfc(setup: &'static Setup) {
    let site = old_site();
    let content = fs::read(site.path("page.html")).expect("the file exists");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let tag = peer.settled("/page.html", &[]).required("ETag").to_owned();
    let all = Conditions::all();
    let expected_body = |response: &Response, is_head: bool| match response.status {
        200 if !is_head => Some(content.clone()),
        206 => Some(content[2..6].to_vec()),
        412 if !is_head => None,
        _ => Some(Vec::new()),
    };
    let mut seen = [0; 4];
    for conditions in &all {
        let response = peer.ask(conditions.request(&tag));
        assert_eq!(response.status, conditions.status_by_the_rfc(), "{conditions:?}");
        if let Some(body) = expected_body(&response, conditions.is_head) {
            assert_eq!(response.body, body, "{conditions:?}");
        }
        seen[[200, 206, 304, 412]
            .iter()
            .position(|status| *status == response.status)
            .expect("one of these")] += 1;
    }
    assert_eq!((all.len(), seen.iter().sum::<usize>()), (972, 972));
    assert!(seen.iter().all(|count| *count >= 50), "every outcome occurs often: {seen:?}");
}
