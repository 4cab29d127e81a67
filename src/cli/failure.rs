//! Why a command line cannot be run.

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Failure {
    /// The command line is wrong: exit status 2.
    Usage(String),
    /// The command line is right, but what it names is not available: exit status 1.
    Unavailable(String),
}
