//! A command line without a command, and options from the environment.

use std::process::{Command, Stdio};

use miniweb::server::strategies;

use crate::command::{expect_failure, expect_print};
use crate::support::{Server, Site, miniweb};

/// Runs the binary with words of its own only.
fn server(words: &[&str], site: &Site) -> Server {
    let mut command = miniweb();
    command.args(words).current_dir(site.root());
    Server::run(command)
}

fn site() -> Site {
    let site = Site::new();
    site.write("public/index.html", "public");
    site.write("html/index.html", "html");
    site.write("mio/index.html", "a folder called like a command");
    site
}

#[test]
fn a_path_without_a_command_is_served_by_the_default_strategy() {
    let site = site();
    for words in [
        &["public", "--port", "0", "--log", "none"][..],
        &["./public", "-p", "0", "--log=none"],
        &["--log", "none", "-p0", "public"],
        &["-p=0", "--log=none", "--", "public"],
    ] {
        let server = server(words, &site);
        assert_eq!(server.get("/").body, b"public", "{words:?}");
        let strategy = format!("({},", strategies::DEFAULT.name);
        assert!(server.greeting.contains(&strategy), "{}", server.greeting);
    }
    let server = server(&["./mio", "-p", "0", "--log", "none"], &site);
    assert_eq!(server.get("/").body, b"a folder called like a command");
}

#[test]
fn without_a_path_the_folder_html_or_the_sample_site_is_served() {
    let site = site();
    let options = ["--port", "0", "--log", "none"];
    assert_eq!(server(&options, &site).get("/").body, b"html");
    let sample = server(&options, &Site::new());
    assert!(sample.greeting.contains("the sample site"), "{}", sample.greeting);
    assert_eq!(sample.get("/").status, 200);
}

#[test]
fn a_mistyped_command_or_option_is_answered_with_a_suggestion() {
    for (words, expected) in [
        (
            &["copmare"][..],
            "unknown command 'copmare': did you mean 'compare'? (see miniweb --help)",
        ),
        (&["no-such-folder"], "no-such-folder: no such file or folder, and no command"),
        (&["help", "copmare"], "did you mean 'compare'?"),
        (&["--prot", "80"], "unknown option '--prot': did you mean '--port'? (see miniweb --help)"),
        (&[".", "--lists"], "did you mean '--list'?"),
        (&["-q"], "unknown option '-q'"),
        (&["-p"], "missing value for '-p'"),
        (&["-p", "1", "--port", "2"], "option '--port' is given twice"),
        (&["-px"], "invalid value 'x' for '-p': expected a number"),
    ] {
        expect_failure(words, 2, &[expected]);
    }
    for strategy in strategies::ALL {
        let mistyped = format!("{}s", strategy.name);
        let expected = format!("unknown command '{mistyped}': did you mean '{}'?", strategy.name);
        expect_failure(&[&mistyped, "."], 2, &[&expected]);
        for own in (strategy.options)().flags.iter().filter(|own| own.long != "--help") {
            let mistyped = format!("{}s", own.long);
            let expected = format!("did you mean '{}'?", own.long);
            expect_failure(&[strategy.name, &mistyped], 2, &[&expected]);
        }
    }
    // A path with a slash was meant to be one.
    expect_failure(&["./no-such-folder"], 1, &["./no-such-folder: no such file or folder"]);
}

#[test]
fn help_and_version_have_several_spellings() {
    for command in strategies::ALL.iter().map(|strategy| strategy.name).chain(["compare"]) {
        assert_eq!(expect_print(&["help", command]), expect_print(&[command, "--help"]));
    }
    for words in [&["help"][..], &["-h"], &[".", "--help"]] {
        assert_eq!(expect_print(words), expect_print(&["--help"]), "{words:?}");
    }
    assert_eq!(expect_print(&["-V"]), expect_print(&["--version"]));
    expect_failure(&["help", "compare", "surplus"], 2, &["unexpected argument 'surplus'"]);
}

/// A command with variables instead of options.
fn with_variables(words: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = miniweb();
    command.args(words).envs(variables.iter().copied());
    command
}

#[test]
fn the_environment_sets_options_and_the_command_line_wins() {
    let site = site();
    let root = site.root().join("public").display().to_string();
    let variables = [
        ("MINIWEB_ROOT", &*root),
        ("MINIWEB_PORT", "0"),
        ("MINIWEB_LOG", "none"),
        ("MINIWEB_CORS", "1"),
        ("MINIWEB_LIST", "0"),
        ("MINIWEB_FALLBACK", ""),
        ("MINIWEB_HEADER", "X-A: from the environment\nX-B: too"),
    ];
    for strategy in strategies::ALL {
        let server = Server::run(with_variables(&[strategy.name], &variables));
        let response = server.get("/");
        assert_eq!(response.body, b"public", "{strategy:?}");
        assert_eq!(response.field("X-A"), Some("from the environment"));
        assert_eq!(response.field("X-B"), Some("too"));
        assert_eq!(response.field("Access-Control-Allow-Origin"), Some("*"));
    }
    let other = site.root().join("html").display().to_string();
    let words = [&*other, "--header", "X-A: from the command line"];
    let response = Server::run(with_variables(&words, &variables)).get("/");
    assert_eq!(response.body, b"html");
    assert_eq!(response.field("X-A"), Some("from the command line"));
    assert_eq!(response.field("X-B"), None);
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, reason) in [
        ("MINIWEB_PORT", "x", "invalid value 'x' for 'MINIWEB_PORT': expected a number"),
        ("MINIWEB_LIST", "yes", "invalid value 'yes' for 'MINIWEB_LIST': expected one of 1, true"),
        ("MINIWEB_AUTH", "me:secret", "invalid value for 'MINIWEB_AUTH'"),
        // Only MINIWEB_PORT may be ignored: the others may protect the site.
        ("MINIWEB_HIDE", " ", "for 'MINIWEB_HIDE': expected a value"),
        ("MINIWEB_HIDE", " *.bak", "expected a pattern without white space at its ends"),
        ("MINIWEB_SERVER_NAME", "\t", "for 'MINIWEB_SERVER_NAME': expected a value"),
        ("MINIWEB_AUTH_FILE", "  ", "for 'MINIWEB_AUTH_FILE': expected a value"),
        ("MINIWEB_HEADER", "\n", "for 'MINIWEB_HEADER': expected a value"),
        ("MINIWEB_LIST", " ", "for 'MINIWEB_LIST': expected a value"),
        ("MINIWEB_SERVER_NAME", "tcp://10.0.0.1:80", "for 'MINIWEB_SERVER_NAME': expected"),
        ("MINIWEB_HOST", "tcp://10.0.0.1:80", "for '--host': expected an address"),
        ("MINIWEB_AUTH_FILE", "tcp://10.0.0.1:80", "--auth-file "),
    ] {
        let mut command = with_variables(&["."], &[(name, value)]);
        let output = command.stdout(Stdio::piped()).output().expect("the binary exists");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(reason) && !error.contains("secret"), "{error}");
    }
}

/// Kubernetes sets these in containers if there is a Service called miniweb.
#[test]
fn the_variables_of_a_kubernetes_service_are_ignored() {
    let site = site();
    let root = site.root().display().to_string();
    let variables = [
        ("MINIWEB_SERVICE_HOST", "10.0.0.1"),
        ("MINIWEB_SERVICE_PORT", "80"),
        ("MINIWEB_SERVICE_PORT_HTTP", "80"),
        ("MINIWEB_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("MINIWEB_PORT_80_TCP_PROTO", "tcp"),
        ("MINIWEB_PORT_80_TCP_PORT", "80"),
        ("MINIWEB_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("MINIWEB_LOG", "none"),
        ("MINIWEB_PORT", "0"),
    ];
    let server = Server::run(with_variables(&[&root], &variables));
    assert_eq!(server.get("/public/").body, b"public");
    // MINIWEB_PORT counts as unset, so this listens on the default port, at an address that no
    // other test uses.
    let words = [&root, "--host", "127.0.0.77", "--log", "none"];
    let server = Server::run(with_variables(&words, &[("MINIWEB_PORT", "tcp://10.0.0.1:80")]));
    assert_eq!(server.address.port(), 7890);
    let warning = server.errors.next().expect("a warning");
    assert!(warning.starts_with("warning: MINIWEB_PORT is ignored"), "{warning}");
    assert_eq!(server.get("/public/").body, b"public");
}

/// The option that was meant may protect the site.
#[test]
fn a_mistyped_variable_gets_a_warning() {
    let site = site();
    let root = site.root().display().to_string();
    let variables = [
        ("MINIWEB_HIDES", "/public"),
        ("MINIWEB_THREADS", "3"),
        ("MINIWEB_HELP", "1"),
        ("MINIWEB_BUILD_DATE", "today"),
    ];
    let server = Server::run(with_variables(&[&root, "-p0", "--log=none"], &variables));
    let warning = server.errors.next().expect("a warning");
    let expected = "warning: MINIWEB_HIDES sets no option: did you mean 'MINIWEB_HIDE'?";
    assert_eq!(warning, expected);
    assert_eq!(server.get("/public/").status, 200);
    assert_eq!(server.errors.try_next(), None);
}

/// A multi-line value in YAML may have some.
#[test]
fn blank_lines_of_a_variable_are_ignored() {
    let site = site();
    let root = site.root().display().to_string();
    let variables = [("MINIWEB_HIDE", "\n*.bak\n  \n/public\n"), ("MINIWEB_LOG", "none")];
    let server = Server::run(with_variables(&[&root, "-p0"], &variables));
    assert_eq!(server.get("/public/").status, 404);
    assert_eq!(server.get("/html/").status, 200);
}
