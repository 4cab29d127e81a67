//! Runs `miniweb compare` and reads its results.

use std::path::Path;
use std::process::{Command, Output};

use miniweb::compare::Contender;
use miniweb::compare::results::Results;

pub fn compare(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miniweb"));
    command.arg("compare").args(arguments).output().expect("cargo has built the program")
}

pub fn results(arguments: &[&str], directory: &Path) -> Results {
    let path = directory.join("results.json");
    let output = compare(
        &[arguments, &["--quick", "--color", "never", "--json", path.to_str().expect("UTF-8")]]
            .concat(),
    );
    // Status 3 means that the machine was too busy for a ranking. The rounds are there all the
    // same.
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {stderr}", output.status);
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    serde_json::from_str(&json).expect("the JSON matches the schema")
}

/// The name of a strategy for tests that need any one.
pub fn first_strategy() -> String {
    Contender::strategies(true).swap_remove(0).info.name
}
