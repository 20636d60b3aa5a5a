//! Processor time of the proxy for a point select against the number of shards, of tables
//! and of statement shapes. Each size has a proxy of its own over the same servers, so
//! that sizes can be measured in turn.

use super::{Effort, client::Client, front::Front, median};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Server, folder::Folder};
use std::fs;

/// Clients of the proxy: enough to keep it busy, few enough for a small machine.
const CLIENTS: usize = 16;
/// Clients that create tables.
const CREATORS: usize = 4;
/// Seconds before each measurement: connections are opened and plans made.
const WARM_UP_S: u64 = 2;
/// Sizes of the series over tables and plans.
const TABLES: [usize; 4] = [10, 100, 1_000, 10_000];
const PLANS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Sizes of the series over shards.
const SHARDS: [usize; 4] = [1, 4, 16, 64];
/// Shards of the other series.
const FEW_SHARDS: usize = 2;

const SCRIPT: &str = include_str!("point.lua");

/// What a query costs, by the size of something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CostSeries {
    /// What grows: shards, tables, plans.
    pub(super) dimension: String,
    /// By size, ascending.
    pub(super) costs: Vec<Cost>,
}

/// What a query costs at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cost {
    /// The number of shards, tables or plans.
    pub(super) size: usize,
    /// Microseconds, the median.
    pub(super) cost_us: f64,
    /// Microseconds of each repetition.
    pub(super) repetitions: Vec<f64>,
    /// Queries per second, the median; None where no servers took part.
    pub(super) per_second: Option<f64>,
}

impl CostSeries {
    /// How many times the smallest size's cost this is.
    pub(super) fn of_smallest(&self, cost: &Cost) -> f64 {
        self.costs.first().map_or(f64::NAN, |first| cost.cost_us / first.cost_us)
    }
}

/// One proxy and what its clients ask.
struct Bench {
    size: usize,
    front: Front,
    client: Client,
}

/// Against the number of shards.
pub(super) async fn against_shards(effort: Effort) -> Result<CostSeries> {
    let (folder, script) = script()?;
    let servers = servers(SHARDS[SHARDS.len() - 1]).await?;
    let mut benches = Vec::new();
    for size in SHARDS {
        let front = Front::start(&format!("of{size}"), &servers[..size], "").await?;
        benches.push(bench(size, front, &script, (1, 1_000, 1)).await?);
    }
    let series = measure("shards", &benches, effort).await;
    drop((benches, servers, folder));
    series
}

/// Against the number of tables, all of which are asked.
pub(super) async fn against_tables(effort: Effort) -> Result<CostSeries> {
    let (folder, script) = script()?;
    let servers = servers(FEW_SHARDS).await?;
    let mut benches = Vec::new();
    for size in TABLES {
        let front = Front::start(&format!("t{size}"), &servers, "").await?;
        benches.push(bench(size, front, &script, (size, 4, 1)).await?);
    }
    let series = measure("tables", &benches, effort).await;
    drop((benches, servers, folder));
    series
}

/// Against the number of statements that differ in more than their values.
pub(super) async fn against_plans(effort: Effort) -> Result<CostSeries> {
    let (folder, script) = script()?;
    let servers = servers(FEW_SHARDS).await?;
    let mut benches = Vec::new();
    for size in PLANS {
        let front = Front::start(&format!("p{size}"), &servers, "").await?;
        benches.push(bench(size, front, &script, (1, 1_000, size)).await?);
    }
    let series = measure("plans", &benches, effort).await;
    drop((benches, servers, folder));
    series
}

fn script() -> Result<(Folder, String)> {
    let folder = Folder::new()?;
    let path = folder.path().join("point.lua");
    fs::write(&path, SCRIPT).context("writing point.lua")?;
    Ok((folder, path.display().to_string()))
}

/// Small servers, so that 64 of them find room; with fast commits, since nothing is
/// written while something is measured.
async fn servers(count: usize) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for number in 1..=count {
        let options = [
            "--sync-binlog=0",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-file-per-table=OFF",
            "--table-open-cache=12000",
            "--table-definition-cache=12000",
            "--open-files-limit=16384",
            "--key-buffer-size=64K",
            "--aria-pagecache-buffer-size=1M",
        ];
        let tuning = ServerTuning {
            buffer_pool_mib: if count > FEW_SHARDS { 8 } else { 1_024 },
            options: options.map(str::to_owned).to_vec(),
            ..ServerTuning::default()
        };
        servers.push(Server::start_with(tuning, number as u32).await?);
    }
    Ok(servers)
}

/// A proxy's database with so many tables of so many rows, asked in so many shapes.
async fn bench(
    size: usize,
    front: Front,
    script: &str,
    (tables, rows, shapes): (usize, usize, usize),
) -> Result<Bench> {
    let client = Client {
        port: front.port(),
        database: front.create_database("points").await?,
        script: script.to_owned(),
        options: vec![
            format!("--tables={tables}"),
            format!("--table_size={rows}"),
            format!("--shapes={shapes}"),
        ],
    };
    client.prepare(CREATORS.min(tables)).await?;
    Ok(Bench { size, front, client })
}

async fn measure(dimension: &str, benches: &[Bench], effort: Effort) -> Result<CostSeries> {
    let mut samples = vec![Vec::new(); benches.len()];
    for _ in 0..effort.repetitions {
        for (bench, samples) in benches.iter().zip(&mut samples) {
            bench.client.run(CLIENTS, WARM_UP_S).await?;
            let before = bench.front.proxy_cpu_us()?;
            let work = bench.client.run(CLIENTS, effort.seconds).await?;
            let cpu = bench.front.proxy_cpu_us()? - before;
            let cost_us = cpu as f64 / work.queries as f64;
            let rate = work.queries as f64 / effort.seconds as f64;
            eprintln!("{} {dimension}: {cost_us:.2} us, {rate:.0} queries/s", bench.size);
            samples.push((cost_us, rate));
        }
    }
    let costs = benches.iter().zip(&samples).map(|(bench, samples)| {
        let (costs, rates): (Vec<f64>, Vec<f64>) = samples.iter().copied().unzip();
        Cost {
            size: bench.size,
            cost_us: median(&costs),
            repetitions: costs,
            per_second: Some(median(&rates)),
        }
    });
    Ok(CostSeries { dimension: dimension.to_owned(), costs: costs.collect() })
}
