//! Commands that do not serve.

use argh::CommandInfoWithArgs;

use super::arguments::Arguments;
use super::failure::Failure;
use super::invocation::Invocation;

/// A command that does not serve.
pub(super) struct Tool {
    pub name: &'static str,
    pub summary: &'static str,
    /// What the path on its command line is.
    pub root_description: &'static str,
    /// Arguments and what they do, for the overview.
    pub example: (&'static str, &'static str),
    pub options: fn() -> CommandInfoWithArgs,
    /// Options whose values the help lists.
    pub values: fn() -> Vec<(&'static str, String)>,
    pub exit_statuses: &'static [(&'static str, &'static str)],
    pub parse: fn(&Arguments) -> Result<Invocation, Failure>,
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}
