//! The guard of one database: whether writers check locks. Pure, in two parts: [`Guard`] is
//! the cluster's (one controller steps it and publishes the state in the catalog),
//! [`WriteLedger`] is one proxy's, and says when that proxy may acknowledge a state.
//!
//! Checks cost, so they are sent only while they can matter. They matter from the first
//! distributed write on, so that waits until no proxy can have an unchecked write on its way:
//! each has acknowledged, or is fenced, which kills what it had sent.

use super::rules::{Rule, Rules};
use shardline_model::id::{ProxyId, ShardId};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

pub use shardline_model::guard::GuardState;

/// How long without a distributed write before the guard goes off.
pub const IDLE_AFTER: Duration = Duration::from_secs(3_600);
/// How long a distributed write waits for the guard, before 1205. Longer would only add to
/// the wait: a proxy that cannot acknowledge may be waiting for this transaction's row locks.
pub const WANT_PATIENCE: Duration = Duration::from_secs(2);

/// What the driver of the controller is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write the state to the catalog, one epoch -> [`Event::Published`].
    Publish(GuardState),
    /// Count the shard's `branch` rows in the state PREPARED, and its `rlock` rows ->
    /// [`Event::Left`].
    CountLeft(ShardId),
    /// [`Event::Time`] is wanted at this time.
    WakeAt(Instant),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A proxy has a distributed write, or had one lately (proxies repeat it every minute).
    Wanted,
    /// The state is in the catalog; these proxies hold leases, or held one and are not fenced.
    Published(BTreeSet<ProxyId>),
    /// The proxy has acknowledged the epoch of the published state.
    Acknowledged(ProxyId),
    /// The proxy is fenced on every shard.
    Fenced(ProxyId),
    /// So many rows are left on the shard; None: it did not answer.
    Left(ShardId, Option<u64>),
    /// Time has passed.
    Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Off,
    Raising {
        pending: Option<BTreeSet<ProxyId>>,
    },
    On,
    /// Back to On as soon as the catalog says so.
    Returning,
    Lowering {
        pending: Option<BTreeSet<ProxyId>>,
    },
    Counting {
        shards: BTreeSet<ShardId>,
    },
    /// Off as soon as the catalog says so.
    Clearing,
}

/// The cluster's part. A new controller starts from the published state: [`Guard::resume`].
#[derive(Debug)]
pub struct Guard {
    phase: Phase,
    wanted: bool,
    used: Instant,
    shards: BTreeSet<ShardId>,
    rules: Rules,
}

impl Guard {
    /// Takes over from the state in the catalog. What was under way begins again.
    pub fn resume(
        now: Instant,
        state: GuardState,
        shards: impl IntoIterator<Item = ShardId>,
        rules: Rules,
    ) -> (Self, Vec<Command>) {
        let phase = match state {
            GuardState::Off => Phase::Off,
            GuardState::Raising => Phase::Raising { pending: None },
            GuardState::On => Phase::On,
            // Writers still check, so going back is always right.
            GuardState::Lowering => Phase::Returning,
        };
        let commands = match state {
            GuardState::Off => Vec::new(),
            GuardState::Raising => vec![Command::Publish(GuardState::Raising)],
            GuardState::On => vec![Command::WakeAt(now + IDLE_AFTER)],
            GuardState::Lowering => vec![Command::Publish(GuardState::On)],
        };
        let shards = shards.into_iter().collect();
        (Self { phase, wanted: false, used: now, shards, rules }, commands)
    }

    /// One step.
    pub fn step(&mut self, now: Instant, event: Event) -> Vec<Command> {
        match event {
            Event::Wanted => self.wanted(now),
            Event::Published(proxies) => self.published(now, proxies),
            Event::Acknowledged(proxy) | Event::Fenced(proxy) => self.settled(now, proxy),
            Event::Left(shard, rows) => self.counted(shard, rows),
            Event::Time => self.time(now),
        }
    }

    fn wanted(&mut self, now: Instant) -> Vec<Command> {
        self.used = now;
        match self.phase {
            Phase::Off => {
                self.phase = Phase::Raising { pending: None };
                vec![Command::Publish(GuardState::Raising)]
            }
            Phase::Raising { .. } | Phase::On | Phase::Returning => Vec::new(),
            Phase::Lowering { .. } | Phase::Counting { .. } => self.return_to_on(),
            Phase::Clearing => {
                self.wanted = true;
                Vec::new()
            }
        }
    }

    fn published(&mut self, now: Instant, proxies: BTreeSet<ProxyId>) -> Vec<Command> {
        match &mut self.phase {
            Phase::Raising { pending } | Phase::Lowering { pending } if pending.is_none() => {
                *pending = Some(proxies);
                self.advance(now)
            }
            Phase::Returning => {
                self.phase = Phase::On;
                vec![Command::WakeAt(self.used + IDLE_AFTER)]
            }
            Phase::Clearing => {
                self.phase = Phase::Off;
                if std::mem::take(&mut self.wanted) { self.wanted(now) } else { Vec::new() }
            }
            Phase::Raising { .. }
            | Phase::Lowering { .. }
            | Phase::Off
            | Phase::On
            | Phase::Counting { .. } => Vec::new(),
        }
    }

    fn settled(&mut self, now: Instant, proxy: ProxyId) -> Vec<Command> {
        match &mut self.phase {
            Phase::Raising { pending: Some(pending) }
            | Phase::Lowering { pending: Some(pending) } => {
                pending.remove(&proxy);
                self.advance(now)
            }
            Phase::Raising { pending: None }
            | Phase::Lowering { pending: None }
            | Phase::Off
            | Phase::On
            | Phase::Returning
            | Phase::Counting { .. }
            | Phase::Clearing => Vec::new(),
        }
    }

    fn advance(&mut self, now: Instant) -> Vec<Command> {
        let all = !self.rules.keeps(Rule::GuardAfterAcknowledgement);
        match &self.phase {
            Phase::Raising { pending: Some(pending) } if all || pending.is_empty() => {
                self.used = now;
                self.return_to_on()
            }
            Phase::Lowering { pending: Some(pending) } if pending.is_empty() => {
                let shards = self.shards.clone();
                let commands = shards.iter().map(|shard| Command::CountLeft(*shard)).collect();
                self.phase = Phase::Counting { shards };
                commands
            }
            Phase::Raising { .. }
            | Phase::Lowering { .. }
            | Phase::Off
            | Phase::On
            | Phase::Returning
            | Phase::Counting { .. }
            | Phase::Clearing => Vec::new(),
        }
    }

    fn return_to_on(&mut self) -> Vec<Command> {
        self.phase = Phase::Returning;
        vec![Command::Publish(GuardState::On)]
    }

    /// Only when nothing is left anywhere may writers stop checking.
    fn counted(&mut self, shard: ShardId, rows: Option<u64>) -> Vec<Command> {
        let Phase::Counting { shards } = &mut self.phase else { return Vec::new() };
        if rows != Some(0) {
            return self.return_to_on();
        }
        shards.remove(&shard);
        if !shards.is_empty() {
            return Vec::new();
        }
        self.phase = Phase::Clearing;
        vec![Command::Publish(GuardState::Off)]
    }

    fn time(&mut self, now: Instant) -> Vec<Command> {
        let due = self.used + IDLE_AFTER;
        match self.phase {
            Phase::On if now >= due => {
                self.phase = Phase::Lowering { pending: None };
                vec![Command::Publish(GuardState::Lowering)]
            }
            Phase::On => vec![Command::WakeAt(due)],
            Phase::Off
            | Phase::Raising { .. }
            | Phase::Returning
            | Phase::Lowering { .. }
            | Phase::Counting { .. }
            | Phase::Clearing => Vec::new(),
        }
    }
}

/// One proxy's part, for one database: which writes are on their way, and whether the
/// catalog's state may be acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteLedger {
    unchecked: u64,
    distributed: u64,
}

/// What a write was begun as. Every one is ended by [`WriteLedger::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// A statement that was sent without the check: until its answer (or the end of its
    /// connection on the server) is seen.
    Unchecked,
    /// A transaction that has written on a second shard: until it is finished.
    Distributed,
}

impl WriteLedger {
    /// A write begins.
    pub fn begin(&mut self, kind: WriteKind) {
        match kind {
            WriteKind::Unchecked => self.unchecked += 1,
            WriteKind::Distributed => self.distributed += 1,
        }
    }

    /// A write has ended.
    pub fn end(&mut self, kind: WriteKind) {
        match kind {
            WriteKind::Unchecked => self.unchecked = self.unchecked.saturating_sub(1),
            WriteKind::Distributed => self.distributed = self.distributed.saturating_sub(1),
        }
    }

    /// Whether an epoch with this state may be acknowledged, given that every write that
    /// begins from now on goes by it.
    pub fn may_acknowledge(self, state: GuardState) -> bool {
        match state {
            GuardState::Off => true,
            GuardState::Raising | GuardState::On => self.unchecked == 0,
            GuardState::Lowering => self.unchecked == 0 && self.distributed == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXIES: [ProxyId; 2] = [ProxyId(1), ProxyId(2)];
    const SHARDS: [ShardId; 2] = [ShardId(1), ShardId(2)];

    fn on(now: Instant) -> Guard {
        let (mut guard, none) = Guard::resume(now, GuardState::Off, SHARDS, Rules::default());
        assert!(none.is_empty());
        assert_eq!(guard.step(now, Event::Wanted), [Command::Publish(GuardState::Raising)]);
        assert!(guard.step(now, Event::Published(PROXIES.into())).is_empty());
        assert!(guard.step(now, Event::Acknowledged(PROXIES[0])).is_empty());
        let end = guard.step(now, Event::Fenced(PROXIES[1]));
        assert_eq!(end, [Command::Publish(GuardState::On)]);
        guard.step(now, Event::Published(PROXIES.into()));
        guard
    }

    #[test]
    fn it_goes_off_when_idle_and_nothing_is_left() {
        let now = Instant::now();
        for left in [Some(0), Some(1), None] {
            let mut guard = on(now);
            let idle = now + IDLE_AFTER;
            let lowering = guard.step(idle, Event::Time);
            assert_eq!(lowering, [Command::Publish(GuardState::Lowering)]);
            assert!(guard.step(idle, Event::Published([PROXIES[0]].into())).is_empty());
            let counts = guard.step(idle, Event::Acknowledged(PROXIES[0]));
            assert_eq!(counts, SHARDS.map(Command::CountLeft));
            assert!(guard.step(idle, Event::Left(SHARDS[0], Some(0))).is_empty());
            let state = if left == Some(0) { GuardState::Off } else { GuardState::On };
            assert_eq!(guard.step(idle, Event::Left(SHARDS[1], left)), [Command::Publish(state)]);
        }
    }

    #[test]
    fn a_write_in_between_keeps_it_on() {
        let now = Instant::now();
        let mut guard = on(now);
        let idle = now + IDLE_AFTER;
        guard.step(idle, Event::Time);
        assert_eq!(guard.step(idle, Event::Wanted), [Command::Publish(GuardState::On)]);
        guard.step(idle, Event::Published(PROXIES.into()));
        assert!(guard.step(idle, Event::Time).iter().all(|c| matches!(c, Command::WakeAt(_))));
    }

    #[test]
    fn a_proxy_acknowledges_when_nothing_unchecked_is_on_its_way() {
        let mut ledger = WriteLedger::default();
        ledger.begin(WriteKind::Unchecked);
        assert!(!ledger.may_acknowledge(GuardState::Raising));
        ledger.end(WriteKind::Unchecked);
        ledger.begin(WriteKind::Distributed);
        assert!(ledger.may_acknowledge(GuardState::Raising));
        assert!(!ledger.may_acknowledge(GuardState::Lowering));
    }
}
