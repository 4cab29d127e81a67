//! A report on a terminal, written line by line.

use std::io::{self, Write};

use crate::compare::report::color::Style;
use crate::compare::report::text::{truncated, wrapped};
use crate::format::printable;

/// The columns of the names of loads.
pub(super) const LOAD_WIDTH: usize = 22;
/// `1234` and a bar, an asterisk, and the space before them.
pub(super) const COLUMN_WIDTH_MIN: usize = 7;
const COLUMN_WIDTH_MAX: usize = 12;

pub(super) struct Page<'a, W> {
    pub out: &'a mut W,
    pub is_colored: bool,
    /// The columns of a line.
    pub width: usize,
}

impl<W: Write> Page<'_, W> {
    /// Prints `text`, wrapped at spaces.
    pub fn paragraph(&mut self, style: Style, indent: usize, text: &str) -> io::Result<()> {
        for line in wrapped(text, indent, self.width) {
            self.line(style, &line)?;
        }
        Ok(())
    }

    /// The width of each of `count` columns beside the names of loads.
    pub fn column_width(&self, count: usize) -> usize {
        ((self.width - LOAD_WIDTH) / count.max(1)).clamp(COLUMN_WIDTH_MIN, COLUMN_WIDTH_MAX)
    }

    /// Prints the heading of a table of loads, with the name of a contender above each column.
    pub fn load_heading<'a>(
        &mut self,
        title: &str,
        names: impl Iterator<Item = &'a str>,
        width: usize,
    ) -> io::Result<()> {
        let mut heading = format!("{title:LOAD_WIDTH$}");
        for name in names {
            let name = truncated(&printable(name), width - 1);
            heading.push_str(&format!("{name:>width$}"));
        }
        self.line(Style::Faint, &heading)
    }

    /// Prints the start of a row of such a table.
    pub fn load_name(&mut self, load: &str) -> io::Result<()> {
        write!(self.out, "{:LOAD_WIDTH$}", truncated(load, LOAD_WIDTH - 1))
    }

    pub fn line(&mut self, style: Style, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", style.paint(self.is_colored, text.trim_end()))
    }

    pub fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }
}
