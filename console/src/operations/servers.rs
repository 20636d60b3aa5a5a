//! Connections to the shards' servers, for questions and for definitions.

use super::{OperationError, Operations};
use crate::exit::chain;
use mysql_async::{Conn, OptsBuilder, Row, Value, prelude::Queryable};
use shardline_model::catalog::ServerAddress;
use shardline_rebalancer::{Endpoint, driver::endpoint};
use std::time::Duration;

/// How long a server may take to let somebody in.
const LOGIN_MAX: Duration = Duration::from_secs(5);
/// How long one question may take: some read whole tables.
const QUESTION_MAX: Duration = Duration::from_secs(600);
/// Values come as they are stored, and statements mean what SHOW CREATE says.
const SETTINGS: &str = "SET NAMES utf8mb4, character_set_results = binary, \
     sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0, time_zone = '+00:00'";

/// A logged-in connection to one server.
pub(super) struct Server {
    name: String,
    connection: Conn,
}

/// A row of an answer: None is NULL.
pub(super) type Values = Vec<Option<Vec<u8>>>;

impl Operations {
    /// A connection to a server that is called `name` in messages.
    pub(super) async fn server(
        &self,
        name: &str,
        address: &ServerAddress,
    ) -> Result<Server, OperationError> {
        let options = OptsBuilder::default()
            .user(Some(&self.account.user))
            .pass(Some(&self.account.password))
            .prefer_socket(false)
            .stmt_cache_size(0);
        let socket = address.socket.as_deref().filter(|path| std::path::Path::new(path).exists());
        let options = match socket {
            Some(socket) => options.socket(Some(socket)),
            None => options.ip_or_hostname(address.host.clone()).tcp_port(address.port),
        };
        let failed = |reason: String| {
            OperationError::unavailable(
                "shard",
                format!("shard {name} cannot be reached: {reason}"),
            )
        };
        let login = tokio::time::timeout(LOGIN_MAX, Conn::new(options)).await;
        let connection = login
            .map_err(|_| failed(format!("no answer within {} s", LOGIN_MAX.as_secs())))?
            .map_err(|error| failed(chain(&error)))?;
        let mut server = Server { name: name.to_owned(), connection };
        server.run(SETTINGS).await?;
        Ok(server)
    }

    /// The same for whoever moves rows.
    pub(super) fn endpoint(&self, address: &ServerAddress) -> Endpoint {
        endpoint(address, &self.account)
    }
}

impl Server {
    /// The rows of an answer.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Values>, OperationError> {
        let asked = tokio::time::timeout(QUESTION_MAX, self.connection.query::<Row, _>(sql)).await;
        let rows = match asked {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return Err(self.failed(sql, &chain(&error))),
            Err(_) => {
                let seconds = QUESTION_MAX.as_secs();
                return Err(self.failed(sql, &format!("no answer within {seconds} s")));
            }
        };
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(bytes).collect()).collect())
    }

    /// Rows of texts; NULL is the empty one.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<Vec<String>>, OperationError> {
        let text = |value: Option<Vec<u8>>| {
            String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
        };
        let rows = self.rows(sql).await?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(text).collect()).collect())
    }

    /// Runs a statement.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), OperationError> {
        self.rows(sql).await.map(|_| ())
    }

    fn failed(&self, sql: &str, reason: &str) -> OperationError {
        let cut = sql.floor_char_boundary(200);
        let message = format!("shard {}: {reason} (in: {})", self.name, &sql[..cut]);
        OperationError::failed("statement", message)
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes),
        other @ (Value::Int(_)
        | Value::UInt(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..)) => Some(other.as_sql(false).trim_matches('\'').as_bytes().to_vec()),
    }
}

/// A text as a literal.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A number that a server said.
pub(super) fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
