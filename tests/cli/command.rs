//! Runs the binary to its end and checks its output.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use miniweb::server::strategies;

use crate::support::{TIMEOUT, miniweb};

/// Runs the binary with arguments that make it end by itself.
#[track_caller]
pub fn run<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Output {
    let mut process = miniweb()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary exists");
    // A server that starts by mistake is killed.
    let give_up = Instant::now() + TIMEOUT;
    while process.try_wait().expect("the process is a child of the test").is_none() {
        if Instant::now() > give_up {
            process.kill().expect("the process is a child of the test");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    process.wait_with_output().expect("the process is a child of the test")
}

/// Expects that `arguments` are refused with `status`, and with one line on stderr that contains
/// all of `words`.
#[track_caller]
pub fn expect_failure(arguments: &[&str], status: i32, words: &[&str]) {
    let output = run(arguments);
    let error_line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error_line}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    assert_eq!(error_line.lines().count(), 1, "{arguments:?}: {error_line}");
    for word in words {
        assert!(error_line.contains(word), "{arguments:?} does not name {word}: {error_line}");
    }
}

#[track_caller]
pub fn expect_print(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

/// The command of a strategy, for tests whose subject does not depend on which.
pub fn any_command() -> &'static str {
    strategies::DEFAULT.name
}

/// The commands of all strategies.
pub fn commands() -> impl Iterator<Item = &'static str> {
    strategies::ALL.iter().map(|strategy| strategy.name)
}
