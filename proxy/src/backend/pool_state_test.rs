//! The pool's accounting against any order of events: never more than the limit, nobody
//! forgotten, nobody served out of turn.

use super::{
    class::{ConnClass, Wanted, WorkerId},
    pool_state::*,
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

const LIMITS: PoolLimits = PoolLimits {
    connections_max: 4,
    waiters_max: 5,
    idle_timeout: Duration::from_secs(60),
    lifetime_max: Duration::from_secs(600),
};

/// A connection of the test: its number and its class.
type Connection = (u64, ConnClass);

#[derive(Clone, Debug)]
enum Event {
    Checkout(u8),
    CheckoutIdle(u8),
    /// The one lent first or last comes back, perhaps with a database chosen meanwhile.
    GiveBack {
        first: bool,
        choose_database: bool,
    },
    /// The one lent first breaks, or could not be opened.
    Break,
    /// A waiter goes away; which one.
    Cancel(usize),
    Pass(u64),
    RetireAll,
    GoDown,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..8_u8).prop_map(Event::Checkout),
        1 => (0..8_u8).prop_map(Event::CheckoutIdle),
        6 => any::<(bool, bool)>().prop_map(|(first, choose_database)| Event::GiveBack { first, choose_database }),
        2 => Just(Event::Break),
        2 => (0..8_usize).prop_map(Event::Cancel),
        1 => (0..400_u64).prop_map(Event::Pass),
        1 => Just(Event::RetireAll),
        1 => Just(Event::GoDown),
    ]
}

fn class(bits: u8) -> ConnClass {
    ConnClass { found_rows: bits & 1 != 0, database: bits & 2 != 0, ..ConnClass::default() }
}

/// Threads that use the pool.
const WORKERS: usize = 2;

/// Someone who has a place: the connection and where it comes from.
type Lent = (Connection, Origin);

/// The bits of a class, and a thread.
fn wanted(bits: u8) -> Wanted {
    Wanted { class: class(bits), worker: WorkerId(u16::from(bits >> 2 & 1)) }
}

struct World {
    pool: PoolState<Connection>,
    now: Instant,
    lent: Vec<Lent>,
    waiting: BTreeMap<Ticket, ConnClass>,
    open: u64,
    next: u64,
}

impl World {
    fn opened(&mut self, wanted: Wanted) {
        self.next += 1;
        self.open += 1;
        let fresh = ConnClass { database: false, ..wanted.class };
        let (opened_at, generation) = (self.now, self.pool.generation());
        let origin = Origin { opened_at, generation, worker: wanted.worker };
        self.lent.push(((self.next, fresh), origin));
    }

    fn reused(&mut self, idle: Idle<Connection>, wanted: ConnClass) {
        assert!(idle.connection.1.serves(wanted), "{:?} for {wanted:?}", idle.connection.1);
        assert_eq!(
            idle.origin.generation,
            self.pool.generation(),
            "a connection of an old generation"
        );
        self.lent.push((idle.connection, idle.origin));
    }

    fn closed(&mut self, count: usize) {
        self.open -= count as u64;
    }

    fn settle(&mut self, returned: Returned<Connection>) {
        self.closed(usize::from(returned.close.is_some()));
        let Some((ticket, grant)) = returned.grant else { return };
        // Served in the order in which they came.
        let (first, wanted) = self.waiting.pop_first().unwrap();
        assert_eq!(first, ticket);
        match grant {
            Grant::Open => self.opened(wanted.into()),
            Grant::Connection(idle) => self.reused(idle, wanted),
        }
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Checkout(bits) => match self.pool.checkout(wanted(bits)) {
                Checkout::Reuse(idle) => {
                    let at_home = idle.origin.worker == wanted(bits).worker;
                    assert!(at_home || self.open as usize == LIMITS.connections_max);
                    self.reused(idle, class(bits));
                }
                Checkout::Open => self.opened(wanted(bits)),
                Checkout::Replace(idle) => {
                    assert!(!idle.connection.1.serves(class(bits)));
                    self.closed(1);
                    self.opened(wanted(bits));
                }
                Checkout::Wait(ticket) => {
                    assert_eq!(self.lent.len(), LIMITS.connections_max);
                    assert!(self.waiting.insert(ticket, class(bits)).is_none());
                }
                Checkout::QueueFull => assert_eq!(self.waiting.len(), LIMITS.waiters_max),
            },
            Event::CheckoutIdle(bits) => {
                if let Some(idle) = self.pool.checkout_idle(wanted(bits)) {
                    assert_eq!(idle.origin.worker, wanted(bits).worker);
                    self.reused(idle, class(bits));
                }
            }
            Event::GiveBack { first, choose_database } if !self.lent.is_empty() => {
                let place = if first { 0 } else { self.lent.len() - 1 };
                let ((number, mut class), origin) = self.lent.remove(place);
                class.database |= choose_database;
                let connection = (number, class);
                let returned = self.pool.give_back(self.now, connection, class, origin);
                self.settle(returned);
            }
            Event::Break if !self.lent.is_empty() => {
                self.lent.remove(0);
                self.closed(1);
                let returned = self.pool.place_freed();
                self.settle(returned);
            }
            Event::GiveBack { .. } | Event::Break => {}
            Event::Cancel(place) => {
                let Some(ticket) = self.waiting.keys().nth(place).copied() else { return };
                self.waiting.remove(&ticket);
                assert!(self.pool.cancel(ticket));
                assert!(!self.pool.cancel(ticket));
            }
            Event::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                let expired = self.pool.expire(self.now).len();
                self.closed(expired);
            }
            Event::RetireAll => {
                let retired = self.pool.retire_all().len();
                self.closed(retired);
                assert_eq!(self.pool.idle(), 0);
            }
            Event::GoDown => {
                let told = self.pool.dismiss_waiters();
                assert_eq!(told, self.waiting.keys().copied().collect::<Vec<_>>());
                self.waiting.clear();
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.pool.lent(), self.lent.len());
        assert_eq!(
            self.pool.idle() + self.pool.lent(),
            self.open as usize,
            "a connection was lost"
        );
        assert!(self.open as usize <= LIMITS.connections_max);
        assert_eq!(self.pool.waiting(), self.waiting.len());
        if !self.waiting.is_empty() {
            assert_eq!(
                self.lent.len(),
                LIMITS.connections_max,
                "someone waits beside a free place"
            );
        }
    }
}

proptest! {
    #[test]
    fn accounts_always_balance(events in prop::collection::vec(event(), 1..200)) {
        let mut world = World {
            pool: PoolState::new(LIMITS, WORKERS),
            now: Instant::now(),
            lent: Vec::new(),
            waiting: BTreeMap::new(),
            open: 0,
            next: 0,
        };
        for event in events {
            world.run(event);
            world.check();
        }
        // Everybody is served in the end.
        while let Some(_lent) = world.lent.first() {
            world.run(Event::GiveBack { first: true, choose_database: false });
            world.check();
        }
        prop_assert!(world.waiting.is_empty());
    }
}

#[test]
fn the_newest_idle_connection_is_used_first_and_the_oldest_makes_room() {
    let start = Instant::now();
    let mut pool = PoolState::new(PoolLimits { connections_max: 2, ..LIMITS }, WORKERS);
    let plain = ConnClass::default();
    let origin = Origin { opened_at: start, generation: 0, worker: WorkerId(0) };
    for _ in 0..2 {
        assert!(matches!(pool.checkout(plain.into()), Checkout::Open));
    }
    for number in 1..=2 {
        let now = start + Duration::from_secs(number);
        pool.give_back(now, (number, plain), plain, origin);
    }
    let elsewhere = Wanted { class: plain, worker: WorkerId(1) };
    assert!(pool.checkout_idle(elsewhere).is_none(), "it would wake another thread");
    let Checkout::Reuse(idle) = pool.checkout(elsewhere) else { panic!("no more may be opened") };
    assert_eq!(idle.connection.0, 2);
    pool.give_back(start + Duration::from_secs(3), (2, plain), plain, origin);
    let Checkout::Reuse(idle) = pool.checkout(plain.into()) else { panic!("one is idle") };
    assert_eq!(idle.connection.0, 2);
    pool.give_back(start, (2, plain), plain, origin);
    let other = ConnClass { found_rows: true, ..plain };
    let Checkout::Replace(idle) = pool.checkout(other.into()) else { panic!("the pool is full") };
    assert_eq!(idle.connection.0, 1);
}
