//! Statements that the session does itself: transactions, USE, KILL and SHOW.

use super::{
    Position, Session,
    answer::{Protocol, Table},
    client::ClientLost,
    failure::Failure,
    transaction::{Chain, Verb, release_sql, rollback_to_sql, savepoint_sql},
    transactions::{transaction_resolve_columns, transaction_status_columns},
};
use crate::{error::SqlError, registry::Kill};
use shardline_router::plan::SessionStatement;
use shardline_wire::column::ColumnDefinition;

impl Session {
    /// Runs one, and answers.
    pub(super) async fn session_statement(
        &mut self,
        statement: SessionStatement,
        sql: &[u8],
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        match statement {
            SessionStatement::Use { database } => self.use_database(&database)?,
            SessionStatement::Set { assignments } => self.set(&assignments).await?,
            SessionStatement::Begin { read_only, consistent_snapshot } => {
                self.check_isolation()?;
                let finish = self.transaction.begin(read_only, consistent_snapshot);
                self.keep_snapshots();
                self.finish(finish).await?;
                if consistent_snapshot {
                    self.begin_snapshots().await?;
                }
            }
            SessionStatement::Commit { chain, release } => {
                return self.end_transaction(Verb::Commit, chain, release, position).await;
            }
            SessionStatement::Rollback { chain, release } => {
                return self.end_transaction(Verb::Rollback, chain, release, position).await;
            }
            SessionStatement::Savepoint { name } => {
                if self.transaction.savepoint(&name)? {
                    self.on_branches(&savepoint_sql(&name)).await?;
                }
            }
            SessionStatement::RollbackTo { name } => {
                self.transaction.rollback_to(&name)?;
                self.written.keep(self.transaction.writers());
                self.on_branches(&rollback_to_sql(&name)).await?;
            }
            SessionStatement::ReleaseSavepoint { name } => {
                self.transaction.release_savepoint(&name)?;
                self.on_branches(&release_sql(&name)).await?;
            }
            SessionStatement::Prepare { name, text } => self.prepare_text(name, text)?,
            SessionStatement::Execute { name, arguments } => {
                return self.execute_text(&name, &arguments, position).await;
            }
            SessionStatement::Deallocate { name } => {
                if !self.statements.remove_named(&name) {
                    return Err(SqlError::unknown_statement(&name, "DEALLOCATE PREPARE").into());
                }
            }
            SessionStatement::Kill { id, query_only } => {
                let kill = if query_only { Kill::Query } else { Kill::Connection };
                self.kill(id, kill)?;
            }
            SessionStatement::ShowDatabases { like } => {
                let table = self.databases_table(like.as_deref());
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ShowCreateTable { table } => {
                return self.show_create_table(&table, protocol, position).await;
            }
            SessionStatement::ShowWarnings { errors_only, count_only, offset, limit } => {
                let table = if count_only {
                    self.diagnostics.count_table(errors_only)
                } else {
                    self.diagnostics.table(errors_only, offset, limit)
                };
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ShowProcesslist { full } => {
                return self.show_processlist(full, protocol, position);
            }
            SessionStatement::ShowStatus { like } => {
                return self.show_status(like.as_deref(), sql, protocol, position).await;
            }
            SessionStatement::ShowVariables { global, like } => {
                let table = self.variables_table(global, &like);
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ShowShards => {
                let table = self.shards_table();
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ShowTransactions => {
                let table = self.transactions_table();
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ShowTransactionStatus { xid } => {
                let table = self.transaction_status_table(xid.as_deref()).await?;
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::TransactionResolve { xid, choice, shard } => {
                let table = self.resolve_transaction(&xid, choice, shard.as_deref()).await?;
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ShowJobs => {
                let table = self.jobs_table().await?;
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::CallOperation { procedure, arguments } => {
                let table = self.call_operation(procedure, arguments).await?;
                return self.answer_table(&table, protocol, position);
            }
            SessionStatement::ReadOperations { tables } => {
                return self.read_operations(sql, &tables, protocol, position).await;
            }
            SessionStatement::ExplainSharding { statement } => {
                let inner = sql.get(statement).unwrap_or_default();
                let table = self.explain(inner)?;
                return self.answer_table(&table, protocol, position);
            }
        }
        self.values.row_count = 0;
        self.answer_ok_at(position)
    }

    async fn end_transaction(
        &mut self,
        verb: Verb,
        chain: bool,
        release: bool,
        position: Position,
    ) -> Result<(), Failure> {
        let finish = self.transaction.finish(verb, if chain { Chain::Yes } else { Chain::No });
        self.finish(finish).await?;
        self.values.row_count = 0;
        self.answer_ok_at(position)?;
        if release {
            self.client.flush(&self.registration.kill).await?;
            return Err(ClientLost::Quit.into());
        }
        Ok(())
    }

    /// Commits what is open: what a schema change does first.
    pub(super) async fn commit_implicitly(&mut self) -> Result<(), Failure> {
        let finish = self.transaction.finish(Verb::Commit, Chain::No);
        self.finish(finish).await
    }

    /// Answers with a result that the proxy made.
    pub(super) fn answer_table(
        &mut self,
        table: &Table,
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        let packets = table.packets(protocol, self.client.capabilities, self.status(position));
        self.client.queue_all(&packets);
        self.values.found_rows = table.rows.len() as u64;
        self.values.row_count = -1;
        Ok(())
    }

    /// The columns of a session statement's result, for its preparation.
    pub(super) fn columns_of(&self, statement: &SessionStatement) -> Vec<ColumnDefinition> {
        match statement {
            SessionStatement::ShowDatabases { like } => {
                self.databases_table(like.as_deref()).columns
            }
            SessionStatement::ShowWarnings { errors_only, count_only: true, .. } => {
                self.diagnostics.count_table(*errors_only).columns
            }
            SessionStatement::ShowWarnings { errors_only, .. } => {
                self.diagnostics.table(*errors_only, 0, None).columns
            }
            SessionStatement::ShowProcesslist { full } => self.processlist_table(*full).columns,
            SessionStatement::ShowShards => self.shards_table().columns,
            SessionStatement::ShowTransactions => self.transactions_table().columns,
            SessionStatement::ShowJobs => self.jobs_columns(),
            SessionStatement::ShowTransactionStatus { .. } => transaction_status_columns().columns,
            SessionStatement::TransactionResolve { .. } => transaction_resolve_columns().columns,
            SessionStatement::ShowStatus { .. } | SessionStatement::ShowVariables { .. } => {
                Table::of_text(&["Variable_name", "Value"]).columns
            }
            SessionStatement::ShowCreateTable { .. } => {
                Table::of_text(&["Table", "Create Table"]).columns
            }
            SessionStatement::ExplainSharding { .. } => Table::of_text(&["Plan"]).columns,
            SessionStatement::Use { .. }
            | SessionStatement::Set { .. }
            | SessionStatement::Begin { .. }
            | SessionStatement::Commit { .. }
            | SessionStatement::Rollback { .. }
            | SessionStatement::Savepoint { .. }
            | SessionStatement::RollbackTo { .. }
            | SessionStatement::ReleaseSavepoint { .. }
            | SessionStatement::Prepare { .. }
            | SessionStatement::Execute { .. }
            | SessionStatement::Deallocate { .. }
            | SessionStatement::CallOperation { .. }
            | SessionStatement::ReadOperations { .. }
            | SessionStatement::Kill { .. } => Vec::new(),
        }
    }
}
