//! The responses that every strategy gives: each case runs against the real binary under every
//! set-up, and the name of a failed case begins with that of its set-up.
//!
//! Each case starts its own server, so that no state of an earlier case is hidden in it. Most cases
//! never hold two connections open, because one set-up serves one at a time; a file marks those
//! that need several.
//!
//! `cargo test --test conformance -- framing` runs one file, `-- SET-UP::` one set-up.

mod case;
mod codings;
mod concurrency;
mod conditions;
mod connections;
mod files;
mod framing;
mod limits;
mod listings;
mod messages;
mod methods;
mod paths;
mod policy;
mod ranges;
mod regressions;
#[path = "../support/mod.rs"]
mod support;
mod syntax;
mod transfer_encoding;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use support::{Setup, setups};

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
        paths::cases(),
        methods::cases(),
        files::cases(),
        concurrency::cases(),
        regressions::cases(),
        conditions::cases(),
        ranges::cases(),
        codings::cases(),
        listings::cases(),
        policy::cases(),
    ];
    let trials = setups().flat_map(|setup| {
        let runs = cases.iter().flatten().filter(move |case| (case.runs_under)(setup));
        runs.map(move |case| trial(case.clone(), setup))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn trial(case: Case, setup: &'static Setup) -> Trial {
    let file = case.module.trim_start_matches("conformance::");
    let run = move || {
        catch_unwind(AssertUnwindSafe(|| (case.run)(setup))).map_err(|_| Failed::from(PANIC.take()))
    };
    Trial::test(format!("{}::{file}::{}", setup.name, case.name), run)
}
