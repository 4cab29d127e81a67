//! The terminal that the output goes to.

/// The columns of a terminal whose size is not known, and of files.
const COLUMNS_DEFAULT: usize = 80;
/// Narrower ones are treated like this: words would not fit.
const COLUMNS_MIN: usize = 40;

/// The columns of stdout, at most `columns_max`.
pub fn terminal_columns(columns_max: usize) -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col));
    let columns = columns.filter(|columns| *columns >= COLUMNS_MIN);
    columns.unwrap_or(COLUMNS_DEFAULT).min(columns_max)
}
