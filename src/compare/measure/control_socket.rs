//! The private line between a comparison and a server that it started.
//!
//! It is the server's stdin, a socket of which nobody else has an end. A byte on it asks what the server has used so far;
//! its end says that whoever started the server is gone, however that came about, and then the server ends, too.
//!
//! The server tells it itself because only it can: what ended threads and children have used is in no file of
//! `/proc` finer than a hundredth of a second, but in getrusage(2) to the microsecond.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::process::{Signal, getpid, kill_process};

use crate::compare::results::{ContextSwitches, Cpu};

/// What a process has used, with all its threads, living or not, and the children it has reaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu: Cpu,
    pub(crate) switches: ContextSwitches,
}

/// The end of whoever asks.
#[derive(Debug)]
pub(crate) struct ControlSocket(UnixStream);

/// How long the thread at the other end may take: it shares a core with a server that may be busy.
const PATIENCE: Duration = Duration::from_secs(2);
const NUMBERS: usize = 4;
const ANSWER_BYTES: usize = NUMBERS * size_of::<u64>();

impl ControlSocket {
    /// The end to keep, and the one to be a server's stdin.
    pub(crate) fn pair() -> io::Result<(ControlSocket, OwnedFd)> {
        let (here, there) = UnixStream::pair()?;
        here.set_read_timeout(Some(PATIENCE))?;
        Ok((ControlSocket(here), there.into()))
    }

    /// What the server has used until now.
    pub(crate) fn ask(&self) -> io::Result<Usage> {
        let mut answer = [0; ANSWER_BYTES];
        (&self.0).write_all(&[0])?;
        (&self.0).read_exact(&mut answer).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                io::Error::new(ErrorKind::TimedOut, "the server did not tell in time what it used")
            }
            ErrorKind::UnexpectedEof => {
                io::Error::new(ErrorKind::UnexpectedEof, "the server ended")
            }
            _ => error,
        })?;
        Ok(Usage::of_bytes(&answer))
    }
}

/// In the server: answers on stdin from a thread of its own, and stops this process in order when that ends.
///
/// # Errors
/// The system's.
pub fn serve() -> io::Result<()> {
    let mut line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("control_socket".to_owned()).spawn(move || {
        while let Ok(1..) = line.read(&mut [0]) {
            if Usage::now().and_then(|usage| line.write_all(&usage.to_bytes())).is_err() {
                break;
            }
        }
        // As whoever started it would have done it. It can't fail: this process is there and its own.
        let _ = kill_process(getpid(), Signal::TERM);
    })?;
    Ok(())
}

impl Usage {
    fn now() -> io::Result<Usage> {
        let (own, ended) =
            (getrusage(UsageWho::RUSAGE_SELF)?, getrusage(UsageWho::RUSAGE_CHILDREN)?);
        let us = |time: TimeVal| time.num_microseconds().cast_unsigned();
        Ok(Usage {
            cpu: Cpu {
                user_us: us(own.user_time() + ended.user_time()),
                system_us: us(own.system_time() + ended.system_time()),
            },
            switches: ContextSwitches {
                voluntary: (own.voluntary_context_switches() + ended.voluntary_context_switches())
                    .cast_unsigned(),
                involuntary: (own.involuntary_context_switches()
                    + ended.involuntary_context_switches())
                .cast_unsigned(),
            },
        })
    }

    fn to_bytes(self) -> [u8; ANSWER_BYTES] {
        let Usage { cpu, switches } = self;
        let numbers = [cpu.user_us, cpu.system_us, switches.voluntary, switches.involuntary];
        let mut bytes = [0; ANSWER_BYTES];
        for (place, number) in bytes.chunks_exact_mut(size_of::<u64>()).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn of_bytes(bytes: &[u8; ANSWER_BYTES]) -> Usage {
        let mut numbers = [0; NUMBERS];
        for (number, place) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_ne_bytes(*place);
        }
        let [user_us, system_us, voluntary, involuntary] = numbers;
        Usage {
            cpu: Cpu { user_us, system_us },
            switches: ContextSwitches { voluntary, involuntary },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_comes_over_the_line_as_it_was() {
        let usage = Usage {
            cpu: Cpu { user_us: 1, system_us: u64::MAX },
            switches: ContextSwitches { voluntary: 3, involuntary: 1 << 40 },
        };
        assert_eq!(Usage::of_bytes(&usage.to_bytes()), usage);
    }

    #[test]
    fn what_is_used_rises() {
        let before = Usage::now().expect("it is asked for oneself");
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        let used =
            Usage::now().expect("it is asked for oneself").cpu.total_us() - before.cpu.total_us();
        // Other tests may run in this process, on other cores.
        assert!(used >= 15_000, "{used} µs of 30,000");
    }
}
