//! A world of its own for commit barriers: proxies that learn of the catalog late, stop and die,
//! clients that write and read on one shard each, and `strict` reads of all shards. What waits and
//! what is asked for next is said by the machine of `shardline_proxy::txn::barrier`. Transactions
//! over several shards are not here: that they are seen whole does not depend on barriers.

use crate::{
    engine::{Engine, MS, Micros, NATURE, Process, SECOND},
    invariants::strict::{Deed, Moment, Op},
};
use shardline_model::id::{Epoch, ProxyId};
use shardline_proxy::txn::{
    barrier::{Barrier, CLOSE_WITHIN, Held, Next, Observation, REST, counts, held, next},
    guard::Holder,
    rules::Rules,
    xid::Incarnation,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

const SHARDS: usize = 3;
const PROXIES: usize = 3;
const CLIENTS: usize = 4;
const WORK: Micros = 8 * SECOND;
const LEASE: Micros = SECOND;

/// What one proxy knows, by its watch; what the service knows of it.
#[derive(Clone, Copy)]
struct Known {
    epoch: Epoch,
    barrier: Option<Barrier>,
    admits_by: Option<Epoch>,
    renewed: Micros,
}

#[derive(Default)]
struct State {
    epoch: Epoch,
    barrier: Option<Barrier>,
    proxies: BTreeMap<Incarnation, Known>,
    ended: BTreeSet<Incarnation>,
    fenced: BTreeSet<Incarnation>,
    last: u64,
    /// How many commits each shard has.
    commits: [u64; SHARDS],
}

#[derive(Clone)]
struct World {
    engine: Engine,
    state: Rc<RefCell<State>>,
    ops: Rc<RefCell<Vec<Op>>>,
    moments: Rc<RefCell<Vec<Moment>>>,
    released: Rc<Cell<u64>>,
    rules: Rules,
}

#[derive(Clone, Copy)]
struct Proxy {
    process: Process,
    incarnation: Incarnation,
}

/// What a run has shown.
pub(crate) struct Run {
    pub ops: Vec<Op>,
    pub moments: Vec<Moment>,
    pub released: u64,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, rules: Rules) -> Run {
    let engine = Engine::new(seed, false);
    let world = World {
        engine: engine.clone(),
        state: Rc::default(),
        ops: Rc::default(),
        moments: Rc::default(),
        released: Rc::default(),
        rules,
    };
    let own = world.clone();
    engine.spawn(NATURE, async move { own.disturb().await });
    let own = world.clone();
    engine.spawn(NATURE, async move { own.watch_leases().await });
    assert!(engine.run(), "seed {seed} does not end");
    engine.clear();
    let (ops, moments) = (world.ops.take(), world.moments.take());
    Run { ops, moments, released: world.released.get() }
}

impl World {
    /// A message takes its time, seldom a long one.
    async fn message(&self) {
        let long = self.engine.per_mille(20);
        self.engine.sleep(self.engine.between(MS / 5, if long { 300 * MS } else { 4 * MS })).await;
    }

    fn start_proxy(&self) -> Proxy {
        let process = self.engine.new_process();
        let incarnation = {
            let mut state = self.state.borrow_mut();
            state.last += 1;
            let incarnation = Incarnation(state.last);
            let renewed = self.engine.now();
            let (epoch, barrier) = (state.epoch, state.barrier);
            state.proxies.insert(incarnation, Known { epoch, barrier, admits_by: None, renewed });
            incarnation
        };
        let proxy = Proxy { process, incarnation };
        let own = self.clone();
        self.engine.spawn(process, async move { own.follow(proxy).await });
        for _ in 0..CLIENTS {
            let own = self.clone();
            self.engine.spawn(process, async move { own.client(proxy).await });
        }
        let own = self.clone();
        self.engine.spawn(process, async move { own.reader(proxy).await });
        proxy
    }

    /// Learns of the catalog, late, and tells the service by what it admits commits.
    async fn follow(self, proxy: Proxy) {
        loop {
            let newest = {
                let state = self.state.borrow();
                (state.epoch, state.barrier)
            };
            self.message().await;
            let changed = {
                let mut state = self.state.borrow_mut();
                let Some(known) = state.proxies.get_mut(&proxy.incarnation) else { return };
                let changed = known.epoch < newest.0;
                if changed {
                    (known.epoch, known.barrier) = newest;
                }
                changed
            };
            if !changed {
                self.engine.sleep(MS).await;
            }
            let admits_by = newest.0;
            self.message().await;
            let mut state = self.state.borrow_mut();
            if state.ended.contains(&proxy.incarnation) {
                continue;
            }
            if let Some(known) = state.proxies.get_mut(&proxy.incarnation) {
                known.admits_by = known.admits_by.max(Some(admits_by));
                known.renewed = self.engine.now();
            }
        }
    }

    fn known(&self, proxy: Proxy) -> Option<Known> {
        self.state.borrow().proxies.get(&proxy.incarnation).copied()
    }

    /// False when it gives up.
    async fn admitted(&self, proxy: Proxy) -> bool {
        let begun = self.engine.now();
        let mut behind = (Epoch::default(), begun);
        let since = |at: Micros| Duration::from_micros(self.engine.now() - at);
        loop {
            let Some(known) = self.known(proxy) else { return false };
            let Some(barrier) = known.barrier else { return true };
            if behind.0 != barrier.since {
                behind = (barrier.since, self.engine.now());
            }
            match held(since(behind.1), since(begun)) {
                Held::Wait(_) => self.engine.sleep(MS).await,
                Held::GiveUp => return false,
                Held::Release => {
                    self.message().await;
                    if self.end(barrier.since) {
                        self.released.set(self.released.get() + 1);
                    }
                    self.engine.sleep(50 * MS).await;
                }
            }
        }
    }

    /// The change that ends a barrier; whether it was the one that stood.
    fn end(&self, since: Epoch) -> bool {
        let mut state = self.state.borrow_mut();
        let stood = state.barrier.is_some_and(|barrier| barrier.since == since);
        if stood {
            state.barrier = None;
            state.epoch.0 += 1;
        }
        stood
    }

    /// Writes and reads, on one shard each.
    async fn client(self, proxy: Proxy) {
        loop {
            self.engine.sleep(self.engine.below(20 * MS)).await;
            let shard = self.engine.below(SHARDS as u64) as usize;
            let asked = self.engine.now();
            let writes = self.engine.per_mille(600);
            if !self.admitted(proxy).await {
                continue;
            }
            // It may be long in coming: rows are locked, servers are slow.
            self.message().await;
            let number = {
                let mut state = self.state.borrow_mut();
                if state.fenced.contains(&proxy.incarnation) {
                    return;
                }
                if writes {
                    state.commits[shard] += 1;
                }
                state.commits[shard]
            };
            let deed = if writes { Deed::Write(number) } else { Deed::Read(number) };
            // Its answer may never come.
            let place = self.ops.borrow().len();
            self.ops.borrow_mut().push(Op { shard, deed, asked, answered: None });
            self.message().await;
            self.ops.borrow_mut()[place].answered = Some(self.engine.now());
        }
    }

    /// Reads all shards at one moment, again and again.
    async fn reader(self, proxy: Proxy) {
        loop {
            self.engine.sleep(self.engine.below(100 * MS)).await;
            let asked = self.engine.now();
            let Some(since) = self.raise(proxy).await else { continue };
            if !self.closed(proxy, since).await {
                self.message().await;
                self.end(since);
                continue;
            }
            let mut shown = [0; SHARDS];
            for (shard, shown) in shown.iter_mut().enumerate() {
                self.message().await;
                // Now and then it takes too long by far.
                if self.engine.per_mille(50) {
                    self.engine.sleep(self.engine.below(SECOND)).await;
                }
                *shown = self.state.borrow().commits[shard];
            }
            self.message().await;
            let ended = self.end(since);
            if counts(true, ended, self.rules) {
                let answered = self.engine.now();
                self.moments.borrow_mut().push(Moment { shown: shown.to_vec(), asked, answered });
            }
            self.engine.sleep(REST.as_micros() as u64).await;
        }
    }

    async fn raise(&self, proxy: Proxy) -> Option<Epoch> {
        if !self.admitted(proxy).await || self.look(proxy, None).await? != Next::Raise {
            return None;
        }
        self.message().await;
        let mut state = self.state.borrow_mut();
        if state.barrier.is_some() {
            return None;
        }
        state.epoch.0 += 1;
        let since = state.epoch;
        let barrier = Some(Barrier { by: proxy.incarnation, since });
        state.barrier = barrier;
        let known = state.proxies.get_mut(&proxy.incarnation)?;
        (known.epoch, known.barrier) = (since, barrier);
        Some(since)
    }

    async fn closed(&self, proxy: Proxy, since: Epoch) -> bool {
        let until = self.engine.now() + CLOSE_WITHIN.as_micros() as u64;
        while self.engine.now() < until {
            match self.look(proxy, Some(since)).await {
                Some(Next::Open) => return true,
                Some(Next::Wait(_)) => self.engine.sleep(2 * MS).await,
                Some(Next::Lost | Next::Queue | Next::Raise) | None => return false,
            }
        }
        false
    }

    async fn look(&self, proxy: Proxy, mine: Option<Epoch>) -> Option<Next> {
        let known = self.known(proxy)?;
        self.message().await;
        let (holders, unfenced): (Vec<_>, _) = {
            let state = self.state.borrow();
            let live = state.proxies.iter().filter(|(one, _)| !state.ended.contains(one));
            let holders = live.map(|(one, known)| Holder {
                proxy: ProxyId(one.0 as u32),
                acknowledged: known.admits_by,
            });
            (holders.collect(), state.ended.first().copied())
        };
        self.message().await;
        let Known { epoch, barrier, .. } = known;
        // Sometimes nothing was in vain.
        let in_vain = if self.engine.per_mille(500) { epoch } else { Epoch::default() };
        let seen = Observation { in_vain, barrier, holders: &holders, unfenced };
        Some(next(&seen, mine, self.rules))
    }

    /// Silence ends a lease; a while later its proxy is cut off.
    async fn watch_leases(self) {
        loop {
            self.engine.sleep(20 * MS).await;
            let now = self.engine.now();
            let silent: Vec<_> = {
                let state = self.state.borrow();
                let all = state.proxies.iter().filter(|(one, _)| !state.ended.contains(one));
                let silent = all.filter(|(_, known)| now >= known.renewed + LEASE);
                silent.map(|(one, _)| *one).collect()
            };
            for one in silent {
                self.state.borrow_mut().ended.insert(one);
                let own = self.clone();
                self.engine.spawn(NATURE, async move {
                    own.engine.sleep(own.engine.below(300 * MS)).await;
                    let mut state = own.state.borrow_mut();
                    state.fenced.insert(one);
                    state.ended.remove(&one);
                    state.proxies.remove(&one);
                });
            }
        }
    }

    /// Proxies stop, go on, die and begin anew.
    async fn disturb(self) {
        let engine = &self.engine;
        let mut proxies: Vec<Proxy> = (0..PROXIES).map(|_| self.start_proxy()).collect();
        let rate = engine.between(100, 1_500) * MS;
        while engine.now() < WORK {
            engine.sleep(engine.between(MS, rate)).await;
            let place = engine.below(PROXIES as u64) as usize;
            let process = proxies[place].process;
            if self.known(proxies[place]).is_none() || engine.per_mille(200) {
                engine.kill(process);
                proxies[place] = self.start_proxy();
                continue;
            }
            engine.stop(process);
            let longest = if engine.per_mille(300) { 3 * SECOND } else { 300 * MS };
            let (time, engine) = (engine.between(5 * MS, longest), engine.clone());
            self.engine.spawn(NATURE, async move {
                engine.sleep(time).await;
                engine.resume(process);
            });
        }
        engine.halt();
    }
}
