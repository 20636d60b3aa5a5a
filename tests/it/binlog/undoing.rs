//! Runs an undo as a coordinator would: in one transaction, each statement checked.

use anyhow::{Result, ensure};
use mysql_async::{Conn, prelude::Queryable};
use shardline_binlog::undo::{self, TableDefinition, UndoStatement};
use shardline_binlog::{RowChange, Transaction};
use shardline_tests::sql;

/// The largest statement that an undo may make.
const STATEMENT_MAX: usize = 16 << 20;

/// The undo of a transaction whose rows are all of one table.
pub(crate) fn plan(
    transaction: &Transaction,
    table: &TableDefinition,
) -> Result<Vec<UndoStatement>> {
    Ok(plan_of(&transaction.changes, table)?)
}

/// The undo of changes to one table.
pub(crate) fn plan_of(
    changes: &[RowChange],
    table: &TableDefinition,
) -> Result<Vec<UndoStatement>, undo::UndoError> {
    undo::plan(changes, &|_, _| Some(table), STATEMENT_MAX)
}

/// Gets a session ready.
pub(crate) async fn prepare(connection: &mut Conn) -> Result<()> {
    sql::run(connection, &undo::SESSION).await
}

/// Runs all statements in one transaction, or none.
pub(crate) async fn run(connection: &mut Conn, statements: &[UndoStatement]) -> Result<()> {
    connection.query_drop("START TRANSACTION").await?;
    for statement in statements {
        connection.query_drop(&statement.sql).await?;
        let affected = connection.affected_rows();
        ensure!(affected == 1, "{affected} rows affected by {}", statement.sql);
        let Some(verify) = &statement.verify else { continue };
        let count = sql::value(connection, verify).await?;
        ensure!(count == "1", "{count} rows are as before, by {verify}");
    }
    Ok(connection.query_drop("COMMIT").await?)
}
