//! Scans and resolvers: what others left is brought to its end.

use super::bench::{ANCHOR, BRANCH, Bench, INCARNATION, locks, names, proxy, xid};
use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable;
use shardline_base::Shutdown;
use shardline_proxy::txn::{
    forget::Committed,
    recovery::{Resolution, Undecided},
    sql,
};
use shardline_tests::{sql as run, wait};
use std::{sync::Arc, time::Duration};

const SETUP: [&str; 2] =
    ["CREATE TABLE d.t (id INT PRIMARY KEY, n INT)", "INSERT INTO d.t VALUES (1, 1), (2, 2)"];

async fn nothing_left(bench: &Bench) -> Result<()> {
    wait::until("no branch and no lock is left", Duration::from_secs(10), || async {
        let mut connection = bench.server.connect().await?;
        let left = run::value(&mut connection, &sql::count_left()).await?;
        ensure!(left == "0", "{left} are left");
        Ok(())
    })
    .await
}

async fn abandoned(mut bench: Bench) -> Result<()> {
    run::run(&mut bench.writer, &SETUP).await?;
    let before = bench.rows("d.t").await?;
    let shutdown = Shutdown::new();
    let second = proxy(&bench.catalog);
    bench.proxy.run(&shutdown);
    second.run(&shutdown);
    // Its coordinator is gone: aborted, undone, by whichever proxy.
    bench.branch(1, &["UPDATE d.t SET n = n + 10"]).await?;
    // This one's decision was made before its coordinator died.
    bench.branch(2, &["INSERT INTO d.t VALUES (3, 3)"]).await?;
    bench.writer.query_drop("BEGIN").await?;
    bench.writer.query_drop(sql::decide(names(2), None).sql()).await?;
    nothing_left(&bench).await?;
    let mut expected = before.clone();
    expected.push(vec!["3".into(), "3".into()]);
    ensure!(bench.rows("d.t").await? == expected);
    let states = "SELECT GROUP_CONCAT(state ORDER BY xid) FROM _shardline.gtx";
    ensure!(run::value(&mut bench.writer, states).await? == "2,1");
    wait::until("no transaction is seen", Duration::from_secs(5), || async {
        ensure!(bench.proxy.undecided().is_empty(), "{:?}", bench.proxy.undecided());
        Ok(())
    })
    .await?;
    shutdown.trigger();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_abandoned_is_resolved_on_mariadb() -> Result<()> {
    abandoned(Bench::mariadb().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_abandoned_is_resolved_on_mysql() -> Result<()> {
    let Some(bench) = Bench::mysql().await? else { return Ok(()) };
    abandoned(bench).await
}

/// A decision that hangs uncommitted is pushed aside, when its connection is its incarnation's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_hangs_is_killed() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &SETUP).await?;
    let before = bench.rows("d.t").await?;
    let user = format!("shardline-{}", INCARNATION.0);
    bench.writer.query_drop(format!("CREATE USER '{user}'@'localhost'")).await?;
    let grant = format!("GRANT ALL ON *.* TO '{user}'@'localhost'");
    bench.writer.query_drop(grant).await?;
    for (user, resolution) in [("root", Resolution::Later), (&user, Resolution::Aborted)] {
        bench.writer.query_drop("DELETE FROM _shardline.gtx").await?;
        let mut coordinator = match user {
            "root" => bench.server.connect().await?,
            user => {
                let options = mysql_async::OptsBuilder::default()
                    .socket(Some(bench.server.socket().display().to_string()))
                    .user(Some(user.to_owned()));
                run::connect(options).await?
            }
        };
        let counter = if user == "root" { 1 } else { 2 };
        bench.branch(counter, &["UPDATE d.t SET n = n + 10"]).await?;
        coordinator.query_drop("BEGIN").await?;
        let open = sql::decide(names(counter), None).sql().replace(sql::COMMIT, "DO 0");
        coordinator.query_drop(open).await?;
        let thread = run::value(&mut coordinator, "SELECT CONNECTION_ID()").await?.parse()?;
        let branches = [BRANCH].as_slice().into();
        let undecided = Undecided { xid: xid(counter), anchor: ANCHOR, branches };
        let end = bench.proxy.resolve(undecided.clone(), thread).await;
        ensure!(end == resolution, "{user}: {end:?}");
        coordinator.query_drop("ROLLBACK").await.ok();
        ensure!(bench.proxy.resolve(undecided, thread).await == Resolution::Aborted);
        ensure!(bench.rows("d.t").await? == before);
    }
    bench.nothing_left().await
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_ones_are_forgotten_in_batches() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    run::run(&mut bench.writer, &SETUP).await?;
    let shutdown = Shutdown::new();
    bench.proxy.run(&shutdown);
    for _ in 0..120 {
        let xid = bench.proxy.begin(INCARNATION).expect("a name");
        bench.branch(xid.counter, &["UPDATE d.t SET n = n + 1 WHERE id = 1"]).await?;
        bench.writer.query_drop("BEGIN").await?;
        bench.writer.query_drop(sql::decide(names(xid.counter), None).sql()).await?;
        let branches = [(BRANCH, locks(xid.counter))].into_iter().collect();
        bench.proxy.committed(Committed { xid, anchor: ANCHOR, branches });
    }
    nothing_left(&bench).await?;
    let server = Arc::new(&bench.server);
    wait::until("no decision is left", Duration::from_secs(10), || async {
        let mut connection = server.connect().await?;
        let left = run::value(&mut connection, "SELECT COUNT(*) FROM _shardline.gtx").await?;
        ensure!(left == "0", "{left} are left");
        Ok(())
    })
    .await?;
    ensure!(bench.proxy.sizes() == (0, 0));
    let below = "SELECT below FROM _shardline.forgotten WHERE incarnation > 0";
    ensure!(run::value(&mut bench.writer, below).await? == "121");
    ensure!(bench.rows("d.t").await?[0][1] == "121");
    shutdown.trigger();
    Ok(())
}
