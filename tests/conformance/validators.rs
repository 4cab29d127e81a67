//! Validators (RFC 9110 section 8.8): what ETag and Last-Modified are made of, and that no two
//! contents share one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::case::{Case, cases};
use crate::support::{Peer, Response, Server, Setup, Site, patterned, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        replicas_send_equal_etags,
        the_etag_of_a_small_file_depends_on_its_content_alone,
        a_nanosecond_or_a_byte_changes_the_etag_of_a_large_file,
        a_file_that_may_still_change_has_no_validator_from_its_metadata,
        an_mtime_in_the_future_is_no_validator,
        files_that_differ_never_share_a_validator_though_their_times_are_pinned,
        a_large_file_with_a_pinned_time_can_be_resumed,
        each_content_coding_has_its_own_etag,
    ]
}

/// Larger than what the server keeps in memory.
const LARGE_BYTES: usize = 200_000;
/// A time with a fraction of a second, as the clock of a file system sets it.
const WRITTEN: Duration = Duration::new(784_111_777, 123_456_789);

/// Times that tools give to every version of a file, and whether Last-Modified shows it.
const PINNED: [(&str, Duration, bool); 4] = [
    ("ostree", Duration::ZERO, false),
    ("nix", Duration::from_secs(1), false),
    ("npm", Duration::from_secs(499_162_500), false),
    ("source-date-epoch", Duration::from_secs(1_700_000_000), true),
];

/// Replaces a file by a rename, so that only the new one has its content and its time.
fn replace(site: &Site, name: &str, content: &[u8], time: SystemTime) {
    site.write("new", content);
    site.set_modified("new", time);
    fs::rename(site.path("new"), site.path(name)).expect("the test owns the file");
}

/// Requests `path` until its content is `body` and it has an ETag.
#[track_caller]
fn tagged(peer: &mut Peer, path: &str, body: &[u8]) -> Response {
    wait_until("the content with an ETag", || {
        Some(peer.get(path))
            .filter(|response| response.body == body && response.field("ETag").is_some())
    })
}

fn replicas_send_equal_etags(setup: &'static Setup) {
    // Both exist at the same time, so that they can't have the same inode.
    let (one, other) = (Site::new(), Site::new());
    let pinned = UNIX_EPOCH + Duration::from_secs(1);
    for (site, name, time) in
        [(&one, "a", SystemTime::now()), (&other, "elsewhere/b", UNIX_EPOCH + WRITTEN)]
    {
        site.write(format!("{name}.txt"), "the same");
        site.set_modified(format!("{name}.txt"), time);
        for (kind, time) in [("dated", UNIX_EPOCH + WRITTEN), ("pinned", pinned)] {
            let path = format!("{name}-{kind}.bin");
            site.write(&path, patterned(LARGE_BYTES));
            site.set_modified(&path, time);
        }
    }
    let servers = [&one, &other].map(|site| Server::start(setup, site.root(), &[]));
    for (file, content) in [
        (".txt", b"the same".to_vec()),
        ("-dated.bin", patterned(LARGE_BYTES)),
        ("-pinned.bin", patterned(LARGE_BYTES)),
    ] {
        let tag = |server: &Server, name: &str| {
            let response = tagged(&mut server.connect(), &format!("{name}{file}"), &content);
            response.required("ETag").to_owned()
        };
        assert_eq!(tag(&servers[0], "/a"), tag(&servers[1], "/elsewhere/b"), "{file}");
    }
}

fn the_etag_of_a_small_file_depends_on_its_content_alone(setup: &'static Setup) {
    let site = Site::new();
    let files = [("a", "one", 1), ("b", "one", 2), ("c", "two", 1)];
    for (name, content, seconds) in files {
        site.write(name, content);
        site.set_modified(name, UNIX_EPOCH + WRITTEN * seconds);
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let tags = files.map(|(name, ..)| peer.get(&format!("/{name}")).required("ETag").to_owned());
    assert!(tags[0].starts_with('"'), "the hash of what is sent is strong from the start");
    assert!(tags[0] == tags[1] && tags[0] != tags[2], "{tags:?}");
}

fn a_nanosecond_or_a_byte_changes_the_etag_of_a_large_file(setup: &'static Setup) {
    let site = Site::new();
    let nanosecond = Duration::from_nanos(1);
    let files = [
        ("a", LARGE_BYTES, WRITTEN),
        ("b", LARGE_BYTES, WRITTEN + nanosecond),
        ("c", LARGE_BYTES + 1, WRITTEN),
    ];
    for (name, size, time) in files {
        site.write(name, patterned(size));
        site.set_modified(name, UNIX_EPOCH + time);
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let settled = files.map(|(name, ..)| peer.settled(&format!("/{name}"), &[]));
    let tags = settled.each_ref().map(|response| response.required("ETag"));
    assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2], "{tags:?}");
    // Last-Modified has whole seconds, so only the tag tells them apart.
    assert_eq!(settled[0].required("Last-Modified"), settled[1].required("Last-Modified"));
}

fn a_file_that_may_still_change_has_no_validator_from_its_metadata(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    // A program can set the mtime back; the ctime still says when the file was last touched.
    for (name, size, time) in [
        ("new.txt", 10, None),
        ("new.bin", LARGE_BYTES, None),
        ("set-back.txt", 10, Some(WRITTEN)),
        ("set-back.bin", LARGE_BYTES, Some(WRITTEN)),
        ("pinned.bin", LARGE_BYTES, Some(Duration::from_secs(1))),
    ] {
        let path = format!("/{name}");
        let young = wait_until("a response while the file is young", || {
            let written = SystemTime::now();
            site.write(name, patterned(size));
            time.inspect(|time| site.set_modified(name, UNIX_EPOCH + *time));
            let response = peer.get(&path);
            // If the machine was too busy to respond in time, try again.
            let is_young = written.elapsed().is_ok_and(|age| age < Duration::from_millis(1900));
            (is_young && response.status == 200).then_some(response)
        });
        assert_eq!(young.field("Last-Modified"), None, "{name}");
        assert_eq!(young.field("ETag").is_some(), size < LARGE_BYTES, "{name}");
        let settled = tagged_once_old(&mut peer, &site, name);
        if let Some(tag) = young.field("ETag") {
            assert_eq!(settled.required("ETag"), tag, "{name}: the content is the same");
        }
    }
}

/// Requests a file until it has an ETag and no later load can change its headers. Fails if that is
/// so before two seconds have passed since the file was last touched.
#[track_caller]
fn tagged_once_old(peer: &mut Peer, site: &Site, name: &str) -> Response {
    wait_until("an ETag, and a file that has not changed for two seconds", || {
        let response = peer.get(&format!("/{name}"));
        let touched = fs::metadata(site.path(name)).expect("the file exists");
        let changed = Duration::new(touched.ctime() as u64, touched.ctime_nsec() as u32);
        let is_old = (UNIX_EPOCH + changed).elapsed().is_ok_and(|age| age.as_secs() >= 2);
        let is_large = touched.size() == LARGE_BYTES as u64;
        let has_validator = response.field("Last-Modified").is_some()
            || is_large && response.field("ETag").is_some();
        assert!(is_old || !has_validator, "{name} has validators too early: {response:?}");
        (is_old && response.field("ETag").is_some()).then_some(response)
    })
}

fn an_mtime_in_the_future_is_no_validator(setup: &'static Setup) {
    let site = Site::new();
    let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
    let sizes = [("small.txt", 10), ("large.bin", LARGE_BYTES)];
    for (name, size) in sizes {
        replace(&site, name, &patterned(size), tomorrow);
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (name, size) in sizes {
        let path = format!("/{name}");
        let response = tagged(&mut peer, &path, &patterned(size));
        assert_eq!(response.field("Last-Modified"), None, "{name}");
        let tag = response.required("ETag").to_owned();
        let if_none_match = format!("If-None-Match: {tag}");
        assert_eq!(peer.get_with(&path, &[&if_none_match]).status, 304, "{name}");
        let if_range = format!("If-Range: {tag}");
        assert_eq!(peer.get_with(&path, &["Range: bytes=0-1", &if_range]).status, 206, "{name}");
    }
}

fn files_that_differ_never_share_a_validator_though_their_times_are_pinned(setup: &'static Setup) {
    let site = Site::new();
    let with_size = |size| {
        PINNED.iter().map(move |(name, time, is_date)| {
            (format!("{name}-{size}"), size, UNIX_EPOCH + *time, *is_date)
        })
    };
    let files: Vec<_> = with_size(10).chain(with_size(LARGE_BYTES)).collect();
    let write_all = |first_byte: u8| {
        for (name, size, time, _) in &files {
            replace(&site, name, &content(first_byte, *size), *time);
        }
    };
    write_all(1);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let path = |name: &str| format!("/{name}");
    let mut get_all = |first_byte: u8| -> Vec<Response> {
        let get = |(name, size, ..): &(String, usize, SystemTime, bool)| {
            tagged(&mut peer, &path(name), &content(first_byte, *size))
        };
        files.iter().map(get).collect()
    };
    let old = get_all(1);
    let before = httpdate::fmt_http_date(SystemTime::now());
    write_all(2);
    let new = get_all(2);
    for (((name, size, time, is_date), old), new) in files.iter().zip(&old).zip(&new) {
        let date = httpdate::fmt_http_date(*time);
        let (old_tag, new_tag) = (old.required("ETag"), new.required("ETag"));
        assert_ne!(old_tag, new_tag, "{name}");
        let whole = |fields: &[&str]| {
            let response = server.connect().get_with(&path(name), fields);
            assert_eq!(response.status, 200, "{name} {fields:?}");
            assert!(response.body == content(2, *size), "{name} {fields:?}");
        };
        whole(&[&format!("If-None-Match: {old_tag}")]);
        whole(&[&format!("If-None-Match: W/{old_tag}")]);
        for validator in [old_tag, &date] {
            whole(&["Range: bytes=1-", &format!("If-Range: {validator}")]);
        }
        if !is_date {
            assert_eq!((old.field("Last-Modified"), new.field("Last-Modified")), (None, None));
            whole(&[&format!("If-Modified-Since: {date}")]);
        }
        // The client may have read the old content at that time.
        let field = format!("If-Unmodified-Since: {before}");
        let response = server.connect().get_with(&path(name), &["Range: bytes=1-", &field]);
        assert!(*is_date || response.status == 412, "{name}: {response:?}");
    }
}

fn content(first_byte: u8, size: usize) -> Vec<u8> {
    [&[first_byte], &patterned(size)[1..]].concat()
}

fn a_large_file_with_a_pinned_time_can_be_resumed(setup: &'static Setup) {
    let site = Site::new();
    let content = patterned(LARGE_BYTES);
    replace(&site, "large.bin", &content, UNIX_EPOCH + Duration::from_secs(1));
    let server = Server::start(setup, site.root(), &[]);
    let tag = tagged(&mut server.connect(), "/large.bin", &content).required("ETag").to_owned();
    drop(server);
    // The tag is that of any server, also of one that has not hashed the file yet.
    let server = Server::start(setup, site.root(), &[]);
    let if_range = format!("If-Range: {tag}");
    let rest = wait_until("a partial response", || {
        let fields = ["Range: bytes=1000-", &if_range];
        let response = server.connect().get_with("/large.bin", &fields);
        assert!(response.status == 206 || response.body == content, "{response:?}");
        (response.status == 206).then_some(response)
    });
    assert!(rest.body == content[1000..]);
    assert_eq!(rest.required("ETag"), tag);
}

fn each_content_coding_has_its_own_etag(setup: &'static Setup) {
    let site = Site::new();
    site.write("page.html", "<p>much of the same</p>\n".repeat(100));
    for extension in ["br", "zst"] {
        // Even if its bytes are the same.
        site.write(format!("page.html.{extension}"), "<p>much of the same</p>\n".repeat(100));
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    let mut tags = ["identity", "br", "zstd", "gzip"].map(|coding| {
        let response = peer.get_with("/page.html", &[&format!("Accept-Encoding: {coding}")]);
        assert_eq!(response.field("Content-Encoding").unwrap_or("identity"), coding);
        response.required("ETag").to_owned()
    });
    tags.sort();
    assert!(tags.windows(2).all(|pair| pair[0] != pair[1]), "{tags:?}");
}
