//! `--help` and `--version`.

use std::process::Stdio;

use miniweb::server::strategies;

use crate::command::{any_command, commands, expect_print};
use crate::support::miniweb;

#[test]
fn help_lists_every_strategy_with_its_summary() {
    for argument in ["--help", "-h"] {
        let help = unwrapped(&expect_print(&[argument]));
        for strategy in strategies::ALL {
            assert!(help.contains(strategy.name), "{help}");
            assert!(help.contains(strategy.summary()), "{help}");
        }
        assert!(help.contains("--version") && help.contains("compare"), "{help}");
    }
}

#[test]
fn help_explains_common_options_once_and_those_of_a_strategy_with_its_command() {
    let overview = expect_print(&["--help"]);
    for (group, options) in [
        (
            "What to serve:",
            &[
                "--list",
                "--index <name>",
                "--hide <pattern>",
                "--clean-urls",
                "--fallback <file>",
                "--redirect <rule>",
                "--route-prefix <path>",
                "--error-page <status=file>",
                "--media-type <ext=type>",
            ][..],
        ),
        ("Network:", &["--host <address>", "-p, --port <number>", "--max-connections <number>"]),
        (
            "Caching and headers:",
            &[
                "--compress <mode>",
                "--cache-size <size>",
                "--cache-control <rule>",
                "--cors",
                "--cors-origin <origin>",
            ],
        ),
        (
            "Security:",
            &["--auth-file <file>", "--server-name <host>", "--user <user>", "--confine"],
        ),
        ("Logging:", &["--log <format>", "--trace"]),
    ] {
        let start = overview.find(&format!("\n{group}\n")).expect("the group has a heading");
        let group = overview[start..].split("\n\n").next().expect("there is a first part");
        for option in options {
            assert!(group.contains(&format!("\n  {option}")), "{option}: {group}");
        }
    }
    for strategy in strategies::ALL {
        for flag in ["--help", "-h"] {
            let help = unwrapped(&expect_print(&[strategy.name, flag]));
            for option in ["ROOT", "--host", "--port", "--list", "--confine", "--trace"] {
                assert!(help.contains(option), "{strategy:?} {flag} lacks {option}: {help}");
            }
            for own in (strategy.options)().flags.iter().filter(|own| own.long != "--help") {
                assert!(help.contains(own.long) && help.contains(own.description), "{help}");
            }
        }
    }
}

#[test]
fn help_without_a_terminal_wraps_at_80_columns() {
    for arguments in commands().chain(["compare"]).map(|command| [command, "--help"]) {
        let help = expect_print(&arguments);
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{arguments:?}: {help}");
    }
}

/// The text on one line, with single spaces.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(expect_print(&["--version"]), format!("miniweb {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_into_a_closed_pipe_succeeds() {
    for arguments in [&["--help"][..], &[any_command(), "--help"], &["--version"]] {
        let (reader, writer) = std::io::pipe().expect("the test has free descriptors");
        drop(reader);
        let process = miniweb()
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary exists");
        let output = process.wait_with_output().expect("the server is a child of the test");
        assert_eq!(
            (output.status.code(), &*String::from_utf8_lossy(&output.stderr)),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}
