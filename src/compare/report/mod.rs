//! Every way to tell a comparison, for whoever has [`Results`] in hand.
//!
//! | when | call |
//! |---|---|
//! | before it runs | [`writable`], [`announce`] |
//! | while it runs, between two windows | [`Progress::draw`], at the end [`Progress::clear`] |
//! | at the end, to stdout | [`print_tables`], colored if [`ColorChoice::is_colored`] |
//! | `--html` | [`write_html`] |
//! | `--json` | [`write_json`] |
//! | exit status 3 | if not [`any_valid`] |

pub mod chart;
pub mod color;
pub mod html;
pub mod json;
pub mod plan;
pub mod progress;
pub mod svg;
pub mod terminal;
mod text;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

pub use crate::compare::analyse::checks::any_valid;
pub use crate::compare::report::color::ColorChoice;
pub use crate::compare::report::plan::plan;
pub use crate::compare::report::progress::Progress;
pub use crate::compare::report::terminal::print_tables;
use crate::compare::results::Results;
use crate::format::error_with;

/// Makes sure that a report can be written there, and leaves what is there as it is.
///
/// # Errors
/// Why it can't, with the name of the file.
pub fn writable(path: &Path) -> io::Result<()> {
    let opened = File::options().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| error_with(path.display(), &error))
}

/// Writes the results with all their rounds to a file.
///
/// # Errors
/// When the file can't be written, with its name.
pub fn write_json(results: &Results, path: &Path) -> io::Result<()> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        json::write(results, &mut out)?;
        out.flush()
    };
    write().map_err(|error| error_with(path.display(), &error))
}

/// Writes the page to a file.
///
/// # Errors
/// When the file can't be written, with its name.
pub fn write_html(results: &Results, path: &Path) -> io::Result<()> {
    std::fs::write(path, html::page(results)).map_err(|error| error_with(path.display(), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    /// Reports of made-up runs, beneath `target/`, to series_style at.
    #[test]
    fn samples_are_written_to_look_at() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/compare-samples");
        std::fs::create_dir_all(&folder).expect("target/ is ours");
        for (name, results) in [
            ("whole", synthetic::results(1)),
            ("partial", synthetic::partial(1)),
            ("invalid", synthetic::invalid(1)),
        ] {
            write_json(&results, &folder.join(format!("{name}.json")))
                .expect("the folder is there");
            write_html(&results, &folder.join(format!("{name}.html")))
                .expect("the folder is there");
            let mut text = Vec::new();
            print_tables(&results, &mut text, false).expect("a Vec takes it");
            std::fs::write(folder.join(format!("{name}.txt")), text).expect("the folder is there");
        }
    }
}
