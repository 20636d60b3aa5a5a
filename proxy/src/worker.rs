//! The threads that serve sessions. Each has an event loop of its own, and a session stays
//! on the thread it was given: its client's socket and the backend connections it uses wake
//! the same thread. Nothing is stolen between threads, so no statement pays for waking one.

use crate::backend::WorkerId;
use shardline_base::Shutdown;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::runtime::{Builder, Handle};

/// Threads at most: more than any machine has use for.
pub(crate) const WORKERS_MAX: usize = 1_024;

/// All threads of a proxy. Dropping them tells them to end.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    stop: Shutdown,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    sessions: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

/// A session's place on a thread; left when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    worker: WorkerId,
    sessions: Arc<AtomicUsize>,
}

impl Seat {
    /// The thread.
    pub(crate) fn worker(&self) -> WorkerId {
        self.worker
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts `count` threads (at least one, at most [`WORKERS_MAX`]).
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let stop = Shutdown::new();
        let mut workers = Vec::new();
        for number in 0..count.clamp(1, WORKERS_MAX) {
            workers.push(Worker::start(number, stop.clone())?);
        }
        Ok(Self { workers, stop })
    }

    /// A place on the thread with the fewest sessions, and that thread's runtime.
    pub(crate) fn seat(&self) -> (Seat, &Handle) {
        let load = |number: &usize| self.workers[*number].sessions.load(Ordering::Relaxed);
        // There is always a first one: `start` makes at least one.
        let number = (0..self.workers.len()).min_by_key(load).unwrap_or(0);
        let worker = &self.workers[number];
        worker.sessions.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { worker: WorkerId(number as u16), sessions: worker.sessions.clone() };
        (seat, &worker.handle)
    }

    /// Ends the threads. What still runs on them is dropped. Blocks until they have ended.
    pub(crate) fn stop(mut self) {
        self.stop.trigger();
        for worker in self.workers.drain(..) {
            if worker.thread.join().is_err() {
                tracing::error!("a proxy thread panicked");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.trigger();
    }
}

impl Worker {
    fn start(number: usize, stop: Shutdown) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new()
            .name(format!("proxy {number}"))
            .spawn(move || runtime.block_on(stop.triggered()))?;
        Ok(Self { handle, sessions: Arc::default(), thread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_spread_and_their_places_come_back() {
        let workers = Workers::start(2).unwrap();
        let number = |seat: &Seat| seat.worker().0;
        let (first, _) = workers.seat();
        let (second, _) = workers.seat();
        assert_ne!(number(&first), number(&second));
        let third = workers.seat().0;
        let freed = number(&third);
        drop(third);
        drop(if number(&first) == freed { second } else { first });
        assert_ne!(number(&workers.seat().0), freed);
        workers.stop();
    }

    #[test]
    fn a_task_runs_on_the_thread_of_its_seat() {
        let workers = Workers::start(2).unwrap();
        let (seat, handle) = workers.seat();
        let (sender, receiver) = std::sync::mpsc::channel();
        handle.spawn(async move { sender.send(thread::current().name().map(str::to_owned)) });
        let name = receiver.recv_timeout(std::time::Duration::from_secs(5)).unwrap();
        assert_eq!(name, Some(format!("proxy {}", seat.worker().0)));
        workers.stop();
    }
}
