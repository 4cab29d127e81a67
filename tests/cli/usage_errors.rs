//! Arguments that the command line rejects: one line on stderr names the argument.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use argh::{FlagInfo, FlagInfoKind};
use miniweb::server::strategies::{self, Strategy};

use crate::command::{any_command, commands, expect_failure, run};
use crate::support::{Server, Site, miniweb};

#[test]
fn a_wrong_command_or_common_option_is_a_usage_error_of_one_line() {
    let all_commands: Vec<&str> = commands().collect();
    let words = [&["no-such-command"], &*all_commands].concat();
    expect_failure(&["help", "no-such-command"], 2, &words);
    expect_failure(&["no-such-command"], 2, &["no-such-command: no such file or folder"]);
    expect_failure(&["--no-such-option"], 2, &["--no-such-option"]);
    for (arguments, words) in [
        (&["--no-such-option"][..], &["--no-such-option"][..]),
        (&["--no-such-option=1"], &["--no-such-option"]),
        (&[".", "surplus"], &["surplus"]),
        (&["--port"], &["--port"]),
        (&["--port", "x"], &["'x'", "'--port'", "expected a number"]),
        (&["--port="], &["--port"]),
        (&["--port", "65536"], &["65536", "--port"]),
        (&["--port", "-1"], &["-1", "--port"]),
        (&["--port", "1", "--port", "2"], &["--port", "twice"]),
        (&["--max-connections", "0"], &["--max-connections"]),
        (&["--header-timeout", "0"], &["--header-timeout"]),
        (&["--cache-size", "64"], &["'64'", "--cache-size", "expected 0, or at least 1M"]),
        (&["--cache-size", "-1M"], &["'-1M'", "--cache-size"]),
        (&["--cache-size", "99999999T"], &["--cache-size"]),
        (&["--cache-size", "much"], &["--cache-size"]),
        (&["--header-timeout", "-1"], &["--header-timeout"]),
        (&["--idle-timeout", "nan"], &["--idle-timeout"]),
        (&["--write-timeout", "inf"], &["--write-timeout"]),
        (&["--shutdown-timeout", "1e300"], &["--shutdown-timeout"]),
        (&["--header-timeout=soon"], &["--header-timeout"]),
        (&["--log", "loud"], &["--log", "none, short, common, combined, json"]),
        (&["--host", ""], &["--host"]),
        (&["--host", "unix:"], &["'unix:'", "'--host'", "unix:PATH"]),
        (&["--socket-mode", "0888"], &["'0888'", "'--socket-mode'", "octal, such as 0660"]),
        (&["--socket-mode", "1777"], &["'1777'", "'--socket-mode'"]),
        (&["--socket-mode", "+666"], &["'+666'", "'--socket-mode'"]),
        (&["--open", "--confine"], &["--open", "--confine"]),
        (&["--open", "--host", "unix:/tmp/miniweb"], &["--open", "--host"]),
        (&["--qr"], &["--qr", "--host 0.0.0.0"]),
        (&["--qr", "--host", "unix:/tmp/miniweb"], &["--qr", "--host 0.0.0.0"]),
        (
            &["--user", "no-such-user"],
            &["--user", "the name of a user of this system, or a number"],
        ),
        (&["--user", "1000:x"], &["--user", "two numbers"]),
        (&["--admin", ""], &["--admin", "HOST:PORT"]),
        (&["--admin", "9090"], &["'9090'", "--admin", "HOST:PORT"]),
        (&["--admin", "127.0.0.1"], &["'127.0.0.1'", "--admin", "HOST:PORT"]),
        (&["--admin", "127.0.0.1:65536"], &["--admin", "HOST:PORT"]),
        (&["--admin", "unix:"], &["'unix:'", "--admin", "unix:PATH"]),
        (&["--health", ""], &["--health", "begins with a slash"]),
        (&["--health", "/"], &["'/'", "--health", "/health"]),
        (&["--health", "health"], &["'health'", "--health", "begins with a slash"]),
        (&["--health", "/health/"], &["--health", "does not end with one"]),
        (&["--health", "/*"], &["--health", "not a pattern"]),
        (&["--health", "/a/../b"], &["--health", "can match no request path"]),
        (&["--proxy-protocol"], &["--proxy-protocol", "--trusted-proxy"]),
        (&["--trusted-proxy", "10.0.0.0/33"], &["10.0.0.0/33", "--trusted-proxy", "10.0.0.0/8"]),
    ] {
        for command in commands() {
            expect_failure(&[&[command], arguments].concat(), 2, words);
        }
    }
}

#[test]
fn what_an_error_quotes_is_escaped() {
    let quoted = "a\x1b[2J\n\u{85}\u{9b}\u{2028}\u{202e}\u{2066}b";
    let escaped = r"a\u{1b}[2J\n\u{85}\u{9b}\u{2028}\u{202e}\u{2066}b";
    let command = any_command();
    for (arguments, status) in [
        (&[quoted][..], 2),
        (&[command, &format!("--{quoted}")], 2),
        (&[command, "--port", quoted], 2),
        (&[command, "--host", quoted], 2),
        (&[command, ".", quoted], 2),
        (&[command, quoted], 1),
        (&[command, "--fallback", quoted], 1),
        (&["compare", quoted], 1),
        (&["compare", "--strategies", quoted], 2),
        (&["compare", "--json", &format!("/{quoted}/x")], 1),
    ] {
        expect_failure(arguments, status, &[escaped]);
    }
}

#[test]
fn an_option_of_one_strategy_with_an_invalid_value_is_a_usage_error_that_names_it() {
    for (strategy, flag) in own_flags() {
        match flag.kind {
            FlagInfoKind::Switch => {
                let with_value = format!("{}=x", flag.long);
                let words = [flag.long, "takes no value"];
                expect_failure(&[strategy.name, &with_value], 2, &words);
            }
            FlagInfoKind::Option { .. } => {
                let words = [flag.long, "missing value"];
                expect_failure(&[strategy.name, flag.long], 2, &words);
                for value in ["", "?", "-1", "100000000000000000000"] {
                    let arguments = [strategy.name, flag.long, value, "--port", "0"];
                    expect_failure(&arguments, 2, &[flag.long, "invalid value", "expected"]);
                }
            }
        }
    }
}

#[test]
fn an_option_of_one_strategy_is_unknown_to_strategies_without_it() {
    for (_, flag) in own_flags() {
        for other in strategies::ALL {
            let others = (other.options)().flags;
            if !others.iter().any(|other| other.long == flag.long) {
                expect_failure(&[other.name, flag.long], 2, &[flag.long, "unknown"]);
            }
        }
    }
}

/// Each strategy with each of its own options.
fn own_flags() -> impl Iterator<Item = (&'static Strategy, &'static FlagInfo<'static>)> {
    strategies::ALL.iter().flat_map(|strategy| {
        let flags = (strategy.options)().flags.iter();
        flags.filter(|flag| flag.long != "--help").map(|flag| (*strategy, flag))
    })
}

#[test]
fn an_invalid_rule_is_a_usage_error_that_names_its_option() {
    let no_hash = format!("me:{}", "x".repeat(64));
    let long_hash = format!("me:{}", "0".repeat(65));
    for (option, values) in [
        ("--compress", &["", "gzip", "ON"][..]),
        ("--error-page", &["", "404", "404.html", "200=a.html", "401=a.html", "=a.html", "x=a"]),
        (
            "--hide",
            &[
                "",
                "/",
                "//",
                "///",
                ".",
                "..",
                "../",
                "/.",
                "/..",
                "docs/a",
                "/docs//",
                "/docs//a",
                "//docs",
                "/docs/../a",
                "/docs/./a",
                "/docs/..",
                "[",
            ],
        ),
        ("--index", &["", "docs/index.html", "/index.html", ".index.html", "."]),
        (
            "--header",
            &[
                "",
                "no colon",
                ": x",
                "X Y: z",
                "X-A: a\r\nX-B: b",
                "X-A: a\nb",
                "/docs/**",
                "/[ X-A: b",
                // Patterns that can match no path, and one that is no pattern.
                "/docs//* X-A: b",
                "//docs/* X-A: b",
                "/docs/../* X-A: b",
                "/docs/./* X-A: b",
                "X-A: b /docs/**",
                "docs/** X-A: b",
                // Headers that the server sets itself.
                "Content-Length: 3",
                "date: now",
                "Transfer-Encoding: chunked",
                // Headers that have options of their own.
                "Cache-Control: no-store",
                "content-type: text/html",
            ],
        ),
        (
            "--cache-control",
            &[
                "",
                " ",
                "/docs/**",
                "/docs/** ",
                "/[ no-store",
                "no-store\r\nX-A: b",
                "/docs//* no-store",
                "/docs/.. no-store",
                "max-age=86400 /docs/**",
                "docs/** max-age=86400",
                "max-age=86400 no-store",
                "max-age=",
            ],
        ),
        (
            "--redirect",
            &[
                "",
                "/a",
                "a /b",
                "/a b",
                "/a /b 200",
                "/a /b 301 x",
                "/a//b /c",
                "/a /a",
                "/a/** /a/b/$1",
                "/a /b$1",
                "/* /$2",
                "/a //h.example",
                "/a /\\h.example",
                "/* https://$1/",
                "/* https://h.example$1",
                "/a ftp://h.example/",
                "/a /b\r\nX:y",
                "/a /%zz",
            ],
        ),
        ("--route-prefix", &["", "/", "sub", "//", "/a//b", "/.a", "/../a", "/%73ub", "/a?b"]),
        (
            "--cors-origin",
            &["", "*", "null", "example.org", "https://", "https://h.example/", "https://h:x"],
        ),
        ("--auth", &["", "me", "me:", "me:secret", &no_hash, &long_hash]),
        (
            "--media-type",
            &[
                "",
                "glb",
                "glb=",
                "glb=model",
                "=a/b",
                "glb=/b",
                "glb=a/",
                "glb=a/b\r\nX-A: b",
                ".=a/b",
            ],
        ),
    ] {
        for value in values {
            expect_failure(&[any_command(), option, value, "--port", "0"], 2, &[option]);
        }
        expect_failure(&[any_command(), option], 2, &[option]);
    }
    for switch in ["--list", "--cors", "--clean-urls"] {
        expect_failure(&[any_command(), &format!("{switch}=yes")], 2, &[switch]);
    }
}

#[test]
fn cors_and_cors_origin_cannot_be_combined() {
    let arguments = [any_command(), "--cors", "--cors-origin", "https://h.example"];
    expect_failure(&arguments, 2, &["--cors and --cors-origin"]);
}

#[test]
fn a_missing_fallback_is_named() {
    let site = Site::new();
    let root = site.root().display().to_string();
    site.write_beside("outside.html", "not beneath the root");
    site.link("out.html", "../outside.html");
    for command in commands() {
        for file in
            ["no-such-page.html", "docs", "", "../outside.html", "out.html", "/no/such.html"]
        {
            expect_failure(
                &[command, &root, "--port", "0", "--fallback", file],
                1,
                &["--fallback", file],
            );
        }
    }
}

/// A percent sign in the name of a file stands for itself.
#[test]
fn a_name_on_the_disk_is_not_decoded() {
    let site = Site::new();
    site.write("%2elost.html", "the page");
    site.write(".lost%zz.html", "hidden");
    let root = site.root().display().to_string();
    let words = ["--port", "0", "--log", "none", "--error-page"];
    let mut command = miniweb();
    command.arg(&root).args(words).arg("404=%2elost.html");
    assert_eq!(Server::run(command).get("/missing").body, b"the page");
    let arguments = [&[any_command(), &root][..], &words, &["404=.lost%zz.html"]].concat();
    expect_failure(&arguments, 1, &["--error-page", "dot"]);
}

#[test]
fn an_error_page_that_cannot_be_sent_is_named() {
    let site = Site::new();
    site.write(".hidden.html", "hidden");
    let root = site.root().display().to_string();
    for (file, status) in [("missing.html", 1), (".hidden.html", 1), ("docs", 1), ("", 1)] {
        let value = format!("404={file}");
        let arguments = [any_command(), &root, "--port", "0", "--error-page", &value];
        expect_failure(&arguments, status, &["--error-page", file]);
    }
    let twice = ["--error-page", "403=page.html", "--error-page", "403=index.html"];
    let arguments = [&[any_command(), &root, "--port", "0"][..], &twice].concat();
    expect_failure(&arguments, 2, &["--error-page", "twice", "403"]);
}

#[test]
fn options_for_a_directory_are_refused_if_the_root_is_a_file() {
    let site = Site::new();
    let file = site.path("page.html").display().to_string();
    for command in commands() {
        for option in [
            &["--list"][..],
            &["--index", "page.html"],
            &["--hide", "a"],
            &["--clean-urls"],
            &["--fallback", "page.html"],
            &["--error-page", "404=page.html"],
        ] {
            let arguments = [&[command, &file, "--port", "0"], option].concat();
            expect_failure(&arguments, 2, &[option[0], "folder", "file"]);
        }
    }
}

#[test]
fn a_hidden_file_cannot_be_the_fallback() {
    let site = Site::new();
    site.write(".hidden.html", "hidden");
    site.write(".drafts/page.html", "hidden");
    let root = site.root().display().to_string();
    for file in [".hidden.html", "/.hidden.html", ".drafts/page.html"] {
        expect_failure(
            &[any_command(), &root, "--port", "0", "--fallback", file],
            1,
            &["--fallback", file, "dot"],
        );
    }
}

#[test]
fn a_usage_error_names_the_help_of_its_command() {
    expect_failure(&["--prot"], 2, &["(see miniweb --help)"]);
    for command in commands().chain(["compare"]) {
        expect_failure(&[command, "--prot"], 2, &[&format!("(see miniweb {command} --help)")]);
    }
}

#[test]
fn steps_are_printed_or_recorded() {
    let arguments = [any_command(), "--trace", "--recording-file", "/dev/null"];
    expect_failure(&arguments, 2, &["--trace and --recording-file cannot be combined"]);
    let arguments = [any_command(), "--recording-file", "/dev/null"];
    expect_failure(&arguments, 1, &["the file for the recording is too short"]);
}

#[test]
fn a_switch_takes_no_value() {
    for arguments in [
        &[any_command(), "--trace=yes"][..],
        &[any_command(), "--trace=no", "."],
        &["compare", "--quick=x"],
        &["--version=1"],
        &["--help=x"],
    ] {
        let switch = arguments.iter().find_map(|word| word.split_once('='));
        expect_failure(arguments, 2, &[switch.expect("one argument has a value").0]);
    }
}

#[test]
fn an_option_value_that_is_not_utf_8_is_a_usage_error() {
    let output = run([any_command().into(), OsString::from_vec(b"--port=\xff".to_vec())]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
}

#[test]
fn an_option_takes_its_value_from_the_next_argument_or_after_an_equals_sign() {
    let site = Site::new();
    let root = site.root().display().to_string();
    let (command, root) = (any_command(), &*root);
    let ways = [
        &[command, root, "--host", "127.0.0.1", "--port", "0", "--log", "none"][..],
        &[command, "--host=127.0.0.1", "--port=0", "--log=none", root],
        &[command, root, "--port=0", "--idle-timeout=1.5", "--max-connections", "9"],
    ];
    for arguments in ways {
        let mut command = miniweb();
        command.args(arguments);
        assert_eq!(Server::run(command).get("/page.html").status, 200, "{arguments:?}");
    }
}

/// A server that ignored them would serve in the clear what they protect.
#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_refuses_its_options() {
    for command in commands() {
        for options in [
            &["--tls-cert", "x"][..],
            &["--tls-key", "x"],
            &["--tls-self-signed"],
            &["--kernel-tls"],
            &["--redirect-http", ":80"],
        ] {
            let arguments = [&[command, "--port", "0"][..], options].concat();
            expect_failure(&arguments, 2, &[options[0], "requires a build with TLS"]);
        }
    }
}
