//! Schema changes: run on every shard in order, then written into the catalog. What a
//! shard refuses is undone on those before it where that is possible; otherwise the error
//! says how far it came.

mod foreign;
mod rehearsal;
mod reshard;
pub(super) mod sharding;

use super::{
    Position, Session,
    diagnostics::Level,
    failure::{BackendFailure, Failure},
    schema::{self, Definition, quoted},
    settings::{is_hidden_database, is_system_database},
    transaction::Access,
};
use crate::{
    backend::{TextLimits, TextResult},
    error::SqlError,
};
use shardline_meta_client::ProposeError;
use shardline_model::{
    catalog::Catalog,
    change::Change,
    declared::{TableDefinition, TableSharding},
    id::ShardId,
};
use shardline_router::{
    plan::{Ddl, DdlKind, ShardingClause, TableName},
    rule,
};

impl Session {
    /// Runs a schema change and answers.
    pub(super) async fn ddl(&mut self, ddl: &Ddl, position: Position) -> Result<(), Failure> {
        self.commit_implicitly().await?;
        let shared = self.shared.clone();
        let (alone, catalog) = self.begin_schema_change(&shared).await?;
        check_rests(&catalog, &ddl.kind)?;
        match &ddl.kind {
            DdlKind::CreateDatabase { name, if_not_exists } => {
                self.create_database(&catalog, name, *if_not_exists, &ddl.sql).await?;
            }
            DdlKind::AlterDatabase { name } => {
                check_database(name)?;
                self.on_all(&catalog, &ddl.sql, None, &[]).await?;
                let collation = self.read_collation(&catalog, name).await?;
                self.propose(Change::AlterDatabase { name: name.clone(), collation }).await?;
            }
            DdlKind::DropDatabase { name, if_exists } => {
                self.drop_database(&catalog, name, *if_exists, &ddl.sql).await?;
            }
            DdlKind::CreateTable { table, if_not_exists, sharding, like } => {
                let wanted = NewTable { table, sharding: sharding.as_ref(), like: like.as_ref() };
                self.create_table(&catalog, wanted, *if_not_exists, &ddl.sql).await?;
            }
            DdlKind::AlterTable { table, renamed } => {
                self.alter_table(&catalog, table, renamed.as_ref(), &ddl.sql).await?;
            }
            DdlKind::DropTables { tables, if_exists } => {
                self.drop_tables(&catalog, tables, *if_exists, &ddl.sql).await?;
            }
            DdlKind::TruncateTable { table } => {
                check_database(&table.database)?;
                self.on_all(&catalog, &ddl.sql, None, &[]).await?;
            }
            DdlKind::Reshard { table, sharding, background } => {
                let background = *background;
                let wanted = reshard::Wanted { table, sharding, background };
                let job = self.begin_reshard(&catalog, wanted).await?;
                // Its job waits for everybody who holds an older catalog.
                drop((alone, catalog));
                match background {
                    true => self.note_job(job),
                    false => self.wait_for_reshard(job).await?,
                }
            }
            DdlKind::RenameTables { pairs } => {
                self.rename_tables(&catalog, pairs, &ddl.sql).await?;
            }
        }
        self.values.row_count = 0;
        self.answer_ok_at(position)
    }

    async fn create_database(
        &mut self,
        catalog: &Catalog,
        name: &str,
        if_not_exists: bool,
        sql: &[u8],
    ) -> Result<(), Failure> {
        check_database(name)?;
        if catalog.databases.contains_key(name) {
            let error = SqlError::database_exists(name);
            return self.exists_already(if_not_exists, error);
        }
        let undo = format!("DROP DATABASE {}", quoted(name));
        self.on_all(catalog, sql, Some(undo.as_bytes()), &[]).await?;
        let collation = self.read_collation(catalog, name).await?;
        let change = Change::CreateDatabase { name: name.to_owned(), home: None, collation };
        let proposed = self.propose(change).await;
        self.undo_unless(catalog, proposed, undo.as_bytes()).await
    }

    async fn drop_database(
        &mut self,
        catalog: &Catalog,
        name: &str,
        if_exists: bool,
        sql: &[u8],
    ) -> Result<(), Failure> {
        check_database(name)?;
        if !catalog.databases.contains_key(name) {
            return self.exists_already(if_exists, SqlError::no_database_to_drop(name));
        }
        self.on_all(catalog, sql, None, &[NO_DATABASE_TO_DROP]).await?;
        self.propose(Change::DropDatabase { name: name.to_owned() }).await?;
        if self.state.database() == Some(name) {
            self.state.set_database(None);
            self.registration.set_database(None);
        }
        self.forget_sequences();
        Ok(())
    }

    /// The first shard makes the table and says what it is; the catalog checks it before
    /// the other shards make it too.
    async fn create_table(
        &mut self,
        catalog: &Catalog,
        wanted: NewTable<'_>,
        if_not_exists: bool,
        sql: &[u8],
    ) -> Result<(), Failure> {
        let table = wanted.table;
        check_database(&table.database)?;
        if !catalog.databases.contains_key(&table.database) {
            return Err(SqlError::unknown_database(&table.database).into());
        }
        if catalog.table(&table.database, &table.table).is_some() {
            let error = SqlError::table_exists(&table.table);
            return self.exists_already(if_not_exists, error);
        }
        let undo = format!("DROP TABLE {}", full_name(table));
        let mut shards = catalog.shards.keys().copied();
        let first = shards.next().ok_or_else(SqlError::no_shards)?;
        self.on_shard(first, sql).await?;
        let change = self.new_table(catalog, wanted, first).await;
        let checked = change.and_then(|change| match catalog.check(&change) {
            Ok(()) => Ok(change),
            Err(error) => Err(SqlError::invalid_sharding(error.to_string()).into()),
        });
        let checked = match checked {
            Ok(change) => {
                let keys = self.check_foreign_keys(catalog, &change, first, table).await;
                keys.map(|()| change)
            }
            Err(failure) => Err(failure),
        };
        let change = match checked {
            Ok(change) => change,
            Err(failure) => {
                self.undo_on(&[first], undo.as_bytes()).await;
                return Err(failure);
            }
        };
        self.on_others(catalog, first, sql, undo.as_bytes()).await?;
        let proposed = self.propose(change).await;
        self.undo_unless(catalog, proposed, undo.as_bytes()).await
    }

    async fn new_table(
        &mut self,
        catalog: &Catalog,
        wanted: NewTable<'_>,
        shard: ShardId,
    ) -> Result<Change, Failure> {
        let TableName { database, table: name } = wanted.table;
        let definition = self.read_definition(shard, wanted.table).await?;
        let sharding = wanted.sharding(&definition, catalog)?;
        let Definition { columns, unique_keys, auto_increment } = definition;
        let table = TableDefinition {
            database: database.clone(),
            name: name.clone(),
            columns,
            unique_keys,
            auto_increment,
            is_view: false,
        };
        Ok(Change::CreateTable { table, sharding })
    }

    /// Whether the foreign keys of a table that one shard has made hold where its rows will be.
    async fn check_foreign_keys(
        &mut self,
        catalog: &Catalog,
        change: &Change,
        shard: ShardId,
        table: &TableName,
    ) -> Result<(), Failure> {
        let keys = foreign::keys(texts(self.ask_shard(shard, &foreign::keys_sql(table)).await?));
        if keys.is_empty() {
            return Ok(());
        }
        let mut after = catalog.clone();
        let applied = after.apply(change);
        applied.map_err(|error| SqlError::invalid_sharding(error.to_string()))?;
        foreign::check(&keys, &after, table, table)?;
        Ok(())
    }

    async fn alter_table(
        &mut self,
        catalog: &Catalog,
        table: &TableName,
        renamed: Option<&TableName>,
        sql: &[u8],
    ) -> Result<(), Failure> {
        check_database(&table.database)?;
        if catalog.table(&table.database, &table.table).is_none() {
            return Err(SqlError::no_such_table(&table.database, &table.table).into());
        }
        let first = catalog.shards.keys().next().copied().ok_or_else(SqlError::no_shards)?;
        if renamed.is_none() {
            self.rehearse_alter(catalog, first, table, sql).await?;
            self.diagnostics.clear();
        }
        self.on_all(catalog, sql, None, &[]).await?;
        let now = renamed.unwrap_or(table);
        let definition = self.read_definition(first, now).await?;
        if let Some(renamed) = renamed {
            self.propose(rename(table, renamed)).await?;
        }
        let change = replacement(now, definition);
        self.propose(change).await.map_err(|failure| match failure {
            Failure::Sql(error) => error
                .on_shard("all", "the servers have made the change: undo it by another ALTER TABLE")
                .into(),
            other => other,
        })
    }

    async fn drop_tables(
        &mut self,
        catalog: &Catalog,
        tables: &[TableName],
        if_exists: bool,
        sql: &[u8],
    ) -> Result<(), Failure> {
        for table in tables {
            check_database(&table.database)?;
        }
        let known = |table: &&TableName| catalog.table(&table.database, &table.table).is_some();
        let (there, missing): (Vec<_>, Vec<_>) = tables.iter().partition(known);
        // A server drops those that are there also when others are missing, and so does a
        // second attempt after a failure.
        self.on_all(catalog, sql, None, &[NO_TABLE_TO_DROP]).await?;
        for table in there {
            let (database, name) = (table.database.clone(), table.table.clone());
            self.propose(Change::DropTable { database, name }).await?;
        }
        self.forget_sequences();
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<_> =
            missing.iter().map(|name| format!("{}.{}", name.database, name.table)).collect();
        let error = SqlError::unknown_table(&names.join(","));
        self.exists_already(if_exists, error)
    }

    async fn rename_tables(
        &mut self,
        catalog: &Catalog,
        pairs: &[(TableName, TableName)],
        sql: &[u8],
    ) -> Result<(), Failure> {
        let mut back = Vec::new();
        for (old, new) in pairs {
            check_database(&old.database)?;
            check_database(&new.database)?;
            back.push(format!("{} TO {}", full_name(new), full_name(old)));
        }
        back.reverse();
        let undo = format!("RENAME TABLE {}", back.join(", "));
        self.on_all(catalog, sql, Some(undo.as_bytes()), &[]).await?;
        for (old, new) in pairs {
            self.propose(rename(old, new)).await?;
        }
        Ok(())
    }

    /// IF [NOT] EXISTS makes a note of what is an error otherwise.
    fn exists_already(&mut self, tolerated: bool, error: SqlError) -> Result<(), Failure> {
        if !tolerated {
            return Err(error.into());
        }
        // The shards may have said so already.
        if self.diagnostics.count() == 0 {
            self.diagnostics.push(Level::Note, error.number, error.message);
        }
        Ok(())
    }

    fn forget_sequences(&self) {
        let catalog = self.catalog();
        self.shared.sequences.retain(|table| catalog.table_by_id(table).is_some());
    }
}

/// Running statements on shards, and undoing them.
impl Session {
    async fn on_shard(&mut self, shard: ShardId, sql: &[u8]) -> Result<(), Failure> {
        let mut connection = self.connection(shard).await?;
        let done = async {
            connection.apply(&self.state).await?;
            Ok::<_, BackendFailure>(connection.query_ok(sql).await?)
        };
        match done.await {
            Ok(ok) => {
                if ok.warnings > 0 && self.diagnostics.count() == 0 {
                    self.fetch_warnings(&mut connection, ok.warnings).await;
                }
                self.hold_or_release(connection);
                Ok(())
            }
            Err(BackendFailure::Lost(reason)) => {
                drop(connection);
                Err(self.lost(shard, Access::WRITE, BackendFailure::Lost(reason)).await)
            }
            Err(BackendFailure::Told(error)) => {
                self.hold_or_release(connection);
                Err(error.into())
            }
        }
    }

    /// Runs a statement on every shard in order. Errors in `tolerated` say that a shard
    /// has it already.
    async fn on_all(
        &mut self,
        catalog: &Catalog,
        sql: &[u8],
        undo: Option<&[u8]>,
        tolerated: &[u16],
    ) -> Result<(), Failure> {
        let shards: Vec<_> = catalog.shards.keys().copied().collect();
        self.on_each(&shards, Vec::new(), sql, undo, tolerated).await
    }

    async fn on_others(
        &mut self,
        catalog: &Catalog,
        first: ShardId,
        sql: &[u8],
        undo: &[u8],
    ) -> Result<(), Failure> {
        let others: Vec<_> = catalog.shards.keys().copied().filter(|id| *id != first).collect();
        self.on_each(&others, vec![first], sql, Some(undo), &[]).await
    }

    async fn on_each(
        &mut self,
        shards: &[ShardId],
        mut done: Vec<ShardId>,
        sql: &[u8],
        undo: Option<&[u8]>,
        tolerated: &[u16],
    ) -> Result<(), Failure> {
        if shards.is_empty() && done.is_empty() {
            return Err(SqlError::no_shards().into());
        }
        for shard in shards {
            match self.on_shard(*shard, sql).await {
                Ok(()) => done.push(*shard),
                Err(Failure::Sql(error)) if tolerated.contains(&error.number) => {}
                Err(Failure::Sql(error)) if done.is_empty() => return Err(error.into()),
                Err(Failure::Sql(error)) => {
                    let names: Vec<_> = done.iter().map(|done| self.shard_name(*done)).collect();
                    let names = names.join(", ");
                    let state = match undo {
                        Some(undo) if self.undo_on(&done, undo).await => {
                            format!("undone on {names}")
                        }
                        Some(_) => format!("done on {names} and could not be undone there"),
                        None => format!("done on {names} and not on the others; run it again"),
                    };
                    return Err(error.on_shard(&self.shard_name(*shard), &state).into());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Undoes what was done on some shards; whether all of it was.
    async fn undo_on(&mut self, shards: &[ShardId], undo: &[u8]) -> bool {
        let mut all = true;
        for shard in shards {
            all &= self.on_shard(*shard, undo).await.is_ok();
        }
        all
    }

    /// When the catalog certainly did not take a change, the shards must not keep it.
    async fn undo_unless(
        &mut self,
        catalog: &Catalog,
        proposed: Result<(), Failure>,
        undo: &[u8],
    ) -> Result<(), Failure> {
        if let Err(Failure::Sql(error)) = &proposed
            && error.number != METADATA_UNAVAILABLE
        {
            let shards: Vec<_> = catalog.shards.keys().copied().collect();
            self.undo_on(&shards, undo).await;
        }
        proposed
    }

    async fn propose(&mut self, change: Change) -> Result<(), Failure> {
        match self.shared.meta.propose(change).await {
            Ok(_) => Ok(()),
            Err(ProposeError::Rejected(error)) => {
                Err(SqlError::invalid_sharding(error.to_string()).into())
            }
            Err(error) => {
                let operation = "the schema change was made on the shards, and the catalog";
                Err(SqlError::metadata_unavailable(operation, &error.to_string()).into())
            }
        }
    }

    async fn ask_shard(&mut self, shard: ShardId, sql: &str) -> Result<TextResult, Failure> {
        let mut connection = self.connection(shard).await?;
        let asked = async {
            connection.apply(&self.state).await?;
            let limits = TextLimits::default();
            Ok::<_, BackendFailure>(connection.query_rows(sql.as_bytes(), limits).await?)
        };
        let asked = asked.await;
        self.put_back(connection, asked).await
    }

    async fn read_definition(
        &mut self,
        shard: ShardId,
        table: &TableName,
    ) -> Result<Definition, Failure> {
        let TableName { database, table: name } = table;
        let columns = self.ask_shard(shard, &schema::columns_sql(database, name)).await?;
        let keys = self.ask_shard(shard, &schema::unique_keys_sql(database, name)).await?;
        schema::definition(texts(columns), texts(keys))
            .ok_or_else(|| SqlError::no_such_table(database, name).into())
    }

    async fn read_collation(&mut self, catalog: &Catalog, name: &str) -> Result<String, Failure> {
        let first = catalog.shards.keys().next().copied().ok_or_else(SqlError::no_shards)?;
        let rows = texts(self.ask_shard(first, &schema::collation_sql(name)).await?);
        let collation = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        collation.ok_or_else(|| SqlError::unknown_database(name).into())
    }
}

/// Errors of the servers for something that is not there to be dropped.
const NO_DATABASE_TO_DROP: u16 = 1008;
const NO_TABLE_TO_DROP: u16 = 1051;
/// The proxy's own number when the catalog may or may not have taken a change.
const METADATA_UNAVAILABLE: u16 = 9102;

/// A table to be made.
#[derive(Clone, Copy)]
struct NewTable<'a> {
    table: &'a TableName,
    sharding: Option<&'a ShardingClause>,
    like: Option<&'a TableName>,
}

impl NewTable<'_> {
    /// The clause decides; then the table it is like; then a rule; then it is single.
    fn sharding(
        &self,
        definition: &Definition,
        catalog: &Catalog,
    ) -> Result<TableSharding, SqlError> {
        if let Some(clause) = self.sharding {
            return sharding::declared(clause, definition, catalog);
        }
        let like = self.like.and_then(|like| catalog.table(&like.database, &like.table));
        if let Some(other) = like {
            return Ok(sharding::declared_like(other, catalog));
        }
        let Some(rule) = catalog.rule_for(&self.table.database, &self.table.table) else {
            return Ok(TableSharding::Single { shard: None });
        };
        let clause = rule::parse(&rule.clause).map_err(|refusal| SqlError::refused(&refusal))?;
        sharding::declared(&clause, definition, catalog)
    }
}

/// Refuses a change of tables whose rows are on their way, before any shard makes it.
fn check_rests(catalog: &Catalog, kind: &DdlKind) -> Result<(), SqlError> {
    let check = |table: &TableName| catalog.check_table_rests(&table.database, &table.table);
    let rests = match kind {
        DdlKind::CreateDatabase { .. } | DdlKind::AlterDatabase { .. } => Ok(()),
        DdlKind::DropDatabase { name, .. } => {
            let mut tables = catalog.databases.get(name).into_iter().flat_map(|d| d.tables.keys());
            tables.try_for_each(|table| catalog.check_table_rests(name, table))
        }
        // A table that is colocated with one that moves is refused by the catalog.
        DdlKind::CreateTable { .. } => Ok(()),
        DdlKind::AlterTable { table, .. }
        | DdlKind::TruncateTable { table }
        | DdlKind::Reshard { table, .. } => check(table),
        DdlKind::DropTables { tables, .. } => tables.iter().try_for_each(check),
        DdlKind::RenameTables { pairs } => pairs.iter().try_for_each(|(old, _)| check(old)),
    };
    rests.map_err(|error| SqlError::table_moves(error.to_string()))
}

fn check_database(name: &str) -> Result<(), SqlError> {
    if name.is_empty() {
        return Err(SqlError::no_database());
    }
    let is_ours = name.eq_ignore_ascii_case("shardline");
    if is_ours || is_system_database(name) || is_hidden_database(name) {
        return Err(SqlError::protected_database(name));
    }
    Ok(())
}

fn rename(old: &TableName, new: &TableName) -> Change {
    Change::RenameTable {
        database: old.database.clone(),
        name: old.table.clone(),
        to_database: new.database.clone(),
        to_name: new.table.clone(),
    }
}

/// The change that an ALTER makes.
fn replacement(table: &TableName, definition: Definition) -> Change {
    let Definition { columns, unique_keys, auto_increment } = definition;
    Change::ReplaceTable {
        database: table.database.clone(),
        name: table.table.clone(),
        columns,
        unique_keys,
        auto_increment,
    }
}

fn full_name(table: &TableName) -> String {
    format!("{}.{}", quoted(&table.database), quoted(&table.table))
}

fn texts(result: TextResult) -> Vec<schema::TextRow> {
    let text = |value: bytes::Bytes| String::from_utf8_lossy(&value).into_owned();
    let row =
        |row: Vec<Option<bytes::Bytes>>| row.into_iter().map(|value| value.map(text)).collect();
    result.rows.into_iter().map(row).collect()
}
