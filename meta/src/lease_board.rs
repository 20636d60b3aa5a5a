//! When leases run out: the leader's bookkeeping, as a pure state machine.
//!
//! Who holds an id is replicated ([`crate::state`]); how long a holder has been silent is
//! known to the leader alone, in memory. That costs no log entry a renewal. Why an id is
//! still never given to two:
//!
//! - A holder counts its time from the moment it *sent* a renewal that was answered. The
//!   leader answers after a majority confirmed its leadership *after* the renewal arrived.
//! - A leader waits the whole time plus a margin (for clocks that run at different rates)
//!   since the holder's last renewal that it saw itself, and no less than that since its
//!   own term began: what an earlier leader confirmed was sent before. Only durations of
//!   one machine are compared, never two machines' clocks.
//! - It takes the id away by a log entry that is void in any other term, and from the
//!   moment it decides so it refuses renewals.

use crate::state::Lease;
use shardline_meta_client::rpc::LeaseInstance;
use shardline_model::id::{Epoch, ProxyId};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The leader's view of all leases in one term.
#[derive(Debug)]
pub(crate) struct LeaseBoard {
    /// The time of a lease, plus the margin.
    patience: Duration,
    term: u64,
    seen: BTreeMap<ProxyId, Seen>,
}

#[derive(Debug)]
struct Seen {
    instance: LeaseInstance,
    /// The last sign of life, or when this leader first noticed the lease.
    at: Instant,
    /// From the last renewal in this term.
    renewal: Option<Renewal>,
    /// The id is being taken away.
    ending: bool,
}

/// What a holder says of the catalogs that it goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epochs {
    /// The oldest that is in use.
    pub(crate) acknowledged: Epoch,
    /// The oldest by which a commit may still be admitted.
    pub(crate) admits_by: Epoch,
}

/// What the last renewal said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    pub(crate) acknowledged: Epoch,
    pub(crate) admits_by: Epoch,
    pub(crate) at: Instant,
}

impl LeaseBoard {
    /// A board for leases of `ttl`. The margin is a tenth of it and at least 100 ms.
    pub(crate) fn new(ttl: Duration) -> Self {
        let margin = (ttl / 10).max(Duration::from_millis(100));
        Self { patience: ttl + margin, term: 0, seen: BTreeMap::new() }
    }

    /// This node leads in `term`, now. A new term starts with patience for every lease.
    pub(crate) fn lead(&mut self, term: u64) {
        if self.term != term {
            self.term = term;
            self.seen.clear();
        }
    }

    /// A renewal in the current term; false when the id is being taken away. The caller
    /// has confirmed the leadership and that the instance holds the id.
    pub(crate) fn renew(
        &mut self,
        now: Instant,
        proxy: ProxyId,
        instance: LeaseInstance,
        epochs: Epochs,
    ) -> bool {
        let seen = self.seen.entry(proxy).or_insert_with(|| Seen::first(now, instance));
        if seen.instance != instance {
            *seen = Seen::first(now, instance);
        }
        if !seen.ending {
            seen.at = now;
            let Epochs { acknowledged, admits_by } = epochs;
            seen.renewal = Some(Renewal { acknowledged, admits_by, at: now });
        }
        !seen.ending
    }

    /// Which of the held leases have run out. They are refused from now on in this term,
    /// and named again until they are not held any more.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        held: &BTreeMap<ProxyId, Lease>,
    ) -> Vec<(ProxyId, LeaseInstance)> {
        self.seen.retain(|proxy, seen| {
            held.get(proxy).is_some_and(|lease| lease.instance == seen.instance)
        });
        let mut due = Vec::new();
        for (&proxy, lease) in held {
            let seen = self.seen.entry(proxy);
            let seen = seen.or_insert_with(|| Seen::first(now, lease.instance));
            if now.saturating_duration_since(seen.at) >= self.patience {
                seen.ending = true;
                due.push((proxy, lease.instance));
            }
        }
        due
    }

    /// The holder's last renewal in this term.
    pub(crate) fn renewal(&self, proxy: ProxyId, instance: LeaseInstance) -> Option<Renewal> {
        let seen = self.seen.get(&proxy).filter(|seen| seen.instance == instance);
        seen.and_then(|seen| seen.renewal)
    }
}

impl Seen {
    fn first(now: Instant, instance: LeaseInstance) -> Self {
        Self { instance, at: now, renewal: None, ending: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_meta_client::ProxyRegistration;
    use shardline_model::id::Incarnation;

    const TTL: Duration = Duration::from_secs(10);
    const PROXY: ProxyId = ProxyId(1);
    const HOLDER: LeaseInstance = LeaseInstance(7);

    fn held(instance: LeaseInstance) -> BTreeMap<ProxyId, Lease> {
        let registration = ProxyRegistration { address: String::new(), version: String::new() };
        BTreeMap::from([(PROXY, Lease { incarnation: Incarnation(1), instance, registration })])
    }

    fn epochs(epoch: u64) -> Epochs {
        Epochs { acknowledged: Epoch(epoch), admits_by: Epoch(epoch) }
    }

    fn board() -> LeaseBoard {
        let mut board = LeaseBoard::new(TTL);
        board.lead(1);
        board
    }

    #[test]
    fn a_silent_holder_is_due_after_the_whole_time_and_refused_from_then_on() {
        let (mut board, start) = (board(), Instant::now());
        assert!(board.renew(start, PROXY, HOLDER, epochs(3)));
        assert!(board.due(start + TTL, &held(HOLDER)).is_empty());
        assert_eq!(board.due(start + TTL * 2, &held(HOLDER)), [(PROXY, HOLDER)]);
        assert!(!board.renew(start + TTL * 2, PROXY, HOLDER, epochs(3)));
        assert_eq!(board.due(start + TTL * 2, &held(HOLDER)), [(PROXY, HOLDER)]);
    }

    #[test]
    fn a_new_term_gives_every_holder_the_whole_time_again() {
        let (mut board, start) = (board(), Instant::now());
        board.renew(start, PROXY, HOLDER, epochs(3));
        let later = start + TTL * 5;
        board.lead(2);
        assert!(board.due(later, &held(HOLDER)).is_empty());
        assert!(board.renewal(PROXY, HOLDER).is_none());
        assert!(board.due(later + TTL, &held(HOLDER)).is_empty());
        assert_eq!(board.due(later + TTL * 2, &held(HOLDER)), [(PROXY, HOLDER)]);
    }

    #[test]
    fn the_next_holder_of_an_id_starts_afresh() {
        let (mut board, start) = (board(), Instant::now());
        board.renew(start, PROXY, HOLDER, epochs(3));
        let late = start + TTL * 2;
        assert_eq!(board.due(late, &held(HOLDER)).len(), 1);
        let next = LeaseInstance(8);
        assert!(board.due(late, &held(next)).is_empty());
        assert!(board.renew(late, PROXY, next, epochs(4)));
        assert!(board.renewal(PROXY, HOLDER).is_none());
        assert_eq!(board.renewal(PROXY, next).map(|it| it.acknowledged), Some(Epoch(4)));
    }
}
