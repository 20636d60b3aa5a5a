//! Leases, and the supervisor that fences and sweeps incarnations whose lease is over.

use crate::{
    engine::{MS, Mailbox, Micros, Process},
    guard::Catalog,
    network::Network,
    oracle::Oracle,
    packet::{Packet, Reply},
};
use shardline_model::id::ShardId;
use shardline_proxy::txn::{
    fencing::{self, Fencing},
    rules::Rules,
    sweep::{self, Sweep},
    xid::Incarnation,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::{Duration, Instant},
};

/// A proxy that is silent so long has lost its lease.
pub(crate) const LEASE: Micros = 1_200 * MS;

/// How often the guard is lowered at one look around.
const LOWERED_PER_MILLE: u64 = 15;

#[derive(Default)]
pub(crate) struct Leases {
    /// When each incarnation was last seen.
    pub seen: BTreeMap<Incarnation, Micros>,
    pub over: BTreeSet<Incarnation>,
    pub fenced: BTreeMap<Incarnation, Instant>,
    pub swept: BTreeSet<Incarnation>,
}

#[derive(Clone)]
pub(crate) struct Supervisor {
    pub network: Network,
    pub oracle: Oracle,
    pub catalog: Catalog,
    pub leases: Rc<RefCell<Leases>>,
    pub process: Process,
    pub rules: Rules,
    /// How far the supervisor's clock is ahead of the run's.
    pub ahead: Rc<Cell<Duration>>,
}

impl Supervisor {
    pub(crate) async fn run(self) {
        let mut started = BTreeSet::new();
        loop {
            self.network.engine.sleep(100 * MS).await;
            let (over, all) = {
                let leases = self.leases.borrow();
                let over: Vec<_> = leases
                    .over
                    .iter()
                    .filter(|one| !leases.fenced.contains_key(one))
                    .copied()
                    .collect();
                (over, leases.seen.keys().copied().collect::<Vec<_>>())
            };
            for incarnation in over {
                if started.insert(incarnation) {
                    let one = self.clone();
                    self.network
                        .engine
                        .spawn(self.process, async move { one.fence(incarnation).await });
                }
            }
            for incarnation in all {
                self.sweep(incarnation).await;
            }
            if self.network.engine.per_mille(LOWERED_PER_MILLE) {
                self.catalog.lower(self.process, &self.network).await;
            }
        }
    }

    async fn fence(&self, incarnation: Incarnation) {
        let engine = &self.network.engine;
        let shards = self.network.servers.iter().map(|server| server.id);
        let mut machine = Fencing::new(incarnation, shards);
        let events = Mailbox::new(engine);
        events.send(fencing::Event::Begin);
        let mut wake = None;
        loop {
            let event = events.receive_until(wake).await;
            let event = event.unwrap_or_else(|| {
                wake = None;
                fencing::Event::Time
            });
            for command in machine.step(engine.instant(), event) {
                let (one, events) = (self.clone(), events.clone());
                let ask = async move |shard: ShardId, packet: Packet, done: fencing::Event| {
                    let reply = one.network.control(one.process, shard, packet).await;
                    events.send(match reply {
                        Some(Reply::Done) => done,
                        Some(Reply::Count(left)) => fencing::Event::Remaining(shard, left as u32),
                        Some(_) | None => fencing::Event::Failed(shard),
                    });
                };
                match command {
                    fencing::Command::WakeAt(at) => wake = Some(engine.micros(at)),
                    fencing::Command::Finish => {
                        self.leases.borrow_mut().fenced.insert(incarnation, engine.instant());
                        self.oracle.truth(|truth| truth.counts.fenced += 1);
                        self.catalog.fenced(incarnation);
                        return;
                    }
                    fencing::Command::LockAccount(shard) => {
                        let packet = Packet::LockAccount(incarnation);
                        engine.spawn(self.process, async move {
                            ask(shard, packet, fencing::Event::Locked(shard)).await
                        });
                    }
                    fencing::Command::KillConnections(shard) => {
                        let packet = Packet::KillConnections(incarnation);
                        let done = fencing::Event::Failed(shard);
                        engine.spawn(self.process, async move { ask(shard, packet, done).await });
                    }
                    fencing::Command::MarkDead(shard) => {
                        let packet = Packet::MarkDead(incarnation);
                        engine.spawn(self.process, async move {
                            ask(shard, packet, fencing::Event::MarkedDead(shard)).await
                        });
                    }
                }
            }
        }
    }

    async fn sweep(&self, incarnation: Incarnation) {
        let engine = &self.network.engine;
        if self.leases.borrow().swept.contains(&incarnation) {
            return;
        }
        let fenced = self.leases.borrow().fenced.get(&incarnation).copied();
        let shards = self.network.servers.iter().map(|server| server.id);
        let mut machine = Sweep::new(incarnation, shards, fenced, self.rules);
        let now = engine.instant() + self.ahead.get();
        let mut commands = machine.step(now, sweep::Event::Begin);
        while let Some(command) = commands.pop() {
            let event = match command {
                sweep::Command::CountBranches(shard) => {
                    match self
                        .network
                        .control(self.process, shard, Packet::CountBranches(incarnation))
                        .await
                    {
                        Some(Reply::Count(left)) => sweep::Event::Branches(shard, left),
                        Some(_) | None => sweep::Event::Failed(shard),
                    }
                }
                sweep::Command::Sweep { shard, below } => {
                    let packet = Packet::Sweep { incarnation, below };
                    match self.network.control(self.process, shard, packet).await {
                        Some(Reply::Done) => sweep::Event::Swept(shard),
                        Some(_) | None => sweep::Event::Failed(shard),
                    }
                }
                sweep::Command::Finish(swept) => {
                    if swept == sweep::Swept::Clean && fenced.is_some() {
                        self.leases.borrow_mut().swept.insert(incarnation);
                        self.oracle.truth(|truth| truth.counts.swept += 1);
                    }
                    return;
                }
            };
            commands.extend(machine.step(now, event));
        }
    }
}
