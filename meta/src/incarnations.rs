//! Every life of every proxy that is not over in all respects: it lives, or its connections
//! are still to be cut off (fenced), or its transactions may still be asked for. Replicated,
//! plain and deterministic, as all of [`crate::state`].

use serde::{Deserialize, Serialize};
use shardline_meta_client::rpc::{INCARNATIONS_MAX, IncarnationState, MarkRefusal};
use shardline_model::id::{Incarnation, ProxyId};
use std::collections::BTreeMap;

/// The numbers that were given out, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incarnations {
    last: u64,
    /// Swept ones are gone from here.
    known: BTreeMap<Incarnation, IncarnationState>,
}

impl Incarnations {
    /// A new one; None when too many are not swept.
    pub(crate) fn begin(&mut self, proxy: ProxyId) -> Option<Incarnation> {
        if self.known.len() >= INCARNATIONS_MAX {
            return None;
        }
        self.last += 1;
        let incarnation = Incarnation(self.last);
        self.known.insert(incarnation, IncarnationState::Live(proxy));
        Some(incarnation)
    }

    /// Its lease is over, by a release too: what it had sent to a shard may still arrive.
    pub(crate) fn end(&mut self, incarnation: Incarnation) {
        match self.known.get_mut(&incarnation) {
            Some(state @ IncarnationState::Live(_)) => *state = IncarnationState::Ended,
            Some(IncarnationState::Ended | IncarnationState::Fenced { .. }) | None => {}
        }
    }

    /// No shard takes anything from it any more. Fine when that was known.
    pub(crate) fn fenced(
        &mut self,
        incarnation: Incarnation,
        at_unix_s: u64,
    ) -> Result<(), MarkRefusal> {
        match self.known.get_mut(&incarnation) {
            Some(IncarnationState::Live(_)) => Err(MarkRefusal::Live { incarnation }),
            Some(state @ IncarnationState::Ended) => {
                *state = IncarnationState::Fenced { at_unix_s };
                Ok(())
            }
            Some(IncarnationState::Fenced { .. }) => Ok(()),
            None => self.swept_before(incarnation),
        }
    }

    /// Nothing of it is left. Fine when that was known.
    pub(crate) fn swept(&mut self, incarnation: Incarnation) -> Result<(), MarkRefusal> {
        match self.known.get(&incarnation) {
            Some(IncarnationState::Live(_)) => Err(MarkRefusal::Live { incarnation }),
            Some(IncarnationState::Ended) => Err(MarkRefusal::NotFenced { incarnation }),
            Some(IncarnationState::Fenced { .. }) => {
                self.known.remove(&incarnation);
                Ok(())
            }
            None => self.swept_before(incarnation),
        }
    }

    /// All that are not swept, by number.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Incarnation, IncarnationState)> {
        self.known.iter().map(|(incarnation, state)| (*incarnation, *state))
    }

    fn swept_before(&self, incarnation: Incarnation) -> Result<(), MarkRefusal> {
        let given_out = (1..=self.last).contains(&incarnation.0);
        if given_out { Ok(()) } else { Err(MarkRefusal::Unknown { incarnation }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: ProxyId = ProxyId(3);

    #[test]
    fn one_lives_ends_is_fenced_and_swept_in_this_order() {
        let mut all = Incarnations::default();
        let one = all.begin(PROXY).unwrap();
        assert_eq!(one, Incarnation(1));
        let live = Err(MarkRefusal::Live { incarnation: one });
        assert_eq!((all.fenced(one, 5), all.swept(one)), (live.clone(), live));
        all.end(one);
        assert_eq!(all.swept(one), Err(MarkRefusal::NotFenced { incarnation: one }));
        // The first time stays.
        for at_unix_s in [5, 6] {
            assert_eq!(all.fenced(one, at_unix_s), Ok(()));
            all.end(one);
            let fenced = IncarnationState::Fenced { at_unix_s: 5 };
            assert_eq!(all.all().collect::<Vec<_>>(), [(one, fenced)]);
        }
        for _ in 0..2 {
            assert_eq!((all.swept(one), all.fenced(one, 7)), (Ok(()), Ok(())));
            assert_eq!(all.all().count(), 0);
        }
        assert_eq!(all.begin(PROXY), Some(Incarnation(2)));
        let incarnation = Incarnation(3);
        assert_eq!(all.swept(incarnation), Err(MarkRefusal::Unknown { incarnation }));
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let mut all = Incarnations::default();
        for _ in 0..INCARNATIONS_MAX {
            let one = all.begin(PROXY).unwrap();
            all.end(one);
        }
        assert_eq!(all.begin(PROXY), None);
        let first = Incarnation(1);
        all.fenced(first, 0).unwrap();
        assert_eq!(all.begin(PROXY), None);
        all.swept(first).unwrap();
        assert_eq!(all.begin(PROXY), Some(Incarnation(INCARNATIONS_MAX as u64 + 1)));
    }
}
