//! The control socket between a comparison and a server it started.
//!
//! It is the stdin of the server, one end of a socketpair(2). A byte from the comparison requests
//! the resource usage of the server so far. EOF means that the comparison has exited, for whatever
//! reason; then the server shuts down.
//!
//! Only the server itself can read its usage precisely: for exited threads and children,
//! getrusage(2) has microseconds, `/proc` only ticks of 10 ms.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rustix::process::{Signal, getpid, kill_process};

use crate::compare::results::{ContextSwitches, Cpu};

/// Resources used by a process: all its threads, live and exited, and the children it has reaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportedUsage {
    pub(crate) cpu: Cpu,
    pub(crate) switches: ContextSwitches,
}

/// The comparison's end.
#[derive(Debug)]
pub(crate) struct ControlSocket(UnixStream);

/// The longest wait for the server's control thread, which shares a core with the server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
const NUMBERS: usize = 4;
const RESPONSE_BYTES: usize = NUMBERS * size_of::<u64>();

impl ControlSocket {
    /// The comparison's end, and the stdin of the server.
    pub(crate) fn pair() -> io::Result<(ControlSocket, OwnedFd)> {
        let (here, there) = UnixStream::pair()?;
        here.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        Ok((ControlSocket(here), there.into()))
    }

    /// The resource usage of the server until now.
    pub(crate) fn usage(&self) -> io::Result<ReportedUsage> {
        let mut response = [0; RESPONSE_BYTES];
        (&self.0).write_all(&[0])?;
        (&self.0).read_exact(&mut response).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(
                ErrorKind::TimedOut,
                "timed out waiting for the resource usage of the server",
            ),
            ErrorKind::UnexpectedEof => {
                io::Error::new(ErrorKind::UnexpectedEof, "the server ended")
            }
            _ => error,
        })?;
        Ok(ReportedUsage::from_bytes(&response))
    }
}

/// In the server: responds on stdin from a thread of its own, and shuts the process down on EOF.
///
/// # Errors
/// From a system call.
pub fn serve() -> io::Result<()> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        while let Ok(1..) = socket.read(&mut [0]) {
            if ReportedUsage::now().and_then(|usage| socket.write_all(&usage.to_bytes())).is_err() {
                break;
            }
        }
        // The graceful shutdown that the comparison would have requested. Signalling one's own
        // process cannot fail.
        let _ = kill_process(getpid(), Signal::TERM);
    })?;
    Ok(())
}

impl ReportedUsage {
    fn now() -> io::Result<ReportedUsage> {
        let (own, ended) =
            (getrusage(UsageWho::RUSAGE_SELF)?, getrusage(UsageWho::RUSAGE_CHILDREN)?);
        let us = |time: TimeVal| time.num_microseconds().cast_unsigned();
        Ok(ReportedUsage {
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

    fn to_bytes(self) -> [u8; RESPONSE_BYTES] {
        let ReportedUsage { cpu, switches } = self;
        let numbers = [cpu.user_us, cpu.system_us, switches.voluntary, switches.involuntary];
        let mut bytes = [0; RESPONSE_BYTES];
        for (place, number) in bytes.chunks_exact_mut(size_of::<u64>()).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; RESPONSE_BYTES]) -> ReportedUsage {
        let mut numbers = [0; NUMBERS];
        for (number, place) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_ne_bytes(*place);
        }
        let [user_us, system_us, voluntary, involuntary] = numbers;
        ReportedUsage {
            cpu: Cpu { user_us, system_us },
            switches: ContextSwitches { voluntary, involuntary },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_survives_encoding() {
        let usage = ReportedUsage {
            cpu: Cpu { user_us: 1, system_us: u64::MAX },
            switches: ContextSwitches { voluntary: 3, involuntary: 1 << 40 },
        };
        assert_eq!(ReportedUsage::from_bytes(&usage.to_bytes()), usage);
    }

    #[test]
    fn cpu_time_is_counted() {
        let used_us = || {
            let usage = ReportedUsage::now().expect("getrusage of the own process succeeds");
            usage.cpu.total_us()
        };
        let (before, start) = (used_us(), std::time::Instant::now());
        // A busy machine may give this thread little of a core, but not none for ever.
        while used_us() < before + 15_000 {
            assert!(start.elapsed() < Duration::from_secs(60), "a busy loop uses no CPU time");
            std::hint::spin_loop();
        }
    }
}
