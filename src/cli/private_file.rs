//! Files that no client may read.

use std::path::Path;

use super::failure::Failure;
use crate::site::{Root, SitePath};

/// Refuses a file, the value of `option`, that the site would serve. It may not exist yet.
pub(super) fn refuse_served(option: &str, file: &Path, root: &Root) -> Result<(), Failure> {
    let in_directory = || {
        let directory = std::path::absolute(file).ok()?.parent()?.canonicalize().ok()?;
        Some(directory.join(file.file_name()?))
    };
    // What cannot be resolved is reported when it is opened.
    let target = file.canonicalize().ok().or_else(in_directory);
    let root = root.path().and_then(|root| root.canonicalize().ok());
    let (Some(target), Some(root)) = (target, root) else { return Ok(()) };
    let Ok(relative) = target.strip_prefix(&root) else { return Ok(()) };
    let path = Path::new("/").join(relative);
    let is_hidden =
        SitePath::parse(path.as_os_str().as_encoded_bytes()).is_ok_and(|path| path.is_hidden);
    match is_hidden {
        true => Ok(()),
        false => Err(Failure::Unavailable(format!(
            "invalid value '{}' for '{option}': expected a file that is not served, outside ROOT",
            file.display()
        ))),
    }
}
