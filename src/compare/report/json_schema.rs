//! `docs/compare.schema.json`: what the JSON of a comparison contains, for programs that read it.
//!
//! It is generated from the types that are written, with their doc comments. Only tests need it, so
//! the generator is no dependency of the program.

#![cfg(test)]

use std::path::Path;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::compare::report::json::Document;
use crate::compare::results::SCHEMA_VERSION;

const FILE: &str = "docs/compare.schema.json";

/// The schema of a document as it is written: every field is there. More may be added without a new
/// version, so none is excluded.
fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema: Value = generator.into_root_schema_for::<Document<'_>>().into();
    schema["title"] = json!("Results of miniweb compare");
    schema["properties"]["schema_version"]["const"] = json!(SCHEMA_VERSION);
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

/// With `UPDATE_SCHEMA=1` it brings the file up to date first.
#[test]
fn the_schema_is_up_to_date() {
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path(), schema()).expect("docs/ is writable");
    }
    let written = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        written == schema(),
        "{FILE} is out of date: run UPDATE_SCHEMA=1 cargo test --lib the_schema_is_up_to_date"
    );
}

#[test]
fn synthetic_results_are_valid_and_other_documents_are_not() {
    let schema: Value = serde_json::from_str(&schema()).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is valid");
    let document = |results| {
        let mut text = Vec::new();
        super::json::write(&results, &mut text).expect("writing to a Vec cannot fail");
        serde_json::from_slice::<Value>(&text).expect("it is JSON")
    };
    use crate::compare::synthetic;
    for results in [synthetic::results(4), synthetic::partial(4), synthetic::invalid(4)] {
        let document = document(results);
        let errors: Vec<String> =
            validator.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    let mut changed = document(synthetic::results(4));
    for (field, value) in
        [("schema_version", json!(3)), ("derived", json!({})), ("cells", json!(1))]
    {
        let before = std::mem::replace(&mut changed[field], value);
        assert!(!validator.is_valid(&changed), "{field}");
        changed[field] = before;
    }
    changed["added_later"] = json!(1);
    assert!(validator.is_valid(&changed));
}
