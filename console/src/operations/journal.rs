//! What became of jobs while this process was there: their steps with the time, and the last figures of
//! moves that are gone from the catalog. Bounded; the catalog itself has the present only.

use super::{EventView, Operations, unix_s};
use parking_lot::Mutex;
use shardline_model::{
    id::{JobId, MoveId},
    moves::JobState,
};
use shardline_rebalancer::driver::MoveStatus;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Events that are kept.
const EVENTS_MAX: usize = 2_000;
/// Moves whose last figures are kept.
const MOVES_MAX: usize = 4_096;
/// Between two looks while something moves.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Journal {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    events: VecDeque<EventView>,
    jobs: BTreeMap<JobId, JobState>,
    moves: BTreeMap<MoveId, (JobId, MoveStatus)>,
}

impl Journal {
    /// What happened to a job, the oldest first.
    pub(super) fn events(&self, job: u64) -> Vec<EventView> {
        self.known.lock().events.iter().filter(|event| event.job == job).cloned().collect()
    }

    /// The last figures of all moves that a job had here.
    pub(super) fn moves(&self, job: JobId) -> BTreeMap<MoveId, MoveStatus> {
        let known = self.known.lock();
        let of_job = known.moves.iter().filter(|(_, (owner, _))| *owner == job);
        of_job.map(|(id, (_, status))| (*id, status.clone())).collect()
    }

    fn note_job(&self, id: JobId, state: &JobState) {
        let mut known = self.known.lock();
        let before = known.jobs.insert(id, state.clone());
        let mut texts = Vec::new();
        if before.as_ref().is_none_or(|before| before.phase != state.phase) {
            texts.push(state.phase.to_string());
        }
        if before.as_ref().is_none_or(|before| before.owner != state.owner)
            && let Some(owner) = state.owner
        {
            texts.push(format!("driven by {owner}"));
        }
        let old_error = before.as_ref().and_then(|before| before.last_error.as_ref());
        if let Some(error) = state.last_error.as_ref().filter(|error| Some(*error) != old_error) {
            texts.push(format!("error: {error}"));
        }
        if before.as_ref().is_some_and(|before| before.wish != state.wish) {
            texts.push(format!("wanted: {}", super::jobs::wish_name(state.wish)));
        }
        texts.into_iter().for_each(|text| known.push(id, text));
    }

    fn note_move(&self, job: JobId, id: MoveId, status: MoveStatus) {
        let mut known = self.known.lock();
        let before = known.moves.get(&id).map(|(_, before)| before);
        let mut texts = Vec::new();
        if before.is_none_or(|before| before.state != status.state) {
            let pause = status.pause.map(|pause| format!(", {} ms held", pause.as_millis()));
            texts.push(format!("move {}: {}{}", id.0, status.state, pause.unwrap_or_default()));
        }
        let old_error = before.and_then(|before| before.last_error.as_ref());
        if let Some(error) = status.last_error.as_ref().filter(|error| Some(*error) != old_error) {
            texts.push(format!("move {}: {error}", id.0));
        }
        // What a flow has counted is gone when it ends.
        let mut status = status;
        if let Some(before) = before {
            let (old, new) = (&before.progress, &mut status.progress);
            new.rows_copied = new.rows_copied.max(old.rows_copied);
            new.bytes_copied = new.bytes_copied.max(old.bytes_copied);
            new.rows_estimated = new.rows_estimated.max(old.rows_estimated);
            status.pause = status.pause.max(before.pause);
        }
        while known.moves.len() >= MOVES_MAX && !known.moves.contains_key(&id) {
            known.moves.pop_first();
        }
        known.moves.insert(id, (job, status));
        texts.into_iter().for_each(|text| known.push(job, text));
    }
}

impl Known {
    fn push(&mut self, job: JobId, text: String) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(EventView { unix_s: unix_s(), job: job.0, text });
    }
}

impl Operations {
    /// Looks at the catalog at each change, and at the moves while there are some.
    pub(super) async fn follow_jobs(&self) {
        let mut epochs = self.meta.subscribe();
        loop {
            let catalog = self.catalog();
            for (id, job) in &catalog.jobs {
                self.journal.note_job(*id, &job.state);
            }
            self.journal.known.lock().jobs.retain(|id, _| catalog.jobs.contains_key(id));
            let status = self.driver.get().map(|driver| driver.status()).unwrap_or_default();
            for (id, status) in status {
                if let Some(one) = catalog.moves.get(&id) {
                    self.journal.note_move(one.job, id, status);
                }
            }
            if catalog.moves.is_empty() {
                if epochs.changed().await.is_err() {
                    return;
                }
            } else {
                // Both are worth a look; an epoch that comes first is seen then.
                let _ = tokio::time::timeout(LOOK_PAUSE, epochs.changed()).await;
            }
        }
    }
}
