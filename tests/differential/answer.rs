//! What a server says to a statement: result sets with their columns, or an error.

use mysql_async::{Column, Conn, Params, Row, Value, prelude::Protocol, prelude::Queryable};
use mysql_async::{QueryResult, consts::ColumnFlags};

/// A statement to be run on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) sql: Vec<u8>,
    /// Of a prepared statement; None runs the text.
    pub(crate) params: Option<Vec<Value>>,
    /// Its rows have one order.
    pub(crate) ordered: bool,
    /// Columns where any of several equal texts may be shown.
    pub(crate) representative: Vec<usize>,
    /// Flags of columns and the number of warnings are compared too. For a SELECT they may
    /// depend on how a server executes it.
    pub(crate) strict: bool,
    /// Generated ids are each side's own.
    pub(crate) own_ids: bool,
}

impl Statement {
    pub(crate) fn text(sql: impl Into<Vec<u8>>) -> Self {
        Self {
            sql: sql.into(),
            params: None,
            ordered: false,
            representative: Vec::new(),
            strict: true,
            own_ids: false,
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) origin: String,
    pub(crate) kind: String,
    pub(crate) flags: ColumnFlags,
    pub(crate) charset: u16,
    pub(crate) decimals: u8,
    pub(crate) length: u32,
}

impl Shape {
    /// It is not a table's column.
    pub(crate) fn is_expression(&self) -> bool {
        self.origin.ends_with('.') || !self.origin.contains("shop.")
    }
}

/// One result of a statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pub(crate) columns: Vec<Shape>,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) affected: u64,
    pub(crate) insert_id: Option<u64>,
    pub(crate) warnings: u16,
    pub(crate) info: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) sets: Vec<Set>,
    pub(crate) error: Option<ServerError>,
}

/// An ERR packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerError {
    pub(crate) code: u16,
    pub(crate) state: String,
    pub(crate) message: String,
}

impl ServerError {
    /// Whether the proxy refused what it does not support.
    pub(crate) fn is_refusal(&self) -> bool {
        self.code == 1235 && self.message.contains("Hint:")
    }
}

/// Runs a statement. The outer error is one of the connection.
pub(crate) async fn run(
    conn: &mut Conn,
    statement: &Statement,
) -> Result<Answer, mysql_async::Error> {
    let mut answer = Answer::default();
    let outcome = match &statement.params {
        None => match conn.query_iter(statement.sql.clone()).await {
            Ok(result) => collect(result, &mut answer).await,
            Err(error) => Err(error),
        },
        Some(params) => {
            let params = match params.is_empty() {
                true => Params::Empty,
                false => Params::Positional(params.clone()),
            };
            match conn.exec_iter(statement.sql.clone(), params).await {
                Ok(result) => collect(result, &mut answer).await,
                Err(error) => Err(error),
            }
        }
    };
    match outcome {
        Ok(()) => Ok(answer),
        Err(mysql_async::Error::Server(error)) => {
            let (code, state, message) = (error.code, error.state, error.message);
            answer.error = Some(ServerError { code, state, message });
            Ok(answer)
        }
        Err(error) => Err(error),
    }
}

async fn collect<P: Protocol>(
    mut result: QueryResult<'_, '_, P>,
    answer: &mut Answer,
) -> Result<(), mysql_async::Error> {
    loop {
        let columns: Vec<Column> = result.columns().map(|c| c.to_vec()).unwrap_or_default();
        let mut set = Set { columns: columns.iter().map(shape).collect(), ..Set::default() };
        if columns.is_empty() {
            set.affected = result.affected_rows();
            set.insert_id = result.last_insert_id();
            set.warnings = result.warnings();
            set.info = result.info().into_owned();
            let rows: Result<Vec<Row>, _> = result.collect().await;
            answer.sets.push(set);
            rows?;
        } else {
            let rows: Vec<Row> = result.collect().await?;
            set.rows = rows.into_iter().map(Row::unwrap).collect();
            let last = result.is_empty();
            set.warnings = if last { result.warnings() } else { 0 };
            answer.sets.push(set);
        }
        if result.is_empty() {
            return Ok(());
        }
    }
}

fn shape(column: &Column) -> Shape {
    Shape {
        name: column.name_str().into_owned(),
        origin: format!(
            "{}.{}.{}.{}",
            column.schema_str(),
            column.table_str(),
            column.org_table_str(),
            column.org_name_str()
        ),
        kind: format!("{:?}", column.column_type()),
        flags: column.flags(),
        charset: column.character_set(),
        decimals: column.decimals(),
        length: column.column_length(),
    }
}
