//! poll(2): hand the kernel the whole list of sockets, and sleep until one of them is ready.
//!
//! ```text
//!   ┌─> poll: the kernel checks every socket in the list, or sleeps until one is ready
//!   │     ├─ scan the list ──> a client's socket is ready ──> serve it until it would block
//!   │     ├─ clients that yielded, timeouts that have passed ──> serve
//!   │     └─ the listener is ready ──> accept, and serve at once
//!   └──────── build the list anew: each socket, and whether it waits to read or to write
//! ```
//!
//! Readiness is level-triggered: a socket is reported as long as it is readable or writable, so a
//! client that was not served completely is reported again, and each client is listed only for what
//! it waits for. A client listed for writing that has nothing to write would end every wait at
//! once.
//!
//! The cost is O(connections) per wake-up: the list is built, checked by the kernel and scanned
//! even if one of ten thousand sockets is ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use argh::{ArgsInfo, FromArgs};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::strategy::{self, ConfiguredStrategy, Setup, Strategy};
use crate::server::client::{Client, Interest, ReadState};
use crate::server::context::ServerContext;
use crate::server::event_loop::EventLoop;
use crate::syscall_stats::Call;

pub static STRATEGY: Strategy = Strategy {
    name: "poll",
    options: strategy::options_of::<Poll>,
    configure: strategy::configure::<Poll>,
    is_event_loop: true,
    waits_with: &[Call::Poll],
    setups: &[Setup::event_loop(&STRATEGY, "poll", &["poll"])],
};

/// Level-triggered readiness: one loop passes its whole list of sockets to poll(2) at every wait.
#[derive(FromArgs, ArgsInfo, Debug)]
struct Poll {}

impl ConfiguredStrategy for Poll {
    fn description(&self) -> String {
        "poll, one loop".to_owned()
    }

    fn run(self: Box<Self>, mut server: ServerContext) -> io::Result<()> {
        let mut event_loop = server.event_loop("poll")?;
        let shutdown = server.shutdown.stream()?;
        server.announce_ready();
        loop {
            let is_shutting_down = server.shutdown.is_requested();
            if is_shutting_down {
                event_loop.begin_shutdown(|_, _, _| Ok(()));
            }
            if event_loop.is_finished() {
                break;
            }
            // The stream stays readable after the first signal, so it is listed only until then.
            let shutdown = (!is_shutting_down).then_some(shutdown.as_fd());
            let ready = wait(&mut event_loop, shutdown)?;
            for (source, events) in ready {
                handle(&mut event_loop, source, events);
            }
            event_loop.serve_ready();
            event_loop.expire_timers();
            event_loop.accept(|_, _, _| Ok(()));
        }
        event_loop.abort();
        Ok(())
    }
}

/// What a descriptor in the list belongs to.
#[derive(Clone, Copy)]
enum Source {
    Shutdown,
    Waker,
    Listener,
    Client { key: usize },
}

/// Sleeps until a descriptor is ready or a timeout is due, and returns what is ready.
fn wait(
    event_loop: &mut EventLoop,
    shutdown: Option<BorrowedFd<'_>>,
) -> io::Result<Vec<(Source, PollFlags)>> {
    let now = event_loop.worker.clock.now().moment;
    let timeout = event_loop.next_timeout().map(|next| next.since(now));
    let (sources, mut list): (Vec<_>, Vec<_>) = descriptors(event_loop, shutdown).unzip();
    event_loop.begin_wait(Call::Poll, timeout);
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let ready = match poll(&mut list, timeout.as_ref()) {
        Ok(ready) => ready,
        Err(Errno::INTR) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let scanned = sources.into_iter().zip(list.iter().map(PollFd::revents));
    // After EINTR the kernel has not filled in the list: nothing is ready.
    let scanned = scanned.filter(|(_, events)| ready > 0 && !events.is_empty()).collect();
    event_loop.end_wait(Call::Poll, ready);
    Ok(scanned)
}

/// The list: every descriptor, and the readiness that is waited for.
fn descriptors<'a>(
    event_loop: &'a EventLoop,
    shutdown: Option<BorrowedFd<'a>>,
) -> impl Iterator<Item = (Source, PollFd<'a>)> {
    let readable =
        |source, descriptor| (source, PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
    let shutdown = shutdown.map(|stream| readable(Source::Shutdown, stream));
    let waker = readable(Source::Waker, event_loop.waker.as_fd());
    let listeners = event_loop.accepting_listeners().iter();
    let listeners = listeners.map(move |listener| readable(Source::Listener, listener.as_fd()));
    let clients = event_loop.clients().map(|(key, client)| {
        (Source::Client { key }, PollFd::from_borrowed_fd(client.socket.as_fd(), events(client)))
    });
    shutdown.into_iter().chain([waker]).chain(listeners).chain(clients)
}

/// The readiness that a client waits for. Errors are always reported.
fn events(client: &Client) -> PollFlags {
    match client.interest() {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::None => PollFlags::empty(),
    }
}

fn handle(event_loop: &mut EventLoop, source: Source, events: PollFlags) {
    match source {
        Source::Shutdown => {}
        Source::Waker => {
            event_loop.waker.reset();
            event_loop.handle_wake_up();
        }
        Source::Listener => event_loop.listener_ready(),
        Source::Client { key } => {
            if events.intersects(PollFlags::ERR | PollFlags::HUP) {
                event_loop.socket_error(key);
            }
            event_loop.set_read_state(key, ReadState::MaybeReadable);
            event_loop.set_ready(
                key,
                events.contains(PollFlags::IN),
                events.contains(PollFlags::OUT),
            );
        }
    }
}
