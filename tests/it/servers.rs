//! The harness' servers do what tests rely on.

use anyhow::Result;
use shardline_tests::{Server, sql};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_with_every_acknowledged_row() -> Result<()> {
    let mut server = Server::start().await?;
    let mut connection = server.connect().await?;
    let statements = [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY)",
        "INSERT INTO d.t VALUES (1)",
    ];
    sql::run(&mut connection, &statements).await?;
    server.kill().await?;
    assert!(sql::run(&mut connection, &["SELECT 1"]).await.is_err());
    server.restart().await?;
    let mut connection = server.connect().await?;
    assert_eq!(sql::value(&mut connection, "SELECT COUNT(*) FROM d.t").await?, "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_run_with_what_change_streams_and_durability_need() -> Result<()> {
    let server = Server::start().await?;
    let mut connection = server.connect().await?;
    let wanted = [
        ("innodb_flush_log_at_trx_commit", "1"),
        ("sync_binlog", "1"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("bind_address", "127.0.0.1"),
        ("collation_server", "utf8mb4_general_ci"),
    ];
    for (name, value) in wanted {
        let found = sql::value(&mut connection, &format!("SELECT @@global.{name}")).await?;
        assert_eq!(found, value, "{name}");
    }
    Ok(())
}
