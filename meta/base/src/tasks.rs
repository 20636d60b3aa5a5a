//! A group of tasks with names, started by one parent that waits for all of them. What
//! happens when a task ends is its [`Policy`]; no task is ever forgotten.

use crate::Shutdown;
use parking_lot::Mutex;
use std::{borrow::Cow, collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use tokio::{runtime::Handle, task::AbortHandle};
use tokio_util::task::TaskTracker;

/// What the end of a task means to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The group cannot go on without it: when it ends or panics before the group was
    /// told to stop, the group is told to stop.
    Essential,
    /// Its end concerns nobody else (a session). A panic is logged and stays its own.
    Isolated,
}

/// A group of named tasks below one [`Shutdown`] node. Dropping the group stops and
/// aborts what still runs.
#[derive(Debug)]
pub struct Tasks {
    group: Arc<Group>,
}

#[derive(Debug)]
struct Group {
    name: &'static str,
    shutdown: Shutdown,
    tracker: TaskTracker,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    /// The handle is absent in the short time between the spawn and its registration.
    tasks: BTreeMap<u64, (Cow<'static, str>, Option<AbortHandle>)>,
}

impl Tasks {
    /// A group whose shutdown node is a child of `parent`.
    pub fn new(name: &'static str, parent: &Shutdown) -> Self {
        Self {
            group: Arc::new(Group {
                name,
                shutdown: parent.child(),
                tracker: TaskTracker::new(),
                running: Mutex::default(),
            }),
        }
    }

    /// The group's own shutdown node; tasks take a clone or a child of it.
    pub fn shutdown(&self) -> &Shutdown {
        &self.group.shutdown
    }

    /// Starts a task on the current runtime.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, policy: Policy, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_on(&Handle::current(), name, policy, work);
    }

    /// Starts a task on another runtime.
    pub fn spawn_on<F>(
        &self,
        runtime: &Handle,
        name: impl Into<Cow<'static, str>>,
        policy: Policy,
        work: F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.group.register(name.into());
        let ending = Ending { group: self.group.clone(), id, policy, finished: false };
        // Boxed: an async block would keep room for it twice.
        let work = Box::pin(work);
        let task = async move {
            work.await;
            ending.finish();
        };
        let task = self.group.tracker.spawn_on(task, runtime);
        // The entry is gone already when the task was faster than this line.
        if let Some(entry) = self.group.running.lock().tasks.get_mut(&id) {
            entry.1 = Some(task.abort_handle());
        }
    }

    /// How many tasks have not ended.
    pub fn len(&self) -> usize {
        self.group.tracker.len()
    }

    /// Whether every task has ended.
    pub fn is_empty(&self) -> bool {
        self.group.tracker.is_empty()
    }

    /// Tells the tasks to stop and waits for all of them, however long that takes.
    pub async fn stop(&self) {
        self.group.shutdown.trigger();
        self.group.tracker.close();
        self.group.tracker.wait().await;
    }

    /// Tells the tasks to stop and waits for at most `limit`. Those that are still running
    /// then are named in the log, aborted, waited for and returned by name.
    pub async fn stop_within(&self, limit: Duration) -> Vec<String> {
        if tokio::time::timeout(limit, self.stop()).await.is_ok() {
            return Vec::new();
        }
        let stragglers = self.group.abort_all();
        let group = self.group.name;
        tracing::warn!(group, ?stragglers, limit_ms = limit.as_millis() as u64, "tasks aborted");
        self.group.tracker.wait().await;
        stragglers
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.group.shutdown.trigger();
        self.group.abort_all();
    }
}

impl Group {
    fn register(&self, name: Cow<'static, str>) -> u64 {
        let mut running = self.running.lock();
        running.next += 1;
        let id = running.next;
        running.tasks.insert(id, (name, None));
        id
    }

    fn abort_all(&self) -> Vec<String> {
        let running = self.running.lock();
        let named = running.tasks.values().map(|(name, handle)| {
            if let Some(handle) = handle {
                handle.abort();
            }
            name.to_string()
        });
        named.collect()
    }
}

/// Runs when a task's future is dropped: after its end, its panic or its abort.
struct Ending {
    group: Arc<Group>,
    id: u64,
    policy: Policy,
    finished: bool,
}

impl Ending {
    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let entry = self.group.running.lock().tasks.remove(&self.id);
        let task = entry.map(|(name, _)| name).unwrap_or_default();
        let group = self.group.name;
        let panicked = !self.finished && std::thread::panicking();
        if panicked {
            tracing::error!(group, %task, "task panicked");
        }
        if self.policy == Policy::Essential && !self.group.shutdown.is_triggered() {
            if !panicked {
                tracing::warn!(group, %task, "essential task ended, stopping its group");
            }
            self.group.shutdown.trigger();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_essential_task_that_panics_stops_the_group_and_an_isolated_one_does_not() {
        let root = Shutdown::new();
        let tasks = Tasks::new("test", &root);
        tasks.spawn("isolated", Policy::Isolated, async { panic!("on purpose") });
        let stop = tasks.shutdown().clone();
        tasks.spawn("waits", Policy::Isolated, async move { stop.triggered().await });
        tokio::task::yield_now().await;
        assert!(!tasks.shutdown().is_triggered());
        tasks.spawn("essential", Policy::Essential, async { panic!("on purpose") });
        tasks.shutdown().triggered().await;
        tasks.stop().await;
        assert!(tasks.is_empty());
        assert!(!root.is_triggered());
    }

    #[tokio::test]
    async fn stragglers_are_named_and_aborted() {
        let tasks = Tasks::new("test", &Shutdown::new());
        tasks.spawn("session 7", Policy::Isolated, std::future::pending());
        let stragglers = tasks.stop_within(Duration::from_millis(5)).await;
        assert_eq!(stragglers, ["session 7"]);
        assert_eq!(tasks.len(), 0);
    }

    #[tokio::test]
    async fn dropping_the_group_ends_its_tasks() {
        let tasks = Tasks::new("test", &Shutdown::new());
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("holds", Policy::Essential, async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        tokio::task::yield_now().await;
        drop(tasks);
        assert!(receiver.await.is_err());
    }
}
