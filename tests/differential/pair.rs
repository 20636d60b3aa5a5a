//! The two sides: one plain server, and a cluster of three shards with a proxy.

use crate::{
    answer::{self, Answer, Statement},
    compare::{Verdict, compare},
};
use anyhow::{Context, Result, bail};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use shardline_tests::{Cluster, ClusterConfig, Server, sql};

/// Everything that a run needs.
pub(crate) struct Bench {
    pub(crate) cluster: Cluster,
    pub(crate) plain: Server,
}

/// The database of the suite, on both sides.
pub(crate) const DATABASE: &str = "shop";

impl Bench {
    pub(crate) async fn start() -> Result<Self> {
        let config = ClusterConfig { shards: 3, meta: 1, proxies: 1, ..ClusterConfig::default() };
        let (cluster, plain) = tokio::join!(Cluster::start(config), Server::start());
        let bench = Self { cluster: cluster?, plain: plain? };
        let mut pair = bench.connect(None).await?;
        pair.both(&[&format!("CREATE DATABASE {DATABASE}")]).await?;
        pair.close().await?;
        Ok(bench)
    }

    /// A session on each side.
    pub(crate) async fn pair(&self) -> Result<Pair> {
        self.connect(Some(DATABASE)).await
    }

    async fn connect(&self, database: Option<&str>) -> Result<Pair> {
        let plain = self.plain.connect().await?;
        let options: OptsBuilder = self.cluster.options(0);
        let sharded = sql::connect(options).await?;
        let mut pair = Pair { plain, sharded, seen: Seen::default() };
        if let Some(database) = database {
            pair.both(&[&format!("USE {database}")]).await?;
        }
        Ok(pair)
    }
}

/// What a pair has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) statements: usize,
    pub(crate) errors: usize,
    pub(crate) rows: usize,
    pub(crate) refusals: Vec<String>,
    pub(crate) differences: Vec<String>,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Seen) {
        self.statements += other.statements;
        self.errors += other.errors;
        self.rows += other.rows;
        self.refusals.extend(other.refusals);
        self.differences.extend(other.differences);
    }
}

/// The same session on both sides.
pub(crate) struct Pair {
    pub(crate) plain: Conn,
    pub(crate) sharded: Conn,
    pub(crate) seen: Seen,
}

impl Pair {
    /// Runs statements that must succeed on both sides.
    pub(crate) async fn both(&mut self, statements: &[&str]) -> Result<()> {
        sql::run(&mut self.plain, statements).await.context("on the plain server")?;
        sql::run(&mut self.sharded, statements).await.context("on the cluster")
    }

    /// Runs one statement on both sides and compares. `label` says where it is from.
    pub(crate) async fn check(&mut self, label: &str, statement: &Statement) -> Result<()> {
        self.check_with(label, statement, false).await?;
        Ok(())
    }

    /// The same; with `shape` the rows' values may differ. Returns the plain answer too.
    pub(crate) async fn check_with(
        &mut self,
        label: &str,
        statement: &Statement,
        shape: bool,
    ) -> Result<(Answer, Verdict)> {
        let (plain, mut sharded) = self.answers(label, statement).await?;
        if shape {
            for (plain, sharded) in plain.sets.iter().zip(&mut sharded.sets) {
                if plain.rows.len() == sharded.rows.len() {
                    sharded.rows.clone_from(&plain.rows);
                }
            }
        }
        let verdict = compare(statement, &plain, &sharded);
        self.seen.statements += 1;
        self.seen.errors += usize::from(plain.error.is_some());
        self.seen.rows += plain.sets.iter().map(|set| set.rows.len()).sum::<usize>();
        let text = String::from_utf8_lossy(&statement.sql);
        let params = match &statement.params {
            Some(params) => {
                let shown: Vec<String> = params.iter().map(|value| value.as_sql(true)).collect();
                format!("\n  with {}", shown.join(" | "))
            }
            None => String::new(),
        };
        match &verdict {
            Verdict::Same => {}
            Verdict::Refused(message) => {
                self.seen.refusals.push(format!("{label}: {text}{params}\n  refused: {message}"));
            }
            Verdict::Different(how) => {
                self.seen.differences.push(format!("{label}: {text}{params}\n  {how}"));
            }
        }
        Ok((plain, verdict))
    }

    async fn answers(&mut self, label: &str, statement: &Statement) -> Result<(Answer, Answer)> {
        let (plain, sharded) = tokio::join!(
            answer::run(&mut self.plain, statement),
            answer::run(&mut self.sharded, statement)
        );
        let text = String::from_utf8_lossy(&statement.sql);
        match (plain, sharded) {
            (Ok(plain), Ok(sharded)) => Ok((plain, sharded)),
            (Err(error), _) => bail!("{label}: {text}: the plain server's connection: {error}"),
            (_, Err(error)) => bail!("{label}: {text}: the proxy's connection: {error}"),
        }
    }

    pub(crate) async fn close(self) -> Result<Seen> {
        self.plain.disconnect().await?;
        self.sharded.disconnect().await?;
        Ok(self.seen)
    }

    /// Runs a statement on both sides and does not compare.
    pub(crate) async fn set(&mut self, statement: &str) -> Result<()> {
        self.plain.query_drop(statement).await.with_context(|| format!("plain: {statement}"))?;
        self.sharded.query_drop(statement).await.with_context(|| format!("cluster: {statement}"))
    }
}
