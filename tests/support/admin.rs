//! A client of the admin listener, and the metrics that it reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::peer::{Peer, get};
use super::response::Response;
use super::server::Server;
use super::wait::wait_until;

/// The admin listener of a server that was started with `--admin 127.0.0.1:0`.
#[derive(Clone, Copy)]
pub struct Admin(pub SocketAddr);

/// The samples of one scrape, by name and labels as they are written.
pub struct Metrics(BTreeMap<String, f64>);

impl Admin {
    /// The option that opens it on a free port.
    pub const OPTION: &str = "--admin=127.0.0.1:0";

    #[track_caller]
    pub fn of(server: &Server) -> Admin {
        let (_, url) = server.greeting.split_once("; admin on http://").expect("it is announced");
        Admin(url.trim_end_matches('/').parse().expect("the address is numeric"))
    }

    #[track_caller]
    pub fn get(self, path: &str) -> Response {
        self.ask(get(path))
    }

    #[track_caller]
    pub fn ask(self, request: impl AsRef<[u8]>) -> Response {
        let mut peer = Peer::connect(self.0);
        let response = peer.ask(request);
        assert_eq!(response.required("Connection"), "close");
        peer.expect_end();
        response
    }

    #[track_caller]
    pub fn metrics(self) -> Metrics {
        let response = self.get("/metrics");
        assert_eq!(response.status, 200);
        Metrics::parse(std::str::from_utf8(&response.body).expect("the metrics are UTF-8"))
    }

    /// Waits until `sample` has `value`: clients may read a response before it is counted.
    #[track_caller]
    pub fn wait_for(self, sample: &str, value: u64) {
        wait_until(&format!("{sample} {value}"), || {
            (self.metrics().get(sample) == value as f64).then_some(())
        });
    }
}

impl Metrics {
    /// Parses the text strictly: each metric has its HELP, its TYPE and then its samples, no sample
    /// occurs twice, and names follow the conventions of Prometheus.
    #[track_caller]
    pub fn parse(text: &str) -> Metrics {
        assert!(text.ends_with('\n'));
        let mut samples = BTreeMap::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("HELP: {line:?}"));
            let (name, help) = help.split_once(' ').expect("HELP has a text");
            assert!(!help.contains('\\') && !name.is_empty() && help.ends_with('.'), "{line}");
            assert!(name.chars().all(|char| char.is_ascii_lowercase() || char == '_'), "{name}");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
            let (typed, kind) = kind.unwrap_or_else(|| panic!("no TYPE of {name}"));
            assert_eq!(typed, name);
            assert!(matches!(kind, "counter" | "gauge"), "{name} is a {kind}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            let mut count = 0;
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (key, value) = sample.rsplit_once(' ').expect("a sample has a value");
                let of_name = key.strip_prefix(name).expect("the samples follow their TYPE");
                assert!(of_name.is_empty() || of_name.starts_with('{') && of_name.ends_with('}'));
                let value = value.parse::<f64>().expect("a value is a number");
                assert!(value >= 0.0, "{sample}");
                assert_eq!(samples.insert(key.to_owned(), value), None, "{key} occurs twice");
                count += 1;
            }
            assert!(count > 0, "{name} has no sample");
        }
        Metrics(samples)
    }

    /// The value of a sample; 0 if there is none, as for a status code that was never sent.
    pub fn get(&self, sample: &str) -> f64 {
        self.0.get(sample).copied().unwrap_or(0.0)
    }

    /// The samples whose names begin with `prefix`.
    pub fn beginning_with(&self, prefix: &str) -> BTreeMap<&str, u64> {
        let samples = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        samples.map(|(name, value)| (name.as_str(), *value as u64)).collect()
    }
}
