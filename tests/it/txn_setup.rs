//! What is on a shard before an incarnation writes there, on real servers: tables, account,
//! registration, and what a server must be set to.

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_console::local::{Programs, settings::ServerTuning};
use shardline_model::{
    catalog::{Catalog, ServerAddress, Shard},
    id::ShardId,
};
use shardline_proxy::{
    backend::{BackendError, ConnClass, PoolConfig, PoolSet, PooledConnection, TextLimits},
    config::BackendAccount,
    distributed::setup::{Readiness, Setup, account_name},
    txn::{sql as packets, xid::Incarnation},
};
use shardline_tests::{Server, server, sql, wait};
use std::{sync::Arc, time::Duration};

const SHARD: ShardId = ShardId(1);
const PLAIN: ConnClass =
    ConnClass { deprecate_eof: true, found_rows: false, session_track: false, database: false };
/// Longer than a failure is remembered.
const SOON: Duration = Duration::from_secs(20);

/// A proxy's pools, and what sets its shard up.
struct Proxy {
    pools: Arc<PoolSet>,
    setup: Arc<Setup>,
}

impl Proxy {
    /// With the tests' account.
    fn new(server: &Server, by_socket: bool) -> Self {
        let account = server::account();
        Self::with(server, by_socket, &account.user, &account.password)
    }

    fn with(server: &Server, by_socket: bool, user: &str, password: &str) -> Self {
        let account = BackendAccount { user: user.to_owned(), password: password.to_owned() };
        let pools = PoolSet::new(PoolConfig::new(account));
        pools.apply_catalog(&catalog(server, by_socket));
        Self { setup: Setup::new(pools.clone()), pools }
    }

    async fn session(&self) -> Result<PooledConnection, BackendError> {
        self.pools.checkout(SHARD, PLAIN).await
    }

    async fn not_ready(&self) -> Result<String> {
        match self.setup.readiness(SHARD, false).await {
            Readiness::NotReady(reason) => Ok(reason.to_string()),
            Readiness::Ready => anyhow::bail!("the shard is ready"),
        }
    }
}

fn catalog(server: &Server, by_socket: bool) -> Catalog {
    let socket = by_socket.then(|| server.socket().display().to_string());
    let primary = ServerAddress { host: "127.0.0.1".into(), port: server.port(), socket };
    let shard = Shard { id: SHARD, name: "east".into(), primary, replicas: vec![] };
    Catalog { shards: [(SHARD, Arc::new(shard))].into(), ..Catalog::default() }
}

/// A server of each family that there is.
async fn servers() -> Result<Vec<Server>> {
    let tuning = || ServerTuning { buffer_pool_mib: 32, ..ServerTuning::default() };
    let programs: Vec<Programs> =
        [Some(server::programs()?), server::mysql_programs()?].into_iter().flatten().collect();
    let mut servers = Vec::new();
    for programs in programs {
        servers.push(Server::start_of(programs, tuning(), 1, Vec::new()).await?);
    }
    Ok(servers)
}

async fn one(connection: &mut PooledConnection, statement: &str) -> Result<String> {
    let rows = connection.query_rows(statement.as_bytes(), TextLimits::default()).await?.rows;
    let value = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
    Ok(String::from_utf8_lossy(&value.context("no value")?).into_owned())
}

async fn user(connection: &mut PooledConnection) -> Result<String> {
    one(connection, "SELECT SUBSTRING_INDEX(USER(), '@', 1)").await
}

/// The grants of an account, with its name cut off.
async fn grants(direct: &mut Conn, account: &str) -> Result<Vec<String>> {
    let rows = sql::rows(direct, &format!("SHOW GRANTS FOR {account}")).await?;
    let name = account.replace('\'', "`");
    let mut grants: Vec<String> = rows
        .into_iter()
        .flatten()
        .filter(|grant| grant.contains(&name) && !grant.starts_with("GRANT PROXY"))
        .map(|grant| {
            let option = if grant.contains(" OPTION") { " OPTION" } else { "" };
            let (what, _) = grant.split_once(&name).unwrap_or_default();
            format!("{what}{option}")
        })
        .collect();
    grants.sort();
    Ok(grants)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_set_one_shard_up_at_once_and_again() -> Result<()> {
    for server in servers().await? {
        let mut direct = server.connect().await?;
        for round in 0..2_u64 {
            let proxies: Vec<Proxy> = (0..4).map(|_| Proxy::new(&server, true)).collect();
            let mut sessions = Vec::new();
            for (proxy, number) in proxies.iter().zip(1 + round * 4..) {
                proxy.setup.begin(Incarnation(number))?;
                for _ in 0..4 {
                    let pools = proxy.pools.clone();
                    let session = async move { pools.checkout(SHARD, PLAIN).await };
                    sessions.push((number, tokio::spawn(session)));
                }
            }
            for (number, session) in sessions {
                let mut session = session.await??;
                ensure!(session.incarnation() == Some(Incarnation(number)));
                ensure!(user(&mut session).await? == account_name(Incarnation(number)));
            }
            for proxy in &proxies {
                ensure!(proxy.setup.readiness(SHARD, false).await == Readiness::Ready);
            }
        }
        let registered = "SELECT GROUP_CONCAT(id ORDER BY id) FROM _shardline.incarnation";
        ensure!(sql::value(&mut direct, registered).await? == "1,2,3,4,5,6,7,8");
        let version = packets::SCHEMA_VERSION.to_string();
        ensure!(sql::value(&mut direct, packets::READ_VERSION).await? == version);
        let (mine, theirs) = ("'shardline-1'@'localhost'", "'shardline'@'localhost'");
        ensure!(grants(&mut direct, mine).await? == grants(&mut direct, theirs).await?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_works_by_socket_and_tcp_and_comes_back_when_dropped() -> Result<()> {
    for server in servers().await? {
        let mut direct = server.connect().await?;
        // MariaDB used to have it, and it stands before every account of host %.
        let _ = direct.query_drop("CREATE USER ''@'localhost'").await;
        let proxy = Proxy::new(&server, true);
        proxy.setup.begin(Incarnation(1))?;
        ensure!(user(&mut proxy.session().await?).await? == "shardline-1");
        proxy.pools.apply_catalog(&catalog(&server, false));
        let mut by_tcp = proxy.session().await?;
        ensure!(user(&mut by_tcp).await? == "shardline-1");
        by_tcp.discard();
        proxy.pools.apply_catalog(&catalog(&server, true));
        for host in sql::rows(
            &mut direct,
            "SELECT DISTINCT host FROM mysql.user WHERE user = 'shardline-1'",
        )
        .await?
        .into_iter()
        .flatten()
        {
            direct.query_drop(format!("DROP USER 'shardline-1'@'{host}'")).await?;
        }
        proxy.session().await?.discard();
        ensure!(user(&mut proxy.session().await?).await? == "shardline-1");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lease_means_a_new_account_and_none_of_the_old_connections() -> Result<()> {
    for server in servers().await? {
        let mut direct = server.connect().await?;
        let proxy = Proxy::new(&server, true);
        // Before the first lease there are no accounts to be had.
        ensure!(user(&mut proxy.session().await?).await? == "shardline");
        proxy.setup.begin(Incarnation(1))?;
        let (mut lent, idle) = (proxy.session().await?, proxy.session().await?);
        ensure!(user(&mut lent).await? == "shardline-1");
        drop(idle);
        proxy.setup.end();
        let refused = proxy.session().await.err().context("a session without a lease")?;
        ensure!(refused.to_string().contains("no lease"), "{refused}");
        proxy.setup.begin(Incarnation(2))?;
        let mut next = proxy.session().await?;
        ensure!(user(&mut next).await? == "shardline-2");
        // What was in use ends its statement, and is closed when it comes back.
        ensure!(user(&mut lent).await? == "shardline-1");
        ensure!(lent.incarnation() != proxy.setup.incarnation());
        drop(lent);
        wait::until("the old connections are closed", SOON, || async {
            let mut direct = server.connect().await?;
            let count =
                "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'shardline-1'";
            let count = sql::value(&mut direct, count).await?;
            ensure!(count == "0", "{count}");
            Ok(())
        })
        .await?;
        drop(next);
        for _ in 0..3 {
            ensure!(user(&mut proxy.session().await?).await? == "shardline-2");
        }
        let count = "SELECT COUNT(DISTINCT authentication_string) FROM mysql.user WHERE user LIKE 'shardline-%'";
        ensure!(sql::value(&mut direct, count).await? == "2", "one password for two accounts");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_incarnation_never_logs_in_again() -> Result<()> {
    for server in servers().await? {
        let janitor = Proxy::new(&server, true);
        let zombie = Proxy::new(&server, true);
        // Fenced before it ever came here: it must not make its account afterwards.
        janitor.setup.lock_account(SHARD, Incarnation(1)).await?;
        zombie.setup.begin(Incarnation(1))?;
        let refused = zombie.session().await.err().context("a fenced session")?;
        ensure!(refused.to_string().contains("fenced"), "{refused}");

        zombie.setup.begin(Incarnation(2))?;
        zombie.session().await?.discard();
        janitor.setup.lock_account(SHARD, Incarnation(2)).await?;
        ensure!(zombie.session().await.is_err(), "the account is locked");
        let mut direct = server.connect().await?;
        ensure!(accounts(&mut direct, 2).await? != "0");
        // The account is gone: what it makes anew is of no use to it.
        janitor.setup.drop_account(SHARD, Incarnation(2)).await?;
        ensure!(accounts(&mut direct, 2).await? == "0");
        let refused = zombie.session().await.err().context("a fenced session")?;
        ensure!(refused.to_string().contains("fenced"), "{refused}");
        ensure!(zombie.session().await.is_err());
        zombie.setup.begin(Incarnation(3))?;
        ensure!(user(&mut zombie.session().await?).await? == "shardline-3");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn privileges_are_those_of_the_configured_account() -> Result<()> {
    for server in servers().await? {
        let mut direct = server.connect().await?;
        let statements = [
            "CREATE DATABASE `d``e`",
            "CREATE TABLE `d``e`.`TO` (a INT PRIMARY KEY, b INT)",
            "CREATE ROLE reader",
            "GRANT SELECT ON `d``e`.* TO reader",
            "CREATE USER ops@'%' IDENTIFIED BY 'o''ps-1A'",
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, CREATE USER, PROCESS, SUPER, REPLICATION SLAVE, REPLICATION CLIENT, RELOAD ON *.* TO ops@'%' WITH GRANT OPTION",
            "GRANT SELECT (`a`), UPDATE (`b`) ON `d``e`.`TO` TO ops@'%' WITH GRANT OPTION",
            "GRANT EXECUTE, LOCK TABLES ON `d``e`.* TO ops@'%' WITH GRANT OPTION",
            "GRANT reader TO ops@'%' WITH ADMIN OPTION",
        ];
        sql::run(&mut direct, &statements).await?;
        let mariadb = sql::value(&mut direct, "SELECT VERSION()").await?.contains("MariaDB");
        let roles = if mariadb { "FOR" } else { "TO" };
        direct.query_drop(format!("SET DEFAULT ROLE reader {roles} ops@'%'")).await?;
        let ops = Proxy::with(&server, false, "ops", "o'ps-1A");
        ops.setup.begin(Incarnation(1))?;
        let mut session = ops.session().await?;
        ensure!(user(&mut session).await? == "shardline-1", "{}", ops.not_ready().await?);
        let role = one(&mut session, "SELECT CURRENT_ROLE()").await?;
        ensure!(role.contains("reader"), "{role}");
        let found = grants(&mut direct, "'shardline-1'@'%'").await?;
        let expected = grants(&mut direct, "'ops'@'%'").await?;
        ensure!(found == expected, "{found:#?} and not {expected:#?}");

        // One that may not make accounts goes on as before, and the shard is not ready.
        let lesser =
            ["CREATE USER lesser@'%' IDENTIFIED BY 'x-1A'", "GRANT SELECT ON *.* TO lesser@'%'"];
        sql::run(&mut direct, &lesser).await?;
        let lesser = Proxy::with(&server, false, "lesser", "x-1A");
        lesser.setup.begin(Incarnation(2))?;
        let mut session = lesser.session().await?;
        ensure!(user(&mut session).await? == "lesser" && session.incarnation().is_none());
        let reason = lesser.not_ready().await?;
        ensure!(reason.contains("CREATE USER"), "{reason}");
        ensure!(accounts(&mut direct, 2).await? == "0");
    }
    Ok(())
}

/// How many accounts an incarnation has.
async fn accounts(direct: &mut Conn, number: u64) -> Result<String> {
    let name = account_name(Incarnation(number));
    sql::value(direct, &format!("SELECT COUNT(*) FROM mysql.user WHERE user = '{name}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_lacks_is_named() -> Result<()> {
    for server in servers().await? {
        let mut direct = server.connect().await?;
        let proxy = Proxy::new(&server, true);
        proxy.setup.begin(Incarnation(1))?;
        for (name, wrong, right) in [
            ("binlog_row_image", "MINIMAL", "FULL"),
            ("binlog_format", "STATEMENT", "ROW"),
            ("init_connect", "SET binlog_row_image = MINIMAL", ""),
        ] {
            direct.query_drop(format!("SET GLOBAL {name} = '{wrong}'")).await?;
            // A judgement is kept for a while, a new incarnation looks anew.
            proxy.setup.begin(Incarnation(1))?;
            let reason = proxy.not_ready().await?;
            ensure!(reason.contains(name), "{reason}");
            direct.query_drop(format!("SET GLOBAL {name} = '{right}'")).await?;
        }
        wait::until("the shard is ready", SOON, || async {
            let readiness = proxy.setup.readiness(SHARD, false).await;
            ensure!(readiness == Readiness::Ready, "{readiness:?}");
            Ok(())
        })
        .await?;
        proxy.setup.begin(Incarnation(1))?;
        let with_replicas = proxy.setup.readiness(SHARD, true).await;
        ensure!(format!("{with_replicas:?}").contains("semi"), "{with_replicas:?}");

        direct.query_drop("INSERT INTO _shardline.schema_version VALUES (99)").await?;
        proxy.setup.begin(Incarnation(1))?;
        let reason = proxy.not_ready().await?;
        ensure!(reason.contains("version 99") && reason.contains("upgrade"), "{reason}");
        ensure!(user(&mut proxy.session().await?).await? == "shardline-1");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_binlog_serves_and_is_not_ready() -> Result<()> {
    let options = vec!["--skip-log-bin".to_owned()];
    let tuning = ServerTuning { buffer_pool_mib: 32, options, ..ServerTuning::default() };
    let server = Server::start_with(tuning, 1).await?;
    let proxy = Proxy::new(&server, true);
    proxy.setup.begin(Incarnation(1))?;
    ensure!(user(&mut proxy.session().await?).await? == "shardline-1");
    let reason = proxy.not_ready().await?;
    ensure!(reason.contains("log_bin"), "{reason}");
    Ok(())
}
