//! The number of instructions per request without a network, counted by callgrind. Unlike a time,
//! it does not depend on the load of the machine.
//!
//! ```text
//! cargo bench --bench instructions             compare with the baseline in instructions.txt
//! cargo bench --bench instructions -- --save   replace the baseline
//! ```
//!
//! The comparison fails if a count has grown by more than 3%. A count depends on the compiler and
//! on the libraries of the machine. If the compiler differs from that of the baseline, the counts
//! are printed without a comparison; save a new baseline.

#[path = "support/cycle.rs"]
#[allow(dead_code, reason = "each benchmark uses a part")]
mod cycle;

use std::process::{Command, ExitCode};

use cycle::{Cycle, TURNS};

/// Greater growth is a regression.
const GROWTH_MAX: f64 = 0.03;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The child process that runs under valgrind.
        ["--turns", name, turns] => {
            take_turns(name, turns.parse().expect("--turns takes a number"));
            return ExitCode::SUCCESS;
        }
        options if options.contains(&"--test") => {
            TURNS.iter().for_each(|(name, ..)| take_turns(name, 2));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let counts = TURNS.map(|(name, _, requests)| (name, per_request(name, requests)));
    if arguments.iter().any(|argument| argument == "--save") {
        save(&counts);
    }
    compare(&counts)
}

fn take_turns(name: &str, turns: usize) {
    let (_, request, requests) =
        TURNS.iter().find(|turn| turn.0 == name).expect("--turns takes the name of a turn");
    let mut cycle = Cycle::new(request, *requests);
    (0..turns).for_each(|_| cycle.turn());
}

/// The number of instructions per request: the difference between many turns and few, so that
/// startup and exit cancel out.
fn per_request(name: &str, requests: usize) -> u64 {
    const TURNS_FEW: u64 = 200;
    const TURNS_MANY: u64 = 1200;
    (count_instructions(name, TURNS_MANY) - count_instructions(name, TURNS_FEW))
        / ((TURNS_MANY - TURNS_FEW) * requests as u64)
}

fn count_instructions(name: &str, turns: u64) -> u64 {
    let program = std::env::current_exe().expect("/proc is mounted");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = valgrind
        .args(["--turns", name, &turns.to_string()])
        .output()
        .expect("valgrind can be started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the benchmark failed under valgrind:\n{text}");
    let count =
        text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.unwrap_or_else(|| panic!("no instruction count in the output of callgrind:\n{text}"))
}

fn compare(counts: &[(&str, u64)]) -> ExitCode {
    let baseline = std::fs::read_to_string(BASELINE).unwrap_or_default();
    let is_comparable = baseline.lines().next() == Some(&compiler());
    if !is_comparable {
        println!("no comparison: benches/instructions.txt was not saved with {}", compiler());
    }
    let mut has_regression = false;
    println!("{:<22}{:>14}{:>10}{:>9}", "turn", "instructions", "before", "change");
    for (name, count) in counts {
        let before = baseline
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.parse::<u64>().ok());
        match before.filter(|_| is_comparable) {
            Some(before) => {
                let growth = *count as f64 / before as f64 - 1.0;
                has_regression |= growth > GROWTH_MAX;
                let verdict = if growth > GROWTH_MAX { "  worse" } else { "" };
                let change = format!("{:.1}", growth * 100.0).replace("-0.0", "0.0");
                println!("{name:<22}{count:>14}{before:>10}{change:>8}%{verdict}");
            }
            None => {
                // A turn without a baseline would never be compared.
                has_regression |= is_comparable;
                println!("{name:<22}{count:>14}{:>10}", "none");
            }
        }
    }
    if has_regression { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn save(counts: &[(&str, u64)]) {
    let lines: String = counts.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect();
    std::fs::write(BASELINE, format!("{}\n{lines}", compiler()))
        .expect("the baseline file is writable");
}

/// The compiler version, so that only counts of the same compiler are compared.
fn compiler() -> String {
    let output = Command::new(std::env::var("RUSTC").unwrap_or("rustc".into())).arg("-V").output();
    output.map_or("unknown".into(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
