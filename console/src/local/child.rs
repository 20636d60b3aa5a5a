//! Starting processes that end when this one does, however it ends.
//!
//! The kernel sends a chosen signal to a process whose parent *thread* ends. So all
//! children are started by one thread that lives as long as its [`Spawner`], through a
//! small detour: this program's own `exec-child` verb asks the kernel for the signal
//! and then becomes the wanted program.

use super::LocalError;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
};
use tokio::{process::Child, sync::oneshot};

/// The verb that [`become_child`] serves.
pub const EXEC_VERB: &str = "exec-child";

/// A process to start. It gets its own process group, so that Ctrl-C in a terminal
/// reaches only its parent, which then stops it in order.
#[derive(Debug)]
pub struct ChildCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Environment variables to set.
    pub environment: Vec<(OsString, OsString)>,
    /// Where its standard output goes.
    pub stdout: Stdio,
    /// Where its standard error goes.
    pub stderr: Stdio,
}

struct Request {
    command: Command,
    runtime: tokio::runtime::Handle,
    reply: oneshot::Sender<std::io::Result<Child>>,
}

/// The thread that starts processes. They are told to end when it ends.
#[derive(Clone, Debug)]
pub struct Spawner {
    helper: PathBuf,
    requests: mpsc::SyncSender<Request>,
}

impl Spawner {
    /// Starts the thread. `helper` is the path of a `shardline` binary.
    pub fn start(helper: PathBuf) -> std::io::Result<Self> {
        let (requests, inbox) = mpsc::sync_channel::<Request>(16);
        std::thread::Builder::new().name("spawner".into()).spawn(move || {
            for mut request in inbox {
                let child = {
                    let _entered = request.runtime.enter();
                    request.command.process_group(0);
                    tokio::process::Command::from(request.command).spawn()
                };
                if let Err(Ok(mut orphan)) = request.reply.send(child) {
                    // Nobody waits for it any more; it must not stay behind. A child that
                    // has ended by itself is as good.
                    orphan.start_kill().ok();
                }
            }
        })?;
        Ok(Self { helper, requests })
    }

    /// Starts a process. Must be called inside a tokio runtime, which reaps it.
    pub async fn spawn(&self, wanted: ChildCommand) -> Result<Child, LocalError> {
        let program = wanted.program.clone();
        let mut command = Command::new(&self.helper);
        command
            .arg(EXEC_VERB)
            .arg(std::process::id().to_string())
            .arg(wanted.program)
            .args(wanted.arguments)
            .envs(wanted.environment)
            .stdin(Stdio::null())
            .stdout(wanted.stdout)
            .stderr(wanted.stderr);
        let (reply, answer) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        self.requests
            .try_send(Request { command, runtime, reply })
            .map_err(|_| LocalError::SpawnerGone)?;
        answer
            .await
            .map_err(|_| LocalError::SpawnerGone)?
            .map_err(|source| LocalError::Run { program, source })
    }
}

/// The `exec-child` verb: asks to be ended with the parent, then becomes `program`.
/// Returns only when that failed.
pub fn become_child(parent: i32, program: &Path, arguments: &[OsString]) -> std::io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return error.into();
    }
    // The parent may have ended before the kernel was asked.
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        return std::io::Error::other("the parent process has ended");
    }
    Command::new(program).args(arguments).exec()
}
