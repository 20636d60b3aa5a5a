//! The metadata service's catalog with its one guard, and how proxies learn of it, late:
//! each statement holds the version that it began with, and what is acknowledged is the
//! oldest that one holds.

use crate::{
    engine::{Engine, MS, Process, SECOND},
    network::Network,
    packet::{Packet, Reply},
    proxy::Proxy,
};
use shardline_model::id::{Epoch, ProxyId};
use shardline_proxy::txn::{
    guard::{Guard, GuardState, Holder, Next, Observation, WANT_PATIENCE, next},
    rules::Rules,
    xid::Incarnation,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

type Version = (Epoch, GuardState);

#[derive(Default)]
struct State {
    epoch: Epoch,
    guard: Option<Guard>,
    proxies: BTreeMap<Incarnation, Known>,
    /// Their leases are over, and they are not fenced.
    ended: BTreeSet<Incarnation>,
}

/// One live proxy: what it knows and does, and what it has acknowledged.
#[derive(Default)]
struct Known {
    version: Version,
    held: BTreeMap<Epoch, u32>,
    acknowledged: Option<Epoch>,
}

#[derive(Clone)]
pub(crate) struct Catalog {
    engine: Engine,
    state: Rc<RefCell<State>>,
    rules: Rules,
}

/// The version that a statement goes by until its answer.
pub(crate) struct Held {
    catalog: Catalog,
    incarnation: Incarnation,
    version: Version,
}

impl Held {
    pub(crate) fn guard(&self) -> GuardState {
        self.version.1
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.catalog.state.borrow_mut();
        if let Some(known) = state.proxies.get_mut(&self.incarnation)
            && let Some(count) = known.held.get_mut(&self.version.0)
        {
            *count -= 1;
            known.held.retain(|_, count| *count > 0);
        }
    }
}

impl Catalog {
    pub(crate) fn new(engine: &Engine, rules: Rules) -> Self {
        Self { engine: engine.clone(), state: Rc::default(), rules }
    }

    fn version(&self) -> Version {
        let state = self.state.borrow();
        (state.epoch, state.guard.map_or(GuardState::Off, |guard| guard.state))
    }

    /// A new lease begins with a catalog that is no older than it.
    pub(crate) fn join(&self, incarnation: Incarnation) {
        let version = self.version();
        let known = Known { version, ..Known::default() };
        self.state.borrow_mut().proxies.insert(incarnation, known);
    }

    /// Its lease is over.
    pub(crate) fn ended(&self, incarnation: Incarnation) {
        self.state.borrow_mut().ended.insert(incarnation);
    }

    pub(crate) fn fenced(&self, incarnation: Incarnation) {
        let mut state = self.state.borrow_mut();
        state.proxies.remove(&incarnation);
        state.ended.remove(&incarnation);
    }

    /// What a statement that begins now goes by.
    pub(crate) fn hold(&self, incarnation: Incarnation) -> Held {
        let mut state = self.state.borrow_mut();
        let mut version = Version::default();
        if let Some(known) = state.proxies.get_mut(&incarnation) {
            version = known.version;
            *known.held.entry(version.0).or_default() += 1;
        }
        Held { catalog: self.clone(), incarnation, version }
    }

    /// Raises the guard for a proxy that wants to write on several shards.
    pub(crate) async fn raise(&self, process: Process, network: &Network) {
        let deadline = self.engine.now() + WANT_PATIENCE.as_micros() as u64;
        while self.engine.now() < deadline {
            if self.step(process, network, true, false).await == Next::Stay {
                return;
            }
            self.engine.sleep(20 * MS).await;
        }
    }

    /// Lowers it, as a janitor does that finds it idle; whether it is makes no difference.
    pub(crate) async fn lower(&self, process: Process, network: &Network) {
        for _ in 0..50 {
            if self.step(process, network, false, true).await == Next::Stay {
                return;
            }
            self.engine.sleep(20 * MS).await;
        }
    }

    /// One look and what follows from it.
    async fn step(&self, process: Process, network: &Network, wanted: bool, idle: bool) -> Next {
        let guard = self.state.borrow().guard;
        self.engine.sleep(self.engine.between(MS, 20 * MS)).await;
        let (holders, unfenced) = self.leases();
        self.engine.sleep(self.engine.between(MS, 20 * MS)).await;
        let mut seen = Observation { guard, holders: &holders, unfenced, wanted, idle, left: None };
        let mut step = next(&seen, self.rules);
        if step == Next::Count {
            seen.left = self.count(process, network).await;
            step = next(&seen, self.rules);
        }
        if let Next::Change(to) = step {
            self.engine.sleep(self.engine.between(MS, 20 * MS)).await;
            self.change(guard, to);
        }
        step
    }

    fn leases(&self) -> (Vec<Holder>, Option<Incarnation>) {
        let state = self.state.borrow();
        let live = state.proxies.iter().filter(|(one, _)| !state.ended.contains(one));
        let holders = live.map(|(incarnation, known)| Holder {
            proxy: ProxyId(incarnation.0 as u32),
            acknowledged: known.acknowledged,
        });
        (holders.collect(), state.ended.first().copied())
    }

    async fn count(&self, process: Process, network: &Network) -> Option<u64> {
        let mut left = 0;
        for server in network.servers.iter() {
            match network.control(process, server.id, Packet::CountLeft).await {
                Some(Reply::Count(count)) => left += count,
                Some(_) | None => return None,
            }
        }
        Some(left)
    }

    fn change(&self, from: Option<Guard>, to: GuardState) {
        let mut state = self.state.borrow_mut();
        if state.guard != from {
            return;
        }
        state.epoch.0 += 1;
        let since = state.epoch;
        state.guard = (to != GuardState::Off).then_some(Guard { state: to, since });
        self.engine.log(|| format!("guard is {to} since {since}"));
    }

    /// A proxy's watch: it sees changes late, and acknowledges what it may.
    pub(crate) async fn watch(&self, proxy: Proxy) {
        loop {
            self.engine.sleep(20 * MS).await;
            let newest = self.version();
            let late = self.state.borrow().proxies.get(&proxy.incarnation).map(|it| it.version);
            if late.is_some_and(|known| known != newest) {
                self.engine.sleep(self.engine.below(SECOND / 2)).await;
            }
            if let Some(known) = self.state.borrow_mut().proxies.get_mut(&proxy.incarnation) {
                known.version = newest;
                let oldest = known.held.keys().next().copied().unwrap_or(newest.0);
                known.acknowledged = Some(oldest);
            }
        }
    }
}
