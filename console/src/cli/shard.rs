//! `shardline shard`: shards come, show themselves, and go.

use super::{
    arguments::Output,
    consent,
    job::{print_json, watch},
    operator_arguments::{ApiArguments, ShardAddArguments, ShardDrainArguments, ShardVerb},
    show::{self, table},
};
use crate::{
    api::client::{ApiClient, ApiPlace},
    exit::Failure,
    operations::{
        PlanRequest, ShardView, StartRequest, Started, joining::AddRequest, view::Listing,
    },
};
use shardline_rebalancer::plan::RebalancePlan;

/// Runs one verb.
pub(super) async fn run(verb: &ShardVerb) -> Result<(), Failure> {
    match verb {
        ShardVerb::List(arguments) => {
            let all: Listing<ShardView> = client(arguments)?.get("/api/v1/shards").await?;
            match arguments.output {
                Output::Json => print_json(&all),
                Output::Table => {
                    println!("{}", shards(&all.items));
                    Ok(())
                }
            }
        }
        ShardVerb::Show(arguments) => {
            let path = format!("/api/v1/shards/{}", arguments.name);
            let shard: ShardView = client(&arguments.api)?.get(&path).await?;
            print_shard(&shard, arguments.api.output)
        }
        ShardVerb::Add(arguments) => add(arguments).await,
        ShardVerb::Drain(arguments) => drain(arguments).await,
        ShardVerb::Remove(arguments) => {
            let (api, name) = (client(&arguments.api)?, &arguments.name);
            if arguments.consent.dry_run {
                let shard: ShardView = api.get(&format!("/api/v1/shards/{name}")).await?;
                println!(
                    "would take {name} ({}) out of the catalog and stop its local server",
                    shard.address
                );
                return Ok(());
            }
            consent::ask(
                &format!("take shard {name} out of the cluster"),
                name,
                arguments.consent,
            )?;
            let gone: ShardView = api.post(&format!("/api/v1/shards/{name}:remove"), &()).await?;
            match arguments.api.output {
                Output::Json => print_json(&gone),
                Output::Table => {
                    println!("✓ shard {} is gone", gone.name);
                    Ok(())
                }
            }
        }
    }
}

pub(super) fn client(arguments: &ApiArguments) -> Result<ApiClient, Failure> {
    let place = ApiPlace {
        address: arguments.api.clone(),
        token_file: arguments.token_file.clone(),
        authority: arguments.api_ca.clone(),
    };
    ApiClient::find(&place, &arguments.dir.dir)
}

async fn add(arguments: &ShardAddArguments) -> Result<(), Failure> {
    let request = AddRequest {
        name: arguments.name.clone(),
        local: arguments.local,
        primary: arguments.primary.clone(),
        replicas: arguments.replicas.clone(),
    };
    let shard: ShardView = client(&arguments.api)?.post("/api/v1/shards:add", &request).await?;
    match arguments.api.output {
        Output::Json => print_json(&shard),
        Output::Table => {
            println!(
                "✓ shard {} at {} has every definition, and no data yet",
                shard.name, shard.address
            );
            println!("  next: shardline rebalance start --all");
            Ok(())
        }
    }
}

async fn drain(arguments: &ShardDrainArguments) -> Result<(), Failure> {
    let (api, name) = (client(&arguments.api)?, &arguments.name);
    if arguments.undo {
        let shard: ShardView = api.post(&format!("/api/v1/shards/{name}:undrain"), &()).await?;
        return print_shard(&shard, arguments.api.output);
    }
    if arguments.consent.dry_run {
        let request = PlanRequest { drain: Some(name.clone()), ..PlanRequest::default() };
        let plan: RebalancePlan = api.post("/api/v1/rebalances:plan", &request).await?;
        return show::plan(&plan, arguments.api.output);
    }
    consent::ask(&format!("move all data away from shard {name}"), name, arguments.consent)?;
    let request = StartRequest {
        until: arguments.until.into(),
        throttle: arguments.throttle.request(),
        ..StartRequest::default()
    };
    let started: Started = api.post(&format!("/api/v1/shards/{name}:drain"), &request).await?;
    match &started.job {
        None => {
            println!("✓ shard {name} has no data; next: shardline shard remove {name}");
            Ok(())
        }
        Some(job) => watch(&api, job.id, arguments.wait, arguments.api.output).await,
    }
}

fn print_shard(shard: &ShardView, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => return print_json(shard),
        Output::Table => println!("{}", shards(std::slice::from_ref(shard))),
    }
    if !shard.home_of.is_empty() {
        println!("\nHome of databases: {}", shard.home_of.join(", "));
    }
    if !shard.single_tables.is_empty() {
        println!("Single tables: {}", shard.single_tables.join(", "));
    }
    if let Some(problem) = &shard.problem {
        println!("Problem: {problem}");
    }
    Ok(())
}

fn shards(all: &[ShardView]) -> String {
    let header =
        ["SHARD", "PRIMARY", "STATE", "UP", "SLOTS", "INTERVALS+VALUES", "ROWS", "SIZE", "MOVES"];
    let mut table = table(&header);
    for shard in all {
        table.add_row([
            shard.name.clone(),
            shard.address.clone(),
            shard.state.clone(),
            if shard.up { "yes" } else { "no" }.to_owned(),
            shard.slots.to_string(),
            shard.intervals_and_values.to_string(),
            shard.rows.map_or_else(|| "-".to_owned(), show::count),
            shard.bytes.map_or_else(|| "-".to_owned(), show::bytes),
            shard.moves.to_string(),
        ]);
    }
    table.to_string()
}
