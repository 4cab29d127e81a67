//! Bar charts with one row per contender; points on a logarithmic axis where values differ too much
//! for bars.

use super::{NAME_CHARS_MAX, WIDTH, cell_class, series_style, tick_label, tooltip};
use crate::compare::analyse::checks;
use crate::compare::analyse::metric::{Metric, frequent_syscalls, significant};
use crate::compare::analyse::statistics::{Estimate, estimate, median};
use crate::compare::report::svg::{Anchor, Drawing, Scale};
use crate::compare::report::text::fitted;
use crate::compare::report::words::value_text;
use crate::compare::results::{ContenderInfo, Results, Workload};

const LEFT: f64 = 140.0;
const RIGHT: f64 = WIDTH - 66.0;
const TOP: f64 = 6.0;
const BAR_HEIGHT: f64 = 15.0;
/// A bar that exceeds the median by more than this factor is broken, so that the others stay
/// readable.
const BREAK_FACTOR: f64 = 5.0;
/// Opacity of the parts of a bar; the last one for all further parts.
const SHADES: [f64; 6] = [1.0, 0.62, 0.4, 0.26, 0.18, 0.12];

/// The width of the widest character of a note.
const NOTE_CHAR_WIDTH: f64 = 6.0;

struct Row<'a> {
    contender: &'a ContenderInfo,
    total: Estimate,
    /// Values and opacities; the values add up to about the total.
    parts: Vec<(f64, f64)>,
    /// A description of the parts, printed below the bar.
    note: String,
}

/// One undivided bar per contender.
pub fn draw(results: &Results, workload: &Workload, metric: Metric) -> Option<String> {
    let rows = rows(results, workload, metric);
    bars(results, workload, metric, &rows)
}

/// User and system CPU time, stacked.
pub fn draw_cpu(results: &Results, workload: &Workload) -> Option<String> {
    let mut rows = rows(results, workload, Metric::CpuPerRequest);
    for row in &mut rows {
        let cell = results.cell(&workload.name, &row.contender.name);
        let part = |metric| {
            cell.and_then(|cell| estimate(metric, cell)).map_or(0.0, |estimate| estimate.median)
        };
        let (user, system) = (part(Metric::UserCpuPerRequest), part(Metric::SystemCpuPerRequest));
        row.parts = vec![(user, SHADES[0]), (system, SHADES[2])];
    }
    bars(results, workload, Metric::CpuPerRequest, &rows)
}

/// System calls by name, stacked, with the same opacity in every row.
pub fn draw_syscalls(results: &Results, workload: &Workload) -> Option<String> {
    let mut rows = rows(results, workload, Metric::SyscallsPerRequest);
    let mut names: Vec<String> = Vec::new();
    for row in &mut rows {
        let Some(cell) = results.cell(&workload.name, &row.contender.name) else {
            continue;
        };
        let calls = frequent_syscalls(cell);
        row.note = calls
            .iter()
            .map(|(name, count)| format!("{name} {}", significant(*count)))
            .collect::<Vec<_>>()
            .join(", ");
        let mut shaded: Vec<(usize, f64)> = Vec::new();
        for (name, count) in calls {
            let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            });
            shaded.push((place, count));
        }
        shaded.sort_by_key(|(place, _)| *place);
        row.parts = shaded
            .iter()
            .map(|(place, count)| (*count, SHADES[(*place).min(SHADES.len() - 1)]))
            .collect();
    }
    bars(results, workload, Metric::SyscallsPerRequest, &rows)
}

/// One point per contender on a logarithmic axis, for bytes.
pub fn draw_points(results: &Results, workload: &Workload, metric: Metric) -> Option<String> {
    let rows = rows(results, workload, metric);
    let floor = |value: f64| value.max(metric.resolution());
    let low = rows.iter().map(|row| floor(row.total.low)).reduce(f64::min)?;
    let high = rows.iter().map(|row| floor(row.total.high)).reduce(f64::max)?;
    let across = Scale::log_binary((low / 2.0, high * 2.0), (LEFT, RIGHT));
    let mut frame = Frame::new(results, workload, metric, &rows, across);
    for (row, y) in rows.iter().zip(frame.middles.clone()) {
        let series_style = series_style(results, row.contender);
        let [low, middle, high] =
            [row.total.low, row.total.median, row.total.high].map(|value| across.at(floor(value)));
        frame.row(row, y, high.max(middle + 6.0), |drawing| {
            drawing.line("whisker", (low, y), (high, y));
            drawing.marker("marker", series_style.shape, (middle, y));
        });
    }
    Some(frame.drawing.finish())
}

fn rows<'a>(results: &'a Results, workload: &Workload, metric: Metric) -> Vec<Row<'a>> {
    let row = |contender: &'a ContenderInfo| {
        let total = estimate(metric, results.cell(&workload.name, &contender.name)?)?;
        Some(Row { contender, total, parts: vec![(total.median, SHADES[0])], note: String::new() })
    };
    results.contenders.iter().filter_map(row).collect()
}

fn bars(
    results: &Results,
    workload: &Workload,
    metric: Metric,
    rows: &[Row<'_>],
) -> Option<String> {
    let limit = limit(metric, rows)?;
    let across = Scale::from_zero(limit, (LEFT, RIGHT));
    let mut frame = Frame::new(results, workload, metric, rows, across);
    for (row, y) in rows.iter().zip(frame.middles.clone()) {
        let is_broken = row.total.median > limit;
        let end = if is_broken { RIGHT } else { across.at(row.total.high) };
        frame.row(row, y, end, |drawing| {
            let mut sum = 0.0;
            for (value, shade) in &row.parts {
                let (from, to) = (across.at(sum), across.at(sum + value));
                drawing.rect("bar", (from, y - BAR_HEIGHT / 2.0), (to - from, BAR_HEIGHT), *shade);
                sum += value;
            }
            if is_broken {
                let x = RIGHT - 16.0;
                drawing.path("break", &[(x, y + 10.0), (x + 7.0, y - 10.0)]);
            } else {
                let (low, high) = (across.at(row.total.low), across.at(row.total.high));
                drawing.line("whisker over", (low, y), (high, y));
                for x in [low, high] {
                    drawing.line("whisker over", (x, y - 4.0), (x, y + 4.0));
                }
            }
        });
    }
    Some(frame.drawing.finish())
}

/// The longest unbroken bar.
fn limit(metric: Metric, rows: &[Row<'_>]) -> Option<f64> {
    // Values near the resolution must not fill the chart.
    let least = 10.0 * metric.resolution();
    let totals: Vec<f64> = rows.iter().map(|row| row.total.median).collect();
    let whole = BREAK_FACTOR * median(&totals)?;
    let is_whole = |value: f64| whole < least || value <= whole;
    let highs = rows.iter().filter(|row| is_whole(row.total.median)).map(|row| row.total.high);
    Some(highs.fold(least, f64::max))
}

/// The rows, the axis below, and a name before each row.
struct Frame<'a> {
    drawing: Drawing,
    middles: Vec<f64>,
    results: &'a Results,
    workload: &'a Workload,
    metric: Metric,
}

impl<'a> Frame<'a> {
    fn new(
        results: &'a Results,
        workload: &'a Workload,
        metric: Metric,
        rows: &[Row<'_>],
        across: Scale,
    ) -> Frame<'a> {
        let mut bottom = TOP;
        let mut middles = Vec::new();
        for row in rows {
            middles.push(bottom + 14.0);
            bottom += 27.0 + 13.0 * note_lines(&row.note).len() as f64;
        }
        let title = format!("{}, {}", metric.title(), workload.title);
        let mut drawing = Drawing::new(WIDTH, bottom + 26.0, &title);
        let mut free_from = f64::MIN;
        for tick in across.ticks() {
            let (x, text) = (across.at(tick), tick_label(&metric.format(tick)));
            drawing.line("grid", (x, TOP), (x, bottom));
            // A label that would touch the previous one is omitted.
            let half_width = 3.6 * text.chars().count() as f64;
            if x - half_width >= free_from {
                drawing.text("tick", Anchor::Middle, (x, bottom + 16.0), &text);
                free_from = x + half_width + 4.0;
            }
        }
        Frame { drawing, middles, results, workload, metric }
    }

    /// Draws a row. `draw` draws its bar or point, which ends at `end`; the value follows.
    fn row(&mut self, row: &Row<'_>, y: f64, end: f64, draw: impl FnOnce(&mut Drawing)) {
        let Frame { results, workload, metric, .. } = *self;
        let standing = checks::standing(
            results,
            workload,
            results.cell(&workload.name, &row.contender.name),
            metric,
        );
        let note = if row.note.is_empty() { String::new() } else { format!("; {}", row.note) };
        let title = format!(
            "{}: {}{note}",
            row.contender.name,
            tooltip(|value| metric.format(value), &row.total, standing)
        );
        self.drawing.group(
            &cell_class(results, workload, row.contender, metric),
            &title,
            |drawing| {
                drawing.text(
                    "name",
                    Anchor::End,
                    (LEFT - 8.0, y + 4.5),
                    &fitted(&row.contender.name, NAME_CHARS_MAX),
                );
                draw(drawing);
                drawing.text(
                    "value",
                    Anchor::Start,
                    (end + 7.0, y + 4.5),
                    &value_text(results, workload, row.contender, metric).unwrap_or_default(),
                );
                for (number, line) in note_lines(&row.note).iter().enumerate() {
                    drawing.text(
                        "note",
                        Anchor::Start,
                        (LEFT, y + 20.0 + 13.0 * number as f64),
                        line,
                    );
                }
            },
        );
    }
}

/// Wraps a note at its commas.
fn note_lines(note: &str) -> Vec<String> {
    let chars_max = ((WIDTH - LEFT) / NOTE_CHAR_WIDTH) as usize;
    let mut lines: Vec<String> = Vec::new();
    for part in note.split(", ").filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 2 + part.chars().count() <= chars_max => {
                line.push_str(", ");
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}
