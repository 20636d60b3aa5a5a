//! Moves data between shards: planner, workflow, copy, change stream, verification, cutover.

pub mod plan;
