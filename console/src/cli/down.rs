//! `shardline down`: stops the process that runs a folder's cluster, and removes the
//! folder when asked to.

use super::arguments::DownArguments;
use crate::{
    exit::{Failure, Reason},
    local::leftover,
    up::folder::{Folder, FolderLock},
};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// How long the running process may take to drain and stop its servers.
const STOP_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Stops, and removes with `--purge`.
pub(super) fn run(arguments: &DownArguments) -> Result<(), Failure> {
    let dir = &arguments.dir.dir;
    let Some(folder) = Folder::open(dir)? else {
        println!("nothing to stop: {} is no folder of shardline", dir.display());
        return Ok(());
    };
    super::runtime("down", 1)?.block_on(async {
        let _lock = stop(&folder).await?;
        for shard in folder.state()?.iter().flat_map(|state| &state.shards) {
            for pid in leftover::end_all(&folder.shard_data(&shard.name)).await? {
                println!(
                    "✓ stopped the server of {} (pid {pid}), left by an earlier run",
                    shard.name
                );
            }
        }
        if !arguments.purge {
            println!("Data kept in {} · start again: shardline up", folder.root().display());
            return Ok(());
        }
        let root = folder.root().to_owned();
        let left = folder.purge()?;
        if left.is_empty() {
            println!("✓ removed {}", root.display());
        } else {
            println!("✓ removed our files in {}; left: {}", root.display(), left.join(", "));
        }
        Ok(())
    })
}

/// Stops the running process, if any, and takes its place so that no other one starts.
async fn stop(folder: &Folder) -> Result<FolderLock, Failure> {
    if let Some(lock) = folder.lock()? {
        println!("✓ not running");
        return Ok(lock);
    }
    let begun = Instant::now();
    let mut asked = None;
    while begun.elapsed() < STOP_WAIT {
        if let Some(lock) = folder.lock()? {
            let pid = asked.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            println!("✓ stopped{pid} in {:.1} s", begun.elapsed().as_secs_f32());
            return Ok(lock);
        }
        // The state may appear a moment after the lock.
        if asked.is_none()
            && let Some(run) = folder.run_state()?
        {
            leftover::end(run.pid, Signal::TERM, Duration::ZERO).await;
            asked = Some(run.pid);
        }
        tokio::time::sleep(POLL).await;
    }
    let who = asked.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
    Err(Failure::new(
        Reason::TimedOut,
        format!("{who} has not stopped in {} s", STOP_WAIT.as_secs()),
    )
    .hint("look at its log; `kill -9` is safe for the data, servers recover"))
}
