//! One child process with its log, started so that it ends with the test process.

use crate::wait::Hopeless;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use shardline_console::local::{Spawner, child::ChildCommand};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};
use tokio::process::Child;

/// The `shardline` binary that belongs to this build: `target/PROFILE/shardline`.
pub fn shardline() -> Result<PathBuf> {
    let this = std::env::current_exe().context("finding this test's own path")?;
    let folders = this.ancestors().skip(1).take(2);
    for folder in folders {
        let binary = folder.join("shardline");
        if binary.is_file() {
            return Ok(binary);
        }
    }
    bail!("no shardline binary beside {}: run `cargo build -p shardline-console`", this.display())
}

/// The thread that starts processes. It lives as long as the test process, so that
/// processes that several tests share outlive the test that was first.
fn spawner() -> Result<Spawner> {
    static SPAWNER: OnceLock<Spawner> = OnceLock::new();
    if let Some(spawner) = SPAWNER.get() {
        return Ok(spawner.clone());
    }
    let started = Spawner::start(shardline()?).context("starting the spawner thread")?;
    Ok(SPAWNER.get_or_init(|| started).clone())
}

/// A running or ended child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints is appended to `log`.
    pub async fn start(
        name: &str,
        program: &Path,
        arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
        log: &Path,
    ) -> Result<Self> {
        let open = || {
            let file = fs::OpenOptions::new().create(true).append(true).open(log);
            file.with_context(|| format!("opening {}", log.display()))
        };
        let command = ChildCommand {
            program: program.to_owned(),
            arguments,
            environment,
            stdout: Stdio::from(open()?),
            stderr: Stdio::from(open()?),
        };
        let child = spawner()?.spawn(command).await.with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id; an error when it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw).context("a pid")?;
        kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    /// kill -9, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Stops it in its tracks (SIGSTOP).
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end (SIGTERM) and waits.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(limit).await
    }

    /// Waits for its end.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => status.with_context(|| format!("waiting for {}", self.name)),
            Err(_) => bail!("{} has not ended in {} s", self.name, limit.as_secs()),
        }
    }

    /// An error with the end of its log when it has ended.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait().context("asking for its state")? {
            None => Ok(()),
            Some(status) => {
                let text = format!("{} ended: {status}: {}", self.name, self.log_tail());
                Err(Hopeless(text).into())
            }
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Its whole log.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Where its log is. Processes that are started again go on in the same one.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Memory that it has in RAM, in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|rest| rest.split_whitespace().next()).context("VmRSS")?;
        number.parse().context("VmRSS as a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        self.child.start_kill().ok();
    }
}
