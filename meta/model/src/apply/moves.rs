//! The steps of moves and jobs: each is made by whoever saw the last one, and a unit has one
//! owner and one move at most all the way.

use super::{limit, unknown};
use crate::{
    catalog::{Catalog, ColocationGroup, Table},
    change::{Applied, ChangeError, JOB_TEXT_BYTES_MAX, JOBS_MAX, MOVE_PARTS_MAX, MOVES_MAX},
    id::{Epoch, GroupId, JobId, MoveId, ShardId},
    moves::{Job, JobKind, JobState, MoveState, NewMove, UnitMove},
    placement::Units,
    validate,
};
use std::{collections::BTreeSet, sync::Arc};

/// Whether a move is still as it was seen, and may be so next.
pub(super) fn check_step(
    id: MoveId,
    now: (MoveState, Epoch),
    from: (MoveState, Epoch),
    to: Option<MoveState>,
) -> Result<(), ChangeError> {
    if now != from {
        return Err(ChangeError::MoveMoved { id, now: Some(now) });
    }
    match MoveState::may_follow(to, now.0) {
        true => Ok(()),
        false => Err(ChangeError::MoveOrder { id, from: now.0, to }),
    }
}

impl Catalog {
    /// The epoch that the change in hand makes.
    fn next_epoch(&self) -> Epoch {
        Epoch(self.epoch.0 + 1)
    }

    pub(super) fn create_job(
        &mut self,
        kind: JobKind,
        summary: &str,
        created_unix_s: u64,
        state: &JobState,
    ) -> Result<Applied, ChangeError> {
        limit("bytes in the summary of a job", summary.len(), JOB_TEXT_BYTES_MAX)?;
        check_state(state)?;
        if self.jobs.len() >= JOBS_MAX {
            // The oldest that is over makes room.
            let over = self.jobs.values().find(|job| job.state.phase.is_over());
            let over = over.map(|job| job.id);
            over.and_then(|id| self.jobs.remove(&id));
        }
        limit("jobs", self.jobs.len() + 1, JOBS_MAX)?;
        self.last_ids.job += 1;
        let id = JobId(self.last_ids.job);
        let job = Job {
            id,
            kind,
            summary: summary.to_owned(),
            created_unix_s,
            state: state.clone(),
            since: self.next_epoch(),
        };
        self.jobs.insert(id, Arc::new(job));
        Ok(Applied { job: Some(id), ..Applied::default() })
    }

    pub(super) fn set_job(
        &mut self,
        id: JobId,
        from: Epoch,
        state: &JobState,
    ) -> Result<(), ChangeError> {
        let job = self.jobs.get(&id).ok_or_else(|| unknown("job", &id.to_string()))?;
        if job.since != from {
            return Err(ChangeError::JobMoved {
                job: id,
                phase: job.state.phase,
                since: job.since,
            });
        }
        check_state(state)?;
        if job.state.phase.is_over() && state.phase != job.state.phase {
            return Err(ChangeError::JobOver { job: id, phase: job.state.phase });
        }
        if state.phase.is_over()
            && let Some(open) = self.moves.values().find(|open| open.job == id)
        {
            return Err(ChangeError::JobHasMoves { job: id, open: open.id, state: open.state });
        }
        if state.phase.is_over()
            && let Some(open) = self.reshards.values().find(|open| open.job == id)
        {
            return Err(ChangeError::JobHasMoves { job: id, open: open.id, state: open.state });
        }
        let job = Job { state: state.clone(), since: self.next_epoch(), ..Job::clone(job) };
        self.jobs.insert(id, Arc::new(job));
        Ok(())
    }

    pub(super) fn begin_moves(
        &mut self,
        job: JobId,
        moves: &[NewMove],
    ) -> Result<Applied, ChangeError> {
        let known = self.jobs.get(&job).ok_or_else(|| unknown("job", &job.to_string()))?;
        if known.state.phase.is_over() {
            return Err(ChangeError::JobOver { job, phase: known.state.phase });
        }
        limit("moves", self.moves.len() + moves.len(), MOVES_MAX)?;
        let first = MoveId(self.last_ids.unit_move + 1);
        for new in moves {
            self.last_ids.unit_move += 1;
            let begun = UnitMove {
                id: MoveId(self.last_ids.unit_move),
                job,
                group: new.group,
                units: new.units.clone(),
                from: new.from,
                to: new.to,
                state: MoveState::Incoming,
                since: self.next_epoch(),
                owned_since: Epoch(0),
            };
            self.shard_for_data(begun.to)?;
            self.check_move(&begun)?;
            self.moves.insert(begun.id, Arc::new(begun));
        }
        let groups: BTreeSet<GroupId> = moves.iter().map(|new| new.group).collect();
        for group in groups {
            self.check_group_rests(group)?;
            self.check_outcome(group)?;
        }
        Ok(Applied { first_move: Some(first), ..Applied::default() })
    }

    pub(super) fn set_move(
        &mut self,
        id: MoveId,
        from: (MoveState, Epoch),
        to: Option<MoveState>,
    ) -> Result<(), ChangeError> {
        let found = self.moves.get(&id).cloned();
        let found = found.ok_or(ChangeError::MoveMoved { id, now: None })?;
        check_step(id, (found.state, found.since), from, to)?;
        let Some(state) = to else {
            self.moves.remove(&id);
            return Ok(());
        };
        let since = self.next_epoch();
        let mut next = UnitMove { state, since, ..UnitMove::clone(&found) };
        if next.owner() != found.owner() {
            next.owned_since = since;
            self.assign(&next)?;
        }
        self.moves.insert(id, Arc::new(next));
        Ok(())
    }

    /// Gives the units to the owner that the move says.
    fn assign(&mut self, next: &UnitMove) -> Result<(), ChangeError> {
        let group = self.moving_group(next.group)?;
        let mut group = ColocationGroup::clone(group);
        group
            .placement
            .assign(&next.units, &group.key_types, next.owner())
            .map_err(|source| ChangeError::BadUnits { id: next.id, source })?;
        validate::check_placement(self, "of the group", &group.placement, &group.key_types)?;
        self.groups.insert(next.group, Arc::new(group));
        Ok(())
    }

    fn moving_group(&self, id: GroupId) -> Result<&Arc<ColocationGroup>, ChangeError> {
        self.groups.get(&id).ok_or_else(|| unknown("colocation group", &id.to_string()))
    }

    /// Whether a move agrees with the placement and touches no other one.
    pub(crate) fn check_move(&self, this: &UnitMove) -> Result<(), ChangeError> {
        let group = self.moving_group(this.group)?;
        self.known_shard(this.from)?;
        self.known_shard(this.to)?;
        if this.from == this.to {
            return Err(ChangeError::MoveToItself { shard: this.to });
        }
        if !self.jobs.contains_key(&this.job) {
            return Err(unknown("job", &this.job.to_string()));
        }
        limit("parts of the units of a move", parts(&this.units), MOVE_PARTS_MAX)?;
        this.units
            .check(&group.placement, &group.key_types)
            .map_err(|source| ChangeError::BadUnits { id: this.id, source })?;
        if let Some(other) = self.moves.values().find(|other| {
            other.id != this.id
                && other.group == this.group
                && other.units.overlaps(&this.units, &group.key_types)
        }) {
            return Err(ChangeError::MovesOverlap {
                units: this.units.to_string(),
                other: other.id,
                job: other.job,
            });
        }
        if !group.placement.owns_all(&this.units, &group.key_types, this.owner()) {
            return Err(ChangeError::NotOwned {
                units: this.units.to_string(),
                shard: this.owner(),
            });
        }
        Ok(())
    }

    /// Whether the placement keeps its limits when all moves of the group are made, so that
    /// no switch fails by them.
    fn check_outcome(&self, id: GroupId) -> Result<(), ChangeError> {
        let group = self.moving_group(id)?;
        let mut placement = group.placement.clone();
        for one in self.moves.values().filter(|one| one.group == id) {
            placement
                .assign(&one.units, &group.key_types, one.to)
                .map_err(|source| ChangeError::BadUnits { id: one.id, source })?;
        }
        validate::check_placement(self, "of the group", &placement, &group.key_types)
    }

    /// Whether the definition of a table may change: none of its rows is on its way.
    ///
    /// # Errors
    /// [`ChangeError::TableMoves`], which says what to do.
    pub fn check_table_rests(&self, database: &str, name: &str) -> Result<(), ChangeError> {
        self.table(database, name).map_or(Ok(()), |table| self.check_rests(table))
    }

    /// Refuses a change of a table while units of its group are on their way: the copy and the
    /// change stream know the definition of their start.
    pub(super) fn check_rests(&self, table: &Table) -> Result<(), ChangeError> {
        let moves = table.sharding().and_then(|sharding| self.move_of_group(sharding.group));
        let job = moves.map(|one| one.job);
        match job.or_else(|| self.reshard_of(table.id).map(|one| one.job)) {
            Some(job) => Err(ChangeError::TableMoves {
                table: format!("{}.{}", table.database, table.name),
                job,
            }),
            None => Ok(()),
        }
    }

    /// Refuses the removal of a shard that rows come from or go to.
    pub(super) fn check_shard_rests(&self, shard: ShardId) -> Result<(), ChangeError> {
        match self.moves.values().find(|one| one.from == shard || one.to == shard) {
            Some(one) => Err(ChangeError::ShardInUse {
                shard,
                reason: format!("move {} of job {} comes from it or goes to it", one.id, one.job),
            }),
            None => match self
                .reshards
                .values()
                .find(|one| one.from_shards.contains(&shard) || one.to_shards.contains(&shard))
            {
                Some(one) => Err(ChangeError::ShardInUse {
                    shard,
                    reason: format!(
                        "rows of the table of job {} come from it or go to it",
                        one.job
                    ),
                }),
                None => Ok(()),
            },
        }
    }

    /// The moves and jobs of a whole catalog.
    pub(crate) fn validate_moves(&self) -> Result<(), ChangeError> {
        limit("moves", self.moves.len(), MOVES_MAX)?;
        limit("jobs", self.jobs.len(), JOBS_MAX)?;
        for (id, job) in &self.jobs {
            if job.id != *id || self.last_ids.job < id.0 || job.since > self.epoch {
                return Err(unknown("job", &id.to_string()));
            }
            check_state(&job.state)?;
        }
        for (id, one) in &self.moves {
            if one.id != *id || self.last_ids.unit_move < id.0 || one.since > self.epoch {
                return Err(unknown("move", &id.to_string()));
            }
            self.check_move(one)?;
        }
        Ok(())
    }
}

fn check_state(state: &JobState) -> Result<(), ChangeError> {
    let error = state.last_error.as_ref().map_or(0, String::len);
    limit("bytes in the error of a job", error, JOB_TEXT_BYTES_MAX)?;
    match state.throttle.window {
        Some((from, until)) if from.max(until) > MINUTES_OF_A_DAY => {
            Err(ChangeError::TooMany { what: "minutes in a day", limit: MINUTES_OF_A_DAY.into() })
        }
        Some(_) | None => Ok(()),
    }
}

const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// How many comparisons the units are in SQL.
fn parts(units: &Units) -> usize {
    match units {
        Units::Slots(runs) => runs.len(),
        Units::Interval { .. } => 1,
        Units::Values(keys) | Units::OtherValues { but: keys } => keys.len(),
    }
}
