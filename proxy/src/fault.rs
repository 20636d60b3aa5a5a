//! Named points where a test build crashes, pauses or fails: `SHARDLINE_FAULTS`, read once, as
//! `shardline_base::FaultPlan` says. Each point is at a shard. Without the feature `fault-points` a
//! point is nothing at all.

#![allow(dead_code, reason = "without the feature no point ever makes a fault")]

use shardline_model::id::ShardId;

/// A step failed on purpose. Without the feature there is no value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// At a point.
    #[cfg(feature = "fault-points")]
    #[error("a fault was asked for at {0}")]
    At(&'static str),
}

/// A point of a shard.
///
/// # Errors
/// When the environment asks for one here.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) async fn point(_name: &'static str, _shard: ShardId) -> Result<(), Fault> {
    Ok(())
}

/// A point of a shard.
///
/// # Errors
/// When the environment asks for one here.
#[cfg(feature = "fault-points")]
pub(crate) async fn point(name: &'static str, shard: ShardId) -> Result<(), Fault> {
    use shardline_base::FaultPlan;
    use std::sync::LazyLock;
    static PLAN: LazyLock<FaultPlan> =
        LazyLock::new(|| FaultPlan::of_environment("SHARDLINE_FAULTS"));
    if PLAN.arrive(name, shard.0).await { Ok(()) } else { Err(Fault::At(name)) }
}
