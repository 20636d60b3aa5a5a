//! Everything fails, at every named point of a move: the driver dies or its step fails there, or while it
//! stands there the metadata leader, the source or the target is killed. The move is done in the end, and
//! nothing is lost or doubled. Which failure comes at which point goes round; all of them nightly.

use crate::{
    client::{Clients, Weather},
    jobs::Jobs,
    world::{Kind, World},
};
use anyhow::{Context, Result, ensure};
use shardline_model::moves::NewMove;
use shardline_tests::{Cluster, ClusterConfig};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// The points that every move comes to, there and to its end.
const POINTS: [&str; 18] = [
    "job.adopted",
    "move.prepared",
    "copy.marked",
    "copy.read",
    "lane.begin",
    "lane.commit",
    "lane.committed",
    "stream.transaction",
    "state.save",
    "cutover.held",
    "cutover.acknowledged",
    "switch.before_record",
    "switch.recorded",
    "cutover.before_switch",
    "cutover.switched",
    "purge.piece",
    "move.purged",
    "move.forgotten",
];

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The driver's process.
    Driver,
    /// The step.
    Step,
    /// The metadata leader.
    Leader,
    /// The server that units come from.
    Source,
    /// The server that they go to.
    Target,
}

const FAILURES: [Failure; 5] =
    [Failure::Driver, Failure::Step, Failure::Leader, Failure::Source, Failure::Target];

/// How long the driver stands at a point while something else is killed.
const STANDS_MS: u64 = 1_500;
/// How long what was killed stays away.
const AWAY: Duration = Duration::from_millis(600);
/// A run that takes longer is stuck.
const RUN_MAX: Duration = Duration::from_secs(150);

/// What is tried: each point once, or all.
fn runs() -> Vec<(&'static str, Failure)> {
    let all = std::env::var("SHARDLINE_MOVES_FAULTS").is_ok_and(|what| what == "all");
    let mut runs = Vec::new();
    for (number, point) in POINTS.into_iter().enumerate() {
        for (place, failure) in FAILURES.into_iter().enumerate() {
            if all || place == number % FAILURES.len() {
                runs.push((point, failure));
            }
        }
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_outlives_every_failure_at_every_point() -> Result<()> {
    let mut world = World::start(Kind::Hash, ClusterConfig::default()).await?;
    world.jobs.retry = true;
    let clients = Clients::start(&world.cluster, Weather::Rough);
    let part = Kind::Hash.part();
    let mut failed = Ok(());
    for (number, (point, failure)) in runs().into_iter().enumerate() {
        let there = number % 2 == 0;
        let moves = if there { world.moves(&part)? } else { world.moves_back(&part)? };
        let began = Instant::now();
        let (from, to) = (moves[0].from.0 as usize - 1, moves[0].to.0 as usize - 1);
        let run = Run { jobs: world.jobs.clone(), point, failure, from, to };
        let done = tokio::time::timeout(RUN_MAX, run.go(&mut world.cluster, moves)).await;
        failed = done
            .context("it is stuck")
            .and_then(|done| done)
            .with_context(|| format!("{failure:?} at {point}"));
        println!("{failure:?} at {point}: {:?}", began.elapsed());
        if failed.is_err() || clients.ended() {
            break;
        }
    }
    let seen = clients.finish().await?;
    println!("{}", seen.text());
    failed?;
    let rows = world.check().await?;
    println!("{rows:?}");
    Ok(())
}

struct Run {
    jobs: Jobs,
    point: &'static str,
    failure: Failure,
    from: usize,
    to: usize,
}

impl Run {
    async fn go(&self, cluster: &mut Cluster, moves: Vec<NewMove>) -> Result<()> {
        let what = match self.failure {
            Failure::Driver => "crash@1".to_owned(),
            Failure::Step => "error@1".to_owned(),
            Failure::Leader | Failure::Source | Failure::Target => {
                format!("pause:{STANDS_MS}@1")
            }
        };
        let fault: OsString = format!("{}={what}", self.point).into();
        for number in 0..cluster.proxies.len() {
            let proxy = &mut cluster.proxies[number];
            if proxy.process.pid().is_ok() {
                proxy.process.terminate(Duration::from_secs(30)).await?;
            }
            let environment = vec![("SHARDLINE_MOVE_FAULTS".into(), fault.clone())];
            proxy.restart_in(environment).await?;
            cluster.wait_proxy(number).await?;
        }
        let before: Vec<usize> =
            cluster.proxies.iter().map(|proxy| proxy.process.log_text().len()).collect();
        tokio::select! {
            done = self.jobs.for_good(moves) => done?,
            trouble = self.trouble(cluster, &before) => trouble?,
        }
        ensure!(self.met(cluster, &before), "nothing came to the point");
        Ok(())
    }

    /// Whether a driver has come to the point.
    fn met(&self, cluster: &Cluster, before: &[usize]) -> bool {
        cluster.proxies.iter().zip(before).any(|(proxy, before)| {
            let text = proxy.process.log_text();
            let lines = text.get(*before..).unwrap_or_default().lines();
            lines.into_iter().any(|line| line.contains("fault point") && line.contains(self.point))
        })
    }

    /// What fails, once; and what keeps the proxies running. It never ends.
    async fn trouble(&self, cluster: &mut Cluster, before: &[usize]) -> Result<()> {
        let mut done = false;
        loop {
            tokio::time::sleep(Duration::from_millis(30)).await;
            for proxy in &mut cluster.proxies {
                if proxy.process.check_running().is_err() {
                    proxy.restart().await?;
                }
            }
            if done || !self.met(cluster, before) {
                continue;
            }
            done = true;
            match self.failure {
                Failure::Driver | Failure::Step => {}
                Failure::Leader => {
                    let leader = cluster.leader().await?;
                    cluster.meta[leader].process.kill().await?;
                    tokio::time::sleep(AWAY).await;
                    cluster.meta[leader].restart().await?;
                }
                Failure::Source => kill(cluster, self.from).await?,
                Failure::Target => kill(cluster, self.to).await?,
            }
        }
    }
}

async fn kill(cluster: &mut Cluster, shard: usize) -> Result<()> {
    cluster.shards[shard].kill().await?;
    tokio::time::sleep(AWAY).await;
    cluster.shards[shard].restart().await
}

#[test]
fn every_fault_point_of_a_move_is_known() -> Result<()> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../rebalancer/src")];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(path)?;
            for call in text.split("point(\"").skip(1) {
                found.extend(call.split('"').next().map(str::to_owned));
            }
        }
    }
    let known: BTreeSet<String> = POINTS.iter().map(|point| (*point).to_owned()).collect();
    ensure!(found == known, "there are {found:?}");
    Ok(())
}
