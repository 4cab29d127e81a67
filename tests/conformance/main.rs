//! What every setup answers: each case is run against the real binary under each of them, so that a
//! failure names its setup:
//! `mio::framing::a_head_that_arrives_a_byte_at_a_time_is_the_same_request`.
//!
//! A case starts a server of its own, so that none can hide behind what another left. Most cases
//! never hold two connections open, since `iterative` serves one at a time; those that need several
//! are marked.
//!
//! `cargo test --test conformance -- framing` runs one file, `-- poll-list::` one setup.

mod case;
mod codings;
mod concurrency;
mod conditions;
mod connections;
mod files;
mod framing;
mod limits;
mod lineage;
mod listings;
mod messages;
mod methods;
mod paths;
mod policy;
mod ranges;
#[path = "../support/mod.rs"]
mod support;
mod syntax;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};
use support::{Setup, setups};

thread_local! {
    /// Where and why this thread panicked last.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Many cases wait for a deadline or for the disk and use no core meanwhile.
    arguments.test_threads.get_or_insert(8);
    // Kept for the summary, where the trial's name stands beside it.
    set_hook(Box::new(|panic| PANIC.set(panic.to_string())));
    let cases = [
        messages::cases(),
        connections::cases(),
        framing::cases(),
        syntax::cases(),
        limits::cases(),
        paths::cases(),
        methods::cases(),
        files::cases(),
        concurrency::cases(),
        lineage::cases(),
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
