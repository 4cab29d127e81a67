//! Listings of directories without an index page, with `--list`: complete, limited to what is
//! served, and safe against hostile names.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::case::{Case, cases};
use crate::support::{Server, Setup, Site, get, get_with, head, shown};

pub fn cases() -> Vec<Case> {
    cases![
        a_directory_is_listed_only_with_the_list_option,
        a_directory_without_its_slash_is_redirected_to_its_listing,
        accept_selects_html_or_json,
        names_of_any_bytes_are_listed_once_and_link_to_their_file,
        names_are_escaped_in_the_page,
        dot_files_are_not_listed,
        files_that_are_not_served_are_not_listed,
        a_symbolic_link_inside_the_root_is_listed,
        directories_come_first_and_the_query_selects_the_order,
        numbers_in_names_are_sorted_by_value,
        a_page_shows_kinds_dates_and_totals,
        the_security_policy_allows_only_the_style_and_script_of_listings,
        breadcrumbs_link_to_every_parent_directory,
        head_and_get_of_a_listing_have_equal_headers,
        requests_pipelined_after_a_listing_are_answered_in_order,
        a_listing_is_sent_before_the_connection_closes,
        a_listing_requested_with_a_body_closes_the_connection,
        an_empty_directory_has_an_empty_listing,
    ]
}

/// Names with a special meaning in HTML, URLs, headers or JSON. None starts with a dot.
const HOSTILE: [&[u8]; 29] = [
    b"<script>alert(1)<",
    b"<img src=x onerror=alert(1)>",
    b"\"double\" quotes",
    b"'single' onmouseover='alert(1)",
    b"\" onmouseover=\"alert(1)",
    b"line\nbreak",
    b"carriage\r\nreturn: x",
    b"tab\tand\x7f\x01\x1b[31m",
    b"not utf-8 \xff\xfe\xc0\xaf",
    b"not utf-8 \xff\xfe\xc0\xae",
    b"javascript:alert(1)",
    b"C:colon",
    b"50%",
    b"%41",
    b"%2e%2e%2f",
    b"-rf",
    b"--help",
    b"a&b",
    b"a&amp;b",
    b"&lt;b&gt;",
    "txt.\u{202e}gnp.exe".as_bytes(),
    "lines\u{2028}and\u{2029}marks\u{61c}".as_bytes(),
    "\u{5d0}\u{5d1}".as_bytes(),
    b" spaces  within and around ",
    b"what?is=this#one",
    b"back\\slash",
    b"a+b=c;d,e@f!$(g)*~[h]{i}|^`",
    "中文 \u{1f980}".as_bytes(),
    b"caf\xc3\xa9",
];

/// The name of an entry, and whether it is a directory.
type Entry = (Vec<u8>, bool);

fn entry(name: impl AsRef<[u8]>, is_directory: bool) -> Entry {
    (name.as_ref().to_vec(), is_directory)
}

/// The relative links of a page in order, as a browser reads them.
fn hrefs(page: &[u8]) -> Vec<String> {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    let links =
        page.split("href=\"./").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
    links.map(|link| format!("./{}", link.replace("&amp;", "&"))).collect()
}

/// The entry that a link leads to, parsed as a URL (RFC 3986).
#[track_caller]
fn entry_of(href: &str) -> Entry {
    let segment = href.strip_prefix("./").unwrap_or_else(|| panic!("{href} is ambiguous"));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&b);
    assert!(segment.bytes().all(allowed), "{href} is not a path");
    let (name, is_directory) =
        segment.strip_suffix('/').map_or((segment, false), |name| (name, true));
    assert!(!name.is_empty() && !name.contains('/'), "{href} is not one segment");
    (percent_decode_str(name).collect(), is_directory)
}

fn entries(page: &[u8]) -> Vec<Entry> {
    hrefs(page).iter().map(|href| entry_of(href)).collect()
}

#[track_caller]
fn json(response: &crate::support::Response) -> Value {
    assert_eq!(response.required("Content-Type"), "application/json; charset=utf-8");
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|error| panic!("{error}: {}", shown(&response.body)))
}

fn json_hrefs(listing: &Value) -> Vec<String> {
    let items = listing["entries"].as_array().expect("entries are a list").iter();
    items.map(|item| item["href"].as_str().expect("a link is text").to_owned()).collect()
}

const JSON: &str = "Accept: application/json";

fn a_directory_is_listed_only_with_the_list_option(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let page = peer.get("/bare/");
    assert_eq!((page.status, page.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(entries(&page.body), [entry("a.txt", false)]);
    // A directory with an index page is not listed.
    assert_eq!(peer.get("/docs/").body, b"<!doctype html><title>docs</title>\n");
    for path in ["/missing/", "/page.html/", "/.git/"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
    drop((peer, server));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for fields in [&[][..], &[JSON], &["Accept: text/html"]] {
        assert_eq!(peer.get_with("/bare/", fields).status, 404, "{fields:?}");
    }
}

fn a_directory_without_its_slash_is_redirected_to_its_listing(setup: &'static Setup) {
    let site = Site::new();
    site.write("a b/c.txt", "c");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let response = peer.get("/a%20b?sort=size");
    assert_eq!((response.status, response.field("Location")), (301, Some("/a%20b/?sort=size")));
    assert_eq!(entries(&peer.get("/a%20b/?sort=size").body), [entry("c.txt", false)]);
}

fn accept_selects_html_or_json(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "four");
    site.set_modified("bare/a.txt", UNIX_EPOCH + Duration::from_secs(784_111_777));
    site.directory("bare/inner");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    for (accept, is_json) in [
        ("application/json", true),
        ("Application/JSON;q=0.9", true),
        ("text/plain, application/json", true),
        // A client that accepts HTML gets HTML.
        ("text/html, application/json", false),
        ("application/json, text/html;q=0", true),
        ("application/json;q=0.5, text/html; q=0.000", true),
        ("application/json;q=0, */*", false),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("*/*", false),
        ("", false),
    ] {
        let response = peer.get_with("/bare/", &[&format!("Accept: {accept}")]);
        let expected =
            if is_json { "application/json; charset=utf-8" } else { "text/html; charset=utf-8" };
        assert_eq!(
            (response.status, response.required("Content-Type")),
            (200, expected),
            "{accept}"
        );
        assert_eq!(
            response.list("Vary"),
            ["Accept"],
            "a cache must keep the two forms apart: {accept}"
        );
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
        // A listing has no validators, so caches must not reuse it.
        assert_eq!(response.field("Cache-Control"), Some("no-cache"), "{accept}");
    }
    let listing = json(&peer.get_with("/bare/", &[JSON]));
    assert_eq!((&listing["path"], &listing["complete"]), (&"/bare/".into(), &true.into()));
    let [directory, file] = &listing["entries"].as_array().expect("a list")[..] else {
        panic!("{listing}")
    };
    assert_eq!(
        (&directory["name"], &directory["href"], &directory["type"]),
        (&"inner".into(), &"./inner/".into(), &"folder".into())
    );
    assert_eq!(
        (&file["name"], &file["href"], &file["type"]),
        (&"a.txt".into(), &"./a.txt".into(), &"file".into())
    );
    assert_eq!((&file["size"], &file["modified"]), (&4.into(), &784_111_777.into()));
}

fn names_of_any_bytes_are_listed_once_and_link_to_their_file(setup: &'static Setup) {
    let site = Site::new();
    let mut expected = BTreeSet::new();
    for (n, name) in HOSTILE.iter().enumerate() {
        site.write([b"in/", *name].concat(), format!("content of {n}"));
        expected.insert(entry(name, false));
        let directory = [*name, b" as a folder"].concat();
        site.write([b"in/", &directory[..], b"/", name].concat(), format!("content in {n}"));
        expected.insert(entry(directory, true));
    }
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let page = hrefs(&peer.get("/in/").body);
    let listing = json_hrefs(&json(&peer.get_with("/in/", &[JSON])));
    assert_eq!(page, listing, "HTML and JSON list the same entries in the same order");
    let found: BTreeSet<Entry> = page.iter().map(|href| entry_of(href)).collect();
    assert_eq!(found, expected);
    assert_eq!(page.len(), expected.len(), "an entry is listed twice");
    for href in &page {
        let (name, is_directory) = entry_of(href);
        let path = format!("/in/{}", &href[2..]);
        let place = |name: &[u8]| {
            HOSTILE.iter().position(|hostile| *hostile == name).expect("one of the hostile names")
        };
        if is_directory {
            let inner = peer.get(&path);
            let [inner] = &hrefs(&inner.body)[..] else {
                panic!("one file is in {path}: {}", shown(&inner.body))
            };
            let content = peer.get(&format!("{path}{}", &inner[2..])).body;
            let name = name
                .strip_suffix(b" as a folder")
                .expect("the names of the directories have this suffix");
            assert_eq!(shown(&content), format!("content in {}", place(name)), "{path}{inner}");
        } else {
            assert_eq!(
                shown(&peer.get(&path).body),
                format!("content of {}", place(&name)),
                "{path}"
            );
        }
    }
}

fn names_are_escaped_in_the_page(setup: &'static Setup) {
    let site = Site::new();
    for name in HOSTILE {
        site.write(name, "x");
        // These appear in the title, the breadcrumbs and the path of the JSON.
        site.write([name, b" as a folder/", name].concat(), "x");
    }
    fs::remove_file(site.path("index.html")).expect("the file exists");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let root = peer.get("/").body;
    let directories = hrefs(&root)
        .into_iter()
        .filter(|href| href.ends_with("folder/"))
        .map(|href| href[1..].to_owned());
    for path in directories.chain(["/".to_owned()]).collect::<Vec<_>>() {
        let page = peer.get(&path);
        let text = String::from_utf8(page.body).expect("a page is UTF-8");
        let text = without_own_script_and_style(&text);
        let lower = text.to_ascii_lowercase();
        for tag in ["<script", "<img"] {
            assert!(!lower.contains(tag), "{path}: {tag}");
        }
        // No name has added an attribute to a tag or closed the tag.
        for tag in text.split('<').skip(1) {
            let (tag, _) =
                tag.split_once('>').unwrap_or_else(|| panic!("{path}: an open tag: {tag}"));
            let unquoted: String = tag.split('"').step_by(2).collect();
            assert!(
                !unquoted.contains("onmouseover") && !unquoted.contains("onerror"),
                "{path}: <{tag}>"
            );
            assert!(tag.matches('"').count() % 2 == 0, "{path}: <{tag}>");
        }
        for invisible in
            ['\u{202e}', '\u{1}', '\u{1b}', '\u{7f}', '\u{2028}', '\u{2029}', '\u{61c}']
        {
            assert!(!text.contains(invisible), "{path}: {invisible:?} can disguise a name");
        }
        assert!(text.contains("&lt;script&gt;") || path != "/", "the name is shown");
        let hebrew = "\u{5d0}\u{5d1}";
        let isolated = text.matches(&format!("<bdi>{hebrew}")).count();
        let title = text.matches(&format!("<title>/{hebrew}")).count();
        assert_eq!(
            isolated + title,
            text.matches(hebrew).count(),
            "{path}: a name is not isolated"
        );
        let listing = peer.get_with(&path, &[JSON]);
        let json_path = json(&listing)["path"].as_str().expect("text").to_owned();
        assert_eq!(
            percent_decode_str(&json_path).collect::<Vec<u8>>(),
            percent_decode_str(&path).collect::<Vec<u8>>(),
            "the path of {path}"
        );
    }
}

/// The page without the style and script of every listing. Each occurs once.
#[track_caller]
fn without_own_script_and_style(page: &str) -> String {
    let style = element(page, "<style>", "</style>");
    let script = element(page, "<script type=\"module\">", "</script>");
    page.replacen(&format!("<style>{style}</style>"), "", 1).replacen(
        &format!("<script type=\"module\">{script}</script>"),
        "",
        1,
    )
}

/// The text between the first `start` and the next `end`.
#[track_caller]
fn element<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let inner = page.split_once(start).and_then(|(_, rest)| rest.split_once(end));
    inner.unwrap_or_else(|| panic!("no {start} in {}", shown(page.as_bytes()))).0
}

fn the_security_policy_allows_only_the_style_and_script_of_listings(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/<script>alert(1)<", "x");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let response = peer.get("/bare/");
    let page = std::str::from_utf8(&response.body).expect("a page is UTF-8");
    let hash = |text: &str| BASE64.encode(Sha256::digest(text.as_bytes()));
    let style = hash(element(page, "<style>", "</style>"));
    let script = hash(element(page, "<script type=\"module\">", "</script>"));
    assert_eq!(
        response.list("Content-Security-Policy"),
        [format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
             base-uri 'none'; form-action 'none'"
        )]
    );
    // Style and event attributes would need 'unsafe-inline'.
    let rest = without_own_script_and_style(page);
    assert!(!rest.contains(" style=") && !rest.contains(" on"), "{rest}");
    for (path, fields) in [("/bare/", &[JSON][..]), ("/page.html", &[]), ("/missing", &[])] {
        let response = peer.get_with(path, fields);
        assert_eq!(response.field("Content-Security-Policy"), None, "{path}");
    }
}

fn numbers_in_names_are_sorted_by_value(setup: &'static Setup) {
    let site = Site::new();
    let sorted = ["File2", "file10", "File10b", "file010b", "file11", "x01", "x1", "x1.5"];
    sorted.iter().for_each(|name| drop(site.write(format!("bare/{name}"), "x")));
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    for (query, is_reversed) in [("", false), ("?sort=size", false), ("?order=desc", true)] {
        let mut expected = sorted.map(|name| entry(name, false));
        if is_reversed {
            expected.reverse();
        }
        assert_eq!(entries(&peer.get(&format!("/bare/{query}")).body), expected, "{query}");
    }
}

fn a_page_shows_kinds_dates_and_totals(setup: &'static Setup) {
    let site = Site::new();
    for (name, size) in [("a.rs", 1000), ("b.png", 536), ("c.unknown", 0)] {
        site.write(format!("bare/{name}"), vec![b'x'; size]);
        site.set_modified(format!("bare/{name}"), UNIX_EPOCH + Duration::from_secs(784_111_777));
    }
    site.directory("bare/d");
    let server = Server::start(setup, site.root(), &["--list"]);
    let page = String::from_utf8(server.get("/bare/").body).expect("a page is UTF-8");
    let time = "<time datetime=1994-11-06T08:49Z>1994-11-06 08:49</time>";
    for row in [
        "<tr class=d><td><a href=\"./d/\"><bdi>d</bdi>/</a><td><td><time".to_owned(),
        format!("<tr class=c><td><a href=\"./a.rs\"><bdi>a.rs</bdi></a><td>1000 B<td>{time}\n"),
        format!("<tr class=i><td><a href=\"./b.png\"><bdi>b.png</bdi></a><td>536 B<td>{time}\n"),
        format!("<tr><td><a href=\"./c.unknown\"><bdi>c.unknown</bdi></a><td>0 B<td>{time}\n"),
    ] {
        assert!(page.contains(&row), "{row} is not in {page}");
    }
    let totals = "1 folder, 3 files, 1.5 KiB. Times are in <span id=\"zone\">UTC</span>.";
    assert!(page.contains(totals), "{page}");
}

fn dot_files_are_not_listed(setup: &'static Setup) {
    let site = Site::new();
    for name in [".htaccess", ".git/config", "...", ".well-known/security.txt", "..a", "shown.txt"]
    {
        site.write(format!("bare/{name}"), "x");
    }
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    assert_eq!(entries(&peer.get("/bare/").body), [entry("shown.txt", false)]);
    assert_eq!(json_hrefs(&json(&peer.get_with("/bare/", &[JSON]))), ["./shown.txt"]);
    for path in ["/bare/.git/", "/bare/.well-known/", "/bare/%2egit/", "/.git/"] {
        assert_eq!(peer.get(path).status, 404, "{path}");
    }
}

fn files_that_are_not_served_are_not_listed(setup: &'static Setup) {
    let site = Site::new();
    let secret = site.write_beside("secret.txt", "secret");
    site.write("bare/file.txt", "x");
    site.write("target.txt", "x");
    mknodat(CWD, site.path("bare/fifo"), FileType::Fifo, Mode::RWXU, 0).expect("a fifo");
    let _socket =
        std::os::unix::net::UnixListener::bind(site.path("bare/socket")).expect("a socket");
    site.link("bare/absolute", &secret);
    site.link("bare/relative", "../../secret.txt");
    site.link("bare/around", site.beside(""));
    site.link("bare/up", "../..");
    site.link("bare/nowhere", "no-such-file");
    site.link("bare/itself", "itself");
    site.link("bare/device", "/dev/zero");
    site.link("bare/to-fifo", "fifo");
    site.link("bare/good", "file.txt");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let listed = entries(&peer.get("/bare/").body);
    assert_eq!(listed, [entry("file.txt", false), entry("good", false)]);
    assert_eq!(peer.get("/bare/good").body, b"x");
    for name in
        ["absolute", "relative", "around/", "up/", "nowhere", "itself", "device", "fifo", "socket"]
    {
        assert_eq!(
            peer.get(&format!("/bare/{name}")).status,
            404,
            "{name} is neither listed nor served"
        );
    }
}

fn a_symbolic_link_inside_the_root_is_listed(setup: &'static Setup) {
    let site = Site::new();
    site.write("shared/logo.txt", "logo");
    site.link("bare/logo.txt", "../shared/logo.txt");
    site.link("bare/shared", "../shared");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    // The links stay within the root, so they are followed.
    assert_eq!(peer.get("/bare/logo.txt").body, b"logo");
    assert_eq!(peer.get("/bare/shared/logo.txt").body, b"logo");
    assert_eq!(
        entries(&peer.get("/bare/").body),
        [entry("shared", true), entry("logo.txt", false)]
    );
}

fn directories_come_first_and_the_query_selects_the_order(setup: &'static Setup) {
    let site = Site::new();
    // Name, size and date give three different orders. The case of a letter does not matter.
    for (name, size, seconds) in
        [("b", 30, 1_000), ("A", 10, 3_000), ("c", 20, 2_000), ("D", 20, 500)]
    {
        site.write(format!("bare/{name}"), vec![b'x'; size]);
        site.set_modified(format!("bare/{name}"), UNIX_EPOCH + Duration::from_secs(seconds));
    }
    for directory in ["bare/z", "bare/Y"] {
        site.directory(directory);
    }
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    for (query, directories, files) in [
        ("", Some("Yz"), "AbcD"),
        ("?sort=name", Some("Yz"), "AbcD"),
        ("?sort=name&order=desc", Some("zY"), "DcbA"),
        ("?order=desc", Some("zY"), "DcbA"),
        ("?sort=size", Some("Yz"), "AcDb"),
        ("?sort=size&order=desc", None, "bDcA"),
        ("?order=desc&sort=size", None, "bDcA"),
        // The case does not control when the directories were created.
        ("?sort=date", None, "DbcA"),
        ("?sort=date&order=desc", None, "AcbD"),
        ("?sort=nonsense&order=sideways&x=%zz", Some("Yz"), "AbcD"),
    ] {
        let path = format!("/bare/{query}");
        let listed = entries(&peer.get(&path).body);
        let names = |wanted: bool| {
            let names = listed.iter().filter(|(_, is_directory)| *is_directory == wanted);
            names.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect::<String>()
        };
        assert!(
            listed.iter().map(|(_, is_directory)| !is_directory).is_sorted(),
            "{query}: directories first in {listed:?}"
        );
        assert_eq!(names(false), files, "{query}");
        if let Some(directories) = directories {
            assert_eq!(names(true), directories, "{query}");
        }
        assert_eq!(listed.len(), 6, "{query}");
        let json: Vec<Entry> = json_hrefs(&json(&peer.get_with(&path, &[JSON])))
            .iter()
            .map(|href| entry_of(href))
            .collect();
        assert_eq!(json, listed, "{query}: as JSON");
    }
}

fn breadcrumbs_link_to_every_parent_directory(setup: &'static Setup) {
    let site = Site::new();
    site.directory("a b/c&d/é'\"");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let page = peer.get("/a%20b/c&d/%C3%A9'%22/").body;
    let page = String::from_utf8(page).expect("a page is UTF-8");
    let (_, crumbs) = page.split_once("<h1>").expect("a page has a heading");
    let (crumbs, _) = crumbs.split_once("</h1>").expect("the heading ends");
    // The links are relative, so that they also work behind a proxy that strips a prefix.
    assert_eq!(
        crumbs,
        "<a href=\"../../../\">Home</a><i>/</i><a href=\"../../\"><bdi>a b</bdi></a><i>/</i>\
         <a href=\"../\"><bdi>c&amp;d</bdi></a><i>/</i>\
         <b aria-current=\"page\"><bdi>é&#39;&quot;</bdi></b>"
    );
    let parent = "<a href=\"../\">Parent folder</a>";
    assert!(page.contains(parent));
    for target in ["/a%20b/c&d/", "/a%20b/", "/"] {
        assert_eq!(peer.get(target).status, 200, "{target}");
    }
    fs::remove_file(site.path("index.html")).expect("the file exists");
    let front = crate::support::wait_until("the index page is gone", || {
        let front = String::from_utf8(peer.get("/").body).expect("a page is UTF-8");
        front.contains("<table>").then_some(front)
    });
    assert!(!front.contains(parent), "the root has no parent");
}

fn head_and_get_of_a_listing_have_equal_headers(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(setup, site.root(), &["--list", "--header", "X-A: b", "--cors"]);
    let mut peer = server.connect();
    for fields in [&[][..], &[JSON]] {
        let request = get_with("/bare/", fields);
        let page = peer.ask(&request);
        // A body would appear as the start of the next response.
        let bare = peer.ask(head(&request));
        assert_eq!(
            (bare.status, bare.headers_except_date()),
            (200, page.headers_except_date()),
            "{fields:?}"
        );
        assert_eq!(bare.content_length(), page.body.len() as u64);
        assert_eq!(page.field("X-A"), Some("b"));
    }
    assert_eq!(peer.get("/page.html").status, 200);
}

fn requests_pipelined_after_a_listing_are_answered_in_order(setup: &'static Setup) {
    let site = Site::new();
    for n in 0..300 {
        site.write(format!("bare/{n}.txt"), "x");
    }
    let server = Server::start(setup, site.root(), &["--list"]);
    let requests = [
        get("/bare/"),
        get("/page.html"),
        get_with("/bare/", &[JSON]),
        head(&get("/bare/")),
        get("/missing"),
        get("/bare/"),
        get("/bare/"),
        get("/bare/7.txt"),
    ]
    .concat();
    for piece in [requests.len(), 1] {
        let mut peer = server.connect();
        peer.send_in_pieces(&requests, piece);
        assert_eq!(entries(&peer.response().body).len(), 300);
        assert_eq!(peer.response().content_length(), 35);
        assert_eq!(json_hrefs(&json(&peer.response())).len(), 300);
        assert_eq!(peer.response_to_head().status, 200);
        assert_eq!(peer.response().status, 404);
        assert_eq!(entries(&peer.response().body).len(), 300);
        assert_eq!(entries(&peer.response().body).len(), 300);
        assert_eq!(peer.response().body, b"x");
        peer.finish_sending();
        peer.expect_end();
    }
}

fn a_listing_is_sent_before_the_connection_closes(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    peer.send(get_with("/bare/", &["Connection: close"]));
    let page = peer.response();
    assert!(page.says_close());
    assert_eq!(entries(&page.body), [entry("a.txt", false)]);
    peer.expect_end();
    let mut peer = server.connect();
    peer.send("GET /bare/ HTTP/1.0\r\n\r\n");
    assert_eq!(entries(&peer.response().body), [entry("a.txt", false)]);
    peer.expect_end();
    // A client that shuts down its sending side still gets the response.
    let mut peer = server.connect();
    peer.send(get("/bare/"));
    peer.finish_sending();
    assert_eq!(entries(&peer.response().body), [entry("a.txt", false)]);
    peer.expect_end();
}

fn a_listing_requested_with_a_body_closes_the_connection(setup: &'static Setup) {
    let site = Site::new();
    site.write("bare/a.txt", "a");
    let server = Server::start(setup, site.root(), &["--list"]);
    for (framing, body) in [
        ("Content-Length: 5", "hello".to_owned()),
        ("Content-Length: 60000", "x".repeat(60_000)),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n".to_owned()),
    ] {
        let request = get_with("/bare/", &[framing]);
        for parts in [&[request.clone() + &body][..], &[request.clone(), body.clone()]] {
            let mut peer = server.connect();
            parts.iter().for_each(|part| peer.send(part));
            let page = peer.response();
            assert!(page.status == 200 && page.says_close(), "{framing}: {page:?}");
            assert_eq!(entries(&page.body), [entry("a.txt", false)], "{framing}");
            peer.finish_sending();
            peer.expect_end();
        }
    }
}

fn an_empty_directory_has_an_empty_listing(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &["--list"]);
    let mut peer = server.connect();
    let page = peer.get("/bare/");
    assert_eq!((page.status, entries(&page.body)), (200, Vec::new()));
    assert!(shown(&page.body[page.body.len() - 600..]).contains("There is nothing to list"));
    let listing = json(&peer.get_with("/bare/", &[JSON]));
    assert_eq!((json_hrefs(&listing), &listing["complete"]), (Vec::new(), &true.into()));
}
