//! Where and how a comparison reports.

use std::path::{Path, PathBuf};

use crate::compare::report::ColorChoice;

/// Where and how to write the reports.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    pub files: ReportFiles,
    pub color: ColorChoice,
    /// Whether all figures are printed, and not only the summary.
    pub verbose: bool,
}

/// The files for reports, each if it is wanted.
#[derive(Clone, Debug, Default)]
pub struct ReportFiles {
    pub html: Option<PathBuf>,
    /// The results with all rounds.
    pub json: Option<PathBuf>,
    pub markdown: Option<PathBuf>,
    pub csv: Option<PathBuf>,
}

impl ReportFiles {
    /// The files to be written.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.json, &self.html, &self.markdown, &self.csv];
        files.into_iter().filter_map(|file| file.as_deref())
    }
}
