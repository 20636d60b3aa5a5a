//! SHOW statements about the cluster as one server, and EXPLAIN SHARDING.

use super::{
    Position, Session,
    answer::{Protocol, Table, like},
    failure::{BackendFailure, Failure},
    schema::quoted,
    settings::{Settings, is_hidden_database},
};
use crate::{
    backend::{TextLimits, TextResult},
    error::SqlError,
};
use shardline_model::catalog::Catalog;
use shardline_router::{
    clause,
    plan::{Plan, TableName},
    router::{Router, Scratch},
    template::{BindError, BindInput, SessionValues},
    view::SessionView,
};
use std::sync::Arc;

/// Characters of a statement in SHOW PROCESSLIST without FULL.
const INFO_CHARS_MAX: usize = 100;

impl Session {
    pub(super) fn databases_table(&self, pattern: Option<&str>) -> Table {
        let name = match pattern {
            Some(pattern) => format!("Database ({pattern})"),
            None => "Database".to_owned(),
        };
        let catalog = self.catalog();
        let system = ["information_schema", "mysql", "performance_schema", "sys"];
        let mut names: Vec<&str> = catalog.databases.keys().map(String::as_str).collect();
        names.extend(system.iter().filter(|name| !catalog.databases.contains_key(**name)));
        names.sort_unstable();
        let mut table = Table::of_text(&[&name]);
        for name in names {
            let shown = pattern.is_none_or(|pattern| like(pattern, name));
            if shown && !is_hidden_database(name) {
                table.push([Some(name.to_owned())]);
            }
        }
        table
    }

    pub(super) fn processlist_table(&self, full: bool) -> Table {
        let names = ["Id", "User", "Host", "db", "Command", "Time", "State", "Info", "Progress"];
        let mut table = Table::of_text(&names).with_integer(0).with_integer(5);
        for session in self.shared.registry.list() {
            let info = (!session.statement.is_empty()).then(|| {
                let text = String::from_utf8_lossy(&session.statement);
                let chars_max = if full { usize::MAX } else { INFO_CHARS_MAX };
                text.chars().take(chars_max).collect::<String>()
            });
            table.push([
                Some(session.id.to_string()),
                Some(session.user),
                Some(session.host),
                session.database,
                Some(session.command.to_owned()),
                Some(session.elapsed.as_secs().to_string()),
                Some(session.state.to_owned()),
                info,
                Some("0.000".to_owned()),
            ]);
        }
        table
    }

    pub(super) fn show_processlist(
        &mut self,
        full: bool,
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        let table = self.processlist_table(full);
        self.answer_table(&table, protocol, position)
    }

    pub(super) fn shards_table(&self) -> Table {
        let names =
            ["Shard", "Address", "State", "In_use", "Idle", "Waiting", "Connections_max", "Reason"];
        let mut table = Table::of_text(&names);
        for column in 3..7 {
            table = table.with_integer(column);
        }
        for pool in self.shared.pools.status() {
            let state = if pool.down.is_some() { "down" } else { "up" };
            table.push([
                Some(pool.name.to_string()),
                Some(pool.address.to_string()),
                Some(state.to_owned()),
                Some(pool.in_use.to_string()),
                Some(pool.idle.to_string()),
                Some(pool.waiting.to_string()),
                Some(pool.connections_max.to_string()),
                pool.down.map(|reason| reason.to_string()),
            ]);
        }
        table
    }

    /// Asks any shard that answers.
    pub(super) async fn ask_any(&mut self, sql: &[u8]) -> Result<TextResult, Failure> {
        let catalog = self.catalog();
        let mut last = Err(SqlError::no_shards().into());
        for shard in self.any_shards(&catalog) {
            let mut connection = match self.connection(shard).await {
                Ok(connection) => connection,
                Err(Failure::Sql(error)) if error.is_unreachable_shard() => {
                    last = Err(error.into());
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let asked = async {
                connection.apply(&self.state).await?;
                Ok::<_, BackendFailure>(connection.query_rows(sql, TextLimits::default()).await?)
            };
            let asked = asked.await;
            return self.put_back(connection, asked).await;
        }
        last
    }

    /// SHOW STATUS of a shard, with what this proxy knows better.
    pub(super) async fn show_status(
        &mut self,
        pattern: Option<&str>,
        sql: &[u8],
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        let result = self.ask_any(sql).await?;
        let own = self.own_status();
        let mut table = Table { columns: result.columns, rows: Vec::new() };
        let mut seen = Vec::new();
        for row in result.rows {
            let name = row.first().cloned().flatten().unwrap_or_default();
            let name = String::from_utf8_lossy(&name).into_owned();
            let value = match own.iter().find(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                Some((_, value)) => Some(value.clone().into_bytes()),
                None => row.get(1).cloned().flatten().map(|value| value.to_vec()),
            };
            seen.push(name.to_ascii_lowercase());
            table.rows.push(vec![Some(name.into_bytes()), value]);
        }
        for (name, value) in own {
            let wanted = pattern.is_some_and(|pattern| like(pattern, name));
            if wanted && !seen.contains(&name.to_ascii_lowercase()) {
                table.push([Some(name.to_owned()), Some(value)]);
            }
        }
        self.answer_table(&table, protocol, position)
    }

    /// Shardline's own variables; `global`: as new sessions begin with them.
    pub(super) fn variables_table(&self, global: bool, pattern: &str) -> Table {
        let mut table = Table::of_text(&["Variable_name", "Value"]);
        let usual = Settings::new(&self.shared.config);
        let settings = if global { &usual } else { &self.settings };
        for (name, value) in settings.variables() {
            if like(pattern, name) {
                table.push([Some(name.to_owned()), Some(value.to_owned())]);
            }
        }
        table
    }

    fn own_status(&self) -> Vec<(&'static str, String)> {
        let registry = &self.shared.registry;
        let running = registry.list().iter().filter(|session| session.command != "Sleep").count();
        let questions = self.shared.metrics.questions().to_string();
        let tls = self.client.connection.stream().tls_details();
        let (version, cipher) = tls.unwrap_or_default();
        let audited = self.shared.distributed.findings.counts();
        vec![
            ("Connections", registry.opened().to_string()),
            ("Prepared_stmt_count", "0".to_owned()),
            ("Queries", questions.clone()),
            ("Shardline_audit_agreed", audited.agreed.to_string()),
            ("Shardline_audit_open", audited.open.to_string()),
            ("Shardline_audit_unknown", audited.unknown.to_string()),
            ("Shardline_audit_violations", audited.violations.to_string()),
            ("Questions", questions),
            ("Ssl_cipher", cipher),
            ("Ssl_version", version),
            ("Threads_connected", registry.connected().to_string()),
            ("Threads_running", running.to_string()),
            ("Uptime", registry.uptime().as_secs().to_string()),
        ]
    }

    /// SHOW CREATE TABLE: a shard's answer with the sharding clause.
    pub(super) async fn show_create_table(
        &mut self,
        name: &TableName,
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        let catalog = self.catalog();
        let sql = format!("SHOW CREATE TABLE {}.{}", quoted(&name.database), quoted(&name.table));
        let result = self.ask_any(sql.as_bytes()).await?;
        let clause = catalog
            .table(&name.database, &name.table)
            .and_then(|table| super::ddl::sharding::clause_of(table, &catalog));
        let mut table = Table { columns: result.columns, rows: Vec::new() };
        for row in result.rows {
            let mut row: Vec<_> =
                row.into_iter().map(|value| value.map(|value| value.to_vec())).collect();
            if let (Some(clause), Some(Some(text))) = (&clause, row.get_mut(1)) {
                let carrier = clause::carrier(clause, &name.database);
                *text = with_carrier(text, &carrier);
            }
            table.rows.push(row);
        }
        self.answer_table(&table, protocol, position)
    }

    /// What the session says of how statements are read.
    pub(super) fn view(&self) -> SessionView<'_> {
        SessionView {
            database: self.state.database(),
            sql_mode: self.mode,
            allow_explicit_ids: self.settings.allow_explicit_ids,
        }
    }

    /// EXPLAIN SHARDING: the plan's text form. It takes no numbers from a sequence: those
    /// it shows are made up.
    pub(super) fn explain(&self, sql: &[u8]) -> Result<Table, SqlError> {
        let view = self.view();
        let lines = explained(&self.shared.router, sql, &view, &self.catalog(), &self.values)?;
        let mut table = Table::of_text(&["Plan"]);
        lines.into_iter().for_each(|line| table.push([Some(line)]));
        Ok(table)
    }
}

/// The plan of a statement, line by line.
pub(crate) fn explained(
    router: &Router,
    sql: &[u8],
    view: &SessionView<'_>,
    catalog: &Arc<Catalog>,
    session: &SessionValues,
) -> Result<Vec<String>, SqlError> {
    let mut scratch = Scratch::new();
    let template = router.prepare(sql, view, catalog, &mut scratch);
    let template = template.map_err(|refusal| SqlError::refused(&refusal))?;
    let mut ids = None;
    let plan = loop {
        let input = BindInput {
            sql,
            literals: scratch.literals(),
            params: None,
            session,
            catalog,
            ids: ids.clone(),
        };
        match template.bind(&input) {
            Ok(plan) => break plan,
            Err(BindError::NeedsIds { count, .. }) if ids.is_none() => {
                ids = Some(1..count.saturating_add(1));
            }
            Err(BindError::Refused(refusal)) => break Plan::Refuse(refusal),
            Err(error @ BindError::NeedsIds { .. }) => {
                return Err(SqlError::internal(error.to_string()));
            }
        }
    };
    Ok(plan.to_string().lines().map(str::to_owned).collect())
}

/// Puts the clause at the end of the `) ENGINE=` line, before what follows (PARTITION BY).
fn with_carrier(create: &[u8], carrier: &str) -> Vec<u8> {
    const LINE: &[u8] = b"\n) ";
    let start = memchr::memmem::rfind(create, b"\n) ENGINE=")
        .or_else(|| memchr::memmem::rfind(create, LINE))
        .map_or(create.len(), |at| at + 1);
    let end = memchr::memchr(b'\n', &create[start..]).map_or(create.len(), |at| start + at);
    let mut text = create[..end].to_vec();
    text.push(b' ');
    text.extend_from_slice(carrier.as_bytes());
    text.extend_from_slice(&create[end..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clause_stands_on_the_engine_line() {
        let create = b"CREATE TABLE `t` (\n  `a` int\n) ENGINE=InnoDB\n PARTITION BY HASH (`a`)";
        let text = with_carrier(create, "/*!999999 X */");
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains(") ENGINE=InnoDB /*!999999 X */\n PARTITION"));
    }
}
