//! Giving up what serving files does not need, once the port is bound and the root is open.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use nix::unistd::{User, setgid, setgroups, setuid};

use crate::format::error_with;
use crate::site::Root;

/// What is to be given up.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    /// Whom to become.
    pub user: Option<User>,
    /// Whether nothing but the root shall be readable, and nothing writable.
    pub confine: bool,
}

impl Privileges {
    /// Gives them up for good, for this thread and all that it starts, but for reading `root`.
    ///
    /// # Errors
    /// The system's. A server that can't give up what it was told to must not serve; one whose user may not read the root can't.
    pub fn drop(&self, root: &Root) -> io::Result<()> {
        if let Some(user) = &self.user {
            // The groups first: without the user's rights they can't be changed any more.
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

/// From here on the kernel refuses every open but reading beneath `root` (Landlock, Linux 5.13).
fn confine(root: Option<PathBuf>) -> Result<(), String> {
    // The first version knows all that can be done to a file but renaming across folders and truncating, neither of
    // which is possible without writing; every kernel that has Landlock has it.
    const KNOWN: ABI = ABI::V1;
    let refused = |error: landlock::RulesetError| format!("--confine: {error}");
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(Ruleset::create)
        .map_err(refused)?;
    if let Some(root) = root {
        let readable = if root.is_dir() {
            AccessFs::ReadFile | AccessFs::ReadDir
        } else {
            AccessFs::ReadFile.into()
        };
        let beneath = PathFd::new(&root).map_err(|error| format!("--confine: {error}"))?;
        rules = rules.add_rule(PathBeneath::new(beneath, readable)).map_err(refused)?;
    }
    match rules.restrict_self().map_err(refused)?.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        _ => Err("--confine: this kernel can't".to_owned()),
    }
}
