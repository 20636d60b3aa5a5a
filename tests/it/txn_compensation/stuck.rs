//! Rows that somebody has changed around the proxies: nothing is overwritten, and an operator decides.

use super::bench::{BRANCH, Bench, names, xid};
use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable;
use shardline_proxy::txn::{outcome::Settlement, sql};
use shardline_tests::sql as run;

/// A branch that changes four rows, twice one of them, of which another has changed two since.
async fn stuck_branch(bench: &mut Bench) -> Result<()> {
    let setup = [
        "CREATE OR REPLACE TABLE d.t (id INT PRIMARY KEY, u VARCHAR(20) UNIQUE, n INT)",
        "INSERT INTO d.t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)",
    ];
    run::run(&mut bench.writer, &setup).await?;
    let changes = [
        "UPDATE d.t SET n = 10 WHERE id = 1",
        "UPDATE d.t SET n = 11 WHERE id = 1",
        "UPDATE d.t SET n = 22 WHERE id = 2",
        "DELETE FROM d.t WHERE id = 3",
        "INSERT INTO d.t VALUES (4, 'four', 4)",
    ];
    bench.branch(1, &changes).await?;
    bench.abort(1).await?;
    let others =
        ["UPDATE d.t SET u = 'uno' WHERE id = 1", "INSERT INTO d.t VALUES (9, 'three', 9)"];
    run::run(&mut bench.writer, &others).await?;
    let now = bench.rows("d.t").await?;
    ensure!(bench.proxy.settle(names(1), BRANCH).await == Settlement::Stuck);
    ensure!(bench.rows("d.t").await? == now, "something was overwritten");
    let left = run::value(&mut bench.writer, &sql::count_left()).await?;
    ensure!(left == "2", "its branch row and its lock must stay: {left}");
    Ok(())
}

fn text(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_images_are_kept_and_each_choice_does_what_it_says() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    let cases = [
        ("keep", Ok((0, 0)), "1 uno 11, 2 two 22, 4 four 4, 9 three 9"),
        // Row 3 has lost its unique value to row 9, and the older change of row 1 is not undone either.
        ("merge", Ok((2, 3)), "1 uno 11, 2 two 2, 9 three 9"),
        ("restore", Err("three"), "1 uno 11, 2 two 22, 4 four 4, 9 three 9"),
    ];
    for (choice, expected, rows) in cases {
        stuck_branch(&mut bench).await?;
        let stuck = bench.proxy.stuck();
        ensure!(stuck.len() == 1 && stuck[0].differing == 3, "{stuck:#?}");
        let row = |key: &str, expected: &str, found: &str| {
            ["d.t", key, expected, found].map(str::to_owned)
        };
        let images = [
            row("id=3", "no row", "no row"),
            row("id=1", "id=1, u=one, n=11", "id=1, u=uno, n=11"),
        ];
        ensure!(stuck[0].rows == images, "{stuck:#?}");
        let done = bench.proxy.unstick(xid(1), BRANCH, choice).await;
        match (&done, expected) {
            (Ok(done), Ok(expected)) => ensure!(*done == expected, "{choice}: {done:?}"),
            (Err(error), Err(expected)) => ensure!(error.contains(expected), "{choice}: {error}"),
            _ => anyhow::bail!("{choice}: {done:?}"),
        }
        ensure!(
            text(&bench.rows("d.t").await?) == rows,
            "{choice}: {:?}",
            bench.rows("d.t").await?
        );
        if expected.is_err() {
            // Without the row that is in the way it can be done.
            bench.writer.query_drop("DELETE FROM d.t WHERE id = 9").await?;
            let done = bench.proxy.unstick(xid(1), BRANCH, choice).await;
            ensure!(done == Ok((5, 0)), "{done:?}");
            ensure!(text(&bench.rows("d.t").await?) == "1 one 1, 2 two 2, 3 three 3");
        }
        bench.nothing_left().await?;
        ensure!(bench.proxy.stuck().is_empty());
        bench.proxy.unstick(xid(1), BRANCH, "keep").await.expect_err("not stuck any more");
        let forget = "DELETE FROM _shardline.gtx";
        bench.writer.query_drop(forget).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_aborted_transaction_may_be_resolved_by_hand() -> Result<()> {
    let mut bench = Bench::mariadb().await?;
    stuck_branch(&mut bench).await?;
    bench.writer.query_drop("DELETE FROM _shardline.gtx").await?;
    let error = bench.proxy.unstick(xid(1), BRANCH, "restore").await.expect_err("undecided");
    ensure!(error.contains("does not say"), "{error}");
    ensure!(bench.proxy.unstick(xid(1), BRANCH, "drop").await.is_err());
    Ok(())
}
