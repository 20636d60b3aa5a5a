//! The front door: a statement's text to its template. Known digests come from the plan
//! cache; the others go to the recognisers and the planner. Session statements and
//! schema changes with literals are recognised each time, since their plans hold values.

use crate::{
    cache::{CacheContext, PLAN_BYTES_MAX, PLANS_MAX, PlanCache},
    ddl,
    digest::Digest,
    lexer::{LexError, Lexer, LiteralSpan, Span, SqlMode, TokenKind, Tokens},
    plan::{Plan, Refusal, ShardSql, Single},
    planner, reserved,
    session::{self, Prefix, Recognised},
    template::{BindInput, SessionValues, StatementDigest, Template, Waits},
    touch::Touches,
    view::SessionView,
};
use shardline_model::catalog::Catalog;
use std::{ops::Range, sync::Arc};

/// Limits of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterConfig {
    /// Most plans in the cache.
    pub plans_max: usize,
    /// Most bytes in the cache, about.
    pub plan_bytes_max: usize,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self { plans_max: PLANS_MAX, plan_bytes_max: PLAN_BYTES_MAX }
    }
}

/// Buffers that a session keeps from statement to statement.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    digest: Digest,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest of the statement that was prepared last.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The literals of the statement that was prepared last.
    pub fn literals(&self) -> &[LiteralSpan] {
        &self.digest.literals
    }
}

/// Plans statements, and remembers plans.
#[derive(Debug)]
pub struct Router {
    cache: PlanCache,
}

impl Router {
    /// A router with an empty cache.
    pub fn new(config: RouterConfig) -> Self {
        Self { cache: PlanCache::new(config.plans_max, config.plan_bytes_max) }
    }

    /// The template of one statement; its literals are left in `scratch`.
    ///
    /// # Errors
    /// What no values could make possible, with what to do instead.
    pub fn prepare(
        &self,
        sql: &[u8],
        view: &SessionView<'_>,
        catalog: &Arc<Catalog>,
        scratch: &mut Scratch,
    ) -> Result<Arc<Template>, Refusal> {
        let digest = &mut scratch.digest;
        digest.scan(sql, view.sql_mode)?;
        let context = CacheContext {
            epoch: catalog.planned,
            database: view.database,
            sql_mode: view.sql_mode,
            allow_explicit_ids: view.allow_explicit_ids,
        };
        if let Some(template) = self.cache.get(sql, digest, &context) {
            return Ok(template);
        }
        let (template, keep) = plan(sql, view, catalog, digest)?;
        let named = StatementDigest::new(&digest.text, view.database);
        let template = Arc::new(template.named(named));
        if keep {
            self.cache.insert(digest, &context, Vec::new(), template.clone());
        }
        Ok(template)
    }

    /// Splits a text with several statements into their byte ranges.
    ///
    /// # Errors
    /// The text cannot be read.
    pub fn split(&self, sql: &[u8], mode: SqlMode) -> Result<Vec<Range<usize>>, LexError> {
        Lexer::split(sql, mode)
    }

    /// How many plans are cached.
    pub fn cached_plans(&self) -> usize {
        self.cache.len()
    }
}

/// Plans a statement that is not in the cache; also whether the plan may be kept.
fn plan(
    sql: &[u8],
    view: &SessionView<'_>,
    catalog: &Catalog,
    digest: &Digest,
) -> Result<(Template, bool), Refusal> {
    let mut tokens = Lexer::tokenize(sql, view.sql_mode)?;
    while tokens.tokens.last().is_some_and(|token| token.kind == TokenKind::Semicolon) {
        tokens.tokens.pop();
    }
    if tokens.is_empty() {
        // A text of comments alone, such as the first line of a dump, does nothing.
        let comment = !tokens.comments.is_empty();
        return if comment {
            Ok((fixed(nothing(), Touches::default(), digest), true))
        } else {
            Err(Refusal::empty())
        };
    }
    if tokens.iter().any(|token| token.kind == TokenKind::Semicolon) {
        return Err(Refusal::syntax(
            "several statements stand in one text",
            "send them one by one, or turn multi-statements on in the driver",
        ));
    }
    reserved::names(&tokens)?;
    let plan = match session::recognise(&tokens, view.database)? {
        Recognised::Statement => return Ok((planner::plan(&tokens, view, catalog)?, true)),
        Recognised::Plan(plan) => plan,
        Recognised::Ddl => {
            if digest.parameters > 0 {
                return Err(Refusal::not_supported(
                    "a parameter (?) stands in a schema change",
                    "write the value into the statement's text",
                ));
            }
            ddl::recognise(&tokens, view.database, catalog)?
        }
        Recognised::Prefixed { prefix, statement } => {
            return prefixed(&tokens, prefix, statement, view, catalog).map(
                |(plan, touches, waits)| (fixed(plan, touches, digest).waiting(waits), false),
            );
        }
    };
    // DDL and its comments are planned each time: a comment may hold the clause.
    let keep = digest.literals.is_empty() && matches!(plan, Plan::Session(_) | Plan::Single(_));
    let keep = keep
        && !matches!(plan, Plan::Session(crate::plan::SessionStatement::ExplainSharding { .. }));
    Ok((fixed(plan, Touches::default(), digest), keep))
}

fn fixed(plan: Plan, touches: Touches, digest: &Digest) -> Template {
    Template::of_plan(plan, touches, digest.parameters)
}

/// SET without assignments: the session says OK.
fn nothing() -> Plan {
    Plan::Session(crate::plan::SessionStatement::Set { assignments: Vec::new() })
}

/// EXPLAIN goes to the shard of its statement where there is one, else to any; `ANALYZE`
/// and `SET STATEMENT` execute it, and so need one shard that is known now.
fn prefixed(
    tokens: &Tokens<'_>,
    prefix: Prefix,
    statement: usize,
    view: &SessionView<'_>,
    catalog: &Catalog,
) -> Result<(Plan, Touches, Waits), Refusal> {
    match (single_shard(tokens, statement, view, catalog), prefix) {
        (Ok(Some((mut single, mut touches, mut waits))), _) => {
            if prefix == Prefix::Explain {
                single.traits.writes = false;
                single.traits.locks = false;
                single.traits.assigns_variables = false;
                single.insert_id = crate::plan::InsertId::None;
                touches = Touches::default();
                waits = Waits::new();
            }
            single.traits.returns_rows |=
                tokens.is_keyword(0, "ANALYZE") || prefix == Prefix::Explain;
            Ok((Plan::Single(single), touches, waits))
        }
        (_, Prefix::Explain) => Ok((session::any_shard(true), Touches::default(), Waits::new())),
        (Err(refusal), Prefix::Executed) => Err(refusal),
        (Ok(None), Prefix::Executed) => Err(Refusal::not_supported(
            "ANALYZE and SET STATEMENT need a statement that one shard runs as it is written",
            "use EXPLAIN SHARDING, or SET SESSION before the statement",
        )),
    }
}

/// The plan of the statement behind a prefix, when one shard runs its text unchanged.
fn single_shard(
    tokens: &Tokens<'_>,
    statement: usize,
    view: &SessionView<'_>,
    catalog: &Catalog,
) -> Result<Option<(Single, Touches, Waits)>, Refusal> {
    let (Some(first), Some(last)) = (tokens.get(statement), tokens.last()) else { return Ok(None) };
    let sql = Span { start: first.span.start, end: last.span.end }.of(tokens.sql);
    let mut digest = Digest::new();
    digest.scan(sql, view.sql_mode)?;
    if digest.parameters > 0 {
        return Ok(None);
    }
    let inner = Lexer::tokenize(sql, view.sql_mode)?;
    let template = planner::plan(&inner, view, catalog)?;
    let input = BindInput {
        sql,
        literals: &digest.literals,
        params: None,
        session: &SessionValues::default(),
        catalog,
        ids: None,
    };
    match template.bind(&input) {
        Ok(Plan::Single(single)) if single.sql == ShardSql::Unchanged => {
            let (touches, plan) = (template.touches(&input), Plan::Single(single));
            let waits = template.waits(&input, &plan);
            let Plan::Single(single) = plan else { return Ok(None) };
            Ok(Some((single, touches, waits)))
        }
        Ok(_) | Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::SessionStatement;

    fn view() -> SessionView<'static> {
        SessionView { database: Some("bank"), ..SessionView::default() }
    }

    fn plan_of(router: &Router, sql: &str) -> Result<Plan, Refusal> {
        let mut scratch = Scratch::new();
        let catalog = Arc::new(Catalog::default());
        let template = router.prepare(sql.as_bytes(), &view(), &catalog, &mut scratch)?;
        let input = BindInput {
            sql: sql.as_bytes(),
            literals: scratch.literals(),
            params: None,
            session: &SessionValues::default(),
            catalog: &catalog,
            ids: None,
        };
        Ok(template.bind(&input).unwrap())
    }

    #[test]
    fn a_known_digest_is_not_planned_again() {
        let router = Router::new(RouterConfig::default());
        for sql in ["BEGIN", "begin", "BEGIN", " BEGIN -- x"] {
            let plan = plan_of(&router, sql).unwrap();
            assert!(matches!(plan, Plan::Session(SessionStatement::Begin { .. })), "{plan}");
        }
        assert_eq!(router.cached_plans(), 2);
    }

    #[test]
    fn values_of_session_statements_are_not_cached() {
        let router = Router::new(RouterConfig::default());
        let first = plan_of(&router, "SET autocommit = 0").unwrap();
        let second = plan_of(&router, "SET autocommit = 1").unwrap();
        assert_ne!(first, second);
        assert_eq!(router.cached_plans(), 0);
    }

    #[test]
    fn a_clause_in_a_comment_is_not_lost_in_the_cache() {
        let router = Router::new(RouterConfig::default());
        let plain = plan_of(&router, "CREATE TABLE t (id INT NOT NULL)").unwrap();
        let clause = "CREATE TABLE t (id INT NOT NULL) /*!999999 BROADCAST */";
        assert_ne!(plain, plan_of(&router, clause).unwrap());
    }

    #[test]
    fn comments_alone_do_nothing_and_an_empty_text_is_refused() {
        let router = Router::new(RouterConfig::default());
        let sandbox = "/*M!999999\\- enable the sandbox mode */";
        assert_eq!(plan_of(&router, sandbox).unwrap(), nothing());
        assert_eq!(plan_of(&router, " ; ").unwrap_err(), Refusal::empty());
        assert_eq!(plan_of(&router, "SELECT 1; SELECT 2").unwrap_err().code, 1064);
    }

    #[test]
    fn prefixed_statements_find_a_shard() {
        let router = Router::new(RouterConfig::default());
        for sql in ["EXPLAIN SELECT 1", "ANALYZE SELECT 1", "SET STATEMENT x=1 FOR SELECT 1"] {
            let plan = plan_of(&router, sql).unwrap();
            assert!(
                matches!(plan, Plan::Single(ref single) if single.traits.returns_rows),
                "{plan}"
            );
        }
        let explained = plan_of(&router, "EXPLAIN SHARDING SELECT 1").unwrap();
        let statement = SessionStatement::ExplainSharding { statement: 17..25 };
        assert_eq!(explained, Plan::Session(statement));
    }
    #[test]
    fn the_own_schema_is_refused_in_every_kind_of_statement() {
        let router = Router::new(RouterConfig::default());
        for sql in [
            "SELECT * FROM _shardline.gtx",
            "INSERT INTO `_ShardLine`.gtx VALUES (1)",
            "SHOW TABLES FROM _shardline",
            "DESCRIBE _shardline.gtx",
            "SHOW CREATE TABLE _shardline.gtx",
            "CREATE TABLE t (x INT, FOREIGN KEY (x) REFERENCES _shardline.gtx (xid))",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE _shardline.gtx",
            "CREATE TABLE t LIKE _shardline.gtx",
            "EXPLAIN SELECT * FROM _shardline.gtx",
            "USE _shardline",
        ] {
            let refusal = plan_of(&router, sql).unwrap_err();
            assert!(refusal.reason.contains("Shardline's own"), "{sql}: {refusal:?}");
        }
        assert!(plan_of(&router, "SELECT '_shardline'").is_ok());
    }
}
