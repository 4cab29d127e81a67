//! Draws a URL as a QR code, for a phone's camera.

use qrcode::{Color, EcLevel, QrCode};

/// The light border that the standard asks for (ISO/IEC 18004), in modules.
const QUIET_ZONE: usize = 4;

/// Draws two rows of modules per line of text. With colors, the code is dark on light under every
/// theme. Without, it is so only where text is light on a dark background.
pub(super) fn qr_code(url: &str, has_color: bool) -> String {
    let code = QrCode::with_error_correction_level(url, EcLevel::L);
    let code = code.expect("the URL of an address is shorter than 2,953 bytes");
    let (width, modules) = (code.width(), code.into_colors());
    let is_dark = |row: usize, column: usize| {
        let within = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < width);
        let module = within(row).zip(within(column)).map(|(row, column)| row * width + column);
        module.is_some_and(|module| modules[module] == Color::Dark)
    };
    let size = width + 2 * QUIET_ZONE;
    let line = |row: usize| {
        let half_blocks = |column| match (is_dark(row, column), is_dark(row + 1, column)) {
            (false, false) => '█',
            (false, true) => '▀',
            (true, false) => '▄',
            (true, true) => ' ',
        };
        let text: String = (0..size).map(half_blocks).collect();
        match has_color {
            true => format!("\x1b[97;40m{text}\x1b[0m\n"),
            false => format!("{text}\n"),
        }
    };
    (0..size).step_by(2).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_has_a_light_border() {
        let text = qr_code("http://192.168.1.20:7890/", false);
        let lines: Vec<&str> = text.lines().collect();
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width), "{text}");
        assert_eq!(width.div_ceil(2), lines.len(), "{text}");
        assert!(lines[0].chars().chain(lines[1].chars()).all(|char| char == '█'), "{text}");
        for line in &lines {
            assert!(line.starts_with("████") && line.ends_with("████"), "{text}");
        }
        // The finder pattern in the corner: seven dark modules, with a light ring inside.
        assert!(lines[2].starts_with("████ ▄▄▄▄▄ "), "{text}");
    }

    #[test]
    fn at_a_terminal_each_line_sets_and_resets_its_colors() {
        for line in qr_code("http://[2001:db8::1]/", true).lines() {
            assert!(line.starts_with("\x1b[97;40m") && line.ends_with("\x1b[0m"), "{line}");
        }
    }
}
