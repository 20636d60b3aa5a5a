//! The accounting of one shard's pool: who may have a connection, who waits, what is
//! idle. Pure and synchronous; [`super::pool`] does what it says and decides nothing.
//!
//! Invariants, tested by properties: `idle + lent <= limit`, where a lent place is a
//! connection in use or being opened; nobody waits while a place is free; waiters are
//! served in the order in which they came; one that has gone away is skipped.

use super::class::{ConnClass, Wanted, WorkerId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Limits of one shard's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections at most, in use and idle.
    pub connections_max: usize,
    /// Waiters at most.
    pub waiters_max: usize,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// A connection is closed at this age, once it is idle.
    pub lifetime_max: Duration,
}

/// One who waits; numbers are never used twice in one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(u64);

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// When it was opened.
    pub(crate) opened_at: Instant,
    /// The pool's generation then.
    pub(crate) generation: u64,
    /// Where.
    pub(crate) worker: WorkerId,
}

/// What the pool keeps of an idle connection.
#[derive(Debug)]
pub(crate) struct Idle<C> {
    /// The connection.
    pub(crate) connection: C,
    /// Where it comes from.
    pub(crate) origin: Origin,
    idle_since: Instant,
}

/// The idle connections of one thread, by class.
type IdleLists<C> = [Vec<Idle<C>>; ConnClass::COUNT];

/// The answer to [`PoolState::checkout`].
#[derive(Debug)]
pub(crate) enum Checkout<C> {
    /// Use this connection.
    Reuse(Idle<C>),
    /// Open a connection; its place is counted.
    Open,
    /// Close this idle one of another class, then open a connection; its place is counted.
    Replace(Idle<C>),
    /// Wait for a [`Grant`] with this number.
    Wait(Ticket),
    /// As many wait as may.
    QueueFull,
}

/// What a waiter is given.
#[derive(Debug)]
pub(crate) enum Grant<C> {
    /// Use this connection.
    Connection(Idle<C>),
    /// Open a connection; its place is counted.
    Open,
}

/// The answer to a returned connection or place.
#[derive(Debug)]
pub(crate) struct Returned<C> {
    /// Who gets something, and what.
    pub(crate) grant: Option<(Ticket, Grant<C>)>,
    /// What is to be closed.
    pub(crate) close: Option<C>,
}

/// The accounting; `C` is the connection.
#[derive(Debug)]
pub(crate) struct PoolState<C> {
    limits: PoolLimits,
    /// By thread.
    idle: Vec<IdleLists<C>>,
    idle_count: usize,
    lent: usize,
    waiters: VecDeque<(Ticket, ConnClass)>,
    next_ticket: u64,
    generation: u64,
}

impl<C> PoolState<C> {
    /// An empty pool that is used by `workers` threads.
    pub(crate) fn new(limits: PoolLimits, workers: usize) -> Self {
        PoolState {
            limits,
            idle: (0..workers.max(1)).map(|_| std::array::from_fn(|_| Vec::new())).collect(),
            idle_count: 0,
            lent: 0,
            waiters: VecDeque::new(),
            next_ticket: 1,
            generation: 0,
        }
    }

    /// The limits.
    pub(crate) fn limits(&self) -> PoolLimits {
        self.limits
    }

    /// Connections that nobody uses.
    pub(crate) fn idle(&self) -> usize {
        self.idle_count
    }

    /// Connections in use or being opened.
    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Connections opened under another generation are closed when they come back.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// An idle connection of this thread, if there is one and nobody waits; its place is
    /// counted.
    pub(crate) fn checkout_idle(&mut self, wanted: Wanted) -> Option<Idle<C>> {
        if !self.waiters.is_empty() {
            return None;
        }
        let idle = self.take_idle(wanted)?;
        self.lent += 1;
        Some(idle)
    }

    /// Somebody wants a connection. The newest idle one of the thread is the first to be
    /// used again; one of another thread only when no more may be opened. Connections past
    /// their age are left to [`PoolState::expire`].
    pub(crate) fn checkout(&mut self, wanted: Wanted) -> Checkout<C> {
        if let Some(idle) = self.checkout_idle(wanted) {
            return Checkout::Reuse(idle);
        }
        if self.waiters.is_empty() {
            if self.idle_count + self.lent < self.limits.connections_max {
                self.lent += 1;
                return Checkout::Open;
            }
            if let Some(idle) = self.take_foreign(wanted) {
                self.lent += 1;
                return Checkout::Reuse(idle);
            }
            if let Some(idle) = self.take_oldest_idle() {
                self.lent += 1;
                return Checkout::Replace(idle);
            }
        }
        if self.waiters.len() >= self.limits.waiters_max {
            return Checkout::QueueFull;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiters.push_back((ticket, wanted.class));
        Checkout::Wait(ticket)
    }

    /// A usable connection comes back; `class` is its class now.
    pub(crate) fn give_back(
        &mut self,
        now: Instant,
        connection: C,
        class: ConnClass,
        origin: Origin,
    ) -> Returned<C> {
        debug_assert!(self.lent > 0, "a connection came back that was not lent");
        let stale = origin.generation != self.generation
            || now.saturating_duration_since(origin.opened_at) >= self.limits.lifetime_max;
        let mut idle = Some(Idle { connection, origin, idle_since: now });
        let mut close = None;
        let fits = match self.waiters.front() {
            Some((_, wanted)) => !stale && class.serves(*wanted),
            None => !stale,
        };
        if !fits {
            close = idle.take().map(|idle| idle.connection);
        }
        if let Some((ticket, _)) = self.waiters.pop_front() {
            let grant = idle.map_or(Grant::Open, Grant::Connection);
            return Returned { grant: Some((ticket, grant)), close };
        }
        self.lent -= 1;
        if let Some(idle) = idle {
            self.idle_count += 1;
            self.lists(origin.worker)[class.index()].push(idle);
        }
        Returned { grant: None, close }
    }

    /// A lent connection was closed, or opening one failed: the place is free.
    pub(crate) fn place_freed(&mut self) -> Returned<C> {
        debug_assert!(self.lent > 0, "a place was freed that was not lent");
        let grant = self.waiters.pop_front().map(|(ticket, _)| (ticket, Grant::Open));
        if grant.is_none() {
            self.lent -= 1;
        }
        Returned { grant, close: None }
    }

    /// A waiter goes away. False when it has already been given something, which it must
    /// then give back.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> bool {
        // Tickets are given out in ascending order, so the queue is sorted.
        match self.waiters.binary_search_by_key(&ticket, |(waiting, _)| *waiting) {
            Ok(position) => self.waiters.remove(position).is_some(),
            Err(_) => false,
        }
    }

    /// All waiters, who are to be told that the shard is down.
    pub(crate) fn dismiss_waiters(&mut self) -> Vec<Ticket> {
        self.waiters.drain(..).map(|(ticket, _)| ticket).collect()
    }

    /// Start a new generation: all idle connections are to be closed, the lent ones when
    /// they come back.
    pub(crate) fn retire_all(&mut self) -> Vec<C> {
        self.generation += 1;
        self.idle_count = 0;
        let lists = self.idle.iter_mut().flatten();
        lists.flat_map(|list| list.drain(..)).map(|idle| idle.connection).collect()
    }

    /// Idle connections that have been idle or alive for too long; they are to be closed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<C> {
        let limits = self.limits;
        let is_old = |idle: &Idle<C>| {
            now.saturating_duration_since(idle.idle_since) >= limits.idle_timeout
                || now.saturating_duration_since(idle.origin.opened_at) >= limits.lifetime_max
        };
        let mut expired = Vec::new();
        for list in self.idle.iter_mut().flatten() {
            let old = list.extract_if(.., |idle| is_old(idle));
            expired.extend(old.map(|idle| idle.connection));
        }
        self.idle_count -= expired.len();
        expired
    }

    /// A thread's lists; of a thread that there is not, those of the first.
    fn lists(&mut self, worker: WorkerId) -> &mut IdleLists<C> {
        let place = usize::from(worker.0);
        let place = if place < self.idle.len() { place } else { 0 };
        &mut self.idle[place]
    }

    fn take_idle(&mut self, wanted: Wanted) -> Option<Idle<C>> {
        for candidate in wanted.class.served_by() {
            if let Some(idle) = self.lists(wanted.worker)[candidate.index()].pop() {
                self.idle_count -= 1;
                return Some(idle);
            }
        }
        None
    }

    /// The newest of any thread.
    fn take_foreign(&mut self, wanted: Wanted) -> Option<Idle<C>> {
        let places = wanted.class.served_by().flat_map(|class| {
            let newest =
                move |lists: &IdleLists<C>| lists[class.index()].last().map(|idle| idle.idle_since);
            let found = self.idle.iter().enumerate();
            found.filter_map(move |(place, lists)| Some((newest(lists)?, place, class)))
        });
        let (_, place, class) = places.max_by_key(|(since, ..)| *since)?;
        let idle = self.idle[place][class.index()].pop()?;
        self.idle_count -= 1;
        Some(idle)
    }

    /// The connection that has been idle for longest, of any class.
    fn take_oldest_idle(&mut self) -> Option<Idle<C>> {
        let list = self
            .idle
            .iter_mut()
            .flatten()
            .filter(|list| !list.is_empty())
            .min_by_key(|list| list[0].idle_since)?;
        self.idle_count -= 1;
        Some(list.remove(0))
    }
}
