//! What to compare, and why that may be impossible.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::compare::contender::Contender;
use crate::compare::results::Axis;
use crate::compare::workloads::WorkloadParameters;

/// What to compare, and how.
#[derive(Debug)]
pub struct Request {
    /// The command line, as typed.
    pub command: String,
    /// The miniweb whose strategies are measured.
    pub program: PathBuf,
    /// The directory to serve; None for the sample site.
    pub root: Option<PathBuf>,
    /// Strategies and foreign servers, in the order of the reports.
    pub contenders: Vec<Contender>,
    /// Names of workloads or of groups of them; None for all, unless there are sweeps.
    pub workloads: Option<Vec<String>>,
    /// The sweeps; none given: a coarse one of each, if all workloads are measured.
    pub sweeps: Vec<Axis>,
    /// The time limit of the whole run.
    pub time: Duration,
    /// Determines the order of the measurements.
    pub seed: u64,
    /// Measurements of each contender under each workload.
    pub rounds: u32,
    pub parameters: WorkloadParameters,
}

/// Why nothing was measured.
#[derive(Debug)]
pub enum CompareError {
    Io(io::Error),
    /// The time limit is too short for all measurements.
    TimeTooShort(String),
    /// The contenders' responses differ, or one of them does not respond.
    ResponsesDiffer(String),
}

impl From<io::Error> for CompareError {
    fn from(error: io::Error) -> CompareError {
        CompareError::Io(error)
    }
}
