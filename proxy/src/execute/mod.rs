//! Running plans on shards: one shard's answer forwarded as it is, several shards' rows
//! merged or brought to one server, writes in parts.

pub(crate) mod checked;
pub(crate) mod committed;
mod compute;
pub(crate) mod outgoing;
mod rehearse;
pub(crate) mod relay;
pub(crate) mod scatter;
pub(crate) mod single;
pub(crate) mod snapshots;
mod strict;
pub(crate) mod write;
