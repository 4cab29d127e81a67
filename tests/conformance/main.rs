//! Runs each conformance case against the real binary under each tested set-up, with and without
//! TLS. The name of a test is `<set-up>::<file>::<case>`, or `<set-up>+tls::<file>::<case>`.
//!
//! Invariants:
//! 1. Each case starts its own server, so that no case depends on the state that another left.
//! 2. A case that needs several open connections at a time runs only under set-ups that serve them.
//!
//! `cargo test --test conformance -- framing::` runs the cases of one file, `-- SET-UP::` those of
//! one set-up.

mod addresses;
mod admin;
mod authentication;
mod case;
mod clean_urls;
mod codings;
mod concurrency;
mod conditions;
mod connection_limit;
mod connections;
mod cors;
mod error_pages;
mod files;
mod framing;
mod header_rules;
mod health;
mod hidden;
mod index_pages;
mod large_listings;
mod limits;
mod links;
mod listings;
mod messages;
mod methods;
mod paths;
mod policy;
mod proxies;
mod ranges;
mod redirects;
mod regressions;
mod route_prefix;
#[path = "../support/mod.rs"]
mod support;
mod syntax;
mod tls_handshakes;
mod tls_records;
mod transfer_encoding;
mod validators;

use std::cell::RefCell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use support::{Certificate, Setup, encrypted, setups};
use tempfile::TempDir;

thread_local! {
    /// The location and message of the last panic of this thread.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Many cases wait for a timeout or for the disk and use no core meanwhile.
    arguments.test_threads.get_or_insert(8);
    // Kept for the summary, which prints it beside the name of the case.
    set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
    let cases = [
        messages::cases(),
        connections::cases(),
        framing::cases(),
        transfer_encoding::cases(),
        syntax::cases(),
        limits::cases(),
        connection_limit::cases(),
        paths::cases(),
        links::cases(),
        methods::cases(),
        files::cases(),
        concurrency::cases(),
        regressions::cases(),
        validators::cases(),
        conditions::cases(),
        ranges::cases(),
        codings::cases(),
        listings::cases(),
        large_listings::cases(),
        policy::cases(),
        header_rules::cases(),
        index_pages::cases(),
        hidden::cases(),
        clean_urls::cases(),
        error_pages::cases(),
        addresses::cases(),
        redirects::cases(),
        route_prefix::cases(),
        cors::cases(),
        authentication::cases(),
        proxies::cases(),
        admin::cases(),
        health::cases(),
        tls_handshakes::cases(),
        tls_records::cases(),
    ];
    let directory = certificate_directory();
    let files = Certificate::new().write(directory.path(), "tls");
    // With or without `--user nobody`, the server may read it, and nobody else.
    if rustix::process::geteuid().is_root()
        && let Ok(Some(nobody)) = nix::unistd::User::from_name("nobody")
    {
        let given = std::os::unix::fs::chown(&files[1], Some(nobody.uid.as_raw()), None);
        given.expect("root may give files away");
    }
    let trials = setups().flat_map(|setup| [setup, encrypted(setup, &files)]).flat_map(|setup| {
        let runs = cases.iter().flatten().filter(move |case| (case.runs_under)(setup));
        runs.map(move |case| trial(case.clone(), setup))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // `exit` would not delete it.
    drop(directory);
    conclusion.exit();
}

/// Where the servers read the certificate of this run. Users without privileges may enter it.
fn certificate_directory() -> TempDir {
    let mode = Permissions::from_mode(0o755);
    let builder = &mut tempfile::Builder::new();
    builder.prefix("miniweb-tls-").permissions(mode).tempdir().expect("a temporary directory")
}

fn trial(case: Case, setup: &'static Setup) -> Trial {
    let file = case.module.trim_start_matches("conformance::");
    let run = move || {
        catch_unwind(AssertUnwindSafe(|| (case.run)(setup))).map_err(|_| Failed::from(PANIC.take()))
    };
    Trial::test(format!("{}::{file}::{}", setup.name, case.name), run)
}
