//! Servers that an earlier run left behind, found by the data folder that they hold.

use super::LocalError;
use crate::ports::processes;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long a leftover server may take to shut down in order.
const TERM_WAIT: Duration = Duration::from_secs(15);
/// How long the kernel may take to remove a killed process.
const KILL_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// The processes that were started with `--datadir=<data_dir>`.
pub fn find(data_dir: &Path) -> Vec<u32> {
    let wanted = format!("--datadir={}", data_dir.display());
    processes()
        .filter(|(folder, _)| {
            fs::read(folder.join("cmdline")).is_ok_and(|line| {
                line.split(|byte| *byte == 0).any(|argument| argument == wanted.as_bytes())
            })
        })
        .map(|(_, pid)| pid)
        .collect()
}

/// Ends every process that holds `data_dir`: in order when it obeys, else at once
/// (InnoDB recovers). Returns the ids of those that were ended.
pub async fn end_all(data_dir: &Path) -> Result<Vec<u32>, LocalError> {
    let pids = find(data_dir);
    for pid in &pids {
        if !end(*pid, Signal::TERM, TERM_WAIT).await && !end(*pid, Signal::KILL, KILL_WAIT).await {
            return Err(LocalError::Leftover { pid: *pid, path: data_dir.to_owned() });
        }
    }
    Ok(pids)
}

/// Sends a signal and waits for the process to be gone. True when it is.
pub async fn end(pid: u32, signal: Signal, wait: Duration) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    if kill_process(process, signal).is_err() {
        return !is_alive(pid);
    }
    let deadline = Instant::now() + wait;
    while is_alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}

/// Whether a process exists and is not merely waiting to be reaped by its parent.
pub fn is_alive(pid: u32) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    // The state follows the name, which is in parentheses and may hold anything.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z')))
        .is_some_and(|zombie| !zombie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_no_process_has_number_zero() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
    }

    #[test]
    fn nothing_holds_a_folder_that_does_not_exist() {
        assert!(find(Path::new("/nonexistent/data")).is_empty());
    }
}
