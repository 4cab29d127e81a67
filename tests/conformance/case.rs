//! The form of a conformance case.

use crate::support::Setup;

/// A case: a sentence, and the test that shows that it holds under a set-up.
#[derive(Clone)]
pub struct Case {
    /// The file of the case: `conformance::framing`.
    pub module: &'static str,
    pub name: &'static str,
    pub run: fn(&'static Setup),
    pub runs_under: fn(&'static Setup) -> bool,
}

/// Lists the cases of a file. The compiler warns of a case that is not listed.
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
