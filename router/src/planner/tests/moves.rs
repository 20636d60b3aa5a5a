//! Moves of the golden tests, as `group units from to state`: units are `slots 0-99,200-299`,
//! `interval 2026-01-01 2026-06-01` (`-` for an open end), `values N,E` or `others N,E`. Tables that are spread
//! anew, as `table name group column state`, `table name broadcast state` or `table name single shard state`.

use shardline_model::{
    catalog::{Catalog, ColocationGroup, Database, Sharding, Table, TableKind},
    id::{Epoch, GroupId, JobId, MoveId, ShardId},
    key::{Key, KeyUse, Literal},
    moves::{MoveState, UnitMove},
    placement::Units,
    reshard::Reshard,
};
use std::{collections::BTreeSet, sync::Arc};

/// Adds the moves; where one is switched, the placement is as after it.
pub(super) fn add(catalog: &mut Catalog, texts: &[String]) {
    for (text, id) in texts.iter().zip(1..) {
        if let Some(text) = text.strip_prefix("table ") {
            spread(catalog, MoveId(id), text);
            continue;
        }
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
    let state = state(rest[2]);
    let shard = |text: &str| ShardId(text.parse().unwrap());
    let (from, to) = (shard(rest[0]), shard(rest[1]));
    let owned_since = Epoch(u64::from(!state.is_owned_by_source()));
    UnitMove { id, job: JobId(1), group, units, from, to, state, since: Epoch(1), owned_since }
}

fn state(text: &str) -> MoveState {
    match text {
        "incoming" => MoveState::Incoming,
        "held" => MoveState::Held,
        "outgoing" => MoveState::Outgoing,
        "heldback" => MoveState::HeldBack,
        "purging" => MoveState::Purging,
        "clearing" => MoveState::Clearing,
        other => panic!("unknown state {other}"),
    }
}

/// Spreads a table anew; where that has been done, the table is of its new kind.
fn spread(catalog: &mut Catalog, id: MoveId, text: &str) {
    let words: Vec<&str> = text.split(' ').collect();
    let table = Table::clone(catalog.table("bank", words[0]).unwrap());
    let to = match words[1] {
        "broadcast" => TableKind::Broadcast,
        "single" => TableKind::Single { shard: ShardId(words[2].parse().unwrap()) },
        group => TableKind::Sharded(Sharding {
            group: GroupId(group.parse().unwrap()),
            key_columns: vec![words[2].parse().unwrap()],
        }),
    };
    let shards = |kind: &TableKind| -> BTreeSet<ShardId> {
        match kind {
            TableKind::Broadcast => catalog.shards.keys().copied().collect(),
            TableKind::Single { shard } => [*shard].into(),
            TableKind::Sharded(sharding) => catalog.groups[&sharding.group].placement.shards(),
        }
    };
    let state = state(words.last().unwrap());
    let owned_since = Epoch(u64::from(!state.is_owned_by_source()));
    let one = Reshard {
        id,
        job: JobId(1),
        table: table.id,
        from_shards: shards(&table.kind),
        to_shards: shards(&to),
        from: table.kind.clone(),
        to,
        state,
        since: Epoch(1),
        owned_since,
    };
    let table = Table { kind: one.kind().clone(), ..table };
    let mut bank = Database::clone(&catalog.databases["bank"]);
    bank.tables.insert(table.name.clone(), Arc::new(table));
    catalog.databases.insert("bank".into(), Arc::new(bank));
    catalog.reshards.insert(id, Arc::new(one));
}
