//! Busy polling: never wait; try every socket, over and over.
//!
//! ```text
//!   ┌─> accept what is in the backlog
//!   │     └─> for each connection in the list: read and write until its socket would block
//!   └──────── and again at once, or after --pause if the pass moved no byte
//! ```
//!
//! The simplest loop that serves many clients at once, and the fastest to notice a request while
//! there are few. Its cost is one failed `recv` (EAGAIN) per idle connection per pass, and a core
//! that is always busy.

use std::io;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::strategy::{self, Comparison, ConfiguredStrategy, Setup, Strategy};
use crate::option_values::microseconds;
use crate::server::context::ServerContext;
use crate::server::event_loop::EventLoop;
use crate::syscall_stats::Call;

pub static STRATEGY: Strategy = Strategy {
    name: "poll-list",
    options: strategy::options_of::<PollList>,
    configure: strategy::configure::<PollList>,
    is_event_loop: true,
    waits_with: &[Call::Sleep],
    setups: &[
        Setup { is_tested: false, ..Setup::event_loop(&STRATEGY, "poll-list", &["poll-list"]) },
        // Several servers that never sleep would starve each other on a test machine.
        Setup {
            comparison: Comparison::None,
            ..Setup::event_loop(&STRATEGY, "poll-list-paused", &["poll-list", "--pause", "200"])
        },
    ],
};

/// Busy polling: one loop tries every non-blocking socket, over and over.
#[derive(FromArgs, ArgsInfo, Debug)]
struct PollList {
    /// microseconds to sleep after a pass that transferred no data (default 0: never sleep)
    #[argh(
        option,
        default = "Duration::ZERO",
        from_str_fn(microseconds),
        arg_name = "microseconds"
    )]
    pause: Duration,
}

impl ConfiguredStrategy for PollList {
    fn description(&self) -> String {
        match self.pause {
            Duration::ZERO => "poll-list, never sleeping".to_owned(),
            pause => format!("poll-list, sleeping for {} µs", pause.as_micros()),
        }
    }

    fn run(self: Box<Self>, mut server: ServerContext) -> io::Result<()> {
        let mut event_loop = server.event_loop("poll-list")?;
        server.announce_ready();
        while !event_loop.is_finished() {
            if server.shutdown.is_requested() {
                event_loop.begin_shutdown(|_, _, _| Ok(()));
            }
            self.pass(&mut event_loop);
        }
        event_loop.abort();
        Ok(())
    }
}

impl PollList {
    fn pass(&self, event_loop: &mut EventLoop) {
        event_loop.worker.clock.tick();
        let progress_before = event_loop.worker.progress;
        event_loop.handle_wake_up();
        event_loop.set_acceptable();
        event_loop.accept(|_, _, _| Ok(()));
        event_loop.serve_all();
        event_loop.expire_timers();
        if event_loop.worker.progress != progress_before {
            return;
        }
        event_loop.trace_idle_pass(self.pause);
        if !self.pause.is_zero() {
            event_loop.worker.stats.count(Call::Sleep);
            std::thread::sleep(self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn description(arguments: &[&str]) -> String {
        (STRATEGY.configure)(arguments).expect("the arguments are valid").description()
    }

    #[test]
    fn a_pause_is_a_whole_number_of_microseconds() {
        assert_eq!(description(&["--pause", "200"]), "poll-list, sleeping for 200 µs");
        for pause in ["-1", "1.5", "4294967296", "x", ""] {
            let configured = (STRATEGY.configure)(&["--pause", pause]);
            let error = configured.expect_err("the pause is invalid");
            assert!(error.contains("expected a whole number of microseconds"), "{pause}: {error}");
        }
    }

    #[test]
    fn no_pause_and_a_pause_of_zero_never_sleep() {
        assert_eq!(description(&[]), "poll-list, never sleeping");
        assert_eq!(description(&["--pause", "0"]), "poll-list, never sleeping");
    }
}
