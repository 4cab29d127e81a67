//! Properties that must hold for every input: one function per fuzz target.
//!
//! The targets in `fuzz/` call them with generated inputs, `found_by_fuzzing.rs` with the seeds and
//! with inputs that once failed. Every parser of the server is compared with a second, independent
//! implementation: [`grammar`], [`responses`], or a naive one beside the property.

pub mod accept_encoding;
pub mod body;
pub mod connection;
pub mod forwarded_for;
pub mod grammar;
pub mod path;
pub mod range;
pub mod request;
pub mod responses;
pub mod simulation;
#[cfg(feature = "tls")]
pub mod tls;
