//! Follows the binlogs of all shards for the auditor: from their ends as they are when it begins, and a
//! round a second. One proxy of the cluster does, the one whose janitor acts; a server that has
//! not what was read last is read from its end anew, and nothing is said of what lay between.

use super::{Auditor, Verdict, Violation, gather::Gatherer};
use crate::{
    distributed::binlog::{Position, SearchError, Stream, end_of_log},
    session::shared::Shared,
    txn::outcome::Decision,
};
use futures_util::future::join_all;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use shardline_base::Shutdown;
use shardline_binlog::{Body, Decoder, control::Checksum};
use shardline_model::id::ShardId;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a round may take; what it has read stays read.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// Violations that are kept to be shown.
const VIOLATIONS_MAX: usize = 64;

/// What the auditor found, for others to see.
#[derive(Default)]
pub(crate) struct Findings {
    violations: Mutex<VecDeque<(Violation, Instant)>>,
    counts: Mutex<Counts>,
}

/// How many transactions were judged how, since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) agreed: u64,
    pub(crate) violations: u64,
    /// Of which nothing can be said: they began before the reading, or rows are not readable.
    pub(crate) unknown: u64,
    /// Not judged yet.
    pub(crate) open: usize,
}

impl Findings {
    /// How many there were.
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock()
    }

    fn count(&self, verdict: &Verdict) {
        let mut counts = self.counts.lock();
        match verdict {
            Verdict::Agreed(_) | Verdict::Resolved => counts.agreed += 1,
            Verdict::Violation(_) => counts.violations += 1,
            Verdict::Unseen | Verdict::Unread(_) => counts.unknown += 1,
        }
    }

    /// The last violations, with the time since each was found.
    pub(crate) fn violations(&self) -> Vec<(Violation, Duration)> {
        let violations = self.violations.lock();
        violations.iter().map(|(one, found)| (one.clone(), found.elapsed())).collect()
    }

    fn add(&self, violation: Violation) {
        let mut violations = self.violations.lock();
        if violations.len() >= VIOLATIONS_MAX {
            violations.pop_front();
        }
        violations.push_back((violation, Instant::now()));
    }
}

/// Runs until told to stop.
pub(crate) async fn run(shared: Arc<Shared>, stop: Shutdown) {
    let mut following = None;
    let telemetry = Telemetry::default();
    while stop.or(tokio::time::sleep(PERIOD)).await.is_some() {
        let distributed = &shared.distributed;
        let catalog = distributed.meta.catalog();
        let shards = catalog.shard_ids();
        // Without a guard there are no transactions over several shards.
        if !distributed.acts() || catalog.guards.is_empty() {
            following = None;
            telemetry.idle();
            continue;
        }
        drop(catalog);
        let round = async {
            let mut current = match following.take() {
                Some(current) if Following::is_of(&current, &shards) => current,
                Some(_) | None => Following::begin(&shared, &shards).await?,
            };
            let read = tokio::time::timeout(ROUND_MAX, current.round(&shared)).await;
            match read {
                Ok(Ok(())) => current.judge(&shared, &telemetry),
                Ok(Err(error)) if error.is_gone() => return Err(error),
                Ok(Err(error)) => tracing::debug!(%error, "the auditor waits for a shard"),
                Err(_) => tracing::debug!("the auditor is behind"),
            }
            telemetry.following(&current);
            Ok::<_, SearchError>(current)
        };
        match stop.or(round).await {
            None => break,
            Some(Ok(current)) => following = Some(current),
            Some(Err(error)) => {
                if error.is_gone() {
                    telemetry.gaps.increment(1);
                }
                tracing::debug!(%error, "the auditor begins anew");
            }
        }
    }
}

/// How far all logs were read.
struct Following {
    logs: BTreeMap<ShardId, Position>,
    auditor: Mutex<Auditor>,
    /// When the last whole round ended.
    whole: Instant,
}

impl Following {
    async fn begin(shared: &Shared, shards: &[ShardId]) -> Result<Self, SearchError> {
        let mut logs = BTreeMap::new();
        for shard in shards {
            logs.insert(*shard, end_of_log(&shared.distributed.control, *shard).await?);
        }
        Ok(Following { logs, auditor: Mutex::default(), whole: Instant::now() })
    }

    fn is_of(&self, shards: &[ShardId]) -> bool {
        self.logs.keys().eq(shards.iter())
    }

    /// Reads every log to its end.
    async fn round(&mut self, shared: &Shared) -> Result<(), SearchError> {
        let auditor = &self.auditor;
        let reading = self.logs.iter_mut();
        let reading = reading.map(|(shard, position)| read(shared, *shard, position, auditor));
        join_all(reading).await.into_iter().collect()
    }

    fn judge(&mut self, shared: &Shared, telemetry: &Telemetry) {
        let auditor = self.auditor.get_mut();
        for (xid, verdict) in auditor.round_ends() {
            telemetry.count(&verdict);
            shared.distributed.findings.count(&verdict);
            match verdict {
                Verdict::Violation(violation) => {
                    tracing::error!(
                        %xid,
                        anchor = ?violation.anchor,
                        branches = ?violation.branches,
                        rows = ?violation.rows,
                        "a transaction is not whole: {}",
                        violation.reason
                    );
                    shared.distributed.findings.add(violation);
                }
                Verdict::Unread(reason) => {
                    tracing::warn!(%xid, reason, "the rows of a transaction cannot be audited");
                }
                Verdict::Agreed(_) | Verdict::Resolved | Verdict::Unseen => {}
            }
        }
        let dropped = auditor.take_dropped();
        telemetry.unseen.increment(dropped as u64);
        shared.distributed.findings.counts.lock().open = auditor.open();
        self.whole = Instant::now();
    }
}

/// Reads one log from a position to its present end. The position goes with it, between
/// transactions, so that a reading that breaks off goes on there.
async fn read(
    shared: &Shared,
    shard: ShardId,
    position: &mut Position,
    auditor: &Mutex<Auditor>,
) -> Result<(), SearchError> {
    let mut decoder = Decoder::new(Checksum::Crc32);
    let mut gatherer = Gatherer::default();
    let mut stream = Stream::open(&shared.pools, shard, position).await?;
    while let Some(event) = stream.next().await? {
        let event = decoder.decode(event.map_err(SearchError::Never)?);
        let (mut end, mut next) = (0, None);
        if let Ok(event) = &event {
            end = event.header.end;
            if let Body::Rotate(rotate) = &event.body {
                next = Some((rotate.file.clone(), rotate.position));
            }
        }
        if let Some(local) = gatherer.push(event) {
            auditor.lock().observe(shard, &local);
        }
        match next {
            Some((file, offset)) => {
                let offset = u32::try_from(offset).unwrap_or(u32::MAX);
                *position = Position { file: Arc::from(file), offset };
            }
            // Events that the server makes up for a reader have no place.
            None if end > position.offset && !gatherer.is_open() => position.offset = end,
            None => {}
        }
    }
    Ok(())
}

struct Telemetry {
    committed: Counter,
    aborted: Counter,
    resolved: Counter,
    violations: Counter,
    unseen: Counter,
    unread: Counter,
    gaps: Counter,
    open: Gauge,
    lag: Gauge,
}

impl Default for Telemetry {
    fn default() -> Self {
        let verdict = |verdict: &'static str| counter!("shardline_audit_transactions_total", "verdict" => verdict);
        Telemetry {
            committed: verdict("agreed_committed"),
            aborted: verdict("agreed_aborted"),
            resolved: verdict("resolved"),
            violations: verdict("violation"),
            unseen: verdict("unseen"),
            unread: verdict("unread"),
            gaps: counter!("shardline_audit_gaps_total"),
            open: gauge!("shardline_audit_open_transactions"),
            lag: gauge!("shardline_audit_lag_seconds"),
        }
    }
}

impl Telemetry {
    fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Agreed(Decision::Committed) => &self.committed,
            Verdict::Agreed(Decision::Aborted) => &self.aborted,
            Verdict::Resolved => &self.resolved,
            Verdict::Violation(_) => &self.violations,
            Verdict::Unseen => &self.unseen,
            Verdict::Unread(_) => &self.unread,
        };
        counter.increment(1);
    }

    fn following(&self, current: &Following) {
        self.open.set(current.auditor.lock().open() as f64);
        self.lag.set(current.whole.elapsed().as_secs_f64());
    }

    fn idle(&self) {
        self.open.set(0.0);
        self.lag.set(0.0);
    }
}
