//! What statements cost: digests with their times, slow statements, and a week of rates at falling resolution.
//! Each thread that serves sessions has a table of its own, which only whoever reads also locks; what is read is
//! merged then. Everything is bounded, and nothing is allocated for a digest that is known.

mod digests;
mod histogram;
mod series;
mod slow;

pub use digests::{DigestStat, DigestTotals};
pub use histogram::Histogram;
pub use series::{Point, SERIES_SPAN};
pub use slow::{ShardTime, SlowStatement};

use crate::backend::WorkerId;
use digests::{DigestTable, Slot};
use parking_lot::Mutex;
use series::{Counters, Series};
use shardline_model::id::ShardId;
use shardline_router::{
    plan::{Plan, Single, Target},
    template::StatementDigest,
};
use slow::SlowLog;
use smallvec::SmallVec;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// From here on a statement is slow, unless something else is set.
pub const SLOW_USUAL: Duration = Duration::from_millis(200);
/// Between two points of the series.
pub(crate) const POINT_PAUSE: Duration = Duration::from_secs(1);

/// All statistics of a proxy.
#[derive(Debug)]
pub struct Statistics {
    workers: Box<[Mutex<Worker>]>,
    slow: SlowLog,
    series: Mutex<Series>,
    slow_from: Duration,
    began: Instant,
    began_unix: Duration,
}

/// What one thread has counted.
#[derive(Debug, Default)]
struct Worker {
    digests: DigestTable,
    counters: Counters,
}

/// The statement that a session runs, as far as statistics go.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    slot: Option<Slot>,
    shards: SmallVec<[ShardId; 4]>,
    times: SmallVec<[(ShardId, Duration); 4]>,
    since: Option<Instant>,
}

impl Observed {
    /// A statement begins.
    pub(crate) fn begin(&mut self, since: Instant) {
        self.slot = None;
        self.shards.clear();
        self.times.clear();
        self.since = Some(since);
    }

    /// Where it runs.
    pub(crate) fn planned(&mut self, plan: &Plan) {
        match plan {
            Plan::Single(Single { target: Target::Shard(shard), .. }) => self.on_shards([*shard]),
            Plan::Scatter(scatter) => self.on_shards(scatter.parts.iter().map(|part| part.shard)),
            Plan::Write(write) => self.on_shards(write.parts.iter().map(|part| part.shard)),
            Plan::Compute(compute) => self.on_shards(compute.shards()),
            Plan::Rehearse(rehearsal) => self.on_shards(rehearsal.shards()),
            Plan::Single(Single { target: Target::Any, .. })
            | Plan::Ddl(_)
            | Plan::Session(_)
            | Plan::Refuse(_) => {}
        }
    }

    fn on_shards(&mut self, shards: impl IntoIterator<Item = ShardId>) {
        self.shards.clear();
        self.shards.extend(shards);
    }

    /// A shard has answered all of its part.
    pub(crate) fn answered(&mut self, shard: ShardId) {
        if let Some(since) = self.since.filter(|_| self.times.len() < self.shards.len()) {
            self.times.push((shard, since.elapsed()));
        }
    }
}

/// How a statement ended.
pub(crate) struct Ended<'a> {
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
    /// The number of its error.
    pub(crate) error: Option<u16>,
    pub(crate) user: &'a str,
    pub(crate) host: &'a str,
    pub(crate) session: u32,
}

impl Statistics {
    /// Empty ones for so many threads.
    pub fn new(workers: usize, slow_from: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            workers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            slow: SlowLog::default(),
            series: Mutex::default(),
            slow_from,
            began: Instant::now(),
            began_unix: now,
        }
    }

    /// Since when they count, in seconds since 1970.
    pub fn since_unix_s(&self) -> u64 {
        self.began_unix.as_secs()
    }

    fn unix(&self, moment: Instant) -> Duration {
        self.began_unix + moment.saturating_duration_since(self.began)
    }

    fn worker(&self, worker: WorkerId) -> Option<&Mutex<Worker>> {
        self.workers.get(usize::from(worker.0))
    }

    /// The statement of a session has this digest.
    pub(crate) fn is(&self, worker: WorkerId, observed: &mut Observed, digest: &StatementDigest) {
        let Some(worker) = self.worker(worker) else { return };
        observed.slot = Some(worker.lock().digests.slot(digest));
    }

    /// A command has ended.
    pub(crate) fn ended(&self, worker: WorkerId, observed: &Observed, end: &Ended<'_>) {
        let Some(worker) = self.worker(worker) else { return };
        let took = end.ended.saturating_duration_since(end.started);
        let failed = end.error.is_some();
        let mut counted = worker.lock();
        counted.counters.count(took, failed);
        let Some(slot) = observed.slot else { return };
        let shards = observed.shards.len() as u64;
        let second = self.unix(end.ended).as_secs();
        counted.digests.count(slot, took, failed, shards, second);
        if took < self.slow_from {
            return;
        }
        let digest = counted.digests.named(slot);
        drop(counted);
        let Some((id, text, database)) = digest else { return };
        let single = (observed.shards.len() == 1).then_some(took);
        let shard_time = |shard: &ShardId| {
            let time = observed.times.iter().find(|(on, _)| on == shard).map(|(_, took)| *took);
            ShardTime { shard: *shard, took: time.or(single) }
        };
        self.slow.push(SlowStatement {
            number: 0,
            unix_ms: self.unix(end.ended).as_millis() as u64,
            took,
            digest: id,
            text,
            database,
            user: end.user.to_owned(),
            host: end.host.to_owned(),
            session: end.session,
            error: end.error,
            shards: observed.shards.iter().map(shard_time).collect(),
        });
    }

    /// All digests that are kept, those of all threads together.
    pub fn digests(&self) -> DigestTotals {
        let mut totals = DigestTotals::default();
        for worker in &self.workers {
            worker.lock().digests.add_to(&mut totals);
        }
        totals
    }

    /// Slow statements with a number above this one, the oldest first.
    pub fn slow_since(&self, number: u64) -> Vec<Arc<SlowStatement>> {
        self.slow.since(number)
    }

    /// The number of the newest slow statement.
    pub fn slow_last(&self) -> u64 {
        self.slow.last()
    }

    /// Points not older than `span`, and how many seconds each stands for.
    pub fn series(&self, span: Duration) -> (u64, Vec<Point>) {
        self.series.lock().points(span)
    }

    /// The last second.
    pub fn last_point(&self) -> Option<Point> {
        self.series.lock().last()
    }

    /// Makes a point of what was counted since the last one.
    pub(crate) fn make_point(&self, sessions: u64, running: u64) {
        let mut counters = Counters::default();
        for worker in &self.workers {
            counters.take(&mut worker.lock().counters);
        }
        let now = self.unix(Instant::now()).as_secs();
        self.series.lock().push(now, &counters, sessions, running);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> StatementDigest {
        StatementDigest::new(text.as_bytes(), Some("bank"))
    }

    #[test]
    fn threads_are_added_up_and_slow_ones_are_kept() {
        let statistics = Statistics::new(2, Duration::from_millis(10));
        let begin = Instant::now();
        for (worker, millis) in [(0, 1), (0, 2), (1, 30)] {
            let worker = WorkerId(worker);
            let mut observed = Observed::default();
            observed.begin(begin);
            statistics.is(worker, &mut observed, &digest("SELECT ?"));
            observed.on_shards([ShardId(7)]);
            let error = (millis == 2).then_some(1_064);
            let ended = begin + Duration::from_millis(millis);
            let end = Ended { started: begin, ended, error, user: "u", host: "h", session: 9 };
            statistics.ended(worker, &observed, &end);
        }
        let totals = statistics.digests();
        let [one] = &totals.digests[..] else { panic!("{totals:?}") };
        assert_eq!((one.calls, one.errors, one.shards), (3, 1, 3));
        assert_eq!((&*one.text, one.database.as_deref()), ("SELECT ?", Some("bank")));
        assert!((29_000..40_000).contains(&one.times.quantile_us(0.99).unwrap()));
        let slow = statistics.slow_since(0);
        assert_eq!(slow.len(), 1);
        assert_eq!(
            slow[0].shards,
            [ShardTime { shard: ShardId(7), took: Some(Duration::from_millis(30)) }]
        );
        statistics.make_point(4, 1);
        let point = statistics.last_point().unwrap();
        assert_eq!((point.statements, point.errors, point.sessions), (3, 1, 4));
    }
}
