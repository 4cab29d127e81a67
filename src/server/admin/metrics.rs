//! The counters of the server in the text format of Prometheus, version 0.0.4.
//!
//! Names follow the conventions of Prometheus: a prefix, base units, `_total` for counters. Each
//! counter is zero when the process starts, and never decreases.

use std::fmt::{Display, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::syscall_stats::{Call, CounterSource, Counters, Event};

/// What a scrape reads.
#[derive(Debug)]
pub struct Metrics {
    counters: CounterSource,
    started: SystemTime,
    strategy: String,
}

/// Timeouts by kind.
const TIMEOUTS: [(&str, Event); 4] = [
    ("idle", Event::IdleTimeout),
    ("header", Event::HeaderTimeout),
    ("body", Event::BodyTimeout),
    ("write", Event::WriteTimeout),
];

/// Completed TLS handshakes by kind.
const HANDSHAKES: [(&str, Event); 2] = [("full", Event::Handshake), ("resumed", Event::Resumed)];

impl Metrics {
    /// The metrics of a process that has just started.
    pub fn new(counters: CounterSource, strategy: String) -> Metrics {
        Metrics { counters, started: SystemTime::now(), strategy }
    }

    /// The current values.
    pub fn render(&self) -> String {
        let mut text = Exposition(String::with_capacity(8 * 1024));
        self.add_responses(&mut text);
        self.add_connections(&mut text);
        self.add_handshakes(&mut text);
        self.add_cache(&mut text);
        let calls = Call::ALL.map(|call| (call.name(), self.sum(|set| set.made(call))));
        text.add_counters(
            "miniweb_syscalls_total",
            "System calls for connections and served files, by name.",
            "call",
            &calls,
        );
        text.add_counter(
            "miniweb_panics_total",
            "Panics, which are bugs of the server.",
            self.happened(Event::Panic),
        );
        text.add_counter(
            "miniweb_log_lines_lost_total",
            "Lines of the access log that could not be written.",
            self.happened(Event::LogLineLost),
        );
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = "process_start_time_seconds";
        text.begin(name, "gauge", "Start time of the process in seconds since the Unix epoch.");
        text.add(name, &[], format_args!("{:.3}", started.as_secs_f64()));
        let name = "miniweb_build_info";
        text.begin(name, "gauge", "The version of the server and its strategy; always 1.");
        let version = env!("CARGO_PKG_VERSION");
        text.add(name, &[("version", version), ("strategy", &self.strategy)], 1);
        text.0
    }

    fn add_responses(&self, text: &mut Exposition) {
        let name = "miniweb_responses_total";
        text.begin(
            name,
            "counter",
            "Responses by status code, each counted at its end, except those of --health.",
        );
        for (code, count) in self.responses() {
            // Status 200 always has a sample, so that the metric is never absent.
            if count > 0 || code == 200 {
                text.add(name, &[("code", &code.to_string())], count);
            }
        }
        text.add_counter(
            "miniweb_sent_bytes_total",
            "Bytes of responses, heads included, that sockets have accepted.",
            self.sum(|set| set.sent_bytes()),
        );
    }

    fn add_connections(&self, text: &mut Exposition) {
        // In this order: a connection that closes between the two loads still counts as open, and
        // the difference is never negative.
        let closed = self.happened(Event::Closed);
        let accepted = self.happened(Event::Accepted);
        for (name, help, value) in [
            (
                "miniweb_connections_accepted_total",
                "Connections accepted, except those that were rejected.",
                accepted,
            ),
            ("miniweb_connections_closed_total", "Accepted connections that have closed.", closed),
            (
                "miniweb_connections_evicted_total",
                "Connections closed at the connection limit to make room for others.",
                self.happened(Event::Evicted),
            ),
            (
                "miniweb_connections_rejected_total",
                "Connections closed at once, because their client had too many.",
                self.happened(Event::Rejected),
            ),
        ] {
            text.add_counter(name, help, value);
        }
        let open = accepted.saturating_sub(closed);
        text.add_gauge("miniweb_connections_open", "Connections that are open now.", open);
        text.add_counters(
            "miniweb_timeouts_total",
            "Timeouts by kind: idle connection, request header, request body, write.",
            "kind",
            &TIMEOUTS.map(|(kind, event)| (kind, self.happened(event))),
        );
    }

    fn add_handshakes(&self, text: &mut Exposition) {
        text.add_counters(
            "miniweb_tls_handshakes_total",
            "TLS handshakes completed, by kind: full, or resumed from an earlier session.",
            "kind",
            &HANDSHAKES.map(|(kind, event)| (kind, self.happened(event))),
        );
        text.add_counter(
            "miniweb_tls_handshake_failures_total",
            "TLS handshakes that started but did not complete.",
            self.happened(Event::HandshakeFailed),
        );
        text.add_counter(
            "miniweb_tls_kernel_connections_total",
            "TLS connections whose encryption the kernel took over (--kernel-tls).",
            self.happened(Event::KernelTls),
        );
    }

    fn add_cache(&self, text: &mut Exposition) {
        for (name, help, event) in [
            ("miniweb_cache_hits_total", "Paths found in the cache of files.", Event::CacheHit),
            ("miniweb_cache_misses_total", "Paths looked up on the disk.", Event::CacheMiss),
            (
                "miniweb_cache_evictions_total",
                "Files that left the cache for lack of space, or were too large for it.",
                Event::CacheEviction,
            ),
        ] {
            text.add_counter(name, help, self.happened(event));
        }
        let bytes: i64 = self.counters.sets().map(|set| set.cache_bytes()).sum();
        // Caches change while they are summed, so the sum may be negative.
        text.add_gauge(
            "miniweb_cache_bytes",
            "Bytes that the caches of files hold.",
            bytes.max(0) as u64,
        );
    }

    fn responses(&self) -> Vec<(u16, u64)> {
        let mut sums: Vec<(u16, u64)> = Vec::new();
        for set in self.counters.sets() {
            if sums.is_empty() {
                sums.extend(set.responses());
            } else {
                sums.iter_mut().zip(set.responses()).for_each(|(sum, (_, count))| sum.1 += count);
            }
        }
        sums
    }

    fn happened(&self, event: Event) -> u64 {
        self.sum(|set| set.happened(event))
    }

    fn sum(&self, read: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.sets().map(read).sum()
    }
}

/// Text in the format of Prometheus.
struct Exposition(String);

impl Exposition {
    fn add_counter(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, "counter", help);
        self.add(name, &[], value);
    }

    fn add_gauge(&mut self, name: &str, help: &str, value: u64) {
        self.begin(name, "gauge", help);
        self.add(name, &[], value);
    }

    /// Adds a counter with a sample for each value of `label`.
    fn add_counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.begin(name, "counter", help);
        for (label_value, value) in values {
            self.add(name, &[(label, label_value)], value);
        }
    }

    /// `help` is not escaped: it must not contain a backslash or a line feed.
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn add(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let label = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
        let labels = labels.iter().map(label).collect::<Vec<_>>().join(",");
        match labels.is_empty() {
            true => self.write(format_args!("{name} {value}\n")),
            false => self.write(format_args!("{name}{{{labels}}} {value}\n")),
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

fn escaped(label_value: &str) -> String {
    label_value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_value_ends_neither_its_quotes_nor_its_line() {
        assert_eq!(escaped("a\\b\"c\nd"), r#"a\\b\"c\nd"#);
    }
}
