//! Fencing of one dead incarnation: afterwards, on each shard, no connection of it can do
//! anything any more. Pure. Each incarnation has its own account on the servers, so this
//! needs no clock and costs live proxies nothing.
//!
//! It begins when the metadata service has ended the lease, for good. On each shard by
//! itself: the account is locked (no new connections), its connections are killed until
//! none is left (a connection that is committing is killed only after its commit, so
//! "killed" is not "gone"), and then the `dead_incarnation` row is written: the proof, and
//! what a process reads that wakes up late and makes its account again.

use super::xid::Incarnation;
use shardline_model::id::ShardId;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The pause before a shard is tried again.
pub const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the driver is to do, with the supervisor's account. Each is answered by one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `ALTER USER ... ACCOUNT LOCK` (or no such account) -> [`Event::Locked`].
    LockAccount(ShardId),
    /// Kill all connections of the account, then count them, and those that are still
    /// logging in, in the process list -> [`Event::Remaining`].
    KillConnections(ShardId),
    /// Insert the `dead_incarnation` row -> [`Event::MarkedDead`].
    MarkDead(ShardId),
    /// [`Event::Time`] is wanted at this time.
    WakeAt(Instant),
    /// Fenced on every shard.
    Finish,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// First, once; the lease is over.
    Begin,
    /// The account is locked there.
    Locked(ShardId),
    /// So many connections of it are left there.
    Remaining(ShardId, u32),
    /// The row is there, durable.
    MarkedDead(ShardId),
    /// The shard did not do what was asked.
    Failed(ShardId),
    /// Time has passed.
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Locking,
    Killing,
    Marking,
    Fenced,
    /// To be tried again from the beginning.
    Waiting(Instant),
    /// To be killed again.
    Remaining(Instant),
}

/// The machine. See the file's head.
#[derive(Debug)]
pub struct Fencing {
    incarnation: Incarnation,
    shards: BTreeMap<ShardId, Step>,
}

impl Fencing {
    /// Fences an incarnation on all shards of the catalog. A shard that is added later never
    /// had its account.
    pub fn new(incarnation: Incarnation, shards: impl IntoIterator<Item = ShardId>) -> Self {
        Self { incarnation, shards: shards.into_iter().map(|id| (id, Step::Locking)).collect() }
    }

    /// Who is fenced.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether it is fenced on every shard.
    pub fn is_complete(&self) -> bool {
        self.shards.values().all(|step| *step == Step::Fenced)
    }

    /// One step.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Command> {
        match event {
            Event::Begin if self.shards.is_empty() => vec![Command::Finish],
            Event::Begin => self.shards.keys().map(|shard| Command::LockAccount(*shard)).collect(),
            Event::Locked(shard) => {
                self.advance(shard, Step::Locking, Step::Killing, Command::KillConnections(shard))
            }
            Event::Remaining(shard, 0) => {
                self.advance(shard, Step::Killing, Step::Marking, Command::MarkDead(shard))
            }
            Event::Remaining(shard, _) => {
                let at = now + RETRY_PAUSE;
                self.advance(shard, Step::Killing, Step::Remaining(at), Command::WakeAt(at))
            }
            Event::MarkedDead(shard) => match self.shards.get_mut(&shard) {
                Some(step) if *step == Step::Marking => {
                    *step = Step::Fenced;
                    if self.is_complete() { vec![Command::Finish] } else { Vec::new() }
                }
                Some(_) | None => Vec::new(),
            },
            Event::Failed(shard) => match self.shards.get_mut(&shard) {
                Some(Step::Fenced) | None => Vec::new(),
                Some(step) => {
                    *step = Step::Waiting(now + RETRY_PAUSE);
                    self.wake()
                }
            },
            Event::Time => self.time(now),
        }
    }

    fn advance(&mut self, shard: ShardId, from: Step, to: Step, command: Command) -> Vec<Command> {
        match self.shards.get_mut(&shard) {
            Some(step) if *step == from => {
                *step = to;
                vec![command]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn time(&mut self, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        for (shard, step) in &mut self.shards {
            match *step {
                // The server may be another one by now, so the account is locked again.
                Step::Waiting(at) if now >= at => {
                    *step = Step::Locking;
                    commands.push(Command::LockAccount(*shard));
                }
                Step::Remaining(at) if now >= at => {
                    *step = Step::Killing;
                    commands.push(Command::KillConnections(*shard));
                }
                Step::Waiting(_)
                | Step::Remaining(_)
                | Step::Locking
                | Step::Killing
                | Step::Marking
                | Step::Fenced => {}
            }
        }
        commands.extend(self.wake());
        commands
    }

    fn wake(&self) -> Vec<Command> {
        let waiting = self.shards.values().filter_map(|step| match step {
            Step::Waiting(at) | Step::Remaining(at) => Some(*at),
            Step::Locking | Step::Killing | Step::Marking | Step::Fenced => None,
        });
        waiting.min().map(Command::WakeAt).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_goes_from_locked_to_killed_to_marked() {
        let (now, shards) = (Instant::now(), [ShardId(1), ShardId(2)]);
        let mut fencing = Fencing::new(Incarnation(9), shards);
        assert_eq!(fencing.step(now, Event::Begin), shards.map(Command::LockAccount));
        for shard in shards {
            let kill = [Command::KillConnections(shard)];
            assert_eq!(fencing.step(now, Event::Locked(shard)), kill);
            let later = now + RETRY_PAUSE;
            assert_eq!(fencing.step(now, Event::Remaining(shard, 2)), [Command::WakeAt(later)]);
            assert_eq!(fencing.step(later, Event::Time), kill);
            assert_eq!(fencing.step(now, Event::Remaining(shard, 0)), [Command::MarkDead(shard)]);
            assert!(!fencing.is_complete());
            let end = fencing.step(now, Event::MarkedDead(shard));
            assert_eq!(end == [Command::Finish], shard == shards[1]);
        }
        assert!(fencing.is_complete());
    }

    #[test]
    fn a_shard_that_fails_begins_again_and_stale_answers_change_nothing() {
        let (now, shard) = (Instant::now(), ShardId(1));
        let mut fencing = Fencing::new(Incarnation(9), [shard]);
        fencing.step(now, Event::Begin);
        fencing.step(now, Event::Locked(shard));
        assert_eq!(fencing.step(now, Event::Failed(shard)), [Command::WakeAt(now + RETRY_PAUSE)]);
        assert!(fencing.step(now, Event::Remaining(shard, 0)).is_empty());
        assert!(fencing.step(now, Event::MarkedDead(shard)).is_empty());
        let again = fencing.step(now + RETRY_PAUSE, Event::Time);
        assert_eq!(again, [Command::LockAccount(shard)]);
    }
}
