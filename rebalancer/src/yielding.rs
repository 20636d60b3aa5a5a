//! Transactions of a move give way. One that waits for a lock while it holds others can be part of a
//! deadlock, and the server may choose the client's transaction for it. So on MariaDB a move's transactions do
//! not wait: they roll back and come again. Only one that is turned away for long waits like anybody.
//! MySQL has no such setting that is shorter than a second.

use crate::{error::MoveError, session::Session};
use shardline_binlog::Family;
use std::time::Duration;

/// How often a transaction comes again: some 30 seconds.
const ATTEMPTS: u32 = 300;
/// After so many it waits for locks.
const PATIENCE: u32 = 60;
/// The pause after an attempt: longer each time, up to a limit.
const PAUSE: Duration = Duration::from_millis(4);
const PAUSE_MAX: Duration = Duration::from_millis(100);

const WHAT: &str = "how long it waits for locks";

/// The attempts of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Yielding {
    attempts: u32,
    waits: bool,
}

impl Yielding {
    /// Makes a session one that does not wait for locks.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) async fn begin(session: &mut Session) -> Result<(), MoveError> {
        set_wait(session, 0).await
    }

    /// After a failure: rolled back, and time for another attempt.
    ///
    /// # Errors
    /// The failure, where another attempt does not help or there were enough.
    pub(crate) async fn again(
        &mut self,
        session: &mut Session,
        error: MoveError,
    ) -> Result<(), MoveError> {
        let locked =
            matches!(&error, MoveError::Refused { error, .. } if matches!(error.code, 1205 | 1213));
        if !locked || self.attempts >= ATTEMPTS {
            return Err(error);
        }
        self.attempts += 1;
        session.one("a rollback", "ROLLBACK").await?;
        if self.attempts == PATIENCE {
            self.waits = true;
            set_wait(session, 1).await?;
        }
        tokio::time::sleep((PAUSE * self.attempts).min(PAUSE_MAX)).await;
        Ok(())
    }

    /// After a success.
    ///
    /// # Errors
    /// The server refuses.
    pub(crate) async fn done(self, session: &mut Session) -> Result<(), MoveError> {
        if self.waits { set_wait(session, 0).await } else { Ok(()) }
    }
}

async fn set_wait(session: &mut Session, seconds: u32) -> Result<(), MoveError> {
    match session.family() {
        Family::Mariadb => {
            let sql = format!("SET SESSION innodb_lock_wait_timeout = {seconds}");
            session.one(WHAT, &sql).await.map(|_| ())
        }
        Family::Mysql => Ok(()),
    }
}
