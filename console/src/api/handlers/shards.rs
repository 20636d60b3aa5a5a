//! Shards: listed, added, drained, removed.

use super::Empty;
use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, Rule},
    },
    operations::{
        OperationError, ShardView, StartRequest, Started, joining::AddRequest, view::Listing,
    },
};
use shardline_model::access::Scope;
use std::sync::Arc;

const READ: Rule = Rule::Any(&[Scope::Read]);
const CHANGE: Rule = Rule::Any(&[Scope::Change]);

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<Listing<ShardView>, _>("listShards", "/shards", READ, list)
            .cli("shard list")
            .does("All shards, with what they have"),
        Endpoint::post::<AddRequest, ShardView, _>("addShard", "/shards:add", CHANGE, add)
            .cli("shard add")
            .does("Adds a shard: its server gets every definition")
            .keyed(),
        Endpoint::get::<ShardView, _>("getShard", "/shards/{name}", READ, show)
            .cli("shard show")
            .does("One shard"),
        Endpoint::post::<StartRequest, Started, _>(
            "drainShard",
            "/shards/{name}:drain",
            CHANGE,
            drain,
        )
        .cli("shard drain")
        .does("Moves all data away from a shard")
        .makes_job(),
        Endpoint::post::<Empty, ShardView, _>(
            "undrainShard",
            "/shards/{name}:undrain",
            CHANGE,
            undrain,
        )
        .cli("shard drain")
        .does("Lets new data go to a shard again"),
        Endpoint::post::<Empty, ShardView, _>(
            "removeShard",
            "/shards/{name}:remove",
            CHANGE,
            remove,
        )
        .cli("shard remove")
        .does("Takes away a shard that has no data"),
    ]
}

async fn list(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&Listing::of("ShardList", call.operations().shards().await))
}

async fn show(call: Arc<Call>) -> Result<Reply, OperationError> {
    Reply::of(&call.operations().shard(call.part("name")?).await?)
}

async fn add(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: AddRequest = call.body()?;
    call.note_target(&request.name);
    Reply::of(&call.operations().add_shard(&request).await?)
}

async fn noted_before(call: &Call) -> Result<String, OperationError> {
    let name = call.part("name")?;
    call.note_before(&call.operations().shard(name).await?);
    Ok(name.to_owned())
}

async fn drain(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: StartRequest = call.body()?;
    let name = noted_before(&call).await?;
    Reply::accepted(&call.operations().drain_shard(&name, request).await?)
}

async fn undrain(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    let name = noted_before(&call).await?;
    Reply::of(&call.operations().undrain_shard(&name).await?)
}

async fn remove(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    let name = noted_before(&call).await?;
    Reply::of(&call.operations().remove_shard(&name).await?)
}
