//! The cluster, its tables, and what the units are that move.

use crate::jobs::Jobs;
use anyhow::{Context, Result, bail, ensure};
use mysql_async::prelude::Queryable;
use shardline_base::Shutdown;
use shardline_meta_client::{ClientConfig, MetaClient};
use shardline_model::{
    catalog::ColocationGroup,
    id::ShardId,
    key::{Key, KeyPart},
    moves::NewMove,
    placement::{Placement, Units},
};
use shardline_tests::{Cluster, ClusterConfig, rows, sql};
use std::{collections::BTreeMap, sync::Arc};

/// Values of the shard key.
pub(crate) const KEYS: u32 = 90;
/// Rows of each.
pub(crate) const IDS: u32 = 8;
/// What each row's balance is at first.
pub(crate) const BALANCE: i64 = 1_000;

/// How the tables are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hash,
    Range,
    List,
}

impl Kind {
    fn clause(self) -> String {
        match self {
            Kind::Hash => "SHARD BY HASH (k)".to_owned(),
            Kind::Range => "SHARD BY RANGE (k) (VALUES LESS THAN (30) ON s1, \
                 VALUES LESS THAN (60) ON s2, VALUES LESS THAN (MAXVALUE) ON s3)"
                .to_owned(),
            Kind::List => {
                let values = |rest: u32| {
                    let values = (0..KEYS).filter(|k| k % 3 == rest).map(|k| k.to_string());
                    values.collect::<Vec<_>>().join(", ")
                };
                format!(
                    "SHARD BY LIST (k) (VALUES IN ({}) ON s1, VALUES IN ({}) ON s2, \
                     VALUES IN ({}) ON s3)",
                    values(0),
                    values(1),
                    values(2)
                )
            }
        }
    }

    /// A part of the first and a part of the second shard's units go to the third.
    pub(crate) fn part(self) -> [(u32, u32, Units); 2] {
        let interval =
            |start, end| Units::Interval { start: Some(key(start)), end: Some(key(end)) };
        let values = |from: u32, to: u32, rest| {
            Units::Values((from..to).filter(|k| k % 3 == rest).map(key).collect())
        };
        match self {
            Kind::Hash => [
                (1, 3, Units::Slots(std::iter::once(0..3_000).collect())),
                (2, 3, Units::Slots(vec![6_000..7_000, 8_000..9_500])),
            ],
            Kind::Range => [(1, 3, interval(10, 20)), (2, 3, interval(40, 50))],
            Kind::List => [(1, 3, values(0, 45, 0)), (2, 3, values(30, 60, 1))],
        }
    }
}

fn key(k: u32) -> Key {
    Key::from_iter([KeyPart::Integer(i128::from(k))])
}

/// A running cluster with its tables.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) jobs: Jobs,
}

impl World {
    pub(crate) async fn start(kind: Kind, config: ClusterConfig) -> Result<Self> {
        let cluster = Cluster::start(config).await?;
        let endpoints = cluster.meta_addresses();
        let client = ClientConfig::new(endpoints.split(','));
        let meta = MetaClient::connect(client, &Shutdown::new()).await?;
        let world = Self { cluster, jobs: Jobs { meta, retry: false } };
        let mut client = world.cluster.connect(0).await?;
        let account = format!(
            "CREATE TABLE account (k INT NOT NULL, id INT NOT NULL, owner INT NOT NULL, \
             balance BIGINT NOT NULL, v BIGINT NOT NULL, PRIMARY KEY (k, id), KEY (owner)) {}",
            kind.clause()
        );
        let entry = "CREATE TABLE entry (k INT NOT NULL, n INT NOT NULL, note VARCHAR(60) NOT NULL, \
             PRIMARY KEY (k, n)) SHARD BY COLOCATE (account)";
        let entry = match kind {
            Kind::Hash => entry.replace("BY COLOCATE", "BY HASH (k) COLOCATE"),
            Kind::Range => entry.replace("BY COLOCATE", "BY RANGE (k) COLOCATE"),
            Kind::List => entry.replace("BY COLOCATE", "BY LIST (k) COLOCATE"),
        };
        sql::run(&mut client, &["CREATE DATABASE d", "USE d", &account, &entry]).await?;
        for k in 0..KEYS {
            let owner = crate::client::owner(k);
            let rows: Vec<String> =
                (0..IDS).map(|id| format!("({k}, {id}, {owner}, {BALANCE}, 0)")).collect();
            client.query_drop(format!("INSERT INTO account VALUES {}", rows.join(", "))).await?;
        }
        Ok(world)
    }

    pub(crate) fn group(&self) -> Result<Arc<ColocationGroup>> {
        let catalog = self.jobs.meta.catalog();
        let table = catalog.table("d", "account").context("the table")?;
        table.group(&catalog).cloned().context("its group")
    }

    /// The moves of a part, back where it was.
    pub(crate) fn moves_back(&self, part: &[(u32, u32, Units)]) -> Result<Vec<NewMove>> {
        let back: Vec<_> =
            part.iter().map(|(from, to, units)| (*to, *from, units.clone())).collect();
        self.moves(&back)
    }

    /// The moves of a part.
    pub(crate) fn moves(&self, part: &[(u32, u32, Units)]) -> Result<Vec<NewMove>> {
        let group = self.group()?.id;
        let new = |(from, to, units): &(u32, u32, Units)| NewMove {
            group,
            units: units.clone(),
            from: ShardId(*from),
            to: ShardId(*to),
        };
        Ok(part.iter().map(new).collect())
    }

    /// Everything that a shard owns, half of it to each of the others.
    pub(crate) fn emptied(&self, shard: u32, others: [u32; 2]) -> Result<Vec<NewMove>> {
        let mut parts = Vec::new();
        match &self.group()?.placement {
            Placement::Hash(map) => {
                let mut start = 0;
                for (at, run) in map.runs().iter().enumerate() {
                    if run.shard.0 == shard {
                        let slots = std::iter::once(start..run.end).collect();
                        parts.push((shard, others[at % 2], Units::Slots(slots)));
                    }
                    start = run.end;
                }
            }
            Placement::Range(units) => {
                let mut start = None;
                for (at, unit) in units.iter().enumerate() {
                    let end = unit.less_than.clone();
                    if unit.shard.0 == shard {
                        let units = Units::Interval { start: start.clone(), end: end.clone() };
                        parts.push((shard, others[at % 2], units));
                    }
                    start = end;
                }
            }
            Placement::List(map) => {
                let own = map.values.iter().filter(|(_, owner)| owner.0 == shard);
                let own: Vec<Key> = own.map(|(key, _)| key.clone()).collect();
                let half = own.len() / 2;
                for (at, values) in [&own[..half], &own[half..]].into_iter().enumerate() {
                    if !values.is_empty() {
                        parts.push((shard, others[at], Units::Values(values.to_vec())));
                    }
                }
            }
        }
        ensure!(!parts.is_empty(), "s{shard} owns nothing");
        self.moves(&parts)
    }

    /// Each row is on its owner and nowhere else, and what the proxies count is what is there.
    pub(crate) async fn check(&self) -> Result<BTreeMap<String, u64>> {
        let catalog = self.jobs.meta.catalog();
        let mut shards = BTreeMap::new();
        for (number, shard) in catalog.shards.values().enumerate() {
            shards.insert(shard.name.clone(), self.cluster.shards[number].connect().await?);
        }
        let accounts = rows::check(&catalog, &mut shards, "d", "account").await?;
        if accounts.total() != u64::from(KEYS * IDS) {
            bail!("{} accounts are there", accounts.total());
        }
        let entries = rows::check(&catalog, &mut shards, "d", "entry").await?;
        let mut client = self.cluster.connect(0).await?;
        let counted: u64 =
            sql::value(&mut client, "SELECT COUNT(*) FROM d.entry").await?.parse()?;
        ensure!(counted == entries.total(), "{counted} entries, not {}", entries.total());
        Ok(accounts.rows)
    }
}
