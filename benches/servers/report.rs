//! The report: the CPU time of all servers under all loads first, then a table for each load. It is
//! Markdown and at most 80 columns wide.

use miniweb::compare::measure::environment::pacing_remark;
use miniweb::format;

use crate::cost::Cost;
use crate::loads::Workload;
use crate::numbers::digits;
use crate::options::Effort;
use crate::servers::Contender;

/// The figures under one load.
pub struct Table {
    pub workload: &'static Workload,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub server: Contender,
    /// Empty if the server failed.
    pub rounds: Vec<Cost>,
}

impl Table {
    pub fn new(workload: &'static Workload, servers: &[Contender]) -> Table {
        let row = |server: &Contender| Row { server: *server, rounds: Vec::new() };
        Table { workload, rows: servers.iter().map(row).collect() }
    }

    /// The CPU time of the floor. None if it was not measured.
    fn floor_us(&self) -> Option<f64> {
        let floor = self.rows.iter().find(|row| row.server == Contender::Floor);
        floor.and_then(Row::cpu_us)
    }

    /// The least CPU time of a server of another project. None if none was measured.
    fn best_peer_us(&self) -> Option<f64> {
        let peers = self.rows.iter().filter(|row| matches!(row.server, Contender::Peer(_)));
        peers.filter_map(Row::cpu_us).min_by(f64::total_cmp)
    }
}

impl Row {
    fn cost(&self) -> Option<Cost> {
        (!self.rounds.is_empty()).then(|| Cost::median(&self.rounds))
    }

    fn cpu_us(&self) -> Option<f64> {
        self.cost().map(|cost| cost.cpu_us)
    }

    /// The difference between the highest and the lowest CPU time, in percent of the median.
    fn spread_percent(&self, cost: &Cost) -> f64 {
        let of_rounds = || self.rounds.iter().map(|cost| cost.cpu_us);
        let highest = of_rounds().fold(f64::MIN, f64::max);
        let lowest = of_rounds().fold(f64::MAX, f64::min);
        100.0 * (highest - lowest) / cost.cpu_us
    }
}

const NOT_MEASURED: &str = "-";

pub fn print(tables: &[Table], effort: &Effort) {
    println!(
        "CPU time of the server per request in µs: medians of {} of {}.\n",
        format::counted(effort.rounds as u64, "round"),
        format::time(effort.window),
    );
    print_overview(tables);
    println!("\nThe spread is the difference between the highest and the lowest CPU time of the");
    println!("rounds, as a share of the median. × is the ratio of the CPU time to that of the");
    println!("floor, and to that of the cheapest server of another project.");
    println!("- The server failed under this load, or has no TLS.");
    if let Some(remark) = pacing_remark() {
        println!("\n{}", textwrap::fill(&remark, 80));
    }
    tables.iter().for_each(print_table);
}

fn print_overview(tables: &[Table]) {
    let Some(first) = tables.first() else { return };
    let print = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:>9} |")).collect();
        println!("| {name:<16} |{cells}");
    };
    print("load", first.rows.iter().map(|row| row.server.name().to_owned()).collect());
    println!("|{:-<18}|{}", "", "----------:|".repeat(first.rows.len()));
    for table in tables {
        let cell = |row: &Row| row.cpu_us().map_or(NOT_MEASURED.to_owned(), digits);
        print(table.workload.name, table.rows.iter().map(cell).collect());
    }
}

fn print_table(table: &Table) {
    println!("\n{}: {}\n", table.workload.name, table.workload.description);
    println!("| server   |  CPU µs | spread | × floor | × best |  p50 µs |  p99 µs |");
    println!("|----------|--------:|-------:|--------:|-------:|--------:|--------:|");
    let (floor, best) = (table.floor_us(), table.best_peer_us());
    for row in &table.rows {
        let cost = row.cost();
        let cell = |text: Option<String>| text.unwrap_or(NOT_MEASURED.to_owned());
        let time = |figure: fn(&Cost) -> f64| cell(cost.as_ref().map(figure).map(digits));
        let ratio = |to: Option<f64>| {
            cell(row.cpu_us().zip(to).map(|(own, to)| format!("{:.2}", own / to)))
        };
        let spread = cost.map(|cost| format!("{:.0} %", row.spread_percent(&cost)));
        println!(
            "| {:<8} | {:>7} | {:>6} | {:>7} | {:>6} | {:>7} | {:>7} |",
            row.server.name(),
            time(|cost| cost.cpu_us),
            cell(spread),
            ratio(floor),
            ratio(best),
            time(|cost| cost.p50_us),
            time(|cost| cost.p99_us),
        );
    }
}
