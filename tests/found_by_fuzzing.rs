//! Checks the inputs in `fuzz/found`, with which fuzzing once found a fault, and in `fuzz/seeds`,
//! with which it starts.
//!
//! Every file added to one of these directories is checked; a directory without a property is an
//! error.

mod properties;

use std::path::Path;

#[test]
fn every_property_holds_for_the_inputs_found_by_fuzzing() {
    assert!(check_all("fuzz/found") > 0);
}

#[test]
fn every_property_holds_for_the_seeds() {
    assert!(check_all("fuzz/seeds") > 40);
}

/// Checks every input in `directory/TARGET` against the property of its target. Returns the number
/// of inputs.
fn check_all(directory: &str) -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut count = 0;
    for target in directory.read_dir().expect("the directory is part of the repository") {
        let target = target.expect("the directory is readable").path();
        let check: fn(&[u8]) = match target.file_name().and_then(|name| name.to_str()) {
            Some("accept_encoding") => properties::accept_encoding::check,
            Some("body") => properties::body::check,
            Some("connection") => properties::connection::check,
            Some("forwarded_for") => properties::forwarded_for::check,
            Some("path") => properties::path::check,
            Some("range") => properties::range::check,
            Some("request") => properties::request::check,
            #[cfg(feature = "tls")]
            Some("tls") => properties::tls::check,
            _ => panic!("no property for {}", target.display()),
        };
        for input in target.read_dir().expect("a target is a directory of inputs") {
            let input = input.expect("the directory is readable").path();
            eprintln!("{}", input.display());
            check(&std::fs::read(&input).expect("an input is readable"));
            count += 1;
        }
    }
    count
}
