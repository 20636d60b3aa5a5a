//! One thing that clients connect to.

use super::data::TableName;
use anyhow::{Context, Result};
use mysql_async::{Opts, OptsBuilder};

/// What clients connect to, and the processes behind it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in the results.
    pub name: String,
    /// Where clients connect.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who the clients are.
    pub user: String,
    /// Their password.
    pub password: String,
    /// The database that holds its tables.
    pub database: String,
    /// The process between clients and servers, if there is one here.
    pub proxy: Option<u32>,
    /// The servers behind it.
    pub servers: Vec<u32>,
    /// Which tables are its own; targets of one value share theirs.
    pub tables: Tables,
}

/// How a target's tables are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Plain ones on one server.
    Plain,
    /// Shardline's, with its sharding clause; the number keeps clusters apart.
    Shardline(usize),
    /// Spider's, over tables on the servers behind it.
    Spider,
    /// Plain ones, made through a peer that others have started; by its number.
    Foreign(usize),
}

impl Tables {
    /// What stands behind the columns of a CREATE TABLE for a table spread by `key`.
    pub fn suffix(self, table: &TableName, key: &str) -> String {
        match self {
            Self::Plain | Self::Foreign(_) => String::new(),
            Self::Shardline(_) => format!("SHARD BY HASH ({key})"),
            Self::Spider => super::spider::suffix(table, key),
        }
    }
}

impl Target {
    /// The process between clients and servers.
    ///
    /// # Errors
    /// There is none here.
    pub fn proxy_pid(&self) -> Result<u32> {
        self.proxy.with_context(|| format!("{} has no proxy here", self.name))
    }

    /// Options of a connection to it, without a database.
    pub fn options(&self) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .prefer_socket(false)
            .user(Some(self.user.clone()))
            .pass(Some(self.password.clone()).filter(|password| !password.is_empty()))
            .into()
    }
}
