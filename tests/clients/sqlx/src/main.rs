//! Drives a Shardline proxy with sqlx: the same steps as every other client.

use anyhow::{Context, Result, ensure};
use sqlx::{
    Connection, Executor, MySqlConnection, Row,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    types::Decimal,
};
use std::env;

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

fn options() -> Result<MySqlConnectOptions> {
    let variable = |name| env::var(name).with_context(|| format!("{name} is not set"));
    let options = MySqlConnectOptions::new()
        .host(&variable("SL_HOST")?)
        .port(variable("SL_PORT")?.parse()?)
        .username(&variable("SL_USER")?)
        .password(&variable("SL_PASSWORD")?)
        .database(&variable("SL_DATABASE")?);
    Ok(match env::var("SL_CA") {
        Ok(authority) if !authority.is_empty() => {
            options.ssl_mode(MySqlSslMode::VerifyIdentity).ssl_ca(authority)
        }
        _ => options.ssl_mode(MySqlSslMode::Disabled),
    })
}

async fn fill(db: &mut MySqlConnection) -> Result<()> {
    for id in 1..=90_i64 {
        sqlx::query("INSERT INTO t_hash (id, name, amount) VALUES (?, ?, ?)")
            .bind(id)
            .bind(format!("name {id}"))
            .bind(Decimal::new(id * 100 + 50, 2))
            .execute(&mut *db)
            .await?;
    }
    for id in (1..=90).step_by(3) {
        for statement in [
            "INSERT INTO t_range (id, day) VALUES (?, '2024-06-01'), (?, '2025-06-01'), (?, '2026-06-01')",
            "INSERT INTO t_list (region, id) VALUES ('north', ?), ('south', ?), ('west', ?)",
        ] {
            let query = sqlx::query(statement).bind(id).bind(id + 1).bind(id + 2);
            query.execute(&mut *db).await?;
        }
    }
    Ok(())
}

async fn read(db: &mut MySqlConnection) -> Result<()> {
    let row = sqlx::query("SELECT name, amount FROM t_hash WHERE id = ?")
        .bind(42_i64)
        .fetch_one(&mut *db)
        .await?;
    ensure!(row.get::<String, _>(0) == "name 42", "by key");
    ensure!(row.get::<Decimal, _>(1) == Decimal::new(4250, 2), "by key");
    let scan: Vec<i64> = sqlx::query_scalar("SELECT id FROM t_hash ORDER BY id LIMIT 20 OFFSET 5")
        .fetch_all(&mut *db)
        .await?;
    ensure!(scan == (6..26).collect::<Vec<i64>>(), "scan: {scan:?}");
    let (count, sum): (i64, Decimal) =
        sqlx::query_as("SELECT COUNT(*), SUM(amount) FROM t_hash").fetch_one(&mut *db).await?;
    ensure!((count, sum) == (90, Decimal::new(414_000, 2)), "aggregate: {count} {sum}");
    let groups: Vec<(String, i64)> =
        sqlx::query_as("SELECT region, COUNT(*) FROM t_list GROUP BY region ORDER BY region")
            .fetch_all(&mut *db)
            .await?;
    let wanted = ["north", "south", "west"].map(|region| (region.to_owned(), 30));
    ensure!(groups == wanted, "groups: {groups:?}");
    Ok(())
}

async fn write(db: &mut MySqlConnection) -> Result<()> {
    let mut transaction = db.begin().await?;
    let changed = sqlx::query("UPDATE t_hash SET amount = amount + 1 WHERE id = ?")
        .bind(7_i64)
        .execute(&mut *transaction)
        .await?;
    ensure!(changed.rows_affected() == 1, "affected");
    transaction.commit().await?;
    let mut transaction = db.begin().await?;
    sqlx::query("DELETE FROM t_hash WHERE id = ?").bind(7_i64).execute(&mut *transaction).await?;
    transaction.rollback().await?;
    let amount: Decimal =
        sqlx::query_scalar("SELECT amount FROM t_hash WHERE id = 7").fetch_one(&mut *db).await?;
    ensure!(amount == Decimal::new(850, 2), "after rollback: {amount}");
    Ok(())
}

async fn expect_error(
    db: &mut MySqlConnection,
    number: u16,
    statement: &'static str,
) -> Result<()> {
    let error = match db.execute(statement).await {
        Ok(_) => anyhow::bail!("no error from {statement}"),
        Err(error) => error,
    };
    let found = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
        .map(sqlx::mysql::MySqlDatabaseError::number);
    ensure!(found == Some(number), "{statement}: {error}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut db = MySqlConnection::connect_with(&options()?).await.context("connecting")?;
    for statement in SCHEMA {
        db.execute(statement).await?;
    }
    fill(&mut db).await?;
    read(&mut db).await?;
    write(&mut db).await?;
    expect_error(&mut db, 1062, "INSERT INTO t_hash (id, name) VALUES (1, 'again')").await?;
    expect_error(&mut db, 1146, "SELECT * FROM t_missing").await?;
    db.close().await?;
    println!("ok");
    Ok(())
}
