//! Backend connections and pools of the proxy against a real server: state is put back,
//! statements are kept and bounded, limits hold, nothing half read is reused, and a dead
//! server is noticed, as is its return.

use anyhow::{Context, Result, bail, ensure};
use shardline_base::Shutdown;
use shardline_model::{
    catalog::{Catalog, ServerAddress, Shard},
    id::ShardId,
};
use shardline_proxy::{
    backend::{
        BackendConnection, BackendError, ConnClass, KillKind, PoolConfig, PoolSet, TextLimits,
    },
    config::BackendAccount,
    state::{Names, SessionState, SqlLiteral, system_variable_literal, user_variable_literal},
};
use shardline_tests::{Server, server::account};
use shardline_wire::command::Command;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const SHARD: ShardId = ShardId(1);
const PLAIN: ConnClass =
    ConnClass { deprecate_eof: true, found_rows: false, session_track: false, database: false };
const WITH_DATABASE: ConnClass = ConnClass { database: true, ..PLAIN };

fn catalog(server: &Server) -> Catalog {
    let primary = ServerAddress {
        host: "127.0.0.1".into(),
        port: server.port(),
        socket: Some(server.socket().display().to_string()),
    };
    let shard = Shard { id: SHARD, name: "east".into(), primary, replicas: vec![] };
    Catalog { shards: [(SHARD, Arc::new(shard))].into(), ..Catalog::default() }
}

/// Pools over one server, with their background work.
struct Pools {
    pools: Arc<PoolSet>,
    shutdown: Shutdown,
}

impl Pools {
    fn start(server: &Server, connections_max: usize) -> Pools {
        let account = account();
        let account = BackendAccount { user: account.user, password: account.password };
        let mut config = PoolConfig::new(account);
        config.limits.connections_max = connections_max;
        config.limits.waiters_max = 4;
        config.checkout_timeout = Duration::from_millis(500);
        config.statements_max = 3;
        let pools = PoolSet::new(config);
        pools.apply_catalog(&catalog(server));
        let shutdown = Shutdown::new();
        tokio::spawn(pools.clone().run(shutdown.clone()));
        Pools { pools, shutdown }
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn values(connection: &mut BackendConnection, sql: &str) -> Result<Vec<Option<String>>> {
    let result = connection.query_rows(sql.as_bytes(), TextLimits::default()).await?;
    let row = result.rows.first().context("no row")?;
    Ok(row
        .iter()
        .map(|value| value.as_ref().map(|value| String::from_utf8_lossy(value).into()))
        .collect())
}

async fn value(connection: &mut BackendConnection, sql: &str) -> Result<String> {
    values(connection, sql).await?.remove(0).context("NULL")
}

#[tokio::test]
async fn sessions_share_a_connection_and_not_their_state() -> Result<()> {
    let server = Server::start().await?;
    let pools = Pools::start(&server, 1);
    let mut setup = pools.pools.checkout(SHARD, PLAIN).await?;
    for sql in ["CREATE DATABASE bank", "CREATE DATABASE `größe`"] {
        setup.query_ok(sql.as_bytes()).await?;
    }
    let thread = setup.thread_id();
    drop(setup);
    let plain = SessionState::new(Names::utf8mb4(), Some("bank"));
    let mut busy =
        SessionState::new(Names::new("latin1", None, "latin1_german1_ci")?, Some("größe"));
    busy.set_variable("sql_mode", SqlLiteral::text(b"ANSI_QUOTES,NO_BACKSLASH_ESCAPES", None)?)?;
    busy.set_variable("time_zone", SqlLiteral::text(b"+05:00", None)?)?;
    busy.set_variable("autocommit", SqlLiteral::integer(0))?;
    busy.set_variable("tx_isolation", SqlLiteral::text(b"SERIALIZABLE", None)?)?;
    busy.set_variable("long_query_time", SqlLiteral::number("2.500000")?)?;
    busy.set_user_variable(
        "naïve`x",
        SqlLiteral::text("é".as_bytes(), Some("latin1_german2_ci"))?,
    )?;
    const SEEN: &str = "SELECT DATABASE(), @@sql_mode LIKE '%ANSI_QUOTES%', @@time_zone, @@autocommit, \
        @@tx_isolation, @@long_query_time, @@character_set_client, @@character_set_results, @@collation_connection";
    let fresh = [
        "bank",
        "0",
        "SYSTEM",
        "1",
        "REPEATABLE-READ",
        "10.000000",
        "utf8mb4",
        "utf8mb4",
        "utf8mb4_general_ci",
    ];
    for _ in 0..3 {
        let mut connection = pools.pools.checkout(SHARD, WITH_DATABASE).await?;
        ensure!(connection.thread_id() == thread, "the connection was not reused");
        // As a session does it: the settings and the statement in one write.
        connection.queue_restore(&plain)?;
        connection.response_begins().queue_with(|out| Command::Ping.encode(out));
        connection.flush().await?;
        connection.finish_restore().await?;
        connection.wire().read_packet().await?;
        let status = connection.status();
        connection.response_ended(status);
        let seen = values(&mut connection, SEEN).await?;
        ensure!(seen.iter().flatten().eq(fresh), "{seen:?}");
        drop(connection);

        let mut connection = pools.pools.checkout(SHARD, WITH_DATABASE).await?;
        ensure!(connection.thread_id() == thread, "the connection was not reused");
        connection.apply(&busy).await?;
        let seen = values(&mut connection, SEEN).await?;
        ensure!(
            seen[7].is_none()
                && seen[1..7]
                    == ["1", "+05:00", "0", "SERIALIZABLE", "2.500000", "latin1"]
                        .map(|text| Some(text.to_owned())),
            "{seen:?}"
        );
        let sql = "SELECT HEX(@`na\u{ef}ve``x`), COLLATION(@`na\u{ef}ve``x`)";
        // The session's statements are in latin1 now.
        let sql: Vec<u8> = sql.chars().map(|character| character as u8).collect();
        let result = connection.query_rows(&sql, TextLimits::default()).await?;
        ensure!(
            result.rows == [[Some("E9".into()), Some("latin1_german2_ci".into())]],
            "{result:?}"
        );
        ensure!(connection.is_clean(), "an idle session without autocommit has no transaction");
    }
    // A command of several packets behind settings: its answer is numbered after them.
    let mut connection = pools.pools.checkout(SHARD, WITH_DATABASE).await?;
    let large = format!("SELECT LENGTH('{}')", "x".repeat(17 << 20));
    connection.query_ok(b"SET GLOBAL max_allowed_packet = 67108864").await?;
    connection.poison();
    drop(connection);
    let mut connection = pools.pools.checkout(SHARD, WITH_DATABASE).await?;
    let thread = connection.thread_id();
    connection.queue_restore(&busy)?;
    connection.response_begins().queue_with(|out| Command::Query(large.as_bytes()).encode(out));
    connection.flush().await?;
    connection.finish_restore().await?;
    for _ in 0..4 {
        connection.wire().read_packet().await?;
    }
    let status = connection.status();
    connection.response_ended(status);
    drop(connection);
    // A refused setting closes the connection and is said.
    let mut wrong = plain.clone();
    wrong.set_variable("no_such_variable", SqlLiteral::integer(1))?;
    let mut connection = pools.pools.checkout(SHARD, WITH_DATABASE).await?;
    let Err(BackendError::Restore { error, .. }) = connection.apply(&wrong).await else {
        bail!("taken")
    };
    ensure!(error.code == 1193 && !connection.is_clean());
    drop(connection);
    let mut connection = pools.pools.checkout(SHARD, PLAIN).await?;
    ensure!(connection.thread_id() != thread);
    ensure!(values(&mut connection, "SELECT DATABASE()").await? == [None]);
    Ok(())
}

#[tokio::test]
async fn user_variables_come_back_with_value_type_and_collation() -> Result<()> {
    let server = Server::start().await?;
    let pools = Pools::start(&server, 2);
    let expressions = [
        "NULL",
        "-5",
        "9223372036854775807",
        "18446744073709551615",
        "CAST(7 AS UNSIGNED)",
        "1.50",
        "-0.001",
        "12345678901234567890123456789.5",
        "1.5e0",
        "1e300",
        "-2.5e-7",
        "1/3",
        "'it''s \\\\ é'",
        "''",
        "x'00ff27'",
        "_latin1 x'e9'",
        "_utf8mb4'x' COLLATE utf8mb4_bin",
        "NOW()",
        "CAST('2026-01-01' AS DATE)",
        "TRUE",
        "CAST(12 AS DECIMAL(5,0))",
        "_ucs2 x'00e9'",
        "JSON_OBJECT('a', 1)",
        "CONCAT('a', 1)",
        "_binary'é'",
    ];
    let mut one = pools.pools.checkout(SHARD, PLAIN).await?;
    let mut other = pools.pools.checkout(SHARD, PLAIN).await?;
    for expression in expressions {
        one.query_ok(format!("SET @v = {expression}").as_bytes()).await?;
        let sql = b"SELECT @v, COLLATION(@v), HEX(@v), @v + 0";
        let before = one.query_rows(sql, TextLimits::default()).await?;
        let collation =
            before.rows[0][1].as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        let literal = user_variable_literal(
            &before.columns[0],
            before.rows[0][0].as_deref(),
            collation.as_deref(),
        )?;
        let mut state = other.applied().clone();
        state.set_user_variable("v", literal.clone())?;
        other.apply(&state).await?;
        let after = other.query_rows(sql, TextLimits::default()).await?;
        ensure!(after.rows == before.rows, "{expression}: {literal}: {before:?} {after:?}");
        let shape = |result: &shardline_proxy::backend::TextResult| {
            let column = &result.columns[0];
            (column.kind, column.unsigned(), column.charset)
        };
        if !literal.is_null() {
            ensure!(
                shape(&after) == shape(&before),
                "{expression}: {literal}: {:?} {:?}",
                shape(&before),
                shape(&after)
            );
        }
    }
    // Every session variable that can be set reads back as what it is.
    let names = one.query_rows(
        b"SELECT LOWER(variable_name) FROM information_schema.system_variables WHERE variable_scope = 'SESSION' \
          AND read_only = 'NO' AND LOWER(variable_name) NOT REGEXP \
          'character_set|collation|timestamp|insert_id|identity|rand_seed|pseudo|gtid|wsrep|proxy_user|external_user|max_user_conn|net_buffer|max_allowed_packet|_count$|last_gtid|in_transaction|skip_replication|default_master|replicate|debug|sql_log_bin|binlog|ssl|slave|read_binlog|system_versioning_asof'",
        TextLimits::default(),
    ).await?;
    let mut checked = 0;
    for row in &names.rows {
        let name = String::from_utf8_lossy(row[0].as_deref().context("a name")?).into_owned();
        let sql = format!("SELECT @@session.{name}");
        let before = one.query_rows(sql.as_bytes(), TextLimits::default()).await?;
        let literal = system_variable_literal(&before.columns[0], before.rows[0][0].as_deref())?;
        let mut state = other.applied().clone();
        state.set_variable(&name, literal.clone())?;
        if let Err(error) = other.apply(&state).await {
            bail!("{name} = {literal}: {error}");
        }
        let after = other.query_rows(sql.as_bytes(), TextLimits::default()).await?;
        ensure!(before.rows == after.rows, "{name} = {literal}: {before:?} {after:?}");
        checked += 1;
    }
    ensure!(checked > 100, "only {checked} variables were found");
    // And all of them go back to their defaults at once.
    other.apply(&SessionState::new(Names::utf8mb4(), None)).await?;
    Ok(())
}

#[tokio::test]
async fn prepared_statements_are_kept_and_bounded() -> Result<()> {
    let server = Server::start().await?;
    let pools = Pools::start(&server, 2);
    let mut connection = pools.pools.checkout(SHARD, PLAIN).await?;
    for sql in [
        "CREATE DATABASE a",
        "CREATE DATABASE b",
        "CREATE TABLE a.t (x INT)",
        "CREATE TABLE b.t (y TEXT, z INT)",
    ] {
        connection.query_ok(sql.as_bytes()).await?;
    }
    let a = SessionState::new(Names::utf8mb4(), Some("a"));
    let b = SessionState::new(Names::utf8mb4(), Some("b"));
    connection.apply(&a).await?;
    let in_a = connection.prepare(b"SELECT * FROM t WHERE ? > 1").await?;
    ensure!(in_a.columns.len() == 1 && in_a.parameters.len() == 1);
    ensure!(connection.prepare(b"SELECT * FROM t WHERE ? > 1").await?.id == in_a.id);
    connection.apply(&b).await?;
    let in_b = connection.prepare(b"SELECT * FROM t WHERE ? > 1").await?;
    ensure!(in_b.columns.len() == 2 && in_b.id != in_a.id);
    ensure!(&in_b.columns[0].name[..] == b"y");
    for number in 0..20 {
        connection.prepare(format!("SELECT {number}").as_bytes()).await?;
    }
    ensure!(connection.statement_count() == 3);
    let kept = value(&mut connection, "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Prepared_stmt_count'").await?;
    ensure!(kept == "3", "the server keeps {kept}");
    let Err(BackendError::Server { error, .. }) =
        connection.prepare(b"SELECT * FROM nowhere").await
    else {
        bail!("prepared")
    };
    ensure!(error.code == 1146);
    ensure!(connection.is_clean(), "an error of the server leaves the connection usable");
    Ok(())
}

#[tokio::test]
async fn limits_hold_and_nothing_unclean_is_reused() -> Result<()> {
    let server = Server::start().await?;
    let pools = Pools::start(&server, 2);
    let one = pools.pools.checkout(SHARD, PLAIN).await?;
    let mut other = pools.pools.checkout(SHARD, PLAIN).await?;
    let Err(BackendError::CheckoutTimeout { .. }) = pools.pools.checkout(SHARD, PLAIN).await else {
        bail!("too many")
    };
    // Who waits and goes away is skipped.
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let pools = pools.pools.clone();
            tokio::spawn(async move {
                pools.checkout(SHARD, PLAIN).await.map(|found| found.thread_id())
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    ensure!(pools.pools.status()[0].waiting == 4);
    let Err(BackendError::QueueFull { .. }) = pools.pools.checkout(SHARD, PLAIN).await else {
        bail!("queue")
    };
    waiting[0].abort();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let thread = one.thread_id();
    drop(one);
    for task in waiting.into_iter().skip(1) {
        ensure!(task.await?? == thread, "the returned connection serves those who wait");
    }
    // A transaction that was left open ends the connection.
    other.query_ok(b"CREATE DATABASE d").await?;
    other.query_ok(b"CREATE TABLE d.t (x INT) ENGINE=InnoDB").await?;
    other.query_ok(b"BEGIN").await?;
    other.query_ok(b"INSERT INTO d.t VALUES (1)").await?;
    let dirty = other.thread_id();
    drop(other);
    let mut one = pools.pools.checkout(SHARD, PLAIN).await?;
    let mut other = pools.pools.checkout(SHARD, PLAIN).await?;
    ensure!(one.thread_id() != dirty && other.thread_id() != dirty);
    ensure!(value(&mut one, "SELECT COUNT(*) FROM d.t").await? == "0");
    // A query whose session is gone is killed, and its connection is not reused.
    let sleeper = other.thread_id();
    let cut = tokio::time::timeout(
        Duration::from_millis(200),
        other.query_rows(b"SELECT SLEEP(60)", TextLimits::default()),
    )
    .await;
    ensure!(cut.is_err());
    drop(other);
    let sql = format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {sleeper}");
    let started = Instant::now();
    while value(&mut one, &sql).await? != "0" {
        ensure!(started.elapsed() < Duration::from_secs(5), "the abandoned query runs on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // KILL QUERY from beside.
    let victim = one.thread_id();
    let killer = pools.pools.clone();
    let kill = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        killer.kill(SHARD, victim, KillKind::Query).await
    });
    let killed = one
        .query_rows(
            b"SELECT 1 FROM information_schema.tables WHERE SLEEP(30)",
            TextLimits::default(),
        )
        .await;
    ensure!(
        killed.is_err_and(|error| error.server_error().is_some_and(|error| error.code == 1317))
    );
    kill.await??;
    drop(one);
    let status = &pools.pools.status()[0];
    ensure!(status.in_use == 0 && status.idle == 1 && status.waiting == 0, "{status:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_on_few_connections() -> Result<()> {
    let server = Server::start().await?;
    let pools = Pools::start(&server, 3);
    let tasks: Vec<_> = (0..6)
        .map(|session: i64| {
            let pools = pools.pools.clone();
            tokio::spawn(async move {
                let mut state = SessionState::new(Names::utf8mb4(), None);
                for turn in 0..200_i64 {
                    if turn % 3 == 0 {
                        state.set_user_variable(
                            "mine",
                            SqlLiteral::integer(session * 1000 + turn),
                        )?;
                    }
                    let class = ConnClass { found_rows: session % 2 == 0, ..PLAIN };
                    let mut connection = pools.checkout(SHARD, class).await?;
                    connection.apply(&state).await?;
                    let seen = value(&mut connection, "SELECT @mine").await?;
                    ensure!(
                        seen == (session * 1000 + turn / 3 * 3).to_string(),
                        "{session} sees {seen}"
                    );
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let mut one = pools.pools.checkout(SHARD, PLAIN).await?;
    // The probe's own connection comes on top.
    let connected: usize = value(&mut one, "SELECT COUNT(*) FROM information_schema.processlist WHERE command <> 'Daemon' AND user <> 'system user'").await?.parse()?;
    ensure!(connected <= 3 + 1, "{connected} connections");
    Ok(())
}

#[tokio::test]
async fn a_dead_server_is_noticed_and_so_is_its_return() -> Result<()> {
    let mut server = Server::start().await?;
    let pools = Pools::start(&server, 4);
    let held = pools.pools.checkout(SHARD, PLAIN).await?;
    drop(pools.pools.checkout(SHARD, PLAIN).await?);
    server.kill().await?;
    let killed = Instant::now();
    loop {
        match pools.pools.checkout(SHARD, PLAIN).await {
            Err(BackendError::Down { name, address, reason }) => {
                ensure!(
                    &*name == "east" && address.contains("sock") && !reason.is_empty(),
                    "{reason}"
                );
                break;
            }
            Ok(_) | Err(_) => ensure!(killed.elapsed() < Duration::from_secs(2), "not noticed"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let asked = Instant::now();
    ensure!(pools.pools.checkout(SHARD, PLAIN).await.is_err());
    ensure!(
        asked.elapsed() < Duration::from_millis(50),
        "the answer about a dead shard comes at once"
    );
    drop(held);
    server.restart().await?;
    let back = Instant::now();
    loop {
        match pools.pools.checkout(SHARD, PLAIN).await {
            Ok(mut connection) => {
                // No connection from before is ever given out.
                connection.ping().await?;
                break;
            }
            Err(_) => ensure!(back.elapsed() < Duration::from_secs(1), "not served again"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A restart between two probes: the idle connections are dead and none is given out.
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(pools.pools.checkout(SHARD, PLAIN).await?);
    }
    drop(all);
    server.kill().await?;
    server.restart().await?;
    let back = Instant::now();
    loop {
        match pools.pools.checkout(SHARD, PLAIN).await {
            Ok(mut connection) => break connection.ping().await?,
            Err(BackendError::Down { .. }) => ensure!(back.elapsed() < Duration::from_secs(1)),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
