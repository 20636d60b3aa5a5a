//! Snapshots of several shards that show no transaction over several shards in part
//! (`shardline_read_consistency = atomic`, and `strict`). [`crate::txn::snapshots`] judges them; what is torn is
//! opened anew.

use super::committed::{roll_back, shown_rows};
use crate::{
    backend::{PooledConnection, TextLimits},
    distributed::{
        anchor::{number, xid_of},
        reads::Patience,
    },
    error::SqlError,
    fault,
    session::{
        Session,
        branches::Entry,
        failure::{BackendFailure, Failure},
        transaction::Access,
    },
    txn::{
        snapshots::{Branches, Picture, Shown, judge},
        sql::{self, Packet, Part, SHOWN_MAX},
        xid::Xid,
    },
};
use bytes::Bytes;
use shardline_model::id::ShardId;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// How long it is waited for that aborted transactions are undone which are not known to be stuck.
const UNDONE_PATIENCE: Duration = Duration::from_secs(1);

/// When the shards are asked what they show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Now, before any snapshot is opened.
    Before,
    /// In a snapshot that is opened for it.
    InSnapshot,
}

impl Session {
    /// Makes the shards branches of the open transaction, which has none yet, by snapshots that
    /// show every transaction over several shards on all of them or on none.
    pub(crate) async fn open_snapshots(&mut self, shards: &[ShardId]) -> Result<(), Failure> {
        if !self.transaction.branches().is_empty() {
            let text = "snapshots are to be opened in a transaction that has read already";
            return Err(SqlError::internal(text).into());
        }
        self.transaction.open_snapshots();
        let mut connections = Vec::with_capacity(shards.len());
        let mut opened = Ok(());
        // Every statement takes its connections in the same order.
        for shard in shards {
            match self.connection(*shard).await {
                Ok(connection) => connections.push(connection),
                Err(failure) => {
                    opened = Err(failure);
                    break;
                }
            }
        }
        if opened.is_ok() {
            opened = match self.reads_strictly() {
                true => self.open_behind_barrier(&mut connections).await,
                false => self.open_until_whole(&mut connections, Patience::new()).await,
            };
        }
        for connection in connections {
            match &opened {
                Ok(()) => self.leave(connection, Access::READ, false).await?,
                Err(_) => self.take_back(connection).await,
            }
        }
        if opened.is_ok() {
            self.transaction.note_snapshots();
        }
        opened
    }

    pub(super) async fn open_until_whole(
        &mut self,
        connections: &mut [PooledConnection],
        mut patience: Patience,
    ) -> Result<(), Failure> {
        let distributed = self.shared.distributed.clone();
        let (mut settled, mut attempts) = (BTreeSet::new(), 0_u32);
        let mut undone = BTreeSet::new();
        let begun = Instant::now();
        let mut before = self.look_around(connections, Moment::Before).await?;
        loop {
            let now = self.look_around(connections, Moment::InSnapshot).await?;
            attempts += 1;
            undone.extend(distributed.recovery.settler.stuck.xids());
            let judgement = judge(&before, &now, &settled, &undone);
            if judgement.ask.is_empty() && !judgement.torn {
                self.transaction.note_undone(shows(&now, &undone));
                return Ok(());
            }
            let committed = self.watched(distributed.committed(&judgement.ask)).await?;
            if committed.len() == judgement.ask.len() && !judgement.torn {
                self.transaction.note_undone(shows(&now, &undone));
                return Ok(());
            }
            // What is not undone by now may never be: the keys of a stuck branch stay locked, and
            // statements that do not meet them need not wait.
            if begun.elapsed() > UNDONE_PATIENCE {
                let doubted: Vec<_> = judgement.ask.iter().chain(&judgement.doubted).collect();
                let aborted = distributed.aborted(&doubted);
                undone.extend(self.watched(aborted).await?);
            }
            if !self.watched(patience.pause()).await? {
                return Err(SqlError::snapshots_torn(attempts).into());
            }
            // What these snapshots show was shown before the next are opened.
            settled.extend(committed);
            before = now;
        }
    }

    /// What all shards show, asked at the same time.
    async fn look_around(
        &mut self,
        connections: &mut [PooledConnection],
        moment: Moment,
    ) -> Result<Picture, Failure> {
        let look = Packet::default().then(Part::Plain, &sql::show());
        let mut entries = Vec::with_capacity(connections.len());
        let mut outcome = Ok(());
        for connection in connections.iter_mut() {
            match self.send_show(connection, &look, moment).await {
                Ok(entry) => entries.push(entry),
                Err(failure) => {
                    connection.poison();
                    outcome = Err(self.lost(connection.shard(), Access::READ, failure).await);
                    break;
                }
            }
        }
        let mut picture = Picture::new();
        for (connection, entry) in connections.iter_mut().zip(entries) {
            // What was sent is read to its end, whatever another shard said.
            match self.read_show(connection, entry, &look).await {
                Ok(shown) => {
                    picture.insert(connection.shard(), shown);
                }
                Err(failure) => {
                    connection.poison();
                    outcome = Err(self.lost(connection.shard(), Access::READ, failure).await);
                }
            }
        }
        outcome.map(|()| picture)
    }

    async fn send_show(
        &mut self,
        connection: &mut PooledConnection,
        look: &Packet,
        moment: Moment,
    ) -> Result<Option<Entry>, BackendFailure> {
        if connection.in_transaction() {
            roll_back(connection).await;
        }
        let entry = match moment {
            Moment::Before => None,
            Moment::InSnapshot => {
                let reached = fault::point("read.before_snapshot", connection.shard()).await;
                reached.map_err(|fault| BackendFailure::Lost(fault.to_string()))?;
                Some(self.queue_entry(connection, Access::READ).await?)
            }
        };
        connection.queue_statements(look);
        connection.flush().await?;
        Ok(entry)
    }

    async fn read_show(
        &mut self,
        connection: &mut PooledConnection,
        entry: Option<Entry>,
        look: &Packet,
    ) -> Result<Shown, BackendFailure> {
        if let Some(entry) = entry {
            self.read_entry(connection, entry).await?;
        }
        let limits = TextLimits { rows_max: SHOWN_MAX, ..TextLimits::default() };
        let answer = connection.read_packet_answer(look, limits).await?;
        let rows = shown_rows(answer)?;
        let told = |text: &str| BackendFailure::Told(SqlError::internal(text));
        if rows.len() >= SHOWN_MAX {
            return Err(told("a shard has too many undecided transactions to look through"));
        }
        shown(&rows).ok_or_else(|| told("a shard's transactions cannot be read"))
    }
}

fn shows(picture: &Picture, xids: &BTreeSet<Xid>) -> bool {
    picture.values().any(|shown| shown.prepared.keys().any(|xid| xids.contains(xid)))
}

/// The rows of [`sql::show`].
fn shown(rows: &[Vec<Option<Bytes>>]) -> Option<Shown> {
    let mut shown = Shown::default();
    for row in rows {
        let [Some(kind), xid, first, second, participants] = row.as_slice() else { return None };
        let branches = || {
            let all = sql::participants_of(participants.as_ref()?)?;
            Some(all.into_iter().collect::<Branches>())
        };
        match number(kind)? {
            1 => {
                let anchor = ShardId(number(first.as_ref()?)?.try_into().ok()?);
                shown.prepared.insert(xid_of(xid.as_ref()?)?, (anchor, branches()?));
            }
            2 => {
                shown.decided.insert(xid_of(xid.as_ref()?)?, branches()?);
            }
            3 => {
                shown.marks.insert(number(first.as_ref()?)?, number(second.as_ref()?)?);
            }
            _ => return None,
        }
    }
    Some(shown)
}
