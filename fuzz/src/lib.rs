//! The properties that the fuzz targets check, shared with `tests/found_by_fuzzing.rs`.

#[path = "../../tests/properties/mod.rs"]
pub mod properties;
