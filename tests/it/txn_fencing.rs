//! Proxies that die are cut off from every shard, and guards rise as fast as live ones answer.

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, ClusterStatus, IncarnationState, MetaClient};
use shardline_model::{
    change::Change,
    guard::{Guard, GuardState},
    id::{Epoch, Incarnation},
};
use shardline_proxy::txn::sql;
use shardline_tests::{Cluster, ClusterConfig, Server, load::Load, sql as run, wait};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The time of a lease, and the margin that the metadata service adds.
const LEASE: Duration = Duration::from_millis(16_500);
/// What fencing may take beyond it.
const FENCING: Duration = Duration::from_secs(5);
/// An account that is locked.
const LOCKED: Option<u16> = Some(4151);

async fn meta(cluster: &Cluster, shutdown: &Shutdown) -> Result<Arc<MetaClient>> {
    let endpoints = cluster.meta_addresses();
    Ok(MetaClient::connect(ClientConfig::new(endpoints.split(',')), shutdown).await?)
}

/// The incarnation of a proxy, by where it listens.
fn incarnation_of(status: &ClusterStatus, address: &str) -> Option<Incarnation> {
    let lease = status.leases.iter().find(|lease| lease.registration.address == address);
    lease.map(|lease| lease.incarnation)
}

fn state_of(status: &ClusterStatus, incarnation: Incarnation) -> Option<IncarnationState> {
    let found = status.incarnations.iter().find(|one| one.incarnation == incarnation);
    found.map(|one| one.state)
}

/// What a proxy does before it writes: tables, an account, a registration.
async fn set_up(server: &Server, incarnation: Incarnation) -> Result<OptsBuilder> {
    let mut root = server.connect().await?;
    for statement in sql::SETUP.iter().copied().flatten() {
        root.query_drop(*statement).await?;
    }
    let name = format!("shardline-{}", incarnation.0);
    let account = format!("'{name}'@'localhost'");
    let statements = [
        format!("CREATE USER IF NOT EXISTS {account}"),
        format!("ALTER USER {account} IDENTIFIED BY 'p'"),
        format!("GRANT ALL ON *.* TO {account}"),
        sql::register(incarnation),
    ];
    for statement in statements {
        root.query_drop(statement).await?;
    }
    let socket = server.socket().display().to_string();
    Ok(OptsBuilder::default().socket(Some(socket)).user(Some(name)).pass(Some("p")))
}

/// It is dead on a shard, and nothing of it is connected there.
async fn is_cut_off(server: &Server, incarnation: Incarnation) -> Result<()> {
    let mut root = server.connect().await?;
    let dead = format!("SELECT dead FROM _shardline.incarnation WHERE id = {}", incarnation.0);
    ensure!(run::value(&mut root, &dead).await? == "1", "not marked dead");
    let connections = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'shardline-{}'",
        incarnation.0
    );
    ensure!(run::value(&mut root, &connections).await? == "0", "still connected");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_proxy_is_cut_off_from_every_shard() -> Result<()> {
    let config = ClusterConfig { shards: 2, meta: 1, proxies: 2, ..ClusterConfig::default() };
    let mut cluster = Cluster::start(config).await?;
    let shutdown = Shutdown::new();
    let meta = meta(&cluster, &shutdown).await?;
    // The first one has the smallest id, so the other has to take the janitor's part over.
    let address = cluster.proxies[0].address();
    let dead = incarnation_of(&meta.cluster_status().await?, &address).context("a lease")?;
    let login = set_up(&cluster.shards[0], dead).await?;
    let mut left: Conn = run::connect(login.clone()).await?;
    run::run(&mut left, &["CREATE DATABASE x", "CREATE TABLE x.t (id INT PRIMARY KEY)"]).await?;
    run::run(&mut left, &["BEGIN", "INSERT INTO x.t VALUES (1)"]).await?;

    cluster.proxies[0].process.kill().await?;
    let killed = Instant::now();
    let fenced = wait::until("the incarnation is fenced", LEASE + FENCING, || async {
        let state = state_of(&meta.cluster_status().await?, dead);
        match state {
            Some(IncarnationState::Fenced { .. }) => Ok(killed.elapsed()),
            other => anyhow::bail!("it is {other:?}"),
        }
    })
    .await?;
    println!("fenced {fenced:?} after the kill");
    for shard in &cluster.shards {
        is_cut_off(shard, dead).await?;
    }
    assert!(left.query_drop("COMMIT").await.is_err(), "its connection lives");
    let refused = Conn::new(login).await.err().context("its account is not locked")?;
    assert_eq!(run::error_number(&refused), LOCKED, "{refused}");
    let mut root = cluster.shards[0].connect().await?;
    assert_eq!(run::value(&mut root, "SELECT COUNT(*) FROM x.t").await?, "0");

    // The same process starts as another.
    cluster.proxies[0].restart().await?;
    cluster.wait_proxy(0).await?;
    let status = meta.cluster_status().await?;
    let next = incarnation_of(&status, &address).context("a lease")?;
    assert!(next > dead, "{next} after {dead}");
    assert_eq!(status.incarnations.len(), 3, "{status:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_is_fenced_without_a_wait() -> Result<()> {
    let config = ClusterConfig { shards: 1, meta: 1, proxies: 2, ..ClusterConfig::default() };
    let mut cluster = Cluster::start(config).await?;
    let shutdown = Shutdown::new();
    let meta = meta(&cluster, &shutdown).await?;
    let address = cluster.proxies[1].address();
    let ended = incarnation_of(&meta.cluster_status().await?, &address).context("a lease")?;
    cluster.proxies[1].process.signal(rustix::process::Signal::TERM)?;
    let limit = Duration::from_secs(15);
    cluster.proxies[1].process.ended(limit).await?;
    let stopped = Instant::now();
    wait::until("the incarnation is fenced", FENCING, || async {
        let state = state_of(&meta.cluster_status().await?, ended);
        ensure!(matches!(state, Some(IncarnationState::Fenced { .. })), "it is {state:?}");
        Ok(())
    })
    .await?;
    println!("fenced {:?} after the end", stopped.elapsed());
    is_cut_off(&cluster.shards[0], ended).await
}

/// Moves the guard of `d` on; the epoch.
async fn move_guard(meta: &MetaClient, to: GuardState) -> Result<Epoch> {
    let from: Option<Guard> = meta.catalog().guards.get("d").copied();
    Ok(meta.propose(Change::SetGuard { database: "d".to_owned(), from, to }).await?.epoch)
}

/// How long until every proxy has acknowledged the epoch.
async fn acknowledged(meta: &MetaClient, epoch: Epoch, limit: Duration) -> Result<Duration> {
    let begun = Instant::now();
    wait::until("every proxy acknowledges", limit, || async {
        let status = meta.cluster_status().await?;
        ensure!(status.confirmed && status.leases.len() == 2, "{status:?}");
        for lease in &status.leases {
            let behind = lease.acknowledged < Some(epoch);
            ensure!(!behind, "{} at {:?}", lease.proxy, lease.acknowledged);
        }
        Ok(begun.elapsed())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_rises_in_under_a_second_and_waits_for_statements() -> Result<()> {
    let config = ClusterConfig { shards: 1, meta: 1, proxies: 2, ..ClusterConfig::default() };
    let cluster = Cluster::start(config).await?;
    let shutdown = Shutdown::new();
    let meta = meta(&cluster, &shutdown).await?;
    let mut client = cluster.connect(0).await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id BIGINT NOT NULL PRIMARY KEY, v INT NOT NULL) SHARD BY HASH (id)",
        "INSERT INTO d.t VALUES (1000000000, 1)",
    ];
    run::run(&mut client, &statements).await?;
    // An idle session, and one whose transaction is open, hold nothing up.
    let mut open = cluster.connect(1).await?;
    run::run(&mut open, &["BEGIN", "UPDATE d.t SET v = 2 WHERE id = 1000000000"]).await?;
    let targets: Vec<_> = (0..4).map(|n| cluster.options(n % 2).into()).collect();
    let load = Load::start(targets, |key| format!("INSERT INTO d.t VALUES ({key}, 0)"));

    let begun = Instant::now();
    let raising = move_guard(&meta, GuardState::Raising).await?;
    let waited = acknowledged(&meta, raising, Duration::from_secs(1)).await?;
    // A janitor may be faster.
    let _ = move_guard(&meta, GuardState::On).await;
    ensure!(meta.catalog().guard("d") == GuardState::On, "{:?}", meta.catalog().guards);
    let risen = begun.elapsed();
    println!("acknowledged after {waited:?}, risen after {risen:?}");
    ensure!(risen < Duration::from_secs(1), "risen after {risen:?}");
    load.finish().await?;

    // A statement that runs goes by what it began with.
    let sleeping = tokio::spawn(async move {
        run::value(&mut client, "SELECT SLEEP(2) FROM d.t WHERE id = 1000000000").await
    });
    wait::until("the statement runs", Duration::from_secs(5), || async {
        let mut root = cluster.shards[0].connect().await?;
        let running = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE info LIKE 'SELECT SLEEP%'";
        ensure!(run::value(&mut root, running).await? == "1", "not yet");
        Ok(())
    })
    .await?;
    let lowering = move_guard(&meta, GuardState::Lowering).await?;
    let waited = acknowledged(&meta, lowering, Duration::from_secs(5)).await?;
    ensure!(waited > Duration::from_millis(500), "acknowledged after {waited:?}");
    sleeping.await??;
    run::run(&mut open, &["COMMIT"]).await?;
    // No lock is left, so the janitor ends it.
    wait::until("the guard is off", Duration::from_secs(5), || async {
        ensure!(meta.catalog().guard("d") == GuardState::Off, "{:?}", meta.catalog().guards);
        Ok(())
    })
    .await
}
