//! The basic shapes of a chart, as SVG text.
//!
//! Invariants:
//! - This module does not know what is drawn. Colors are classes, defined in `report.css`.
//! - Every string from outside passes through [`escape`] here, where it becomes markup; callers
//!   pass plain text.

use std::fmt::Write;

pub use crate::format::escape_html as escape;

/// Maps values to coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    kind: ScaleKind,
    values: (f64, f64),
    range: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScaleKind {
    Linear,
    Log,
    LogBinary,
}

impl Scale {
    /// From 0 to a round number of at least `max`.
    pub fn from_zero(max: f64, range: (f64, f64)) -> Scale {
        let max = if max > 0.0 && max.is_finite() { max } else { 1.0 };
        let step = round_step(max / 4.0);
        Scale { kind: ScaleKind::Linear, values: (0.0, (max / step).ceil() * step), range }
    }

    pub fn linear(values: (f64, f64), range: (f64, f64)) -> Scale {
        Scale { kind: ScaleKind::Linear, values, range }
    }

    /// Logarithmic, slightly wider than `values`, which are positive.
    pub fn log(values: (f64, f64), range: (f64, f64)) -> Scale {
        Scale { kind: ScaleKind::Log, values: (values.0 / 1.15, values.1 * 1.15), range }
    }

    /// Logarithmic with ticks at powers of two.
    pub fn log_binary(values: (f64, f64), range: (f64, f64)) -> Scale {
        Scale { kind: ScaleKind::LogBinary, ..Scale::log(values, range) }
    }

    /// The coordinate of `value`, clamped to the ends.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = match self.kind {
            ScaleKind::Linear => (value - low) / (high - low),
            ScaleKind::Log | ScaleKind::LogBinary => {
                (value.max(low) / low).ln() / (high / low).ln()
            }
        };
        self.range.0 + share.clamp(0.0, 1.0) * (self.range.1 - self.range.0)
    }

    /// A few round values.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.values;
        match self.kind {
            ScaleKind::Linear => {
                let step = round_step((high - low) / 4.0);
                let count = ((high - low) / step + 1e-9).floor() as usize;
                (0..=count).map(|tick| low + tick as f64 * step).collect()
            }
            ScaleKind::Log => {
                // Powers of ten if there are enough of them, otherwise also 2 and 5 times each.
                let parts: &[f64] = if high / low > 1000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
                let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
                let ticks = powers
                    .flat_map(|power| parts.iter().map(move |part| part * 10_f64.powi(power)));
                ticks.filter(|tick| (low..=high).contains(tick)).collect()
            }
            ScaleKind::LogBinary => {
                let step = if (high / low).log2() > 10.0 { 4 } else { 2 };
                let powers = low.log2().floor() as i32..=high.log2().ceil() as i32;
                let ticks = powers.filter(|power| power % step == 0).map(|power| 2_f64.powi(power));
                ticks.filter(|tick| (low..=high).contains(tick)).collect()
            }
        }
    }
}

/// The smallest of 1, 2 or 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let parts = [1.0, 2.0, 5.0, 10.0].into_iter().map(|part| part * power);
    parts.into_iter().find(|part| *part >= step * 0.999_999).unwrap_or(step)
}

/// The alignment of a text relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// An SVG element under construction.
#[derive(Debug)]
pub struct Drawing {
    body: String,
    width: f64,
    height: f64,
    label: String,
}

impl Drawing {
    /// `label` is for screen readers.
    pub fn new(width: f64, height: f64, label: &str) -> Drawing {
        Drawing { body: String::new(), width, height, label: escape(label) }
    }

    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut data = String::new();
        for (n, (x, y)) in points.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = write!(data, "{}{x:.1} {y:.1}", if n == 0 { 'M' } else { 'L' });
        }
        self.push(format_args!("<path class=\"{class}\" d=\"{data}\"/>"));
    }

    /// `corner` is the upper left one; `opacity` is from 0 to 1.
    pub fn rect(&mut self, class: &str, corner: (f64, f64), size: (f64, f64), opacity: f64) {
        let ((x, y), (width, height)) = (corner, size);
        self.push(format_args!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" opacity=\"{opacity:.2}\"/>",
            width.max(0.0)
        ));
    }

    /// `text` is plain text; the point is on its baseline.
    pub fn text(&mut self, class: &str, anchor: Anchor, (x, y): (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.push(format_args!(
            "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
        ));
    }

    /// Each `shape` looks different, so that color is never the only difference.
    pub fn marker(&mut self, class: &str, shape: usize, (x, y): (f64, f64)) {
        let around = |points: &[(f64, f64)]| {
            points
                .iter()
                .map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let points = match shape % 6 {
            0 => {
                return self.push(format_args!(
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
                ));
            }
            1 => around(&[(-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7)]),
            2 => around(&[(0.0, -5.0), (4.6, 3.4), (-4.6, 3.4)]),
            3 => around(&[(0.0, -5.4), (5.4, 0.0), (0.0, 5.4), (-5.4, 0.0)]),
            4 => around(&[(0.0, 5.0), (4.6, -3.4), (-4.6, -3.4)]),
            _ => around(&[(-5.5, -1.6), (5.5, -1.6), (5.5, 1.6), (-5.5, 1.6)]),
        };
        self.push(format_args!("<polygon class=\"{class}\" points=\"{points}\"/>"));
    }

    /// Groups what `draw` draws; `title` is the tooltip.
    pub fn group(&mut self, class: &str, title: &str, draw: impl FnOnce(&mut Drawing)) {
        let title = escape(title);
        self.push(format_args!("<g class=\"{class}\"><title>{title}</title>"));
        draw(self);
        self.push(format_args!("</g>"));
    }

    pub fn finish(self) -> String {
        let Drawing { body, width, height, label } = self;
        format!(
            "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{label}\">{body}</svg>\n"
        )
    }

    fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(markup);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(Scale::from_zero(87.0, (0.0, 100.0)).ticks(), [0.0, 50.0, 100.0]);
        assert_eq!(Scale::from_zero(0.37, (0.0, 100.0)).ticks().len(), 5);
        assert_eq!(Scale::from_zero(0.0, (0.0, 100.0)).at(0.5), 50.0);
        assert_eq!(
            Scale::log((10.0, 1000.0), (0.0, 100.0)).ticks(),
            [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        );
        assert_eq!(Scale::log_binary((500.0, 5000.0), (0.0, 100.0)).ticks(), [1024.0, 4096.0]);
        assert_eq!(Scale::log((1.0, 1e6), (0.0, 100.0)).ticks().len(), 7);
    }

    #[test]
    fn text_is_escaped() {
        let mut drawing = Drawing::new(1.0, 1.0, "\"><script>");
        drawing
            .group("a", "<b>", |drawing| drawing.text("c", Anchor::Start, (0.0, 0.0), "</text>&'"));
        let svg = drawing.finish();
        assert!(
            svg.contains("<title>&lt;b&gt;</title>")
                && svg.contains(">&lt;/text&gt;&amp;&#39;</text>"),
            "{svg}"
        );
        assert!(!svg.contains("<script>"));
    }

    proptest! {
        #[test]
        fn a_scale_is_monotonic_and_stays_in_range(max in 1e-6_f64..1e12, a in 0.0_f64..1.0, b in 0.0_f64..1.0) {
            for scale in [Scale::from_zero(max, (10.0, 90.0)), Scale::log((max / 1e3, max), (10.0, 90.0))] {
                let (low, high) = (a.min(b) * max, a.max(b) * max);
                prop_assert!(scale.at(low) <= scale.at(high));
                prop_assert!((10.0..=90.0).contains(&scale.at(low)) && (10.0..=90.0).contains(&scale.at(high)));
                prop_assert!((2..=10).contains(&scale.ticks().len()), "{:?}", scale.ticks());
            }
        }
    }
}
