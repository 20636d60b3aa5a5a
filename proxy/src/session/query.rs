//! Statements: planned on one snapshot of the catalog and handed to what runs them; and
//! prepared statements, which are the same with parameters.

use super::{
    Position, Session,
    answer::{Protocol, header_packets},
    failure::{BackendFailure, Failure},
    parameters,
    prepared::Prepared,
    settings::is_hidden_database,
    transaction::Access,
};
use crate::{
    backend::{BackendStatement, PooledConnection},
    error::{SqlError, number},
    execute::{
        outgoing::{Outgoing, Parameters},
        single::SingleRun,
    },
};
use bytes::Bytes;
use shardline_model::{catalog::Catalog, id::ShardId, key::Literal};
use shardline_router::{
    lexer::Lexer,
    plan::{InsertId, Plan, SessionStatement, ShardSql, Single, Target, Traits, Write},
    router::Scratch,
    template::{BindError, BindInput, Template},
    view::SessionView,
};
use shardline_wire::{
    column::ColumnDefinition,
    response::EofPacket,
    statement::{Execute, PrepareOk},
};
use std::{ops::Range, sync::Arc};

/// A server's word for a statement that it runs but does not prepare.
const UNPREPARABLE: u16 = 1295;

/// A statement with its values.
#[derive(Clone, Copy)]
struct Statement<'a> {
    sql: &'a [u8],
    protocol: Protocol,
    /// The parameters of an execution.
    parameters: Parameters<'a>,
    /// The same as literals.
    literals: Option<&'a [Literal<'a>]>,
    position: Position,
}

impl Session {
    /// COM_QUERY: one statement, or several where the client may send several.
    pub(super) async fn query(&mut self, sql: &[u8]) -> Result<(), Failure> {
        if self.multi_statements && memchr::memchr(b';', sql).is_some() {
            // A text that cannot be read is refused by the router, with the reason.
            let pieces = Lexer::split(sql, self.mode).unwrap_or_default();
            if pieces.len() > 1 {
                return Box::pin(self.several(sql, &pieces)).await;
            }
        }
        self.text(sql, Position::Only).await
    }

    async fn several(&mut self, sql: &[u8], pieces: &[Range<usize>]) -> Result<(), Failure> {
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            let position = if index == last { Position::Last } else { Position::MoreFollow };
            self.text(&sql[piece.clone()], position).await?;
        }
        Ok(())
    }

    pub(super) async fn text(&mut self, sql: &[u8], position: Position) -> Result<(), Failure> {
        let statement = Statement {
            sql,
            protocol: Protocol::Text,
            parameters: Parameters::default(),
            literals: None,
            position,
        };
        self.statement(statement).await
    }

    async fn statement(&mut self, statement: Statement<'_>) -> Result<(), Failure> {
        self.shared.check_lease()?;
        let catalog = self.catalog();
        let planned = self.plan(statement, &catalog).await;
        let about_last =
            matches!(&planned, Ok(Plan::Session(SessionStatement::ShowWarnings { .. })));
        if !about_last {
            self.diagnostics.clear();
        }
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => return Err(Box::pin(self.refusal(error, statement.sql, &catalog)).await),
        };
        self.shared.metrics.planned(&plan);
        match plan {
            Plan::Single(single) => self.single(&single, statement, &catalog).await,
            Plan::Scatter(scatter) => {
                let (protocol, position) = (statement.protocol, statement.position);
                Box::pin(self.run_scatter(&scatter, protocol, position)).await
            }
            Plan::Write(write) => self.write(&write, statement).await,
            Plan::Ddl(ddl) => Box::pin(self.ddl(&ddl, statement.position)).await,
            Plan::Session(session) => {
                let (protocol, position) = (statement.protocol, statement.position);
                Box::pin(self.session_statement(session, statement.sql, protocol, position)).await
            }
            Plan::Refuse(refusal) => {
                let error = SqlError::refused(&refusal);
                Err(Box::pin(self.refusal(error, statement.sql, &catalog)).await)
            }
        }
    }

    /// What a client is told of a statement that is not run here: what a server says, when
    /// no server would run it either (a misspelt word, an unknown column).
    async fn refusal(&mut self, error: SqlError, sql: &[u8], catalog: &Catalog) -> Failure {
        let verbs = ["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"];
        let asks = error.number == number::NOT_SUPPORTED
            && Lexer::tokenize(sql, self.mode)
                .is_ok_and(|tokens| verbs.iter().any(|verb| tokens.is_keyword(0, verb)));
        if !asks {
            return error.into();
        }
        match self.prepare_on_shard(sql, catalog).await {
            Err(Failure::Sql(told)) if told.is_from_server() && told.number != UNPREPARABLE => {
                told.into()
            }
            Err(Failure::Client(lost)) => lost.into(),
            Ok(_) | Err(_) => error.into(),
        }
    }

    /// The template of a text, on one snapshot.
    pub(super) fn template(
        &self,
        sql: &[u8],
        catalog: &Arc<Catalog>,
        scratch: &mut Scratch,
    ) -> Result<Arc<Template>, SqlError> {
        let view = SessionView {
            database: self.state.database(),
            sql_mode: self.mode,
            allow_explicit_ids: self.settings.allow_explicit_ids,
        };
        let template = self.shared.router.prepare(sql, &view, catalog, scratch);
        template.map_err(|refusal| SqlError::refused(&refusal))
    }

    async fn plan(
        &mut self,
        statement: Statement<'_>,
        catalog: &Arc<Catalog>,
    ) -> Result<Plan, SqlError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let plan = self.plan_with(statement, catalog, &mut scratch).await;
        self.scratch = scratch;
        plan
    }

    async fn plan_with(
        &mut self,
        statement: Statement<'_>,
        catalog: &Arc<Catalog>,
        scratch: &mut Scratch,
    ) -> Result<Plan, SqlError> {
        let template = self.template(statement.sql, catalog, scratch)?;
        let limit = self.state.variable("sql_select_limit");
        self.values.select_limit = limit.and_then(|limit| limit.as_str().parse().ok());
        let mut ids = None;
        loop {
            let input = BindInput {
                sql: statement.sql,
                literals: scratch.literals(),
                params: statement.literals,
                session: &self.values,
                catalog,
                ids: ids.clone(),
            };
            match template.bind(&input) {
                Ok(plan) => return Ok(plan),
                Err(BindError::Refused(refusal)) => return Err(SqlError::refused(&refusal)),
                Err(BindError::NeedsIds { table, count }) if ids.is_none() => {
                    ids = Some(Box::pin(self.shared.sequences.take(table, count)).await?);
                }
                Err(BindError::NeedsIds { .. }) => {
                    return Err(SqlError::internal("a statement asked twice for sequence numbers"));
                }
            }
        }
    }

    async fn single(
        &mut self,
        single: &Single,
        statement: Statement<'_>,
        catalog: &Catalog,
    ) -> Result<(), Failure> {
        if let InsertId::Explicit { high, table, .. } = single.insert_id {
            Box::pin(self.shared.sequences.advance(table, high)).await?;
        }
        let outgoing = outgoing(single, &statement);
        let run = |shard| SingleRun {
            shard,
            outgoing,
            traits: single.traits,
            insert_id: single.insert_id,
            position: statement.position,
        };
        match single.target {
            Target::Shard(shard) => self.run_single(run(shard)).await,
            Target::Any => {
                let mut candidates = self.any_shards(catalog).into_iter().peekable();
                while let Some(shard) = candidates.next() {
                    match self.run_single(run(shard)).await {
                        Err(Failure::Sql(error))
                            if error.is_unreachable_shard() && candidates.peek().is_some() => {}
                        outcome => return outcome,
                    }
                }
                Err(SqlError::no_shards().into())
            }
        }
    }

    /// The shards that may run a statement that any shard can run, best first: a session
    /// stays with one shard, so that its state is applied there already.
    pub(super) fn any_shards(&self, catalog: &Catalog) -> Vec<ShardId> {
        if let Some(shard) = self.branches.pinned().or_else(|| self.transaction.preferred()) {
            return vec![shard];
        }
        let mut shards: Vec<_> = catalog.shards.keys().copied().collect();
        if !shards.is_empty() {
            let first = self.registration.id as usize % shards.len();
            shards.rotate_left(first);
        }
        shards
    }

    async fn write(&mut self, write: &Write, statement: Statement<'_>) -> Result<(), Failure> {
        if let InsertId::Explicit { high, table, .. } = write.insert_id {
            Box::pin(self.shared.sequences.advance(table, high)).await?;
        }
        let [part] = write.parts.as_slice() else {
            return Box::pin(self.run_write(write, statement.position)).await;
        };
        let traits = Traits { writes: true, ..Traits::default() };
        let run = SingleRun {
            shard: part.shard,
            outgoing: Outgoing::Query(&part.sql),
            traits,
            insert_id: write.insert_id,
            position: statement.position,
        };
        self.run_single(run).await
    }
}

/// What is sent for a plan on one shard.
fn outgoing<'a>(single: &'a Single, statement: &Statement<'a>) -> Outgoing<'a> {
    let parameters = statement.parameters;
    let returns_rows = single.traits.returns_rows;
    match (&single.sql, statement.protocol) {
        (ShardSql::Unchanged, Protocol::Text) => Outgoing::Query(statement.sql),
        (ShardSql::Unchanged, Protocol::Binary) => {
            Outgoing::Execute { sql: statement.sql, parameters }
        }
        (ShardSql::Edited { sql, keeps_parameters: true }, Protocol::Binary) => {
            Outgoing::Execute { sql, parameters }
        }
        (ShardSql::Edited { sql, .. }, protocol) => Outgoing::literal(sql, protocol, returns_rows),
    }
}

/// Prepared statements.
impl Session {
    /// COM_STMT_PREPARE: a shard tells the parameters and the columns.
    pub(super) async fn prepare(&mut self, sql: &[u8]) -> Result<(), Failure> {
        self.shared.check_lease()?;
        self.statements.check_room(sql.len())?;
        let catalog = self.catalog();
        let mut scratch = Scratch::new();
        let template = match self.template(sql, &catalog, &mut scratch) {
            Ok(template) => template,
            Err(error) => return Err(self.refusal(error, sql, &catalog).await),
        };
        let parameters = template.parameter_count();
        let input = BindInput {
            sql,
            literals: scratch.literals(),
            params: Some(&[]),
            session: &self.values,
            catalog: &catalog,
            ids: None,
        };
        let own = if parameters == 0 { template.bind(&input).ok() } else { None };
        let statement = match own {
            Some(Plan::Session(
                SessionStatement::Prepare { .. }
                | SessionStatement::Execute { .. }
                | SessionStatement::Deallocate { .. },
            )) => return Err(SqlError::not_preparable().into()),
            Some(Plan::Session(statement)) => {
                let columns = self.columns_of(&statement).into();
                Arc::new(BackendStatement::local(columns))
            }
            Some(Plan::Ddl(_)) => Arc::new(BackendStatement::local(Box::default())),
            Some(Plan::Refuse(refusal)) => {
                return Err(self.refusal(SqlError::refused(&refusal), sql, &catalog).await);
            }
            Some(Plan::Single(_) | Plan::Scatter(_) | Plan::Write(_)) | None => {
                self.prepare_on_shard(sql, &catalog).await?
            }
        };
        if statement.parameters.len() != parameters {
            let text = "the statement's parameters are not read alike here and on the servers";
            return Err(SqlError::internal(text).into());
        }
        // The packet's buffer is shared with what else was received: keep a copy.
        let id = self.statements.insert(Bytes::copy_from_slice(sql), parameters);
        self.answer_prepare(id, &statement);
        Ok(())
    }

    async fn prepare_on_shard(
        &mut self,
        sql: &[u8],
        catalog: &Catalog,
    ) -> Result<Arc<BackendStatement>, Failure> {
        let mut last = Err(SqlError::no_shards().into());
        for shard in self.any_shards(catalog) {
            let mut connection = match self.connection(shard).await {
                Ok(connection) => connection,
                Err(Failure::Sql(error)) if error.is_unreachable_shard() => {
                    last = Err(error.into());
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let prepared = async {
                connection.apply(&self.state).await?;
                Ok::<_, BackendFailure>(connection.prepare(sql).await?)
            };
            let prepared = prepared.await;
            return self.put_back(connection, prepared).await;
        }
        last
    }

    /// Gives a connection back after a question that is no statement of the client's.
    pub(super) async fn put_back<T>(
        &mut self,
        connection: PooledConnection,
        asked: Result<T, BackendFailure>,
    ) -> Result<T, Failure> {
        match asked {
            Err(BackendFailure::Lost(reason)) => {
                let shard = connection.shard();
                drop(connection);
                Err(self.lost(shard, Access::Read, BackendFailure::Lost(reason)).await)
            }
            Ok(value) => {
                self.hold_or_release(connection);
                Ok(value)
            }
            Err(BackendFailure::Told(error)) => {
                self.hold_or_release(connection);
                Err(error.into())
            }
        }
    }

    fn answer_prepare(&mut self, id: u32, statement: &BackendStatement) {
        let head = PrepareOk {
            statement_id: id,
            columns: statement.columns.len() as u16,
            parameters: statement.parameters.len() as u16,
            warnings: statement.warnings,
        };
        self.client.connection.queue_with(|out| head.encode(out));
        let (capabilities, status) = (self.client.capabilities, self.status(Position::Only));
        for definitions in [&statement.parameters, &statement.columns] {
            let definitions: &[ColumnDefinition] = definitions;
            for definition in definitions {
                self.client.connection.queue_with(|out| definition.encode(out));
            }
            if !definitions.is_empty() && !capabilities.deprecate_eof() {
                let eof = EofPacket { warnings: 0, status };
                self.client.connection.queue_with(|out| eof.encode(out));
            }
        }
    }

    /// COM_STMT_EXECUTE.
    pub(super) async fn execute(&mut self, id: u32, payload: &[u8]) -> Result<(), Failure> {
        let mut prepared = self.statements.lend(id)?;
        self.registration.begin("Execute", &prepared.sql);
        let outcome = self.execute_prepared(&mut prepared, payload).await;
        self.statements.put_back(id, prepared);
        outcome
    }

    async fn execute_prepared(
        &mut self,
        prepared: &mut Prepared,
        payload: &[u8],
    ) -> Result<(), Failure> {
        if prepared.long_error {
            return Err(SqlError::wrong_arguments("mysqld_stmt_send_long_data").into());
        }
        let known = prepared.types.as_deref();
        let execute = Execute::decode(payload, prepared.parameters, known, &prepared.long)
            .map_err(|_| SqlError::wrong_arguments("mysqld_stmt_execute"))?;
        let types = execute.new_types.clone().or_else(|| prepared.types.clone());
        let types = types.unwrap_or_default();
        let literals = parameters::literals(&types, &execute.values);
        let long = (!prepared.long.is_empty()).then_some(&prepared.long);
        let statement = Statement {
            sql: &prepared.sql,
            protocol: Protocol::Binary,
            parameters: Parameters { types: &types, values: &execute.values, long },
            literals: Some(&literals),
            position: Position::Only,
        };
        let outcome = self.statement(statement).await;
        let new_types = execute.new_types.is_some();
        drop(literals);
        drop(execute);
        if new_types {
            prepared.types = Some(types);
        }
        outcome
    }

    /// COM_FIELD_LIST: the columns of a table, as a shard describes them.
    pub(super) async fn field_list(&mut self, table: &[u8]) -> Result<(), Failure> {
        self.shared.check_lease()?;
        self.diagnostics.clear();
        if self.state.database().is_none_or(is_hidden_database) {
            return Err(SqlError::no_database().into());
        }
        let name = String::from_utf8_lossy(table).into_owned();
        let sql = format!("SELECT * FROM {} LIMIT 0", super::schema::quoted(&name));
        let catalog = self.catalog();
        let statement = self.prepare_on_shard(sql.as_bytes(), &catalog).await?;
        let definitions = statement
            .columns
            .iter()
            .map(|column| ColumnDefinition { default: Some(None), ..column.clone() });
        let definitions: Vec<_> = definitions.collect();
        // The packets of a result set without the count before them.
        let (capabilities, status) = (self.client.capabilities, self.status(Position::Only));
        let packets = header_packets(&definitions, capabilities, status);
        let columns = &packets[1..=definitions.len()];
        self.client.queue_all(columns);
        let ok = shardline_wire::OkPacket::with_status(status);
        self.client.connection.queue_with(|out| {
            shardline_wire::response::encode_rows_end(&ok, capabilities, out);
        });
        Ok(())
    }
}
