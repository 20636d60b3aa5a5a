//! A `strict` read is of one moment: there is an order of all reads and writes that has each between
//! its question and its answer, and in which the read sees exactly what was written before it.

use crate::engine::Micros;

/// What was done on a shard, and what that says of the shard's commits, which are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    /// It is the commit of this number.
    Write(u64),
    /// It saw so many.
    Read(u64),
}

/// A write or a read on one shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub shard: usize,
    pub deed: Deed,
    pub asked: Micros,
    /// None when it never was.
    pub answered: Option<Micros>,
}

/// A `strict` read: how many commits of each shard it saw.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub shown: Vec<u64>,
    pub asked: Micros,
    pub answered: Micros,
}

/// What is wrong with the order of a read among all others.
pub(crate) fn disorder(moment: &Moment, ops: &[Op]) -> Option<String> {
    let shown = |op: &Op| moment.shown[op.shard];
    let is_after = |op: &Op| match op.deed {
        Deed::Write(number) => number > shown(op),
        Deed::Read(seen) => seen > shown(op),
    };
    let is_before = |op: &Op| match op.deed {
        Deed::Write(number) => number <= shown(op),
        Deed::Read(seen) => seen < shown(op),
    };
    let first = ops.iter().filter(|op| is_after(op) && op.answered.is_some());
    let first = first.min_by_key(|op| op.answered);
    let last = ops.iter().filter(|op| is_before(op)).max_by_key(|op| op.asked);
    if let Some(first) = first
        && first.answered < Some(moment.asked)
    {
        return Some(format!("{moment:?} lacks what was done before it: {first:?}"));
    }
    if let Some(last) = last
        && last.asked > moment.answered
    {
        return Some(format!("{moment:?} shows what was not asked for yet: {last:?}"));
    }
    match (first, last) {
        (Some(first), Some(last)) if first.answered < Some(last.asked) => {
            Some(format!("{moment:?} comes before {first:?} and after the later {last:?}"))
        }
        (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) | (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::{Run, run};
    use shardline_proxy::txn::rules::{Rule, Rules};

    const SEEDS_FOR_A_BUG: u64 = 400;

    fn seeds() -> u64 {
        let number = std::env::var("SHARDLINE_SIM_SEEDS").ok();
        number.and_then(|text| text.parse().ok()).unwrap_or(2_000)
    }

    fn first_disorder(seed: u64, rules: Rules) -> (Run, Option<String>) {
        let run = run(seed, rules);
        let found = run.moments.iter().find_map(|moment| disorder(moment, &run.ops));
        (run, found)
    }

    #[test]
    fn it_holds() {
        let (mut moments, mut ops, mut released) = (0, 0, 0);
        for seed in 0..seeds() {
            let (run, found) = first_disorder(seed, Rules::default());
            assert!(found.is_none(), "seed {seed}: {found:?}");
            moments += run.moments.len();
            ops += run.ops.len();
            released += run.released;
        }
        println!("{} seeds: {moments} reads, {ops} others, {released} released", seeds());
        assert!(moments as u64 > 5 * seeds() && ops as u64 > 500 * seeds());
        assert!(released > seeds() / 10, "{released}");
    }

    fn caught(rule: Rule) {
        for seed in 0..SEEDS_FOR_A_BUG {
            if let (_, Some(text)) = first_disorder(seed, Rules::all_but(rule)) {
                println!("{rule:?}: seed {seed}: {text}");
                return;
            }
        }
        panic!("{rule:?} broken is not seen in {SEEDS_FOR_A_BUG} seeds");
    }

    #[test]
    fn opening_before_all_follow_is_caught() {
        caught(Rule::BarrierBeforeSnapshots);
    }

    #[test]
    fn a_barrier_that_was_taken_away_is_caught() {
        caught(Rule::BarrierStoodToTheEnd);
    }
}
