//! The type of a conformance case, and the macro that lists the cases of a file.

use crate::support::Setup;

#[derive(Clone)]
pub struct Case {
    /// The module path, such as `conformance::framing`.
    pub module: &'static str,
    /// A sentence that states what holds.
    pub name: &'static str,
    pub run: fn(&'static Setup),
    pub runs_under: fn(&'static Setup) -> bool,
}

/// Lists the cases of a file, optionally with a condition on the set-up. An unlisted case is dead
/// code, so the compiler warns of it.
macro_rules! cases {
    ($($name:ident),* $(,)?) => { $crate::case::cases![if |_| true; $($name),*] };
    (if $runs_under:expr; $($name:ident),* $(,)?) => {
        vec![$($crate::case::Case {
            module: module_path!(),
            name: stringify!($name),
            run: $name,
            runs_under: $runs_under,
        }),*]
    };
}
pub(crate) use cases;
