//! How many instructions a request takes without a network, counted by callgrind: the same on a busy machine as on a quiet one.
//!
//! ```text
//! cargo bench --bench instructions               compares with benches/instructions.txt; fails at 3% more
//! cargo bench --bench instructions -- --save     what was counted becomes what is compared with
//! ```
//!
//! A count is that of one compiler and one machine's libraries. With another compiler the figures are shown, and nothing is
//! judged: save them anew.

#[path = "support/cycle.rs"]
#[allow(dead_code, reason = "each bench uses its part")]
mod cycle;

use std::process::{Command, ExitCode};

use cycle::{Cycle, TURNS};

/// More than this is a regression.
const GROWTH_MAX: f64 = 0.03;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // Below valgrind: what is to be counted.
        ["--turns", name, turns] => {
            take_turns(name, turns.parse().expect("a number of turns"));
            return ExitCode::SUCCESS;
        }
        options if options.contains(&"--test") => {
            TURNS.iter().for_each(|(name, ..)| take_turns(name, 2));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: there is no valgrind to count instructions with");
        return ExitCode::SUCCESS;
    }
    let counts = TURNS.map(|(name, _, requests)| (name, per_request(name, requests)));
    if arguments.iter().any(|argument| argument == "--save") {
        save(&counts);
    }
    judge(&counts)
}

fn take_turns(name: &str, turns: usize) {
    let (_, request, requests) =
        TURNS.iter().find(|turn| turn.0 == name).expect("it is one of the turns");
    let mut cycle = Cycle::new(request, *requests);
    (0..turns).for_each(|_| cycle.turn());
}

/// Instructions of one request: what more turns cost more, so that the start and the end count for nothing.
fn per_request(name: &str, requests: usize) -> u64 {
    const TURNS_LESS: u64 = 200;
    const TURNS_MORE: u64 = 1200;
    (counted(name, TURNS_MORE) - counted(name, TURNS_LESS))
        / ((TURNS_MORE - TURNS_LESS) * requests as u64)
}

fn counted(name: &str, turns: u64) -> u64 {
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output =
        valgrind.args(["--turns", name, &turns.to_string()]).output().expect("valgrind runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "below valgrind it failed:\n{text}");
    let count =
        text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind told no count:\n{text}"))
}

fn judge(counts: &[(&str, u64)]) -> ExitCode {
    let baseline = std::fs::read_to_string(BASELINE).unwrap_or_default();
    let is_comparable = baseline.lines().next() == Some(&compiler());
    if !is_comparable {
        println!("nothing to compare with: benches/instructions.txt is not of {}", compiler());
    }
    let mut is_worse = false;
    println!("{:<22}{:>14}{:>10}{:>9}", "turn", "instructions", "before", "change");
    for (name, count) in counts {
        let before = baseline
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.parse::<u64>().ok());
        match before.filter(|_| is_comparable) {
            Some(before) => {
                let growth = *count as f64 / before as f64 - 1.0;
                is_worse |= growth > GROWTH_MAX;
                let mark = if growth > GROWTH_MAX { "  worse" } else { "" };
                let change = format!("{:.1}", growth * 100.0).replace("-0.0", "0.0");
                println!("{name:<22}{count:>14}{before:>10}{change:>8}%{mark}");
            }
            None => {
                // A turn that was added and not saved would never be judged.
                is_worse |= is_comparable;
                println!("{name:<22}{count:>14}{:>10}", "none");
            }
        }
    }
    if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn save(counts: &[(&str, u64)]) {
    let lines: String = counts.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect();
    std::fs::write(BASELINE, format!("{}\n{lines}", compiler()))
        .expect("the source can be written to");
}

/// Who made this, so that what another made is not compared with it.
fn compiler() -> String {
    let output = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into())).arg("-V").output();
    output.map_or("unknown".into(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
