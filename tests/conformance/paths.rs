//! Which file a path resolves to, and which files no path reaches.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::case::{Case, cases};
use crate::support::{Response, Server, Setup, Site, get, wait_until};

pub fn cases() -> Vec<Case> {
    cases![
        percent_encoded_characters_are_decoded,
        names_in_any_script_are_served,
        names_that_are_not_utf_8_are_served,
        names_with_special_characters_are_served,
        a_path_is_decoded_only_once,
        an_encoded_slash_is_rejected,
        an_encoded_nul_is_rejected,
        a_malformed_percent_encoding_is_rejected,
        a_path_above_the_root_is_rejected,
        dot_segments_beneath_the_root_are_resolved,
        files_outside_the_root_are_not_served,
        a_backslash_is_an_ordinary_character,
        the_query_is_not_part_of_the_path,
        the_host_of_an_absolute_form_target_is_ignored,
        dot_files_are_not_found,
        files_beneath_well_known_are_served,
        a_symbolic_link_inside_the_root_is_followed,
        a_symbolic_link_out_of_the_root_is_not_followed,
        a_dangling_symbolic_link_is_not_found,
        a_fifo_is_not_found_and_does_not_block,
        a_unix_socket_is_not_found,
        a_device_is_not_found_and_does_not_block,
        an_unreadable_file_is_forbidden,
        a_directory_without_its_slash_is_redirected,
        a_redirect_never_names_another_host,
        a_redirect_contains_no_line_end,
        a_directory_without_an_index_page_is_not_found,
        a_directory_called_index_html_is_not_an_index_page,
        a_file_with_a_trailing_slash_is_not_found,
        overlong_names_are_not_found,
        a_file_as_root_is_served_for_every_path,
        a_renamed_root_is_still_served,
        a_directory_that_takes_the_path_of_the_root_is_served,
    ]
}

/// Requests each path on one connection and compares the statuses.
#[track_caller]
fn expect_status(server: &Server, status: u16, paths: &[&str]) {
    let mut peer = server.connect();
    for path in paths {
        let response = peer.get(path);
        assert_eq!(response.status, status, "{path}");
        assert!(!response.body.windows(6).any(|part| part == b"secret"), "{path} reveals a secret");
        if response.says_close() {
            peer = server.connect();
        }
    }
}

#[track_caller]
fn expect_content(server: &Server, path: &str, content: &str) {
    let response = server.get(path);
    assert_eq!(
        (response.status, &*String::from_utf8_lossy(&response.body)),
        (200, content),
        "{path}"
    );
}

fn percent_encoded_characters_are_decoded(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        200,
        &[
            "/%70age.html",
            "/page%2Ehtml",
            "/page%2ehtml",
            "/docs%2E/../docs/",
            "/%64ocs/index.html",
        ],
    );
}

fn names_in_any_script_are_served(setup: &'static Setup) {
    let site = Site::new();
    site.write("中文.html", "中");
    site.write("grüße/index.html", "grüße");
    site.write("😀.txt", "😀");
    let server = Server::start(setup, site.root(), &[]);
    expect_content(&server, "/%E4%B8%AD%E6%96%87.html", "中");
    expect_content(&server, "/%e4%b8%ad%e6%96%87.html", "中");
    expect_content(&server, "/gr%C3%BC%C3%9Fe/", "grüße");
    expect_content(&server, "/%F0%9F%98%80.txt", "😀");
    let response = server.get("/gr%C3%BC%C3%9Fe");
    assert_eq!((response.status, response.field("Location")), (301, Some("/gr%C3%BC%C3%9Fe/")));
}

fn names_that_are_not_utf_8_are_served(setup: &'static Setup) {
    let site = Site::new();
    site.write(b"\xff\xfe.txt", "bytes");
    site.write(b"f\xf6lder/index.html", "latin");
    let server = Server::start(setup, site.root(), &[]);
    expect_content(&server, "/%FF%FE.txt", "bytes");
    expect_content(&server, "/f%F6lder/", "latin");
    assert_eq!(server.get("/f%f6lder").required("Location"), "/f%F6lder/");
    expect_status(&server, 404, &["/%FF.txt", "/%C0%AE%C0%AE/", "/f%C3%B6lder/"]);
}

fn names_with_special_characters_are_served(setup: &'static Setup) {
    let site = Site::new();
    for name in [
        "a b.txt",
        "a+b.txt",
        "100%.txt",
        "what?.txt",
        "a#b.txt",
        "a&b=c;d.txt",
        "\"quoted\".txt",
        "a\r\nb.txt",
        "~a.txt",
        "a:b.txt",
    ] {
        site.write(name, name);
    }
    let server = Server::start(setup, site.root(), &[]);
    expect_content(&server, "/a%20b.txt", "a b.txt");
    expect_content(&server, "/a+b.txt", "a+b.txt");
    expect_content(&server, "/100%25.txt", "100%.txt");
    expect_content(&server, "/what%3f.txt?what.txt", "what?.txt");
    expect_content(&server, "/a%23b.txt", "a#b.txt");
    expect_content(&server, "/a&b=c;d.txt", "a&b=c;d.txt");
    expect_content(&server, "/%22quoted%22.txt", "\"quoted\".txt");
    expect_content(&server, "/a%0D%0Ab.txt", "a\r\nb.txt");
    expect_content(&server, "/%7Ea.txt", "~a.txt");
    expect_content(&server, "/a:b.txt", "a:b.txt");
}

fn a_path_is_decoded_only_once(setup: &'static Setup) {
    let site = Site::new();
    site.write_beside("secret.txt", "secret");
    site.write("%70age.html", "percent");
    site.write("%2e%2e/secret.txt", "a directory of that name");
    let server = Server::start(setup, site.root(), &[]);
    expect_content(&server, "/%2570age.html", "percent");
    expect_content(&server, "/%252e%252e/secret.txt", "a directory of that name");
    expect_status(
        &server,
        404,
        &["/docs%252f..%252f..%252fsecret.txt", "/%252fetc/passwd", "/page.html%2500"],
    );
}

fn an_encoded_slash_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        400,
        &[
            "/docs%2findex.html",
            "/docs%2Findex.html",
            "/%2f",
            "/..%2fsecret.txt",
            "/%2F%2Fevil.example",
        ],
    );
}

fn an_encoded_nul_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 400, &["/%00", "/page.html%00", "/page.html%00.png", "/docs/%00/"]);
}

fn a_malformed_percent_encoding_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        400,
        &["/%", "/%4", "/%zz", "/%4z", "/page.html%", "/%%70", "/%u0070", "/%-1", "/%+1"],
    );
    expect_status(&server, 200, &["/page.html?%", "/?%zz"]);
}

fn a_path_above_the_root_is_rejected(setup: &'static Setup) {
    let site = Site::new();
    site.write_beside("secret.txt", "secret");
    let server = Server::start(setup, site.root(), &[]);
    let above = [
        "/..",
        "/../",
        "/../secret.txt",
        "/../site/page.html",
        "/./../secret.txt",
        "//../secret.txt",
        "/docs/../../secret.txt",
        "/docs/../docs/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/%2E%2E/secret.txt",
        "/.%2e/secret.txt",
        "/%2e./secret.txt",
        "/docs/%2e%2e/%2e%2e/secret.txt",
        "/../../../../../../../../etc/passwd",
        "http://h/../secret.txt",
    ];
    expect_status(&server, 400, &above);
    // As many steps as fit into a request target.
    expect_status(&server, 400, &[&("/..".repeat(2000) + "/etc/passwd")]);
}

fn dot_segments_beneath_the_root_are_resolved(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        200,
        &[
            "/.",
            "/./",
            "/./page.html",
            "/docs/../page.html",
            "/docs/..",
            "/docs/.",
            "/docs/./",
            "/no/../page.html",
            "//page.html",
            "/docs//index.html",
            "/docs/%2e%2e/page.html",
        ],
    );
    expect_status(
        &server,
        404,
        &["/...", "/.../page.html", "/..;/secret.txt", "/docs/..page.html"],
    );
}

fn files_outside_the_root_are_not_served(setup: &'static Setup) {
    let site = Site::new();
    // A name that starts with that of the root defeats a comparison of strings.
    site.write_beside("site-evil/index.html", "secret");
    site.write_beside("secret.txt", "secret");
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 400, &["/../site-evil/index.html", "/..", "/%2e%2e/site-evil/"]);
    let absolute = site.beside("secret.txt");
    let absolute = absolute.to_str().expect("the name of a temporary directory");
    expect_status(&server, 404, &["/-evil/index.html", absolute, &format!("/{absolute}")]);
}

fn a_backslash_is_an_ordinary_character(setup: &'static Setup) {
    let site = Site::new();
    site.write_beside("secret.txt", "secret");
    site.write("a\\b.txt", "backslash");
    let server = Server::start(setup, site.root(), &[]);
    expect_content(&server, "/a\\b.txt", "backslash");
    expect_content(&server, "/a%5Cb.txt", "backslash");
    expect_status(
        &server,
        404,
        &["/docs\\index.html", "/docs\\..\\page.html", "/\\docs", "/docs/%5c%2e%2e"],
    );
    let response = server.get("/..\\secret.txt");
    assert_eq!(
        (response.status, response.body.windows(6).any(|part| part == b"secret")),
        (404, false)
    );
}

fn the_query_is_not_part_of_the_path(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        200,
        &[
            "/?",
            "/??",
            "/?../../x",
            "/page.html?a=b&c=/..",
            "/page.html?%00%2f",
            "/page.html?http://evil.example/",
        ],
    );
}

fn the_host_of_an_absolute_form_target_is_ignored(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        200,
        &[
            "http://h/page.html",
            "HTTP://other.example:80/page.html",
            "https://h/docs/?x",
            "http://h",
            "http://h?x=/docs",
        ],
    );
    expect_status(&server, 404, &["http://h/missing", "http://docs/http://h/"]);
    let response = server.get("http://other.example/docs?x");
    assert_eq!((response.status, response.field("Location")), (301, Some("/docs/?x")));
}

fn dot_files_are_not_found(setup: &'static Setup) {
    let site = Site::new();
    for name in [
        ".git/config",
        ".git/index.html",
        ".htaccess",
        "docs/.hidden",
        ".well-known/.hidden",
        "docs/.well-known/x",
    ] {
        site.write(name, "secret");
    }
    let server = Server::start(setup, site.root(), &[]);
    let hidden = [
        "/.git/config",
        "/.git/",
        "/.git",
        "/.htaccess",
        "/%2egit/config",
        "/%2Ehtaccess",
        "/docs/.hidden",
        "/.well-known/.hidden",
        "/docs/.well-known/x",
        "/docs/../.htaccess",
        "/.git/../.htaccess",
    ];
    expect_status(&server, 404, &hidden);
    // A hidden file and a missing one get the same response.
    let body = |path| server.get(path).body;
    assert_eq!(body("/.git/config"), body("/.git/no-such-file"));
}

fn files_beneath_well_known_are_served(setup: &'static Setup) {
    let site = Site::new();
    site.write(".well-known/security.txt", "Contact: a");
    site.write(".well-known/index.html", "index");
    let server = Server::start(setup, site.root(), &[]);
    expect_content(&server, "/.well-known/security.txt", "Contact: a");
    expect_content(&server, "/%2Ewell-known/security.txt", "Contact: a");
    expect_content(&server, "/.well-known/", "index");
    assert_eq!(server.get("/.well-known").required("Location"), "/.well-known/");
}

fn a_symbolic_link_inside_the_root_is_followed(setup: &'static Setup) {
    let site = Site::new();
    site.link("link.html", "page.html");
    site.link("docs/up.html", "../page.html");
    site.link("directory", "docs");
    site.link("twice.html", "link.html");
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        200,
        &["/link.html", "/docs/up.html", "/directory/", "/directory/index.html", "/twice.html"],
    );
    assert_eq!(server.get("/link.html").required("Content-Type"), "text/html; charset=utf-8");
    assert_eq!(server.get("/directory").required("Location"), "/directory/");
}

fn a_symbolic_link_out_of_the_root_is_not_followed(setup: &'static Setup) {
    let site = Site::new();
    let secret = site.write_beside("secret.txt", "secret");
    site.write_beside("outside/index.html", "secret");
    site.link("absolute.txt", &secret);
    site.link("relative.txt", "../secret.txt");
    site.link("directory", "../outside");
    site.link("root", "/");
    site.link("docs/up", "../..");
    site.link("chain.txt", "relative.txt");
    site.link("self", "/proc/self/cwd");
    // This link leaves the root and leads back into it by name.
    site.link("around.html", "../site/page.html");
    let server = Server::start(setup, site.root(), &[]);
    let out = [
        "/absolute.txt",
        "/relative.txt",
        "/directory",
        "/directory/",
        "/directory/index.html",
        "/root/etc/passwd",
        "/root/",
        "/docs/up/secret.txt",
        "/chain.txt",
        "/self/secret.txt",
        "/around.html",
    ];
    expect_status(&server, 404, &out);
}

fn a_dangling_symbolic_link_is_not_found(setup: &'static Setup) {
    let site = Site::new();
    site.link("dangling.html", "no-such-file");
    site.link("loop.html", "loop.html");
    site.link("a", "b");
    site.link("b", "a");
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 404, &["/dangling.html", "/loop.html", "/a", "/a/", "/b/index.html"]);
}

fn a_fifo_is_not_found_and_does_not_block(setup: &'static Setup) {
    let site = Site::new();
    for name in ["fifo", "fifo.html", "pipes/index.html"] {
        site.directory("pipes");
        mknodat(CWD, site.path(name), FileType::Fifo, Mode::from_raw_mode(0o644), 0)
            .expect("a FIFO can be created");
    }
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 404, &["/fifo", "/fifo.html", "/pipes/", "/pipes/index.html", "/fifo/"]);
    expect_status(&server, 200, &["/"]);
}

fn a_unix_socket_is_not_found(setup: &'static Setup) {
    let site = Site::new();
    let _listener = UnixListener::bind(site.path("socket")).expect("a socket can be bound");
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 404, &["/socket", "/socket/"]);
    expect_status(&server, 200, &["/"]);
}

fn a_device_is_not_found_and_does_not_block(setup: &'static Setup) {
    let site = Site::new();
    site.link("zero", "/dev/zero");
    let mut devices = vec!["/zero"];
    // A device node inside the site; only root can create one.
    let null = mknodat(
        CWD,
        site.path("null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        makedev(1, 3),
    );
    if null.is_ok() {
        devices.push("/null");
    }
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 404, &devices);
    expect_status(&server, 200, &["/"]);
}

fn an_unreadable_file_is_forbidden(setup: &'static Setup) {
    let site = Site::new();
    let closed = site.write("closed.html", "secret");
    let in_closed_directory = site.write("closed/index.html", "secret");
    let close = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000))
            .expect("the test owns the file");
    };
    close(&closed);
    close(in_closed_directory.parent().expect("a directory"));
    let mut command = Server::command(setup, site.root(), &[]);
    if rustix::process::geteuid().is_root() {
        // Permissions do not apply to root, so a copy of the server runs as another user, from a
        // directory where that user may execute it.
        const NOBODY: u32 = 65_534;
        let binary = site.beside("miniweb");
        // `cp` instead of fs::copy: a process forked by another case at the same time would inherit
        // the descriptor of the copy, and a file open for writing can't be executed (ETXTBSY).
        let copied = std::process::Command::new("cp")
            .args([command.get_program(), binary.as_ref()])
            .status();
        assert!(copied.expect("there is a cp").success());
        let around = binary.parent().expect("a directory");
        fs::set_permissions(around, fs::Permissions::from_mode(0o755))
            .expect("the test owns the file");
        let mut as_nobody = std::process::Command::new(&binary);
        as_nobody.args(command.get_args()).current_dir(around).uid(NOBODY).gid(NOBODY);
        command = as_nobody;
    }
    let server = Server::run(command);
    expect_status(&server, 403, &["/closed.html", "/closed/", "/closed/index.html"]);
    expect_status(&server, 200, &["/"]);
    // Otherwise the temporary directory could not be removed.
    let closed_directory = in_closed_directory.parent().expect("a directory");
    fs::set_permissions(closed_directory, fs::Permissions::from_mode(0o700))
        .expect("the test owns the file");
}

fn a_directory_without_its_slash_is_redirected(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    for (path, location) in [
        ("/docs", "/docs/"),
        ("/docs?a=b&c=d", "/docs/?a=b&c=d"),
        ("/docs?a=%20%2f?", "/docs/?a=%20%2f?"),
        ("/bare", "/bare/"),
        ("/%64ocs", "/docs/"),
        ("/bare/../docs", "/docs/"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.required("Location")), (301, location), "{path}");
    }
    assert_eq!(server.get("/docs/?a=b").status, 200);
}

fn a_redirect_never_names_another_host(setup: &'static Setup) {
    let site = Site::new();
    site.write("evil.example/index.html", "a directory of that name");
    site.write("\\evil.example/index.html", "a directory of that name");
    site.write("http:/evil.example/index.html", "a directory of that name");
    let server = Server::start(setup, site.root(), &[]);
    for (path, location) in [
        ("//evil.example", "/evil.example/"),
        ("////evil.example", "/evil.example/"),
        ("/.//evil.example", "/evil.example/"),
        ("//evil.example?//evil.example", "/evil.example/?//evil.example"),
        // Browsers treat a backslash as a slash.
        ("/\\evil.example", "/%5Cevil.example/"),
        ("/%5cevil.example", "/%5Cevil.example/"),
        ("//docs", "/docs/"),
        ("//docs/../docs", "/docs/"),
        ("http://evil.example/docs", "/docs/"),
        ("http://evil.example//evil.example", "/evil.example/"),
    ] {
        let response = server.get(path);
        assert_eq!((response.status, response.required("Location")), (301, location), "{path}");
    }
    // `Response::parse` checks that no Location starts with two slashes; these have none.
    for path in ["//evil.example/..", "//evil.example/%2e%2e", "///"] {
        let response = server.get(path);
        assert_eq!((response.status, response.field("Location")), (200, None), "{path}");
    }
}

fn a_redirect_contains_no_line_end(setup: &'static Setup) {
    let site = Site::new();
    site.directory("a\r\nX-Evil: 1\r\n\r\n<script>");
    site.directory("tab\tnul");
    let server = Server::start(setup, site.root(), &[]);
    let of = |path: &str| -> Response {
        let response = server.get(path);
        assert_eq!((response.status, response.field("X-Evil")), (301, None), "{path}");
        response
    };
    let location =
        of("/a%0d%0aX-Evil:%201%0d%0a%0d%0a%3Cscript%3E").required("Location").to_owned();
    assert_eq!(location, "/a%0D%0AX-Evil:%201%0D%0A%0D%0A%3Cscript%3E/");
    assert_eq!(
        server.get(&location).status,
        404,
        "the Location is the directory, which has no index page"
    );
    assert_eq!(of("/docs?x%0d%0aX-Evil:1").required("Location"), "/docs/?x%0d%0aX-Evil:1");
    assert_eq!(of("/tab%09nul").required("Location"), "/tab%09nul/");
    // A query may contain bytes that are not ASCII; a Location must not.
    let response = server.connect().ask(get("/docs?\u{e9}\"<>"));
    assert_eq!(response.required("Location"), "/docs/?%C3%A9%22%3C%3E");
}

fn a_directory_without_an_index_page_is_not_found(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 404, &["/bare/", "/bare/index.html", "/bare/?x", "/bare//"]);
}

fn a_directory_called_index_html_is_not_an_index_page(setup: &'static Setup) {
    let site = Site::new();
    site.directory("odd/index.html");
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 404, &["/odd/"]);
    assert_eq!(server.get("/odd/index.html").required("Location"), "/odd/index.html/");
}

fn a_file_with_a_trailing_slash_is_not_found(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(
        &server,
        404,
        &[
            "/index.html/",
            "/page.html/",
            "/page.html/x",
            "/page.html/index.html",
            "/docs/index.html/",
        ],
    );
}

fn overlong_names_are_not_found(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    let (long, deep) = ("/".to_owned() + &"x".repeat(7000), "/x".repeat(3500));
    expect_status(
        &server,
        404,
        &[&long, &deep, &(long.clone() + "/"), &("/".to_owned() + &"x".repeat(256))],
    );
    expect_status(
        &server,
        200,
        &[&("/.".repeat(3000) + "/page.html"), &("/".repeat(7000) + "page.html")],
    );
}

fn a_file_as_root_is_served_for_every_path(setup: &'static Setup) {
    let site = Site::new();
    site.write("only.txt", "the only page");
    let server = Server::start(setup, site.path("only.txt"), &[]);
    for path in
        ["/", "/x", "/x/y/z/", "/only.txt", "/index.html", "/?x", "http://h/x", "/%E4%B8%AD"]
    {
        expect_content(&server, path, "the only page");
    }
    assert_eq!(server.get("/a.html").required("Content-Type"), "text/plain; charset=utf-8");
    assert_eq!(server.ask(get("/x").replace("GET", "POST")).status, 405);
}

fn a_renamed_root_is_still_served(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    fs::rename(site.root(), site.beside("moved")).expect("the test owns the file");
    expect_status(&server, 200, &["/page.html"]);
    expect_status(&server, 400, &["/../secret.txt"]);
}

/// A site generator moves the old directory away and creates a new one at the same path.
fn a_directory_that_takes_the_path_of_the_root_is_served(setup: &'static Setup) {
    let site = Site::new();
    let server = Server::start(setup, site.root(), &[]);
    expect_status(&server, 200, &["/page.html"]);
    fs::rename(site.root(), site.beside("moved")).expect("the test owns the file");
    site.write("page.html", "built anew");
    wait_until("the new directory is served", || {
        (server.get("/page.html").body == b"built anew").then_some(())
    });
    expect_status(&server, 404, &["/docs/"]);
}
