//! Where and how a comparison reports.

use std::path::{Path, PathBuf};

use crate::compare::report::ColorChoice;

/// Where and how to write the reports.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// The file for the HTML report.
    pub html: Option<PathBuf>,
    /// The file for the results as JSON.
    pub json: Option<PathBuf>,
    pub color: ColorChoice,
}

impl ReportOptions {
    /// The files to be written.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.json, &self.html].into_iter().filter_map(|file| file.as_deref())
    }
}
