//! `--auth` and `--auth-file` → [`Authenticator`].

use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use crate::format::reason;
use crate::site::{Authenticator, Credentials, Root, SitePath};
use crate::warning::warn;

/// The authenticator of the site, if it requires passwords.
pub(super) fn authenticator(
    credentials: Option<Credentials>,
    file: Option<String>,
    root: &Root,
) -> Result<Option<Arc<Authenticator>>, Failure> {
    let made = match (credentials, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let message = "--auth and --auth-file cannot be combined: expected one of them";
            return Err(Failure::Usage(message.to_owned()));
        }
        (Some(credentials), None) => {
            warn("the process list shows the hash of --auth to every user: expected --auth-file");
            Authenticator::new(credentials)
        }
        (None, Some(file)) => {
            refuse_served(Path::new(&file), root)?;
            Authenticator::from_file(Path::new(&file))
        }
    };
    made.map(|made| Some(Arc::new(made))).map_err(|error| Failure::Unavailable(reason(&error)))
}

/// Refuses a password file that the site would serve: every client could read the hashes.
fn refuse_served(file: &Path, root: &Root) -> Result<(), Failure> {
    // A file that does not exist is reported when it is read.
    let target = std::fs::canonicalize(file).ok();
    let root = root.path().and_then(|root| std::fs::canonicalize(root).ok());
    let (Some(target), Some(root)) = (target, root) else { return Ok(()) };
    let Ok(relative) = target.strip_prefix(&root) else { return Ok(()) };
    let path = Path::new("/").join(relative);
    let is_hidden =
        SitePath::parse(path.as_os_str().as_encoded_bytes()).is_ok_and(|path| path.is_hidden);
    match is_hidden {
        true => Ok(()),
        false => Err(Failure::Unavailable(format!(
            "invalid value '{}' for '--auth-file': expected a file that is not served, outside ROOT",
            file.display()
        ))),
    }
}
