//! The reports of a comparison.
//!
//! | when | call |
//! |---|---|
//! | before the run | [`writable`], [`plan()`] |
//! | between measurements | [`Progress::draw`], at the end [`Progress::clear`] |
//! | at the end, on stdout | [`print_summary`], or with `--verbose` [`print_tables`], colored if [`ColorChoice::is_colored`] |
//! | `--html` | [`write_html`] |
//! | `--json` | [`write_json`] |
//! | `--markdown`, `--csv` | [`write_markdown`], [`write_csv`] |
//! | `--from` | [`read_json`] |
//! | `--from` twice | [`TwoRuns::new`], [`side_by_side::print`], [`write_side_by_side`] |
//! | exit status 3 | unless [`any_valid`] |

mod agreement;
mod agreement_on_tls;
pub mod chart;
pub mod color;
mod contradictions;
pub mod figures;
pub mod html;
pub mod json;
mod json_schema;
mod page;
pub mod plan;
pub mod progress;
pub mod side_by_side;
pub mod summary;
pub mod svg;
pub mod terminal;
mod text;
mod words;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;

use crate::compare::analyse::{self, checks, rounds};
pub use crate::compare::report::color::ColorChoice;
pub use crate::compare::report::plan::plan;
pub use crate::compare::report::progress::Progress;
pub use crate::compare::report::side_by_side::TwoRuns;
pub use crate::compare::report::summary::print_summary;
pub use crate::compare::report::terminal::print_tables;
use crate::compare::results::Results;
use crate::format::error_with;

/// The answer in sentences, the most important first.
pub fn headline(results: &Results) -> Vec<String> {
    analyse::headline::headline(&rounds::quiet(results))
}

/// Whether anything can be ranked.
pub fn any_valid(results: &Results) -> bool {
    checks::any_valid(&rounds::quiet(results))
}

/// The first bytes of a gzip file (RFC 1952 section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Checks that a report can be written to `path`, without changing an existing file.
///
/// # Errors
/// From open(2), with the name of the file.
pub fn writable(path: &Path) -> io::Result<()> {
    let opened = File::options().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| error_with(path.display(), &error))
}

/// Writes the results with all rounds; compressed with gzip if the name ends in `.gz`.
///
/// # Errors
/// From a system call, with the name of the file.
pub fn write_json(results: &Results, path: &Path) -> io::Result<()> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        match path.extension().is_some_and(|extension| extension == "gz") {
            false => json::write(results, &mut out)?,
            true => {
                let mut encoder = GzEncoder::new(&mut out, Compression::best());
                json::write(results, &mut encoder)?;
                encoder.finish()?;
            }
        }
        out.flush()
    };
    write().map_err(|error| error_with(path.display(), &error))
}

/// Reads the results that [`write_json`] has written.
///
/// # Errors
/// From a system call, or the file is no such document; with the name of the file.
pub fn read_json(path: &Path) -> io::Result<Results> {
    let read = || {
        let mut file = BufReader::new(File::open(path)?);
        match file.fill_buf()?.starts_with(&GZIP_MAGIC) {
            false => json::read(file),
            true => json::read(BufReader::new(GzDecoder::new(file))),
        }
    };
    read().map_err(|error| error_with(path.display(), &error))
}

/// Writes the summary and all figures as Markdown.
///
/// # Errors
/// From a system call, with the name of the file.
pub fn write_markdown(results: &Results, path: &Path) -> io::Result<()> {
    let text = figures::markdown(results);
    std::fs::write(path, text).map_err(|error| error_with(path.display(), &error))
}

/// Writes all figures as CSV (RFC 4180).
///
/// # Errors
/// From a system call, with the name of the file.
pub fn write_csv(results: &Results, path: &Path) -> io::Result<()> {
    let text = figures::csv(results);
    std::fs::write(path, text).map_err(|error| error_with(path.display(), &error))
}

/// Writes the reports of two runs side by side, each to its file, and tries all of them.
///
/// # Errors
/// From a system call, with the name of the file.
pub fn write_side_by_side(
    runs: &TwoRuns<'_>,
    html: Option<&Path>,
    markdown: Option<&Path>,
    csv: Option<&Path>,
) -> io::Result<()> {
    let write = |path: Option<&Path>, text: fn(&TwoRuns<'_>) -> String| {
        let Some(path) = path else { return Ok(()) };
        std::fs::write(path, text(runs)).map_err(|error| error_with(path.display(), &error))
    };
    let html = write(html, side_by_side::html);
    let markdown = write(markdown, side_by_side::markdown);
    html.and(markdown).and(write(csv, side_by_side::csv))
}

/// Writes the HTML report.
///
/// # Errors
/// From a system call, with the name of the file.
pub fn write_html(results: &Results, path: &Path) -> io::Result<()> {
    std::fs::write(path, html::page(results)).map_err(|error| error_with(path.display(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn results_are_compressed_if_their_file_is_named_so() {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let results = synthetic::results(1);
        let [plain, compressed] = ["run.json", "run.json.gz"].map(|name| {
            let path = directory.path().join(name);
            write_json(&results, &path).expect("the directory is writable");
            assert!(read_json(&path).expect("it was just written") == results);
            path.metadata().expect("it exists").len()
        });
        assert!(compressed * 3 < plain, "{compressed} of {plain} bytes");
    }

    /// Writes reports of synthetic results to `target/`, for inspection.
    #[test]
    fn samples_are_written_for_inspection() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/compare-samples");
        std::fs::create_dir_all(&directory).expect("target/ is writable");
        for (name, results) in [
            ("whole", synthetic::results(1)),
            ("partial", synthetic::partial(1)),
            ("invalid", synthetic::invalid(1)),
        ] {
            write_json(&results, &directory.join(format!("{name}.json")))
                .expect("the directory exists");
            write_html(&results, &directory.join(format!("{name}.html")))
                .expect("the directory exists");
            let mut text = Vec::new();
            print_tables(&results, &mut text, false).expect("writing to a Vec cannot fail");
            std::fs::write(directory.join(format!("{name}.txt")), text)
                .expect("the directory exists");
        }
    }
}
