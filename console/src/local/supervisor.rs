//! Keeps one server running: starts it, waits until it answers, restarts it when it
//! dies, stops it in order at shutdown.

use super::{
    Account, LocalError, Programs, ServerSettings, Spawner, child::ChildCommand, leftover,
};
use mysql_async::prelude::Queryable;
use rustix::process::Signal;
use shardline_base::{BackoffConfig, Shutdown};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{process::Child, sync::watch};

/// How long a server may take to answer; crash recovery is part of it.
const READY_WAIT: Duration = Duration::from_secs(120);
/// How long a server may take to shut down in order before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// Between two tries to log in to a starting server.
const READY_POLL: Duration = Duration::from_millis(20);
/// The pauses between restarts.
const RESTART_PAUSES: BackoffConfig = BackoffConfig { first_ms: 100, longest_ms: 5_000 };
/// A server that has run this long has its pause forgotten.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// How much of an error log is searched for the reason of a failure.
const LOG_TAIL_BYTES: usize = 16 * 1024;

/// What a supervised server is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Started, not answering yet.
    Starting,
    /// Answering.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It died; it will be started again.
    Down {
        /// Why, in one line.
        reason: String,
    },
    /// Stopped in order.
    Stopped,
}

/// One server and what keeps it running.
#[derive(Debug)]
pub struct Supervisor {
    /// Its name in logs: the shard's.
    pub name: String,
    /// Its command line.
    pub settings: ServerSettings,
    /// The programs it is started from.
    pub programs: Programs,
    /// The account by which it is known to answer.
    pub account: Account,
    /// Who starts the process.
    pub spawner: Spawner,
}

enum Ended {
    Shutdown,
    Died(String),
}

impl Supervisor {
    /// Runs until `shutdown`; state changes are published on `state`.
    ///
    /// The first start must succeed, later ones are tried for ever.
    pub async fn run(
        self,
        shutdown: Shutdown,
        state: watch::Sender<ServerState>,
    ) -> Result<(), LocalError> {
        let mut pauses = RESTART_PAUSES.build();
        let mut started_before = false;
        loop {
            let begun = Instant::now();
            let reason = match self.start_and_watch(&shutdown, &state).await {
                Ok(Ended::Shutdown) => {
                    state.send_replace(ServerState::Stopped);
                    return Ok(());
                }
                Ok(Ended::Died(reason)) => reason,
                Err(error) if !started_before => return Err(error),
                Err(error) => crate::exit::chain(&error),
            };
            started_before = true;
            if begun.elapsed() > STEADY_AFTER {
                pauses.reset();
            }
            tracing::error!(server = %self.name, %reason, "server died; starting it again");
            state.send_replace(ServerState::Down { reason });
            if shutdown.or(tokio::time::sleep(pauses.next_delay())).await.is_none() {
                state.send_replace(ServerState::Stopped);
                return Ok(());
            }
        }
    }

    async fn start_and_watch(
        &self,
        shutdown: &Shutdown,
        state: &watch::Sender<ServerState>,
    ) -> Result<Ended, LocalError> {
        for pid in leftover::end_all(&self.settings.data_dir).await? {
            tracing::warn!(server = %self.name, pid, "ended a server left by an earlier run");
        }
        state.send_replace(ServerState::Starting);
        let log_start = fs::metadata(&self.settings.error_log).map_or(0, |file| file.len());
        let mut child = self.spawn().await?;
        let pid = child.id().unwrap_or_default();
        tokio::select! {
            ready = self.wait_ready(&mut child, log_start) => ready?,
            () = shutdown.triggered() => {
                self.stop(&mut child).await;
                return Ok(Ended::Shutdown);
            }
        }
        tracing::info!(server = %self.name, pid, port = self.settings.port, "server is up");
        state.send_replace(ServerState::Running { pid });
        tokio::select! {
            status = child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |s| s.to_string());
                Ok(Ended::Died(format!("pid {pid} ended: {status}")))
            }
            () = shutdown.triggered() => {
                self.stop(&mut child).await;
                Ok(Ended::Shutdown)
            }
        }
    }

    async fn spawn(&self) -> Result<Child, LocalError> {
        let temporary = self.settings.temporary_dir();
        fs::create_dir_all(&temporary).map_err(LocalError::file("create", &temporary))?;
        let path = &self.settings.error_log;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(LocalError::file("open", path))?;
        self.spawner
            .spawn(ChildCommand {
                program: self.programs.server.clone(),
                arguments: self.settings.arguments(&self.programs),
                environment: Vec::new(),
                stdout: Stdio::null(),
                stderr: Stdio::from(log),
            })
            .await
    }

    async fn wait_ready(&self, child: &mut Child, log_start: u64) -> Result<(), LocalError> {
        let deadline = Instant::now() + READY_WAIT;
        loop {
            let last_error = match answers(&self.settings.socket, &self.account).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if let Ok(Some(status)) = child.try_wait() {
                return Err(LocalError::EndedAtStart {
                    name: self.name.clone(),
                    status: status.to_string(),
                    log: errors_in_log(&self.settings.error_log, log_start),
                });
            }
            if Instant::now() >= deadline {
                self.stop(child).await;
                return Err(LocalError::NotReady {
                    name: self.name.clone(),
                    seconds: READY_WAIT.as_secs(),
                    last_error,
                });
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Stops the server in order, or kills it when it does not obey; InnoDB recovers then.
    async fn stop(&self, child: &mut Child) {
        let Some(pid) = child.id() else { return };
        if let Some(process) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)
            && rustix::process::kill_process(process, Signal::TERM).is_ok()
            && tokio::time::timeout(STOP_WAIT, child.wait()).await.is_ok()
        {
            tracing::info!(server = %self.name, pid, "server stopped");
            return;
        }
        tracing::error!(server = %self.name, pid, "server does not stop; killing it");
        if let Err(error) = child.kill().await {
            tracing::error!(server = %self.name, pid, %error, "server cannot be killed");
        }
    }
}

/// Logs in through the socket and asks for one value.
async fn answers(socket: &Path, account: &Account) -> Result<(), String> {
    let options = mysql_async::OptsBuilder::default()
        .socket(Some(socket.display().to_string()))
        .user(Some(&account.user))
        .pass(Some(&account.password));
    let mut connection =
        mysql_async::Conn::new(options).await.map_err(|error| crate::exit::chain(&error))?;
    connection.query_drop("SELECT 1").await.map_err(|error| crate::exit::chain(&error))?;
    connection.disconnect().await.map_err(|error| crate::exit::chain(&error))
}

/// The lines marked as errors that a server has logged after byte `start`.
pub fn errors_in_log(path: &Path, start: u64) -> String {
    let text = fs::read(path).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(0).min(text.len());
    let fresh = &text[start.max(text.len().saturating_sub(LOG_TAIL_BYTES))..];
    let fresh = String::from_utf8_lossy(fresh);
    let errors: Vec<&str> = fresh.lines().filter(|line| line.contains("[ERROR]")).collect();
    if errors.is_empty() {
        return format!("see {}", path.display());
    }
    errors[errors.len().saturating_sub(3)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fresh_errors_are_quoted() {
        let folder = tempfile::tempdir().expect("tempdir");
        let path = folder.path().join("log");
        fs::write(&path, "x [ERROR] old\nx [Note] fine\nx [ERROR] new\n").expect("file");
        assert_eq!(errors_in_log(&path, 14), "x [ERROR] new");
    }
}
