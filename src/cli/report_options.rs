//! Where and how a comparison reports.

use std::path::{Path, PathBuf};

use crate::compare::baselines::Baselines;
use crate::compare::report::ColorChoice;

/// Results that are reported again, and what reports of two runs call them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRun {
    pub file: PathBuf,
    /// As given on the command line.
    pub name: String,
}

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
    /// The name under which the run is saved, and where.
    pub baseline: Option<(String, Baselines)>,
}

impl ReportFiles {
    /// The files to be written, but for the baseline.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.json, &self.html, &self.markdown, &self.csv];
        files.into_iter().filter_map(|file| file.as_deref())
    }
}
