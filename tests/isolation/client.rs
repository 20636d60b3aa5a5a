//! One client: transactions one after the other, on a session that is made anew when it is lost.

use crate::{
    history::{History, Operation, Outcome},
    random::Random,
};
use anyhow::{Context, Result};
use mysql_async::{Conn, Error, OptsBuilder, prelude::Queryable};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a proxy may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts to log in.
const PAUSE: Duration = Duration::from_millis(100);
/// The error of a COMMIT whose outcome is not known yet.
const OUTCOME_UNKNOWN: u16 = 1180;

pub(crate) struct Client {
    options: OptsBuilder,
    /// The isolation level, and that of reads.
    levels: (&'static str, &'static str),
    history: Arc<History>,
    random: Random,
}

impl Client {
    pub(crate) fn new(
        options: OptsBuilder,
        levels: (&'static str, &'static str),
        history: Arc<History>,
        random: Random,
    ) -> Self {
        Self { options, levels, history, random }
    }

    /// Until there have been enough transactions.
    pub(crate) async fn run(mut self, number: u64) -> Result<()> {
        let mut session = self.log_in().await.with_context(|| format!("client {number}"))?;
        let mut process = self.history.process();
        loop {
            let history = self.history.clone();
            let Some(operations) = history.begin(process, |end| self.random.below(end)) else {
                return Ok(());
            };
            let (outcome, lost) = transaction(&mut session, &operations).await;
            if matches!(outcome, Outcome::Unknown) {
                history.end(process, &operations, outcome);
                process = history.process();
            } else {
                history.end(process, &operations, outcome);
            }
            if lost {
                session = self.log_in().await.with_context(|| format!("client {number}"))?;
            }
        }
    }

    async fn log_in(&self) -> Result<Conn> {
        let until = Instant::now() + PATIENCE;
        loop {
            let attempt = async {
                let mut session = Conn::new(self.options.clone()).await?;
                let (isolation, reads) = self.levels;
                let level = format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}");
                session.query_drop(level).await?;
                session.query_drop(format!("SET shardline_read_consistency = {reads}")).await?;
                Ok::<_, Error>(session)
            };
            match attempt.await {
                Ok(session) => return Ok(session),
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// Runs one; whether the session is to be made anew.
async fn transaction(session: &mut Conn, operations: &[Operation]) -> (Outcome, bool) {
    let lists = match body(session, operations).await {
        Ok(lists) => lists,
        // COMMIT was not sent, so nothing of it can remain.
        Err(_) => {
            let lost = session.query_drop("ROLLBACK").await.is_err();
            return (Outcome::Refused, lost);
        }
    };
    match session.query_drop("COMMIT").await {
        Ok(()) => (Outcome::Committed(lists), false),
        Err(Error::Server(told)) if told.code != OUTCOME_UNKNOWN => {
            let lost = session.query_drop("ROLLBACK").await.is_err();
            (Outcome::Refused, lost)
        }
        Err(_) => (Outcome::Unknown, true),
    }
}

async fn body(session: &mut Conn, operations: &[Operation]) -> Result<Vec<Vec<u64>>, Error> {
    session.query_drop("START TRANSACTION").await?;
    let mut lists = Vec::new();
    for operation in operations {
        match operation {
            Operation::Read(key) => {
                let select = "SELECT v FROM d.list WHERE k = ?";
                let found: Option<String> = session.exec_first(select, (key,)).await?;
                let values = found.iter().flat_map(|text| text.split(','));
                lists.push(values.filter_map(|value| value.parse().ok()).collect());
            }
            Operation::Append(key, value) => {
                let append = format!(
                    "INSERT INTO d.list VALUES ({key}, '{value}') \
                     ON DUPLICATE KEY UPDATE v = CONCAT(v, ',', VALUES(v))"
                );
                session.query_drop(append).await?;
            }
        }
    }
    Ok(lists)
}
