//! Who won: a table for each workload, and no victory that the spread of the samples doesn't bear out.

use std::time::Duration;

/// The samples of one benchmark, as they are taken.
pub struct Timed {
    /// Requests that one of criterion's iterations makes.
    requests: usize,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    requests: f64,
    microseconds: f64,
    cpu_microseconds: f64,
}

impl Timed {
    /// Nothing timed yet; each iteration will be so many `requests`.
    pub fn new(requests: usize) -> Timed {
        Timed { requests, samples: Vec::new() }
    }

    /// Takes note of one sample: how long it took, and what it cost the server.
    pub fn record(&mut self, iterations: u64, time: Duration, cpu_time: Duration) {
        self.samples.push(Sample {
            requests: (iterations * self.requests as u64) as f64,
            microseconds: time.as_secs_f64() * 1e6,
            cpu_microseconds: cpu_time.as_secs_f64() * 1e6,
        });
    }

    /// The last `count` samples, which are the measured ones: the warm-up came before them. None if there are fewer,
    /// as when the benches are only tried (`--test`).
    pub fn last(&self, count: usize) -> Option<Samples> {
        let first = self.samples.len().checked_sub(count + 1)? + 1;
        let samples = &self.samples[first..];
        let mut sorted: Vec<f64> = samples.iter().map(|sample| sample.microseconds / sample.requests).collect();
        sorted.sort_by(f64::total_cmp);
        // Of all samples together: the kernel's account is too coarse for a single one.
        let total = |part: fn(&Sample) -> f64| samples.iter().map(part).sum::<f64>();
        Some(Samples { sorted, cpu: total(|sample| sample.cpu_microseconds) / total(|sample| sample.requests) })
    }
}

/// What was measured, in microseconds per request.
pub struct Samples {
    /// From the least to the most.
    sorted: Vec<f64>,
    /// What the server spent.
    cpu: f64,
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
            "\nTime per request, the median of the samples; ± is half of what the middle half of them spans. CPU is what\n\
             the server spent of it, on all its threads and processes: where the times are alike, the client is the\n\
             slower side, and CPU tells. A loop that never waits spends all there is.\n\
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
        let floor = self.rows.iter().find(|(name, _)| *name == FLOOR).map(|(_, samples)| samples);
        println!("\n{}: {}", self.workload, self.explanation);
        println!("  {:<20} {:>10} {:>6} {:>8} {:>10} {:>8}", "", "µs/request", "", "× floor", "µs CPU", "× floor");
        for (name, samples) in &self.rows {
            let (median, cpu) = (samples.median(), samples.cpu);
            let spread = format!("±{:.0}%", (samples.at(0.75) - samples.at(0.25)) / 2.0 / median * 100.0);
            let ratio = |own: f64, of: fn(&Samples) -> f64| {
                floor.map_or("-".to_owned(), |floor| format!("{:.2}", own / of(floor)))
            };
            let (of_time, of_cpu) = (ratio(median, Samples::median), ratio(cpu, |floor| floor.cpu));
            println!("  {name:<20} {median:>10.2} {spread:>6} {of_time:>8} {cpu:>10.2} {of_cpu:>8}");
        }
        for (name, served_at_once) in &self.left_out {
            println!("  {name:<20} left out: of connections that stay open it serves {served_at_once} at once");
        }
        println!("  {}", self.verdict());
        self.print_cheapest();
    }

    fn print_cheapest(&self) {
        let strategies = self.rows.iter().filter(|(name, _)| *name != FLOOR);
        if let Some((name, samples)) = strategies.min_by(|(_, a), (_, b)| a.cpu.total_cmp(&b.cpu)) {
            println!("  the least CPU: {name}, {:.2} µs", samples.cpu);
        }
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
