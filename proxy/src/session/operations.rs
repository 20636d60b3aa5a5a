//! What operators ask in SQL: jobs, moves, shards, and the procedures that steer them. The rows are put
//! into the client's query as a table of literals, and any one shard answers the rest of it.

use super::{
    Position, Session,
    answer::{Protocol, Table},
    failure::Failure,
    query::Statement,
};
use crate::{
    error::SqlError,
    operations::{Caller, OperationRefusal, OperationTable, Operations, VirtualTable},
};
use shardline_router::plan::{OperationRole, OperationTable as Place};
use shardline_wire::column::ColumnDefinition;
use std::{fmt::Write as _, sync::Arc, time::Instant};

/// The longest query that rows are put into, in bytes.
const TEXT_BYTES_MAX: usize = 8 << 20;

impl Session {
    fn operations(&self) -> Result<Arc<dyn Operations>, Failure> {
        let operations = self.shared.config.operations.clone();
        let refuse = || {
            let reason = "this proxy was built without operations on the cluster";
            SqlError::operation(reason, Some("ask a proxy that `shardline` runs")).into()
        };
        operations.ok_or_else(refuse)
    }

    /// SHOW JOBS.
    pub(super) async fn jobs_table(&self) -> Result<Table, Failure> {
        let jobs = self.operations()?.table(VirtualTable::Jobs).await;
        Ok(shown(jobs.map_err(refused)?))
    }

    /// The columns of SHOW JOBS.
    pub(super) fn jobs_columns(&self) -> Vec<ColumnDefinition> {
        let operations = self.shared.config.operations.as_ref();
        operations.map(|all| shown(all.columns(VirtualTable::Jobs)).columns).unwrap_or_default()
    }

    /// `CALL shardline.procedure(..)`.
    pub(super) async fn call_operation(
        &self,
        procedure: String,
        arguments: Vec<String>,
    ) -> Result<Table, Failure> {
        let caller = Caller { user: self.user.clone(), host: self.host.clone() };
        let done = self.operations()?.call(caller, procedure, arguments).await;
        Ok(shown(done.map_err(refused)?))
    }

    /// A query on tables of the database `shardline`.
    pub(super) async fn read_operations(
        &mut self,
        sql: &[u8],
        places: &[Place],
        protocol: Protocol,
        position: Position,
    ) -> Result<(), Failure> {
        if protocol == Protocol::Binary {
            return Err(SqlError::operation_not_prepared().into());
        }
        let operations = self.operations()?;
        let mut text = Vec::with_capacity(sql.len() + 1_024);
        let mut copied = 0;
        for place in places {
            text.extend_from_slice(sql.get(copied..place.place.start).unwrap_or_default());
            copied = place.place.end;
            let Some(table) = VirtualTable::of(&place.name) else { continue };
            match place.role {
                OperationRole::Qualifier => text.extend_from_slice(place.name.as_bytes()),
                OperationRole::Named | OperationRole::Plain => {
                    let rows = operations.clone().table(table).await.map_err(refused)?;
                    text.extend_from_slice(derived(&rows).as_bytes());
                    if place.role == OperationRole::Plain {
                        text.extend_from_slice(format!(" AS {}", place.name).as_bytes());
                    }
                }
            }
            if text.len() > TEXT_BYTES_MAX {
                let reason =
                    format!("the query with its rows has more than {TEXT_BYTES_MAX} bytes");
                return Err(SqlError::operation(&reason, None).into());
            }
        }
        text.extend_from_slice(sql.get(copied..).unwrap_or_default());
        let statement = Statement::text(&text, position);
        Box::pin(self.statement(statement, None, Instant::now())).await
    }
}

fn refused(refusal: OperationRefusal) -> Failure {
    SqlError::operation(&refusal.reason, refusal.hint.as_deref()).into()
}

fn shown(answer: OperationTable) -> Table {
    let names: Vec<&str> = answer.columns.iter().map(|column| column.name.as_str()).collect();
    let mut table = Table::of_text(&names);
    answer.rows.into_iter().for_each(|row| table.push(row));
    table
}

/// The rows as a derived table. Texts are hexadecimal: they mean the same under every SQL mode.
fn derived(table: &OperationTable) -> String {
    let mut sql = String::from("(");
    let nothing = vec![None; table.columns.len()];
    let rows = match table.rows.is_empty() {
        true => std::slice::from_ref(&nothing),
        false => table.rows.as_slice(),
    };
    for (number, row) in rows.iter().enumerate() {
        sql.push_str(if number == 0 { "SELECT " } else { " UNION ALL SELECT " });
        for (place, (column, value)) in table.columns.iter().zip(row).enumerate() {
            if place > 0 {
                sql.push_str(", ");
            }
            match value {
                None => sql.push_str("NULL"),
                Some(number) if column.is_number => sql.push_str(number),
                Some(text) if text.is_empty() => sql.push_str("_utf8mb4''"),
                Some(text) => {
                    sql.push_str("_utf8mb4 x'");
                    for byte in text.bytes() {
                        // Writing to a String cannot fail.
                        let _ = write!(sql, "{byte:02X}");
                    }
                    sql.push('\'');
                }
            }
            if number == 0 {
                let _ = write!(sql, " AS `{}`", column.name);
            }
        }
    }
    if table.rows.is_empty() {
        sql.push_str(" LIMIT 0");
    }
    sql.push(')');
    sql
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::OperationColumn;

    #[test]
    fn rows_are_literals_and_no_rows_are_none() {
        let column = |name: &str, is_number| OperationColumn { name: name.into(), is_number };
        let mut table = OperationTable {
            columns: vec![column("id", true), column("text", false)],
            rows: vec![vec![Some("7".into()), Some("é'".into())], vec![None, Some(String::new())]],
        };
        assert_eq!(
            derived(&table),
            "(SELECT 7 AS `id`, _utf8mb4 x'C3A927' AS `text` UNION ALL SELECT NULL, _utf8mb4'')"
        );
        table.rows.clear();
        assert_eq!(derived(&table), "(SELECT NULL AS `id`, NULL AS `text` LIMIT 0)");
    }
}
