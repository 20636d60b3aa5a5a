//! One server that plays two shards (the anchor 1 and the branch 2), with the `_shardline` tables.

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_binlog::Family;
use shardline_console::local::settings::ServerTuning;
use shardline_model::{
    catalog::{Catalog, ServerAddress, Shard},
    id::{GroupId, ShardId},
};
use shardline_proxy::{
    backend::{PoolConfig, PoolSet},
    config::BackendAccount,
    testing::Compensation,
    txn::{
        lock_key::{LockSet, LockSpace, Touched},
        outcome::Settlement,
        sql::{self, Names},
        xid::{Incarnation, Xid},
    },
};
use shardline_tests::{
    Server,
    server::{account, mysql_programs},
    sql as run,
};
use std::sync::Arc;

pub(crate) const ANCHOR: ShardId = ShardId(1);
pub(crate) const BRANCH: ShardId = ShardId(2);
const BRANCHES: [ShardId; 1] = [BRANCH];
pub(crate) const INCARNATION: Incarnation = Incarnation(5);

/// The server and one proxy's compensation over it.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) family: Family,
    pub(crate) catalog: Catalog,
    pub(crate) proxy: Compensation,
    pub(crate) writer: Conn,
}

pub(crate) fn xid(counter: u64) -> Xid {
    Xid { incarnation: INCARNATION, counter }
}

pub(crate) fn names(counter: u64) -> Names<'static> {
    Names { xid: xid(counter), anchor: ANCHOR, branches: &BRANCHES }
}

pub(crate) fn locks(counter: u64) -> LockSet {
    let mut locks = LockSet::default();
    let key = Touched::Keys(vec![counter.to_string().into_bytes()]);
    locks.add(LockSpace::Group(GroupId(1)), &key).expect("one lock");
    locks
}

fn catalog(server: &Server) -> Catalog {
    let primary = ServerAddress {
        host: "127.0.0.1".into(),
        port: server.port(),
        socket: Some(server.socket().display().to_string()),
    };
    let shard = |id: ShardId| {
        let name = format!("s{}", id.0);
        (id, Arc::new(Shard { id, name, primary: primary.clone(), replicas: vec![] }))
    };
    Catalog { shards: [shard(ANCHOR), shard(BRANCH)].into(), ..Catalog::default() }
}

/// Another proxy's compensation over the same server.
pub(crate) fn proxy(catalog: &Catalog) -> Compensation {
    let account = account();
    let account = BackendAccount { user: account.user, password: account.password };
    let pools = PoolSet::new(PoolConfig::new(account));
    pools.apply_catalog(catalog);
    Compensation::new(&pools)
}

impl Bench {
    /// On MariaDB.
    pub(crate) async fn mariadb() -> Result<Self> {
        let tuning = ServerTuning { buffer_pool_mib: 64, ..ServerTuning::default() };
        Self::of(Server::start_with(tuning, 1).await?, Family::Mariadb).await
    }

    /// On MySQL, where there is one.
    pub(crate) async fn mysql() -> Result<Option<Self>> {
        let Some(programs) = mysql_programs()? else { return Ok(None) };
        let options = vec!["--performance-schema=ON".to_owned()];
        let tuning = ServerTuning { buffer_pool_mib: 64, options, ..ServerTuning::default() };
        let server = Server::start_of(programs, tuning, 1, Vec::new()).await?;
        Self::of(server, Family::Mysql).await.map(Some)
    }

    async fn of(server: Server, family: Family) -> Result<Self> {
        let mut writer = server.connect().await?;
        for statement in sql::SETUP.iter().flat_map(|version| version.iter()) {
            writer.query_drop(*statement).await?;
        }
        writer.query_drop(sql::register(INCARNATION)).await?;
        writer.query_drop("CREATE DATABASE IF NOT EXISTS d").await?;
        let catalog = catalog(&server);
        let proxy = proxy(&catalog);
        Ok(Self { server, family, catalog, proxy, writer })
    }

    /// Commits the writer's open transaction as a branch.
    pub(crate) async fn prepare(&mut self, counter: u64) -> Result<()> {
        let packet = sql::prepare(names(counter), 7, None, &locks(counter), &[]);
        self.writer.query_drop(packet.sql()).await.context("preparing")
    }

    /// Runs statements as a branch.
    pub(crate) async fn branch(&mut self, counter: u64, statements: &[&str]) -> Result<()> {
        self.writer.query_drop("BEGIN").await?;
        run::run(&mut self.writer, statements).await?;
        self.prepare(counter).await
    }

    /// Decides that a transaction is aborted.
    pub(crate) async fn abort(&mut self, counter: u64) -> Result<()> {
        Ok(self.writer.query_drop(sql::abort(names(counter)).sql()).await?)
    }

    /// Settles a branch and sees that nothing of it is left.
    pub(crate) async fn settle_whole(&mut self, counter: u64) -> Result<()> {
        let settled = self.proxy.settle(names(counter), BRANCH).await;
        ensure!(settled == Settlement::Done, "{settled:?}: {:#?}", self.proxy.stuck());
        self.nothing_left().await
    }

    pub(crate) async fn nothing_left(&mut self) -> Result<()> {
        let left = run::value(&mut self.writer, &sql::count_left()).await?;
        ensure!(left == "0", "{left} branches and locks are left");
        Ok(())
    }

    /// All rows of a small table.
    pub(crate) async fn rows(&mut self, table: &str) -> Result<Vec<Vec<String>>> {
        run::rows(&mut self.writer, &format!("SELECT * FROM {table} ORDER BY 1")).await
    }
}
