//! The janitor: cuts off proxies that are gone, takes away what is left of them, and moves
//! guards that nobody waits for. Every proxy runs one; the one with the smallest id acts. Two at
//! once do no harm.

use super::{Distributed, fence::has_no_tables};
use crate::{
    metrics::ClusterGauges,
    session::shared::Shared,
    txn::{guard::IDLE_AFTER, sweep::OUTCOMES_KEPT, xid::Incarnation},
};
use bytes::Bytes;
use parking_lot::Mutex;
use shardline_base::{Policy, Shutdown, Tasks};
use shardline_meta_client::{ClusterStatus, IncarnationState};
use shardline_model::{
    guard::{Guard, GuardState},
    id::ShardId,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Between two looks at the metadata service.
const PERIOD: Duration = Duration::from_secs(1);
/// How long one look, or one guard's step, may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// Incarnations that are fenced or swept at once.
const AT_ONCE: usize = 4;
/// Between two attempts to sweep an incarnation.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);
/// Between two looks whether there were distributed commits.
const IDLE_PERIOD: Duration = Duration::from_secs(60);

/// Runs until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, stop: Shutdown) {
    let mut janitor = Janitor {
        distributed: shared.distributed.clone(),
        tasks: Tasks::new("janitor", &stop),
        busy: Arc::default(),
        attempts: BTreeMap::new(),
        idleness: Idleness::default(),
        gauges: ClusterGauges::default(),
    };
    while stop.or(tokio::time::sleep(PERIOD)).await.is_some() {
        let held = shared.lease.load().as_ref().filter(|one| one.valid()).map(|one| one.proxy_id());
        let Some(own) = held else { continue };
        let Some(status) = stop.or(janitor.look()).await else { break };
        let Some(status) = status else { continue };
        janitor.show(&status);
        let acts = status.leases.iter().map(|lease| lease.proxy).min() == Some(own);
        shared.distributed.acts.store(acts, Ordering::Relaxed);
        if !acts {
            janitor.idleness = Idleness::default();
            janitor.attempts.clear();
            continue;
        }
        janitor.fence_and_sweep(&status);
        if stop.or(janitor.move_guards()).await.is_none() {
            break;
        }
    }
    janitor.tasks.stop().await;
}

struct Janitor {
    distributed: Arc<Distributed>,
    tasks: Tasks,
    /// Incarnations that are worked on.
    busy: Arc<Mutex<BTreeSet<Incarnation>>>,
    /// When each was tried last, and how often: those that wait longest come first.
    attempts: BTreeMap<Incarnation, (Instant, u32)>,
    idleness: Idleness,
    gauges: ClusterGauges,
}

/// What is to be done with an incarnation.
#[derive(Clone, Copy)]
enum Work {
    Fence,
    Sweep { fenced_for: Duration },
}

impl Janitor {
    async fn look(&self) -> Option<ClusterStatus> {
        match tokio::time::timeout(LOOK_LIMIT, self.distributed.meta.cluster_status()).await {
            Ok(Ok(status)) => Some(status),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the janitor cannot look");
                None
            }
            Err(_) => None,
        }
    }

    fn show(&self, status: &ClusterStatus) {
        let of = |wanted: fn(&IncarnationState) -> bool| {
            status.incarnations.iter().filter(|one| wanted(&one.state)).count()
        };
        let live = of(|state| matches!(state, IncarnationState::Live(_)));
        let ended = of(|state| matches!(state, IncarnationState::Ended));
        let fenced = of(|state| matches!(state, IncarnationState::Fenced { .. }));
        self.gauges.incarnations(live, ended, fenced);
        let catalog = self.distributed.meta.catalog();
        let guards = |state| catalog.guards.values().filter(|one| one.state == state).count();
        let states = [GuardState::Raising, GuardState::On, GuardState::Lowering];
        for state in states {
            self.gauges.guards(state, guards(state));
        }
    }

    fn fence_and_sweep(&mut self, status: &ClusterStatus) {
        let now = Instant::now();
        let listed: BTreeSet<_> = status.incarnations.iter().map(|one| one.incarnation).collect();
        self.attempts.retain(|one, _| listed.contains(one));
        let mut work: Vec<_> = status
            .incarnations
            .iter()
            .filter_map(|one| Some((one.incarnation, work(one.state, unix_s())?)))
            .filter(|(one, work)| self.is_due(*one, *work, now))
            .collect();
        work.sort_by_key(|(one, _)| self.attempts.get(one).map(|(at, _)| *at));
        for (incarnation, work) in work {
            if self.busy.lock().len() >= AT_ONCE {
                return;
            }
            let tried = self.attempts.get(&incarnation).map_or(0, |(_, tried)| *tried);
            self.attempts.insert(incarnation, (now, tried.saturating_add(1)));
            self.busy.lock().insert(incarnation);
            let (distributed, busy) = (self.distributed.clone(), self.busy.clone());
            let name = format!("janitor of {incarnation}");
            self.tasks.spawn(name, Policy::Isolated, async move {
                let _busy = Busy { busy, incarnation };
                match work {
                    Work::Fence => fence(&distributed, incarnation, tried).await,
                    Work::Sweep { fenced_for } => {
                        sweep(&distributed, incarnation, fenced_for).await;
                    }
                }
            });
        }
    }

    fn is_due(&self, incarnation: Incarnation, work: Work, now: Instant) -> bool {
        if self.busy.lock().contains(&incarnation) {
            return false;
        }
        let pause = match work {
            Work::Fence => Duration::ZERO,
            Work::Sweep { .. } => SWEEP_PAUSE,
        };
        self.attempts.get(&incarnation).is_none_or(|(at, _)| now >= *at + pause)
    }

    /// Guards whose proxies have gone in the middle, and idle ones.
    async fn move_guards(&mut self) {
        let catalog = self.distributed.meta.catalog();
        let guards = catalog.guards.clone();
        // It would keep this proxy from acknowledging what comes next.
        drop(catalog);
        if guards.is_empty() {
            return;
        }
        let idle = self.idleness.look(&self.distributed, &guards).await;
        for (database, guard) in guards {
            let moves = match guard.state {
                GuardState::Off => false,
                GuardState::On => idle,
                GuardState::Raising | GuardState::Lowering => true,
            };
            if moves {
                let step = self.distributed.move_guard(&database, false, idle);
                match tokio::time::timeout(LOOK_LIMIT, step).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(stuck)) => tracing::debug!(database, ?stuck, "a guard does not move"),
                    Err(_) => tracing::debug!(database, "a guard's step takes long"),
                }
            }
        }
    }
}

/// What an incarnation in this state needs.
fn work(state: IncarnationState, now_unix_s: u64) -> Option<Work> {
    match state {
        IncarnationState::Live(_) => None,
        IncarnationState::Ended => Some(Work::Fence),
        IncarnationState::Fenced { at_unix_s } => {
            let fenced_for = Duration::from_secs(now_unix_s.saturating_sub(at_unix_s));
            (fenced_for >= OUTCOMES_KEPT).then_some(Work::Sweep { fenced_for })
        }
    }
}

/// Says that an incarnation is not worked on any more, however the work ended.
struct Busy {
    busy: Arc<Mutex<BTreeSet<Incarnation>>>,
    incarnation: Incarnation,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.incarnation);
    }
}

async fn fence(distributed: &Arc<Distributed>, incarnation: Incarnation, tried: u32) {
    match distributed.fence(incarnation).await {
        Ok(()) => match distributed.meta.mark_fenced(incarnation, unix_s()).await {
            Ok(()) => tracing::info!(%incarnation, "fenced"),
            Err(error) => tracing::warn!(%incarnation, %error, "fenced, and not marked so yet"),
        },
        // Not at every attempt: a shard may be away for hours.
        Err(hindrance) if (tried + 1).is_power_of_two() => {
            tracing::warn!(%incarnation, hindrance, "a proxy that is gone cannot be fenced yet");
        }
        Err(hindrance) => tracing::debug!(%incarnation, hindrance, "not fenced yet"),
    }
}

async fn sweep(distributed: &Distributed, incarnation: Incarnation, fenced_for: Duration) {
    if !distributed.sweep(incarnation, fenced_for).await {
        tracing::debug!(%incarnation, "not swept yet");
        return;
    }
    match distributed.meta.mark_swept(incarnation).await {
        Ok(()) => tracing::info!(%incarnation, "swept"),
        Err(error) => tracing::warn!(%incarnation, %error, "swept, and not marked so yet"),
    }
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What one shard shows of distributed commits: a row of numbers that each commit changes.
type Trace = Vec<Vec<Option<Bytes>>>;

/// For how long there was no distributed commit, and no change of a guard, as seen from here.
#[derive(Debug, Default)]
struct Idleness {
    looked: Option<Instant>,
    since: Option<Instant>,
    guards: BTreeMap<String, Guard>,
    traces: BTreeMap<ShardId, Trace>,
    is_idle: bool,
}

impl Idleness {
    async fn look(&mut self, distributed: &Distributed, guards: &BTreeMap<String, Guard>) -> bool {
        let now = Instant::now();
        let same = self.guards == *guards;
        if same && self.looked.is_some_and(|at| now < at + IDLE_PERIOD) {
            return self.is_idle;
        }
        self.looked = Some(now);
        self.is_idle = match traces(distributed).await {
            None => false,
            Some(traces) => self.saw(now, guards, traces),
        };
        self.is_idle
    }

    fn saw(
        &mut self,
        now: Instant,
        guards: &BTreeMap<String, Guard>,
        traces: BTreeMap<ShardId, Trace>,
    ) -> bool {
        // Lowering itself is no use of a guard.
        let moved = guards.iter().any(|(database, guard)| {
            guard.state != GuardState::Lowering && self.guards.get(database) != Some(guard)
        });
        if moved || self.traces != traces {
            self.since = Some(now);
        }
        self.guards.clone_from(guards);
        self.traces = traces;
        self.since.is_some_and(|since| now >= since + IDLE_AFTER)
    }
}

/// Of all shards; None when one does not answer.
async fn traces(distributed: &Distributed) -> Option<BTreeMap<ShardId, Trace>> {
    const TRACE: &str = "SELECT (SELECT COALESCE(SUM(below), 0) FROM _shardline.forgotten), \
                         (SELECT COUNT(*) FROM _shardline.gtx)";
    let mut traces = BTreeMap::new();
    for shard in distributed.meta.catalog().shard_ids() {
        let trace = match distributed.control.query(shard, TRACE).await {
            Ok(result) => result.rows,
            Err(error) if has_no_tables(&error) => Trace::new(),
            Err(error) => {
                tracing::debug!(%shard, %error, "cannot see whether there were commits");
                return None;
            }
        };
        traces.insert(shard, trace);
    }
    Some(traces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_model::id::{Epoch, ProxyId};

    #[test]
    fn the_ended_are_fenced_and_the_old_are_swept() {
        assert!(work(IncarnationState::Live(ProxyId(1)), 5).is_none());
        assert!(matches!(work(IncarnationState::Ended, 5), Some(Work::Fence)));
        let fenced = IncarnationState::Fenced { at_unix_s: 100 };
        let kept = OUTCOMES_KEPT.as_secs();
        // A clock that went back makes it wait.
        for now in [0, 100, 99 + kept] {
            assert!(work(fenced, now).is_none());
        }
        assert!(matches!(work(fenced, 100 + kept), Some(Work::Sweep { .. })));
    }

    #[test]
    fn idle_is_an_hour_without_a_commit_or_a_guard_that_rises() {
        let start = Instant::now();
        let minutes = |count: u64| start + Duration::from_secs(60 * count);
        let guards =
            |state, since| BTreeMap::from([("d".to_owned(), Guard { state, since: Epoch(since) })]);
        let traces = |count: &'static str| {
            let row = vec![Some(Bytes::from_static(count.as_bytes()))];
            BTreeMap::from([(ShardId(1), vec![row])])
        };
        let mut idleness = Idleness::default();
        let on = guards(GuardState::On, 5);
        assert!(!idleness.saw(minutes(0), &on, traces("1")));
        assert!(!idleness.saw(minutes(59), &on, traces("1")));
        assert!(idleness.saw(minutes(60), &on, traces("1")));
        assert!(!idleness.saw(minutes(61), &on, traces("2")));
        assert!(idleness.saw(minutes(121), &on, traces("2")));
        assert!(idleness.saw(minutes(122), &guards(GuardState::Lowering, 6), traces("2")));
        assert!(!idleness.saw(minutes(123), &guards(GuardState::On, 7), traces("2")));
    }
}
