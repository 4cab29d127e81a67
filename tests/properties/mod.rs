//! What must hold for every input, whatever it is: one function per fuzz target.
//!
//! The targets in `fuzz/` call them with what a coverage-guided search comes up with, `found_by_fuzzing.rs` with
//! what it once found. Where the program reads a grammar, the property reads it a second time, another way
//! ([`grammar`], [`answers`], and a naive reading beside each property), and the two must agree.

pub mod accept_encoding;
pub mod answers;
pub mod body;
pub mod connection;
pub mod grammar;
pub mod path;
pub mod range;
pub mod request;
pub mod talk;
