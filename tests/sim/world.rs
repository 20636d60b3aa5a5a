//! One run: a cluster, its clients, what goes wrong, and the end, at which everything must
//! be as if nothing had gone wrong.

use crate::{
    engine::{Engine, MS, Micros, NATURE, SECOND},
    guard::Catalog,
    invariants,
    network::Network,
    oracle::{Counts, Invariant, Oracle, Violation},
    proxy::Proxy,
    server::{Flaw, Server},
    supervisor::{LEASE, Leases, Supervisor},
};
use shardline_model::id::ShardId;
use shardline_proxy::txn::{rules::Rules, sweep::OUTCOMES_KEPT, xid::Incarnation};
use std::{cell::RefCell, rc::Rc};

pub(crate) const SHARDS: u32 = 3;
pub(crate) const ACCOUNTS: u32 = 12;
const PROXIES: usize = 2;
const CLIENTS: usize = 3;
/// How long clients work and things go wrong.
const WORK: Micros = 6 * SECOND;
/// How long a server may be away.
const OUTAGE_MAX: Micros = 9 * SECOND;
/// After this, with everything up, nothing may be undecided.
pub(crate) const DECIDED_WITHIN: Micros = 5 * SECOND;
/// After this nothing is under way any more.
const QUIET: Micros = 30 * SECOND;

/// What is simulated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    pub rules: Rules,
    pub flaw: Option<Flaw>,
    /// Somebody writes around the proxies.
    pub bypassed: bool,
    pub logging: bool,
}

/// What came of it.
pub(crate) struct Report {
    pub violations: Vec<Violation>,
    pub counts: Counts,
    pub log: Vec<String>,
}

#[derive(Clone)]
struct World {
    engine: Engine,
    network: Network,
    oracle: Oracle,
    catalog: Catalog,
    leases: Rc<RefCell<Leases>>,
    proxies: Rc<RefCell<Vec<Option<Proxy>>>>,
    supervisor: Rc<RefCell<Supervisor>>,
    rules: Rules,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, setup: Setup) -> Report {
    let engine = Engine::new(seed, setup.logging);
    let oracle = Oracle::new(&engine);
    let servers: Vec<_> =
        (1..=SHARDS).map(|id| Server::new(ShardId(id), &engine, &oracle, setup)).collect();
    // Some runs are calm, so that slow things are seen as well as cut ones.
    let trouble = [5, 20, 60][engine.below(3) as usize];
    let network = Network::new(&engine, servers, trouble);
    let catalog = Catalog::new(&engine, setup.rules);
    let leases = Rc::new(RefCell::new(Leases::default()));
    let supervisor = Supervisor {
        network: network.clone(),
        oracle: oracle.clone(),
        catalog: catalog.clone(),
        leases: leases.clone(),
        process: engine.new_process(),
        rules: setup.rules,
        ahead: Rc::default(),
    };
    let world = World {
        engine: engine.clone(),
        network,
        oracle: oracle.clone(),
        catalog,
        leases,
        proxies: Rc::new(RefCell::new(vec![None; PROXIES])),
        supervisor: Rc::new(RefCell::new(supervisor)),
        rules: setup.rules,
    };
    world.begin();
    if !engine.run() {
        oracle.violated(Invariant::NothingStaysUndecided, "the run does not end".into());
    }
    engine.clear();
    let (violations, counts) =
        oracle.truth(|truth| (std::mem::take(&mut truth.violations), truth.counts));
    world.proxies.borrow_mut().clear();
    Report { violations, counts, log: engine.take_log() }
}

impl World {
    fn begin(&self) {
        self.start_supervisor();
        for place in 0..PROXIES {
            self.start_proxy(place);
        }
        let world = self.clone();
        self.engine.spawn(NATURE, async move { world.watch_leases().await });
        let world = self.clone();
        self.engine.spawn(NATURE, async move { world.disturb().await });
    }

    fn start_supervisor(&self) {
        let process = self.engine.new_process();
        self.supervisor.borrow_mut().process = process;
        let supervisor = self.supervisor.borrow().clone();
        self.engine.spawn(process, supervisor.run());
    }

    fn start_proxy(&self, place: usize) {
        let incarnation = Incarnation(self.leases.borrow().seen.len() as u64 + 1);
        let now = self.engine.now();
        self.leases.borrow_mut().seen.insert(incarnation, now);
        self.catalog.join(incarnation);
        let proxy = Proxy::new(&self.network, &self.oracle, &self.catalog, incarnation, self.rules);
        for _ in 0..CLIENTS {
            proxy.spawn(proxy.clone().serve_client());
        }
        let (scanner, watcher) = (proxy.clone(), proxy.clone());
        proxy.spawn(async move { scanner.scan().await });
        proxy.spawn(async move { watcher.catalog.clone().watch(watcher).await });
        self.engine.log(|| format!("proxy {place} starts as {incarnation}"));
        self.proxies.borrow_mut()[place] = Some(proxy);
    }

    fn kill_proxy(&self, place: usize) {
        let proxy = self.proxies.borrow_mut()[place].take();
        if let Some(proxy) = proxy {
            self.engine.log(|| format!("{} is killed", proxy.incarnation));
            self.engine.kill(proxy.process);
            self.network.lost_client(proxy.process);
        }
    }

    /// Silence ends a lease, for good. Whoever finds its lease over starts anew.
    async fn watch_leases(self) {
        loop {
            self.engine.sleep(50 * MS).await;
            let now = self.engine.now();
            let proxies = self.proxies.borrow().clone();
            for (place, proxy) in proxies.into_iter().enumerate() {
                let Some(proxy) = proxy else { continue };
                if self.engine.is_stopped(proxy.process) {
                    continue;
                }
                if self.leases.borrow().over.contains(&proxy.incarnation) {
                    // It works on for a moment before it looks.
                    if self.engine.per_mille(300) {
                        self.kill_proxy(place);
                        self.start_proxy(place);
                    }
                } else {
                    self.leases.borrow_mut().seen.insert(proxy.incarnation, now);
                }
            }
            let mut leases = self.leases.borrow_mut();
            let silent = |(_, seen): &(&Incarnation, &Micros)| now >= **seen + LEASE;
            let over: Vec<_> = leases.seen.iter().filter(silent).map(|(one, _)| *one).collect();
            for one in over {
                if leases.over.insert(one) {
                    self.catalog.ended(one);
                }
            }
        }
    }

    /// What goes wrong, then peace, then the final checks.
    async fn disturb(self) {
        let engine = &self.engine;
        let rate = engine.between(60, 500) * MS;
        while engine.now() < WORK {
            engine.sleep(engine.between(MS, rate)).await;
            let place = engine.below(PROXIES as u64) as usize;
            let world = self.clone();
            match engine.below(10) {
                0 => {
                    self.kill_proxy(place);
                    engine.spawn(NATURE, async move {
                        world.engine.sleep(world.engine.between(10 * MS, 2 * SECOND)).await;
                        if world.proxies.borrow()[place].is_none() {
                            world.start_proxy(place);
                        }
                    });
                }
                1..=4 => {
                    let process = self.proxies.borrow()[place].as_ref().map(|proxy| proxy.process);
                    if let Some(process) = process {
                        self.pause(
                            process,
                            if engine.per_mille(300) { 4 * SECOND } else { 300 * MS },
                        );
                    }
                }
                5..=6 => {
                    let shard = ShardId(engine.below(u64::from(SHARDS)) as u32 + 1);
                    let server = self.network.server(shard).clone();
                    if server.is_up() {
                        server.crash();
                        engine.spawn(NATURE, async move {
                            let long = server.engine.per_mille(150);
                            let longest = if long { OUTAGE_MAX } else { 1_500 * MS };
                            server.engine.sleep(server.engine.between(20 * MS, longest)).await;
                            server.start();
                        });
                    }
                }
                7..=8 => {
                    let shard = ShardId(engine.below(u64::from(SHARDS)) as u32 + 1);
                    self.pause(self.network.server(shard).process(), 2 * SECOND);
                }
                _ => {
                    let process = self.supervisor.borrow().process;
                    if engine.per_mille(500) {
                        engine.kill(process);
                        self.start_supervisor();
                    } else {
                        self.pause(process, SECOND);
                    }
                }
            }
        }
        self.end().await;
    }

    fn pause(&self, process: crate::engine::Process, longest: Micros) {
        self.engine.log(|| format!("{process:?} stops"));
        self.engine.stop(process);
        let engine = self.engine.clone();
        self.engine.spawn(NATURE, async move {
            engine.sleep(engine.between(5 * MS, longest)).await;
            engine.log(|| format!("{process:?} goes on"));
            engine.resume(process);
        });
    }

    async fn end(&self) {
        let engine = &self.engine;
        // Pauses and restarts that were begun run to their end.
        self.network.trouble.set(0);
        engine.sleep(OUTAGE_MAX).await;
        for proxy in self.proxies.borrow().iter().flatten() {
            proxy.draining.set(true);
        }
        let healed = engine.now();
        engine.log(|| "all is up".to_owned());
        engine.sleep(DECIDED_WITHIN).await;
        invariants::undecided::when_healed(&self.network, &self.oracle, healed);
        engine.sleep(QUIET).await;
        invariants::at_the_end(&self.network, &self.oracle);
        // A day later the dead ones' rows are gone.
        self.supervisor.borrow().ahead.set(OUTCOMES_KEPT);
        engine.sleep(5 * SECOND).await;
        invariants::tombstones::when_swept(&self.network, &self.leases.borrow(), &self.oracle);
        engine.halt();
    }
}
