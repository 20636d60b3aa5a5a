//! `shardline up`: checks what can be checked first, then runs the cluster.

use super::arguments::UpArguments;
use crate::{
    config,
    exit::{Failure, Reason},
    local::Programs,
    up::{
        cluster::Cluster,
        detach,
        folder::{Folder, RunState},
        plan::Wishes,
        summary,
    },
};
use std::{env, path::PathBuf, time::Duration};

/// How long a process that has just taken the folder may take to say what it runs.
const WHO_WAIT: Duration = Duration::from_secs(3);

/// Runs a cluster, or says that it runs already.
pub(super) fn run(arguments: &UpArguments) -> Result<(), Failure> {
    if arguments.in_background {
        detach::leave_terminal();
    }
    let file = match &arguments.config {
        Some(path) => Some(config::load(path, |name| env::var(name).ok())?),
        None => None,
    };
    let programs = find_programs(arguments)?;
    let folder = Folder::open_or_take(&arguments.dir.dir)?;
    let Some(lock) = folder.lock()? else { return already_running(&folder, arguments) };
    if arguments.detach && !arguments.in_background {
        drop(lock);
        return detach::run(&folder, env::args_os());
    }
    let cluster = Cluster {
        folder,
        wishes: Wishes {
            shards: arguments.shards,
            sql_port: arguments.sql_port,
            console_port: arguments.console_port,
            meta_nodes: arguments.meta_nodes,
        },
        file,
        programs,
        telemetry: super::telemetry(&arguments.log)?,
        demo: arguments.demo,
        load: arguments.load,
    };
    let control = super::runtime("control", 2)?;
    let data = super::runtime("proxy", 1)?;
    let result = control.block_on(cluster.run(data.handle().clone()));
    data.shutdown_timeout(Duration::from_secs(1));
    control.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    result
}

fn find_programs(arguments: &UpArguments) -> Result<Programs, Failure> {
    let folders = match &arguments.search_path {
        Some(path) => env::split_paths(path).collect::<Vec<PathBuf>>(),
        None => Programs::default_folders(),
    };
    Ok(Programs::find(arguments.mariadbd.as_deref(), &folders)?)
}

/// A second `up` on a folder: fine when it asks for what runs.
fn already_running(folder: &Folder, arguments: &UpArguments) -> Result<(), Failure> {
    let run = who(folder)?;
    let pid = run.pid;
    let differs = |what: &str, has: String, asked: String| {
        Failure::new(
            Reason::Precondition,
            format!("already running (pid {pid}) with {what} {has}, not {asked}"),
        )
        .hint(format!("stop it first: shardline down --dir {}", folder.root().display()))
    };
    if let Some(asked) = arguments.sql_port.filter(|port| *port != run.sql_port) {
        return Err(differs("SQL port", run.sql_port.to_string(), asked.to_string()));
    }
    if let Some(asked) = arguments.console_port.filter(|port| *port != run.console_port) {
        return Err(differs("console port", run.console_port.to_string(), asked.to_string()));
    }
    if let Some(asked) = arguments.shards.filter(|count| *count as usize != run.shards.len()) {
        return Err(differs("shards:", run.shards.len().to_string(), asked.to_string()));
    }
    let ready = if run.ready { "" } else { ", not ready yet" };
    println!("✓ already running (pid {pid}{ready})\n{}", summary::lines(folder, &run, None));
    Ok(())
}

fn who(folder: &Folder) -> Result<RunState, Failure> {
    let begun = std::time::Instant::now();
    loop {
        if let Some(run) = folder.run_state()? {
            return Ok(run);
        }
        if begun.elapsed() > WHO_WAIT {
            return Err(Failure::new(
                Reason::Precondition,
                format!("another process is starting or stopping in {}", folder.root().display()),
            )
            .hint("try again in a moment"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
