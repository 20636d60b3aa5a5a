//! Fences and sweeps one dead incarnation: carries out what [`crate::txn::fencing`] and
//! [`crate::txn::sweep`] say, over control connections. Everything here may be done twice, and
//! by two proxies at once.
//!
//! The account is marked dead before its accounts are listed and locked, and a proxy makes an
//! account before it reads whether it is dead: so either the account is found here, or its maker
//! finds itself dead. A shard without the tables gets them, since the mark is what keeps a
//! proxy off that goes on after a long pause.

use super::{
    Distributed,
    anchor::number,
    control::ControlError,
    setup::{SetupError, account_name},
};
use crate::{
    backend::TextResult,
    txn::{
        fencing::{self, Fencing},
        rules::Rules,
        sql,
        sweep::{self, Sweep, Swept},
        xid::Incarnation,
    },
};
use parking_lot::Mutex;
use shardline_model::id::ShardId;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// How long one attempt may take. The next begins with the shards as they are then.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// What a server says a thread is doing that waits for a replica's acknowledgement.
const WAITING_FOR_REPLICA: &str = "semi-sync";
/// Who is in the process list before the login is over.
const LOGGING_IN: &str = "unauthenticated user";
/// The servers' numbers for a table and a database that are not there.
const NO_SUCH_TABLE: u16 = 1146;
const UNKNOWN_DATABASE: u16 = 1049;

/// Connections that were logging in when the account was locked: they may have passed already.
/// Later ones are refused.
type LoggingIn = Arc<Mutex<HashMap<ShardId, BTreeSet<u64>>>>;

/// Whether the tables are not there.
pub(super) fn has_no_tables(error: &ControlError) -> bool {
    matches!(error.number(), Some(NO_SUCH_TABLE | UNKNOWN_DATABASE))
}

impl Distributed {
    /// One attempt to fence an incarnation on all shards; what hindered it, if anything did.
    pub(super) async fn fence(self: &Arc<Self>, incarnation: Incarnation) -> Result<(), String> {
        let hindrance = Arc::new(Mutex::new(String::new()));
        let driving = self.drive_fencing(incarnation, &hindrance);
        match tokio::time::timeout(ATTEMPT_LIMIT, driving).await {
            Ok(()) => Ok(()),
            Err(_) => Err(std::mem::take(&mut *hindrance.lock())),
        }
    }

    async fn drive_fencing(
        self: &Arc<Self>,
        incarnation: Incarnation,
        hindrance: &Arc<Mutex<String>>,
    ) {
        let mut machine = Fencing::new(incarnation, self.meta.catalog().shard_ids());
        let mut commands = machine.step(Instant::now(), fencing::Event::Begin);
        // Dropped with what is under way.
        let mut running = JoinSet::new();
        let logging_in = LoggingIn::default();
        let mut wake = None;
        loop {
            for command in commands {
                let step = match command {
                    fencing::Command::WakeAt(at) => {
                        wake = Some(at);
                        continue;
                    }
                    fencing::Command::Finish => return,
                    fencing::Command::LockAccount(shard) => (shard, Step::Lock),
                    fencing::Command::KillConnections(shard) => (shard, Step::Kill),
                    fencing::Command::MarkDead(shard) => (shard, Step::Mark),
                };
                let (one, hindrance) = (self.clone(), hindrance.clone());
                let logging_in = logging_in.clone();
                running.spawn(async move {
                    let (shard, step) = step;
                    let done = one.fence_step(shard, incarnation, step, &logging_in).await;
                    done.unwrap_or_else(|error| {
                        *hindrance.lock() = format!("{shard}: {error}");
                        fencing::Event::Failed(shard)
                    })
                });
            }
            let pause = wake.unwrap_or_else(|| Instant::now() + ATTEMPT_LIMIT);
            let event = tokio::select! {
                Some(Ok(event)) = running.join_next() => event,
                () = tokio::time::sleep_until(pause.into()) => {
                    wake = None;
                    fencing::Event::Time
                }
            };
            commands = machine.step(Instant::now(), event);
        }
    }

    async fn fence_step(
        &self,
        shard: ShardId,
        incarnation: Incarnation,
        step: Step,
        logging_in: &LoggingIn,
    ) -> Result<fencing::Event, SetupError> {
        match step {
            Step::Lock => {
                self.setup.lock_account(shard, incarnation).await?;
                logging_in.lock().remove(&shard);
                Ok(fencing::Event::Locked(shard))
            }
            Step::Kill => {
                let left = self.kill_all(shard, incarnation, logging_in).await?;
                Ok(fencing::Event::Remaining(shard, left))
            }
            Step::Mark => {
                self.control.query(shard, &sql::mark_dead(incarnation)).await?;
                Ok(fencing::Event::MarkedDead(shard))
            }
        }
    }

    /// Kills the connections of the account; how many are left after it.
    async fn kill_all(
        &self,
        shard: ShardId,
        of: Incarnation,
        logging_in: &LoggingIn,
    ) -> Result<u32, ControlError> {
        let found = self.connections(shard, of, logging_in).await?;
        for thread in &found.to_kill {
            self.control.kill(shard, *thread).await?;
        }
        if found.to_kill.is_empty() {
            return Ok(found.left);
        }
        Ok(self.connections(shard, of, logging_in).await?.left)
    }

    async fn connections(
        &self,
        shard: ShardId,
        of: Incarnation,
        logging_in: &LoggingIn,
    ) -> Result<Found, ControlError> {
        let user = account_name(of);
        let sql = format!(
            "SELECT id, user, COALESCE(state, '') FROM information_schema.processlist \
             WHERE user IN ('{user}', '{LOGGING_IN}')"
        );
        let rows = processes(self.control.query(shard, &sql).await?);
        let logins = || rows.iter().filter(|one| one.user == LOGGING_IN).map(|one| one.id);
        let mut all = logging_in.lock();
        let first = all.entry(shard).or_insert_with(|| logins().collect());
        first.retain(|id| logins().any(|login| login == *id));
        let own = || rows.iter().filter(|one| one.user == user);
        // Killing one that waits for a replica would show what a failover loses.
        let to_kill = own().filter(|one| !one.state.contains(WAITING_FOR_REPLICA));
        let left = own().count() + first.len();
        Ok(Found {
            to_kill: to_kill.map(|one| one.id).collect(),
            left: u32::try_from(left).unwrap_or(u32::MAX),
        })
    }

    /// One attempt to take away what is left of an incarnation that was fenced so long ago; true
    /// when nothing is left.
    pub(super) async fn sweep(&self, incarnation: Incarnation, fenced_for: Duration) -> bool {
        let fenced = Instant::now();
        let shards = self.meta.catalog().shard_ids();
        let mut machine =
            Sweep::new(incarnation, shards.iter().copied(), Some(fenced), Rules::default());
        // The time of fencing is known by clocks of the day only, its distance from now is not.
        let now = fenced + fenced_for;
        let mut commands = machine.step(now, sweep::Event::Begin);
        while let Some(command) = commands.pop() {
            let event = match command {
                sweep::Command::CountBranches(shard) => {
                    match self.count(shard, &sql::count_branches(incarnation)).await {
                        Ok(left) => sweep::Event::Branches(shard, left),
                        Err(_) => sweep::Event::Failed(shard),
                    }
                }
                sweep::Command::Sweep { shard, .. } => self.sweep_shard(shard, incarnation).await,
                sweep::Command::Finish(Swept::NotYet) => return false,
                sweep::Command::Finish(Swept::Clean) => {
                    return self.drop_accounts(&shards, incarnation).await;
                }
            };
            commands.extend(machine.step(now, event));
        }
        false
    }

    async fn sweep_shard(&self, shard: ShardId, incarnation: Incarnation) -> sweep::Event {
        match self.control.run(shard, &sql::sweep(incarnation)).await {
            Ok(answer) if answer.failed.is_none() => sweep::Event::Swept(shard),
            Ok(_) | Err(_) => sweep::Event::Failed(shard),
        }
    }

    async fn drop_accounts(&self, shards: &[ShardId], incarnation: Incarnation) -> bool {
        for shard in shards {
            if self.setup.drop_account(*shard, incarnation).await.is_err() {
                return false;
            }
        }
        true
    }

    /// One number; 0 where there are no tables.
    pub(super) async fn count(&self, shard: ShardId, sql: &str) -> Result<u64, ControlError> {
        match self.control.query(shard, sql).await {
            Ok(result) => {
                let count = result.rows.first().and_then(|row| number(row.first()?.as_ref()?));
                count.ok_or_else(|| ControlError::Lost("a count is not a number".into()))
            }
            Err(error) if has_no_tables(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// What is done on a shard.
#[derive(Clone, Copy)]
enum Step {
    Lock,
    Kill,
    Mark,
}

/// Connections of an incarnation.
struct Found {
    to_kill: Vec<u64>,
    left: u32,
}

/// A row of the process list.
struct ProcessRow {
    id: u64,
    user: String,
    state: String,
}

fn processes(result: TextResult) -> Vec<ProcessRow> {
    let text = |value: &bytes::Bytes| String::from_utf8_lossy(value).into_owned();
    let row = |row: Vec<Option<bytes::Bytes>>| match row.as_slice() {
        [Some(id), Some(user), Some(state)] => {
            Some(ProcessRow { id: number(id)?, user: text(user), state: text(state) })
        }
        _ => None,
    };
    result.rows.into_iter().filter_map(row).collect()
}
