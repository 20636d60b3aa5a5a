//! Clients that run statements for as long as a test likes and keep a record of each.

use crate::sql;
use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, prelude::Queryable};
use shardline_base::Shutdown;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// What became of one statement.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The key that it was about.
    pub key: u64,
    /// When it was sent, since the load began.
    pub sent: Duration,
    /// How long it took.
    pub took: Duration,
    /// None when it succeeded; else the server's error number (0 for a lost connection)
    /// and text.
    pub error: Option<(u16, String)>,
}

/// Running clients.
#[derive(Debug)]
pub struct Load {
    stop: Shutdown,
    clients: Vec<JoinHandle<Vec<Outcome>>>,
}

/// Makes the statement for a key.
pub type Statement = fn(u64) -> String;

impl Load {
    /// Starts a client for each of `options`. Client `n` of `c` uses keys `n`, `n + c` ...
    /// A client that loses its connection tries the next of the options.
    pub fn start(options: Vec<Opts>, statement: Statement) -> Self {
        let (stop, begun) = (Shutdown::new(), Instant::now());
        let count = options.len();
        let clients = (0..count)
            .map(|number| {
                let mut mine = options.clone();
                mine.rotate_left(number);
                tokio::spawn(client(mine, (number, count), statement, stop.clone(), begun))
            })
            .collect();
        Self { stop, clients }
    }

    /// Stops all clients and collects what they recorded, in the order of sending.
    pub async fn finish(self) -> Result<Vec<Outcome>> {
        self.stop.trigger();
        let mut outcomes = Vec::new();
        for client in self.clients {
            outcomes.extend(client.await.context("a load client panicked")?);
        }
        outcomes.sort_by_key(|outcome| outcome.sent);
        Ok(outcomes)
    }
}

async fn client(
    options: Vec<Opts>,
    (first, step): (usize, usize),
    statement: Statement,
    stop: Shutdown,
    begun: Instant,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut key = first as u64;
    let mut target = options.iter().cycle();
    let mut connection: Option<Conn> = None;
    while !stop.is_triggered() {
        let (sent, started) = (begun.elapsed(), Instant::now());
        let result = match &mut connection {
            Some(open) => open.query_drop(statement(key)).await,
            None => match connect(target.next()).await {
                Ok(open) => connection.insert(open).query_drop(statement(key)).await,
                Err(error) => Err(error),
            },
        };
        let error = result.err().map(|error| {
            let number = sql::error_number(&error);
            if number.is_none() {
                connection = None;
            }
            (number.unwrap_or(0), error.to_string())
        });
        if error.is_some() {
            // A failing target must not be asked thousands of times a second.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        outcomes.push(Outcome { key, sent, took: started.elapsed(), error });
        key += step as u64;
    }
    outcomes
}

async fn connect(options: Option<&Opts>) -> mysql_async::Result<Conn> {
    match options {
        Some(options) => Conn::new(options.clone()).await,
        None => Err(mysql_async::Error::Other("no target".into())),
    }
}
