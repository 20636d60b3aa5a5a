//! From what is asked for to goals of groups, each with its measured sizes.

use super::{OperationError, Operations, PlanRequest, measure::Exactness, shards::named};
use shardline_model::{
    catalog::{Catalog, ColocationGroup},
    id::{GroupId, ShardId},
    key::{Key, KeyType},
    placement::{Placement, SLOTS, Units, UnitsError},
};
use shardline_rebalancer::plan::{Goal, Measure, PlanError, RebalancePlan, sizes::key_of_texts};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// What can be wanted, for messages.
const GOALS: &str =
    "one of --all, --drain, --slots, --range, --values, --isolate, --split, --merge";

impl Operations {
    /// The plan for a request, by the catalog and the sizes of now. Nothing is changed.
    ///
    /// # Errors
    /// The request makes no sense for the cluster, or a shard cannot be asked.
    pub async fn plan(&self, request: &PlanRequest) -> Result<RebalancePlan, OperationError> {
        let catalog = self.catalog();
        let wanted = wanted(&catalog, request)?;
        let mut groups = Vec::new();
        let mut busy = BTreeSet::new();
        for (id, goal) in wanted {
            let Some(group) = catalog.groups.get(&id) else { continue };
            // A group whose data moves already is left to that job.
            if let Some(one) = catalog.move_of_group(id) {
                busy.insert(one.job);
            }
            let sizes = self.measure(&catalog, group, exactness(&goal)).await?;
            groups.push((sizes, goal));
        }
        let mut plan = RebalancePlan::make(&catalog, described(request), &groups, request.max_mbps)
            .map_err(|error| refused(&error))?;
        for job in busy {
            plan.notes.push(format!(
                "job {} moves data of these tables now; what overlaps with it is refused at the start",
                job.0
            ));
        }
        Ok(plan)
    }
}

fn exactness(goal: &Goal) -> Exactness {
    match goal {
        Goal::Even { by: Measure::Rows | Measure::Bytes | Measure::Load, .. } => Exactness::Count,
        Goal::Even { by: Measure::Slots, .. }
        | Goal::Drain { .. }
        | Goal::Move { .. }
        | Goal::Isolate { .. }
        | Goal::Split { .. }
        | Goal::Merge { .. } => Exactness::Estimate,
    }
}

fn refused(error: &PlanError) -> OperationError {
    OperationError::precondition("plan", error.to_string())
}

/// A goal for each group that the request is for.
fn wanted(
    catalog: &Catalog,
    request: &PlanRequest,
) -> Result<BTreeMap<GroupId, Goal>, OperationError> {
    let single = [
        request.slots.is_some(),
        request.range.is_some(),
        !request.values.is_empty(),
        request.isolate.is_some(),
        request.split.is_some(),
        request.merge.is_some(),
    ];
    let goals = single.iter().filter(|given| **given).count();
    let all = usize::from(request.all) + usize::from(request.drain.is_some());
    if goals + all != 1 {
        return Err(OperationError::usage(format!("say what is wanted: {GOALS}")));
    }
    if request.by == Some(Measure::Load) {
        return Err(OperationError::usage(
            "there are no figures of the load by key; use slots, rows or bytes",
        ));
    }
    if goals == 1 {
        let group = one_group(catalog, request)?;
        return Ok(BTreeMap::from([(group.id, named_goal(catalog, request, group)?)]));
    }
    let goal = match &request.drain {
        Some(name) => {
            let shard = named(catalog, name)?.id;
            let mut onto = receivers(catalog, request)?;
            onto.remove(&shard);
            Goal::Drain { shard, onto }
        }
        None => {
            Goal::Even { onto: receivers(catalog, request)?, by: request.by.unwrap_or_default() }
        }
    };
    Ok(groups(catalog, request)?.into_iter().map(|id| (id, goal.clone())).collect())
}

/// The shards that may have data afterwards.
fn receivers(
    catalog: &Catalog,
    request: &PlanRequest,
) -> Result<BTreeSet<ShardId>, OperationError> {
    if request.to.is_empty() {
        return Ok(catalog.open_shards().into_iter().collect());
    }
    request.to.iter().map(|name| Ok(named(catalog, name)?.id)).collect()
}

/// The groups of the tables that are named, or all.
fn groups(catalog: &Catalog, request: &PlanRequest) -> Result<BTreeSet<GroupId>, OperationError> {
    if request.tables.is_empty() {
        return Ok(catalog.groups.keys().copied().collect());
    }
    request.tables.iter().map(|name| Ok(group_of(catalog, name)?.id)).collect()
}

fn group_of<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a ColocationGroup, OperationError> {
    let table = name.split_once('.').and_then(|(database, table)| catalog.table(database, table));
    let table = table.ok_or_else(|| {
        OperationError::not_found("table", name).hint("write it as database.table")
    })?;
    let group = table.group(catalog).map(AsRef::as_ref);
    group.ok_or_else(|| {
        OperationError::precondition("not_sharded", format!("table {name} is not sharded"))
    })
}

fn one_group<'a>(
    catalog: &'a Catalog,
    request: &PlanRequest,
) -> Result<&'a ColocationGroup, OperationError> {
    match request.tables.as_slice() {
        [name] => group_of(catalog, name),
        _ => Err(OperationError::usage(
            "name the one table that this is for: --table database.table",
        )),
    }
}

/// A goal that names keys or slots.
fn named_goal(
    catalog: &Catalog,
    request: &PlanRequest,
    group: &ColocationGroup,
) -> Result<Goal, OperationError> {
    let types = &group.key_types;
    if let Some(at) = &request.merge {
        return Ok(Goal::Merge { at: key(types, at)? });
    }
    let to = match request.to.as_slice() {
        [name] => named(catalog, name)?.id,
        _ => return Err(OperationError::usage("name the one shard that it goes to: --to SHARD")),
    };
    if let Some(text) = &request.isolate {
        return Ok(Goal::Isolate { key: key(types, text)?, to });
    }
    if let Some(at) = &request.split {
        return Ok(Goal::Split { at: key(types, at)?, to });
    }
    let units = match (&request.slots, &request.range) {
        (Some(text), _) => Units::Slots(runs(text)?),
        (None, Some(text)) => {
            let (start, end) = text.split_once("..").ok_or_else(|| {
                OperationError::usage("write the interval as FIRST..END, the end is not in it")
            })?;
            let bound = |text: &str| match text.trim() {
                "" => Ok(None),
                text => key(types, text).map(Some),
            };
            Units::Interval { start: bound(start)?, end: bound(end)? }
        }
        (None, None) => {
            let keys: Result<BTreeSet<Key>, _> =
                request.values.iter().map(|text| key(types, text)).collect();
            Units::Values(keys?.into_iter().collect())
        }
    };
    let function = match &group.placement {
        Placement::Hash(_) => "hash",
        Placement::Range(_) => "range",
        Placement::List(_) => "list",
    };
    units.check(&group.placement, types).map_err(|error| match error {
        UnitsError::OtherFunction => {
            OperationError::usage(format!("the table is sharded by {function}"))
                .hint("hash has --slots, range has --range, list has --values")
        }
        error => OperationError::usage(error.to_string()),
    })?;
    Ok(Goal::Move { units, to })
}

/// A key as people write it: the columns separated by commas.
fn key(types: &[KeyType], text: &str) -> Result<Key, OperationError> {
    let texts: Vec<&[u8]> = match types.len() {
        1 => vec![text.as_bytes()],
        count => text.splitn(count, ',').map(|part| part.trim().as_bytes()).collect(),
    };
    key_of_texts(types, &texts).ok_or_else(|| {
        let types: Vec<String> = types.iter().map(ToString::to_string).collect();
        OperationError::usage(format!("{text:?} is no key of ({})", types.join(", ")))
    })
}

/// Runs of slots: `0-99,200`.
fn runs(text: &str) -> Result<Vec<Range<u16>>, OperationError> {
    let wrong =
        || OperationError::usage(format!("{text:?} are no slots; write 0-99,200 (below {SLOTS})"));
    let mut slots = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: u16 = first.trim().parse().map_err(|_| wrong())?;
        let last: u16 = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last >= SLOTS {
            return Err(wrong());
        }
        slots.extend(first..=last);
    }
    let mut runs: Vec<Range<u16>> = Vec::new();
    for slot in slots {
        match runs.last_mut() {
            Some(run) if run.end == slot => run.end += 1,
            Some(_) | None => runs.push(slot..slot + 1),
        }
    }
    Ok(runs)
}

/// The request in one line.
fn described(request: &PlanRequest) -> String {
    let to = request.to.join(", ");
    let what = if let Some(shard) = &request.drain {
        format!("drain {shard}")
    } else if let Some(slots) = &request.slots {
        format!("move slots {slots} to {to}")
    } else if let Some(range) = &request.range {
        format!("move keys {range} to {to}")
    } else if !request.values.is_empty() {
        format!("move values {} to {to}", request.values.join(", "))
    } else if let Some(key) = &request.isolate {
        format!("isolate {key} on {to}")
    } else if let Some(key) = &request.split {
        format!("split at {key}, upper part to {to}")
    } else if let Some(key) = &request.merge {
        format!("merge the interval of {key} with the one below")
    } else {
        let by = match request.by.unwrap_or_default() {
            Measure::Slots => "",
            Measure::Rows => " by rows",
            Measure::Bytes => " by bytes",
            Measure::Load => " by load",
        };
        let onto = if to.is_empty() { "all shards".to_owned() } else { to };
        format!("even out over {onto}{by}")
    };
    match request.tables.as_slice() {
        [] => what,
        tables => format!("{what}: {}", tables.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_as_people_write_them() {
        assert_eq!(runs("0-2, 7,3").expect("good"), [0..4, 7..8]);
        for wrong in ["", "5-3", "16384", "a", "-"] {
            assert!(runs(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_as_people_write_them() {
        let number = KeyType::Integer { min: 0, max: 100 };
        assert!(key(std::slice::from_ref(&number), "17").is_ok());
        assert!(key(&[number.clone(), KeyType::Date], "17, 2026-01-31").is_ok());
        let wrong = key(&[number], "x").expect_err("no number");
        assert!(wrong.message.contains("no key"), "{wrong}");
    }
}
