//! Two servers of one family, and moves between them.

use anyhow::{Context, Result};
use mysql_async::Conn;
use shardline_binlog::Family;
use shardline_console::local::settings::ServerTuning;
use shardline_model::{key::KeyType, placement::Units};
use shardline_rebalancer::{Endpoint, MoveSpec, Mover, Settings, TableSpec};
use shardline_tests::{
    Server,
    server::{account, mysql_programs, programs},
    sql,
};
use shardline_wire::client::{Address, ConnectOptions};
use std::time::Duration;

/// How long any step may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The servers.
pub(crate) struct Bench {
    pub(crate) source: Server,
    pub(crate) target: Server,
    pub(crate) family: Family,
}

/// What moves.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) tables: Vec<(&'static str, &'static str)>,
    pub(crate) key_type: KeyType,
    pub(crate) units: Units,
}

pub(crate) const BIGINT: KeyType =
    KeyType::Integer { min: i64::MIN as i128, max: i64::MAX as i128 };

impl Bench {
    /// Of this family; None where it is not installed.
    pub(crate) async fn of(family: Family, options: &[&str]) -> Result<Option<Self>> {
        let programs = match family {
            Family::Mariadb => programs()?,
            Family::Mysql => match mysql_programs()? {
                Some(programs) => programs,
                None => return Ok(None),
            },
        };
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let tuning = ServerTuning { buffer_pool_mib: 128, options, ..ServerTuning::default() };
        let source = Server::start_of(programs.clone(), tuning.clone(), 1, Vec::new());
        let target = Server::start_of(programs, tuning, 2, Vec::new());
        let (source, target) = tokio::try_join!(source, target)?;
        let bench = Self { source, target, family };
        bench.both(&["CREATE DATABASE IF NOT EXISTS d"]).await?;
        Ok(Some(bench))
    }

    pub(crate) async fn mariadb() -> Result<Self> {
        Self::of(Family::Mariadb, &[]).await?.context("MariaDB is installed")
    }

    /// Runs statements on both.
    pub(crate) async fn both(&self, statements: &[&str]) -> Result<()> {
        for server in [&self.source, &self.target] {
            sql::run(&mut server.connect().await?, statements).await?;
        }
        Ok(())
    }

    pub(crate) async fn connect(&self) -> Result<(Conn, Conn)> {
        Ok((self.source.connect().await?, self.target.connect().await?))
    }

    /// A move.
    pub(crate) fn spec(&self, case: &Case, id: &str, owner: &str) -> MoveSpec {
        let tables = case.tables.iter().map(|(table, key)| TableSpec {
            database: "d".into(),
            table: (*table).into(),
            key_columns: vec![(*key).into()],
        });
        MoveSpec {
            id: id.into(),
            owner: owner.into(),
            tables: tables.collect(),
            key_types: vec![case.key_type.clone()],
            units: case.units.clone().into(),
            source: endpoint(&self.source),
            target: endpoint(&self.target),
        }
    }

    /// Its driver.
    pub(crate) fn mover(&self, case: &Case, id: &str, owner: &str) -> Result<Mover> {
        Ok(Mover::new(self.spec(case, id, owner), Settings::default())?)
    }
}

/// How a move reaches a server.
pub(crate) fn endpoint(server: &Server) -> Endpoint {
    let account = account();
    let address = Address::Unix(server.socket().clone());
    let mut options = ConnectOptions::new(address, account.user);
    options.password = account.password;
    Endpoint { options }
}
