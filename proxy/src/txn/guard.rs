//! The guard of one database: which change of the catalog comes next. Pure and without memory:
//! what is so is in the catalog and in the metadata service, so any number of proxies may look
//! and propose at once, and each change is taken only if the guard is still what was seen.
//!
//! Checks cost, so they are sent only while they can matter. They matter from the first
//! distributed write on, so that waits until no proxy can have an unchecked write on its way:
//! each has acknowledged the epoch (a statement holds its catalog until its answer, so no
//! older state is in use there), or is fenced, which kills what it had sent. In the same way
//! writers stop checking only after no distributed commit can be under way and no lock is left.

use super::{
    rules::{Rule, Rules},
    xid::Incarnation,
};
use shardline_model::id::{Epoch, ProxyId};
use std::time::Duration;

pub use shardline_model::guard::{Guard, GuardState};

/// How long without a distributed commit before the guard goes off.
pub const IDLE_AFTER: Duration = Duration::from_secs(3_600);
/// How long a distributed write waits for the guard, before 1205. Longer would only add to
/// the wait: a proxy that cannot acknowledge may be waiting for this transaction's row locks.
pub const WANT_PATIENCE: Duration = Duration::from_secs(2);

/// A live lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Whose.
    pub proxy: ProxyId,
    /// The oldest catalog that it may still use; None when that is not known.
    pub acknowledged: Option<Epoch>,
}

/// What is so. The guard was read first, the rest later, and the metadata service had the
/// epoch of the guard by then: a lease that is missing here has begun after that epoch, and
/// no lease begins with an older catalog.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The catalog's entry; None when it is off.
    pub guard: Option<Guard>,
    /// Every live lease.
    pub holders: &'a [Holder],
    /// An incarnation whose lease is over and that is not fenced on every shard, if any.
    pub unfenced: Option<Incarnation>,
    /// Whether somebody waits for distributed writes.
    pub wanted: bool,
    /// Whether there was no distributed commit for [`IDLE_AFTER`].
    pub idle: bool,
    /// How many locks and undecided branches are on all shards, counted after [`Next::Count`]
    /// for this very entry; None when that is not known.
    pub left: Option<u64>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Stay,
    /// Propose this state, from the entry that was seen; then look again.
    Change(GuardState),
    /// Look again later: somebody may still go by an older state.
    Wait(Lagging),
    /// Count what is left on all shards, and step again with it; on silence look again later.
    Count,
}

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lagging {
    /// A proxy that has not acknowledged the epoch.
    Proxy(ProxyId),
    /// An incarnation that is to be fenced.
    Incarnation(Incarnation),
}

/// Decides.
pub fn next(seen: &Observation<'_>, rules: Rules) -> Next {
    let Some(guard) = seen.guard else {
        return if seen.wanted { Next::Change(GuardState::Raising) } else { Next::Stay };
    };
    match guard.state {
        GuardState::Off => Next::Stay,
        // Also for nobody: Off comes only after On, since locks may be there already.
        GuardState::Raising => match lagging(seen.holders, seen.unfenced, guard.since) {
            Some(lagging) if rules.keeps(Rule::GuardAfterAcknowledgement) => Next::Wait(lagging),
            Some(_) | None => Next::Change(GuardState::On),
        },
        GuardState::On if seen.idle && !seen.wanted => Next::Change(GuardState::Lowering),
        GuardState::On => Next::Stay,
        // Writers check still, so going back is always right.
        GuardState::Lowering if seen.wanted => Next::Change(GuardState::On),
        GuardState::Lowering => {
            match (lagging(seen.holders, seen.unfenced, guard.since), seen.left) {
                (Some(lagging), _) => Next::Wait(lagging),
                (None, None) => Next::Count,
                (None, Some(0)) => Next::Change(GuardState::Off),
                (None, Some(_)) => Next::Change(GuardState::On),
            }
        }
    }
}

/// Who may still go by what was before `since`.
pub(super) fn lagging(
    holders: &[Holder],
    unfenced: Option<Incarnation>,
    since: Epoch,
) -> Option<Lagging> {
    let behind = |holder: &&Holder| holder.acknowledged.is_none_or(|epoch| epoch < since);
    let holder = holders.iter().find(behind).map(|holder| Lagging::Proxy(holder.proxy));
    holder.or(unfenced.map(Lagging::Incarnation))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Epoch = Epoch(7);

    fn holder(proxy: u32, acknowledged: Option<u64>) -> Holder {
        Holder { proxy: ProxyId(proxy), acknowledged: acknowledged.map(Epoch) }
    }

    /// All have acknowledged, none is dead, nobody wants anything.
    fn quiet(state: Option<GuardState>) -> Observation<'static> {
        Observation {
            guard: state.map(|state| Guard { state, since: SINCE }),
            holders: &[Holder { proxy: ProxyId(1), acknowledged: Some(SINCE) }],
            unfenced: None,
            wanted: false,
            idle: false,
            left: None,
        }
    }

    fn check(seen: Observation<'_>, expected: Next) {
        assert_eq!(next(&seen, Rules::default()), expected, "{seen:?}");
    }

    #[test]
    fn it_rises_for_who_wants_it_and_stays_while_it_is_used() {
        check(quiet(None), Next::Stay);
        check(Observation { wanted: true, ..quiet(None) }, Next::Change(GuardState::Raising));
        for wanted in [false, true] {
            let raising = Observation { wanted, ..quiet(Some(GuardState::Raising)) };
            check(raising, Next::Change(GuardState::On));
            check(Observation { wanted, ..quiet(Some(GuardState::On)) }, Next::Stay);
        }
        check(Observation { wanted: true, idle: true, ..quiet(Some(GuardState::On)) }, Next::Stay);
    }

    #[test]
    fn it_waits_for_every_proxy_that_may_go_by_an_older_state() {
        for state in [GuardState::Raising, GuardState::Lowering] {
            let quiet = quiet(Some(state));
            for late in [holder(2, None), holder(2, Some(6))] {
                let holders = [holder(1, Some(8)), late];
                let lagging = Lagging::Proxy(ProxyId(2));
                let seen = Observation { holders: &holders, left: Some(0), ..quiet };
                check(seen, Next::Wait(lagging));
            }
            let dead = Incarnation(4);
            let seen = Observation { unfenced: Some(dead), left: Some(0), ..quiet };
            check(seen, Next::Wait(Lagging::Incarnation(dead)));
        }
    }

    #[test]
    fn it_goes_off_when_it_is_idle_and_nothing_is_left() {
        let idle = Observation { idle: true, ..quiet(Some(GuardState::On)) };
        check(idle, Next::Change(GuardState::Lowering));
        let lowering = quiet(Some(GuardState::Lowering));
        check(lowering, Next::Count);
        check(Observation { left: Some(0), ..lowering }, Next::Change(GuardState::Off));
        check(Observation { left: Some(1), ..lowering }, Next::Change(GuardState::On));
        let wanted = Observation { wanted: true, left: Some(0), ..lowering };
        check(wanted, Next::Change(GuardState::On));
    }

    #[test]
    fn each_change_is_one_that_the_catalog_takes() {
        let states = [GuardState::Raising, GuardState::On, GuardState::Lowering];
        for state in [None].into_iter().chain(states.map(Some)) {
            for bits in 0..16_u8 {
                let seen = Observation {
                    wanted: bits & 1 != 0,
                    idle: bits & 2 != 0,
                    left: (bits & 4 != 0).then_some(u64::from(bits & 8)),
                    ..quiet(state)
                };
                if let Next::Change(to) = next(&seen, Rules::default()) {
                    assert!(to.may_follow(state.unwrap_or_default()), "{seen:?} -> {to}");
                }
            }
        }
    }
}
