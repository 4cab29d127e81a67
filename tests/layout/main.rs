//! The layout rules of docs/ARCHITECTURE.md, checked on the source text.
//!
//! Each rule is a function from sources to violations, and the self-tests show that it finds one.

mod imports;
mod rules;
mod sources;

use miniweb::server::strategies::{self, Strategy};
use sources::{Source, sources};

/// Fails with the violations of a rule. A rule that has nothing to look at is broken.
#[track_caller]
fn expect_none(rule: &str, sources: &[Source], violations: impl Fn(&Source) -> Vec<String>) {
    assert!(!sources.is_empty(), "there are no sources for: {rule}");
    let found: Vec<String> = sources.iter().flat_map(violations).collect();
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn sources_in(directory: &str) -> Vec<Source> {
    sources().into_iter().filter(|source| source.path.starts_with(directory)).collect()
}

/// Whether a file holds a strategy: one file per strategy, or the mod.rs of its directory.
fn is_strategy_file(source: &Source) -> bool {
    let Some(name) = source.path.strip_prefix("src/server/strategies/") else { return false };
    let stem = name.trim_end_matches(".rs").trim_end_matches("/mod");
    strategies::ALL.iter().any(|strategy| strategy.name.replace('-', "_") == stem)
}

/// Whether a file is that of `strategy` or in its directory.
fn belongs_to(source: &Source, strategy: &Strategy) -> bool {
    let module = format!("src/server/strategies/{}", strategy.name.replace('-', "_"));
    let rest = source.path.strip_prefix(&module);
    rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Cargo runs benches in the order of their names, and a full `cargo bench` ends with the headline
/// of a comparison.
#[test]
fn the_bench_that_ends_with_the_headline_is_the_last() {
    let manifest = include_str!("../../Cargo.toml");
    let benches = manifest.split("[[bench]]").skip(1);
    let names = benches.filter_map(|bench| bench.split("name = \"").nth(1)?.split('"').next());
    assert_eq!(names.max(), Some("strategies"));
}

#[test]
fn no_two_modules_import_each_other() {
    for (directory, root) in [("src/", "src/lib.rs"), ("tests/", "")] {
        let cycles = imports::cycles(&sources_in(directory), root);
        assert!(cycles.is_empty(), "import cycles:\n{}", cycles.join("\n"));
    }
}

#[test]
fn http_uses_no_socket_file_thread_process_or_clock() {
    let words = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::os",
        "std::env",
        // With a brace the words above could be written in another way.
        "std::{",
        "Instant::now",
        "SystemTime::now",
        "elapsed",
        "rustix",
        "libc",
        "mio::",
        "socket2",
        "signal_hook",
        "crate::server",
        "crate::site",
    ];
    let http = sources_in("src/http/");
    expect_none("src/http/ is without I/O", &http, |source| rules::words(source, &words));
}

#[test]
fn strategies_do_not_know_http() {
    let words = [
        "HTTP",
        "HTTP/1",
        "GET",
        "HEAD",
        "Content-",
        "Status",
        "Method",
        "Request",
        "Response",
        "Header",
        "Headers",
        "Date",
        "Host",
        "keep_alive",
        "status",
        "header",
        "httparse",
        "httpdate",
    ];
    let strategies: Vec<_> = sources().into_iter().filter(is_strategy_file).collect();
    assert_eq!(strategies.len(), miniweb::server::strategies::ALL.len(), "one file per strategy");
    expect_none("a strategy only waits", &strategies, |source| rules::words(source, &words));
}

#[test]
fn the_site_does_not_know_the_server() {
    let words = ["crate::server", "std::net", "socket2", "httparse"];
    expect_none("a target becomes a response", &sources_in("src/site/"), |source| {
        rules::words(source, &words)
    });
}

#[test]
fn a_strategy_is_named_only_in_its_file_and_the_registry() {
    const REGISTRY: &str = "src/server/strategies/mod.rs";
    let elsewhere: Vec<_> =
        sources().into_iter().filter(|source| source.path != REGISTRY).collect();
    expect_none("select by property instead", &elsewhere, |source| {
        let others = strategies::ALL.iter().filter(|strategy| !belongs_to(source, strategy));
        others.flat_map(|strategy| rules::names(source, strategy)).collect()
    });
}

#[test]
fn files_are_short() {
    let all = sources();
    expect_none("split the file", &all, |source| {
        let lines_max = match () {
            () if is_strategy_file(source) => 150,
            () if source.path.starts_with("src/") => 400,
            // A list of test cases is read case by case.
            () => 600,
        };
        rules::too_long(source, lines_max).into_iter().collect()
    });
}

#[test]
fn comments_wrap_at_100_columns() {
    expect_none("wrap the comment", &sources(), rules::long_comments);
}

#[test]
fn unsafe_code_is_in_one_file() {
    const FILE: &str = "src/server/sys.rs";
    // The texts of these rules have the word.
    let is_checked = |source: &Source| !source.path.starts_with("tests/layout/");
    let (unsafe_files, others): (Vec<_>, Vec<_>) =
        sources().into_iter().filter(is_checked).partition(|source| source.path == FILE);
    expect_none("only fork and mmap need it", &others, |source| {
        rules::words(source, &["unsafe", "unsafe_code"])
    });
    expect_none("say why it is sound", &unsafe_files, |source| {
        let blocks = source.code().filter(|(_, line)| rules::has_word(line, "unsafe {")).count();
        let reasons = source.text.matches("// SAFETY: ").count();
        let violation = || format!("{FILE}: {blocks} blocks, {reasons} reasons");
        let miscounted = (blocks == 0 || blocks != reasons).then(violation);
        rules::unexplained_unsafe(source).into_iter().chain(miscounted).collect()
    });
}

#[test]
fn one_file_parses_headers() {
    let others: Vec<_> =
        sources_in("src/").into_iter().filter(|s| s.path != "src/http/headers.rs").collect();
    expect_none("httparse is a detail of headers.rs", &others, |source| {
        rules::words(source, &["httparse"])
    });
}

#[test]
fn nothing_is_unwrapped() {
    // An invariant that code relies on deserves a sentence: expect has one, unwrap has not.
    expect_none("handle the error, or state the invariant", &sources_in("src/"), |source| {
        rules::words(source, &[".unwrap()", ".unwrap_err()"])
    });
}

#[test]
fn nothing_is_left_undone_or_printed_in_passing() {
    let words = ["todo!", "unimplemented!", "dbg!", "println!", "eprintln!", "print!", "eprint!"];
    expect_none("std's macros panic at a closed pipe", &sources_in("src/"), |source| {
        rules::words(source, &words)
    });
}

#[test]
fn every_file_starts_with_its_responsibility() {
    expect_none("begin with //!", &sources(), |source| {
        rules::missing_responsibility(source).into_iter().collect()
    });
}

#[test]
fn unit_tests_stand_at_the_end_of_a_file() {
    // Source::code ends there, so the other rules would not see what follows.
    expect_none("move the code above the tests", &sources_in("src/"), rules::code_after_tests);
}
