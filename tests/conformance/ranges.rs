//! Range requests (RFC 9110 section 14), as a media player and a resumed download make them.

#![allow(clippy::single_range_in_vec_init, reason = "one range among lists of them")]

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::{Just, Strategy as _, prop};
use proptest::test_runner::{Config, TestRunner};
use proptest::{prop_assert, prop_assert_eq, prop_oneof};

use crate::case::{Case, cases};
use crate::support::{
    Peer, Response, Server, Setup, Site, authority_pem, get_with, head, patterned, wait_until,
};

pub fn cases() -> Vec<Case> {
    cases![
        every_form_of_a_single_range_is_honoured,
        a_range_beyond_the_end_is_a_416_with_the_size,
        malformed_ranges_are_ignored,
        several_ranges_are_sent_in_the_requested_order,
        overlapping_and_adjacent_ranges_are_merged,
        more_than_sixteen_ranges_are_answered_with_the_whole_file,
        ranges_larger_than_the_file_are_answered_with_the_whole_file,
        if_range_must_match_for_a_partial_response,
        a_head_request_ignores_ranges,
        cached_and_uncached_files_have_equal_parts,
        a_repeated_range_is_of_the_version_that_its_etag_names,
        a_range_beyond_4_gib_is_sent,
        a_range_of_an_encoded_file_applies_to_the_encoded_bytes,
        random_range_sets_match_a_reference_implementation,
        an_interrupted_download_can_be_resumed,
        curl_resumes_an_interrupted_download,
    ]
}

/// One file that is cached in memory, and one that is sent from the disk.
const FILES: [(&str, usize); 2] = [("/small.bin", 1000), ("/large.bin", 200_000)];

fn site_with_files() -> Site {
    let site = Site::new();
    for (path, size) in FILES {
        site.write(path.trim_start_matches('/'), patterned(size));
    }
    site
}

/// The Content-Range of a part, and its bytes.
type Part = (Range<u64>, Vec<u8>);

/// Parses `bytes 0-9/1000`, and fails if the size is not `size`.
#[track_caller]
fn content_range(value: &str, size: u64) -> Range<u64> {
    let parsed = || {
        let (range, whole) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, whole.parse::<u64>().ok()?))
    };
    let (first, last, whole) = parsed().unwrap_or_else(|| panic!("no Content-Range: {value}"));
    assert!(first <= last && last < whole && whole == size, "{value} in a file of {size} bytes");
    first..last + 1
}

/// The parts of a 206, split at the boundary as RFC 2046 requires of a client.
#[track_caller]
fn parts(response: &Response, size: u64) -> Vec<Part> {
    assert_eq!(response.status, 206, "{:?}", response.fields);
    let Some(boundary) =
        response.required("Content-Type").strip_prefix("multipart/byteranges; boundary=")
    else {
        let range = content_range(response.required("Content-Range"), size);
        return vec![(range, response.body.clone())];
    };
    let boundary = boundary.trim_matches('"');
    assert!((1..=70).contains(&boundary.len()), "{boundary:?}");
    // The line end before a delimiter belongs to the delimiter; the first has none.
    let body = [b"\r\n", &response.body[..]].concat();
    let delimiter = format!("\r\n--{boundary}");
    let ends: Vec<usize> = memchr::memmem::find_iter(&body, &delimiter).collect();
    assert_eq!(ends.first(), Some(&0), "there are bytes before the first part");
    let last = *ends.last().expect("there is a first");
    assert_eq!(&body[last + delimiter.len()..], b"--\r\n", "the end of the parts");
    let between = ends.windows(2).map(|pair| &body[pair[0] + delimiter.len()..pair[1]]);
    let read = between.map(|part| {
        let head_end = memchr::memmem::find(part, b"\r\n\r\n").expect("a part has a head");
        let head = std::str::from_utf8(&part[..head_end]).expect("a head is text");
        let head = head.strip_prefix("\r\n").expect("a delimiter is a whole line");
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        lines.sort_unstable();
        let [range, media_type] = lines[..] else { panic!("the head of a part: {head:?}") };
        assert_eq!(media_type, "Content-Type: application/octet-stream");
        let range = content_range(
            range.strip_prefix("Content-Range: ").expect("a part has a Content-Range"),
            size,
        );
        (range, part[head_end + 4..].to_vec())
    });
    read.collect()
}

/// Fails unless the response has exactly these parts of the [`patterned`] file.
#[track_caller]
fn expect_parts(peer: &mut Peer, path: &str, size: usize, value: &str, expected: &[Range<usize>]) {
    let content = patterned(size);
    let response = peer.get_with(path, &[&format!("Range: {value}")]);
    let found = parts(&response, size as u64);
    assert_eq!(response.field("Accept-Ranges"), Some("bytes"), "{path} {value}");
    let ranges: Vec<_> =
        found.iter().map(|(range, _)| range.start as usize..range.end as usize).collect();
    assert_eq!(ranges, expected, "{path} {value}");
    for (range, (_, bytes)) in expected.iter().zip(&found) {
        assert!(*bytes == content[range.clone()], "{path} {value}: other bytes at {range:?}");
    }
    assert_eq!(response.body.len() as u64, response.content_length());
}

#[track_caller]
fn expect_whole(peer: &mut Peer, path: &str, size: usize, fields: &[&str]) {
    let response = peer.get_with(path, fields);
    assert_eq!(
        (response.status, response.field("Content-Range")),
        (200, None),
        "{path} {fields:?}"
    );
    assert!(response.body == patterned(size), "{path} {fields:?}");
}

fn every_form_of_a_single_range_is_honoured(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        for (value, expected) in [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=0-499".to_owned(), 0..500),
            ("bytes=500-".to_owned(), 500..size),
            ("bytes=0-".to_owned(), 0..size),
            (format!("bytes={}-", size - 1), size - 1..size),
            (format!("bytes={0}-{0}", size - 1), size - 1..size),
            ("bytes=-8".to_owned(), size - 8..size),
            (format!("bytes=-{size}"), 0..size),
            (format!("bytes=-{}", size + 1), 0..size),
            (format!("bytes=10-{}", size + 10), 10..size),
            ("bytes=10-9223372036854775807".to_owned(), 10..size),
            ("bytes=10-18446744073709551615".to_owned(), 10..size),
            ("bytes=10-99999999999999999999999999".to_owned(), 10..size),
            ("bytes=-99999999999999999999999999".to_owned(), 0..size),
            ("bytes=00010-0000000000000000000000019".to_owned(), 10..20),
            ("BYTES=7-8".to_owned(), 7..9),
            ("bytes= , 7-8 ,,".to_owned(), 7..9),
            // Unsatisfiable ranges are dropped; a single remaining one is not sent as multipart.
            (format!("bytes={size}-,7-8,-0"), 7..9),
        ] {
            expect_parts(&mut peer, path, size, &value, &[expected]);
        }
    }
}

fn a_range_beyond_the_end_is_a_416_with_the_size(setup: &'static Setup) {
    let site = site_with_files();
    site.write("empty.bin", "");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES.into_iter().chain([("/empty.bin", 0)]) {
        for value in [
            format!("bytes={size}-"),
            format!("bytes={size}-{}", size + 1),
            "bytes=-0".to_owned(),
            "bytes=18446744073709551615-".to_owned(),
            "bytes=18446744073709551616-18446744073709551617".to_owned(),
            format!("bytes={size}-,-0,{}-", size + 7),
        ] {
            let response = peer.get_with(path, &[&format!("Range: {value}")]);
            assert_eq!(response.status, 416, "{path} {value}");
            assert_eq!(
                response.required("Content-Range"),
                format!("bytes */{size}"),
                "{path} {value}"
            );
            assert_eq!(response.body.len() as u64, response.content_length());
            assert_eq!(response.field("ETag"), None, "the body of a 416 is not the file");
        }
    }
    assert_eq!(peer.get_with("/empty.bin", &["Range: bytes=0-"]).status, 416);
}

fn malformed_ranges_are_ignored(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=--1",
            "bytes=9-5",
            "bytes=0-1,9-5",
            "bytes=a-5",
            "bytes=5-a",
            "bytes=+1-5",
            "bytes=1-+5",
            "bytes=0x1-0x5",
            "bytes=1 - 5",
            "bytes=1-5-9",
            "bytes=1-5;6-9",
            "bytes=5",
            "bytes 1-5",
            "bytes:1-5",
            "bytes =1-5",
            "lines=1-5",
            "none=1-5",
            "items=0-",
            "xbytes=1-5",
            "1-5",
        ] {
            expect_whole(&mut peer, path, size, &[&format!("Range: {value}")]);
        }
        // A Range that occurs twice is ambiguous.
        expect_whole(&mut peer, path, size, &["Range: bytes=0-1", "Range: bytes=2-3"]);
    }
}

fn several_ranges_are_sent_in_the_requested_order(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        for (value, expected) in [
            ("bytes=0-0,-1", vec![0..1, size - 1..size]),
            ("bytes=500-599,0-9", vec![500..600, 0..10]),
            ("bytes=-10, 0-9 ,300-309", vec![size - 10..size, 0..10, 300..310]),
            ("bytes=0-0,2-2,4-4", vec![0..1, 2..3, 4..5]),
            ("bytes=0-9,99999999-,100-109", vec![0..10, 100..110]),
        ] {
            expect_parts(&mut peer, path, size, value, &expected);
        }
        // Sixteen ranges are the maximum.
        let expected: Vec<_> = (0..16).map(|n| n * 50..n * 50 + 3).collect();
        let set: Vec<_> =
            expected.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
        expect_parts(&mut peer, path, size, &format!("bytes={}", set.join(",")), &expected);
    }
    // The connection persists after a multipart response.
    assert_eq!(peer.get("/page.html").status, 200);
}

fn overlapping_and_adjacent_ranges_are_merged(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        for (value, expected) in [
            ("bytes=0-9,10-19", vec![0..20]),
            ("bytes=10-19,0-9", vec![0..20]),
            ("bytes=0-99,50-149", vec![0..150]),
            ("bytes=0-99,20-29", vec![0..100]),
            ("bytes=5-5,5-5,5-5", vec![5..6]),
            ("bytes=0-9,20-29,10-19", vec![0..30]),
            ("bytes=50-99,0-60,200-209", vec![0..100, 200..210]),
            ("bytes=-10,-20", vec![size - 20..size]),
            // Ranges with a byte between them are not merged.
            ("bytes=0-9,11-19", vec![0..10, 11..20]),
        ] {
            expect_parts(&mut peer, path, size, value, &expected);
        }
    }
}

fn more_than_sixteen_ranges_are_answered_with_the_whole_file(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let set = |count: usize| {
        (0..count).map(|n| format!("{}-{}", n * 3, n * 3)).collect::<Vec<_>>().join(",")
    };
    for (path, size) in FILES {
        for set in [set(17), set(1000), "0-0,".repeat(17), "0-".to_owned() + &",-1".repeat(2000)] {
            expect_whole(&mut peer, path, size, &[&format!("Range: bytes={set}")]);
        }
    }
}

fn ranges_larger_than_the_file_are_answered_with_the_whole_file(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        for set in [
            "0-,0-".to_owned(),
            format!("0-{0},-{size}", size / 2),
            "0-18446744073709551615,0-18446744073709551615".to_owned(),
            "1-18446744073709551615,-18446744073709551615,2-18446744073709551614".to_owned(),
        ] {
            expect_whole(&mut peer, path, size, &[&format!("Range: bytes={set}")]);
        }
        // Ranges that add up to exactly the file's size are honoured.
        expect_parts(&mut peer, path, size, "bytes=0-9,10-", &[0..size]);
    }
}

fn if_range_must_match_for_a_partial_response(setup: &'static Setup) {
    let site = site_with_files();
    for (path, _) in FILES {
        // With the fraction of a second that a clock gives: the date of a program is not strong.
        site.set_modified(&path[1..], UNIX_EPOCH + Duration::from_millis(784_111_777_500));
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        let tag = peer.settled(path, &[]).required("ETag").to_owned();
        for (if_range, applies) in [
            (tag.clone(), true),
            (format!("W/{tag}"), false),
            ("\"other\"".to_owned(), false),
            (format!("\"other\", {tag}"), false),
            ("*".to_owned(), false),
            (String::new(), false),
            ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), true),
            ("Sunday, 06-Nov-94 08:49:37 GMT".to_owned(), true),
            ("Sun Nov  6 08:49:37 1994".to_owned(), true),
            // Only an equal date is a match: the client may have any version up to a later date.
            ("Sun, 06 Nov 1994 08:49:38 GMT".to_owned(), false),
            ("Sun, 06 Nov 1994 08:49:36 GMT".to_owned(), false),
            ("Sun, 06 Nov 1994 08:49:37".to_owned(), false),
        ] {
            let field = format!("If-Range: {if_range}");
            match applies {
                true => {
                    let response = peer.get_with(path, &["Range: bytes=3-7", &field]);
                    assert_eq!(
                        parts(&response, size as u64),
                        [(3..8, patterned(size)[3..8].to_vec())],
                        "{field}"
                    );
                }
                false => expect_whole(&mut peer, path, size, &["Range: bytes=3-7", &field]),
            }
            // An unsatisfiable range is not an error if it does not apply.
            let beyond = peer.get_with(path, &["Range: bytes=999999-", &field]);
            assert_eq!(beyond.status, if applies { 416 } else { 200 }, "{field}");
            expect_whole(&mut peer, path, size, &[&field]);
        }
        expect_whole(
            &mut peer,
            path,
            size,
            &["Range: bytes=3-7", &format!("If-Range: {tag}\r\nIf-Range: {tag}")],
        );
    }
}

fn a_head_request_ignores_ranges(setup: &'static Setup) {
    let site = site_with_files();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (path, size) in FILES {
        for value in ["bytes=0-1", "bytes=0-1,4-5", "bytes=999999-"] {
            let response = peer.ask(head(&get_with(path, &[&format!("Range: {value}")])));
            assert_eq!((response.status, response.content_length()), (200, size as u64), "{value}");
            assert_eq!(response.required("Accept-Ranges"), "bytes");
        }
    }
}

fn cached_and_uncached_files_have_equal_parts(setup: &'static Setup) {
    let site = Site::new();
    // Sizes around the limit of a cached file; all files start with the same bytes.
    let sizes = [60_000, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20];
    for size in sizes {
        site.write(size.to_string(), patterned(size));
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for value in [
        "bytes=0-0",
        "bytes=4095-4096",
        "bytes=1-59998",
        "bytes=59999-59999",
        "bytes=0-9,100-8191,59990-59999",
    ] {
        let responses = sizes.map(|size| {
            let response = peer.get_with(&format!("/{size}"), &[&format!("Range: {value}")]);
            parts(&response, size as u64)
        });
        for (size, response) in sizes.iter().zip(&responses) {
            assert!(*response == responses[0], "{value} of {size} bytes");
        }
    }
    for size in sizes {
        expect_parts(&mut peer, &format!("/{size}"), size, "bytes=-60000", &[size - 60_000..size]);
    }
}

fn a_repeated_range_is_of_the_version_that_its_etag_names(setup: &'static Setup) {
    let site = Site::new();
    let size = 200_000;
    let mut content = patterned(size);
    site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let mut etag = peer.settled("/large.bin", &[]).required("ETag").to_owned();
    // Within a block of 16 KiB, across two, at the end, and a whole block.
    let ranges = [0..100, 16_000..17_000, 199_990..200_000, 32_768..49_152];
    for version in 0..2_u8 {
        for range in ranges.iter().cycle().take(4 * ranges.len()) {
            let value = format!("Range: bytes={}-{}", range.start, range.end - 1);
            let response = peer.get_with("/large.bin", &[&value]);
            assert_eq!(response.required("ETag"), etag);
            assert!(response.body == content[range.clone()], "version {version}, {range:?}");
        }
        // One write(2), so that the block never has a state in between.
        let file = fs::File::options().write(true).open(site.path("large.bin"));
        file.and_then(|file| file.write_all_at(&[version; 10], 50)).expect("the file exists");
        let old = content[ranges[0].clone()].to_vec();
        content[50..60].fill(version);
        wait_until("the new bytes", || {
            let response = peer.get_with("/large.bin", &["Range: bytes=0-99"]);
            let is_old = response.body == old;
            assert!(is_old || response.body == content[ranges[0].clone()], "neither version");
            assert_eq!(response.field("ETag") == Some(&*etag), is_old, "the bytes of its ETag");
            (!is_old).then_some(())
        });
        etag = peer.settled("/large.bin", &[]).required("ETag").to_owned();
    }
}

fn a_range_beyond_4_gib_is_sent(setup: &'static Setup) {
    let site = Site::new();
    let (size, marker) = ((5 << 30) + 3, b"at the very end");
    let start = size - marker.len() as u64;
    site.sparse("huge.bin", size).write_all_at(marker, start).expect("the test owns the file");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for value in [
        format!("bytes={start}-"),
        format!("bytes=-{}", marker.len()),
        format!("bytes={start}-{}", u64::MAX),
    ] {
        let response = peer.get_with("/huge.bin", &[&format!("Range: {value}")]);
        assert_eq!(parts(&response, size), [(start..size, marker.to_vec())], "{value}");
    }
    let two = peer
        .get_with("/huge.bin", &[&format!("Range: bytes={}-{},-3", 1u64 << 32, (1u64 << 32) + 2)]);
    let (four, end) = (1 << 32..(1 << 32) + 3, size - 3..size);
    assert_eq!(parts(&two, size), [(four, vec![0; 3]), (end, b"end".to_vec())]);
}

fn a_range_of_an_encoded_file_applies_to_the_encoded_bytes(setup: &'static Setup) {
    let site = Site::new();
    site.write("page.html", "<p>much of the same</p>\n".repeat(100));
    site.write("side.html", "<p>plain</p>");
    site.write("side.html.br", patterned(100_000));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let made = if setup.forks { "gzip" } else { "br" };
    for (path, coding) in [("/page.html", "gzip"), ("/page.html", made), ("/side.html", "br")] {
        let accept = format!("Accept-Encoding: {coding}");
        let whole = peer.get_with(path, &[&accept]);
        assert_eq!(whole.field("Content-Encoding"), Some(coding), "{path}");
        let size = whole.body.len() as u64;
        let response = peer.get_with(path, &[&accept, "Range: bytes=10-29"]);
        assert_eq!(parts(&response, size), [(10..30, whole.body[10..30].to_vec())], "{path}");
        // A client that combines parts must be able to tell that they have the same coding.
        for name in ["Content-Encoding", "ETag", "Content-Type", "Cache-Control", "Last-Modified"] {
            assert_eq!(response.field(name), whole.field(name), "{path}: {name}");
        }
        assert_eq!(response.list("Vary"), ["Accept-Encoding"], "{path}");
        let beyond = peer.get_with(path, &[&accept, &format!("Range: bytes={size}-")]);
        assert_eq!(beyond.required("Content-Range"), format!("bytes */{size}"), "{path}");
    }
}

/// A random member of a range set: `a-b`, `a-` or `-b`, often near the limits of `size` bytes.
fn member(size: u64) -> impl proptest::strategy::Strategy<Value = String> {
    let number = prop_oneof![
        6 => 0..size + 10,
        1 => Just(size),
        1 => Just(size.saturating_sub(1)),
        1 => prop_oneof![Just(u64::MAX), Just(u64::MAX - 1), Just(i64::MAX as u64)],
    ];
    let length = prop_oneof![0..30u64, 0..size / 4 + 1, Just(u64::MAX)];
    prop_oneof![
        8 => (number.clone(), length.clone()).prop_map(|(first, length)| format!("{first}-{}", first.saturating_add(length))),
        1 => number.clone().prop_map(|first| format!("{first}-")),
        2 => length.prop_map(|bytes| format!("-{bytes}")),
        1 => (number.clone(), number).prop_map(|(first, last)| format!("{first}-{last}")),
    ]
}

/// The ranges that a set selects of `size` bytes (section 14.1.2). None if it is malformed.
fn selected(set: &[String], size: u64) -> Option<Vec<Range<u64>>> {
    let mut selected = Vec::new();
    for member in set {
        let (first, last) = member.split_once('-').expect("each has one");
        let range = match (first.parse::<u64>().ok(), last.parse::<u64>().ok()) {
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), Some(last)) => first..size.min(last.saturating_add(1)),
            (Some(first), None) => first..size,
            (None, Some(suffix)) => size.saturating_sub(suffix)..size,
            (None, None) => unreachable!("no member is a lone dash"),
        };
        selected.push(range);
    }
    selected.retain(|range| range.start < range.end);
    Some(selected)
}

fn random_range_sets_match_a_reference_implementation(setup: &'static Setup) {
    const SIZES: [usize; 5] = [1, 17, 1000, 66_000, 300_000];
    let site = Site::new();
    for size in SIZES {
        site.write(size.to_string(), patterned(size));
    }
    let server = Server::start(setup, site.root(), &[]);
    let sets = prop::sample::select(&SIZES[..])
        .prop_flat_map(|size| (Just(size), prop::collection::vec(member(size as u64), 1..20)));
    let mut runner =
        TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&sets, |(size, set)| {
        let content = patterned(size);
        // Each request has its own connection, so that a failure does not affect the next one.
        let response = server
            .ask(get_with(&format!("/{size}"), &[&format!("Range: bytes={}", set.join(","))]));
        let selected = selected(&set, size as u64);
        let sum: u128 =
            selected.iter().flatten().map(|range| u128::from(range.end - range.start)).sum();
        match selected {
            Some(selected) if set.len() <= 16 && sum <= size as u128 && selected.is_empty() => {
                prop_assert_eq!(response.status, 416);
                prop_assert_eq!(response.required("Content-Range"), format!("bytes */{size}"));
            }
            Some(selected) if set.len() <= 16 && sum <= size as u128 => {
                let found = parts(&response, size as u64);
                let mut is_missing = vec![false; size];
                selected.into_iter().for_each(|range| {
                    is_missing[range.start as usize..range.end as usize].fill(true)
                });
                for (range, bytes) in found {
                    let range = range.start as usize..range.end as usize;
                    prop_assert!(bytes == content[range.clone()], "other bytes at {range:?}");
                    // Each byte is marked as it is found, so a byte sent twice fails as well.
                    prop_assert!(
                        is_missing[range.clone()].iter().all(|missing| *missing),
                        "{range:?} was not requested, or sent twice"
                    );
                    is_missing[range].fill(false);
                }
                prop_assert!(!is_missing.contains(&true), "a requested byte is missing");
            }
            _ => {
                prop_assert_eq!(response.status, 200);
                prop_assert!(response.body == content);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Downloads the first third of a file of `size` bytes, then resets the connection.
#[track_caller]
fn interrupted_download(server: &Server, path: &str, size: usize) -> (Response, Vec<u8>) {
    let mut peer = server.connect();
    peer.send(get_with(path, &[]));
    let head = peer.response_to_head();
    assert_eq!(head.content_length(), size as u64);
    let begun = peer.take(size / 3);
    peer.reset();
    (head, begun)
}

fn an_interrupted_download_can_be_resumed(setup: &'static Setup) {
    let site = Site::new();
    let (size, time) = (3 << 20, UNIX_EPOCH + Duration::from_millis(784_111_777_500));
    let content = patterned(size);
    site.write("large.bin", &content);
    site.set_modified("large.bin", time);
    let server = Server::start(setup, site.root(), &[]);
    server.connect().settled("/large.bin", &[]);
    let (head, begun) = interrupted_download(&server, "/large.bin", size);
    let fields =
        [format!("Range: bytes={}-", begun.len()), format!("If-Range: {}", head.required("ETag"))];
    let fields = fields.each_ref().map(String::as_str);
    let rest = server.connect().get_with("/large.bin", &fields);
    assert_eq!(parts(&rest, size as u64)[0].0, begun.len() as u64..size as u64);
    assert!([begun, rest.body].concat() == content);
    // Another file of the same size replaces it, so the rest must not be sent.
    fs::rename(site.write("new", vec![7; size]), site.path("large.bin"))
        .expect("the test owns the file");
    let anew = wait_until("the new file becomes visible", || {
        let response = server.connect().get_with("/large.bin", &fields);
        (response.status == 200).then_some(response)
    });
    assert!(anew.body == vec![7; size]);
}

fn curl_resumes_an_interrupted_download(setup: &'static Setup) {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        // Written to stderr, so that the output shows the case as skipped.
        let _ = writeln!(std::io::stderr(), "skipped: curl is not installed");
        return;
    }
    let site = Site::new();
    let size = 3 << 20;
    let content = patterned(size);
    site.write("large.bin", &content);
    let server = Server::start(setup, site.root(), &[]);
    let (_, begun) = interrupted_download(&server, "/large.bin", size);
    let target = site.beside("download");
    fs::write(&target, &begun).expect("a file can be written");
    let curl = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--noproxy",
            "*",
            "--continue-at",
            "-",
            "--cacert",
        ])
        .arg(site.write_beside("authority.pem", &authority_pem()))
        .args(["--write-out", "%{http_code} %{size_download}", "--output"])
        .arg(&target)
        .arg(server.url("/large.bin"))
        .output()
        .expect("curl can be run");
    assert!(curl.status.success(), "{curl:?}");
    assert_eq!(
        String::from_utf8_lossy(&curl.stdout),
        format!("206 {}", size - begun.len()),
        "only the rest was downloaded"
    );
    assert!(fs::read(&target).expect("the file exists") == content);
}
