//! Runs each conformance case against the real binary under each tested set-up, with and without
//! TLS. The name of a test is `<set-up>::<file>::<case>`, or `<set-up>+tls::<file>::<case>`.
//!
//! Invariants:
//! 1. Each case starts its own server, so that no case depends on the state that another left.
//! 2. A case that needs several open connections at a time runs only under set-ups that serve them.
//! 3. A case about TLS runs under every set-up, except those of `kernel_tls` that are about records
//!    and not about waiting, which run under one. Of the others, those about connections run over
//!    TLS under one set-up of each kind, and the rest under one; if the environment variable
//!    `EVERYTHING_OVER_TLS` is set, all run under every set-up.
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
mod https_redirects;
mod index_pages;
mod kernel_tls;
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
use std::cmp::Reverse;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use support::{Certificate, Setup, any_setup, encrypted, give_to_nobody, setups};
use tempfile::TempDir;

/// An environment variable: if it is set, all cases run over TLS under every set-up.
const EVERYTHING_OVER_TLS: &str = "EVERYTHING_OVER_TLS";

thread_local! {
    /// The location and message of the last panic of this thread.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Many cases wait for a timeout or for the disk and use no core meanwhile.
    arguments.test_threads.get_or_insert(12);
    // Kept for the summary, which prints it beside the name of the case.
    set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
    let directory = certificate_directory();
    let files = Certificate::new().write(directory.path(), "tls");
    give_to_nobody(&files);
    let everywhere: Vec<_> = setups().collect();
    let over_tls = |setups: &[&'static Setup]| -> Vec<_> {
        let runs_everything = std::env::var_os(EVERYTHING_OVER_TLS).is_some();
        let setups = if runs_everything { &everywhere[..] } else { setups };
        setups.iter().map(|setup| encrypted(setup, &files)).collect()
    };
    let groups = [
        (cases_of_tls(), over_tls(&everywhere)),
        (kernel_tls::cases_of_records(), over_tls(&[any_setup()])),
        (cases_of_connections(), [&everywhere[..], &over_tls(&representatives())].concat()),
        (cases_of_the_site(), [&everywhere[..], &over_tls(&[any_setup()])].concat()),
    ];
    let runs = groups.iter().flat_map(|(cases, setups)| {
        let of_setup = |setup| cases.iter().map(move |case: &Case| (case, setup));
        setups.iter().copied().flat_map(of_setup)
    });
    let runs = runs.filter(|(case, setup)| (case.runs_under)(setup));
    let trials = runs.map(|(case, setup)| trial(case.clone(), setup)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // `exit` would not delete it.
    drop(directory);
    conclusion.exit();
}

/// The cases whose outcome may depend on how bytes are carried: they are about connections, time,
/// memory, or what the server tells about its clients.
fn cases_of_connections() -> Vec<Case> {
    [
        messages::cases(),
        connections::cases(),
        framing::cases(),
        transfer_encoding::cases(),
        limits::cases(),
        connection_limit::cases(),
        files::cases(),
        concurrency::cases(),
        regressions::cases(),
        addresses::cases(),
        proxies::cases(),
        admin::cases(),
    ]
    .concat()
}

/// The cases about TLS itself.
fn cases_of_tls() -> Vec<Case> {
    [tls_handshakes::cases(), tls_records::cases(), kernel_tls::cases(), https_redirects::cases()]
        .concat()
}

/// One event loop, one set-up that blocks, and one that forks: TLS sees no other difference. Of
/// each kind, the first of those that serve the most connections at a time.
fn representatives() -> Vec<&'static Setup> {
    let kind = |setup: &Setup| (setup.strategy.is_event_loop, setup.forks);
    let represents = |setup: &&'static Setup| {
        let same = setups().filter(|other| kind(other) == kind(setup));
        let first = same.min_by_key(|other| Reverse(other.concurrency));
        first.is_some_and(|first| first.name == setup.name)
    };
    setups().filter(represents).collect()
}

/// The cases about which response a request gets. They would find nothing more over TLS under each
/// set-up, and take as long again.
fn cases_of_the_site() -> Vec<Case> {
    [
        syntax::cases(),
        paths::cases(),
        links::cases(),
        methods::cases(),
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
        redirects::cases(),
        route_prefix::cases(),
        cors::cases(),
        authentication::cases(),
        health::cases(),
    ]
    .concat()
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
