//! Panics on request, in debug builds only, so that tests can observe what a panic costs.

/// Panics if the environment variable MINIWEB_PANIC_AT is `place`: a target, which begins with a
/// slash, a directory that is listed, which does not, or a name of a step.
pub fn panic_if_requested(place: &[u8]) {
    if cfg!(debug_assertions) {
        let requested = std::env::var_os("MINIWEB_PANIC_AT");
        let is_requested = requested.is_some_and(|requested| place == requested.as_encoded_bytes());
        assert!(!is_requested, "a panic was asked for:\r\nforged line");
    }
}
