//! The last steps before units change their owner, while statements on them wait: what they need is made
//! ready before, so that only what must be done in that time is.

use crate::{
    error::{MoveError, Side},
    flow::sender,
    mover::{Mover, drain},
    session::{Endpoint, Session, WRITING, text},
    source,
};
use futures_util::future::try_join_all;
use shardline_binlog::literal;
use shardline_model::id::ShardId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// Transactions that one statement asks for.
const XIDS_MAX: usize = 1_000;

/// Sessions on both sides, and the name of the server that the flow back will read.
#[derive(Debug)]
pub struct Turn {
    owner: Session,
    receiver: Session,
    receiver_name: String,
    anchors: BTreeMap<ShardId, Anchor>,
    drained: Duration,
}

/// A shard whose word decides about transactions over several.
#[derive(Debug)]
struct Anchor {
    endpoint: Endpoint,
    session: Option<Session>,
}

impl Turn {
    /// Transactions over several shards that have committed their part on the owner and are not known to
    /// be committed as a whole: their part may have to be undone there.
    ///
    /// # Errors
    /// A shard cannot be asked.
    pub async fn undecided(&mut self) -> Result<BTreeSet<Vec<u8>>, MoveError> {
        const PREPARED: &str = "SELECT anchor, xid FROM _shardline.branch WHERE state = 1";
        let answer = match self.owner.one("its undecided transactions", PREPARED).await {
            // There never was one.
            Err(MoveError::Refused { error, .. }) if matches!(error.code, 1049 | 1146) => {
                return Ok(BTreeSet::new());
            }
            answer => answer?,
        };
        let mut open = BTreeSet::new();
        let mut by_anchor: BTreeMap<ShardId, Vec<Vec<u8>>> = BTreeMap::new();
        for row in answer.rows {
            let anchor = text(&row, 0).and_then(|number| number.parse().ok()).map(ShardId);
            let Some(xid) = row.get(1).and_then(Option::as_ref) else { continue };
            open.insert(xid.to_vec());
            if let Some(anchor) = anchor {
                by_anchor.entry(anchor).or_default().push(xid.to_vec());
            }
        }
        let asked = self.anchors.iter_mut().filter_map(|(shard, anchor)| {
            let xids = by_anchor.remove(shard)?;
            Some(async move {
                let committed = anchor.committed(&xids).await;
                let reason = |error| format!("the shard {shard} cannot be asked: {error}");
                committed.map_err(|error| MoveError::Step {
                    id: shard.to_string(),
                    step: "decide about transactions",
                    reason: reason(error),
                })
            })
        });
        for committed in try_join_all(asked).await? {
            open.retain(|xid| !committed.contains(xid));
        }
        Ok(open)
    }

    /// How long the change stream took to bring the last changes.
    pub fn drained(&self) -> Duration {
        self.drained
    }
}

impl Anchor {
    /// Those of the transactions that are committed. That they are is written once more first: where a
    /// replica confirms each commit, a decision that is lost with its server is not believed.
    async fn committed(&mut self, xids: &[Vec<u8>]) -> Result<BTreeSet<Vec<u8>>, MoveError> {
        const WHAT: &str = "its decisions";
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(Side::Source, &self.endpoint, WRITING).await?,
        };
        let mut committed = BTreeSet::new();
        for xids in xids.chunks(XIDS_MAX) {
            let list: Vec<String> = xids.iter().map(|xid| literal::binary(xid)).collect();
            let those = format!("xid IN ({}) AND state = 1", list.join(", "));
            let confirm =
                format!("UPDATE _shardline.gtx SET confirmed = confirmed + 1 WHERE {those}");
            session.one(WHAT, &confirm).await?;
            let read = format!("SELECT xid FROM _shardline.gtx WHERE {those}");
            let rows = session.one(WHAT, &read).await?.rows;
            let xids = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
            committed.extend(xids.map(|xid| xid.to_vec()));
        }
        self.session = Some(session);
        Ok(committed)
    }
}

impl Mover {
    /// What changing the owner needs, for the direction of the flow that runs. `anchors` are the shards
    /// by whose word transactions are decided; those of others count as undecided.
    ///
    /// # Errors
    /// Nothing runs, or a server cannot be reached.
    pub async fn turn(
        &self,
        anchors: impl IntoIterator<Item = (ShardId, Endpoint)>,
    ) -> Result<Turn, MoveError> {
        let anchors = anchors
            .into_iter()
            .map(|(shard, endpoint)| (shard, Anchor { endpoint, session: None }))
            .collect();
        let direction = self.direction().ok_or_else(|| self.step("be switched", "nothing runs"))?;
        let from = sender(direction);
        let to = from.other();
        let (owner, mut receiver) = (self.session(from).await?, self.session(to).await?);
        let receiver_name = source::server_name(&mut receiver, to).await?;
        let drained = Duration::ZERO;
        let mut turn = Turn { owner, receiver, receiver_name, anchors, drained };
        // Opens the sessions that will be needed.
        turn.undecided().await?;
        Ok(turn)
    }

    /// The switch's record: everything of the sender is on the receiver, and in one transaction the
    /// receiver notes this epoch and where the flow back begins. The flow has ended then. Nobody may
    /// write the units on either server between the hold and the catalog's new epoch.
    ///
    /// # Errors
    /// It was not drained in time, another driver has taken over, or the receiver refuses; the flow goes
    /// on when it is started again, unless [`Mover::switches`] says that the record is there.
    pub async fn record_switch(
        &mut self,
        turn: &mut Turn,
        epoch: u64,
        limit: Duration,
    ) -> Result<(), MoveError> {
        let direction = self.direction().ok_or_else(|| self.step("be switched", "nothing runs"))?;
        if self.spec().carries(direction) {
            let flow = self.flow("be switched")?;
            if !*flow.copied.borrow() {
                return Err(self.step("be switched", "its copy is not done"));
            }
            let begun = Instant::now();
            drain(flow, &mut turn.owner, limit).await?;
            turn.drained = begun.elapsed();
        }
        self.stop().await;
        let to = sender(direction).other();
        let back = source::end_of_log(&mut turn.receiver, to).await?;
        crate::fault::point("switch.before_record").await?;
        let sql = self.names(direction).save_switch(epoch, &turn.receiver_name, &back);
        if turn.receiver.one("the record of a switch", &sql).await?.affected != 1 {
            return Err(MoveError::NotOwner { id: self.id().to_owned() });
        }
        crate::fault::point("switch.recorded").await
    }
}
