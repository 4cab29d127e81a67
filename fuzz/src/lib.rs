//! The properties that the targets check. They live with the tests, which check them too, on what was found.

#[path = "../../tests/properties/mod.rs"]
pub mod properties;
