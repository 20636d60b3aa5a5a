//! The sessions of this proxy: ids that are unique in the cluster, what each session is
//! doing, and the switch by which one session kills another.

mod spread;

pub use spread::{Phase, Place, Places, SpreadView, Wait};

use crate::error::SqlError;
use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use shardline_model::id::{Epoch, ShardId};
use smallvec::SmallVec;
use spread::Spreads;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// How many low bits of a connection id count the proxy's own sessions; the bits above
/// are the proxy's id, so that ids are unique in the cluster and fit in 32 bits.
pub const COUNTER_BITS: u32 = 22;

/// How much of a statement SHOW PROCESSLIST keeps.
const STATEMENT_BYTES_MAX: usize = 4_096;

/// What a session does that waits for its client.
const SLEEP: &str = "Sleep";

/// All sessions of a proxy.
#[derive(Debug)]
pub struct Registry {
    sessions: Mutex<Sessions>,
    /// Transactions on several shards.
    spreads: Spreads,
    started: Instant,
    sessions_max: usize,
}

#[derive(Debug, Default)]
struct Sessions {
    last: u32,
    opened: u64,
    by_id: BTreeMap<u32, Arc<SessionEntry>>,
}

/// One session, as other sessions see it.
#[derive(Debug)]
pub struct SessionEntry {
    /// Its connection id.
    pub id: u32,
    /// The client's address.
    pub host: String,
    /// How it is killed.
    pub kill: KillSwitch,
    activity: Mutex<Activity>,
    /// The shards that its transaction is on, each with an epoch that is not newer.
    branches: Mutex<SmallVec<[(ShardId, Epoch); 4]>>,
}

#[derive(Debug)]
struct Activity {
    user: String,
    database: Option<String>,
    command: &'static str,
    since: Instant,
    statement: Vec<u8>,
    state: &'static str,
}

/// What SHOW PROCESSLIST shows of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Connection id.
    pub id: u32,
    /// User.
    pub user: String,
    /// Client address.
    pub host: String,
    /// Current database.
    pub database: Option<String>,
    /// `Query`, `Sleep` ...
    pub command: &'static str,
    /// How long it has been doing that.
    pub elapsed: Duration,
    /// The running statement, cut; empty when idle.
    pub statement: Vec<u8>,
    /// What it waits for, if not for a shard.
    pub state: &'static str,
}

/// A place in the registry; left when dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    entry: Arc<SessionEntry>,
}

impl Registry {
    /// An empty registry for at most `sessions_max` sessions.
    pub fn new(sessions_max: usize) -> Self {
        let (sessions, spreads) = (Mutex::default(), Spreads::default());
        Registry { sessions, spreads, started: Instant::now(), sessions_max }
    }

    /// How long this proxy has been up.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How many sessions are connected.
    pub fn connected(&self) -> usize {
        self.sessions.lock().by_id.len()
    }

    /// How many sessions there have been.
    pub fn opened(&self) -> u64 {
        self.sessions.lock().opened
    }

    /// Takes a place for a new connection of the proxy `proxy`.
    ///
    /// # Errors
    /// The limit of sessions is reached.
    pub fn register(self: &Arc<Self>, proxy: u32, host: String) -> Result<Registration, SqlError> {
        let mut sessions = self.sessions.lock();
        if sessions.by_id.len() >= self.sessions_max {
            return Err(SqlError::too_many_connections(self.sessions_max));
        }
        let id = sessions.next_id(proxy);
        sessions.opened += 1;
        let activity = Activity {
            user: "unauthenticated user".into(),
            database: None,
            command: "Connect",
            since: Instant::now(),
            statement: Vec::new(),
            state: "",
        };
        let entry = Arc::new(SessionEntry {
            id,
            host,
            kill: KillSwitch::default(),
            activity: Mutex::new(activity),
            branches: Mutex::default(),
        });
        sessions.by_id.insert(id, entry.clone());
        Ok(Registration { registry: self.clone(), entry })
    }

    /// The session with that id.
    pub fn find(&self, id: u64) -> Option<Arc<SessionEntry>> {
        let id = u32::try_from(id).ok()?;
        self.sessions.lock().by_id.get(&id).cloned()
    }

    /// Whether a transaction is on this shard since before an epoch.
    pub fn has_older_branch(&self, shard: ShardId, since: Epoch) -> bool {
        let is_older = |(on, epoch): &(ShardId, Epoch)| *on == shard && *epoch < since;
        let sessions = self.sessions.lock();
        sessions.by_id.values().any(|entry| entry.branches.lock().iter().any(is_older))
    }

    /// Tells every session that the proxy is about to end: it leaves when it is idle and
    /// outside a transaction.
    pub fn drain(&self) {
        let entries: Vec<_> = self.sessions.lock().by_id.values().cloned().collect();
        for entry in entries {
            entry.kill.drain();
        }
    }

    /// All sessions, by id.
    pub fn list(&self) -> Vec<SessionView> {
        let entries: Vec<_> = self.sessions.lock().by_id.values().cloned().collect();
        entries.iter().map(|entry| entry.view()).collect()
    }
}

impl Sessions {
    fn next_id(&mut self, proxy: u32) -> u32 {
        let mask = (1 << COUNTER_BITS) - 1;
        loop {
            self.last = (self.last + 1) & mask;
            let id = (proxy << COUNTER_BITS) | self.last;
            if self.last != 0 && !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }
}

impl std::ops::Deref for Registration {
    type Target = SessionEntry;

    fn deref(&self) -> &SessionEntry {
        &self.entry
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.spreads.remove(self.entry.id);
        self.registry.sessions.lock().by_id.remove(&self.entry.id);
    }
}

impl SessionEntry {
    /// Who is connected, once known.
    pub fn set_user(&self, user: &str) {
        self.activity.lock().user = user.to_owned();
    }

    /// The user's name.
    pub fn user(&self) -> String {
        self.activity.lock().user.clone()
    }

    /// The current database.
    pub fn set_database(&self, database: Option<&str>) {
        self.activity.lock().database = database.map(str::to_owned);
    }

    /// A command begins; the statement's text is kept in part.
    pub fn begin(&self, command: &'static str, statement: &[u8], now: Instant) {
        let mut activity = self.activity.lock();
        activity.command = command;
        activity.since = now;
        activity.statement.clear();
        let cut = statement.len().min(STATEMENT_BYTES_MAX);
        activity.statement.extend_from_slice(&statement[..cut]);
    }

    /// The shards that the session's transaction is on, with epochs that are not newer.
    pub fn set_branches(&self, branches: &[(ShardId, Epoch)]) {
        let mut known = self.branches.lock();
        known.clear();
        known.extend_from_slice(branches);
    }

    /// What the running statement waits for; empty for the shards.
    pub fn set_state(&self, state: &'static str) {
        self.activity.lock().state = state;
    }

    /// The session waits for its next command.
    pub fn idle(&self, now: Instant) {
        let mut activity = self.activity.lock();
        activity.command = SLEEP;
        activity.since = now;
        activity.statement.clear();
    }

    fn view(&self) -> SessionView {
        let activity = self.activity.lock();
        SessionView {
            id: self.id,
            user: activity.user.clone(),
            host: self.host.clone(),
            database: activity.database.clone(),
            command: activity.command,
            elapsed: activity.since.elapsed(),
            statement: activity.statement.clone(),
            state: activity.state,
        }
    }
}

/// What has been asked of a session from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Give up the running statement.
    Query,
    /// Give up the connection.
    Connection,
}

/// The switch by which a session is killed or told to leave. Many may throw it; only the
/// session's own task waits for it, so that waiting costs no lock.
#[derive(Debug, Default)]
pub struct KillSwitch {
    state: AtomicU8,
    /// The query is killed since its transaction is in a deadlock.
    deadlock: AtomicBool,
    draining: AtomicBool,
    waiting: AtomicWaker,
}

const KILL_NONE: u8 = 0;
const KILL_QUERY: u8 = 1;
const KILL_CONNECTION: u8 = 2;

impl KillSwitch {
    /// Throws the switch.
    pub fn throw(&self, kill: Kill) {
        let state = match kill {
            Kill::Query => KILL_QUERY,
            Kill::Connection => KILL_CONNECTION,
        };
        self.state.fetch_max(state, Ordering::SeqCst);
        self.waiting.wake();
    }

    /// Throws it for the running statement, whose transaction is to end.
    pub fn throw_deadlock(&self) {
        self.deadlock.store(true, Ordering::SeqCst);
        self.throw(Kill::Query);
    }

    /// Whether the statement's transaction is to end because of a deadlock.
    pub fn is_deadlock(&self) -> bool {
        self.deadlock.load(Ordering::SeqCst)
    }

    /// The proxy is about to end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.waiting.wake();
    }

    /// Whether the proxy is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// What has been asked for, if anything.
    pub fn state(&self) -> Option<Kill> {
        match self.state.load(Ordering::SeqCst) {
            KILL_NONE => None,
            KILL_QUERY => Some(Kill::Query),
            _ => Some(Kill::Connection),
        }
    }

    /// A statement begins: a KILL QUERY that came while the session was idle is void.
    pub fn rearm(&self) {
        if self.state.load(Ordering::Relaxed) == KILL_QUERY {
            self.deadlock.store(false, Ordering::SeqCst);
            let (old, new) = (KILL_QUERY, KILL_NONE);
            let _ = self.state.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Has `cx` woken at the next throw or drain. The state is to be looked at afterwards.
    pub fn watch(&self, cx: &Context<'_>) {
        self.waiting.register(cx.waker());
    }

    /// Waits for KILL CONNECTION. Cancel-safe.
    pub async fn connection_killed(&self) {
        std::future::poll_fn(|cx| {
            self.watch(cx);
            if self.state() == Some(Kill::Connection) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits until the switch is thrown. Cancel-safe.
    pub async fn thrown(&self) -> Kill {
        std::future::poll_fn(|cx| {
            self.watch(cx);
            self.state().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_proxy_and_are_not_used_twice_at_once() {
        let registry = Arc::new(Registry::new(3));
        let first = registry.register(5, "a".into()).unwrap();
        let second = registry.register(5, "b".into()).unwrap();
        assert_eq!(first.id, (5 << COUNTER_BITS) | 1);
        assert_ne!(first.id, second.id);
        registry.sessions.lock().last = (1 << COUNTER_BITS) - 1;
        let third = registry.register(5, "c".into()).unwrap();
        assert_eq!(third.id & 0x3f_ffff, 3, "0 is skipped, 1 and 2 are taken");
        assert_eq!(registry.register(5, "d".into()).unwrap_err().number, 1040);
        drop(first);
        assert!(registry.register(5, "d".into()).is_ok());
    }

    #[test]
    fn the_process_list_shows_what_runs() {
        let registry = Arc::new(Registry::new(3));
        let session = registry.register(1, "127.0.0.1:5".into()).unwrap();
        session.set_user("root");
        session.begin("Query", b"SELECT 1", Instant::now());
        let views = registry.list();
        assert_eq!((views[0].user.as_str(), views[0].command), ("root", "Query"));
        assert_eq!(views[0].statement, b"SELECT 1");
        session.idle(Instant::now());
        assert_eq!(registry.list()[0].command, "Sleep");
        drop(session);
        assert_eq!(registry.connected(), 0);
    }

    #[tokio::test]
    async fn a_kill_of_an_idle_query_is_void_and_of_a_connection_is_not() {
        let switch = KillSwitch::default();
        switch.throw(Kill::Query);
        switch.rearm();
        assert_eq!(switch.state(), None);
        switch.throw(Kill::Connection);
        switch.throw(Kill::Query);
        switch.rearm();
        assert_eq!(switch.thrown().await, Kill::Connection);
    }
}
