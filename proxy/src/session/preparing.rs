//! Prepared statements of the binary protocol: prepared on a shard, executed as statements
//! with parameters.

use super::{
    Position, Session,
    answer::{Protocol, header_packets},
    failure::{BackendFailure, Failure},
    parameters,
    prepared::Prepared,
    query::Statement,
    settings::is_hidden_database,
    transaction::Access,
};
use crate::{
    backend::{BackendStatement, PooledConnection},
    error::SqlError,
    execute::outgoing::Parameters,
};
use bytes::Bytes;
use shardline_model::catalog::Catalog;
use shardline_router::{
    plan::{Plan, SessionStatement},
    router::Scratch,
    template::BindInput,
};
use shardline_wire::{
    column::ColumnDefinition,
    response::EofPacket,
    statement::{Execute, PrepareOk},
};
use std::{sync::Arc, time::Instant};

impl Session {
    /// COM_STMT_PREPARE: a shard tells the parameters and the columns.
    pub(super) async fn prepare(&mut self, sql: &[u8]) -> Result<(), Failure> {
        self.shared.check_lease(Instant::now())?;
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
            Some(Plan::Session(
                SessionStatement::CallOperation { .. } | SessionStatement::ReadOperations { .. },
            )) => return Err(SqlError::operation_not_prepared().into()),
            Some(Plan::Session(statement)) => {
                let columns = self.columns_of(&statement).into();
                Arc::new(BackendStatement::local(columns))
            }
            Some(Plan::Ddl(_)) => Arc::new(BackendStatement::local(Box::default())),
            Some(Plan::Refuse(refusal)) => {
                return Err(self.refusal(SqlError::refused(&refusal), sql, &catalog).await);
            }
            Some(
                Plan::Single(_)
                | Plan::Scatter(_)
                | Plan::Compute(_)
                | Plan::Write(_)
                | Plan::Rehearse(_),
            )
            | None => self.prepare_on_shard(sql, &catalog).await?,
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

    pub(super) async fn prepare_on_shard(
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
                Err(self.lost(shard, Access::READ, BackendFailure::Lost(reason)).await)
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
    pub(super) async fn execute(
        &mut self,
        id: u32,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), Failure> {
        let mut prepared = self.statements.lend(id)?;
        self.registration.begin("Execute", &prepared.sql, now);
        let outcome = self.execute_prepared(&mut prepared, payload, now).await;
        self.statements.put_back(id, prepared);
        outcome
    }

    async fn execute_prepared(
        &mut self,
        prepared: &mut Prepared,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), Failure> {
        if prepared.long_error {
            return Err(SqlError::wrong_arguments("mysqld_stmt_send_long_data").into());
        }
        let types = prepared.types.as_deref();
        let execute = Execute::decode(payload, prepared.parameters, types, &prepared.long)
            .map_err(|_| SqlError::wrong_arguments("mysqld_stmt_execute"))?;
        let types = execute.new_types.as_deref().or(types).unwrap_or_default();
        let literals = parameters::literals(types, &execute.values);
        let long = (!prepared.long.is_empty()).then_some(&prepared.long);
        let statement = Statement {
            sql: &prepared.sql,
            protocol: Protocol::Binary,
            parameters: Parameters { types, values: &execute.values, long },
            literals: Some(&literals),
            position: Position::Only,
        };
        let outcome = self.statement(statement, Some(&mut prepared.known), now).await;
        drop(literals);
        if let Some(types) = execute.new_types {
            prepared.types = Some(types);
        }
        outcome
    }

    /// COM_FIELD_LIST: the columns of a table, as a shard describes them.
    pub(super) async fn field_list(&mut self, table: &[u8]) -> Result<(), Failure> {
        self.shared.check_lease(Instant::now())?;
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
