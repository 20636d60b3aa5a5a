//! mysql_async, in this process.

use crate::{PASSWORD, Target, USER};
use anyhow::{Result, ensure};
use mysql_async::{Conn, OptsBuilder, SslOpts, TxOpts, prelude::Queryable};
use shardline_tests::sql;

const SCHEMA: [&str; 3] = [
    "CREATE TABLE t_hash (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2)) \
     SHARD BY HASH (id)",
    "CREATE TABLE t_range (id INT NOT NULL, day DATE NOT NULL, PRIMARY KEY (id, day)) \
     SHARD BY RANGE (day) (VALUES LESS THAN ('2025-01-01') ON s1, \
     VALUES LESS THAN ('2026-01-01') ON s2, VALUES LESS THAN (MAXVALUE) ON s3)",
    "CREATE TABLE t_list (region VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, \
     id INT NOT NULL, PRIMARY KEY (region, id)) SHARD BY LIST (region) \
     (VALUES IN ('north') ON s1, VALUES IN ('south') ON s2, DEFAULT ON s3)",
];

/// All steps.
pub(super) async fn drive(target: &Target) -> Result<()> {
    let ssl = target.authority.clone().map(|path| {
        SslOpts::default()
            .with_root_certs(vec![path.into()])
            .with_disable_built_in_roots(true)
            .with_danger_tls_hostname_override(Some("localhost"))
    });
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(target.port)
        .prefer_socket(false)
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .db_name(Some(&target.database))
        .ssl_opts(ssl);
    let mut db = sql::connect(options).await?;
    sql::run(&mut db, &SCHEMA).await?;
    fill(&mut db).await?;
    read(&mut db).await?;
    write(&mut db).await?;
    for (number, statement) in [
        (1062, "INSERT INTO t_hash (id, name) VALUES (1, 'again')"),
        (1146, "SELECT * FROM t_missing"),
    ] {
        let error = db.query_drop(statement).await.expect_err(statement);
        ensure!(sql::error_number(&error) == Some(number), "{statement}: {error}");
    }
    ensure!(sql::value(&mut db, "SELECT 1").await? == "1", "after errors");
    Ok(db.disconnect().await?)
}

async fn fill(db: &mut Conn) -> Result<()> {
    for id in 1..=90 {
        let row = (id, format!("name {id}"), format!("{id}.50"));
        db.exec_drop("INSERT INTO t_hash (id, name, amount) VALUES (?, ?, ?)", row).await?;
    }
    for id in (1..=90).step_by(3) {
        for statement in [
            "INSERT INTO t_range (id, day) VALUES (?, '2024-06-01'), (?, '2025-06-01'), (?, '2026-06-01')",
            "INSERT INTO t_list (region, id) VALUES ('north', ?), ('south', ?), ('west', ?)",
        ] {
            db.exec_drop(statement, (id, id + 1, id + 2)).await?;
        }
    }
    Ok(())
}

async fn read(db: &mut Conn) -> Result<()> {
    let row: Option<(String, String)> =
        db.exec_first("SELECT name, amount FROM t_hash WHERE id = ?", (42,)).await?;
    ensure!(row == Some(("name 42".into(), "42.50".into())), "by key: {row:?}");
    let scan: Vec<i64> = db.query("SELECT id FROM t_hash ORDER BY id LIMIT 20 OFFSET 5").await?;
    ensure!(scan == (6..26).collect::<Vec<i64>>(), "scan: {scan:?}");
    let sums = sql::rows(db, "SELECT COUNT(*), SUM(amount) FROM t_hash").await?;
    ensure!(sums == [["90", "4140.00"]], "aggregate: {sums:?}");
    let groups = "SELECT region, COUNT(*) FROM t_list GROUP BY region ORDER BY region";
    let groups = sql::rows(db, groups).await?;
    ensure!(groups == [["north", "30"], ["south", "30"], ["west", "30"]], "groups: {groups:?}");
    Ok(())
}

async fn write(db: &mut Conn) -> Result<()> {
    let mut transaction = db.start_transaction(TxOpts::default()).await?;
    transaction.exec_drop("UPDATE t_hash SET amount = amount + 1 WHERE id = ?", (7,)).await?;
    ensure!(transaction.affected_rows() == 1, "affected rows");
    transaction.commit().await?;
    let mut transaction = db.start_transaction(TxOpts::default()).await?;
    transaction.exec_drop("DELETE FROM t_hash WHERE id = ?", (7,)).await?;
    transaction.rollback().await?;
    let amount = sql::value(db, "SELECT amount FROM t_hash WHERE id = 7").await?;
    ensure!(amount == "8.50", "after rollback: {amount}");
    Ok(())
}
