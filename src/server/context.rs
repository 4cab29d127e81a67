//! What a strategy is given to run a server with.

use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::thread::ScopedJoinHandle;

use super::acceptor::Acceptor;
use super::event_loop::EventLoop;
use super::listener::Listener;
use super::shutdown_signal::ShutdownSignal;
use super::supervisor::Supervisor;
use super::waker::Waker;
use super::worker::{Shared, Worker};

/// An opened server: its sockets listen, its privileges are dropped, nothing is accepted yet.
pub struct ServerContext {
    /// For each event loop that the strategy has asked for, a listener for each address.
    listeners: Vec<Vec<Listener>>,
    pub shared: Shared,
    pub shutdown: ShutdownSignal,
    supervisor: Supervisor,
    announce: Box<dyn FnOnce()>,
}

impl ServerContext {
    /// `announce` is called once, when the strategy is ready to accept.
    pub fn new(
        listeners: Vec<Vec<Listener>>,
        shared: Shared,
        shutdown: ShutdownSignal,
        supervisor: Supervisor,
        announce: impl FnOnce() + 'static,
    ) -> ServerContext {
        ServerContext { listeners, shared, shutdown, supervisor, announce: Box::new(announce) }
    }

    /// All listeners, for a strategy that asked for no event loop or one.
    pub fn take_listeners(&mut self) -> Vec<Listener> {
        std::mem::take(&mut self.listeners).into_iter().flatten().collect()
    }

    /// The event loop of a strategy that asked for one. `name` appears in the trace.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left for a waker.
    pub fn event_loop(&mut self, name: &str) -> io::Result<EventLoop> {
        let listeners = self.take_listeners();
        self.new_event_loop(name, listeners, self.shared.cache_budget.available_bytes())
    }

    /// The event loops that the strategy asked for, named `name 0`, `name 1`, … They divide the
    /// cache.
    ///
    /// # Errors
    /// EMFILE or ENFILE if no descriptor is left for a waker.
    pub fn event_loops(&mut self, name: &str) -> io::Result<Vec<EventLoop>> {
        let listeners = std::mem::take(&mut self.listeners);
        let cache_bytes_max = self.shared.cache_budget.available_bytes() / listeners.len() as u64;
        let numbered = listeners.into_iter().enumerate();
        let event_loops = numbered.map(|(number, listeners)| {
            self.new_event_loop(&format!("{name} {number}"), listeners, cache_bytes_max)
        });
        event_loops.collect()
    }

    /// Announces that the server is ready: on stdout, and to a supervisor that waits for it.
    pub fn announce_ready(&mut self) {
        std::mem::replace(&mut self.announce, Box::new(|| ()))();
        self.supervisor.notify_ready();
    }

    fn new_event_loop(
        &self,
        name: &str,
        listeners: Vec<Listener>,
        cache_bytes_max: u64,
    ) -> io::Result<EventLoop> {
        let waker = Waker::new()?;
        let cache = self.shared.cache_budget.take_up_to(cache_bytes_max);
        let worker = Worker::event_loop(&self.shared, name, cache, waker.clone());
        let acceptor = Acceptor::new(listeners, self.shared.connection_limit.clone());
        Ok(EventLoop::new(worker, acceptor, waker, self.shutdown.timeout()))
    }
}

/// Runs each task on a thread of its own, the last one on this thread, and waits for all.
///
/// # Errors
/// That of the first task that failed.
pub fn run_on_threads<Task: Send>(
    mut tasks: Vec<Task>,
    run: fn(Task) -> io::Result<()>,
) -> io::Result<()> {
    let last = tasks.pop();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            tasks.into_iter().map(|task| scope.spawn(move || run(task))).collect();
        let last = last.map_or(Ok(()), run);
        let join =
            |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|p| resume_unwind(p));
        threads.into_iter().map(join).fold(last, Result::and)
    })
}

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}
