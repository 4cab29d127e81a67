//! How far a comparison has come, on one line of a terminal.
//!
//! # Laws
//! - Drawn only when told to. Whoever measures tells it between two windows, so that no terminal is written to, and
//!   woken, within one.
//! - Time is an argument. The rest is reckoned from the measurements taken, so it follows a slow machine.
//! - Where nobody watches (a pipe, a file) nothing is written.

use std::io::{self, Write};
use std::time::Duration;

/// Columns: one less than the narrowest terminal, for some wrap when the last one is filled.
const WIDTH: usize = 79;
const BAR_WIDTH: usize = 20;

/// A line that is drawn over itself.
#[derive(Debug)]
pub struct Progress<W> {
    out: W,
    is_watched: bool,
    measurements: usize,
}

impl<W: Write> Progress<W> {
    /// For so many measurements. `is_watched`: whether `out` is a terminal.
    pub fn new(out: W, is_watched: bool, measurements: usize) -> Progress<W> {
        Progress { out, is_watched, measurements }
    }

    /// Draws the line: `taken` measurements are over after `elapsed`, and the next is `label`.
    ///
    /// # Errors
    /// When the terminal can't be written to.
    pub fn draw(&mut self, taken: usize, elapsed: Duration, label: &str) -> io::Result<()> {
        if !self.is_watched {
            return Ok(());
        }
        let line: String =
            line(taken, self.measurements, elapsed, label).chars().take(WIDTH).collect();
        // Back to the start, the line, and away with what the last one left behind it.
        write!(self.out, "\r{line}\x1b[K")?;
        self.out.flush()
    }

    /// Takes the line away: what comes next begins on a clean one.
    ///
    /// # Errors
    /// When the terminal can't be written to.
    pub fn clear(&mut self) -> io::Result<()> {
        if !self.is_watched {
            return Ok(());
        }
        write!(self.out, "\r\x1b[K")?;
        self.out.flush()
    }
}

fn line(taken: usize, measurements: usize, elapsed: Duration, label: &str) -> String {
    let share = taken as f64 / measurements.max(1) as f64;
    let filled = (share.min(1.0) * BAR_WIDTH as f64) as usize;
    let bar = "█".repeat(filled) + &"░".repeat(BAR_WIDTH - filled);
    // A label comes from a command line: nothing in it may move the cursor.
    let label: String = label.chars().filter(|char| !char.is_control()).collect();
    format!("{bar} {:3.0} %  {}  {label}", share * 100.0, left(taken, measurements, elapsed))
}

/// `about 3 min left`; unknown until a measurement has been taken.
fn left(taken: usize, measurements: usize, elapsed: Duration) -> String {
    if taken == 0 {
        return "time left unknown".to_owned();
    }
    let seconds = elapsed.as_secs_f64() / taken as f64 * measurements.saturating_sub(taken) as f64;
    match seconds.ceil() as u64 {
        seconds if seconds < 90 => format!("{seconds:2} s left"),
        seconds => format!("{} min left", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_turns_taken() {
        assert_eq!(left(0, 10, Duration::ZERO), "time left unknown");
        assert_eq!(left(5, 10, Duration::from_secs(30)), "30 s left");
        assert_eq!(left(1, 61, Duration::from_secs(5)), "5 min left");
        assert_eq!(left(10, 10, Duration::from_secs(30)), " 0 s left");
    }

    #[test]
    fn a_line_fits_a_terminal_and_moves_nothing() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, true, 4);
        progress
            .draw(1, Duration::from_secs(2), &format!("round 1\x1b[2J\n{}", "x".repeat(200)))
            .expect("a Vec takes it");
        let text = String::from_utf8(out).expect("it is text");
        let line = text
            .strip_prefix('\r')
            .and_then(|text| text.strip_suffix("\x1b[K"))
            .expect("it is drawn over");
        assert_eq!(line.chars().count(), WIDTH);
        assert!(line.starts_with("█████░░░░░░░░░░░░░░░  25 %   6 s left  round 1[2Jxxx"), "{line}");
    }

    #[test]
    fn where_nobody_watches_nothing_is_written() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, false, 4);
        progress.draw(1, Duration::from_secs(2), "round 1").expect("a Vec takes it");
        progress.clear().expect("a Vec takes it");
        assert_eq!(out, b"");
    }
}
