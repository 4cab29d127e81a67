//! Waiting for events, with a limit.

use std::time::{Duration, Instant};

/// How long any event may take. Far longer than needed, because the machine may be busy with other
/// work, and a failure for that reason says nothing about the server.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `found` until it returns something, and fails after [`PATIENCE`].
#[track_caller]
pub fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + PATIENCE;
    loop {
        if let Some(it) = found() {
            return it;
        }
        assert!(Instant::now() < give_up, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The start of `bytes`, readable, for the message of a failed assertion.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 600;
    let start = bytes[..bytes.len().min(SHOWN_BYTES)]
        .escape_ascii()
        .to_string()
        .replace("\\r\\n", "\\r\\n\n    ");
    match bytes.len() {
        length if length > SHOWN_BYTES => format!("{start}... ({length} bytes)"),
        _ => start,
    }
}
