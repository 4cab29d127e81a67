//! Who won: a table for each workload, and no victory that the spread of the samples doesn't bear out.

use std::time::Duration;

/// The samples of one benchmark, as they are taken.
pub struct Timed {
    /// Requests that one of criterion's iterations makes.
    requests: usize,
    microseconds_per_request: Vec<f64>,
}

impl Timed {
    /// Nothing timed yet; each iteration will be so many `requests`.
    pub fn new(requests: usize) -> Timed {
        Timed { requests, microseconds_per_request: Vec::new() }
    }

    /// Takes note of one sample.
    pub fn record(&mut self, iterations: u64, time: Duration) {
        let requests = iterations * self.requests as u64;
        self.microseconds_per_request.push(time.as_secs_f64() * 1e6 / requests as f64);
    }

    /// The last `count` samples, which are the measured ones: the warm-up came before them. None if there are fewer,
    /// as when the benches are only tried (`--test`).
    pub fn last(&self, count: usize) -> Option<Samples> {
        let first = self.microseconds_per_request.len().checked_sub(count + 1)? + 1;
        let mut sorted = self.microseconds_per_request[first..].to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Samples { sorted })
    }
}

/// Microseconds per request, from the least to the most.
pub struct Samples {
    sorted: Vec<f64>,
}

impl Samples {
    fn at(&self, share: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * share).round() as usize]
    }

    fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Whether half of the samples of both, the middle ones, have nothing in common.
    fn is_below(&self, other: &Samples) -> bool {
        self.at(0.75) < other.at(0.25)
    }
}

/// What has been timed so far.
#[derive(Default)]
pub struct Summary {
    tables: Vec<Table>,
}

struct Table {
    workload: &'static str,
    explanation: &'static str,
    rows: Vec<(&'static str, Samples)>,
    left_out: Vec<(&'static str, usize)>,
}

const FLOOR: &str = "floor";

impl Summary {
    /// What follows is about this workload.
    pub fn begin(&mut self, workload: &'static str, explanation: &'static str) {
        self.tables.push(Table { workload, explanation, rows: Vec::new(), left_out: Vec::new() });
    }

    /// The strategy can't do the workload: it serves only so many connections at once.
    pub fn left_out(&mut self, strategy: &'static str, served_at_once: usize) {
        self.tables.last_mut().expect("a workload was begun").left_out.push((strategy, served_at_once));
    }

    /// The strategy was timed, or only tried.
    pub fn add(&mut self, strategy: &'static str, samples: Option<Samples>) {
        let table = self.tables.last_mut().expect("a workload was begun");
        table.rows.extend(samples.map(|samples| (strategy, samples)));
    }

    /// Every table, if anything was timed.
    pub fn print(mut self) {
        self.tables.retain(|table| !table.rows.is_empty());
        if self.tables.is_empty() {
            return;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        println!(
            "\nTime per request, the median of the samples; ± is half of what the middle half of them spans.\n\
             Client and server share {cores} cores and nothing is pinned: compare within a table, quote nothing.\n\
             mio runs with one worker, blocking-pool with 64 threads; the floor parses nothing."
        );
        for table in &mut self.tables {
            table.print();
        }
    }
}

impl Table {
    fn print(&mut self) {
        self.rows.sort_by(|(_, a), (_, b)| a.median().total_cmp(&b.median()));
        let floor = self.rows.iter().find(|(name, _)| *name == FLOOR).map(|(_, samples)| samples.median());
        println!("\n{}: {}", self.workload, self.explanation);
        println!("  {:<20} {:>12} {:>7} {:>9}", "", "µs/request", "", "× floor");
        for (name, samples) in &self.rows {
            let median = samples.median();
            let spread = (samples.at(0.75) - samples.at(0.25)) / 2.0 / median * 100.0;
            let ratio = floor.map_or("-".to_owned(), |floor| format!("{:.2}", median / floor));
            println!("  {name:<20} {median:>12.2} {:>7} {ratio:>9}", format!("±{spread:.0}%"));
        }
        for (name, served_at_once) in &self.left_out {
            println!("  {name:<20} left out: of connections that stay open it serves {served_at_once} at once");
        }
        println!("  {}", self.verdict());
    }

    /// The first of the strategies, or those that can't be told from it.
    fn verdict(&self) -> String {
        let mut strategies = self.rows.iter().filter(|(name, _)| *name != FLOOR);
        let Some((first, fastest)) = strategies.next() else { return "no strategy was timed".to_owned() };
        let others: Vec<_> = strategies.collect();
        let equals: Vec<&str> = others.iter().filter(|(_, s)| !fastest.is_below(s)).map(|(name, _)| *name).collect();
        match (&equals[..], others.first()) {
            (_, None) => format!("only {first} was timed"),
            ([], Some((second, samples))) => {
                format!("{first} won: {second} takes {:.2} times as long", samples.median() / fastest.median())
            }
            (equals, Some(_)) => format!("too close to call: {first}, {}", equals.join(", ")),
        }
    }
}
