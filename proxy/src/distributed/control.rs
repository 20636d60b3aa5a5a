//! Control connections: the proxy's own, with its configured account, for what must not go over
//! a client's transaction. A few idle ones are kept for each shard.

use crate::{
    backend::{
        BackendConnection, BackendError, PacketAnswer, PoolSet, TextLimits, TextResult, chain,
    },
    fault::Fault,
    txn::sql::{CONTROL_SESSION, Packet},
};
use parking_lot::Mutex;
use shardline_model::id::ShardId;
use shardline_wire::ErrPacket;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Control connections to one shard at once.
const CONNECTIONS_MAX: usize = 32;
/// Idle ones that are kept.
const IDLE_MAX: usize = 8;
/// How long one statement or packet may take, with the wait for a connection.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
/// What a control query may return.
const LIMITS: TextLimits = TextLimits { rows_max: 100_000, bytes_max: 64 << 20 };

/// Why a control statement has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// The server answered with an error.
    #[error("{0}")]
    Refused(ErrPacket),
    /// There was no connection: nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke or the time was over: it may have been done.
    #[error("{0}")]
    Lost(String),
}

impl ControlError {
    /// The server's error number, if it said one.
    pub(crate) fn number(&self) -> Option<u16> {
        match self {
            ControlError::Refused(error) => Some(error.code),
            ControlError::Unreachable(_) | ControlError::Lost(_) => None,
        }
    }
}

/// A step that failed on purpose counts as one that may have been done.
impl From<Fault> for ControlError {
    fn from(fault: Fault) -> Self {
        ControlError::Lost(fault.to_string())
    }
}

/// Control connections to all shards.
#[derive(Debug)]
pub(crate) struct Control {
    pools: Arc<PoolSet>,
    shards: Mutex<HashMap<ShardId, Arc<Lane>>>,
}

/// Those of one shard.
#[derive(Debug)]
struct Lane {
    /// With the server that they lead to.
    idle: Mutex<Vec<(String, BackendConnection)>>,
    places: Arc<Semaphore>,
}

/// Which connection will do.
#[derive(Clone, Copy)]
enum Freshness {
    /// One that is there.
    Idle,
    /// Only one that is opened now.
    New,
}

/// One that is in use. Dropping it between two statements closes it;
/// [`ControlConnection::release`] keeps it.
pub(crate) struct ControlConnection {
    connection: BackendConnection,
    address: String,
    lane: Arc<Lane>,
    _place: OwnedSemaphorePermit,
}

impl Control {
    pub(crate) fn new(pools: Arc<PoolSet>) -> Self {
        Control { pools, shards: Mutex::default() }
    }

    /// A connection to a shard's primary, in autocommit mode and READ COMMITTED.
    pub(crate) async fn connection(
        &self,
        shard: ShardId,
    ) -> Result<ControlConnection, ControlError> {
        self.opened(shard, Freshness::Idle).await
    }

    /// The same, opened now: it comes to the server as a session's next connection would.
    pub(crate) async fn new_connection(
        &self,
        shard: ShardId,
    ) -> Result<ControlConnection, ControlError> {
        self.opened(shard, Freshness::New).await
    }

    async fn opened(
        &self,
        shard: ShardId,
        freshness: Freshness,
    ) -> Result<ControlConnection, ControlError> {
        match tokio::time::timeout(PATIENCE, self.open(shard, freshness)).await {
            Ok(opened) => opened,
            Err(_) => Err(ControlError::Unreachable(format!("{shard} does not answer"))),
        }
    }

    async fn open(
        &self,
        shard: ShardId,
        freshness: Freshness,
    ) -> Result<ControlConnection, ControlError> {
        let lane = self.lane(shard);
        let place = lane.places.clone().acquire_owned().await;
        let place = place.map_err(|_| ControlError::Unreachable("the proxy ends".into()))?;
        let unreachable = |error: BackendError| ControlError::Unreachable(chain(&error));
        let address = self.pools.address(shard).map_err(unreachable)?;
        if let Some(connection) = lane.take(&address, freshness) {
            return Ok(ControlConnection { connection, address, lane, _place: place });
        }
        let mut connection = self.pools.connect_control(shard).await.map_err(unreachable)?;
        for sql in CONTROL_SESSION {
            connection.query_ok(sql.as_bytes()).await.map_err(unreachable)?;
        }
        Ok(ControlConnection { connection, address, lane, _place: place })
    }

    fn lane(&self, shard: ShardId) -> Arc<Lane> {
        let lane = || {
            let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            Arc::new(Lane { idle: Mutex::default(), places })
        };
        self.shards.lock().entry(shard).or_insert_with(lane).clone()
    }

    /// Runs one statement on a connection of its own and returns its rows.
    pub(crate) async fn query(
        &self,
        shard: ShardId,
        sql: &str,
    ) -> Result<TextResult, ControlError> {
        let mut connection = self.connection(shard).await?;
        let rows = connection.query(sql).await;
        connection.release();
        rows
    }

    /// Runs one packet on a connection of its own.
    pub(crate) async fn run(
        &self,
        shard: ShardId,
        packet: &Packet,
    ) -> Result<PacketAnswer, ControlError> {
        let mut connection = self.connection(shard).await?;
        let answer = connection.run(packet).await;
        connection.release();
        answer
    }

    /// Kills a connection of the shard. One that is gone already is no error.
    pub(crate) async fn kill(&self, shard: ShardId, thread: u64) -> Result<(), ControlError> {
        const NO_SUCH_THREAD: u16 = 1094;
        match self.query(shard, &format!("KILL CONNECTION {thread}")).await {
            Ok(_) => Ok(()),
            Err(error) if error.number() == Some(NO_SUCH_THREAD) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Lane {
    /// An idle one to this server. Those to another, which the shard had before, are closed.
    fn take(&self, address: &str, freshness: Freshness) -> Option<BackendConnection> {
        let mut idle = self.idle.lock();
        idle.retain(|(to, connection)| to == address && connection.is_quiet());
        match freshness {
            Freshness::Idle => idle.pop().map(|(_, connection)| connection),
            Freshness::New => None,
        }
    }
}

impl ControlConnection {
    /// Runs one statement and returns its rows, none when it has none.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<TextResult, ControlError> {
        let rows = self.connection.query_rows(sql.as_bytes(), LIMITS);
        let rows = tokio::time::timeout(PATIENCE, rows).await;
        self.done(rows)
    }

    /// Runs one packet.
    pub(crate) async fn run(&mut self, packet: &Packet) -> Result<PacketAnswer, ControlError> {
        let answer = self.connection.run_packet(packet, LIMITS);
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        self.done(answer)
    }

    /// Whether a transaction is open, by the last answer that was no error.
    pub(crate) fn in_transaction(&self) -> bool {
        self.connection.in_transaction()
    }

    /// The server's own number of the connection.
    pub(crate) fn thread_id(&self) -> u32 {
        self.connection.thread_id()
    }

    /// The server's version as it greets.
    pub(crate) fn server_version(&self) -> &str {
        self.connection.server_version()
    }

    fn done<T>(
        &mut self,
        done: Result<Result<T, BackendError>, tokio::time::error::Elapsed>,
    ) -> Result<T, ControlError> {
        match done {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(BackendError::Server { error, .. })) => Err(ControlError::Refused(error)),
            Ok(Err(error)) => Err(ControlError::Lost(chain(&error))),
            Err(_) => {
                self.connection.poison();
                Err(ControlError::Lost(format!("no answer within {PATIENCE:?}")))
            }
        }
    }

    /// Keeps the connection for the next, if it is clean: no transaction, no answer owed.
    /// Whoever changed its session settings drops it instead.
    pub(crate) fn release(self) {
        let mut idle = self.lane.idle.lock();
        if self.connection.is_clean() && idle.len() < IDLE_MAX {
            idle.push((self.address, self.connection));
        }
    }
}

/// The server's "Lock wait timeout exceeded".
pub(crate) const LOCK_WAIT_TIMEOUT: u16 = 1205;
/// The server's "Duplicate entry".
pub(crate) const DUPLICATE: u16 = 1062;
