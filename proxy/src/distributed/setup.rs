//! What must be on a shard before an incarnation writes there: the tables of `_shardline`, the
//! incarnation's own account, which all its sessions log in with, and its registration. Done once
//! for an incarnation and server, by the first who needs it, while the others wait for it.
//!
//! Where the configured account may not do all this, sessions log in with that account, and the
//! shard takes no part in transactions over several shards; the reason is kept and told.
//!
//! Fencing ([`Setup::lock_account`]) and this agree without clocks: the account is made *before* it
//! is read whether the incarnation is dead, and it is marked dead *before* its accounts are listed
//! and locked. So either the account is found and locked, or its maker finds itself dead.

pub use super::account::account_name;
use super::{
    account,
    control::{Control, ControlError},
    ready::{self, Answers},
    steps::{StepError, Steps, accounts, make_tables, one_of, texts},
};
use crate::{
    backend::{Login, LoginAnswer, Logins, PoolSet},
    config::BackendAccount,
    txn::{sql, xid::Incarnation},
};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use shardline_model::id::ShardId;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long setting up a shard may take, all in all.
const SETUP_PATIENCE: Duration = Duration::from_secs(8);
/// A failure is not tried again for so long.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// Nor is what somebody must change on the server first.
const OBSTACLE_KEPT: Duration = Duration::from_secs(15);
/// A server's settings are believed for so long.
const READY_KEPT: Duration = Duration::from_secs(10);

/// Why sessions cannot log in to a shard now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// There is no incarnation.
    #[error("this proxy has no lease from the metadata service")]
    NoLease,
    /// Others have declared the incarnation dead on that shard.
    #[error("the incarnation {0} of this proxy is fenced there; it needs a new lease")]
    Fenced(Incarnation),
    /// The shard did not do it.
    #[error("it could not be set up: {0}")]
    Failed(String),
}

impl From<ControlError> for SetupError {
    fn from(error: ControlError) -> Self {
        SetupError::Failed(error.to_string())
    }
}

/// Whether a shard may take part in transactions over several shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It may.
    Ready,
    /// It may not, for this reason: what is missing, and what it must be.
    NotReady(Arc<str>),
}

/// What setting up came to.
#[derive(Clone, Debug)]
struct Prepared {
    login: Login,
    /// Why the shard takes no part in transactions over several shards.
    obstacle: Option<Arc<str>>,
}

/// The incarnation and its password.
pub(super) struct Mine {
    pub(super) incarnation: Incarnation,
    pub(super) password: String,
}

/// One shard.
#[derive(Debug, Default)]
struct Entry {
    known: Mutex<Known>,
    /// Held by the one who is at work.
    working: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    prepared: Option<Kept<Result<Prepared, SetupError>>>,
    readiness: Option<Kept<Readiness>>,
}

/// Something that holds for one incarnation on one server.
#[derive(Debug)]
struct Kept<T> {
    incarnation: Incarnation,
    server: String,
    at: Instant,
    value: T,
}

impl<T> Kept<T> {
    fn get(&self, mine: &Mine, server: &str) -> Option<(&T, Duration)> {
        let same = self.incarnation == mine.incarnation && self.server == server;
        same.then(|| (&self.value, self.at.elapsed()))
    }
}

/// Sets shards up, and knows which are ready.
pub struct Setup {
    control: Arc<Control>,
    pools: Arc<PoolSet>,
    mine: ArcSwapOption<Mine>,
    shards: Mutex<HashMap<ShardId, Arc<Entry>>>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("incarnation", &self.incarnation()).finish_non_exhaustive()
    }
}

impl Setup {
    /// For these pools, whose sessions log in as it says from the first [`Setup::begin`] on.
    pub fn new(pools: Arc<PoolSet>) -> Arc<Self> {
        let control = Arc::new(Control::new(pools.clone()));
        Setup::over(control, pools)
    }

    pub(crate) fn over(control: Arc<Control>, pools: Arc<PoolSet>) -> Arc<Self> {
        let (mine, shards) = (ArcSwapOption::empty(), Mutex::default());
        Arc::new(Setup { control, pools, mine, shards })
    }

    /// A lease was taken: to be called before sessions may run statements under it. Connections
    /// of the incarnation before are closed when they come back.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn begin(self: &Arc<Self>, incarnation: Incarnation) -> Result<(), SetupError> {
        let password = account::random_password()
            .ok_or_else(|| SetupError::Failed("the system gives no random bytes".into()))?;
        let logins: Arc<dyn Logins> = self.clone();
        self.pools.set_logins(Arc::downgrade(&logins));
        self.change(Some(Arc::new(Mine { incarnation, password })));
        Ok(())
    }

    /// The lease is over: sessions get no connections until the next.
    pub fn end(&self) {
        self.change(None);
    }

    fn change(&self, mine: Option<Arc<Mine>>) {
        self.mine.store(mine);
        self.shards.lock().clear();
        self.pools.retire_connections(None);
    }

    /// The incarnation, while there is one.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.mine.load().as_ref().map(|mine| mine.incarnation)
    }

    /// Sets shards up one after the other, before somebody waits for it. What fails is tried again
    /// when it is needed.
    pub async fn warm(&self, shards: impl IntoIterator<Item = ShardId>) {
        for shard in shards {
            // Whoever needs the shard is told.
            let _ = self.ensure(shard).await;
        }
    }

    async fn ensure(&self, shard: ShardId) -> Result<Prepared, SetupError> {
        let mine = self.mine.load_full().ok_or(SetupError::NoLease)?;
        let failed = |error: &dyn std::error::Error| SetupError::Failed(error.to_string());
        let server = self.pools.address(shard).map_err(|error| failed(&error))?;
        let entry = self.entry(shard);
        if let Some(known) = entry.prepared(&mine, &server) {
            return known;
        }
        let _working = entry.working.lock().await;
        if let Some(known) = entry.prepared(&mine, &server) {
            return known;
        }
        let done = tokio::time::timeout(SETUP_PATIENCE, self.prepare(shard, &mine)).await;
        let late = || Err(SetupError::Failed(format!("no end within {SETUP_PATIENCE:?}")));
        let done = done.unwrap_or_else(|_| late());
        let incarnation = mine.incarnation;
        match &done {
            Ok(Prepared { obstacle: Some(reason), .. }) => {
                tracing::warn!(%shard, %incarnation, %reason, "no transactions over several shards");
            }
            Ok(_) => tracing::debug!(%shard, %incarnation, "the shard is set up"),
            Err(error) => tracing::warn!(%shard, %incarnation, %error, "a shard is not set up"),
        }
        let kept = Kept { incarnation, server, at: Instant::now(), value: done.clone() };
        let before = entry.known.lock().prepared.replace(kept);
        let changed = matches!(
            (before, &done),
            (Some(Kept { value: Ok(before), .. }), Ok(now))
                if before.login.incarnation != now.login.incarnation
        );
        if changed {
            self.pools.retire_connections(Some(shard));
        }
        done
    }

    fn entry(&self, shard: ShardId) -> Arc<Entry> {
        self.shards.lock().entry(shard).or_default().clone()
    }

    async fn prepare(&self, shard: ShardId, mine: &Mine) -> Result<Prepared, SetupError> {
        let mut connection = self.control.new_connection(shard).await?;
        let steps = Steps { connection: &mut connection, mine };
        let prepared = match steps.run().await {
            Ok(obstacle) => {
                let account = BackendAccount {
                    user: account_name(mine.incarnation),
                    password: mine.password.clone(),
                };
                let incarnation = Some(mine.incarnation);
                let login = Login { account: Arc::new(account), incarnation };
                Prepared { login, obstacle: obstacle.map(Arc::from) }
            }
            Err(StepError::Refused(reason)) => {
                let login = Login { account: self.pools.account(), incarnation: None };
                Prepared { login, obstacle: Some(reason.into()) }
            }
            Err(StepError::Ended(error)) => return Err(error),
        };
        connection.release();
        Ok(prepared)
    }

    /// Whether the shard may take part in transactions over several shards. `has_replicas`: the
    /// catalog knows some, connected or not.
    pub async fn readiness(&self, shard: ShardId, has_replicas: bool) -> Readiness {
        let prepared = match self.ensure(shard).await {
            Ok(prepared) => prepared,
            Err(error) => return Readiness::NotReady(error.to_string().into()),
        };
        if let Some(obstacle) = prepared.obstacle {
            return Readiness::NotReady(obstacle);
        }
        let (mine, server) = (self.mine.load_full(), self.pools.address(shard));
        let (Some(mine), Ok(server)) = (mine, server) else {
            return Readiness::NotReady(SetupError::NoLease.to_string().into());
        };
        let entry = self.entry(shard);
        if let Some(known) = entry.readiness(&mine, &server) {
            return known;
        }
        let _working = entry.working.lock().await;
        if let Some(known) = entry.readiness(&mine, &server) {
            return known;
        }
        let value = match self.inspect(shard, has_replicas).await {
            Ok(answers) => match ready::obstacle(&answers) {
                None => Readiness::Ready,
                Some(reason) => Readiness::NotReady(reason.into()),
            },
            Err(error) => Readiness::NotReady(format!("its settings are unknown: {error}").into()),
        };
        let incarnation = mine.incarnation;
        let kept = Kept { incarnation, server, at: Instant::now(), value: value.clone() };
        entry.known.lock().readiness = Some(kept);
        value
    }

    async fn inspect(&self, shard: ShardId, has_replicas: bool) -> Result<Answers, ControlError> {
        let mut connection = self.control.connection(shard).await?;
        let variables = connection.query(ready::VARIABLES).await?;
        let variables = texts(variables).into_iter().filter_map(|row| {
            let mut row = row.into_iter().flatten();
            Some((row.next()?.to_ascii_lowercase(), row.next().unwrap_or_default()))
        });
        let variables = variables.collect();
        let status = one_of(&mut connection, &ready::BINLOG_STATUS).await?;
        let status = status.into_iter().next().unwrap_or_default();
        let filter = |at: usize| status.get(at).cloned().flatten().unwrap_or_default();
        let binlog_filter = [filter(2), filter(3)];
        let replicas = one_of(&mut connection, &ready::REPLICAS).await?;
        connection.release();
        let has_replicas = has_replicas || !replicas.is_empty();
        Ok(Answers { variables, binlog_filter, has_replicas })
    }
}

/// The accounts of incarnations, for fencing. Those of one incarnation may be several: its proxy
/// came from several hosts, or by socket and by TCP.
impl Setup {
    /// Marks the incarnation dead on a shard and locks its accounts there, so that no new
    /// connection of it logs in. To be followed by killing those that are left.
    ///
    /// # Errors
    /// Not all of it may have been done: it is to be repeated.
    pub async fn lock_account(
        &self,
        shard: ShardId,
        incarnation: Incarnation,
    ) -> Result<(), SetupError> {
        let mut connection = self.control.connection(shard).await?;
        make_tables(&mut connection).await?;
        connection.query(&sql::mark_dead(incarnation)).await?;
        for account in accounts(&mut connection, incarnation).await? {
            let sql = format!("ALTER USER {} ACCOUNT LOCK", account.quoted());
            connection.query(&sql).await?;
        }
        connection.release();
        Ok(())
    }

    /// Drops the accounts of an incarnation that is fenced everywhere.
    ///
    /// # Errors
    /// As [`Setup::lock_account`].
    pub async fn drop_account(
        &self,
        shard: ShardId,
        incarnation: Incarnation,
    ) -> Result<(), SetupError> {
        let mut connection = self.control.connection(shard).await?;
        for account in accounts(&mut connection, incarnation).await? {
            connection.query(&format!("DROP USER IF EXISTS {}", account.quoted())).await?;
        }
        connection.release();
        Ok(())
    }
}

impl Logins for Setup {
    fn login(&self, shard: ShardId) -> LoginAnswer<'_> {
        Box::pin(async move {
            let prepared = self.ensure(shard).await.map_err(|error| error.to_string())?;
            Ok(prepared.login)
        })
    }

    fn refused(&self, shard: ShardId, login: &Login) {
        let entry = self.entry(shard);
        let mut known = entry.known.lock();
        let same = |kept: &Kept<Result<Prepared, SetupError>>| match &kept.value {
            Ok(prepared) => Arc::ptr_eq(&prepared.login.account, &login.account),
            Err(_) => false,
        };
        if known.prepared.as_ref().is_some_and(same) {
            known.prepared = None;
        }
    }

    fn is_current(&self, login: &Login) -> bool {
        let now = self.incarnation();
        now.is_some() && (login.incarnation.is_none() || login.incarnation == now)
    }
}

impl Entry {
    fn prepared(&self, mine: &Mine, server: &str) -> Option<Result<Prepared, SetupError>> {
        let known = self.known.lock();
        let (value, age) = known.prepared.as_ref()?.get(mine, server)?;
        let fresh = match value {
            Ok(Prepared { obstacle: None, .. }) | Err(SetupError::Fenced(_)) => true,
            Ok(Prepared { obstacle: Some(_), .. }) => age < OBSTACLE_KEPT,
            Err(SetupError::NoLease | SetupError::Failed(_)) => age < FAILURE_KEPT,
        };
        fresh.then(|| value.clone())
    }

    fn readiness(&self, mine: &Mine, server: &str) -> Option<Readiness> {
        let known = self.known.lock();
        let (value, age) = known.readiness.as_ref()?.get(mine, server)?;
        let limit = match value {
            Readiness::Ready => READY_KEPT,
            Readiness::NotReady(_) => FAILURE_KEPT,
        };
        (age < limit).then(|| value.clone())
    }
}
