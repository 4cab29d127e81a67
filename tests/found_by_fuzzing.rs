//! What the fuzz targets once found (`fuzz/found`), as plain tests, and the inputs that they start from (`fuzz/seeds`).
//!
//! A file that is added to either folder is checked from then on; a folder without a property is a failure.

mod properties;

use std::path::Path;

#[test]
fn what_was_found_once_holds_now() {
    assert!(check_all("fuzz/found") > 0);
}

#[test]
fn the_seeds_hold() {
    assert!(check_all("fuzz/seeds") > 40);
}

/// Holds every input of `folder/TARGET` against the property of its target; returns how many there were.
fn check_all(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut count = 0;
    for target in folder.read_dir().expect("the folder is part of the project") {
        let target = target.expect("a readable folder").path();
        let check: fn(&[u8]) = match target.file_name().and_then(|name| name.to_str()) {
            Some("accept_encoding") => properties::accept_encoding::check,
            Some("body") => properties::body::check,
            Some("connection") => properties::connection::check,
            Some("path") => properties::path::check,
            Some("range") => properties::range::check,
            Some("request") => properties::request::check,
            _ => panic!("no property for {}", target.display()),
        };
        for input in target.read_dir().expect("a folder of inputs") {
            let input = input.expect("a readable folder").path();
            eprintln!("{}", input.display());
            check(&std::fs::read(&input).expect("a readable input"));
            count += 1;
        }
    }
    count
}
