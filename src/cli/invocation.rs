//! What a command line asks for.

#[cfg(feature = "compare")]
use std::path::PathBuf;

use super::banner::Banner;
#[cfg(feature = "compare")]
use super::report_options::{ReportOptions, SavedRun};
#[cfg(feature = "compare")]
use crate::compare::request::Request;
use crate::server::Settings;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run a server.
    Serve(Box<Settings>, Banner),
    /// Run a comparison.
    #[cfg(feature = "compare")]
    Compare(Box<Request>, ReportOptions),
    /// Report the results in a file again.
    #[cfg(feature = "compare")]
    Report(SavedRun, ReportOptions),
    /// Set the results in two files side by side.
    #[cfg(feature = "compare")]
    SideBySide([SavedRun; 2], ReportOptions),
    /// Run the reference loop of a comparison: a directory and the paths in it that will be
    /// requested.
    #[cfg(feature = "compare")]
    ReferenceLoop(PathBuf, Vec<PathBuf>),
    /// Print this text and exit.
    Print(String),
}
