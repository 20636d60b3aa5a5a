//! The file's shape, as serde reads it, and the checks that serde cannot make.

use super::{Fault, clause, environment::expand};
use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

/// The version of the format.
pub const API_VERSION: &str = "shardline/v1";
/// Most shards of a cluster.
const SHARDS_MAX: u32 = 1_024;

/// A whole cluster file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterFile {
    /// Must be [`API_VERSION`].
    pub api_version: Spanned<String>,
    /// The cluster's name.
    #[serde(default = "default_name")]
    pub cluster: String,
    /// The shards.
    pub shards: Option<Spanned<ShardsSpec>>,
    /// How `shardline up` runs its own servers.
    #[serde(default)]
    pub local: LocalSpec,
    /// Databases by name or pattern.
    #[serde(default)]
    pub databases: BTreeMap<String, Spanned<DatabaseSpec>>,
    /// Accounts of the proxies' clients, by name.
    #[serde(default)]
    pub users: BTreeMap<String, Spanned<UserSpec>>,
    /// Limits of every proxy.
    #[serde(default)]
    pub limits: Limits,
    /// How every proxy works.
    #[serde(default)]
    pub settings: SettingsSpec,
}

fn default_name() -> String {
    "shardline".to_owned()
}

/// The shards: how many local ones to run, or where the servers of others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardsSpec {
    /// This many local shards, named `s1`, `s2` ..., on servers of `shardline up`.
    Local(u32),
    /// Shards on servers that someone else runs, by name.
    Servers(BTreeMap<String, ShardSpec>),
}

/// Where one shard's servers are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSpec {
    /// `host:port` of the server that takes writes.
    pub primary: String,
    /// `host:port` of servers that replicate it.
    #[serde(default)]
    pub replicas: Vec<String>,
    /// Unix socket of the primary, when it runs on the proxies' machine.
    pub socket: Option<String>,
}

impl<'de> Deserialize<'de> for ShardsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shards;
        impl<'de> de::Visitor<'de> for Shards {
            type Value = ShardsSpec;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number of local shards, or shards by name with their servers")
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<ShardsSpec, E> {
                u32::try_from(count)
                    .ok()
                    .filter(|count| (1..=SHARDS_MAX).contains(count))
                    .map(ShardsSpec::Local)
                    .ok_or_else(|| E::custom(format!("shards must be 1 to {SHARDS_MAX}")))
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<ShardsSpec, E> {
                self.visit_u64(u64::try_from(count).unwrap_or(0))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ShardsSpec, A::Error> {
                BTreeMap::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(ShardsSpec::Servers)
            }
        }
        deserializer.deserialize_any(Shards)
    }
}

/// How `shardline up` runs its own servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSpec {
    /// InnoDB's cache of each server, in MiB.
    pub buffer_pool_mib: Option<u32>,
    /// Connections that each server takes.
    pub connections_max: Option<u32>,
    /// More server options, such as `--tmp-table-size=64M`.
    #[serde(default)]
    pub options: Vec<String>,
}

/// A database and its tables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSpec {
    /// Tables by name or by a pattern with `*`.
    #[serde(default)]
    pub tables: BTreeMap<String, Spanned<TableSpec>>,
}

/// How the tables of a name or pattern are placed: exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// `hash(column, ...)`, `range(column, ...)` or `list(column, ...)`.
    pub shard_by: Option<String>,
    /// The table whose placement this one follows; for `shard_by`.
    pub colocate: Option<String>,
    /// Intervals of a range table, ascending.
    #[serde(default)]
    pub ranges: Vec<RangeSpec>,
    /// Value sets of a list table.
    #[serde(default)]
    pub lists: Vec<ListSpec>,
    /// The shard of every value that no list names.
    pub default: Option<String>,
    /// A whole copy on every shard.
    #[serde(default)]
    pub broadcast: bool,
    /// Whole, on the shard of this name.
    pub single: Option<String>,
}

/// One interval of a range table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeSpec {
    /// Exclusive upper bound, one value for each key column; absent is MAXVALUE.
    pub less_than: Option<Values>,
    /// The shard's name.
    pub on: String,
}

/// One value set of a list table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListSpec {
    /// The values.
    #[serde(rename = "in")]
    pub values: Vec<Values>,
    /// The shard's name.
    pub on: String,
}

/// One value, or one for each key column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// An integer.
    Integer(i128),
    /// A text, a date, a decimal.
    Text(String),
    /// Several key columns.
    Many(Vec<Values>),
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Values;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer, a text (decimals and dates in quotes), or a list of them")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Values, E> {
                Ok(Values::Integer(number.into()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Values, E> {
                Ok(Values::Integer(number.into()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Values, E> {
                Ok(Values::Text(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Values, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Values::Many)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// An account of the proxies' clients: a password here, in a file, or none.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// The password, best as `${NAME}`. Empty means that none is asked for.
    pub password: Option<String>,
    /// A file that holds the password.
    pub password_file: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for UserSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserSpec").finish_non_exhaustive()
    }
}

/// Limits of every proxy. What is absent has the proxy's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Client sessions of a proxy.
    pub sessions_max: Option<usize>,
    /// Connections of a proxy to each shard.
    pub shard_connections_max: Option<usize>,
    /// Statements that may wait for a connection to a shard.
    pub shard_waiters_max: Option<usize>,
    /// Statements of a proxy that wait for rows that change their shard.
    pub held_statements_max: Option<usize>,
    /// How long a statement waits for a connection, in milliseconds.
    pub checkout_timeout_ms: Option<u64>,
    /// Largest packet taken from a client, in bytes.
    pub packet_bytes_max: Option<usize>,
    /// Rows that one statement may bring to one server.
    pub compute_rows_max: Option<usize>,
    /// Bytes of them.
    pub compute_bytes_max: Option<usize>,
    /// How long bringing them may take, in milliseconds.
    pub compute_timeout_ms: Option<u64>,
}

/// How every proxy works. What is absent has the proxy's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsSpec {
    /// `shardline_read_consistency` of new sessions.
    pub read_consistency: Option<ReadLevel>,
    /// Whether binlogs are read to prove that transactions over several shards are whole.
    pub auditor: Option<bool>,
}

/// A level of reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadLevel {
    /// Each shard's own isolation.
    Local,
    /// Nothing that is not decided.
    Committed,
    /// Nothing in part.
    Atomic,
    /// All of one moment.
    Strict,
}

impl ClusterFile {
    /// Puts environment variables and password files in their places.
    pub(super) fn resolve(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Fault> {
        for (name, user) in &mut self.users {
            let place = Fault::at(user, String::new()).place;
            let fault = |message| Fault { place, message };
            let spec = &mut user.value;
            let password = match (spec.password.take(), &spec.password_file) {
                (Some(_), Some(_)) => {
                    return Err(fault(format!(
                        "user {name} has both password and password_file; keep one"
                    )));
                }
                (Some(text), None) => expand(&text, &variable).map_err(fault)?,
                (None, Some(path)) => std::fs::read_to_string(path)
                    .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                    .map_err(|error| {
                        fault(format!("cannot read password_file {}: {error}", path.display()))
                    })?,
                (None, None) => String::new(),
            };
            spec.password = Some(password);
        }
        if let Some(shards) = &mut self.shards {
            let place = Fault::at(shards, String::new()).place;
            let fault = |message| Fault { place, message };
            if let ShardsSpec::Servers(servers) = &mut shards.value {
                for shard in servers.values_mut() {
                    let addresses = shard.replicas.iter_mut().chain([&mut shard.primary]);
                    for address in addresses.chain(shard.socket.as_mut()) {
                        *address = expand(address, &variable).map_err(fault)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks what the shape alone does not say.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.api_version.value != API_VERSION {
            let message = format!("apiVersion must be {API_VERSION}");
            return Err(Fault::at(&self.api_version, message));
        }
        if let Some(shards) = &self.shards
            && let ShardsSpec::Servers(servers) = &shards.value
        {
            if servers.is_empty() {
                return Err(Fault::at(shards, "a cluster needs at least one shard"));
            }
            for (name, shard) in servers {
                for address in shard.replicas.iter().chain([&shard.primary]) {
                    super::seed::server_address(address, None)
                        .map_err(|message| Fault::at(shards, format!("shard {name}: {message}")))?;
                }
            }
        }
        for database in self.databases.values() {
            for (name, table) in &database.value.tables {
                clause::render(&table.value)
                    .map_err(|message| Fault::at(table, format!("table {name}: {message}")))?;
            }
        }
        Ok(())
    }

    /// How many local shards the file asks for; None when it leaves that open.
    pub fn local_shards(&self) -> Result<Option<u32>, Fault> {
        match &self.shards {
            None => Ok(None),
            Some(shards) => match &shards.value {
                ShardsSpec::Local(count) => Ok(Some(*count)),
                ShardsSpec::Servers(_) => Err(Fault::at(
                    shards,
                    "shards has servers of its own; `shardline up` starts local ones: write \
                     `shards: 3`, or use the file with `shardline meta --bootstrap`",
                )),
            },
        }
    }
}
