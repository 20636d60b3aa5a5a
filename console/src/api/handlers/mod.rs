//! Every operation of the API, by what it is about.

pub mod access;
pub mod audit;
mod cluster;
mod events;
mod jobs;
pub mod live;
pub mod session;
mod shards;

use super::endpoint::Endpoint;

/// All of them. Where two paths fit a request, the first one is taken.
pub fn all() -> Vec<Endpoint> {
    [
        session::table(),
        cluster::table(),
        shards::table(),
        jobs::table(),
        live::table(),
        events::table(),
        access::table(),
        audit::table(),
    ]
    .concat()
}

/// What has nothing to tell.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(default, deny_unknown_fields)]
pub struct Empty {}
