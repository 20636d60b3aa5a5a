//! A deterministic executor with a clock of its own. Tasks belong to processes, which can
//! be stopped, continued and killed between any two of their steps.

use crate::random::Random;
use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Microseconds since the run's beginning.
pub(crate) type Micros = u64;
pub(crate) const MS: Micros = 1_000;
pub(crate) const SECOND: Micros = 1_000_000;

/// Steps of one run: a run that needs more does not end.
const STEPS_MAX: u64 = 3_000_000;

pub(crate) type TaskId = u64;
/// A process: what stops and dies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(pub u64);
/// Never stopped: the network, the disturbances.
pub(crate) const NATURE: Process = Process(0);

type Body = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    process: Process,
    body: Option<Body>,
}

#[derive(Default)]
struct State {
    now: Micros,
    last: u64,
    timers: BinaryHeap<Reverse<(Micros, u64, TaskId)>>,
    ready: VecDeque<TaskId>,
    tasks: BTreeMap<TaskId, Task>,
    stopped: BTreeSet<Process>,
    held: BTreeSet<(Process, TaskId)>,
    current: TaskId,
}

/// A handle to the run.
#[derive(Clone)]
pub(crate) struct Engine {
    state: Rc<RefCell<State>>,
    random: Rc<RefCell<Random>>,
    log: Rc<RefCell<Option<Vec<String>>>>,
    halted: Rc<Cell<bool>>,
    origin: Instant,
}

impl Engine {
    pub(crate) fn new(seed: u64, logging: bool) -> Self {
        Self {
            state: Rc::default(),
            random: Rc::new(RefCell::new(Random::new(seed))),
            log: Rc::new(RefCell::new(logging.then(Vec::new))),
            halted: Rc::default(),
            origin: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Micros {
        self.state.borrow().now
    }

    /// The time as the machines take it.
    pub(crate) fn instant(&self) -> Instant {
        self.origin + Duration::from_micros(self.now())
    }

    /// From the machines' time to the run's.
    pub(crate) fn micros(&self, at: Instant) -> Micros {
        at.saturating_duration_since(self.origin).as_micros() as u64
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.random.borrow_mut().below(end)
    }

    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        self.random.borrow_mut().between(from, to)
    }

    pub(crate) fn per_mille(&self, chance: u64) -> bool {
        self.random.borrow_mut().per_mille(chance)
    }

    /// A line of the event log; the text is made only when there is a log.
    pub(crate) fn log(&self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut *self.log.borrow_mut() {
            log.push(format!("{:>12.6} {}", self.now() as f64 / 1e6, text()));
        }
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        self.log.borrow_mut().take().unwrap_or_default()
    }

    pub(crate) fn new_process(&self) -> Process {
        Process(self.next_number())
    }

    pub(crate) fn next_number(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.last += 1;
        state.last
    }

    pub(crate) fn spawn(
        &self,
        process: Process,
        body: impl Future<Output = ()> + 'static,
    ) -> TaskId {
        let id = self.next_number();
        let task = Task { process, body: Some(Box::pin(body)) };
        self.state.borrow_mut().tasks.insert(id, task);
        self.wake(id);
        id
    }

    pub(crate) fn wake(&self, id: TaskId) {
        let mut state = self.state.borrow_mut();
        let Some(process) = state.tasks.get(&id).map(|task| task.process) else { return };
        if state.stopped.contains(&process) {
            state.held.insert((process, id));
        } else {
            state.ready.push_back(id);
        }
    }

    /// SIGSTOP.
    pub(crate) fn stop(&self, process: Process) {
        self.state.borrow_mut().stopped.insert(process);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, process: Process) {
        let mut state = self.state.borrow_mut();
        state.stopped.remove(&process);
        let held: Vec<_> = state.held.iter().filter(|(of, _)| *of == process).copied().collect();
        for one in held {
            state.held.remove(&one);
            state.ready.push_back(one.1);
        }
    }

    pub(crate) fn is_stopped(&self, process: Process) -> bool {
        self.state.borrow().stopped.contains(&process)
    }

    /// Ends a task that is not the one that runs.
    pub(crate) fn end_task(&self, id: TaskId) {
        let ended = self.state.borrow_mut().tasks.remove(&id);
        drop(ended);
    }

    /// kill -9; never the process that runs.
    pub(crate) fn kill(&self, process: Process) {
        let mut state = self.state.borrow_mut();
        state.stopped.remove(&process);
        let mine = |task: &Task| task.process == process;
        let ids: Vec<_> =
            state.tasks.iter().filter(|(_, task)| mine(task)).map(|(id, _)| *id).collect();
        let ended: Vec<_> = ids.iter().filter_map(|id| state.tasks.remove(id)).collect();
        drop(state);
        drop(ended);
    }

    /// Nothing more runs.
    pub(crate) fn halt(&self) {
        self.halted.set(true);
    }

    /// Runs until halted or until nothing is left to do; false when it does not end.
    pub(crate) fn run(&self) -> bool {
        let mut steps = 0;
        while !self.halted.get() {
            let Some(id) = self.next_task() else { return true };
            let body = {
                let mut state = self.state.borrow_mut();
                let state = &mut *state;
                let Some(task) = state.tasks.get_mut(&id) else { continue };
                if state.stopped.contains(&task.process) {
                    state.held.insert((task.process, id));
                    continue;
                }
                state.current = id;
                task.body.take()
            };
            let Some(mut body) = body else { continue };
            steps += 1;
            if steps > STEPS_MAX {
                return false;
            }
            let done = body.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
            let mut state = self.state.borrow_mut();
            if done {
                state.tasks.remove(&id);
            } else if let Some(task) = state.tasks.get_mut(&id) {
                task.body = Some(body);
            }
        }
        true
    }

    /// Drops all that is left: bodies hold handles to the engine.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut self.state.borrow_mut().tasks);
        drop(tasks);
    }

    fn next_task(&self) -> Option<TaskId> {
        let mut state = self.state.borrow_mut();
        if let Some(id) = state.ready.pop_front() {
            return Some(id);
        }
        let Reverse((at, _, id)) = state.timers.pop()?;
        state.now = state.now.max(at);
        Some(id)
    }

    fn wake_at(&self, at: Micros) {
        let mut state = self.state.borrow_mut();
        state.last += 1;
        let entry = Reverse((at, state.last, state.current));
        state.timers.push(entry);
    }

    fn current(&self) -> TaskId {
        self.state.borrow().current
    }

    pub(crate) async fn sleep(&self, time: Micros) {
        let until = self.now() + time;
        let mut set = false;
        poll_fn(|_| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut set, true) {
                self.wake_at(until);
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits until `ready` gives something, asked whenever one of `waiters` is woken; None
    /// at `until`.
    pub(crate) async fn wait<T>(
        &self,
        until: Option<Micros>,
        mut ready: impl FnMut(TaskId) -> Option<T>,
    ) -> Option<T> {
        let mut set = false;
        poll_fn(|_| {
            if let Some(value) = ready(self.current()) {
                return Poll::Ready(Some(value));
            }
            if let Some(until) = until {
                if self.now() >= until {
                    return Poll::Ready(None);
                }
                if !std::mem::replace(&mut set, true) {
                    self.wake_at(until);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// An unbounded queue with one reader; a run is bounded as a whole.
pub(crate) struct Mailbox<T> {
    engine: Engine,
    queue: Rc<RefCell<(VecDeque<T>, Option<TaskId>)>>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { engine: self.engine.clone(), queue: self.queue.clone() }
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), queue: Rc::new(RefCell::new((VecDeque::new(), None))) }
    }

    pub(crate) fn send(&self, value: T) {
        let reader = {
            let mut queue = self.queue.borrow_mut();
            queue.0.push_back(value);
            queue.1.take()
        };
        if let Some(reader) = reader {
            self.engine.wake(reader);
        }
    }

    pub(crate) async fn receive(&self) -> T {
        loop {
            if let Some(value) = self.receive_until(None).await {
                return value;
            }
        }
    }

    /// None at `until`.
    pub(crate) async fn receive_until(&self, until: Option<Micros>) -> Option<T> {
        self.engine
            .wait(until, |task| {
                let mut queue = self.queue.borrow_mut();
                let value = queue.0.pop_front();
                queue.1 = value.is_none().then_some(task);
                value
            })
            .await
    }
}
