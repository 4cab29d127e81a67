//! The report: the worst figures of each server first, then a table for each load. It is Markdown
//! and at most 80 columns wide.

use miniweb::compare::measure::environment::pacing_remark;
use miniweb::format;

use crate::loads::{BesideLoad, Unit};
use crate::measure::Figures;
use crate::numbers::{digits, grouped};
use crate::options::Effort;
use crate::servers::Contender;

/// The figures under one load.
pub struct Table<'a> {
    pub load: &'a BesideLoad,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub server: Contender,
    /// Empty if the server cannot serve the client beside the load.
    pub rounds: Vec<Figures>,
}

impl Table<'_> {
    pub fn new<'a>(load: &'a BesideLoad, servers: &[Contender]) -> Table<'a> {
        let row = |server: &Contender| Row { server: *server, rounds: Vec::new() };
        Table { load, rows: servers.iter().map(row).collect() }
    }
}

impl Row {
    fn figures(&self) -> Option<Figures> {
        (!self.rounds.is_empty()).then(|| Figures::median(&self.rounds))
    }
}

const NOT_MEASURED: &str = "-";

pub fn print(tables: &[Table<'_>], effort: &Effort) {
    println!(
        "Latency of a client that sends {} requests/s for 1 KiB: medians of {} of {}.",
        effort.requests_per_second,
        format::counted(effort.rounds as u64, "round"),
        format::time(effort.window),
    );
    println!("× is the ratio to nginx in this run.");
    println!("* The responses take longer than the interval between two requests, so requests");
    println!("  queue in the client and the latency grows with the length of a round.");
    println!("- The server cannot serve one more connection beside this load.");
    if let Some(remark) = pacing_remark() {
        println!("\n{}", textwrap::fill(&remark, 80));
    }
    println!("\nThe highest latency of each server, and the load beside which it occurs:\n");
    print_worst(tables);
    tables.iter().for_each(print_table);
}

fn print_worst(tables: &[Table<'_>]) {
    println!("| server           |  p99 ms | beside       |  max ms | beside       |");
    println!("|------------------|--------:|--------------|--------:|--------------|");
    let rows = tables.first().map_or(&[][..], |table| &table.rows[..]);
    for (at, row) in rows.iter().enumerate() {
        let worst = |figure: fn(&Figures) -> f64| {
            let measured = tables
                .iter()
                .filter_map(|table| Some((table.rows[at].figures()?, table.load.name)));
            let worst = measured.max_by(|(a, _), (b, _)| figure(a).total_cmp(&figure(b)));
            worst.map_or((NOT_MEASURED.to_owned(), NOT_MEASURED), |(figures, load)| {
                (latency(&figures, figure), load)
            })
        };
        let (p99, p99_load) = worst(|figures| figures.p99_ms);
        let (max, max_load) = worst(|figures| figures.max_ms);
        let name = row.server.name();
        println!("| {name:<16} | {p99:>7} | {p99_load:<12} | {max:>7} | {max_load:<12} |");
    }
}

fn print_table(table: &Table<'_>) {
    let nginx = table.rows.iter().find(|row| matches!(row.server, Contender::Nginx));
    let nginx = nginx.and_then(Row::figures);
    println!("\n{}: {}\n", table.load.name, table.load.description);
    let unit = match table.load.unit {
        Unit::Megabytes => "load MB/s",
        Unit::Responses => "load 1/s",
    };
    println!("| server           | p50 ms | p99 ms | max ms | p99 × | max × | {unit:>9} |");
    println!("|------------------|-------:|-------:|-------:|------:|------:|----------:|");
    for row in &table.rows {
        let figures = row.figures();
        let or_none = |text: Option<String>| text.unwrap_or(NOT_MEASURED.to_owned());
        let ms = |figure| or_none(figures.map(|figures| latency(&figures, figure)));
        let ratio = |figure: fn(&Figures) -> f64| {
            let pair = figures.zip(nginx);
            or_none(pair.map(|(own, nginx)| digits(figure(&own) / figure(&nginx))))
        };
        let load = figures.and_then(|figures| figures.load_per_second);
        println!(
            "| {:<16} | {:>6} | {:>6} | {:>6} | {:>5} | {:>5} | {:>9} |",
            row.server.name(),
            ms(|figures| figures.p50_ms),
            ms(|figures| figures.p99_ms),
            ms(|figures| figures.max_ms),
            ratio(|figures| figures.p99_ms),
            ratio(|figures| figures.max_ms),
            or_none(load.map(|load| grouped(load.round() as u64))),
        );
    }
}

/// A latency of `figures`, marked if the server could not keep up.
fn latency(figures: &Figures, figure: fn(&Figures) -> f64) -> String {
    let mark = if figures.is_overloaded { "*" } else { "" };
    format!("{}{mark}", digits(figure(figures)))
}
