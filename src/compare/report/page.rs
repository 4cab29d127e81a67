//! A report on a terminal, written line by line.

use std::io::{self, Write};

use crate::compare::report::color::Style;
use crate::compare::report::text::wrapped;

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

    pub fn line(&mut self, style: Style, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", style.paint(self.is_colored, text.trim_end()))
    }

    pub fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }
}
