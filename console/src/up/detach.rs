//! `--detach`: the same command again in the background, and a foreground that waits
//! until it is ready or has failed.

use super::{
    folder::{Folder, RunState},
    summary,
};
use crate::exit::{Failure, Reason};
use std::{
    ffi::OsString,
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long the background process may take, the demo included.
const READY_WAIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);
/// Set for the process in the background.
const IN_BACKGROUND: &str = "SHARDLINE_IN_BACKGROUND";

/// Starts this command again without `--detach` and waits until it is ready. The error
/// of a failed start is the background process's own, which it has printed.
pub fn run(folder: &Folder, arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let logs = folder.path("logs");
    fs::create_dir_all(&logs).map_err(crate::local::LocalError::file("create", &logs))?;
    let log = logs.join("shardline.log");
    let errors = logs.join("start-errors.log");
    let mut child = spawn(&log, &errors, arguments)?;
    let deadline = Instant::now() + READY_WAIT;
    loop {
        if let Some(run) = ready(folder, child.id())? {
            println!("{}\nLogs in {}", summary::lines(folder, &run, None), log.display());
            return Ok(());
        }
        let ended = child.try_wait().map_err(|error| Failure::new(Reason::Failed, error))?;
        if let Some(status) = ended {
            return Err(failure_of(
                status.code(),
                &fs::read_to_string(&errors).unwrap_or_default(),
            ));
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(
                Reason::TimedOut,
                format!("not ready in {} s; it goes on in the background", READY_WAIT.as_secs()),
            )
            .hint(format!("look at {}", log.display())));
        }
        std::thread::sleep(POLL);
    }
}

/// Leaves the terminal's session, so that closing the terminal does not end the cluster.
pub fn leave_terminal() {
    // Fails only for a process that leads a group of its own already: nothing to leave.
    rustix::process::setsid().ok();
}

fn spawn(
    log: &std::path::Path,
    errors: &std::path::Path,
    arguments: impl Iterator<Item = OsString>,
) -> Result<Child, Failure> {
    let failed =
        |error: std::io::Error| Failure::new(Reason::Failed, format!("cannot detach: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let log = fs::OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
    let errors = fs::File::create(errors).map_err(failed)?;
    Command::new(program)
        .args(arguments.skip(1).filter(|argument| argument != "--detach"))
        .env_remove("SHARDLINE_DETACH")
        .env(IN_BACKGROUND, "true")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(failed)
}

fn ready(folder: &Folder, pid: u32) -> Result<Option<RunState>, Failure> {
    Ok(folder.run_state()?.filter(|run| run.pid == pid && run.ready))
}

/// The background process's failure, as if it had been ours.
fn failure_of(code: Option<i32>, printed: &str) -> Failure {
    let reasons = [Reason::Usage, Reason::Unavailable, Reason::Precondition, Reason::TimedOut];
    let reason = reasons
        .into_iter()
        .find(|reason| code == Some(i32::from(reason.code())))
        .unwrap_or(Reason::Failed);
    let text = printed.trim().strip_prefix("error: ").unwrap_or(printed.trim());
    match text.split_once("\n  hint: ") {
        Some((message, hint)) => Failure::new(reason, message).hint(hint),
        None if text.is_empty() => {
            Failure::new(reason, "the process in the background ended without a word")
        }
        None => Failure::new(reason, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failure_of_the_background_is_told_as_it_was() {
        let original = Failure::new(Reason::Unavailable, "no mariadbd").hint("install it");
        let told = failure_of(Some(4), &format!("{original}\n"));
        assert_eq!(told.reason, original.reason);
        assert_eq!(told.to_string(), original.to_string());
        assert_eq!(failure_of(None, "").reason, Reason::Failed);
    }
}
