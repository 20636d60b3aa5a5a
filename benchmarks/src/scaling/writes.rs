//! Writes per second through one proxy at 1, 2, 3 and 6 shards, whose servers can each
//! take only so much.

use super::{
    Effort,
    client::Client,
    front::Front,
    median,
    slowdisk::{Capacity, SlowDisk},
};
use anyhow::Result;
use mysql_async::{Conn, prelude::Queryable};
use serde::{Deserialize, Serialize};
use shardline_console::local::settings::ServerTuning;
use shardline_tests::{Server, folder::Folder};

/// The numbers of shards that are compared.
pub(super) const SHARDS: [usize; 4] = [1, 2, 3, 6];
/// Seconds at the beginning of a run that do not count: connections are opened.
const WARM_UP_S: usize = 1;

/// How the servers are held back, and what asks them.
#[derive(Clone, Debug)]
pub(super) struct Method {
    name: &'static str,
    capacity: Capacity,
    /// Connections of the proxy to each shard.
    shard_connections: usize,
    /// Enough that no shard waits for clients: keys fall where they fall, so that the
    /// clients of a shard come and go by tens.
    clients_per_shard: usize,
    /// Whether an open snapshot keeps purge, and so its redo, away.
    holds_purge: bool,
}

/// Writes per second by number of shards.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Growth {
    /// How the servers were held back.
    pub(super) method: String,
    /// Seconds of each measurement.
    pub(super) seconds: u64,
    /// All workloads at all numbers of shards.
    pub(super) rates: Vec<Rate>,
}

/// One workload at one number of shards.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rate {
    /// Its name.
    pub(super) workload: String,
    /// Shards.
    pub(super) shards: usize,
    /// Clients of the proxy.
    pub(super) clients: usize,
    /// Writes per second, the median.
    pub(super) per_second: f64,
    /// Writes per second of each repetition.
    pub(super) repetitions: Vec<f64>,
    /// Processor time of the proxy for one write, in microseconds, the median.
    pub(super) proxy_cpu_us: f64,
}

impl Growth {
    /// How many times one shard's rate this is.
    pub(super) fn of_one_shard(&self, rate: &Rate) -> f64 {
        let one = |other: &&Rate| other.shards == 1 && other.workload == rate.workload;
        self.rates.iter().find(one).map_or(f64::NAN, |one| rate.per_second / one.per_second)
    }
}

/// What writes.
#[derive(Clone, Copy, Debug)]
struct Workload {
    name: &'static str,
    /// What its database is called.
    purpose: &'static str,
    script: &'static str,
    options: &'static [&'static str],
}

const WORKLOADS: [Workload; 3] = [
    Workload {
        name: "insert",
        purpose: "insert",
        script: "oltp_insert",
        options: &["--table-size=0", "--auto-inc=on"],
    },
    Workload {
        name: "update, indexed column",
        purpose: "update",
        script: "oltp_update_index",
        options: &["--table-size=10000", "--auto-inc=off"],
    },
    Workload {
        name: "update, other column",
        purpose: "update",
        script: "oltp_update_non_index",
        options: &["--table-size=10000", "--auto-inc=off"],
    },
];

impl Workload {
    fn client(&self, front: &Front) -> Client {
        Client {
            port: front.port(),
            database: front.database(self.purpose),
            script: self.script.to_owned(),
            options: self.options.iter().map(|&option| option.to_owned()).collect(),
        }
    }
}

impl Method {
    /// The headline: 5 ms for each sync, 8 connections.
    pub(super) fn latency() -> Self {
        Self {
            name: "each sync of a redo log takes 5 ms more; 8 connections to each shard",
            capacity: Capacity::LatencyUs(5_000),
            shard_connections: 8,
            clients_per_shard: 128,
            holds_purge: false,
        }
    }

    /// The check: 320,000 bytes of redo per second, and as many connections as usual.
    pub(super) fn bandwidth() -> Self {
        Self {
            name: "redo logs take 320,000 bytes per second; 64 connections to each shard",
            capacity: Capacity::BytesPerSecond(320_000),
            shard_connections: 64,
            clients_per_shard: 128,
            holds_purge: true,
        }
    }

    /// Measures all workloads at these numbers of shards, in turn.
    pub(super) async fn measure(&self, shards: &[usize], effort: Effort) -> Result<Growth> {
        let folder = Folder::new()?;
        let servers = self.servers(&folder, shards).await?;
        let mut fronts = Vec::new();
        for &count in shards {
            fronts.push(self.front(&servers[..count]).await?);
        }
        let _snapshots = self.snapshots(&servers).await?;
        let mut samples: Vec<Vec<Vec<(f64, f64)>>> =
            vec![vec![Vec::new(); shards.len()]; WORKLOADS.len()];
        for _ in 0..effort.repetitions {
            for (workload, samples) in WORKLOADS.iter().zip(&mut samples) {
                for (front, samples) in fronts.iter().zip(samples) {
                    samples.push(self.sample(workload, front, effort.seconds).await?);
                }
            }
        }
        let mut growth =
            Growth { method: self.name.to_owned(), seconds: effort.seconds, rates: Vec::new() };
        for (workload, samples) in WORKLOADS.iter().zip(&samples) {
            for (&shards, samples) in shards.iter().zip(samples) {
                growth.rates.push(self.rate(workload, shards, samples));
            }
        }
        Ok(growth)
    }

    async fn servers(&self, folder: &Folder, shards: &[usize]) -> Result<Vec<Server>> {
        let disk = SlowDisk::compile(folder.path()).await?;
        let mut servers = Vec::new();
        for number in 1..=shards.iter().max().copied().unwrap_or(1) {
            // Nothing but the slowed redo log makes a commit wait.
            let options = vec!["--sync-binlog=0".to_owned()];
            let tuning = ServerTuning { options, ..ServerTuning::default() };
            let environment = disk.environment(self.capacity);
            servers.push(Server::start_in(tuning, number as u32, environment).await?);
        }
        Ok(servers)
    }

    async fn front(&self, servers: &[Server]) -> Result<Front> {
        let limits = format!("limits: {{shard_connections_max: {}}}\n", self.shard_connections);
        let front = Front::start(&format!("of{}", servers.len()), servers, &limits).await?;
        for workload in &WORKLOADS[..2] {
            front.create_database(workload.purpose).await?;
            workload.client(&front).prepare(1).await?;
        }
        Ok(front)
    }

    /// Holds a snapshot open on each server when the method asks for it.
    async fn snapshots(&self, servers: &[Server]) -> Result<Vec<Conn>> {
        let mut snapshots = Vec::new();
        for server in servers.iter().filter(|_| self.holds_purge) {
            let mut connection = server.connect().await?;
            connection.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
            snapshots.push(connection);
        }
        Ok(snapshots)
    }

    /// Writes per second, and microseconds of the proxy for each.
    async fn sample(&self, workload: &Workload, front: &Front, seconds: u64) -> Result<(f64, f64)> {
        let clients = self.clients_per_shard * front.shards();
        let before = front.proxy_cpu_us()?;
        let work = workload.client(front).run(clients, seconds + WARM_UP_S as u64).await?;
        let cpu = front.proxy_cpu_us()? - before;
        let rate = work.rate_after(WARM_UP_S)?;
        let cpu_us = cpu as f64 / work.queries as f64;
        eprintln!(
            "{} at {} shards: {rate:.0} writes/s, {cpu_us:.1} us of the proxy each",
            workload.name,
            front.shards()
        );
        Ok((rate, cpu_us))
    }

    fn rate(&self, workload: &Workload, shards: usize, samples: &[(f64, f64)]) -> Rate {
        let (rates, cpu): (Vec<f64>, Vec<f64>) = samples.iter().copied().unzip();
        Rate {
            workload: workload.name.to_owned(),
            shards,
            clients: self.clients_per_shard * shards,
            per_second: median(&rates),
            repetitions: rates,
            proxy_cpu_us: median(&cpu),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_against_one_shard_of_the_same_workload() {
        let method = Method::latency();
        let rates = vec![
            method.rate(&WORKLOADS[0], 1, &[(700.0, 20.0), (720.0, 20.0), (900.0, 20.0)]),
            method.rate(&WORKLOADS[1], 1, &[(100.0, 20.0)]),
            method.rate(&WORKLOADS[0], 2, &[(1440.0, 20.0)]),
        ];
        let growth = Growth { rates, ..Growth::default() };
        assert_eq!(growth.of_one_shard(&growth.rates[2]), 2.0);
        assert_eq!(growth.of_one_shard(&growth.rates[1]), 1.0);
    }
}
