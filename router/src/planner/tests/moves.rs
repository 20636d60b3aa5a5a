//! Moves of the golden tests, as `group units from to state`: units are `slots 0-99,200-299`,
//! `interval 2026-01-01 2026-06-01` (`-` for an open end), `values N,E` or `others N,E`.

use shardline_model::{
    catalog::{Catalog, ColocationGroup},
    id::{Epoch, GroupId, JobId, MoveId, ShardId},
    key::{Key, KeyUse, Literal},
    moves::{MoveState, UnitMove},
    placement::Units,
};
use std::sync::Arc;

/// Adds the moves; where one is switched, the placement is as after it.
pub(super) fn add(catalog: &mut Catalog, texts: &[String]) {
    for (text, id) in texts.iter().zip(1..) {
        let one = read(catalog, MoveId(id), text);
        let mut group = ColocationGroup::clone(&catalog.groups[&one.group]);
        assert!(group.placement.owns_all(&one.units, &group.key_types, one.from), "{text}");
        group.placement.assign(&one.units, &group.key_types, one.owner()).unwrap();
        catalog.groups.insert(one.group, Arc::new(group));
        catalog.moves.insert(one.id, Arc::new(one));
    }
}

fn read(catalog: &Catalog, id: MoveId, text: &str) -> UnitMove {
    let words: Vec<&str> = text.split(' ').collect();
    let group = GroupId(words[0].parse().unwrap());
    let key_type = &catalog.groups[&group].key_types[0];
    let key = |text: &str| {
        let literal = Literal::Text(text.to_owned().into());
        Key::from_iter([key_type.canonical(&literal, KeyUse::Store).unwrap()])
    };
    let keys = |text: &str| {
        let mut keys: Vec<Key> = text.split(',').map(key).collect();
        keys.sort();
        keys
    };
    let run = |text: &str| {
        let (first, last) = text.split_once('-').unwrap();
        first.parse().unwrap()..last.parse::<u16>().unwrap() + 1
    };
    let bound = |text: &str| (text != "-").then(|| key(text));
    let (units, rest) = match words[1] {
        "slots" => (Units::Slots(words[2].split(',').map(run).collect()), &words[3..]),
        "interval" => {
            (Units::Interval { start: bound(words[2]), end: bound(words[3]) }, &words[4..])
        }
        "values" => (Units::Values(keys(words[2])), &words[3..]),
        "others" => (Units::OtherValues { but: keys(words[2]) }, &words[3..]),
        other => panic!("unknown units {other}"),
    };
    let state = match rest[2] {
        "incoming" => MoveState::Incoming,
        "held" => MoveState::Held,
        "outgoing" => MoveState::Outgoing,
        "heldback" => MoveState::HeldBack,
        "purging" => MoveState::Purging,
        "clearing" => MoveState::Clearing,
        other => panic!("unknown state {other}"),
    };
    let shard = |text: &str| ShardId(text.parse().unwrap());
    let (from, to) = (shard(rest[0]), shard(rest[1]));
    UnitMove { id, job: JobId(1), group, units, from, to, state, since: Epoch(1) }
}
