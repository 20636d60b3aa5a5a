//! The test itself: clients work, rounds of failures come and go, and at the end all must agree.

use crate::{
    audit,
    bank::Bank,
    deed::{Deed, Fate},
    failures::{self, Done},
    faults::Hits,
    random::Random,
    reader,
    teller::Teller,
    uptime::{self, Uptime},
};
use anyhow::{Context, Result, ensure};
use mysql_async::Opts;
use shardline_base::Shutdown;
use shardline_tests::{Cluster, ClusterConfig, cluster::Links, sql, wait};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Clients, half of them on each proxy.
const TELLERS: usize = 8;
/// How long it runs unless the environment says otherwise.
const SECONDS: u64 = 60;
/// From here on it is the long run, which asks for many faults at each point.
const LONG_SECONDS: u64 = 600;
/// How long failures last before a pause in which all must be resolved.
const ROUND: Duration = Duration::from_secs(12);
/// The kinds of rounds, in turn.
const ROUNDS: [Round; 5] =
    [Round::Faults, Round::Lease, Round::Silence, Round::Faults, Round::Faults];
/// How long the proxies go on without a shard, before all are up.
const WITHOUT_SHARD: Duration = Duration::from_millis(1_500);
/// How long nothing fails after everything is resolved.
const CALM: Duration = Duration::from_secs(2);
/// Within what time of all shards being up every transaction is resolved.
const RESOLVED: Duration = Duration::from_secs(5);
/// How long it is waited for, so that the time can be told.
const RESOLVED_MAX: Duration = Duration::from_secs(30);
/// In what time all that is committed is forgotten, when nobody works any more.
const FORGOTTEN: Duration = Duration::from_secs(30);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_constant_whatever_dies() -> Result<()> {
    let seconds = number("SHARDLINE_BANK_SECONDS").unwrap_or(SECONDS);
    let seed = match number("SHARDLINE_BANK_SEED") {
        Some(seed) => seed,
        None => std::process::id().into(),
    };
    println!("{seconds} s, SHARDLINE_BANK_SEED={seed}");
    let config = ClusterConfig { meta: 1, links: Links::Relays, ..ClusterConfig::default() };
    let cluster = Cluster::start(config).await?;
    let bank = Arc::new(Bank::open(&cluster).await?);
    let mut day = Day::begin(cluster, bank, Random::new(seed));
    if let Err(error) = day.run(seconds).await {
        // While the cluster is there, so that its logs are kept.
        panic!("SHARDLINE_BANK_SEED={seed}: {error:?}");
    }
    Ok(())
}

/// What fails in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Proxies at their fault points, servers and links.
    Faults,
    /// The same, and one proxy is stopped for longer than its lease.
    Lease,
    /// A server says nothing for so long that clients are told that the outcome is not known.
    Silence,
}

/// The running test.
struct Day {
    cluster: Cluster,
    bank: Arc<Bank>,
    random: Random,
    logs: Vec<PathBuf>,
    uptime: Uptime,
    stop: Shutdown,
    tellers: Vec<JoinHandle<Result<Vec<Deed>>>>,
    readers: Vec<JoinHandle<Result<u64>>>,
    watch: JoinHandle<()>,
    done: Done,
}

impl Day {
    fn begin(cluster: Cluster, bank: Arc<Bank>, mut random: Random) -> Self {
        let (stop, uptime) = (Shutdown::new(), Uptime::default());
        let proxies: Vec<Opts> =
            (0..cluster.proxies.len()).map(|number| cluster.options(number).into()).collect();
        let tellers = (0..TELLERS).map(|number| {
            let mut proxies = proxies.clone();
            proxies.rotate_left(number % 2);
            let teller = Teller {
                bank: bank.clone(),
                number,
                proxies,
                random: Random::new(random.next()),
                stop: stop.clone(),
                next: (number as u64 + 1) << 32,
            };
            tokio::spawn(teller.work())
        });
        let tellers = tellers.collect();
        let readers = (0..proxies.len()).map(|number| {
            let mut proxies = proxies.clone();
            proxies.rotate_left(number);
            tokio::spawn(reader::read(proxies, Random::new(random.next()), stop.clone()))
        });
        let readers = readers.collect();
        let shards = cluster.shards.iter().map(|shard| shard.options()).collect();
        let watch = tokio::spawn(uptime::watch(shards, uptime.clone(), stop.clone()));
        let logs = cluster.proxies.iter().map(|node| node.process.log().to_owned()).collect();
        let done = Done::default();
        Day { cluster, bank, random, logs, uptime, stop, tellers, readers, watch, done }
    }

    async fn run(&mut self, seconds: u64) -> Result<()> {
        let (times, each) = if seconds >= LONG_SECONDS { (20, 5) } else { (1, 0) };
        let (begun, wanted) = (Instant::now(), Duration::from_secs(seconds));
        let mut rounds = 0;
        for round in ROUNDS.iter().cycle() {
            rounds += 1;
            self.round(*round).await?;
            self.calm().await?;
            self.check_tellers().await?;
            let missing = self.hits().missing(times, each);
            if begun.elapsed() >= wanted && missing.is_empty() {
                break;
            }
            // A slow machine gets more time for the rare ones.
            let most = wanted * 2 + Duration::from_secs(60);
            ensure!(begun.elapsed() < most, "never reached: {missing:?}{}", self.hits().text());
        }
        println!("{:.0} s, {rounds} rounds, {:?}", begun.elapsed().as_secs_f32(), self.done.0);
        println!("faults:{}", self.hits().text());
        self.end().await
    }

    fn hits(&self) -> Hits {
        Hits::of_logs(self.logs.iter().map(PathBuf::as_path))
    }

    /// A client ends early only when it saw what must not be.
    async fn check_tellers(&mut self) -> Result<()> {
        if let Some(at) = self.tellers.iter().position(JoinHandle::is_finished) {
            self.tellers.remove(at).await.context("a client panicked")??;
        }
        if let Some(at) = self.readers.iter().position(JoinHandle::is_finished) {
            self.readers.remove(at).await.context("a reader panicked")??;
        }
        Ok(())
    }

    /// Failures, for a while.
    async fn round(&mut self, round: Round) -> Result<()> {
        self.uptime.down();
        let mut random = || Random::new(self.random.next());
        let (first, second, third) = (random(), random(), random());
        let Cluster { proxies, shards, relays, .. } = &mut self.cluster;
        if round == Round::Silence {
            self.done.merge(failures::silence(proxies, shards, first).await?);
            return Ok(());
        }
        let length = if round == Round::Lease { failures::BEYOND_LEASE } else { ROUND };
        let until = Instant::now() + length;
        let [one, other] = proxies.as_mut_slice() else { anyhow::bail!("two proxies") };
        let other = async {
            match round {
                Round::Lease => failures::outlast_lease(other).await,
                Round::Faults | Round::Silence => {
                    failures::proxy(other, &self.logs, second, until).await
                }
            }
        };
        let one = failures::proxy(one, &self.logs, first, until);
        let servers = failures::servers(shards, relays, third, until);
        let (one, other, servers) = tokio::try_join!(one, other, servers)?;
        [one, other, servers].into_iter().for_each(|done| self.done.merge(done));
        Ok(())
    }

    /// Everything comes up, in either order, and what was left unfinished is finished in time.
    async fn calm(&mut self) -> Result<()> {
        let late = self.random.below(2 * self.cluster.shards.len() as u64) as usize;
        let Cluster { proxies, shards, .. } = &mut self.cluster;
        if let Some(shard) = shards.get_mut(late) {
            shard.kill().await?;
            self.done.add("server killed");
        }
        for node in proxies {
            if node.process.pid().is_ok() {
                node.process.kill().await?;
                self.done.add("proxy killed");
            }
            node.restart().await?;
        }
        for number in 0..self.cluster.proxies.len() {
            self.cluster.wait_proxy(number).await?;
        }
        if let Some(shard) = self.cluster.shards.get_mut(late) {
            tokio::time::sleep(WITHOUT_SHARD).await;
            shard.restart().await?;
        }
        self.uptime.up();
        let looks = self.uptime.looks();
        let uptime = self.uptime.clone();
        let resolved = wait::until("all is resolved", RESOLVED_MAX, || async {
            ensure!(uptime.looks() >= looks + 2, "the shards were not looked at");
            let left = uptime.left();
            ensure!(left.is_empty(), "{left:?} are unfinished");
            Ok(())
        });
        resolved.await?;
        self.in_time()?;
        tokio::time::sleep(CALM).await;
        self.in_time()
    }

    fn in_time(&self) -> Result<()> {
        let flips = self.uptime.flips();
        ensure!(flips.is_empty(), "decisions that changed: {flips:?}");
        if let Some((worst, xid)) = self.uptime.times().last() {
            let text = format!("{xid} was unfinished for {worst:?} with all shards up");
            ensure!(*worst <= RESOLVED, text);
        }
        Ok(())
    }

    /// Nobody works any more: what is there agrees with what was said.
    async fn end(&mut self) -> Result<()> {
        self.stop.trigger();
        let mut deeds = Vec::new();
        for teller in self.tellers.drain(..) {
            deeds.extend(teller.await.context("a client panicked")??);
        }
        let mut reads = 0;
        for reader in self.readers.drain(..) {
            reads += reader.await.context("a reader panicked")??;
        }
        ensure!(reads > 0, "nothing was read at the levels atomic and strict");
        println!("{reads} atomic and strict reads");
        (&mut self.watch).await.context("the watch panicked")?;
        let times = self.uptime.times();
        let worst: Vec<_> = times.iter().rev().take(3).collect();
        println!("{} unfinished ones seen, the worst of them {worst:?}", times.len());
        println!("answers but OK: {:#?}", reasons(&deeds));
        self.forgotten().await?;
        let told = audit::audit(&self.cluster, &self.bank, &deeds).await?;
        println!("{told:?}");
        self.logs()
    }

    /// No lock and no prepared branch is left on any shard.
    async fn forgotten(&self) -> Result<()> {
        const LEFT: &str = "SELECT CONCAT((SELECT COUNT(*) FROM _shardline.rlock), ' locks, ', \
             (SELECT COUNT(*) FROM _shardline.branch WHERE state = 1), ' branches')";
        for shard in &self.cluster.shards {
            wait::until("all is forgotten", FORGOTTEN, || async {
                let left = sql::value(&mut shard.connect().await?, LEFT).await?;
                ensure!(left == "0 locks, 0 branches", "{left}");
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Nothing panicked, was stuck, or was found decided against the protocol.
    fn logs(&self) -> Result<()> {
        const BAD: [&str; 3] = ["panicked", "is stuck", "that was given up is committed"];
        for log in &self.logs {
            let text = std::fs::read(log)?;
            let text = String::from_utf8_lossy(&text);
            let bad = text.lines().find(|line| BAD.iter().any(|word| line.contains(word)));
            ensure!(bad.is_none(), "{bad:?}");
        }
        Ok(())
    }
}

/// What clients were told besides OK, without what differs from one to the next.
fn reasons(deeds: &[Deed]) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for deed in deeds {
        let text = match &deed.fate {
            Fate::Acknowledged => continue,
            Fate::Refused(text) => format!("refused: {text}"),
            Fate::Unknown(unknown) => format!("unknown: {}", unknown.text),
        };
        let from = text.find("rror").unwrap_or_default();
        let text: String =
            text[from..].chars().filter(|one| !one.is_ascii_digit()).take(130).collect();
        *reasons.entry(text).or_default() += 1;
    }
    reasons
}
