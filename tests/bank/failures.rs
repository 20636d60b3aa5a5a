//! What fails: proxies crash at their fault points, are killed and stopped; servers are killed and
//! stopped; links are cut. All by a seeded generator.

use crate::{
    faults::{self, Hits},
    random::Random,
};
use anyhow::Result;
use shardline_tests::{
    Relay, Server,
    cluster::Node,
    relay::{Direction, Fault},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long one life of a proxy may be.
const LIFE_MS: (u64, u64) = (2_500, 7_000);
/// For how long a proxy is stopped so that its lease is over and it is cut off.
pub(crate) const BEYOND_LEASE: Duration = Duration::from_millis(18_500);
/// For how long a server is stopped so that the outcome of commits is not known in time.
const SILENCE: Duration = Duration::from_millis(12_500);
/// How long clients work before that.
const WORK: Duration = Duration::from_millis(2_500);

/// What was done, for the record.
#[derive(Debug, Default)]
pub(crate) struct Done(pub(crate) BTreeMap<&'static str, u64>);

impl Done {
    pub(crate) fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Done) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

/// One proxy lives and dies, again and again, until the time is over. `logs`: of all proxies.
pub(crate) async fn proxy(
    node: &mut Node,
    logs: &[PathBuf],
    mut random: Random,
    until: Instant,
) -> Result<Done> {
    let mut done = Done::default();
    let mut tried: Vec<&'static str> = Vec::new();
    while Instant::now() < until {
        let hits = Hits::of_logs(logs.iter().map(PathBuf::as_path));
        let point = hits.rarest(&mut random, &tried);
        tried.push(point);
        if tried.len() > 6 {
            tried.remove(0);
        }
        if node.process.pid().is_ok() {
            node.process.kill().await?;
            done.add("proxy killed");
        }
        let plan = faults::plan(point, &mut random);
        node.restart_in(vec![("SHARDLINE_FAULTS".into(), plan.into())]).await?;
        let life = Duration::from_millis(random.between(LIFE_MS.0, LIFE_MS.1));
        let end = Instant::now() + life;
        if random.per_mille(120) {
            tokio::time::sleep(Duration::from_millis(random.between(500, 2_000))).await;
            if node.process.pid().is_ok() {
                stop_for(&node.process, random.between(300, 4_000)).await;
                done.add("proxy stopped");
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        if node.process.ended(left).await.is_ok() {
            done.add("proxy crashed at a point");
        }
    }
    Ok(done)
}

/// A proxy is stopped for longer than its lease.
pub(crate) async fn outlast_lease(node: &mut Node) -> Result<Done> {
    let mut done = Done::default();
    if node.process.pid().is_err() {
        node.restart().await?;
    }
    node.process.freeze()?;
    tokio::time::sleep(BEYOND_LEASE).await;
    node.process.thaw()?;
    done.add("proxy stopped beyond its lease");
    // What it had on its way comes now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(done)
}

/// A server is stopped, in the middle of many commits, until the proxies have given up asking it.
pub(crate) async fn silence(
    proxies: &mut [Node],
    servers: &mut [Server],
    mut random: Random,
) -> Result<Done> {
    let mut done = Done::default();
    for node in proxies {
        if node.process.pid().is_ok() {
            node.process.kill().await?;
            done.add("proxy killed");
        }
        let slow = "commit.before_decide=pause:500,resolve.before_abort=pause:200";
        node.restart_in(vec![("SHARDLINE_FAULTS".into(), slow.into())]).await?;
    }
    tokio::time::sleep(WORK).await;
    let server = &servers[random.below(servers.len() as u64) as usize];
    server.process()?.freeze()?;
    tokio::time::sleep(SILENCE).await;
    server.process()?.thaw()?;
    done.add("server silent");
    Ok(done)
}

async fn stop_for(process: &shardline_tests::process::Process, ms: u64) {
    // It may have ended by itself in this moment.
    if process.freeze().is_ok() {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        process.thaw().ok();
    }
}

/// Servers and links fail, one after the other, until the time is over. All are up at the end.
pub(crate) async fn servers(
    servers: &mut [Server],
    relays: &[Relay],
    mut random: Random,
    until: Instant,
) -> Result<Done> {
    let mut done = Done::default();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(random.between(300, 2_500))).await;
        let number = random.below(servers.len() as u64) as usize;
        let relay = &relays[number];
        match random.below(10) {
            0..3 => {
                servers[number].kill().await?;
                let two = random.per_mille(200);
                let other = (number + 1) % servers.len();
                if two {
                    servers[other].kill().await?;
                    done.add("server killed");
                }
                tokio::time::sleep(Duration::from_millis(random.below(1_500))).await;
                servers[number].restart().await?;
                if two {
                    servers[other].restart().await?;
                }
                done.add("server killed");
            }
            3..5 => {
                stop_for(servers[number].process()?, random.between(200, 6_000)).await;
                done.add("server stopped");
            }
            5..7 => {
                relay.cut_all();
                done.add("links cut");
            }
            7 => {
                let direction = direction(&mut random);
                relay.set(direction, Fault::CutAfter(random.between(50, 3_000)));
                tokio::time::sleep(Duration::from_millis(random.between(100, 1_000))).await;
                relay.heal();
                done.add("links cut at a byte");
            }
            8 => {
                let direction = direction(&mut random);
                relay.set(direction, Fault::Hold);
                tokio::time::sleep(Duration::from_millis(random.between(100, 6_000))).await;
                relay.heal();
                done.add("links held");
            }
            _ => {
                let direction = direction(&mut random);
                relay.set(direction, Fault::Swallow);
                tokio::time::sleep(Duration::from_millis(random.between(100, 800))).await;
                relay.heal();
                // What came half cannot be understood any more.
                relay.cut_all();
                done.add("links swallowing");
            }
        }
    }
    Ok(done)
}

fn direction(random: &mut Random) -> Direction {
    match random.per_mille(500) {
        true => Direction::ToServer,
        false => Direction::ToClient,
    }
}
