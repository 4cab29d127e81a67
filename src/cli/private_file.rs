//! Files that no client may read.

use std::path::Path;

use super::failure::Failure;
use crate::site::{Root, ServedFiles};

/// Refuses a file, the value of `option`, that the site would serve. It may not exist yet.
pub(super) fn refuse_served(option: &str, file: &Path, root: &Root) -> Result<(), Failure> {
    match ServedFiles::of(root).include(file) {
        false => Ok(()),
        true => Err(Failure::Unavailable(format!(
            "invalid value '{}' for '{option}': expected a file that is not served, outside ROOT",
            file.display()
        ))),
    }
}
