//! The facts of a timeline: one second of a strategy under three clients, as its server recorded
//! it.
//!
//! Invariants:
//! - Times are in microseconds since the start of the timeline, on the clock that server and
//!   clients share.
//! - Steps are in the order of their times. A worker that waited when the timeline began has its
//!   wait at 0, and polling at the start or the end is cut there.

use serde::{Deserialize, Serialize};

pub use crate::trace_recording::StepKind;

/// What a strategy did in one second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timeline {
    /// The name of the contender.
    pub contender: String,
    pub duration_us: u64,
    pub clients: Vec<TimelineClient>,
    /// The names of the workers in the trace. A step has an index into them.
    pub workers: Vec<String>,
    pub steps: Vec<TimelineStep>,
    /// Steps that were not kept, because the server made too many.
    pub dropped: u64,
}

/// One of the clients, as it saw the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimelineClient {
    pub kind: ClientKind,
    pub connected_us: u64,
    /// The requests that it sent. A client that sends half of one has none.
    pub requests: Vec<TimelineRequest>,
    pub received_bytes: u64,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// It requests a small file every [`REQUEST_INTERVAL_MS`], on one connection.
    Quick,
    /// It requests a large file, several times if it is not large enough, and reads it slowly.
    Slow,
    /// It sends half a request and then nothing.
    Stuck,
}

impl TimelineRequest {
    /// How long the client waited for the response, if it got one.
    pub fn response_time_us(&self) -> Option<u64> {
        Some(self.responded_us?.saturating_sub(self.sent_us))
    }
}

/// The interval between the requests of the quick client.
pub const REQUEST_INTERVAL_MS: u64 = 50;

impl ClientKind {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            ClientKind::Quick => "quick",
            ClientKind::Slow => "slow",
            ClientKind::Stuck => "stuck",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimelineRequest {
    pub sent_us: u64,
    /// When the last byte of the response had arrived; `None` if the timeline ended before that.
    pub responded_us: Option<u64>,
}

/// One step of a worker. In JSON it is an array, because there are hundreds of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(into = "StepArray", from = "StepArray")]
pub struct TimelineStep {
    pub at_us: u64,
    pub worker: usize,
    /// An index into the clients; `None` if the step concerns the worker itself.
    pub client: Option<usize>,
    pub kind: StepKind,
    /// Bytes, sockets that are ready, or passes, see [`StepKind`].
    pub amount: u64,
    /// The time that ended with this step, of a wait or of polling.
    pub duration_us: u64,
}

type StepArray = (u64, usize, Option<usize>, StepKind, u64, u64);

impl From<TimelineStep> for StepArray {
    fn from(step: TimelineStep) -> StepArray {
        let TimelineStep { at_us, worker, client, kind, amount, duration_us } = step;
        (at_us, worker, client, kind, amount, duration_us)
    }
}

impl From<StepArray> for TimelineStep {
    fn from((at_us, worker, client, kind, amount, duration_us): StepArray) -> TimelineStep {
        TimelineStep { at_us, worker, client, kind, amount, duration_us }
    }
}

impl Timeline {
    /// The word for a client.
    pub fn client_name(&self, number: usize) -> &'static str {
        self.clients.get(number).map_or("unknown", |client| client.kind.name())
    }

    /// The client of a kind, and its index.
    pub fn client(&self, kind: ClientKind) -> Option<(usize, &TimelineClient)> {
        self.clients.iter().enumerate().find(|(_, client)| client.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::synthetic_timelines::sleeping;

    #[test]
    fn a_step_is_an_array_in_json() {
        let timeline = sleeping("a");
        let json = serde_json::to_string(&timeline).expect("it can be serialized");
        assert!(json.contains("[200,0,2,\"accepted\",50,0]"), "{json}");
        let again: Timeline = serde_json::from_str(&json).expect("it is its own form");
        assert_eq!(again, timeline);
    }
}
