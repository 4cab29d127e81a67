//! The files that all servers serve.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use crate::certificate::{KeyKind, TestCertificate};
use crate::files;
use crate::loads::{MANY_BYTES, Target, Workload};

/// A temporary directory, removed when dropped.
pub struct Site {
    directory: TempDir,
    pub certificate: TestCertificate,
    many: Vec<String>,
    single: Vec<(usize, [String; 1])>,
}

impl Site {
    /// Creates what `workloads` request, but at most `files_max` files of many.
    pub fn create(workloads: &[&Workload], files_max: usize) -> io::Result<Site> {
        let directory = files::readable_directory()?;
        let (mut count_max, mut single) = (0, Vec::new());
        for workload in workloads {
            match workload.target {
                Target::Files { count } => count_max = count.min(files_max).max(count_max),
                Target::File { bytes } | Target::Range { file_bytes: bytes } => {
                    fs::write(directory.path().join(&path_of(bytes)[1..]), content(bytes))?;
                    single.push((bytes, [path_of(bytes)]));
                }
            }
        }
        let many = files::many_paths(count_max);
        files::create_many(directory.path(), &many, MANY_BYTES)?;
        files::settle();
        let certificate = TestCertificate::make(KeyKind::P256)?;
        Ok(Site { directory, certificate, many, single })
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// The paths of the files that are requested.
    pub fn paths(&self, target: Target) -> &[String] {
        match target {
            Target::Files { count } => &self.many[..count.min(self.many.len())],
            Target::File { bytes } | Target::Range { file_bytes: bytes } => {
                let found = self.single.iter().find(|(other, _)| *other == bytes);
                &found.expect("every selected workload has its file").1
            }
        }
    }
}

/// The path of the one file of this size.
pub fn path_of(bytes: usize) -> String {
    format!("/{bytes}-bytes.html")
}

/// Bytes without a period, so that a wrong part of the file can be told.
fn content(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(0);
    std::iter::repeat_with(|| random.alphanumeric() as u8).take(bytes).collect()
}
