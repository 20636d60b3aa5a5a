//! The catalog's one guard, its controller, and how proxies learn of it, late.

use crate::{
    engine::{Engine, MS, Mailbox, NATURE, SECOND},
    network::Network,
    oracle::Oracle,
    proxy::Proxy,
};
use shardline_model::id::ProxyId;
use shardline_proxy::txn::{
    guard::{Command, Event, Guard, GuardState},
    rules::Rules,
    xid::Incarnation,
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

#[derive(Default)]
struct State {
    published: GuardState,
    /// What each proxy knows, and who is not fenced.
    known: BTreeMap<ProxyId, GuardState>,
}

#[derive(Clone)]
pub(crate) struct Catalog {
    engine: Engine,
    state: Rc<RefCell<State>>,
    events: Mailbox<Event>,
}

fn id(incarnation: Incarnation) -> ProxyId {
    ProxyId(incarnation.0 as u32)
}

impl Catalog {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone(), state: Rc::default(), events: Mailbox::new(engine) }
    }

    /// The controller.
    pub(crate) async fn control(self, network: Network, rules: Rules) {
        let shards = network.servers.iter().map(|server| server.id);
        let (mut guard, _) = Guard::resume(self.engine.instant(), GuardState::Off, shards, rules);
        loop {
            let event = self.events.receive().await;
            self.engine.log(|| format!("guard {event:?}"));
            for command in guard.step(self.engine.instant(), event) {
                match command {
                    Command::Publish(state) => {
                        self.engine.sleep(self.engine.between(MS, 20 * MS)).await;
                        self.engine.log(|| format!("guard is {state:?}"));
                        self.state.borrow_mut().published = state;
                        let all: BTreeSet<_> = self.state.borrow().known.keys().copied().collect();
                        self.events.send(Event::Published(all));
                    }
                    // Runs are shorter than a guard's idle time.
                    Command::WakeAt(_) | Command::CountLeft(_) => {}
                }
            }
        }
    }

    /// A new proxy starts from what is published.
    pub(crate) fn join(&self, incarnation: Incarnation) {
        let mut state = self.state.borrow_mut();
        let published = state.published;
        state.known.insert(id(incarnation), published);
    }

    pub(crate) fn fenced(&self, incarnation: Incarnation) {
        self.state.borrow_mut().known.remove(&id(incarnation));
        self.events.send(Event::Fenced(id(incarnation)));
    }

    pub(crate) fn want(&self) {
        self.events.send(Event::Wanted);
    }

    pub(crate) fn known_to(&self, incarnation: Incarnation) -> GuardState {
        self.state.borrow().known.get(&id(incarnation)).copied().unwrap_or_default()
    }

    /// A proxy's watch: it sees changes late, and acknowledges when it may.
    pub(crate) async fn watch(&self, proxy: Proxy) {
        let mut acknowledged = GuardState::Off;
        loop {
            let published = self.state.borrow().published;
            if published != self.known_to(proxy.incarnation) {
                self.engine.sleep(self.engine.below(SECOND / 2)).await;
                if let Some(known) = self.state.borrow_mut().known.get_mut(&id(proxy.incarnation)) {
                    *known = published;
                }
            }
            let known = self.known_to(proxy.incarnation);
            if known != acknowledged && proxy.writes.borrow().may_acknowledge(known) {
                acknowledged = known;
                self.events.send(Event::Acknowledged(id(proxy.incarnation)));
            }
            self.engine.sleep(20 * MS).await;
        }
    }
}

/// The supervisor's and the metadata service's part of a run share this.
pub(crate) fn spawn(catalog: &Catalog, network: &Network, rules: Rules, _oracle: &Oracle) {
    let body = catalog.clone().control(network.clone(), rules);
    network.engine.spawn(NATURE, body);
}
