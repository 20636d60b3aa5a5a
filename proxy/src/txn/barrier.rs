//! The commit barrier: what an asker does next, and how long somebody waits behind it. Pure and
//! without memory, as [`super::guard`]: what is so is in the catalog and in the metadata service.
//!
//! While it stands and all proxies admit commits by a catalog that has it, every commit that is
//! still under way was asked for before, so of no two of them has one ended before the other
//! began. Snapshots that are opened now may show any of them and lack any: no order is broken.
//! `docs/decisions/0017` has the argument. No clock is trusted: whoever waits too long takes
//! the barrier away, by a change that fails if it is another one; the asker ends it by the same
//! change, and only if that succeeds was the barrier there all the time.

use super::{
    guard::{Holder, Lagging, lagging},
    rules::{Rule, Rules},
    xid::Incarnation,
};
use shardline_model::id::Epoch;
use std::time::Duration;

pub use shardline_model::barrier::Barrier;

/// How long somebody waits behind one barrier before taking it away.
pub const RELEASE_AFTER: Duration = Duration::from_millis(500);
/// How long somebody waits behind barriers in all: only if none can be taken away.
pub const HELD_MAX: Duration = Duration::from_secs(3);
/// How long an asker lets its barrier stand without all proxies having it. Less than
/// [`RELEASE_AFTER`] together with [`OPEN_WITHIN`], so that a barrier is seldom taken away.
pub const CLOSE_WITHIN: Duration = Duration::from_millis(200);
/// How long snapshots may take to be opened behind it.
pub const OPEN_WITHIN: Duration = Duration::from_millis(250);
/// How long nobody asks for one after one was there, so that what it held up goes on.
pub const REST: Duration = Duration::from_millis(10);
/// The same for whoever asked for that one: others come first.
pub const OWN_REST: Duration = Duration::from_millis(20);

/// What is so. The barrier was read first, the rest later, and the metadata service had its epoch by
/// then: a lease that is missing here has begun after it, with a catalog that is no older.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The last epoch at which somebody did not follow a barrier of this asker; 0 if all did.
    pub in_vain: Epoch,
    /// What stands in it.
    pub barrier: Option<Barrier>,
    /// Every live lease, with the epoch by which its proxy admits commits.
    pub holders: &'a [Holder],
    /// An incarnation whose lease is over and that is not fenced on every shard, if any.
    pub unfenced: Option<Incarnation>,
}

/// What an asker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Somebody's barrier stands: wait until it does not.
    Queue,
    /// Not now: this one would not hold up its commits. Before one's barrier stands, nobody waits
    /// behind anything meanwhile.
    Wait(Lagging),
    /// Ask for the barrier.
    Raise,
    /// Open snapshots, then end it.
    Open,
    /// One's barrier was taken away.
    Lost,
}

/// Decides; `mine` is the epoch of one's own barrier.
pub fn next(seen: &Observation<'_>, mine: Option<Epoch>, rules: Rules) -> Next {
    let lagging = |since| lagging(seen.holders, seen.unfenced, since);
    match (mine, seen.barrier) {
        (None, Some(_)) => Next::Queue,
        // Who has not got past that would not follow another one either.
        (None, None) => lagging(seen.in_vain).map_or(Next::Raise, Next::Wait),
        (Some(mine), Some(Barrier { since, .. })) if since == mine => match lagging(mine) {
            Some(lagging) if rules.keeps(Rule::BarrierBeforeSnapshots) => Next::Wait(lagging),
            Some(_) | None => Next::Open,
        },
        (Some(_), Some(_) | None) => Next::Lost,
    }
}

/// Whether snapshots are of one moment: all were opened before the barrier was to be ended, and it
/// was there to be ended.
pub fn counts(opened_in_time: bool, ended: bool, rules: Rules) -> bool {
    opened_in_time && (ended || !rules.keeps(Rule::BarrierStoodToTheEnd))
}

/// What somebody does whom the catalog holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Waits so long at most, and looks again.
    Wait(Duration),
    /// Takes away what holds it up, if it is still the same.
    Release,
    /// Gives up.
    GiveUp,
}

/// Decides after waiting behind this one, and behind all of them, for so long.
pub fn held(behind_this: Duration, in_all: Duration) -> Held {
    if in_all >= HELD_MAX {
        return Held::GiveUp;
    }
    match RELEASE_AFTER.checked_sub(behind_this) {
        None | Some(Duration::ZERO) => Held::Release,
        Some(left) => Held::Wait(left.min(HELD_MAX - in_all)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_model::id::ProxyId;

    const BARRIER: Barrier = Barrier { by: Incarnation(3), since: Epoch(7) };

    fn holder(proxy: u32, admits_by: u64) -> Holder {
        Holder { proxy: ProxyId(proxy), acknowledged: Some(Epoch(admits_by)) }
    }

    fn check(
        barrier: Option<Barrier>,
        holders: &[Holder],
        unfenced: Option<Incarnation>,
        mine: Option<u64>,
        expected: Next,
    ) {
        let seen = Observation { in_vain: Epoch(8), barrier, holders, unfenced };
        assert_eq!(next(&seen, mine.map(Epoch), Rules::default()), expected, "{seen:?}");
    }

    #[test]
    fn it_is_asked_for_when_none_stands_and_all_follow() {
        check(None, &[holder(1, 8), holder(2, 9)], None, None, Next::Raise);
        check(Some(BARRIER), &[holder(1, 8)], None, None, Next::Queue);
        let late = Next::Wait(Lagging::Proxy(ProxyId(2)));
        check(None, &[holder(1, 8), holder(2, 7)], None, None, late);
        let dead = Incarnation(2);
        check(None, &[holder(1, 8)], Some(dead), None, Next::Wait(Lagging::Incarnation(dead)));
    }

    #[test]
    fn snapshots_wait_for_every_proxy_that_may_admit_a_commit() {
        check(Some(BARRIER), &[holder(1, 7), holder(2, 8)], None, Some(7), Next::Open);
        let late = Next::Wait(Lagging::Proxy(ProxyId(2)));
        check(Some(BARRIER), &[holder(1, 7), holder(2, 6)], None, Some(7), late);
        let unknown = Holder { proxy: ProxyId(2), acknowledged: None };
        check(Some(BARRIER), &[unknown], None, Some(7), late);
        let dead = Incarnation(2);
        let fenced_first = Next::Wait(Lagging::Incarnation(dead));
        check(Some(BARRIER), &[holder(1, 7)], Some(dead), Some(7), fenced_first);
    }

    #[test]
    fn what_was_taken_away_is_lost_also_when_another_stands() {
        check(None, &[holder(1, 9)], None, Some(7), Next::Lost);
        check(Some(BARRIER), &[holder(1, 9)], None, Some(5), Next::Lost);
    }

    #[test]
    fn waiting_has_an_end() {
        let ms = Duration::from_millis;
        assert_eq!(held(ms(0), ms(0)), Held::Wait(RELEASE_AFTER));
        assert_eq!(held(ms(100), ms(2_900)), Held::Wait(ms(100)));
        assert_eq!(held(RELEASE_AFTER, RELEASE_AFTER), Held::Release);
        assert_eq!(held(ms(700), ms(700)), Held::Release);
        assert_eq!(held(ms(10), HELD_MAX), Held::GiveUp);
        assert!(CLOSE_WITHIN + OPEN_WITHIN < RELEASE_AFTER && RELEASE_AFTER < HELD_MAX);
    }
}
