//! The charts of a comparison, each an SVG element of its own.
//!
//! Invariants:
//! - A contender has one color and one marker shape in all charts. An A/A twin has those of its
//!   original, dashed; with TLS, a contender has those that it has without, and hollow markers; the
//!   reference loop is grey. Series are labelled directly, without a legend.
//! - Every estimate is drawn with its confidence interval. What is not ranked is pale.
//! - Charts are 420 units wide and stay readable at 340 pixels, so that several fit side by side,
//!   or one on a phone.

pub mod bars;
pub mod curve;
pub mod percentiles;
pub mod timeline;

use crate::compare::analyse::checks::{self, Standing};
use crate::compare::analyse::metric::Metric;
use crate::compare::analyse::statistics::Estimate;
use crate::compare::analyse::tls::has_plain;
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::report::text::fitted;
use crate::compare::results::{ContenderInfo, ContenderKind, Results, Workload};
use crate::format::counted;

pub const WIDTH: f64 = 420.0;
/// Every strategy's name fits.
const NAME_CHARS_MAX: usize = 18;
const HEIGHT: f64 = 290.0;
const LINE_HEIGHT: f64 = 15.0;
/// The number of colors in `report.css`.
const COLORS: usize = 8;

/// The appearance of a contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesStyle {
    /// The CSS classes: color, and dashed or not.
    pub class: String,
    /// The marker shape.
    pub shape: usize,
}

pub fn series_style(results: &Results, contender: &ContenderInfo) -> SeriesStyle {
    match &contender.kind {
        ContenderKind::ReferenceLoop => SeriesStyle { class: "reference".to_owned(), shape: 5 },
        ContenderKind::Twin { of } => {
            match results
                .contender(of)
                .filter(|original| !matches!(original.kind, ContenderKind::Twin { .. }))
            {
                Some(original) => {
                    let SeriesStyle { class, shape } = series_style(results, original);
                    SeriesStyle { class: format!("{class} twin"), shape }
                }
                None => SeriesStyle { class: "reference twin".to_owned(), shape: 5 },
            }
        }
        ContenderKind::Strategy | ContenderKind::Foreign => {
            let plain = contender.without_tls.as_ref().and_then(|name| results.contender(name));
            if let Some(plain) = plain.filter(|plain| plain.without_tls.is_none()) {
                let SeriesStyle { class, shape } = series_style(results, plain);
                return SeriesStyle { class: format!("{class} tls"), shape };
            }
            let others = results.contenders.iter().filter(|contender| {
                matches!(contender.kind, ContenderKind::Strategy | ContenderKind::Foreign)
                    && !has_plain(results, contender)
            });
            let place = others.take_while(|other| other.name != contender.name).count();
            SeriesStyle { class: format!("contender-{}", place % COLORS), shape: place }
        }
    }
}

/// The classes of a cell; pale if it is not ranked by `metric`.
fn cell_class(
    results: &Results,
    workload: &Workload,
    contender: &ContenderInfo,
    metric: Metric,
) -> String {
    let cell = results.cell(&workload.name, &contender.name);
    let pale = match checks::standing(results, workload, cell, metric) {
        Standing::Measured | Standing::LowerBound => "",
        Standing::Invalid => " pale",
    };
    format!("{}{pale}", series_style(results, contender).class)
}

/// A tooltip: the value and its confidence interval.
fn tooltip(format: impl Fn(f64) -> String, estimate: &Estimate, standing: Standing) -> String {
    let Estimate { median, low, high, level, rounds } = *estimate;
    let [median, low, high] = [median, low, high].map(format);
    let (at_least, note) = match standing {
        Standing::Measured => ("", ""),
        Standing::LowerBound => ("at least ", "; the client was the limit"),
        Standing::Invalid => ("", "; failed a check"),
    };
    format!(
        "{at_least}{median} [{low}, {high}], {:.0} % confidence, {}{note}",
        level * 100.0,
        counted(rounds, "round")
    )
}

/// The horizontal grid lines and their labels.
fn value_axis(
    drawing: &mut Drawing,
    scale: &Scale,
    (left, right): (f64, f64),
    format: impl Fn(f64) -> String,
) {
    for tick in scale.ticks() {
        let y = scale.at(tick);
        drawing.line("grid", (left, y), (right, y));
        drawing.text("tick", Anchor::End, (left - 6.0, y + 4.0), &tick_label(&format(tick)));
    }
}

/// Without trailing zeros: `50.0k` becomes `50k`.
fn tick_label(text: &str) -> String {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    };
    format!("{number}{unit}")
}

/// A label next to the end of a curve. Labels are moved apart where they would overlap.
struct EndLabel {
    class: String,
    text: String,
    end: (f64, f64),
}

fn end_labels(
    drawing: &mut Drawing,
    mut labels: Vec<EndLabel>,
    left: f64,
    (top, bottom): (f64, f64),
) {
    labels.sort_by(|a, b| a.end.1.total_cmp(&b.end.1));
    let mut places: Vec<f64> = Vec::new();
    for label in &labels {
        let least = places.last().map_or(top, |above| above + LINE_HEIGHT);
        places.push(label.end.1.max(least));
    }
    // Labels below the lower edge move up, and push the ones above.
    let mut limit = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - LINE_HEIGHT;
    }
    for (label, y) in labels.iter().zip(places) {
        drawing.line(
            &format!("leader {}", label.class),
            (label.end.0 + 6.0, label.end.1),
            (left - 3.0, y),
        );
        drawing.text(
            &format!("name {}", label.class),
            Anchor::Start,
            (left, y + 4.0),
            &fitted(&label.text, NAME_CHARS_MAX),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic;

    #[test]
    fn tick_labels_have_no_trailing_zeros() {
        for (text, short) in [
            ("50.0k", "50k"),
            ("1.00 ms", "1 ms"),
            ("0.500", "0.5"),
            ("100 %", "100 %"),
            ("0", "0"),
        ] {
            assert_eq!(tick_label(text), short);
        }
    }

    #[test]
    fn contenders_are_distinguishable() {
        let results = synthetic::results(1);
        let style_of = |name| {
            series_style(&results, results.contender(name).expect("synthetic results contain it"))
        };
        assert_eq!(
            style_of("alpha again"),
            SeriesStyle { class: "contender-0 twin".into(), shape: 0 }
        );
        let mut styles: Vec<_> = results
            .contenders
            .iter()
            .map(|contender| series_style(&results, contender).class)
            .collect();
        styles.sort();
        styles.dedup();
        assert_eq!(styles.len(), results.contenders.len());
    }

    #[test]
    fn labels_do_not_overlap_or_leave_the_chart() {
        let label = |y| EndLabel { class: "a".into(), text: "a".into(), end: (0.0, y) };
        let mut drawing = Drawing::new(100.0, 100.0, "");
        end_labels(&mut drawing, vec![label(95.0), label(94.0), label(10.0)], 50.0, (0.0, 100.0));
        let svg = drawing.finish();
        for y in ["14.0", "89.0", "104.0"] {
            assert!(svg.contains(&format!("x=\"50.0\" y=\"{y}\"")), "{svg}");
        }
    }
}
