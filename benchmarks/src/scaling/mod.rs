//! How Shardline scales: how writes grow with shards whose own capacity is small and
//! fixed, and what a query costs the proxy when there are more shards, tables or plans.

mod client;
mod cost;
mod front;
mod report;
mod routing;
mod slowdisk;
mod writes;

use crate::macro_run::machine::Machine;
use anyhow::{Result, bail};
use report::Results;
use std::path::PathBuf;

/// Writes at 1, 2, 3 and 6 shards, and processor time against shards, tables and plans
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Two shards for two seconds each: fails when writes do not grow
    #[arg(long)]
    pub smoke: bool,
    /// What to measure; results of other parts stay as they are [default: all]
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub part: Vec<Part>,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=600))]
    pub seconds: u64,
    /// How often each measurement is repeated; the median counts
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub repetitions: u64,
    /// Folder of scaling.md, scaling.json and the plots
    #[arg(long, default_value = "benchmarks/results", value_name = "FOLDER")]
    pub results: PathBuf,
}

/// One part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Writes per second; each sync of a redo log takes 5 ms more
    Latency,
    /// Writes per second; redo logs take 320,000 bytes per second
    Bandwidth,
    /// Nanoseconds of the router alone
    Router,
    /// Processor time of the proxy against shards
    Shards,
    /// Processor time of the proxy against tables
    Tables,
    /// Processor time of the proxy against cached plans
    Plans,
}

impl Part {
    const ALL: [Part; 6] =
        [Part::Latency, Part::Bandwidth, Part::Router, Part::Shards, Part::Tables, Part::Plans];
}

/// How long and how often something is measured.
#[derive(Clone, Copy, Debug)]
struct Effort {
    seconds: u64,
    repetitions: u64,
}

/// Measures and writes the report.
///
/// # Errors
/// Something cannot be started or measured, or the smoke run shows no growth.
pub fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    if args.smoke { runtime.block_on(smoke()) } else { runtime.block_on(measure(&args)) }
}

async fn measure(args: &Args) -> Result<()> {
    let effort = Effort { seconds: args.seconds, repetitions: args.repetitions };
    let parts = if args.part.is_empty() { &Part::ALL[..] } else { &args.part };
    for part in parts {
        let mut results = Results::read(&args.results)?;
        results.machine = Some(Machine::ask()?);
        match part {
            Part::Latency => {
                let method = writes::Method::latency();
                results.latency = Some(method.measure(&writes::SHARDS, effort).await?);
            }
            Part::Bandwidth => {
                let method = writes::Method::bandwidth();
                results.bandwidth = Some(method.measure(&writes::SHARDS, effort).await?);
            }
            Part::Router => results.router = routing::measure(effort.repetitions)?,
            Part::Shards => results.set_proxy(cost::against_shards(effort).await?),
            Part::Tables => results.set_proxy(cost::against_tables(effort).await?),
            Part::Plans => results.set_proxy(cost::against_plans(effort).await?),
        }
        // Written after each part: a later one that fails takes nothing with it.
        results.write(&args.results)?;
    }
    print!("{}", Results::read(&args.results)?.markdown());
    Ok(())
}

async fn smoke() -> Result<()> {
    let effort = Effort { seconds: 2, repetitions: 1 };
    let growth = writes::Method::latency().measure(&[1, 2], effort).await?;
    for rate in growth.rates.iter().filter(|rate| rate.shards > 1) {
        let times = growth.of_one_shard(rate);
        let (name, shards) = (&rate.workload, rate.shards);
        println!("{name} at {shards} shards: {:.0}/s, {times:.2} times one", rate.per_second);
        if times <= 1.5 {
            bail!("{name} at {shards} shards is only {times:.2} times that of one");
        }
    }
    Ok(())
}

/// The middle one; the lower of the two middle ones of an even number.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
