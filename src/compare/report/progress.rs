//! A progress bar on one line of a terminal.
//!
//! Invariants:
//! - It is drawn only between measurements, because writing to a terminal wakes other processes.
//! - Time is an argument. The remaining time is extrapolated from the measurements done, so it
//!   adapts to a slow machine.
//! - Nothing is written unless the output is a terminal.

use std::io::{self, Write};
use std::time::Duration;

use crate::format::printable;

/// One column less than the narrowest terminal: some wrap when the last column is filled.
const WIDTH: usize = 79;
const BAR_WIDTH: usize = 20;

#[derive(Debug)]
pub struct Progress<W> {
    out: W,
    is_terminal: bool,
}

impl<W: Write> Progress<W> {
    /// `is_terminal`: whether `out` is one.
    pub fn new(out: W, is_terminal: bool) -> Progress<W> {
        Progress { out, is_terminal }
    }

    /// Draws the line: `done` of all measurements after `elapsed`, and the next is `label`.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn draw(
        &mut self,
        (done, planned): (usize, usize),
        elapsed: Duration,
        label: &str,
    ) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let line: String = line(done, planned, elapsed, label).chars().take(WIDTH).collect();
        // Carriage return, the line, and erase to the end of the previous line.
        write!(self.out, "\r{line}\x1b[K")?;
        self.out.flush()
    }

    /// Clears the line, so that the next output starts on an empty one.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn clear(&mut self) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        write!(self.out, "\r\x1b[K")?;
        self.out.flush()
    }
}

fn line(done: usize, measurements: usize, elapsed: Duration, label: &str) -> String {
    let share = done as f64 / measurements.max(1) as f64;
    let filled = (share.min(1.0) * BAR_WIDTH as f64) as usize;
    let bar = "█".repeat(filled) + &"░".repeat(BAR_WIDTH - filled);
    // A label comes from the command line.
    let label = printable(label);
    format!("{bar} {:3.0} %  {}  {label}", share * 100.0, left(done, measurements, elapsed))
}

/// Such as `3 min left`; unknown until a measurement is done.
fn left(done: usize, measurements: usize, elapsed: Duration) -> String {
    if done == 0 {
        return "time left unknown".to_owned();
    }
    let seconds = elapsed.as_secs_f64() / done as f64 * measurements.saturating_sub(done) as f64;
    match seconds.ceil() as u64 {
        seconds if seconds < 90 => format!("{seconds:2} s left"),
        seconds => format!("{} min left", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_extrapolated() {
        assert_eq!(left(0, 10, Duration::ZERO), "time left unknown");
        assert_eq!(left(5, 10, Duration::from_secs(30)), "30 s left");
        assert_eq!(left(1, 61, Duration::from_secs(5)), "5 min left");
        assert_eq!(left(10, 10, Duration::from_secs(30)), " 0 s left");
    }

    #[test]
    fn a_line_fits_the_terminal_and_moves_no_cursor() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, true);
        progress
            .draw((1, 4), Duration::from_secs(2), &format!("round 1\x1b[2J\n{}", "x".repeat(200)))
            .expect("writing to a Vec cannot fail");
        let text = String::from_utf8(out).expect("the output is UTF-8");
        let line = text
            .strip_prefix('\r')
            .and_then(|text| text.strip_suffix("\x1b[K"))
            .expect("the line overwrites the previous one");
        assert_eq!(line.chars().count(), WIDTH);
        assert!(
            line.starts_with("█████░░░░░░░░░░░░░░░  25 %   6 s left  round 1\\u{1b}[2J\\nxxx"),
            "{line}"
        );
    }

    #[test]
    fn nothing_is_written_without_a_terminal() {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, false);
        progress
            .draw((1, 4), Duration::from_secs(2), "round 1")
            .expect("writing to a Vec cannot fail");
        progress.clear().expect("writing to a Vec cannot fail");
        assert_eq!(out, b"");
    }
}
