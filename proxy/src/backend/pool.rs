//! One shard's pool: the driver of [`PoolState`]. It connects, hands out, takes back,
//! and wakes who waits; what to do is decided there.

use super::{
    BackendError, ConnClass, Wanted, chain,
    connect::connect,
    connection::BackendConnection,
    logins::{Login, LoginsPlace},
    pool_set::{KillKind, PoolConfig, PoolStatus},
    pool_state::{Checkout, Grant, Idle, Origin, PoolState, Returned, Ticket},
};
use crate::config::BackendAccount;
use parking_lot::Mutex;
use shardline_model::{
    catalog::{ServerAddress, Shard},
    id::ShardId,
};
use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{Arc, Weak},
    time::Instant,
};
use tokio::sync::{Notify, mpsc, oneshot};

/// A query that nobody waits for any more, and that is to be killed.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) pool: Arc<ShardPool>,
    pub(crate) thread_id: u32,
}

/// What a waiter gets.
#[derive(Debug)]
enum Message {
    Grant(Grant<Box<BackendConnection>>),
    Down(Arc<str>),
}

/// Whether the shard answers.
#[derive(Clone, Debug)]
enum Health {
    Up,
    Down(Arc<str>),
}

#[derive(Debug)]
struct Core {
    state: PoolState<Box<BackendConnection>>,
    waiting: HashMap<Ticket, oneshot::Sender<Message>>,
    health: Health,
    address: ServerAddress,
}

/// The pool of one shard.
#[derive(Debug)]
pub(crate) struct ShardPool {
    shard: ShardId,
    name: Arc<str>,
    config: Arc<PoolConfig>,
    core: Mutex<Core>,
    /// Something looks wrong: probe at once.
    pub(crate) suspicion: Notify,
    orphans: mpsc::Sender<Orphan>,
    logins: LoginsPlace,
}

impl ShardPool {
    pub(crate) fn new(
        shard: &Shard,
        config: Arc<PoolConfig>,
        orphans: mpsc::Sender<Orphan>,
        logins: LoginsPlace,
    ) -> Self {
        let core = Core {
            state: PoolState::new(config.limits, config.workers),
            waiting: HashMap::new(),
            health: Health::Up,
            address: shard.primary.clone(),
        };
        ShardPool {
            shard: shard.id,
            name: shard.name.as_str().into(),
            config,
            core: Mutex::new(core),
            suspicion: Notify::new(),
            orphans,
            logins,
        }
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn config(&self) -> &PoolConfig {
        &self.config
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let core = self.core.lock();
        PoolStatus {
            shard: self.shard,
            name: self.name.clone(),
            address: address_text(&core.address).into(),
            down: match &core.health {
                Health::Up => None,
                Health::Down(reason) => Some(reason.clone()),
            },
            idle: core.state.idle(),
            in_use: core.state.lent(),
            waiting: core.state.waiting(),
            connections_max: core.state.limits().connections_max,
        }
    }

    /// An idle connection of this thread, without waiting and without allocating.
    pub(crate) fn try_checkout(self: &Arc<Self>, wanted: Wanted) -> Option<PooledConnection> {
        let idle = {
            let mut core = self.core.lock();
            if matches!(core.health, Health::Down(_)) {
                return None;
            }
            core.state.checkout_idle(wanted)?
        };
        self.use_idle(idle).ok()
    }

    /// A connection: an idle one, a new one, or the next that becomes free. Cancel-safe.
    pub(crate) async fn checkout(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<PooledConnection, BackendError> {
        match self.begin_checkout(wanted)? {
            Begun::Connection(pooled) => Ok(pooled),
            Begun::Place(place) => place.open(wanted).await,
            Begun::Waiting(waiting) => self.wait(waiting, wanted).await,
        }
    }

    /// All of a checkout that needs no waiting.
    fn begin_checkout(self: &Arc<Self>, wanted: Wanted) -> Result<Begun, BackendError> {
        let mut core = self.core.lock();
        if let Health::Down(reason) = &core.health {
            return Err(self.down(reason.clone(), &core.address));
        }
        match core.state.checkout(wanted) {
            Checkout::Reuse(idle) => {
                drop(core);
                Ok(self.use_idle(idle).map_or_else(Begun::Place, Begun::Connection))
            }
            Checkout::Open => Ok(Begun::Place(self.place())),
            Checkout::Replace(idle) => {
                drop(core);
                idle.connection.close();
                Ok(Begun::Place(self.place()))
            }
            Checkout::Wait(ticket) => {
                let (sender, receiver) = oneshot::channel();
                core.waiting.insert(ticket, sender);
                Ok(Begun::Waiting(Waiting { pool: self.clone(), ticket, receiver }))
            }
            Checkout::QueueFull => {
                let limits = core.state.limits();
                Err(BackendError::QueueFull {
                    name: self.name.clone(),
                    limit: limits.connections_max,
                    waiters: limits.waiters_max,
                })
            }
        }
    }

    async fn wait(
        self: &Arc<Self>,
        mut waiting: Waiting,
        wanted: Wanted,
    ) -> Result<PooledConnection, BackendError> {
        let started = Instant::now();
        let answer =
            tokio::time::timeout(self.config.checkout_timeout, &mut waiting.receiver).await;
        match answer {
            Ok(Ok(Message::Grant(Grant::Connection(idle)))) => match self.use_idle(idle) {
                Ok(pooled) => Ok(pooled),
                Err(place) => place.open(wanted).await,
            },
            Ok(Ok(Message::Grant(Grant::Open))) => self.place().open(wanted).await,
            Ok(Ok(Message::Down(reason))) => {
                let core = self.core.lock();
                Err(self.down(reason, &core.address))
            }
            // The sender is only dropped after it was taken out to send.
            Ok(Err(_)) | Err(_) => Err(BackendError::CheckoutTimeout {
                name: self.name.clone(),
                limit: self.config.limits.connections_max,
                waited: started.elapsed(),
            }),
        }
    }

    /// A connection from the pool, whose place is counted: one that the server has closed
    /// meanwhile is dropped and its place given instead.
    fn use_idle(
        self: &Arc<Self>,
        idle: Idle<Box<BackendConnection>>,
    ) -> Result<PooledConnection, Place> {
        let place = self.place();
        if !idle.connection.is_quiet() {
            self.suspicion.notify_one();
            return Err(place);
        }
        Ok(place.filled(idle.connection, idle.origin))
    }

    fn place(self: &Arc<Self>) -> Place {
        Place { pool: Some(self.clone()) }
    }

    /// The shard answers.
    pub(crate) fn set_up(&self) {
        let mut core = self.core.lock();
        if matches!(core.health, Health::Down(_)) {
            core.health = Health::Up;
            tracing::info!(shard = %self.name, "the shard answers again");
        }
    }

    /// The shard does not answer: waiters are told, idle connections closed.
    pub(crate) fn set_down(&self, reason: Arc<str>) {
        let (idle, waiters) = {
            let mut core = self.core.lock();
            if matches!(core.health, Health::Up) {
                tracing::warn!(shard = %self.name, %reason, "the shard is down");
            }
            core.health = Health::Down(reason.clone());
            let tickets = core.state.dismiss_waiters();
            let waiters: Vec<_> =
                tickets.iter().filter_map(|ticket| core.waiting.remove(ticket)).collect();
            (core.state.retire_all(), waiters)
        };
        drop(idle);
        for waiter in waiters {
            // A waiter that has gone away needs no answer.
            let _ = waiter.send(Message::Down(reason.clone()));
        }
    }

    /// Follow the catalog: another address means new connections.
    pub(crate) fn set_address(&self, address: &ServerAddress) {
        let retired = {
            let mut core = self.core.lock();
            if core.address == *address {
                return;
            }
            core.address = address.clone();
            core.state.retire_all()
        };
        drop(retired);
        self.suspicion.notify_one();
    }

    /// Close the idle connections, and the others when they come back.
    pub(crate) fn retire_connections(&self) {
        let retired = self.core.lock().state.retire_all();
        for connection in retired {
            connection.close();
        }
    }

    /// Where it is, for people and as a key.
    pub(crate) fn address(&self) -> String {
        address_text(&self.core.lock().address)
    }

    /// The shard is gone from the catalog.
    pub(crate) fn retire(&self) {
        self.set_down("the shard was removed from the cluster".into());
    }

    /// Close what has been idle or alive for too long.
    pub(crate) fn expire(&self, now: Instant) {
        let expired = self.core.lock().state.expire(now);
        for connection in expired {
            connection.close();
        }
    }

    /// A connection outside the limit, for probes and KILL.
    pub(crate) async fn connect_control(&self) -> Result<BackendConnection, BackendError> {
        self.connect(ConnClass::default(), &self.config.account).await
    }

    pub(crate) async fn kill(&self, thread_id: u32, kind: KillKind) -> Result<(), BackendError> {
        let mut control = self.connect_control().await?;
        let sql = match kind {
            KillKind::Query => format!("KILL QUERY {thread_id}"),
            KillKind::Connection => format!("KILL CONNECTION {thread_id}"),
        };
        control.query_ok(sql.as_bytes()).await?;
        control.close();
        Ok(())
    }

    async fn connect(
        &self,
        class: ConnClass,
        account: &BackendAccount,
    ) -> Result<BackendConnection, BackendError> {
        let address = self.core.lock().address.clone();
        connect(self.shard, &self.name, &address, &self.config, class, account).await
    }

    /// A connection for sessions, with the login that they have now. A login that the server does
    /// not know, or that is over by then, is asked for again.
    async fn connect_session(&self, class: ConnClass) -> Result<BackendConnection, BackendError> {
        let logins = self.logins.read().as_ref().and_then(Weak::upgrade);
        let Some(logins) = logins else {
            return self.connect(class, &self.config.account).await;
        };
        let mut last = "its login changed all the time".to_owned();
        for _ in 0..LOGINS_MAX {
            let login = logins.login(self.shard).await.map_err(|reason| self.no_login(reason))?;
            match self.connect(class, &login.account).await {
                Ok(mut connection) if logins.is_current(&login) => {
                    connection.set_incarnation(login.incarnation);
                    return Ok(connection);
                }
                Ok(connection) => connection.close(),
                Err(error) if is_unknown_login(&login, &error) => {
                    logins.refused(self.shard, &login);
                    last = chain(&error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.no_login(last))
    }

    fn no_login(&self, reason: String) -> BackendError {
        let (name, address) = (self.name.clone(), self.address().into());
        BackendError::Connect { name, address, reason, server: None, at_login: false }
    }

    fn down(&self, reason: Arc<str>, address: &ServerAddress) -> BackendError {
        BackendError::Down {
            name: self.name.clone(),
            address: address_text(address).into(),
            reason,
        }
    }

    /// Do what the accounting says after something came back.
    fn settle(self: &Arc<Self>, mut returned: Returned<Box<BackendConnection>>) {
        loop {
            if let Some(connection) = returned.close.take() {
                connection.close();
            }
            let Some((ticket, grant)) = returned.grant.take() else { return };
            let sender = self.core.lock().waiting.remove(&ticket);
            let refused = match sender {
                Some(sender) => sender.send(Message::Grant(grant)).err(),
                None => Some(Message::Grant(grant)),
            };
            // The waiter went away between the decision and the message: the next one.
            let Some(Message::Grant(grant)) = refused else { return };
            returned = self.take_back(grant);
        }
    }

    fn take_back(&self, grant: Grant<Box<BackendConnection>>) -> Returned<Box<BackendConnection>> {
        let mut core = self.core.lock();
        match grant {
            Grant::Open => core.state.place_freed(),
            Grant::Connection(idle) => {
                let class = idle.connection.class();
                let now = Instant::now();
                core.state.give_back(now, idle.connection, class, idle.origin)
            }
        }
    }
}

/// Logins that one connection is tried with.
const LOGINS_MAX: usize = 3;

/// The configured account is what it is; one of our making may be missing on a server that was
/// put in another's place, or for the host that we come from. A server tells an account that is
/// not there in several ways, so that nobody can look for names.
fn is_unknown_login(login: &Login, error: &BackendError) -> bool {
    let refused = match error {
        BackendError::Connect { at_login, server: Some(server), .. } => {
            *at_login && server.code == ACCESS_DENIED
        }
        BackendError::Connect { at_login, server: None, .. } => *at_login,
        BackendError::UnknownShard { .. }
        | BackendError::Down { .. }
        | BackendError::QueueFull { .. }
        | BackendError::CheckoutTimeout { .. }
        | BackendError::Broken { .. }
        | BackendError::Answer { .. }
        | BackendError::Unexpected { .. }
        | BackendError::Server { .. }
        | BackendError::Restore { .. }
        | BackendError::NotRestorable { .. } => false,
    };
    refused && login.incarnation.is_some()
}

/// The servers' "Access denied".
const ACCESS_DENIED: u16 = 1045;

/// `socket` or `host:port`, for people.
pub(crate) fn address_text(address: &ServerAddress) -> String {
    match &address.socket {
        Some(socket) => format!("{}:{} ({socket})", address.host, address.port),
        None => format!("{}:{}", address.host, address.port),
    }
}

/// How a checkout begins.
enum Begun {
    Connection(PooledConnection),
    Place(Place),
    Waiting(Waiting),
}

/// One who waits; dropping it leaves the queue.
struct Waiting {
    pool: Arc<ShardPool>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Message>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        {
            let mut core = self.pool.core.lock();
            if core.state.cancel(self.ticket) {
                core.waiting.remove(&self.ticket);
                return;
            }
        }
        // Something was given. After `close` either it is here, or its sender is told.
        self.receiver.close();
        if let Ok(Message::Grant(grant)) = self.receiver.try_recv() {
            let returned = self.pool.take_back(grant);
            self.pool.settle(returned);
        }
    }
}

/// A counted place without a connection; dropping it frees the place.
struct Place {
    pool: Option<Arc<ShardPool>>,
}

impl Place {
    /// Open a connection in this place. Cancel-safe: the place is freed.
    async fn open(self, wanted: Wanted) -> Result<PooledConnection, BackendError> {
        let Some(pool) = self.pool.clone() else {
            return Err(BackendError::UnknownShard { shard: ShardId::default() });
        };
        let generation = pool.core.lock().state.generation();
        match pool.connect_session(wanted.class).await {
            Ok(connection) => {
                let opened_at = Instant::now();
                let origin = Origin { opened_at, generation, worker: wanted.worker };
                Ok(self.filled(Box::new(connection), origin))
            }
            Err(error) => {
                pool.suspicion.notify_one();
                Err(error)
            }
        }
    }

    fn filled(mut self, connection: Box<BackendConnection>, origin: Origin) -> PooledConnection {
        PooledConnection { pool: self.pool.take(), connection: Some(connection), origin }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            let returned = pool.core.lock().state.place_freed();
            pool.settle(returned);
        }
    }
}

/// A connection that belongs to a session for now. Dropping it gives it back when it is
/// clean, and closes it otherwise; a query that is still at work is killed.
#[derive(Debug)]
pub struct PooledConnection {
    pool: Option<Arc<ShardPool>>,
    /// None only while it is dropped.
    connection: Option<Box<BackendConnection>>,
    origin: Origin,
}

impl PooledConnection {
    /// Close the connection instead of giving it back.
    pub fn discard(mut self) {
        self.poison();
    }

    /// As a drop does, at a moment that was just read from the clock.
    pub(crate) fn give_back(mut self, now: Instant) {
        self.returned(now);
    }

    fn returned(&mut self, now: Instant) {
        let (Some(pool), Some(connection)) = (self.pool.take(), self.connection.take()) else {
            return;
        };
        let returned = if connection.is_clean() {
            let class = connection.class();
            pool.core.lock().state.give_back(now, connection, class, self.origin)
        } else {
            if connection.is_broken() {
                pool.suspicion.notify_one();
            }
            if connection.is_answering() {
                let orphan = Orphan { pool: pool.clone(), thread_id: connection.thread_id() };
                if pool.orphans.try_send(orphan).is_err() {
                    tracing::warn!(shard = %pool.name, "too many abandoned queries to kill them all");
                }
            }
            connection.close();
            pool.core.lock().state.place_freed()
        };
        pool.settle(returned);
    }
}

impl Deref for PooledConnection {
    type Target = BackendConnection;

    fn deref(&self) -> &BackendConnection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("the connection is only taken by drop"),
        }
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut BackendConnection {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("the connection is only taken by drop"),
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.returned(Instant::now());
        }
    }
}
