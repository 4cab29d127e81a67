//! Values of command-line options: from text to a typed value, or to what was expected instead.
//!
//! The command line prints an error as `invalid value 'x' for '--port': expected a number from 0 to
//! 65535`. argh wraps it into a sentence of its own; [`ERROR_MARK`] shows where ours begins.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

/// Precedes the text of an error. No option value can contain it, because no argument can.
pub(crate) const ERROR_MARK: char = '\0';

/// What the environment variables of options begin with.
pub(crate) const VARIABLE_PREFIX: &str = "MINIWEB_";

/// An error that says what was expected.
pub(crate) fn expected(what: &str) -> String {
    format!("{ERROR_MARK}expected {what}")
}

/// A value whose type knows how to parse it, and what to say if it cannot.
pub(crate) fn parsed<T: FromStr<Err = String>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|reason: String| format!("{ERROR_MARK}{reason}"))
}

/// A number of things, such as threads.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| expected("a whole number of at least 1"))
}

/// A number of things, such as threads, of which more than `MAX` are a mistake.
pub(crate) fn count_up_to<const MAX: usize>(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MAX);
    number.ok_or_else(|| expected(&format!("a whole number from 1 to {MAX}")))
}

/// A duration in whole microseconds.
pub(crate) fn microseconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<u32>().map(|number| Duration::from_micros(number.into()));
    number.map_err(|_| expected("a whole number of microseconds"))
}

/// A duration in seconds, with a fraction if wanted.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    // A century: more would overflow when a deadline is computed.
    const MAX: f64 = 100.0 * 366.0 * 86_400.0;
    match text.parse::<f64>() {
        // Socket timeouts have a resolution of microseconds, and zero means no timeout.
        Ok(seconds) if (0.001..=MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(expected("a number of seconds of at least 0.001")),
    }
}
