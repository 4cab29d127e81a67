//! `--auth` and `--auth-file` → [`Authenticator`].

use std::path::Path;
use std::sync::Arc;

use super::failure::Failure;
use super::private_file::refuse_served;
use crate::format::reason;
use crate::site::{Authenticator, Credentials, Root, ServedFiles};
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
            // Every client could read the hashes.
            refuse_served("--auth-file", Path::new(&file), root)?;
            Authenticator::from_file(Path::new(&file), ServedFiles::of(root))
        }
    };
    made.map(|made| Some(Arc::new(made))).map_err(|error| Failure::Unavailable(reason(&error)))
}
