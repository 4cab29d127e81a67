//! Polling with a timeout, and bytes in failure messages.

use std::time::{Duration, Instant};

/// The timeout of every operation. It is generous, because a test must not fail only because the
/// machine is busy.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Polls `found` until it returns a value. Fails after [`TIMEOUT`].
#[track_caller]
pub fn wait_until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < give_up, "{what}: not within {TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Formats bytes for a failure message: escaped, and truncated to 600 bytes.
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
