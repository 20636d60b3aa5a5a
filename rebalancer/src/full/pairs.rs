//! The pairs of shards that rows of a table go between, each with its mover.

use crate::{
    FlowState, MoveError, MoveSpec, Mover, Rows, Settings, Switches, TableSpec,
    driver::Driver,
    state::Direction,
    workflow::{CALM, FlowView, LAG_MAX, View},
};
use shardline_model::{
    catalog::Catalog,
    id::{Epoch, Incarnation, ShardId},
    moves::MoveState,
    reshard::{Crossing, Reshard, RowOwner},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One pair.
pub(super) struct Pair {
    pub(super) source: ShardId,
    pub(super) target: ShardId,
    /// The name of its move on the servers.
    pub(super) name: String,
    pub(super) mover: Mover,
    pub(super) checked: bool,
    pub(super) verified: bool,
    /// What the servers say of switches, while nothing was done that changes it.
    switches: Option<(Epoch, Switches)>,
    calm_since: Option<Instant>,
}

/// Those of a table.
pub(super) fn of(
    driver: &Arc<Driver>,
    catalog: &Catalog,
    one: &Reshard,
    me: Incarnation,
) -> Result<Vec<Pair>, String> {
    let table = catalog.table_by_id(one.table).ok_or("its table is gone")?;
    let owner = |kind| RowOwner::of(kind, table, catalog).ok_or("its colocation group is gone");
    let (from, to) = (owner(&one.from)?, owner(&one.to)?);
    let all = one.pairs();
    let settings = settings(driver.settings(), all.len());
    let mut pairs = Vec::with_capacity(all.len());
    for (source, target) in all {
        let endpoint = |shard| {
            let shard = catalog.shards.get(&shard).ok_or("one of its shards is gone")?;
            Ok::<_, String>(driver.endpoint(&shard.primary))
        };
        let crossing = Crossing { from: from.clone(), to: to.clone(), source, target };
        let name = format!("{}.{source}.{target}", one.id);
        let spec = MoveSpec {
            id: name.clone(),
            owner: me.to_string(),
            tables: vec![TableSpec {
                database: table.database.clone(),
                table: table.name.clone(),
                key_columns: crossing.columns(),
            }],
            key_types: crossing.types(),
            units: Rows::Crossing(crossing),
            source: endpoint(source)?,
            target: endpoint(target)?,
        };
        let mover = Mover::new(spec, settings.clone()).map_err(|error| error.to_string())?;
        pairs.push(Pair {
            source,
            target,
            name,
            mover,
            checked: false,
            verified: false,
            switches: None,
            calm_since: None,
        });
    }
    Ok(pairs)
}

/// Many pairs do less each, so that all together are no more than a few.
fn settings(whole: &Settings, pairs: usize) -> Settings {
    let part = |all: usize| (all * 2 / pairs.max(2)).max(1);
    Settings {
        lanes: part(whole.lanes),
        readers: part(whole.readers),
        chunks_max: part(whole.chunks_max).max(2),
    }
}

/// What there is to see when all rows stay where they are.
pub(super) fn nothing_to_carry(one: &Reshard, acknowledged: bool, backs_off: bool) -> View {
    let direction = match one.state {
        MoveState::Incoming | MoveState::Held | MoveState::Clearing => Direction::Forward,
        MoveState::Outgoing | MoveState::HeldBack | MoveState::Purging => Direction::Reverse,
    };
    View {
        state: one.state,
        since: one.since,
        acknowledged,
        switches: Switches::default(),
        checked: true,
        flow: FlowView::Running { direction, copied: true, calm: CALM },
        verified: true,
        backs_off,
    }
}

impl Pair {
    pub(super) fn forget_what_was_seen(&mut self) {
        self.switches = None;
        self.calm_since = None;
    }

    pub(super) async fn view(
        &mut self,
        one: &Reshard,
        acknowledged: bool,
        backs_off: bool,
    ) -> Result<View, MoveError> {
        let known = self.switches.take().filter(|(since, _)| *since == one.since);
        let switches = match known {
            Some((_, switches)) => switches,
            None => self.mover.switches().await?,
        };
        self.switches = Some((one.since, switches.clone()));
        Ok(View {
            state: one.state,
            since: one.since,
            acknowledged,
            switches,
            checked: self.checked,
            flow: self.flow()?,
            verified: self.verified,
            backs_off,
        })
    }

    fn flow(&mut self) -> Result<FlowView, MoveError> {
        let direction = match (self.mover.direction(), self.mover.state()) {
            (_, Some(FlowState::Failed(error))) => return Err(error),
            (
                Some(direction),
                Some(FlowState::Starting | FlowState::Running | FlowState::Waiting(_)),
            ) => direction,
            (_, None) | (None, _) => {
                self.calm_since = None;
                return Ok(FlowView::Stopped);
            }
        };
        let progress = self.mover.progress();
        let lag = progress.lag_ms.map(Duration::from_millis);
        if lag.is_none_or(|lag| lag > LAG_MAX) || !progress.copied {
            self.calm_since = None;
        } else if self.calm_since.is_none() {
            self.calm_since = Some(Instant::now());
        }
        let calm = self.calm_since.map(|since| since.elapsed()).unwrap_or_default();
        Ok(FlowView::Running { direction, copied: progress.copied, calm: calm.min(CALM) })
    }
}
