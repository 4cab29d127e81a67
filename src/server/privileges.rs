//! Drops the privileges that serving files does not need, once the port is bound and the root is
//! open.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use nix::unistd::{User, setgid, setgroups, setuid};

use crate::format::error_with;
use crate::site::Root;

/// The privileges to drop.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// The user to become.
    pub user: Option<User>,
    /// Whether to allow nothing but reading the root (Landlock).
    pub confine: bool,
}

impl Privileges {
    /// Drops the privileges of this thread, and of all threads that it starts, for good.
    ///
    /// # Errors
    /// A privilege cannot be dropped, or the new user may not read `root`: then the server must not
    /// start.
    pub fn drop(&self, root: &Root) -> io::Result<()> {
        if let Some(user) = &self.user {
            // The groups first: once the user has changed, they cannot be changed any more.
            let become_user = || {
                setgroups(&[user.gid])
                    .and_then(|()| setgid(user.gid))
                    .and_then(|()| setuid(user.uid))
            };
            let with_option = |error| error_with(format_args!("--user {}", user.name), &error);
            become_user().map_err(|errno| with_option(errno.into()))?;
            root.check_access().map_err(with_option)?;
        }
        if self.confine {
            confine(root.path()).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// From here on the kernel refuses every open except reading beneath `root` (Landlock, Linux 5.13).
fn confine(root: Option<&Path>) -> Result<(), String> {
    // ABI 1 covers every access except renaming across directories and truncating. Both need write
    // access, and every kernel that has Landlock has ABI 1.
    const HANDLED: ABI = ABI::V1;
    let refused = |error: landlock::RulesetError| format!("--confine: {error}");
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(HANDLED))
        .and_then(Ruleset::create)
        .map_err(refused)?;
    if let Some(root) = root {
        let readable = if root.is_dir() {
            AccessFs::ReadFile | AccessFs::ReadDir
        } else {
            AccessFs::ReadFile.into()
        };
        let beneath = PathFd::new(root).map_err(|error| format!("--confine: {error}"))?;
        rules = rules.add_rule(PathBeneath::new(beneath, readable)).map_err(refused)?;
    }
    match rules.restrict_self().map_err(refused)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        _ => Err("--confine: this kernel does not support Landlock".to_owned()),
    }
}
