//! Snapshots behind a commit barrier (`shardline_read_consistency = strict`): of all shards, at a
//! moment at which no proxy admits a commit.

use crate::{
    backend::PooledConnection,
    distributed::{
        barrier::{NoBarrier, TURN_PATIENCE},
        reads::Patience,
    },
    error::SqlError,
    session::{Session, failure::Failure},
};
use std::time::Instant;

/// Barriers that one read opens its snapshots behind, before it gives up.
const TURNS_MAX: u32 = 8;

impl Session {
    /// Opens a snapshot on each connection, behind one barrier. That no transaction is seen in
    /// part is checked as at the level `atomic`: of those over several shards that were under way when
    /// the barrier came some are decided behind it.
    pub(super) async fn open_behind_barrier(
        &mut self,
        connections: &mut [PooledConnection],
    ) -> Result<(), Failure> {
        let distributed = self.shared.distributed.clone();
        let until = Instant::now() + TURN_PATIENCE;
        let mut torn = None;
        for _ in 0..TURNS_MAX {
            if torn.is_some() {
                // What cannot be seen whole for long must not hold up commits again and again.
                self.open_until_whole(connections, Patience::until(until)).await?;
            }
            let turn = self.watched(distributed.barrier_turn()).await?;
            let turn = turn.map_err(|why| SqlError::no_barrier(&text(why)))?;
            match self.open_until_whole(connections, Patience::until(turn.until)).await {
                Ok(()) => {
                    if self.watched(turn.opened()).await? {
                        return Ok(());
                    }
                }
                Err(Failure::Sql(error)) if error.is_torn_snapshots() => torn = Some(error),
                Err(failure) => return Err(failure),
            }
            if Instant::now() >= until {
                break;
            }
        }
        Err(torn
            .unwrap_or_else(|| SqlError::no_barrier("it was taken away again and again"))
            .into())
    }
}

fn text(why: NoBarrier) -> String {
    match why {
        NoBarrier::Full => "too many reads wait for one already".to_owned(),
        NoBarrier::Hindered(hindrance) if hindrance.is_empty() => {
            "other reads come first".to_owned()
        }
        NoBarrier::Hindered(hindrance) => hindrance,
    }
}
