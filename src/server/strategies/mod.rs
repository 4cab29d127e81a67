//! The strategies.

pub(super) mod blocking;
pub(super) mod mio;
pub(super) mod poll_list;
