//! The steps of a server, recorded in memory that the process which has started it maps, too
//! (`--recording-file`, `server/sys.rs`).
//!
//! Each worker writes here what `--trace` would print, and the other process reads it afterwards.
//! So recording takes no system call, and forked children record in the same way as threads.
//!
//! Invariants:
//! - A step is written once, into a slot of its own, and its first word is written last: a reader
//!   sees a whole step or none.
//! - The memory is bounded. Steps that find no slot are counted and not kept.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "compare")]
use serde::{Deserialize, Serialize};

/// Enough for a second of a few clients, even if every system call is recorded.
pub const STEPS_MAX: usize = 65_536;
/// More workers than any strategy in a comparison has.
const WORKERS_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 16;

/// A step of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedStep {
    /// On the monotonic clock of the system, which all processes share.
    pub time_us: u64,
    /// The number of the worker.
    pub worker: u16,
    /// The number of the connection among those that its worker has accepted, from 1; 0 if the step
    /// concerns the worker itself.
    pub connection: u32,
    pub kind: StepKind,
    /// Bytes, the port of the client, sockets that are ready, or passes, as the kind says.
    pub amount: u64,
    /// The time that ended with this step, of a wait or of polling.
    pub duration_us: u64,
}

/// The steps that are recorded. A wait lasts until the next step of its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "compare", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "compare", serde(rename_all = "kebab-case"))]
#[cfg_attr(all(test, feature = "compare"), derive(schemars::JsonSchema))]
#[repr(u8)]
pub enum StepKind {
    /// A worker waits in accept.
    WaitsInAccept = 1,
    /// A worker waits in the recv of one connection.
    WaitsInRecv,
    /// A worker waits in the send or sendfile of one connection.
    WaitsInSend,
    /// An event loop waits until one of its sockets is ready.
    WaitsForReadiness,
    /// An event loop is told which sockets are ready; the amount is their number.
    Woken,
    /// An event loop has tried all sockets, `amount` times, and none of them moved a byte.
    Polled,
    /// A connection was accepted; the amount is the port of the client.
    Accepted,
    /// A thread or process was started for a connection.
    Started,
    /// `recv` returned `amount` bytes.
    Recv,
    /// `recv` reported the end of the input.
    RecvEnd,
    /// `recv` failed with EAGAIN.
    RecvWouldBlock,
    /// `send` or `sendmsg` took `amount` bytes.
    Send,
    /// `sendfile` sent `amount` bytes.
    Sendfile,
    /// `send`, `sendmsg` or `sendfile` failed with EAGAIN.
    SendWouldBlock,
    /// A connection was closed.
    Closed,
}

impl StepKind {
    const ALL: [StepKind; StepKind::Closed as usize] = [
        StepKind::WaitsInAccept,
        StepKind::WaitsInRecv,
        StepKind::WaitsInSend,
        StepKind::WaitsForReadiness,
        StepKind::Woken,
        StepKind::Polled,
        StepKind::Accepted,
        StepKind::Started,
        StepKind::Recv,
        StepKind::RecvEnd,
        StepKind::RecvWouldBlock,
        StepKind::Send,
        StepKind::Sendfile,
        StepKind::SendWouldBlock,
        StepKind::Closed,
    ];

    fn from_number(number: u64) -> Option<StepKind> {
        StepKind::ALL.into_iter().find(|kind| *kind as u64 == number)
    }
}

/// The shared memory. All zeros is an empty recording.
#[derive(Debug)]
#[repr(C)]
pub struct Recording {
    steps_begun: AtomicU64,
    workers: AtomicU64,
    names: [[AtomicU64; NAME_BYTES_MAX / 8]; WORKERS_MAX],
    steps: [Slot; STEPS_MAX],
}

/// The size in bytes of a file that holds a [`Recording`].
pub const RECORDING_BYTES: u64 = size_of::<Recording>() as u64;

#[derive(Debug)]
#[repr(C)]
struct Slot {
    /// Kind, worker and connection; 0 until the other words are written.
    subject: AtomicU64,
    time_us: AtomicU64,
    amount: AtomicU64,
    duration_us: AtomicU64,
}

impl Recording {
    /// Adds a worker and returns its number. Of a long name the start is kept. Workers that exceed
    /// the limit share the last number.
    pub fn add_worker(&self, name: &str) -> u16 {
        let number = self.workers.fetch_add(1, Ordering::Relaxed).min(WORKERS_MAX as u64 - 1);
        let mut bytes = [0; NAME_BYTES_MAX];
        let length = name.len().min(NAME_BYTES_MAX);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        for (word, bytes) in self.names[number as usize].iter().zip(bytes.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        number as u16
    }

    /// Records a step.
    pub fn push(&self, step: &RecordedStep) {
        let number = self.steps_begun.fetch_add(1, Ordering::Relaxed);
        let Some(slot) = self.steps.get(number as usize) else { return };
        slot.time_us.store(step.time_us, Ordering::Relaxed);
        slot.amount.store(step.amount, Ordering::Relaxed);
        slot.duration_us.store(step.duration_us, Ordering::Relaxed);
        let subject =
            step.kind as u64 | u64::from(step.worker) << 8 | u64::from(step.connection) << 32;
        slot.subject.store(subject, Ordering::Release);
    }

    /// The steps so far, in the order in which they were recorded.
    pub fn steps(&self) -> impl Iterator<Item = RecordedStep> {
        let begun = self.steps_begun.load(Ordering::Relaxed).min(STEPS_MAX as u64);
        self.steps[..begun as usize].iter().filter_map(Slot::read)
    }

    /// The number of steps that found no slot.
    pub fn dropped(&self) -> u64 {
        self.steps_begun.load(Ordering::Relaxed).saturating_sub(STEPS_MAX as u64)
    }

    /// The name of a worker.
    pub fn worker_name(&self, number: u16) -> String {
        let words = self.names.get(usize::from(number)).into_iter().flatten();
        let bytes: Vec<u8> =
            words.flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

impl Slot {
    fn read(&self) -> Option<RecordedStep> {
        let subject = self.subject.load(Ordering::Acquire);
        Some(RecordedStep {
            time_us: self.time_us.load(Ordering::Relaxed),
            worker: (subject >> 8) as u16,
            connection: (subject >> 32) as u32,
            kind: StepKind::from_number(subject & 0xff)?,
            amount: self.amount.load(Ordering::Relaxed),
            duration_us: self.duration_us.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::server::map_recording;

    fn recording() -> &'static Recording {
        let file = tempfile::tempfile().expect("the temporary directory is writable");
        let map = |file: &File| map_recording(file.try_clone().expect("descriptors are free"));
        assert!(map(&file).is_err(), "the file is too short");
        file.set_len(RECORDING_BYTES).expect("the disk has space");
        map(&file).expect("the file is long enough")
    }

    #[test]
    fn steps_are_read_as_they_were_recorded() {
        let recording = recording();
        let worker = recording.add_worker("worker 0");
        let long = recording.add_worker("a name of more than 16 bytes");
        assert_eq!(recording.worker_name(worker), "worker 0");
        assert_eq!(recording.worker_name(long), "a name of more t");
        let steps = StepKind::ALL.map(|kind| RecordedStep {
            time_us: u64::MAX - 1,
            worker: long,
            connection: u32::MAX,
            kind,
            amount: u64::MAX,
            duration_us: 7,
        });
        steps.iter().for_each(|step| recording.push(step));
        assert_eq!(recording.steps().collect::<Vec<_>>(), steps);
        assert_eq!(recording.dropped(), 0);
    }

    #[test]
    fn steps_beyond_the_limit_are_counted() {
        let recording = recording();
        let step = RecordedStep {
            time_us: 1,
            worker: 0,
            connection: 0,
            kind: StepKind::Woken,
            amount: 0,
            duration_us: 0,
        };
        (0..STEPS_MAX + 3).for_each(|_| recording.push(&step));
        assert_eq!((recording.steps().count(), recording.dropped()), (STEPS_MAX, 3));
    }
}
