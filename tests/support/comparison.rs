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
    // Before anything is measured, the file is empty.
    assert!(!stderr.contains("cannot"), "{stderr}");
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    expect_valid(&json);
    serde_json::from_str(&json).expect("the JSON matches the types")
}

/// Fails if a document of a run does not match the schema that is documented.
fn expect_valid(document: &str) {
    let schema = serde_json::from_str(include_str!("../../docs/compare.schema.json"));
    let schema: serde_json::Value = schema.expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is valid");
    let document: serde_json::Value = serde_json::from_str(document).expect("it is JSON");
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// The name of a strategy for tests that need any one.
pub fn first_strategy() -> String {
    Contender::strategies(true).swap_remove(0).info.name
}
