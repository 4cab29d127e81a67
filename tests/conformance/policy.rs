//! The options that change responses: fallback and error pages, headers, caching, media types
//! and CORS. Their usage errors are tested in `tests/cli.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::case::{Case, cases};
use crate::support::{Peer, Response, Server, Setup, Site, get, get_with, head, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        a_navigation_to_a_missing_path_gets_the_fallback,
        other_requests_for_a_missing_path_get_a_404,
        the_fallback_does_not_replace_existing_files,
        the_sites_error_page_is_sent_with_a_404,
        a_large_error_page_is_sent_from_the_disk,
        a_header_rule_without_a_pattern_applies_to_every_response,
        a_header_rule_applies_to_the_paths_of_its_pattern,
        a_header_rule_applies_to_every_status,
        a_pattern_beneath_a_directory_matches_its_listing,
        files_are_revalidated_unless_their_name_contains_a_hash,
        the_first_matching_cache_rule_applies,
        cors_headers_are_sent_only_with_the_cors_option,
        a_preflight_needs_no_credentials,
        a_media_type_rule_overrides_the_table,
        media_types_are_those_that_browsers_need,
        a_text_file_is_plain_text_if_its_name_has_no_type,
        nosniff_accompanies_every_content_type,
        a_204_to_options_has_no_content_headers,
        only_the_named_hosts_are_served,
    ]
}

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

pub fn options(path: &str, fields: &[&str]) -> String {
    get_with(path, fields).replacen("GET", "OPTIONS", 1)
}

fn post(path: &str) -> String {
    get(path).replacen("GET", "POST", 1)
}

/// Whether Vary names Accept. It must not do so twice.
#[track_caller]
fn varies_by_accept(response: &Response) -> bool {
    let times =
        response.list("Vary").iter().filter(|name| name.eq_ignore_ascii_case("accept")).count();
    assert!(times <= 1, "{:?}", response.fields);
    times == 1
}

fn a_navigation_to_a_missing_path_gets_the_fallback(setup: &'static Setup) {
    let site = Site::new();
    site.write("app.html", "<!doctype html><title>app</title>\n");
    for name in ["app.html", "/app.html", "./app.html"] {
        let server = Server::start(setup, site.root(), &["--fallback", name]);
        let mut peer = server.connect();
        for path in
            ["/settings", "/users/7", "/users/", "/old.html", "/a/b/c?x=y.js", "/bare/", "/%C3%A9"]
        {
            for accept in [HTML, "Accept: text/html", "Accept: */*, Text/HTML;level=1"] {
                let response = peer.get_with(path, &[accept]);
                assert_eq!(response.status, 200, "{path} {accept}");
                assert_eq!(
                    response.body, b"<!doctype html><title>app</title>\n",
                    "{path} {accept}"
                );
                assert_eq!(response.required("Content-Type"), "text/html; charset=utf-8");
                assert!(varies_by_accept(&response), "{path} {accept}: {:?}", response.fields);
            }
            let bare = peer.ask(head(&get_with(path, &[HTML])));
            assert_eq!((bare.status, bare.content_length()), (200, 34), "{path}");
        }
        let tag = peer.settled("/settings", &[HTML]).required("ETag").to_owned();
        let same = peer.get_with("/settings", &[HTML, &format!("If-None-Match: {tag}")]);
        assert!(same.status == 304 && varies_by_accept(&same), "{same:?}");
    }
}

fn other_requests_for_a_missing_path_get_a_404(setup: &'static Setup) {
    let site = Site::new();
    site.write("app.html", "app");
    let server = Server::start(setup, site.root(), &["--fallback", "app.html"]);
    let mut peer = server.connect();
    // A page sent instead of a script would cause an error far from its origin.
    for path in ["/x.js", "/assets/x.css", "/logo.png", "/data.json", "/.git/config", "/.env"] {
        for fields in [&[HTML][..], &[]] {
            let response = peer.get_with(path, fields);
            assert!(
                response.status == 404 && !varies_by_accept(&response),
                "{path} {fields:?}: {response:?}"
            );
        }
    }
    for path in ["/settings", "/users/", "/old.html"] {
        for fields in [
            &[][..],
            &["Accept: */*"],
            &["Accept: application/json"],
            &["Accept: text/html;q=0, */*"],
            &["Accept: text/htmlx, text/*"],
        ] {
            let response = peer.get_with(path, fields);
            assert_eq!(response.status, 404, "{path} {fields:?}");
            // Without Vary a cache would serve this 404 to navigations as well.
            assert!(varies_by_accept(&response), "{path} {fields:?}");
        }
    }
    assert_eq!(peer.get_with("/%zz", &[HTML]).status, 400);
    assert_eq!(peer.ask(post("/settings")).status, 405);
}

fn the_fallback_does_not_replace_existing_files(setup: &'static Setup) {
    let site = Site::new();
    site.write("app.html", "app");
    let server = Server::start(setup, site.root(), &["--fallback", "app.html"]);
    let mut peer = server.connect();
    for (path, status) in [("/", 200), ("/page.html", 200), ("/docs", 301), ("/docs/", 200)] {
        let response = peer.get_with(path, &[HTML]);
        assert!(response.status == status && response.body != b"app", "{path}: {response:?}");
        assert!(!varies_by_accept(&response), "{path}");
    }
}

fn the_sites_error_page_is_sent_with_a_404(setup: &'static Setup) {
    let site = Site::new();
    let own = "<!doctype html><title>lost?</title>\n";
    site.write("404.html", own);
    site.write("docs/404.html", "an error page applies only in the root");
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for path in ["/missing", "/a/b/c", "/docs/missing", "/missing/", "/.git/config", "/x.js"] {
        for fields in [&[][..], &["If-None-Match: *"], &["If-Match: \"x\""], &["Range: bytes=0-3"]]
        {
            let request = get_with(path, fields);
            let page = peer.ask(&request);
            assert_eq!(
                (page.status, String::from_utf8_lossy(&page.body)),
                (404, own.into()),
                "{path} {fields:?}"
            );
            assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"), "{path}");
            // These headers would describe the error page, not the missing file.
            for name in ["ETag", "Last-Modified", "Accept-Ranges", "Content-Range"] {
                assert_eq!(page.field(name), None, "{path}: {name}");
            }
            let bare = peer.ask(head(&request));
            assert_eq!(
                (bare.status, bare.headers_except_date()),
                (404, page.headers_except_date()),
                "{path} {fields:?}"
            );
        }
    }
    assert_eq!(peer.get("/404.html").status, 200, "requested by name it is an ordinary page");
}

fn a_large_error_page_is_sent_from_the_disk(setup: &'static Setup) {
    let site = Site::new();
    // Larger than a cached file.
    let own = format!("<!doctype html>{}", "lost? ".repeat(50_000));
    site.write("404.html", &own);
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for _ in 0..2 {
        let page = peer.get("/missing");
        assert!(page.status == 404 && page.body == own.as_bytes());
        assert_eq!(peer.ask(head(&get("/missing"))).content_length(), own.len() as u64);
    }
    assert_eq!(peer.get("/page.html").status, 200);
}

/// One response of each kind, with its status. The path of the last is malformed.
pub fn one_of_each(peer: &mut Peer) -> Vec<(u16, Response)> {
    let tag = peer.settled("/docs/a.txt", &[]).required("ETag").to_owned();
    let requests = [
        (200, get("/docs/a.txt")),
        (200, head(&get("/docs/a.txt"))),
        (200, get_with("/docs/a.txt", &["Accept-Encoding: gzip"])),
        (206, get_with("/docs/a.txt", &["Range: bytes=0-3"])),
        (206, get_with("/docs/a.txt", &["Range: bytes=0-3,7-8"])),
        (304, get_with("/docs/a.txt", &[&format!("If-None-Match: {tag}")])),
        (412, get_with("/docs/a.txt", &["If-Match: \"other\""])),
        (416, get_with("/docs/a.txt", &["Range: bytes=99999-"])),
        (301, get("/docs/inner")),
        (200, get("/docs/inner/")),
        (200, get("/docs/bare/")),
        (404, get("/docs/missing")),
        (405, post("/docs/a.txt")),
        (204, options("/docs/a.txt", &[])),
        (400, get("/docs/%zz")),
    ];
    let ask = |(status, request): (u16, String)| {
        let response = peer.ask(&request);
        assert_eq!(response.status, status, "{request}");
        (status, response)
    };
    requests.into_iter().map(ask).collect()
}

pub fn site_with_one_of_each() -> Site {
    let site = Site::new();
    site.write("docs/a.txt", "much of the same\n".repeat(100));
    site.write("docs/inner/index.html", "inner");
    site.write("docs/bare/b.txt", "b");
    site
}

fn a_header_rule_without_a_pattern_applies_to_every_response(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let options_given = [
        "--list",
        "--header",
        "X-A: b",
        "--header",
        "X-Empty:",
        "--header=Content-Security-Policy: a 'b'; c=d",
    ];
    let server = Server::start(setup, site.root(), &options_given);
    for (status, response) in one_of_each(&mut server.connect()) {
        // `field` also checks that the header occurs only once.
        assert_eq!(response.field("X-A"), Some("b"), "{status}");
        // A listing has its own as well, and browsers apply both.
        let policies = response.list("Content-Security-Policy");
        assert!(policies.contains(&"a 'b'; c=d"), "{status}: {policies:?}");
    }
}

fn a_header_rule_applies_to_the_paths_of_its_pattern(setup: &'static Setup) {
    let site = site_with_one_of_each();
    site.write("docs/deep/er/c.txt", "c");
    let rules = [
        "--header",
        "/docs/* X-Here: 1",
        "--header",
        "/docs/** X-Below: 2",
        "--header",
        "/**/*.txt X-Text: 3",
    ];
    let server = Server::start(setup, site.root(), &rules);
    let mut peer = server.connect();
    for (path, here, below, text) in [
        ("/docs/a.txt", true, true, true),
        ("/docs/%61.txt", true, true, true),
        ("/x/../docs/a.txt?x", true, true, true),
        ("/docs/deep/er/c.txt", false, true, true),
        ("/docs/", true, true, false),
        ("/docs/missing.txt", true, true, true),
        ("/docs/missing", true, true, false),
        ("/page.html", false, false, false),
        ("/", false, false, false),
        ("/missing", false, false, false),
        ("/docsx", false, false, false),
    ] {
        let response = peer.get(path);
        let found = ["X-Here", "X-Below", "X-Text"].map(|name| response.field(name).is_some());
        assert_eq!(found, [here, below, text], "{path}: here, below, text");
    }
}

fn a_header_rule_applies_to_every_status(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let server = Server::start(setup, site.root(), &["--list", "--header", "/docs/** X-A: b"]);
    for (status, response) in one_of_each(&mut server.connect()) {
        // The path of a 400 is malformed, so no pattern matches it.
        let expected = (status != 400).then_some("b");
        assert_eq!(response.field("X-A"), expected, "{status}: {:?}", response.fields);
    }
}

fn a_pattern_beneath_a_directory_matches_its_listing(setup: &'static Setup) {
    let site = Site::new();
    let options_given = ["--list", "--header", "/docs/** X-A: b", "--header", "/bare/** X-A: b"];
    let server = Server::start(setup, site.root(), &options_given);
    for path in ["/docs/", "/bare/"] {
        assert_eq!(server.get(path).field("X-A"), Some("b"), "{path}");
    }
}

const IMMUTABLE: &str = "max-age=31536000, immutable";

fn files_are_revalidated_unless_their_name_contains_a_hash(setup: &'static Setup) {
    let site = Site::new();
    let named = [
        ("assets/app.3f2a9c1b.js", IMMUTABLE),
        ("chunk-0a1b2c3d4e.css", IMMUTABLE),
        ("font_9f8e7d6c5b4a.woff2", IMMUTABLE),
        ("app.js", "no-cache"),
        ("app.3f2a9c1.js", "no-cache"),
        ("3f2a9c1b/app.js", "no-cache"),
        ("page.3f2a9c1b.html", "no-cache"),
        ("report-20240131.css", "no-cache"),
        ("deadbeef.png", "no-cache"),
    ];
    named.iter().for_each(|(name, _)| drop(site.write(name, "some content")));
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (name, expected) in named {
        let path = format!("/{name}");
        let tag = peer.get(&path).required("ETag").to_owned();
        for (status, field) in [
            (200, String::new()),
            (206, "Range: bytes=0-3".to_owned()),
            (304, format!("If-None-Match: {tag}")),
        ] {
            let fields: &[&str] = if field.is_empty() { &[] } else { &[&field] };
            let response = peer.get_with(&path, fields);
            assert_eq!(
                (response.status, response.field("Cache-Control")),
                (status, Some(expected)),
                "{name}"
            );
        }
    }
    for path in ["/missing.3f2a9c1b.js", "/3f2a9c1b.js/"] {
        // The missing file may be created later.
        let response = peer.get(path);
        assert!(
            response.status == 404 && response.field("Cache-Control") != Some(IMMUTABLE),
            "{path}"
        );
    }
}

fn the_first_matching_cache_rule_applies(setup: &'static Setup) {
    let site = Site::new();
    for name in ["assets/a.js", "assets/keep/b.js", "app.3f2a9c1b.js"] {
        site.write(name, "x");
    }
    let rules = [
        "/assets/keep/** max-age=1",
        "/assets/** max-age=2",
        "/page.html private, no-store",
        "max-age=3",
    ];
    let rules: Vec<&str> = rules.iter().flat_map(|rule| ["--cache-control", *rule]).collect();
    let server = Server::start(setup, site.root(), &rules);
    let mut peer = server.connect();
    for (path, expected) in [
        ("/assets/keep/b.js", "max-age=1"),
        ("/assets/a.js", "max-age=2"),
        ("/page.html", "private, no-store"),
        ("/", "max-age=3"),
        // A rule without a pattern also replaces the default of fingerprinted names.
        ("/app.3f2a9c1b.js", "max-age=3"),
    ] {
        assert_eq!(peer.get(path).field("Cache-Control"), Some(expected), "{path}");
    }
}

fn cors_headers_are_sent_only_with_the_cors_option(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let server = Server::start(setup, site.root(), &["--list", "--cors"]);
    for (status, response) in one_of_each(&mut server.connect()) {
        assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"), "{status}");
        let exposed = response.list("Access-Control-Expose-Headers");
        for name in ["ETag", "Content-Range"] {
            assert!(exposed.contains(&name), "{status}: scripts may read {name}");
        }
        assert_eq!(
            response.field("Access-Control-Allow-Credentials"),
            None,
            "browsers reject credentials with a wildcard origin"
        );
    }
    drop(server);
    let server = Server::start(setup, site.root(), &["--list"]);
    for (status, response) in one_of_each(&mut server.connect()) {
        let cors_header = response
            .fields
            .iter()
            .find(|(name, _)| name.to_ascii_lowercase().starts_with("access-control"));
        assert_eq!(cors_header, None, "{status}: CORS is off");
    }
}

fn a_preflight_needs_no_credentials(setup: &'static Setup) {
    let site = Site::new();
    let auth = format!("me:{}", sha256("secret"));
    let fields = [
        "Origin: https://other.example",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: authorization, range",
    ];
    // Browsers never send credentials with a preflight.
    for options_given in [&["--cors"][..], &["--cors", "--auth", &auth]] {
        let server = Server::start(setup, site.root(), options_given);
        let mut peer = server.connect();
        for path in ["/page.html", "/missing", "/"] {
            let response = peer.ask(options(path, &fields));
            assert_eq!(
                (response.status, response.field("Access-Control-Allow-Origin")),
                (204, Some("*")),
                "{path}"
            );
            assert!(response.list("Access-Control-Allow-Methods").contains(&"GET"), "{path}");
            let allowed =
                response.list("Access-Control-Allow-Headers").join(",").to_ascii_lowercase();
            assert!(allowed.contains('*') && allowed.contains("authorization"), "{allowed}");
        }
    }
}

pub fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn a_media_type_rule_overrides_the_table(setup: &'static Setup) {
    let site = Site::new();
    for name in ["a.glb", "a.TXT", "a.tar.zz", "zz", "a.md"] {
        site.write(name, "some content");
    }
    let options_given =
        ["glb=model/x-own", "txt=text/x-own; charset=us-ascii", ".tar.zz=application/x-own"];
    let options_given: Vec<&str> =
        options_given.iter().flat_map(|wish| ["--media-type", *wish]).collect();
    let server = Server::start(setup, site.root(), &options_given);
    let mut peer = server.connect();
    for (path, expected) in [
        ("/a.glb", "model/x-own"),
        ("/a.TXT", "text/x-own; charset=us-ascii"),
        ("/a.tar.zz", "application/x-own"),
        ("/zz", "text/plain; charset=utf-8"),
        ("/a.md", "text/markdown; charset=utf-8"),
    ] {
        assert_eq!(peer.get(path).field("Content-Type"), Some(expected), "{path}");
        let part = peer.get_with(path, &["Range: bytes=0-3"]);
        assert_eq!(
            (part.status, part.field("Content-Type")),
            (206, Some(expected)),
            "a part of {path}"
        );
    }
}

fn media_types_are_those_that_browsers_need(setup: &'static Setup) {
    // From the IANA registry and the standards, not copied from the program's table.
    let types = [
        ("html", "text/html; charset=utf-8"),
        ("css", "text/css; charset=utf-8"),
        ("js", "text/javascript; charset=utf-8"),
        // Browsers run modules and compile WebAssembly while it loads only with these types.
        ("mjs", "text/javascript; charset=utf-8"),
        ("wasm", "application/wasm"),
        // TypeScript source is to be read; in the registry .ts is a video format.
        ("ts", "text/plain; charset=utf-8"),
        ("svg", "image/svg+xml; charset=utf-8"),
        ("json", "application/json; charset=utf-8"),
        ("webmanifest", "application/manifest+json; charset=utf-8"),
        ("xml", "text/xml; charset=utf-8"),
        ("md", "text/markdown; charset=utf-8"),
        ("txt", "text/plain; charset=utf-8"),
        ("avif", "image/avif"),
        ("webp", "image/webp"),
        ("jxl", "image/jxl"),
        ("png", "image/png"),
        ("jpg", "image/jpeg"),
        ("ico", "image/vnd.microsoft.icon"),
        ("woff2", "font/woff2"),
        ("mp4", "video/mp4"),
        ("webm", "video/webm"),
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("pdf", "application/pdf"),
        ("3gp", "video/3gpp"),
        ("lua", "text/plain; charset=utf-8"),
    ];
    let site = Site::new();
    for (extension, _) in types {
        site.write(format!("a.{extension}"), "x");
        site.write(format!("B.{}", extension.to_ascii_uppercase()), "x");
    }
    let server = Server::start(setup, site.root(), &[]);
    let mut peer = server.connect();
    for (extension, expected) in types {
        for path in [format!("/a.{extension}"), format!("/B.{}", extension.to_ascii_uppercase())] {
            assert_eq!(peer.get(&path).field("Content-Type"), Some(expected), "{path}");
        }
    }
}

fn a_text_file_is_plain_text_if_its_name_has_no_type(setup: &'static Setup) {
    let site = Site::new();
    let licence = "Permission is hereby granted ".repeat(100);
    let large = |start: &[u8]| [start, &b"tail \xff".repeat(20_000)].concat();
    for (name, content) in [
        ("LICENSE", licence.as_bytes()),
        ("Main.java", b"class Main {}"),
        ("page.unheard-of", b"<!doctype html><script>alert(1)</script>"),
        ("empty", b""),
        // The 512th of the two-byte characters is cut by the limit of 1 KiB.
        ("cut", &[b"a", "é".repeat(600).as_bytes()].concat()),
        ("large", &large(licence.as_bytes())),
        ("latin-1", b"caf\xe9"),
        ("nul", b"a\0b"),
        ("large-binary", &large(b"\x7fELF\0")),
        ("own.zz", b"text"),
        ("named.png", b"text"),
    ] {
        site.write(name, content);
    }
    let server = Server::start(setup, site.root(), &["--media-type", "zz=application/x-own"]);
    let mut peer = server.connect();
    for (path, expected) in [
        ("/LICENSE", "text/plain; charset=utf-8"),
        ("/Main.java", "text/plain; charset=utf-8"),
        ("/page.unheard-of", "text/plain; charset=utf-8"),
        ("/empty", "text/plain; charset=utf-8"),
        ("/cut", "text/plain; charset=utf-8"),
        ("/large", "text/plain; charset=utf-8"),
        ("/latin-1", "application/octet-stream"),
        ("/nul", "application/octet-stream"),
        ("/large-binary", "application/octet-stream"),
        ("/own.zz", "application/x-own"),
        ("/named.png", "image/png"),
    ] {
        let response = peer.settled(path, &[]);
        assert_eq!(response.field("Content-Type"), Some(expected), "{path}");
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"), "{path}");
    }
    // Text is compressed, and has sidecars.
    for (path, is_compressed) in [("/LICENSE", true), ("/large-binary", false)] {
        let response = peer.get_with(path, &["Accept-Encoding: gzip"]);
        assert_eq!(response.field("Content-Encoding").is_some(), is_compressed, "{path}");
        assert_eq!(response.list("Vary").contains(&"Accept-Encoding"), is_compressed, "{path}");
    }
    site.write("LICENSE.br", "sidecar");
    wait_until("the sidecar is sent", || {
        let response = peer.get_with("/LICENSE", &["Accept-Encoding: br"]);
        assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"));
        (response.body == b"sidecar").then_some(())
    });
    // Another content has another type.
    site.write("LICENSE", b"\0");
    wait_until("the type follows the content", || {
        let response = peer.get("/LICENSE");
        (response.field("Content-Type") == Some("application/octet-stream")).then_some(())
    });
}

fn nosniff_accompanies_every_content_type(setup: &'static Setup) {
    let site = site_with_one_of_each();
    let server = Server::start(setup, site.root(), &["--list"]);
    let expect = |response: &Response| {
        let (has_type, nosniff) =
            (response.field("Content-Type").is_some(), response.field("X-Content-Type-Options"));
        assert_eq!(nosniff, has_type.then_some("nosniff"), "{response:?}");
    };
    one_of_each(&mut server.connect()).iter().for_each(|(_, response)| expect(response));
    // Responses that close the connection come from another part of the program.
    for (status, request) in [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (431, get_with("/", &[&format!("X: {}", "x".repeat(100_000))])),
        (501, get("/").replacen("GET", "BREW", 1)),
        (505, get("/").replacen("HTTP/1.1", "HTTP/2.0", 1)),
    ] {
        let response = server.ask(request);
        assert_eq!(response.status, status);
        expect(&response);
    }
    drop(server);
    site.write("404.html", "lost?");
    let server = Server::start(
        setup,
        site.root(),
        &["--fallback", "page.html", "--auth", &format!("me:{}", sha256(""))],
    );
    expect(&server.get("/"));
    let known = format!("Authorization: Basic {}", STANDARD.encode("me:"));
    expect(&server.ask(get_with("/missing.js", &[&known])));
    expect(&server.ask(get_with("/missing", &[&known, HTML])));
}

fn a_204_to_options_has_no_content_headers(setup: &'static Setup) {
    let site = Site::new();
    for options_given in [&[][..], &["--cors", "--list", "--header", "X-A: b"]] {
        let server = Server::start(setup, site.root(), options_given);
        let mut peer = server.connect();
        for target in ["*", "/", "/page.html", "/missing", "/bare/"] {
            let response = peer.ask(options(target, &[]));
            assert_eq!(response.status, 204, "{target}");
            response.expect_allow();
            // A 204 must not have a Content-Length (RFC 9110 section 8.6).
            for name in ["Content-Length", "Transfer-Encoding", "Content-Type"] {
                assert_eq!(response.field(name), None, "{target}");
            }
        }
        // A body after a 204 would appear as the start of this response.
        assert_eq!(peer.get("/page.html").content_length(), 35);
    }
}

fn only_the_named_hosts_are_served(setup: &'static Setup) {
    let site = Site::new();
    let names = ["--server-name", "example.org", "--server-name", "*.example.net", "--cors"];
    let server = Server::start(setup, site.root(), &names);
    let mut peer = server.connect();
    let request =
        |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in ["example.org", "EXAMPLE.ORG:8080", "example.org.", "a.www.example.net."] {
        assert_eq!(peer.ask(request("/page.html", host)).status, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost",
        "127.0.0.1",
        "example.net",
        "example.org.evil",
        "",
        ".example.net",
        "..example.net",
        "a..example.net",
        "%61.example.net",
    ] {
        for target in ["/page.html", "/missing", "*"] {
            let method = if target == "*" { "OPTIONS" } else { "GET" };
            let request = request(target, host).replacen("GET", method, 1);
            let response = peer.ask(request);
            assert_eq!(response.status, 421, "{host} {target}");
            assert_eq!(response.field("Access-Control-Allow-Origin"), None);
        }
    }
    // The host of an absolute target counts instead of Host.
    let absolute = |name: &str| request(&format!("http://{name}/page.html"), "example.org");
    assert_eq!(peer.ask(absolute("evil.example")).status, 421);
    let other = request("http://example.org:80/page.html", "evil.example");
    assert_eq!(peer.ask(other).status, 200);
    // So does the authority of CONNECT, which is refused in any case.
    for (target, host, status) in [
        ("evil.example:443", "example.org", 421),
        ("example.org:443", "evil.example", 405),
        ("..example.net:443", "example.org", 421),
    ] {
        let request = request(target, host).replacen("GET", "CONNECT", 1);
        assert_eq!(server.ask(request).status, status, "{target}");
    }
    // A request without a host cannot be for this one.
    assert_eq!(server.connect().ask("GET /page.html HTTP/1.0\r\n\r\n").status, 421);
}
