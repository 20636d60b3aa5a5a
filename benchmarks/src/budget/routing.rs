//! The statements that a sysbench client sends, and a session that routes them: what the
//! micro benchmarks, the instruction budgets and the allocation test have in common.

use crate::sysbench_catalog;
use anyhow::{Context, bail};
use shardline_model::{catalog::Catalog, key::Literal};
use shardline_router::{
    lexer::SqlMode,
    plan::Plan,
    router::{Router, RouterConfig, Scratch},
    template::{BindInput, SessionValues, Template},
    view::SessionView,
};
use std::sync::Arc;

/// The point select of `oltp_point_select`.
pub const POINT: &str = "SELECT c FROM sbtest1 WHERE id=50123";
/// The same as a prepared statement.
pub const POINT_PREPARED: &str = "SELECT c FROM sbtest1 WHERE id=?";
/// The four range statements of `oltp_read_only` and `oltp_read_write`.
pub const RANGES: [&str; 4] = [
    "SELECT c FROM sbtest1 WHERE id BETWEEN 50123 AND 50222",
    "SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN 50123 AND 50222",
    "SELECT c FROM sbtest1 WHERE id BETWEEN 50123 AND 50222 ORDER BY c",
    "SELECT DISTINCT c FROM sbtest1 WHERE id BETWEEN 50123 AND 50222 ORDER BY c",
];
/// The index update of `oltp_read_write`.
pub const UPDATE_INDEX: &str = "UPDATE sbtest1 SET k=k+1 WHERE id=50123";
/// Its other update.
pub const UPDATE: &str = "UPDATE sbtest1 SET c='83868641912-28773972837' WHERE id=50123";
/// Its delete.
pub const DELETE: &str = "DELETE FROM sbtest1 WHERE id=50123";
/// Its insert: one row whose key the client names.
pub const INSERT: &str = "INSERT INTO sbtest1 (id, k, c, pad) VALUES (50123, 4711, \
    '83868641912-28773972837-60736120486-75162659906', '67847967377-48000963322')";
/// A join that one shard answers.
pub const JOIN: &str = "SELECT a.id, b.k, COUNT(*) FROM sbtest1 a JOIN sbtest2 b ON a.id = b.id \
    WHERE a.id = 50123 AND b.k > 7 GROUP BY a.id, b.k ORDER BY b.k LIMIT 10";

/// Tables of the catalog.
pub const TABLES: u32 = 100;
/// Plans that the router of a miss keeps.
const PLANS_OF_MISSES: usize = 16;
/// Server versions that misses go through in turn: a plan is good for one of them.
const VERSIONS: u32 = 100_000;

/// One client's routing state over a catalog of three shards.
#[derive(Debug)]
pub struct Session {
    catalog: Arc<Catalog>,
    router: Router,
    scratch: Scratch,
    values: SessionValues,
    /// How many server versions to go through, and the place among them.
    versions: u32,
    version: u32,
}

impl Session {
    /// A session whose plans stay in the cache.
    ///
    /// # Errors
    /// The catalog cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(RouterConfig::default(), 1)
    }

    /// A session that never finds a plan: its cache is small, and it names another version
    /// of the servers each time, on which plans depend.
    ///
    /// # Errors
    /// The catalog cannot be made.
    pub fn forgetful() -> anyhow::Result<Self> {
        let plan_bytes_max = PLANS_OF_MISSES << 12;
        Self::with(RouterConfig { plans_max: PLANS_OF_MISSES, plan_bytes_max }, VERSIONS)
    }

    fn with(config: RouterConfig, versions: u32) -> anyhow::Result<Self> {
        Ok(Self {
            catalog: sysbench_catalog(3, TABLES)?,
            router: Router::new(config),
            scratch: Scratch::new(),
            values: SessionValues::default(),
            versions,
            version: 0,
        })
    }

    /// Digest, and the plan cache or the planner.
    ///
    /// # Errors
    /// The statement is refused.
    pub fn prepare(&mut self, sql: &str) -> anyhow::Result<Arc<Template>> {
        self.version = (self.version + 1) % self.versions;
        let plain = SqlMode::default();
        let sql_mode = SqlMode { server_version: plain.server_version + self.version, ..plain };
        let view = SessionView { database: Some("sbtest"), sql_mode, allow_explicit_ids: false };
        match self.router.prepare(sql.as_bytes(), &view, &self.catalog, &mut self.scratch) {
            Ok(template) => Ok(template),
            Err(refusal) => bail!("{sql}: {}", refusal.reason),
        }
    }

    /// All that is done for one execution before anything is sent: digest, template, plan.
    ///
    /// # Errors
    /// The statement is refused.
    pub fn route(&mut self, sql: &str, params: Option<&[Literal<'_>]>) -> anyhow::Result<Plan> {
        let template = self.prepare(sql)?;
        let input = BindInput {
            sql: sql.as_bytes(),
            literals: self.scratch.literals(),
            params,
            session: &self.values,
            catalog: &self.catalog,
            ids: None,
        };
        template.bind(&input).with_context(|| format!("binding {sql}"))
    }

    /// The same for a prepared point select.
    ///
    /// # Errors
    /// The statement is refused.
    pub fn route_prepared(&mut self, id: i128) -> anyhow::Result<Plan> {
        self.route(POINT_PREPARED, Some(&[Literal::Integer(id)]))
    }
}

/// One statement for every table of the catalog, made from one that names `sbtest1`.
pub fn for_all_tables(sql: &str) -> Vec<String> {
    (1..=TABLES).map(|number| sql.replace("sbtest1", &format!("sbtest{number}"))).collect()
}
