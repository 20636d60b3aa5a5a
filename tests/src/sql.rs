//! Short forms for SQL in tests.

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, Row, Value, prelude::Queryable};

/// Connects.
pub async fn connect(options: impl Into<Opts>) -> Result<Conn> {
    Conn::new(options.into()).await.context("connecting")
}

/// Runs statements one after the other; an error names the statement.
pub async fn run(connection: &mut Conn, statements: &[impl AsRef<str>]) -> Result<()> {
    for statement in statements.iter().map(AsRef::as_ref) {
        connection
            .query_drop(statement)
            .await
            .with_context(|| format!("running {}", shortened(statement)))?;
    }
    Ok(())
}

/// A statement's rows, each column as text (`NULL` for null).
pub async fn rows(connection: &mut Conn, statement: &str) -> Result<Vec<Vec<String>>> {
    let rows: Vec<Row> = connection
        .query(statement)
        .await
        .with_context(|| format!("running {}", shortened(statement)))?;
    Ok(rows.into_iter().map(|row| row.unwrap().iter().map(text).collect()).collect())
}

/// The one value of a statement, as text.
pub async fn value(connection: &mut Conn, statement: &str) -> Result<String> {
    let rows = rows(connection, statement).await?;
    rows.into_iter()
        .next()
        .and_then(|row| row.into_iter().next())
        .with_context(|| format!("no row from {}", shortened(statement)))
}

/// The server's error number, when the error came from a server.
pub fn error_number(error: &mysql_async::Error) -> Option<u16> {
    match error {
        mysql_async::Error::Server(error) => Some(error.code),
        _ => None,
    }
}

/// The number of the error that a statement must end with.
pub async fn error_of(connection: &mut Conn, statement: &str) -> Result<u16> {
    let error = connection.query_drop(statement).await.err();
    let error = error.with_context(|| format!("it succeeded: {}", shortened(statement)))?;
    error_number(&error).with_context(|| format!("no server's error: {error}"))
}

fn text(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.as_sql(true).trim_matches('\'').to_owned(),
    }
}

fn shortened(statement: &str) -> String {
    statement.chars().take(120).collect()
}
